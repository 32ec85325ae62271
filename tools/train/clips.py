"""Training clips: which frames, in which order, at which times, and what is true of them."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from prompt import COLOURS, instruction  # puts tools/sim on the path
from progress import is_held, progress

# Target P(True) at these progresses, straight lines between. The last part is steep: a robot is reset on it, and a block that lies in
# the ring with the open jaw still around it (.85) must be far from success in nats, not 0.15 below it.
MILESTONES, ANSWERS = (0, 0.85, 1), (0.05, 0.6, 0.95)
# The same for the edge of the ring: success ends where the block lies 30 mm from its centre, and a picture does not show millimetres.
# From 15 mm on a block that lies there is less and less of a success; metres, and the most that P(True) may be. (A block that the
# script sets down lies within 10 mm.)
WARY, MOST = (0.015, 0.03), (0.95, 0.4)
STATE, FLAGS, PRESENCE, PLACES = 8, 3, len(COLOURS), 3 * len(COLOURS)
AUXILIARY = STATE + PRESENCE + PLACES + len(COLOURS)
ANYWHERE = 3  # pairs; clips this short come from anywhere in an episode
NOISE = np.random.default_rng(3).normal(0, 1, 1 << 22).astype(np.float32)


class Episode:
    """One rendered episode; frames stay on disk until they are read."""

    def __init__(self, path):
        data = np.load(path)
        setup = json.loads(str(data["setup"]))
        self.frames = np.load(path.with_suffix(".npy"), mmap_mode="r")
        self.kind, self.success = setup["kind"], setup["success"]
        self.rate = 1 / (data["times"][1] - data["times"][0])
        self.colour = setup["colour"]
        self.distractors = {colour: (x, y, 0.02) for colour, x, y in setup["distractors"]}
        self.gripper, self.block, self.opening = data["gripper"], data["block"], data["opening"]
        self.goal = np.array(setup["goal"])
        self.length = len(self.frames)
        # Progress of every colour's block, whoever it was meant for: absent colours stay at zero.
        self.progress = np.zeros((self.length, len(COLOURS)), np.float32)
        self.answer = np.full((self.length, len(COLOURS)), ANSWERS[0])  # P(True) of the instruction that names the colour
        self.places = np.zeros((self.length, len(COLOURS), 3), np.float32)
        self.present = np.zeros(len(COLOURS), np.float32)
        for colour, place in {self.colour: self.block, **self.distractors}.items():
            index = COLOURS.index(colour)
            place = np.broadcast_to(np.asarray(place, float), self.block.shape)
            self.progress[:, index] = progress(self.gripper, place, self.goal, self.opening)
            self.places[:, index], self.present[index] = place, 1
            away = np.linalg.norm(place[:, :2] - self.goal[:2], axis=1)
            self.answer[:, index] = np.minimum(np.interp(self.progress[:, index], MILESTONES, ANSWERS), np.interp(away, WARY, MOST))

    def auxiliary(self, index, mirrored):
        """State of frames for the auxiliary heads, about unit scale: (state, presence, places, progress)."""
        gripper, goal, places = self.gripper[index].copy(), np.repeat(self.goal[None], len(index), 0), self.places[index].copy()
        if mirrored:
            gripper[:, 1] *= -1
            goal[:, 1] *= -1
            places[:, :, 1] *= -1
        opening, block = self.opening[index], self.block[index]
        held = is_held(self.gripper[index], block, opening)
        flags = np.stack([opening, held, block[:, 2] > 0.024], 1)
        centre = np.array([0.22, 0, 0.06])
        state = np.concatenate([(gripper - centre) / 0.07, (goal - centre)[:, :2] / 0.07, flags], 1)
        present = np.repeat(self.present[None], len(index), 0)
        return np.concatenate([state, present, ((places - centre) / 0.07).reshape(len(index), -1), self.progress[index]], 1).astype(np.float32)


def load(folder, limit=None):
    return [Episode(path) for path in sorted(Path(folder).glob("*.npz"))[:limit]]


@dataclass
class Clip:
    frames: np.ndarray  # float32 (2 * pairs, H, W, 3), 0..255
    times: list  # seconds of each pair
    asked: list  # (pairs, [instruction, ...])
    targets: np.ndarray  # P(True) of each question, in that order
    auxiliary: np.ndarray  # (pairs, AUXILIARY)
    still: bool  # every frame is the same, and every prefix was asked the same


def choose_frames(rng, episode, pairs):
    """Frame indices (2 * pairs) and the time between two of them."""
    count, last, rate = 2 * pairs, episode.length - 1, episode.rate
    steps = np.arange(count)
    if rng.random() < 0.14:  # nothing moves
        still = rng.integers(0, max(1, episode.length // 3)) if rng.random() < 0.6 else rng.integers(0, episode.length)
        return np.full(count, still), rng.choice([0.2, 0.3, 0.5, 0.5, 0.5, 1.0])
    mode = rng.random()
    if pairs <= ANYWHERE:
        start, spacing = rng.integers(0, episode.length), rng.choice([0.2, 0.3, 0.5, 0.5, 0.5, 1.0])
        index = start + (steps - rng.integers(0, count)) * spacing * rate
    elif mode < 0.5:  # the live schedule: two frames a second from somewhere near the start
        start = 0 if rng.random() < 0.6 else rng.integers(0, max(1, episode.length // 2))
        index, spacing = start + steps * rate / 2, 0.5
    elif mode < 0.85:  # the whole episode, evenly
        start = 0 if rng.random() < 0.7 else rng.integers(0, max(1, episode.length // 3))
        end = last if rng.random() < 0.7 else rng.integers(min(start + 8, last), last + 1)
        index, spacing = np.linspace(start, end, count), (end - start) / rate / (count - 1)
    else:
        start, spacing = rng.integers(0, max(1, episode.length // 2)), rng.choice([0.2, 0.3, 0.4, 0.6, 0.8, 1.0])
        index = start + steps * spacing * rate
    if rng.random() < 0.4:
        index = np.sort(index + rng.uniform(-0.6, 0.6, count))
    index = np.clip(np.round(index), 0, last).astype(int)
    if rng.random() < 0.05:  # the robot stops
        index = np.minimum(index, index[rng.integers(0, count)])
    if rng.random() < 0.1:  # time runs backwards
        index = index[::-1].copy()
    return index, max(spacing, 0.05)


def photographed(rng, frames):
    """Exposure, tint, sensor noise, and for some clips JPEG."""
    frames = frames.astype(np.float32)
    gain = np.float32(rng.uniform(0.85, 1.15))
    frames = frames * gain + (110 * (1 - gain) + rng.uniform(-15, 15) + rng.uniform(-6, 6, 3)).astype(np.float32)
    start = rng.integers(0, NOISE.size - frames.size)
    frames += rng.choice([0.5, 2.0, 4.0]).astype(np.float32) * NOISE[start : start + frames.size].reshape(frames.shape)
    np.clip(frames, 0, 255, out=frames)
    if rng.random() < 0.2:
        quality = int(rng.integers(60, 95))
        for index, frame in enumerate(frames):
            packed = io.BytesIO()
            Image.fromarray(frame.astype(np.uint8)).save(packed, "jpeg", quality=quality)
            frames[index] = np.asarray(Image.open(packed))
    return frames


def resized(frames, size):
    if frames.shape[1:3] == size:
        return frames
    return np.stack([np.asarray(Image.fromarray(f).resize(size[::-1], Image.Resampling.BICUBIC)) for f in frames])


def wordings(rng, episode):
    """The right instruction and wrong ones, as (text, colour)."""
    present = [episode.colour, *episode.distractors]
    absent = [colour for colour in COLOURS if colour not in present]
    colours = [*present]
    if not episode.distractors or rng.random() < 0.4:
        colours.append(str(rng.choice(absent)))
    for colour in colours[:3]:
        unnamed = not episode.distractors and colour == episode.colour and rng.random() < 0.1
        yield instruction(rng, "" if unnamed else colour), colour


def questions(rng, episode, answer_now, prefixes, still):
    """For every asked prefix the instructions, with their target P(True); the same ones all along where nothing moves."""
    asked, targets = [], []
    texts = list(wordings(rng, episode))
    for pairs in prefixes:
        if not still:
            texts = list(wordings(rng, episode))
        asked.append((pairs, [text for text, _ in texts]))
        targets += [answer_now[pairs - 1, COLOURS.index(colour)] for _, colour in texts]
    return asked, np.array(targets, np.float32)


def sample(rng, episode, pairs, size, prefixes):
    """One augmented clip of `pairs` pairs at `size` (height, width), asked at `prefixes` prefixes, the whole among them."""
    index, spacing = choose_frames(rng, episode, pairs)
    times = np.arange(2 * pairs) * spacing
    if rng.random() < 0.15:  # an odd last frame is shown twice
        index[-1], times[-1] = index[-2], times[-2]
    mirrored = rng.random() < 0.5
    frames = resized(episode.frames[index], size)
    if mirrored:
        frames = frames[:, :, ::-1]
    seen = index[1::2]
    shorter = rng.choice(np.arange(1, pairs), min(prefixes - 1, pairs - 1), replace=False) if pairs > 1 else []
    still = bool((index == index[0]).all())
    asked, targets = questions(rng, episode, episode.answer[seen], [pairs, *map(int, shorter)], still)
    pair_times = [float(t) for t in (times[::2] + times[1::2]) / 2]
    return Clip(photographed(rng, frames), pair_times, asked, targets, episode.auxiliary(seen, mirrored), still)
