"""What the embedded model's rewards on its recorded episodes are worth: VOC and success AUC, with intervals."""

import json
import random
from statistics import fmean

SAMPLES = 2000
LAST = 3  # rewards whose mean is an episode's score, as success.window


def episodes(text):
    """What `topreward score --json` printed, an episode a line."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def score(episode):
    return fmean(prefix["log_prob_true"] for prefix in episode["prefixes"][-LAST:])


def auc(successes, failures):
    """The share of pairs in which the success scores higher; ties count half."""
    pairs = [(one > other) + (one == other) / 2 for one in successes for other in failures]
    return fmean(pairs) if pairs else float("nan")


def interval(draw):
    """The middle 95 % of what bootstrap samples give."""
    values = sorted(draw() for _ in range(SAMPLES))
    return [values[round(0.025 * (SAMPLES - 1))], values[round(0.975 * (SAMPLES - 1))]]


def signal(text):
    """VOC of the successes and AUC of all, [value, low, high]; the recordings' names tell which succeeded."""
    found = episodes(text)
    by_outcome = {wanted: [one for one in found if ("success" in one["name"]) == wanted] for wanted in (True, False)}
    voc = [one["voc"] for one in by_outcome[True] if one["voc"] is not None]
    won, lost = ([score(one) for one in by_outcome[wanted]] for wanted in (True, False))
    rng = random.Random(0)
    again = lambda values: rng.choices(values, k=len(values))  # noqa: E731
    return {
        "episodes": len(found),
        "voc": [fmean(voc), *interval(lambda: fmean(again(voc)))],
        "auc": [auc(won, lost), *interval(lambda: auc(again(won), again(lost)))],
    }


def furthest(text, other):
    """The largest difference of two runs' log p(True) over all prefixes, nats."""
    pairs = zip(episodes(text), episodes(other), strict=True)
    both = [(one, two) for first, second in pairs for one, two in zip(first["prefixes"], second["prefixes"], strict=True)]
    return max(abs(one["log_prob_true"] - two["log_prob_true"]) for one, two in both)
