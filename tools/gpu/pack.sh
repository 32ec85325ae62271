#!/usr/bin/env bash
# Compiles what tools/gpu/check runs and gathers it, also for a machine that has no compiler.
# usage: pack.sh FOLDER [--archive]    (with FOLDER.tar.xz beside it; CUDA_HOME, CUDA_COMPUTE_CAP and the path as `./dev build --cuda` sets them)
set -euo pipefail
folder=$1
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

features=${FEATURES-cuda}
built() { # cargo's arguments; prints NAME<tab>FILE for each program that they make
  cargo "$@" --locked --features "$features" --message-format=json-render-diagnostics | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable"):
        print(message["target"]["name"], message["executable"], sep="\t")'
}

rm -rf "$folder"
mkdir -p "$folder"
{
  built build --release --bin topreward
  built bench --no-run --bench live --bench agreement
  built test --release --no-run --lib | sed 's/^topreward\t/kernels\t/'
} | while IFS=$'\t' read -r name file; do
  strip -s -o "$folder/$name" "$file"
done
for name in topreward live agreement kernels; do
  [ -x "$folder/$name" ] || { echo "pack.sh: cargo made no $name" >&2; exit 1; }
done
if [ "${2:-}" = --archive ]; then
  # The programs are alike: a window as large as all of them together.
  tar -C "$(dirname "$folder")" -cf - "$(basename "$folder")" | xz -T1 -9 --lzma2=preset=9,dict=256MiB >"$folder.tar.xz"
fi
du -sh "$folder"*
