"""The page that tools/gpu/check makes of what it found: `python tools/gpu/page.py results.json > docs/benchmarks_gpu.md`."""

import json
import sys
from pathlib import Path
from statistics import fmean, median
from textwrap import fill

LESS, MORE = "≤", "≥"


class Found:
    """The results with what is asked of them; None where a part is missing or failed."""

    def __init__(self, results):
        self.parts = results["parts"]

    def report(self, name, **wanted):
        reports = (self.parts.get(name) or {}).get("reports") or []
        return next((one for one in reports if all(one.get(key) == value for key, value in wanted.items())), None)

    def steps(self, name):
        report = self.report(name)
        return report["steps_s"] if report and len(report["steps_s"]) >= 4 else None

    def step_ms(self, name):
        """The fastest whole step of the first pairs behind the first one."""
        steps = self.steps(name)
        return 1e3 * min(steps[1:8]) if steps else None

    def theirs_ms(self, model, pixels):
        report = self.report(f"{model} transformers", size=pixels)
        return 1e3 * report["step_s"] if report else None

    def at(self, name, samples):
        """The median of up to twenty steps around so many samples, ms: a single one may have been disturbed."""
        steps, pair = self.steps(name), samples // 2
        return 1e3 * median(steps[max(1, pair - 10) : pair + 10]) if steps and len(steps) >= pair else None

    def worst(self, name, key, dtype, only=None):
        """The largest and the mean difference, nats."""
        report = self.report(name, dtype=dtype)
        if not report or key not in report:
            return None
        values = report[key]
        numbered = values if isinstance(values, dict) else {str(number): value for number, value in enumerate(values)}
        kept = [value for number, value in numbered.items() if only is None or number in only]
        return (max(kept), fmean(kept)) if kept else None

    def compared(self):
        """The golden cases that transformers was asked too."""
        report = self.report("golden, transformers", dtype="bfloat16")
        return set(report["golden"]) if report else None

    def within(self, dtype):
        """How many measures of the signal lie within the interval that they have with f32."""
        ours, exact = (self.parts.get(f"signal {name}") or {} for name in (dtype, "f32"))
        if "voc" not in ours or "voc" not in exact:
            return None
        return sum(exact[measure][1] <= ours[measure][0] <= exact[measure][2] for measure in ("voc", "auc"))

    def peak_gb(self, name):
        return (self.parts.get(name) or {}).get("peak_gb")

    def load_s(self, name):
        report = self.report(name)
        return report["load_s"] if report else None


def ratio(one, other):
    return None if one is None or other is None else one / other


def first(pair):
    return None if pair is None else pair[0]


def goals(found):
    """(what, relation, goal, measured)."""
    for model, pixels, most in (("8b", 224, 12), ("2b", 224, 6), ("2b", 448, 10)):
        ours, theirs = found.step_ms(f"{model} bf16 {pixels}"), found.theirs_ms(model, pixels)
        yield f"{model.upper()} bf16, {pixels} px, one step, ms", LESS, most, ours
        yield f"the same, times as fast as transformers bf16 sdpa ({show(theirs)} ms)", MORE, 4, ratio(theirs, ours)
    long = "8b bf16 224"
    yield "8B bf16: a step at sample 600 over sample 20", LESS, 1.3, ratio(found.at(long, 600), found.at(long, 20))
    steps = found.steps(long)
    yield "8B bf16: first pair over the second", LESS, 1.5, ratio(steps[0], steps[1]) if steps else None
    theirs = found.load_s("8b transformers")
    yield "8B bf16: loading from warm files, s (transformers' time is the goal)", LESS, theirs, found.load_s(long)
    for dtype, most in (("bf16", 20), ("q8", 12), ("q4", 8)):
        yield f"8B {dtype}: peak memory, 600 samples of 224 px, GB", LESS, most, found.peak_gb(f"8b {dtype} 224")
    yield "f32: distance from golden, nats", LESS, 1e-4, first(found.worst("golden", "golden", "f32"))
    cases = found.compared()
    theirs = found.worst("golden, transformers", "golden", "bfloat16")
    ours = found.worst("golden", "golden", "bf16", only=cases)
    yield "bf16: largest distance from golden, nats (that of transformers bf16 is the goal)", LESS, first(theirs), first(ours)
    yield "bf16: mean distance from golden, nats (likewise)", LESS, theirs and theirs[1], ours and ours[1]
    yield "bf16: cached against recomputed, golden checkpoints, nats", LESS, 0.02, first(found.worst("golden", "recomputed", "bf16"))
    for dtype in ("bf16", "q8", "q4"):
        yield f"signal by {dtype}: how many of VOC and AUC lie within the intervals of f32", MORE, 2, found.within(dtype)


