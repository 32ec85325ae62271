"""Make a data set for `topreward eval` and `calibrate`: `python tools/sim/manifest.py data/held-out data/set --fps 2`.

From the held-out episodes of generate.py: a folder of JPEG frames each and manifest.jsonl. Only frames that lie exactly on the
rate are taken (held-out has 5 and 2 a second). The wrong instruction of a success names another block: one in the picture where
there is one. completed_s is when the block lay at the goal, let go, and stayed there; progress is the simulator's own.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from instructions import instruction

RELEASED = 0.85  # progress from which the block lies at the goal and the jaw is open


def read_setup(path):
    return json.loads(str(np.load(path)["setup"]))


def indices(times, fps):
    """The frames at 0, 1/fps, 2/fps, ... seconds."""
    moments = np.arange(int(np.floor(times[-1] * fps + 1e-6)) + 1) / fps
    nearest = [int(np.abs(times - moment).argmin()) for moment in moments]
    off = np.abs(times[nearest] - moments).max()
    if off > 1e-3:
        raise SystemExit(f"{fps} frames a second are not in the recording: one is {off:.3f} s away")
    return nearest


def wrong_instruction(setup, colours):
    rng = np.random.default_rng(setup["seed"])
    others = [colour for colour, *_ in setup["distractors"]]
    absent = [colour for colour in colours if colour != setup["colour"]]
    return instruction(rng, others[0] if others else str(rng.choice(absent)))


def completed(times, progress):
    """When the block was let go at the goal for good."""
    behind = np.flatnonzero(progress < RELEASED)
    first = 0 if not len(behind) else behind[-1] + 1
    return None if first >= len(times) else round(float(times[first]), 3)


def convert(path, out, fps, tail_s, colours):
    data = np.load(path)
    setup = read_setup(path)
    ends = np.cumsum(data["jpeg_length"])
    folder = out / path.stem
    folder.mkdir(parents=True, exist_ok=True)
    shown = indices(data["times"], fps)
    shown += shown[-1:] * round(tail_s * fps)
    for number, index in enumerate(shown):
        begin = ends[index] - data["jpeg_length"][index]
        (folder / f"{number:04}.jpg").write_bytes(bytes(data["jpeg"][begin : ends[index]]))
    line = {
        "episode": path.stem, "fps": fps, "instruction": setup["instruction"], "success": setup["success"], "group": setup["kind"],
        "progress": [round(float(data["progress"][index]), 4) for index in shown],
    }  # fmt: skip
    if setup["success"]:
        line |= {"wrong_instruction": wrong_instruction(setup, colours), "completed_s": completed(data["times"], data["progress"])}
    return line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("episodes", type=Path, nargs="+", help="folders of generate.py")
    parser.add_argument("out", type=Path)
    parser.add_argument("--fps", type=float, default=2)
    parser.add_argument("--tail", type=float, default=0, help="seconds for which the robot stands still at the end (the last frame repeated)")
    options = parser.parse_args()
    paths = sorted(path for folder in options.episodes for path in folder.glob("*.npz"))
    colours = sorted({read_setup(path)["colour"] for path in paths})
    lines = [convert(path, options.out, options.fps, options.tail, colours) for path in paths]
    (options.out / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(f"{len(lines)} episodes, {sum(line['success'] for line in lines)} successes")


if __name__ == "__main__":
    main()
