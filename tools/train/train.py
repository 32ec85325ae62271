"""Train the model: `python tools/train/train.py EPISODES OUT --vision-seconds 600 --seconds 3600`.

First the vision tower alone learns to tell the simulator's state from pairs of frames, then everything together learns
log p(" True") of many prefixes and instructions. Schedules follow the wall clock, so a busy machine trains less, not longer;
there, OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=1000 in the environment keeps the two threads from waiting in loops (README.md).

`--resume OUT/vision.pt` (or joint.pt) goes on from an earlier run; `--init FOLDER` starts from a Hugging Face folder of the same shape.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import clips
from export import export
from model import PATCH, TAIL, TAPS, Layout, Packed, build, patches, start_from
from muon import Muon
from prompt import COLOURS, Prompt, build_tokenizer

MAIN_SIZE = (128, 160)
OTHER_SIZES = [(96, 128), (128, 128)]
VISION_BATCH = 48
PAIRS_PER_BATCH = 36
MAX_PAIRS, LONGEST_PAIRS = 18, 31  # of most clips; of a quarter of them: what was never as long in training goes astray there
FIRST_LESSONS = (1, 3)  # most pairs of a clip, before all lengths come
LEARNED = 0.9  # agreement of the answers' log-odds that ends a lesson
SHARP = 0.2  # errors of places are linear above 14 mm: grasping is a matter of single centimetres


def tokens(size):
    return size[0] * size[1] // (2 * PATCH) ** 2


def read_out(width):
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, clips.AUXILIARY))


class Heads(nn.Module):
    """Throw-away read-outs of the simulator's state, which lead it step by step to where the answer is made: from every vision
    output, at each pair's end, at the end of the question's stem, and at the words before the answer. A single number as the only
    signal leaves the text model on a plateau for a thousand steps. `odds` reads the answer itself from those words.

    `pooled` reads the mean of a pair's tokens: what it can read, attention can fetch, which `vision` (all tokens side by side, learned
    sooner) does not promise."""

    def __init__(self, width, deepstacks):
        super().__init__()
        self.vision = nn.ModuleList(read_out(tokens(MAIN_SIZE) * width) for _ in range(1 + deepstacks))
        self.pooled = read_out(width)
        self.ends = nn.ModuleList(read_out(width) for _ in TAPS)
        self.stems = nn.ModuleList(read_out(width) for _ in TAPS)
        self.words = read_out(width)
        self.odds = nn.Linear(width, 1)

    def of_vision(self, merged, deep=()):
        """The state as read from the mean token, from all tokens, and from the DeepStack outputs."""
        beside = [head(x.view(-1, head[0].normalized_shape[0])) for head, x in zip(self.vision, [merged, *deep], strict=False)]
        return [self.pooled(merged.view(-1, tokens(MAIN_SIZE), merged.shape[-1]).mean(1)), *beside]


def state_loss(out, truth):
    sizes = [clips.STATE, clips.PRESENCE, clips.PLACES, len(COLOURS)]
    state, presence, places, progress = torch.split(out, sizes, 1)
    true_state, true_presence, true_places, true_progress = torch.split(truth, sizes, 1)
    miss = (places - true_places).view(-1, len(COLOURS), 3) * true_presence[..., None]
    place_loss = F.smooth_l1_loss(miss, torch.zeros_like(miss), reduction="sum", beta=SHARP) / (3 * true_presence.sum())
    flags = clips.FLAGS
    return (
        F.smooth_l1_loss(state[:, :-flags], true_state[:, :-flags], beta=SHARP)
        + F.smooth_l1_loss(state[:, -flags:], true_state[:, -flags:], beta=0.1)
        + F.binary_cross_entropy_with_logits(presence, true_presence)
        + place_loss
        + 4 * F.smooth_l1_loss(progress, true_progress, beta=0.1)
    )


def progress_agreement(out, truth):
    """Correlation of the progress read out and true, of the blocks in the picture: the part of the state that comes last."""
    present = truth[:, clips.STATE : clips.STATE + clips.PRESENCE] > 0.5
    colours = len(COLOURS)
    return correlation(out[:, -colours:][present], truth[:, -colours:][present])


def correlation(out, truth):
    return float(torch.corrcoef(torch.stack([out, truth]))[0, 1])


def answer_loss(logits, targets, prompt):
    """Cross-entropy over the whole vocabulary against the soft answer, and the distance of the log-odds."""
    log_p = F.log_softmax(logits, -1)
    cross = -(targets * log_p[:, prompt.true] + (1 - targets) * log_p[:, prompt.false]).mean()
    floor = -(targets * targets.log() + (1 - targets) * (1 - targets).log()).mean()
    odds = logits[:, prompt.true] - logits[:, prompt.false]
    return cross - floor, F.smooth_l1_loss(odds, torch.logit(targets)), odds


def drift_loss(logits, layouts, still, prompt):
    """Where nothing moves, the answer to a question must not depend on how many frames were shown: variance over the prefixes."""
    log_p = F.log_softmax(logits, -1)[:, prompt.true]
    spreads, first = [], 0
    for layout, is_still in zip(layouts, still, strict=True):
        last = first + len(layout.answers)
        if is_still and len(layout.asked) > 1:
            spreads.append(log_p[first:last].view(len(layout.asked), -1).var(0).mean())
        first = last
    return torch.stack(spreads).mean() if spreads else log_p.new_zeros(())


def optimisers(language, visual, heads, rate, vision_scale=1.0):
    """Muon for the blocks' matrices, AdamW for all else; `scale` is a group's share of the learning rate."""
    matrices, others = [], []
    for modules, scale in ((language, 1.0), (visual, vision_scale), (heads, 1.0)):
        hidden, rest, small = [], [], []
        for name, weight in modules.named_parameters():
            in_block = name.startswith(("layers.", "blocks.")) and weight.ndim == 2
            (hidden if in_block else rest if weight.ndim > 1 else small).append(weight)
        matrices.append(dict(params=hidden, weight_decay=0.05, scale=2.5 * scale))
        others += [dict(params=rest, weight_decay=0.05, scale=scale), dict(params=small, weight_decay=0.0, scale=scale)]
    matrices = [group for group in matrices if group["params"]]
    others = [group for group in others if group["params"]]
    return [Muon(matrices, lr=rate), torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98))]


def step(loss, both, weights):
    for optimiser in both:
        optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(weights, 1.0)
    for optimiser in both:
        optimiser.step()


class Clock:
    """Learning rate by wall-clock: a short rise in steps, full until `hold`, then down to 2 % along a cosine."""

    def __init__(self, seconds, rate, rise, hold):
        self.seconds, self.rate, self.rise, self.hold = seconds, rate, rise, hold
        self.started, self.step = time.time(), 0

    @property
    def done(self):
        return min(1.0, (time.time() - self.started) / self.seconds)

    def set(self, optimisers):
        self.step += 1
        fall = max(0.0, (self.done - self.hold) / (1 - self.hold))
        share = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fall))
        for group in (group for optimiser in optimisers for group in optimiser.param_groups):
            group["lr"] = self.rate * group["scale"] * share * min(1, self.step / self.rise)


class Trainer:
    def __init__(self, episodes, short, seed=0):
        self.lesson, self.short = 0, short
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.tokenizer = build_tokenizer()
        self.prompt = Prompt(self.tokenizer)
        self.model = build(self.tokenizer)
        self.packed = Packed(self.model, self.prompt)
        self.heads = Heads(self.model.config.text_config.hidden_size, len(self.packed.visual.deepstack_visual_indexes))
        self.episodes = episodes
        # Scenes with bystanders are the harder ones: they are seen more often.
        weight = np.array([1.6 if e.distractors else 1.0 for e in episodes])
        self.weight = weight / weight.sum()

    def pick(self, count):
        return [self.episodes[i] for i in self.rng.choice(len(self.episodes), count, p=self.weight)]

    def state_dict(self):
        return dict(model=self.model.state_dict(), heads=self.heads.state_dict())

    def load(self, path):
        saved = torch.load(path)
        self.model.load_state_dict(saved["model"])
        self.heads.load_state_dict(saved["heads"])

    def vision_batch(self):
        frames, truths = [], []
        for episode in self.pick(VISION_BATCH):
            second = int(self.rng.integers(0, episode.length))
            first = max(0, second - int(self.rng.integers(0, 4)))
            mirrored = self.rng.random() < 0.5
            pair = episode.frames[[first, second]]
            frames.append(clips.photographed(self.rng, pair[:, :, ::-1] if mirrored else pair))
            truths.append(episode.auxiliary(np.array([second]), mirrored))
        return patches(np.stack(frames)), torch.from_numpy(np.concatenate(truths))

    def learn_vision(self, seconds, out, rate=2e-3):
        both = optimisers(nn.Module(), self.packed.visual, self.heads, rate)
        weights = [*self.packed.visual.parameters(), *self.heads.parameters()]
        clock, log, saved = Clock(seconds, rate, rise=40, hold=0.3), [], time.time()
        grid = MAIN_SIZE[0] // PATCH, MAIN_SIZE[1] // PATCH
        while clock.done < 1:
            clock.set(both)
            pixels, truth = self.vision_batch()
            outs = self.heads.of_vision(*self.packed.vision(pixels, grid))
            losses = [state_loss(out, truth) for out in outs]
            step(losses[0] + losses[1] + 0.3 * sum(losses[2:]), both, weights)
            flags = [correlation(outs[0].detach()[:, at], truth[:, at]) for at in range(clips.STATE - clips.FLAGS, clips.STATE)]
            log.append([*(progress_agreement(out.detach(), truth) for out in outs[:2]), *flags, *(x.item() for x in losses)])
            if clock.step % 50 == 0:
                means = "progress {:.3f} {:.3f} open {:.3f} held {:.3f} lifted {:.3f} losses {:.3f} {:.3f} {:.3f} {:.3f} {:.3f}"
                print(f"vision {clock.step} {100 * clock.done:.0f}% agreement of {means.format(*np.nanmean(log, 0))}", flush=True)
                log = []
            if time.time() - saved > 300:
                saved = time.time()
                torch.save(self.state_dict(), out / "vision.pt")

    def shape(self):
        """Number of pairs and frame size of a batch. A few pairs first, many questions for little work, until the answers follow the
        block that they name; then all lengths."""
        if self.lesson < len(FIRST_LESSONS):
            return int(self.rng.integers(1, FIRST_LESSONS[self.lesson] + 1)), MAIN_SIZE
        if self.rng.random() < 0.25:
            return int(self.rng.integers(MAX_PAIRS + 1, LONGEST_PAIRS + 1)), MAIN_SIZE
        pairs = int(self.rng.integers(2, 9 if self.rng.random() < 0.5 else MAX_PAIRS + 1))
        return pairs, OTHER_SIZES[self.rng.integers(2)] if self.rng.random() < 0.06 else MAIN_SIZE

    def joint_batch(self):
        pairs, size = self.shape()
        count = max(3 if pairs <= MAX_PAIRS else 2, min(16, round(PAIRS_PER_BATCH / (pairs + 1))))
        prefixes = 1 + (pairs // 2 if pairs <= 8 else pairs // 3)
        batch = [clips.sample(self.rng, episode, pairs, size, prefixes) for episode in self.pick(count)]
        grid = size[0] // PATCH, size[1] // PATCH
        layouts = [Layout(self.prompt, clip.times, grid, clip.asked) for clip in batch]
        pixels = patches(np.stack([clip.frames for clip in batch]))
        targets = torch.from_numpy(np.concatenate([clip.targets for clip in batch]))
        truth = torch.from_numpy(np.concatenate([clip.auxiliary for clip in batch]))
        still = [clip.still for clip in batch]
        return pixels, grid, layouts, targets, truth, still, size == MAIN_SIZE

    def states(self, reading, layouts, truth, main):
        """State losses at pair ends, stem ends, last words, and in the vision tokens where the frame size is the main one."""
        stem_rows, word_rows, first = [], [], 0
        for layout in layouts:
            for pairs, instructions in layout.asked:
                stem_rows.append(first + pairs - 1)
                word_rows += [first + pairs - 1] * len(instructions)
            first += len(layout.pair_ends)
        at_ends = [state_loss(head(x), truth) for head, x in zip(self.heads.ends, reading.ends, strict=True)]
        at_stems = [state_loss(head(x), truth[stem_rows]) for head, x in zip(self.heads.stems, reading.stems, strict=True)]
        every = slice(0, TAIL, 4)
        words = self.heads.words(reading.words[:, every])
        at_words = state_loss(words.flatten(0, 1), truth[word_rows].repeat_interleave(words.shape[1], 0))
        losses = [sum(at_ends) / len(TAPS), sum(at_stems) / len(TAPS), at_words]
        if main:
            losses.append(sum(state_loss(out, truth) for out in self.heads.of_vision(reading.tokens)))
        return losses

    def learn_heads(self, seconds, rate=2e-3):
        """The read-outs of a model that comes without its own: until they read what it knows, they would only push it about."""
        optimiser = torch.optim.AdamW(self.heads.parameters(), lr=rate)
        clock, log = Clock(seconds, rate, rise=10, hold=0.3), []
        while clock.done < 1:
            pixels, grid, layouts, targets, truth, _, main = self.joint_batch()
            with torch.no_grad():
                reading = self.packed(pixels, grid, layouts)
            states = self.states(reading, layouts, truth, main)
            early = F.smooth_l1_loss(self.heads.odds(reading.words).squeeze(-1), torch.logit(targets)[:, None].expand(-1, TAIL))
            optimiser.zero_grad(set_to_none=True)
            (sum(states) + early).backward()
            optimiser.step()
            clock.step += 1
            log.append([x.item() for x in (early, *states[:3])])
            if clock.step % 25 == 0:
                print("heads {} early {:.3f} state {:.3f} {:.3f} {:.3f}".format(clock.step, *np.mean(log, 0)), flush=True)
                log = []

    def learn_jointly(self, seconds, out, rate=8e-4, vision_scale=0.3):
        both = optimisers(self.model.model.language_model, self.packed.visual, self.heads, rate, vision_scale)
        clock, log, clips_seen, saved = Clock(seconds, rate, rise=30, hold=0.4), [], 0, time.time()
        while clock.done < 1:
            clock.set(both)
            pixels, grid, layouts, targets, truth, still, main = self.joint_batch()
            reading = self.packed(pixels, grid, layouts)
            divergence, odds_loss, odds = answer_loss(reading.logits, targets, self.prompt)
            early = F.smooth_l1_loss(self.heads.odds(reading.words).squeeze(-1), torch.logit(targets)[:, None].expand(-1, TAIL))
            states = self.states(reading, layouts, truth, main)
            drift = drift_loss(reading.logits, layouts, still, self.prompt)
            loss = divergence + 0.2 * odds_loss + drift + 0.2 * (1 - clock.done) * early + (0.4 * (1 - clock.done) + 0.05) * sum(states)
            step(loss, both, [*self.model.parameters()])
            clips_seen += len(layouts)
            agreement = np.corrcoef(odds.detach().numpy(), torch.logit(targets).numpy())[0, 1]
            losses = (divergence, odds_loss, drift, early, *states[:3])
            log.append([agreement, *(x.item() for x in losses)])
            if clock.step % 25 == 0:
                means = "agreement {:.3f} kl {:.4f} odds {:.3f} drift {:.4f} early {:.3f} state {:.3f} {:.3f} {:.3f}".format(*np.mean(log, 0))
                print(f"joint {clock.step} {100 * clock.done:.1f}% lesson {self.lesson} {means} clips {clips_seen}", flush=True)
                learned = np.mean(log, 0)[0] > LEARNED or clock.done > self.short
                self.lesson += self.lesson < len(FIRST_LESSONS) and learned
                log = []
            if time.time() - saved > 300:
                saved = time.time()
                torch.save(self.state_dict(), out / "joint.pt")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("episodes", type=Path, nargs="+", help="folders of generate.py")
    parser.add_argument("out", type=Path, help="checkpoints; the finished model goes to OUT/model")
    parser.add_argument("--vision-seconds", type=float, default=600)
    parser.add_argument("--seconds", type=float, default=3600, help="of the joint phase")
    parser.add_argument("--rate", type=float, default=8e-4, help="learning rate of the joint phase")
    parser.add_argument("--short", type=float, default=0.2, help="longest share of the joint phase for clips of 1 to 3 pairs")
    parser.add_argument("--init", type=Path, help="start from a Hugging Face folder of the same shape instead of random weights")
    parser.add_argument("--heads-seconds", type=float, default=0, help="with --init: first the read-outs alone, which such a folder lacks")
    parser.add_argument("--resume", type=Path, help="go on from the vision.pt or joint.pt of an earlier run")
    parser.add_argument("--threads", type=int, default=2, help="1 beside other jobs: threads that wait for each other lose twice")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    episodes = [episode for folder in options.episodes for episode in clips.load(folder)]
    print(f"{len(episodes)} episodes, {sum(e.success for e in episodes)} successes, {sum(bool(e.distractors) for e in episodes)} with others")
    trainer = Trainer(episodes, options.short)
    if options.init:
        start_from(trainer.model, trainer.tokenizer, options.init)
    if options.resume:
        trainer.load(options.resume)
    if options.vision_seconds:
        trainer.learn_vision(options.vision_seconds, options.out)
        torch.save(trainer.state_dict(), options.out / "vision.pt")
    if options.heads_seconds:
        trainer.lesson = len(FIRST_LESSONS)
        trainer.learn_heads(options.heads_seconds)
    trainer.learn_jointly(options.seconds, options.out, options.rate)
    torch.save(trainer.state_dict(), options.out / "joint.pt")
    export(trainer.model, trainer.tokenizer, options.out / "model")


if __name__ == "__main__":
    main()
