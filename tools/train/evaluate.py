"""Measure the model on held-out episodes: `python tools/train/evaluate.py EPISODES MODEL --topreward target/release/topreward`.

Without --topreward transformers scores instead of our engine. Prints a table; --out writes the figures as JSON.
"""

import argparse
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from prompt import COLOURS, instruction  # puts tools/sim on the path
from instructions import HELD_OUT
from scorers import Engine, Transformers

LENGTHS = (8, 16)  # pairs
LIVE_SPACING = 0.5
BARS = {"voc": 0.93, "auc": 0.97, "climb_mean": 0.15, "climb_p95": 0.4}


class HeldOut:
    def __init__(self, path):
        data = np.load(path)
        setup = json.loads(str(data["setup"]))
        ends = np.cumsum(data["jpeg_length"])
        self.pictures = [bytes(data["jpeg"][end - size : end]) for end, size in zip(ends, data["jpeg_length"], strict=True)]
        self.times = data["times"]
        self.seed, self.kind, self.success = setup["seed"], setup["kind"], setup["success"]
        self.colour, self.text = setup["colour"], setup["instruction"]
        self.distractors = [colour for colour, _, _ in setup["distractors"]]

    def at(self, moments):
        nearest = [int(np.abs(self.times - moment).argmin()) for moment in moments]
        return [np.asarray(Image.open(io.BytesIO(self.pictures[index]))) for index in nearest]


def even(curve):
    """The scores after whole pairs."""
    return np.array([value for frames, value in curve if frames % 2 == 0])


def last_frames(curve):
    """The success score when every frame is scored, as node and command line do: mean of the last three, odd prefixes too."""
    return float(np.mean([value for _, value in curve][-3:]))


def score(values):
    """The success score when whole pairs are scored: mean of the last three, which here span six frames."""
    return float(np.mean(values[-3:]))


def ranks(values):
    values = np.asarray(values, float)
    order = np.empty(len(values))
    order[np.argsort(values, kind="stable")] = np.arange(len(values))
    for value in np.unique(values):
        order[values == value] = order[values == value].mean()
    return order


def voc(values):
    """Spearman correlation of values and time; 0 for a constant."""
    if np.ptp(values) == 0:
        return 0.0
    return float(np.corrcoef(ranks(values), np.arange(len(values)))[0, 1])


def auc(positives, negatives):
    if not len(positives) or not len(negatives):
        return float("nan")
    above = np.subtract.outer(np.asarray(positives), np.asarray(negatives))
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


def examine(scorer, episode):
    """All curves of one episode."""
    rng = np.random.default_rng(episode.seed)
    absent = [colour for colour in COLOURS if colour not in [episode.colour, *episode.distractors]]
    wrong_colour = episode.distractors[0] if episode.distractors else str(rng.choice(absent))
    wrong, paraphrase = instruction(rng, wrong_colour), instruction(rng, episode.colour, HELD_OUT)
    result = {"episode": episode}
    for pairs in LENGTHS:
        moments = np.linspace(0, episode.times[-1], 2 * pairs)
        spacing, frames = moments[1], episode.at(moments)
        curve = scorer.curve(frames, spacing, episode.text)
        result[f"right{pairs}"], result[f"success{pairs}"] = even(curve), last_frames(curve)
        result[f"static{pairs}"] = even(scorer.curve(frames[:1] * len(frames), spacing, episode.text))
        if episode.success:
            result[f"wrong{pairs}"] = even(scorer.curve(frames, spacing, wrong))
            result[f"reversed{pairs}"] = even(scorer.curve(frames[::-1], spacing, episode.text))
        if pairs == LENGTHS[0]:
            result["paraphrase"] = even(scorer.curve(frames, spacing, paraphrase))
    live = episode.at(np.arange(0, episode.times[-1] + 1e-6, LIVE_SPACING))
    result["live"] = np.array([value for _, value in scorer.curve(live, LIVE_SPACING, episode.text)])
    return result


def figures_of(results, pairs):
    good = [r for r in results if r["episode"].success]
    bad = [r for r in results if not r["episode"].success]
    busy = [r for r in good if r["episode"].distractors]
    lone = [r for r in good if not r["episode"].distractors]
    right, wrong, static, back = (f"{name}{pairs}" for name in ("right", "wrong", "static", "reversed"))
    climb = np.abs([r[static][-1] - r[static][0] for r in results])
    final = lambda rows, name: [score(r[name]) for r in rows]  # noqa: E731
    ends = lambda rows: [r[f"success{pairs}"] for r in rows]  # noqa: E731
    return {
        "voc": np.mean([voc(r[right]) for r in good]),
        "voc_median": np.median([voc(r[right]) for r in good]),
        "voc_alone": np.mean([voc(r[right]) for r in lone]),
        "voc_distractors": np.mean([voc(r[right]) for r in busy]),
        "voc_reversed": np.mean([voc(r[back]) for r in good]),
        "auc_success": auc(ends(good), ends(bad)),
        "auc_success_pairs": auc(final(good, right), final(bad, right)),
        "auc_success_alone": auc(ends(lone), ends([r for r in bad if not r["episode"].distractors])),
        "auc_success_distractors": auc(ends(busy), ends([r for r in bad if r["episode"].distractors])),
        "auc_instruction": auc(final(good, right), final(good, wrong)),
        "auc_instruction_alone": auc(final(lone, right), final(lone, wrong)),
        "auc_instruction_distractors": auc(final(busy, right), final(busy, wrong)),
        "climb_mean": climb.mean(),
        "climb_p95": np.quantile(climb, 0.95),
        "climb_of_successes": np.mean([r[right][-1] - r[right][0] for r in good]),
    }


