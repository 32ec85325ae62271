# Finds the CUDA toolkit and the kind of GPU to compile for, and sets cuda_environment to what cargo needs of them.
find_program(NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
if(NOT NVCC)
  message(FATAL_ERROR "TOPREWARD_CUDA needs the CUDA toolkit, and there is no nvcc in $CUDA_HOME/bin, /usr/local/cuda/bin or the path: "
    "install it (nvidia-cuda-toolkit, or JetPack's), or let `./dev build --cuda` bring one from wheels")
endif()
get_filename_component(nvcc_folder "${NVCC}" REALPATH)
get_filename_component(nvcc_folder "${nvcc_folder}" DIRECTORY)
get_filename_component(cuda_home "${nvcc_folder}" DIRECTORY)

execute_process(
  COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tools/gpu/compute_cap.sh
  RESULT_VARIABLE status OUTPUT_VARIABLE compute_cap ERROR_VARIABLE reason OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "TOPREWARD_CUDA: ${reason}")
endif()
message(STATUS "CUDA: ${NVCC}, compute capability ${compute_cap}")

string(JOIN "\n" cuda_environment
  "export CUDA_HOME=\"${cuda_home}\""
  "export PATH=\"${nvcc_folder}:$PATH\""
  "export CUDA_COMPUTE_CAP=\"${compute_cap}\"")
