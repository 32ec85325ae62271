"""How far transformers in bf16 lies from transformers in f32 on the golden checkpoints: `python tools/gpu/theirs_golden.py tests/golden`.

The cases whose frames need no resize. The token ids and the golden values are those of cases.json; here only the model runs. One line
of JSON for each dtype: `golden`, the larger difference of the two answers' log-probabilities from the golden ones by number of the case, nats.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import Qwen3VLForConditionalGeneration

PATCH, MERGE = 16, 2


def patches(frames):
    """u8 (frames, rows, columns, 3) to (patches, 1536), as the processor lays them out (tests/golden/README.md)."""
    count, height, width, _ = frames.shape
    rows, columns, side = height // PATCH // MERGE, width // PATCH // MERGE, (MERGE, PATCH)
    cut = frames.reshape(count // 2, 2, rows, *side, columns, *side, 3).transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
    return torch.from_numpy((cut.reshape(-1, 3 * 2 * PATCH * PATCH) / 255 - 0.5) / 0.5).float()


def video(folder, case):
    frames = [np.asarray(Image.open(folder / f"frames/{case['frames_set']}/{index}.png").convert("RGB")) for index in range(case["n_frames"])]
    return np.stack(frames + frames[-1:] * (len(frames) % 2))


def log_probs(model, ids, pixels, grid, video_token):
    token = torch.tensor([ids], device=model.device)
    # What kind of token each is: asked for by transformers 5, unknown to 4.
    kinds = {"mm_token_type_ids": 2 * (token == video_token).long()}
    inputs = dict(
        input_ids=token, attention_mask=torch.ones_like(token), pixel_values_videos=pixels.to(model.device, model.dtype),
        video_grid_thw=torch.tensor([grid], device=model.device), use_cache=False, logits_to_keep=1,
    )  # fmt: skip
    try:
        logits = model(**inputs, **kinds).logits
    except (TypeError, ValueError):
        logits = model(**inputs).logits
    return torch.log_softmax(logits[0, -1].double(), dim=-1)


def answers(folder, template):
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    return [vocabulary[("" if template else "Ġ") + word] for word in ("True", "False")]


def differences(folder, cases, dtype, device):
    models = {}
    for number, case in cases:
        name = case["checkpoint"]
        if name not in models:
            models[name] = Qwen3VLForConditionalGeneration.from_pretrained(folder / name, dtype=dtype, attn_implementation="sdpa").to(device).eval()
        model = models[name]
        found = log_probs(model, case["input_ids"], patches(video(folder, case)), case["grid"], model.config.video_token_id)
        true_id, false_id = answers(folder / name, case["template"])
        off = (found[true_id] - case["log_prob_true"], found[false_id] - case["log_prob_false"])
        yield number, max(abs(value.item()) for value in off)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    cases = list(enumerate(json.loads((options.folder / "cases.json").read_text())))
    cases = [(number, case) for number, case in cases if case["frames_set"] == "aligned" and case["size"] == [96, 128]]
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            golden = dict(differences(options.folder, cases, dtype, options.device))
            print(json.dumps({"dtype": str(dtype).removeprefix("torch."), "golden": golden}), flush=True)


if __name__ == "__main__":
    main()