def show(value):
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:.2e}" if 0 < abs(value) < 0.01 else f"{value:.4g}" if abs(value) >= 10 else f"{value:.3g}"


def verdict(relation, goal, measured):
    if goal is None or measured is None:
        return "not measured"
    return "yes" if (measured <= goal if relation == LESS else measured >= goal) else "**no**"


def rows(head, lines):
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    yield from ("| " + " | ".join(show(cell) for cell in line) + " |" for line in lines)


def step_lines(found):
    for name, part in found.parts.items():
        for report in part.get("reports") or []:
            parts = [report.get(key) for key in ("vision_s_per_pair", "language_s", "question_s")]
            if parts[1] is None:
                continue
            model, dtype = name.split()[:2]
            steps = report.get("steps_s")
            whole = 1e3 * (report["step_s"] if steps is None else min(steps[1:8]))
            millis = [None if part_s is None else 1e3 * part_s for part_s in parts]
            yield [model.upper(), dtype if steps else "transformers bf16", report["size"], whole, *millis, report["load_s"], part.get("peak_gb")]


def golden_lines(found):
    for part, name in (("golden", ""), ("golden, transformers", "transformers ")):
        for report in (found.parts.get(part) or {}).get("reports") or []:
            if "error" in report:
                yield [name + report["dtype"], report["error"], None, None]
                continue
            worst, mean = found.worst(part, "golden", report["dtype"])
            yield [name + report["dtype"], worst, mean, first(found.worst(part, "recomputed", report["dtype"]))]


def signal_lines(found):
    for name, part in found.parts.items():
        if name.startswith("signal") and "voc" in part:
            cells = ["{:.3f} [{:.3f}, {:.3f}]".format(*part[measure]) for measure in ("voc", "auc")]
            yield [name.removeprefix("signal "), part["episodes"], *cells, part["from_f32"]]


HEAD = """# Benchmarks on a GPU

Written by `./dev bench --device cuda` (tools/gpu/check): random weights in the shapes of the models. A step is a pair
of frames through the vision tower, and it and the question through the language model; ours is timed by the wall from
the frames in memory to the score, that of transformers is its two models alone. The fastest of the runs counts. Memory
is what nvidia-smi shows beyond what was in use before.
"""


def section(told, head, lines):
    """A table with what is said of it; nothing where the table would be empty."""
    lines = list(lines)
    return ["", told, "", *rows(head, lines)] if lines else []


def page(results):
    found, machine = Found(results), results["machine"]
    told = (machine["card"] or "no GPU", machine["processor"], machine["versions"], machine["date"])
    lines = [HEAD, fill(", ".join(text for text in told if text) + ".", 118)]
    asked = ([what, f"{relation} {show(goal)}", value, verdict(relation, goal, value)] for what, relation, goal, value in goals(found))
    lines += section("## Goals", ["goal", "", "measured", "met"], asked)
    lines += section(
        "## Steps", ["model", "weights", "px", "step, ms", "vision", "pair and question", "question", "load, s", "peak, GB"], step_lines(found)
    )
    told = "Distance of log p from transformers in f32 on tests/golden, nats; the last column is a growing cache against a full recompute."
    told = "## Correctness\n\n" + fill(told, 118)
    lines += section(told, ["weights", "largest", "mean", "cached, recomputed"], golden_lines(found))
    told = "## Signal\n\nThe embedded model on its recorded episodes, with 95 % bootstrap intervals."
    lines += section(told, ["weights", "episodes", "VOC of successes", "success AUC", "log p from f32, largest"], signal_lines(found))
    kernels = (found.parts.get("kernels") or {}).get("text", "")
    lines += ["\n" + fill(f"Kernels against their references: {line.strip()}", 118) for line in kernels.splitlines() if line.startswith("test result")]
    failed = {name: part["failed"] for name, part in found.parts.items() if part.get("failed")}
    if failed:
        lines += ["", "## Failed or left out", "", *(f"- {name}: {reason}" for name, reason in failed.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1]).read_text())), end="")
