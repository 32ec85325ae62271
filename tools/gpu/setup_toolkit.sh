#!/usr/bin/env bash
# Makes FOLDER/toolkit: a CUDA toolkit from wheels, laid out as an installed one, that compiles and links this project on
# a machine without a GPU or a driver.
# usage: setup_toolkit.sh PYTHON FOLDER
set -euo pipefail
python=$1 folder=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$folder/unpacked

# A toolkit is there whole or not at all: it is moved into place as the last step.
rm -rf "$work" "$folder/toolkit"
mkdir -p "$folder"
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-cache-dir --no-deps --no-compile --target "$work/wheels" --requirement "$here/requirements.txt"
toolkit=$work/wheels/nvidia/cu13

# Nothing here uses these: another variant of the runtime compiler, BLAS in front of a CPU's, the compiler as a library.
rm -f "$toolkit"/lib/lib*.alt.so* "$toolkit"/lib/libnvblas.so* "$toolkit"/lib/libnvvm.so*

# Linkers look for names without a version, other tools for lib64.
for library in "$toolkit"/lib/lib*.so.*; do
  name=$(basename "$library")
  ln -sfn "$name" "$toolkit/lib/${name%%.so.*}.so"
done
ln -sfn lib "$toolkit/lib64"

# The driver's library comes with the driver, which a machine that only compiles does not have. To link, its names are
# enough: those that cuda.h tells, as functions that do nothing, under the name by which the real one is loaded.
stubs=$toolkit/lib/stubs
mkdir -p "$stubs"
grep -ohE '\bcu[A-Z][A-Za-z0-9_]*' "$toolkit/include/cuda.h" | sort -u | sed 's/.*/void &(void) {}/' >"$stubs/libcuda.c"
"${CC:-cc}" -w -fno-builtin -shared -Wl,-soname,libcuda.so.1 -o "$stubs/libcuda.so" "$stubs/libcuda.c"

# Tells a compiler that lacks a part from one that works, now and not after minutes of a build.
printf '#include <cuda_bf16.h>\n#include <cub/cub.cuh>\n__global__ void probe(float *x) { x[threadIdx.x] *= 2; }\n' >"$work/probe.cu"
"$toolkit/bin/nvcc" -std=c++17 -c "$work/probe.cu" -o "$work/probe.o"

mv "$toolkit" "$folder/toolkit"
rm -rf "$work"
