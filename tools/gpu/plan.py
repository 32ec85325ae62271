"""The parts of tools/gpu/check, in the order in which they run: what must be known first comes first."""

import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
QUESTION = 39  # tokens of the question with tools/gpu/make_tokenizer.py, and with Qwen's own
LONG = 300  # pairs: 600 samples
SHORT = 20
GIGABYTES = {"8b": 17.6, "2b": 4.3, "tiny": 0.3}  # of a checkpoint
# What ours is run with: model, dtype, pixels of a frame's side, pairs, seconds at most.
OURS = [
    ("8b", "bf16", 224, LONG, 70), ("2b", "bf16", 224, SHORT, 40), ("2b", "bf16", 448, SHORT, 40), ("2b", "f32", 224, SHORT, 40),
    ("8b", "q8", 224, LONG, 90), ("8b", "q4", 224, LONG, 90),
    ("tiny", "auto", 64, SHORT, 40), ("tiny", "q8", 64, SHORT, 40), ("tiny", "q4", 64, SHORT, 40),
]  # fmt: skip
THEIRS = [("8b", (224,), 70), ("2b", (224, 448), 60), ("tiny", (64,), 60)]
SIGNAL_DTYPES = ("f32", "bf16", "q8", "q4")
GOLDEN_DTYPES = ("f32", "bf16", "f16", "q8", "q4")
ON_THE_PROCESSOR = {"f32", "q8", "q4", "auto"}


@dataclass
class Part:
    name: str
    command: list
    seconds: int
    model: str = ""  # whose random weights it needs
    memory: bool = False  # whether the GPU's memory is watched


def with_tokens(pixels):
    """Tokens of a pair: a token for 32x32 pixels, the time stamp, and the ends of the video."""
    return f"{pixels}:{(pixels // 32) ** 2 + 8}:{QUESTION}"


def correctness(programs, device, dtypes):
    golden = ROOT / "tests/golden"
    yield Part("starts", [programs / "topreward", "--version"], 20)
    if device != "cpu":
        yield Part("kernels", [programs / "kernels", "cuda", "--test-threads=1"], 60)
    yield Part("golden", [programs / "agreement", golden, "--device", device, "--dtype", ",".join(dtypes(GOLDEN_DTYPES))], 80)
    yield Part("golden, transformers", [sys.executable, HERE / "theirs_golden.py", golden, "--device", device], 80)
    model = ["--model", ROOT / "models/so101-sim", "--config", ROOT / "config/so101_sim.yaml", "--max-pixels", "24576"]
    for dtype in dtypes(SIGNAL_DTYPES):
        bags = ["--bag", *sorted((ROOT / "models/so101-sim/episodes").glob("*.mcap"))]
        yield Part(f"signal {dtype}", [programs / "topreward", "score", *model, "--device", device, "--dtype", dtype, "--json", *bags], 40)


def speed(programs, device, models, work):
    """Ours and transformers of one model stand beside each other, so that a run that is cut short has whole rows."""
    ours = [
        Part(
            f"{model} {dtype} {pixels}",
            [programs / "live", work / model, "--device", device, "--dtype", dtype, "--size", pixels, "--pairs", pairs],
            seconds, model, memory=True,
        )
        for model, dtype, pixels, pairs, seconds in OURS
        if model in models and (device != "cpu" or dtype in ON_THE_PROCESSOR)
    ]  # fmt: skip
    theirs = {
        model: Part(
            f"{model} transformers",
            [sys.executable, HERE / "theirs.py", work / model, "--device", device]
            + [part for pixels in sizes for part in ("--shape", with_tokens(pixels))],
            seconds, model, memory=True,
        )
        for model, sizes, seconds in THEIRS
        if model in models
    }  # fmt: skip
    for part in ours:
        yield part
        if part.model in theirs:
            yield theirs.pop(part.model)


def parts(programs, device, models, work):
    dtypes = lambda names: [name for name in names if device != "cpu" or name in ON_THE_PROCESSOR]  # noqa: E731
    return [*correctness(programs, device, dtypes), *speed(programs, device, models, work)]


def preparation(device, models, work):
    """Commands that make the tokenizer and each model's random weights, by what they make."""
    yield "tokenizer", [sys.executable, HERE / "make_tokenizer.py", work / "tokenizer"]
    for model in models:
        make = [sys.executable, ROOT / "tools/bench/make_checkpoint.py", model, work / model, "--device", device]
        yield model, [*make, "--tokenizer", work / "tokenizer"]
