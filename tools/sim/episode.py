"""Scripted SO-101 episodes: one success, and eight ways not to get there."""

from dataclasses import dataclass, field, replace

from scene import COLOURS  # first: it chooses MuJoCo's renderer before MuJoCo loads

import lerobot_env_so101
import lerobot_env_so101.mujoco_env as arm
import numpy as np
from lerobot_env_so101.gripper import ctrl_to_normalized
from lerobot_env_so101.scripted import PickPlaceController
from lerobot_env_so101.scripted.pick_place import Phase

from instructions import instruction
from progress import TABLE_Z, progress

# The inverse kinematics starts from the last pose ten times a second: 8 iterations follow it as well as 20.
arm._IK_ITERATIONS = 8

FPS = 10
MAX_STEPS = 160
STEP_METRES = 0.025


@dataclass(frozen=True)
class Mix:
    """What kinds of episodes there are, how often, and how they fail."""

    kinds: dict
    stop_phases: dict  # where "halfway" stops
    drop_at: tuple  # share of the way at which "drop" lets go
    off: tuple  # metres from block to goal where "offgoal" sets down
    beside: float = 0.0  # share of the bystanders that lie close to the goal


ORDINARY = Mix(
    kinds={"success": 0.44, "halfway": 0.14, "miss": 0.09, "drop": 0.09, "offgoal": 0.08, "putback": 0.07, "idle": 0.05, "wander": 0.04},
    # Mostly late, where a frame looks most like success.
    stop_phases={
        Phase.HOVER: 0.10, Phase.DESCEND: 0.13, Phase.CLOSE: 0.10, Phase.LIFT: 0.12, Phase.TRAVERSE: 0.22, Phase.LOWER: 0.18, Phase.OPEN: 0.15,
    },
    drop_at=(0.02, 0.35), off=(0.05, 0.085),
)  # fmt: skip
# On both sides of the border of success: for training, and for thresholds that are to hold there.
BORDER = Mix(
    kinds={"success": 0.22, "halfway": 0.42, "drop": 0.16, "offgoal": 0.20},
    stop_phases={Phase.TRAVERSE: 0.15, Phase.LOWER: 0.25, Phase.OPEN: 0.35, Phase.RETREAT: 0.25},
    drop_at=(0.5, 0.95), off=(0.031, 0.06),
)  # fmt: skip
# For training alone: what others learn a threshold from, or are judged on, stays what it was.
TRAINING_BORDER = replace(BORDER, beside=0.5)
# Blocks that lie on the ring's edge or just beside it, for training alone.
TRAINING_EDGE = replace(
    BORDER, kinds={"success": 0.15, "halfway": 0.15, "drop": 0.2, "offgoal": 0.5}, drop_at=(0.75, 0.95), off=(0.031, 0.042), beside=0.5
)
EMPTY_HANDED = (Phase.LIFT, Phase.TRAVERSE, Phase.LOWER, Phase.OPEN, Phase.RETREAT)


def draw(rng, weights):
    names = list(weights)
    share = np.array(list(weights.values()))
    return names[rng.choice(len(names), p=share / share.sum())]


@dataclass
class Setup:
    """What is decided before the first step."""

    seed: int
    kind: str
    colour: str
    goal: np.ndarray
    distractors: list = field(default_factory=list)  # (colour, xy)
    instruction: str = ""


@dataclass
class Episode:
    setup: Setup
    frames: list
    gripper: np.ndarray
    block: np.ndarray
    opening: np.ndarray
    progress: np.ndarray
    times: np.ndarray

    @property
    def success(self):
        """Whether the block lies at the goal, released, at the end, however it was meant."""
        return bool(self.progress[-1] > 0.92)