def by_kind(results):
    good = [r["success8"] for r in results if r["episode"].success]
    table = {}
    for kind in sorted({r["episode"].kind for r in results}):
        rows = [r for r in results if r["episode"].kind == kind]
        scores = [r["success8"] for r in rows]
        table[kind] = {"episodes": len(rows), "score_mean": np.mean(scores), "score_std": np.std(scores), "auc": auc(good, scores)}
    return table


def live_figures(results):
    """What a node sees: two frames a second, a score with each, success when the mean of three is above a threshold at any time."""

    def best(row):
        values = row["live"]
        return max(np.mean(values[end - 3 : end]) for end in range(3, len(values) + 1))

    good = np.array([best(r) for r in results if r["episode"].success])
    bad = np.array([best(r) for r in results if not r["episode"].success])
    candidates = np.unique(np.concatenate([good, bad]))
    middles = (candidates[1:] + candidates[:-1]) / 2
    errors = [(np.mean(bad > t) + np.mean(good <= t), -abs(t - np.median(middles)), t) for t in middles]
    threshold = min(errors, key=lambda e: e[0])[2]
    ends = [score(r["live"]) for r in results if r["episode"].success], [score(r["live"]) for r in results if not r["episode"].success]
    return {
        "voc": np.mean([voc(even_live(r)) for r in results if r["episode"].success]),
        "auc_at_end": auc(*ends),
        "auc_any_time": auc(good, bad),
        "threshold": threshold,
        "false_positives": np.mean(bad > threshold),
        "false_negatives": np.mean(good <= threshold),
        "score_of_successes_p5_p50": np.quantile(good, [0.05, 0.5]).tolist(),
        "score_of_failures_p50_p95": np.quantile(bad, [0.5, 0.95]).tolist(),
        "pairs_min_max": [int(min(len(r["live"]) for r in results)) // 2, int(max(len(r["live"]) for r in results)) // 2],
    }


def even_live(row):
    return row["live"][1::2] if row["odd_too"] else row["live"]


def collect(results):
    good = [r for r in results if r["episode"].success]
    bad = [r for r in results if not r["episode"].success]
    figures = {
        "episodes": len(results), "successes": len(good), "with_distractors": sum(bool(r["episode"].distractors) for r in results),
        **{f"{pairs}_pairs": figures_of(results, pairs) for pairs in LENGTHS},
        "paraphrase": {
            "voc": np.mean([voc(r["paraphrase"]) for r in good]),
            "auc_success_pairs": auc([score(r["paraphrase"]) for r in good], [score(r["paraphrase"]) for r in bad]),
        },
        "kinds": by_kind(results),
        "live": live_figures(results),
    }  # fmt: skip
    return json.loads(json.dumps(figures, default=float), parse_float=lambda text: round(float(text), 4))


def met(block):
    return {
        "voc": block["voc"] >= BARS["voc"], "auc_success": block["auc_success"] >= BARS["auc"],
        "auc_instruction": block["auc_instruction"] >= BARS["auc"], "climb_mean": block["climb_mean"] <= BARS["climb_mean"],
        "climb_p95": block["climb_p95"] <= BARS["climb_p95"],
    }  # fmt: skip


def show(figures):
    print(f"{figures['episodes']} episodes, {figures['successes']} successes, {figures['with_distractors']} with distractors")
    blocks = [figures[f"{pairs}_pairs"] for pairs in LENGTHS]
    print(f"{'':30}" + "".join(f"{pairs:>5} pairs" for pairs in LENGTHS))
    for name in blocks[0]:
        marks = ["" if name not in met(block) else " ok" if met(block)[name] else " MISSED" for block in blocks]
        print(f"{name:30}" + "".join(f"{block[name]:>11.3f}{mark}" for block, mark in zip(blocks, marks, strict=True)))
    for name in ("paraphrase", "live"):
        print(name, figures[name])
    for kind, row in figures["kinds"].items():
        print(f"{kind:12}{row['episodes']:4}  score {row['score_mean']:6.2f} sd {row['score_std']:5.2f}  auc against successes {row['auc']:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("episodes", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--topreward", type=Path, help="the engine's binary")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    episodes = [HeldOut(path) for path in sorted(options.episodes.glob("*.npz"))[: options.limit]]
    scorer = Engine(options.topreward, options.model) if options.topreward else Transformers(options.model)
    with ThreadPoolExecutor(options.jobs if options.topreward else 1) as pool:
        results = list(pool.map(lambda episode: examine(scorer, episode), episodes))
    for result in results:
        result["odd_too"] = options.topreward is not None
    figures = {"scored_by": "topreward" if options.topreward else "transformers", **collect(results)}
    show(figures)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2) + "\n")
    missed = [f"{pairs} pairs: {name}" for pairs in LENGTHS for name, ok in met(figures[f"{pairs}_pairs"]).items() if not ok]
    print("bars: all met" if not missed else f"bars missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
