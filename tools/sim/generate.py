"""Render a split of episodes: `python tools/sim/generate.py train OUT --episodes 2600 --seconds 2100`.

train, train-border, train-edge: 5 Hz, pictures as the engine's processor resizes them (128 high, 160 wide), one .npy each.
held-out, held-out-border, calibration, calibration-border: 5 Hz and every half second besides, 320x240 JPEG, one third with
distractors, from seeds of their own. "border": stops, drops and misplaced blocks close to success; "edge": mostly blocks on the ring's edge.
Every episode NAME.npz holds state, labels and setup. Two workers share the seeds by parity; a rerun goes on where it stopped.
"""

import argparse
import io
import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
from PIL import Image

FIRST_SEED = {
    "train": 100_000, "train-border": 300_000, "train-edge": 400_000, "calibration": 500_000, "calibration-border": 600_000, "held-out": 900_000,
    "held-out-border": 970_000,
}  # fmt: skip
TRAIN_SIZE = (160, 128)
WORKERS = 2


def jpeg(picture, quality):
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "jpeg", quality=quality)
    return out.getvalue()


def describe(episode):
    setup = episode.setup
    return json.dumps({
        "seed": setup.seed, "kind": setup.kind, "success": episode.success, "colour": setup.colour, "instruction": setup.instruction,
        "distractors": [[colour, *map(float, xy)] for colour, xy in setup.distractors], "goal": [float(x) for x in setup.goal],
    })  # fmt: skip


def save(episode, path, split):
    state = dict(
        gripper=episode.gripper, block=episode.block, opening=episode.opening, progress=episode.progress, times=episode.times, setup=describe(episode)
    )
    if split.startswith("train"):
        small = [np.asarray(Image.fromarray(f).resize(TRAIN_SIZE, Image.Resampling.BICUBIC)) for f in episode.frames]
        np.save(path.with_suffix(".npy"), np.stack(small))
    else:
        packed = [jpeg(frame, 95) for frame in episode.frames]
        state["jpeg"] = np.frombuffer(b"".join(packed), np.uint8)
        state["jpeg_length"] = np.array([len(p) for p in packed])
    np.savez(path.with_suffix(".npz"), **state)


def held_out_episode(simulator, seed, index):
    """A script may fail by chance; a held-out episode must be what its kind says, so take the next seed then."""
    distractor_share = 1.0 if index % 3 == 0 else 0.0
    for attempt in range(20):
        episode = simulator.run(seed + 10_000 * attempt, distractor_share=distractor_share, every=(2, 5), hold=(3, 16))
        if episode.success == (episode.setup.kind == "success"):
            return episode
    raise RuntimeError(f"no faithful episode near seed {seed}")


def work(worker, split, out, episodes, deadline):
    from episode import BORDER, ORDINARY, TRAINING_BORDER, TRAINING_EDGE, Simulator
    from scene import Camera

    training = {"train-border": TRAINING_BORDER, "train-edge": TRAINING_EDGE}
    mix = training.get(split) or (BORDER if split.endswith("-border") else ORDINARY)
    simulator = Simulator(Camera(), mix)
    started = time.time()
    for count, index in enumerate(range(worker, episodes, WORKERS)):
        seed = FIRST_SEED[split] + index
        path = out / f"{seed:06d}"
        if path.with_suffix(".npz").exists():
            continue
        if time.time() > deadline:
            break
        if split.startswith("train"):
            episode = simulator.run(seed)
        else:
            episode = held_out_episode(simulator, seed, index)
        save(episode, path, split)
        if count % 25 == 0:
            pace = (time.time() - started) / (count + 1)
            print(f"worker {worker}: {count + 1} episodes, {pace:.2f} s each, last {episode.setup.kind}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", choices=FIRST_SEED)
    parser.add_argument("out", type=Path)
    parser.add_argument("--episodes", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after this time, however many there are")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    deadline = time.time() + options.seconds
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(w, options.split, options.out, options.episodes, deadline)) for w in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit("a worker failed")


if __name__ == "__main__":
    main()