class Script:
    """Turns the environment's own pick-and-place controller into one kind of episode."""

    def __init__(self, rng, setup, block_start, hold, mix):
        self.rng, self.setup, self.start = rng, setup, block_start
        self.speed = rng.uniform(0.6, 1.4)
        self.controller = PickPlaceController(STEP_METRES * self.speed)
        self.wait = int(rng.integers(0, 10))
        self.length = int(rng.integers(40, 120))
        self.hold = int(rng.integers(*hold))
        self.dwell = int(rng.integers(12, 50))
        self.stop_phase = draw(rng, mix.stop_phases)
        self.stop_step = int(rng.integers(0, 6))
        self.drop_at, self.turn_at = rng.uniform(*mix.drop_at), rng.uniform(0.2, 0.8)
        self.dropped_step = self.stopped_step = self.waypoint = None
        self.returning = False
        self.jaw = 1.0
        angle = rng.uniform(0, 2 * np.pi)
        direction = np.array([np.cos(angle), np.sin(angle), 0])
        self.miss = direction * rng.uniform(0.045, 0.075) if setup.kind == "miss" else np.zeros(3)
        self.off = direction * rng.uniform(*mix.off) if setup.kind == "offgoal" else np.zeros(3)
        self.leaves = rng.random() < 0.3

    def ended(self, step):
        kind = self.setup.kind
        if kind in ("idle", "wander"):
            return step >= self.length
        if self.stopped_step is not None:
            return step >= 40 and step - self.stopped_step > self.dwell
        if self.controller.done:
            self.hold -= 1
        return self.hold < 0

    def action(self, step, gripper, block):
        kind = self.setup.kind
        if kind == "idle" or (step < self.wait and kind != "wander"):
            return np.array([0, 0, 0, 1.0])
        if kind == "wander":
            return self._wander(step, gripper)
        if kind == "halfway" and self._stops(step):
            return np.array([0, 0, 0, self.jaw])
        if self.controller.done:
            return self._wander(step, gripper) if self.leaves else np.array([0, 0, 0, 1.0])
        move = self._pick_and_place(step, gripper, block)
        self.jaw = move[3]
        move[:3] = move[:3] * self.speed + self.rng.normal(0, 0.03, 3)
        return move

    def _wander(self, step, gripper):
        if self.waypoint is None or step % 12 == 0:
            self.waypoint = self.rng.uniform([0.13, -0.14, 0.10], [0.32, 0.14, 0.2])
        move = np.clip((self.waypoint - gripper) / STEP_METRES, -1, 1) * self.speed
        return np.array([*move, 1.0])

    def _stops(self, step):
        phase = list(Phase).index(self.controller.phase)
        wanted = list(Phase).index(self.stop_phase)
        inside = phase == wanted and self.controller._steps_in_phase >= self.stop_step
        if self.stopped_step is None and (inside or phase > wanted):
            self.stopped_step = step
        return self.stopped_step is not None

    def _pick_and_place(self, step, gripper, block):
        goal = self.setup.goal + self.off
        travelled = 1 - np.linalg.norm(block[:2] - goal[:2]) / np.linalg.norm(self.start[:2] - goal[:2])
        carried = block[2] - TABLE_Z > 0.02
        if self.setup.kind == "putback" and (self.returning or (carried and travelled > self.turn_at)):
            self.returning, goal = True, self.start
        believed = block + self.miss
        phase = self.controller.phase
        if (self.setup.kind == "miss" or self.dropped_step is not None) and phase in EMPTY_HANDED:
            believed = gripper - np.array([0, 0, 0.015])
        move = self.controller.act(gripper, believed, goal).astype(float)
        if self.setup.kind == "drop" and self.dropped_step is None and phase is Phase.TRAVERSE and travelled > self.drop_at:
            self.dropped_step = step
        if self.dropped_step is not None:
            move[3] = 1.0
            if step - self.dropped_step < 7:
                move[:3] = 0
        return move


class Simulator:
    """Runs episodes; `camera` may be None to simulate without pictures."""

    def __init__(self, camera, mix=ORDINARY):
        self.camera, self.mix = camera, mix
        self.env = lerobot_env_so101.SO101PickPlaceGymEnv(random_block_position=True, action_scale=STEP_METRES)
        self.jaw_range = self.env.model.actuator("gripper").ctrlrange

    def _setup(self, rng, seed, kind, colour, distractor_share, start):
        colours = [str(name) for name in rng.permutation(list(COLOURS))]
        colours.sort(key=lambda name: name != colour)  # the wanted one first, if any
        setup = Setup(seed, kind or draw(rng, self.mix.kinds), colours[0], self.env.goal_pos)
        wanted = (2 if rng.random() < 0.3 else 1) if rng.random() < distractor_share else 0
        still = setup.kind in ("idle", "wander", "halfway")
        taken = [start[:2], setup.goal[:2]]
        if wanted and still and rng.random() < 0.3:
            setup.distractors.append((colours[1], setup.goal[:2] + rng.normal(0, 0.005, 2)))
        for _ in range(100):
            if len(setup.distractors) >= wanted:
                break
            if self.mix.beside and rng.random() < self.mix.beside:
                # The block at the goal may touch or hide them, not lie on them.
                angle = rng.uniform(0, 2 * np.pi)
                xy, apart = setup.goal[:2] + rng.uniform(0.06, 0.1) * np.array([np.cos(angle), np.sin(angle)]), 0.058
            else:
                xy, apart = rng.uniform([0.13, -0.13], [0.31, 0.13]), 0.072
            if min(np.linalg.norm(xy - other) for other in taken) > apart:
                setup.distractors.append((colours[1 + len(setup.distractors)], xy))
                taken.append(xy)
        unnamed = not setup.distractors and rng.random() < 0.1
        setup.instruction = instruction(rng, "" if unnamed else setup.colour)
        return setup

    def run(self, seed, kind=None, colour=None, distractor_share=0.6, every=(2,), hold=(0, 30)):
        """One episode; a picture and the state at every control step that a number of `every` divides."""
        rng = np.random.default_rng(seed)
        observation, _ = self.env.reset(seed=int(seed))
        start = observation["environment_state"][:3].astype(float)
        setup = self._setup(rng, seed, kind, colour, distractor_share, start)
        script = Script(rng, setup, start, hold, self.mix)
        if self.camera:
            # Dice of its own: the same seed gives the same motion without pictures.
            self.camera.arrange(np.random.default_rng([seed, 1]), setup)
        # A few random moves first: the arm begins anywhere above the table.
        for _ in range(rng.integers(0, 8)):
            observation, *_ = self.env.step(np.array([*rng.uniform(-0.8, 0.8, 3), 1.0], np.float32))
        frames, rows, times = [], [], []
        for step in range(MAX_STEPS):
            gripper, block = self.env.ik_point_pos, observation["environment_state"][:3].astype(float)
            if any(step % divisor == 0 for divisor in every):
                jaw = self.env.data.qpos[self.env._gripper_qpos_adr]
                rows.append([*gripper, *block, ctrl_to_normalized(jaw, self.jaw_range)])
                times.append(step / FPS)
                frames.append(self.camera.shoot(self.env.data) if self.camera else None)
            if script.ended(step):
                break
            observation, *_ = self.env.step(script.action(step, gripper, block).astype(np.float32))
        rows = np.array(rows)
        gripper, block, opening = rows[:, :3], rows[:, 3:6], rows[:, 6]
        return Episode(setup, frames, gripper, block, opening, progress(gripper, block, setup.goal, opening), np.array(times))
