#!/bin/sh
# Prints what kind of GPU to compile for: CUDA_COMPUTE_CAP, else the first card's of this machine. Fails with one line.
if [ -n "$CUDA_COMPUTE_CAP" ]; then
  echo "$CUDA_COMPUTE_CAP"
  exit
fi
found=$(nvidia-smi --id=0 --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | tr -d '. \n')
case $found in
  '' | *[!0-9]*)
    echo "no GPU here to compile for: set CUDA_COMPUTE_CAP to the kind it shall run on: 75 RTX 20, 80 A100, 86 RTX 30 and A6000, 87 Jetson Orin," \
      "89 RTX 40 and 6000 Ada, 90 H100 and H200, 110 Jetson Thor (101 with CUDA 12), 120 RTX 50 and PRO 6000" >&2
    exit 1 ;;
esac
echo "$found"
