"""Hours in which success must not be called: `python tools/sim/hour.py data/hours data/held-out`.

A data set for `topreward eval` of five groups, each an hour of episodes that end after 30 s as the node ends them:
idle       the arm stands still at the beginning
black      the camera sees nothing
frozen     the camera sends one picture again and again from some moment on, in a success before it is done
wrong      a success under another block's instruction, then the robot stands
failing    a failure, then the robot stands
Where a robot stands, the camera goes on: exposure drifts and the sensor is noisy. A frozen picture is the same to the last bit.
"""

import argparse
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from manifest import completed, indices, read_setup, wrong_instruction

FPS, SECONDS, HOUR = 2, 30, 3600
COUNT = FPS * SECONDS
JPEG_QUALITY = 90


class Recording:
    """The frames of one held-out episode at FPS, and what is known of it."""

    def __init__(self, path):
        data = np.load(path)
        ends = np.cumsum(data["jpeg_length"])
        self.name, self.setup = path.stem, read_setup(path)
        shown = indices(data["times"], FPS)
        packed = [bytes(data["jpeg"][ends[index] - data["jpeg_length"][index] : ends[index]]) for index in shown]
        self.frames = [np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in packed]
        self.success = self.setup["success"]
        done = completed(data["times"], data["progress"])
        self.undone = len(self.frames) if done is None else int(done * FPS)  # frames before it is done


def seen(rng, picture, moment):
    """A picture as a camera sees it after `moment` seconds more: its exposure drifts by some levels, its sensor is noisy."""
    drift = 4 * np.sin(2 * np.pi * (moment / 20 + rng.random() * 0.02))
    noise = rng.normal(drift, rng.uniform(0.5, 2.5), picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def standing(rng, picture, count):
    return [seen(rng, picture, index / FPS) for index in range(count)]


def idle(rng, recording):
    return standing(rng, recording.frames[0], COUNT)


def black(rng, recording):
    return standing(rng, np.zeros_like(recording.frames[0]), COUNT)


def frozen(rng, recording):
    stop = int(rng.integers(1, max(2, recording.undone)))
    return recording.frames[:stop] + recording.frames[stop - 1 : stop] * (COUNT - stop)


def then_standing(rng, recording):
    frames = recording.frames[:COUNT]
    return frames + standing(rng, frames[-1], COUNT - len(frames))


GROUPS = {
    "idle": (idle, lambda recording: True),
    "black": (black, lambda recording: True),
    "frozen": (frozen, lambda recording: recording.undone > 1),
    "wrong": (then_standing, lambda recording: recording.success),
    "failing": (then_standing, lambda recording: not recording.success),
}


def write(folder, frames):
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:04}.jpg", quality=JPEG_QUALITY)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("episodes", type=Path, nargs="+", help="folders of generate.py")
    options = parser.parse_args()
    recordings = [Recording(path) for folder in options.episodes for path in sorted(folder.glob("*.npz"))]
    colours = sorted({recording.setup["colour"] for recording in recordings})
    lines = []
    for group, (make, fits) in GROUPS.items():
        fitting = [recording for recording in recordings if fits(recording)]
        # Every failure; else an hour, from the beginning again with other dice where they do not fill it.
        for number in range(max(HOUR // SECONDS, len(fitting) if group == "failing" else 0)):
            recording, again = fitting[number % len(fitting)], number // len(fitting)
            name = f"{group}_{recording.name}" + (f"_{again}" if again else "")
            write(options.out / name, make(np.random.default_rng([recording.setup["seed"], again]), recording))
            text = wrong_instruction(recording.setup, colours) if group == "wrong" else recording.setup["instruction"]
            lines.append({"episode": name, "fps": FPS, "instruction": text, "success": False, "group": group})
    (options.out / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for group in GROUPS:
        print(f"{group}: {sum(line['group'] == group for line in lines) * SECONDS} s")


if __name__ == "__main__":
    main()
