"""What one live step costs in transformers on a GPU, as a line of JSON for each frame size: bf16, sdpa.

`python tools/gpu/theirs.py FOLDER --shape 224:57:39 --shape 448:204:39`, a shape being pixels of a frame's side, tokens of a pair and of
a question. The step is that of tools/bench/hf.py: a pair through the vision tower, then the pair and a question behind the cache of
the pairs before. Positions and prompts do not change the cost.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from transformers import Qwen3VLForConditionalGeneration

sys.path.append(str(Path(__file__).parents[1] / "bench"))
from hf import Step, cached, fastest, settle  # noqa: E402

PAIRS = 4
ROUNDS = 2  # of all shapes; the first one warms up


def load(folder, device, dtype):
    """The model and the seconds until it is ready on the device."""
    torch.zeros(1, device=device)  # the driver's own start is no part of it
    settle()
    begun = time.perf_counter()
    kwargs = dict(dtype=dtype, attn_implementation="sdpa")
    try:
        model = Qwen3VLForConditionalGeneration.from_pretrained(folder, device_map=device, **kwargs)
    except (ImportError, ValueError):  # straight to the device needs the package accelerate
        model = Qwen3VLForConditionalGeneration.from_pretrained(folder, **kwargs).to(device)
    settle()
    return model.eval(), time.perf_counter() - begun


def step(model, pixels, pair, question, runs):
    side = pixels // 16
    patches = torch.randn(side * side, 1536).to(model.device, model.dtype)
    grid = torch.tensor([[1, side, side]], device=model.device)
    vision = fastest(lambda: model.model.visual(patches, grid_thw=grid), runs)
    language = Step(model, PAIRS * pair + question)
    both, alone = cached(language, (PAIRS - 1) * pair, pair, question, runs)
    return {"vision_s_per_pair": vision, "language_s": both, "question_s": alone, "step_s": vision + both}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--shape", action="append", required=True, help="PIXELS:PAIR:QUESTION")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    dtype = torch.float32 if options.device == "cpu" else torch.bfloat16
    model, load_s = load(options.folder, options.device, dtype)
    shapes = [tuple(map(int, shape.split(":"))) for shape in options.shape]
    with torch.inference_mode():
        rounds = [[step(model, *shape, options.runs) for shape in shapes] for _ in range(ROUNDS)]
    for (pixels, *_), found in zip(shapes, zip(*rounds, strict=True), strict=True):
        report = {"size": pixels, "dtype": str(dtype).removeprefix("torch."), "load_s": load_s}
        print(json.dumps(report | min(found, key=lambda one: one["step_s"])))


if __name__ == "__main__":
    main()
