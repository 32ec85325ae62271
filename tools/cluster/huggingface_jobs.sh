#!/usr/bin/env bash
# NOT RUN BY US but for `hf jobs run --dry-run` (hf 2.4.0): a recipe. Eight Jobs of Hugging Face score the parts of a
# data set of the hub into a bucket; then `topreward merge` brings them together here.
#
#   huggingface_jobs.sh IMAGE OWNER/DATASET OWNER/BUCKET [--dry-run]
#
# IMAGE is one that has topreward built with CUDA, its model's weights come from the hub. A Job that failed is started
# again with the same line; what it has scored is in the bucket.
set -euo pipefail
image=$1 data=$2 bucket=$3
shift 3
parts=8
for ((part = 0; part < parts; part++)); do
  hf jobs run --detach --flavor l4x1 --timeout 6h --secrets HF_TOKEN "$@" \
    --volume "hf://datasets/$data:/data" --volume "hf://buckets/$bucket:/results" "$image" \
    topreward score /data --model Qwen/Qwen3-VL-8B-Instruct --device cuda \
    --shard "$part/$parts" --out "/results/shards/$part" --resume
done
cat <<TEXT
When all have ended (hf jobs ps):
  hf sync hf://buckets/$bucket results
  topreward merge results/shards/* --out merged
TEXT
