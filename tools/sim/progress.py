"""How far a task is, as a function of the scene's state alone, so that a reversed video has reversed labels."""

import numpy as np

TABLE_Z = 0.02  # centre of a resting block
AT_GOAL = 0.03  # metres between block and goal centre, as in the environment's own success rule
LIFT = 0.055
HELD_DISTANCE, HELD_OPENING = 0.035, 0.5


def is_held(gripper, block, opening):
    return (np.linalg.norm(gripper - block, axis=-1) < HELD_DISTANCE) & (opening < HELD_OPENING)


def progress(gripper, block, goal, opening):
    """Progress 0..1 of bringing `block` to `goal`; arrays (frames, 3), (frames, 3), (2,), (frames,).

    0 .. .25 reach, .30 grasped, .38 lifted, .65 above the goal, .72 set down there, .85 released, 1 gripper away.
    """
    near = np.linalg.norm(gripper - block, axis=-1)
    away = np.linalg.norm(block[..., :2] - goal[:2], axis=-1)
    height = np.clip((block[..., 2] - TABLE_Z) / LIFT, 0, 1)
    held = is_held(gripper, block, opening)
    at_goal = away < AT_GOAL

    reach = 0.25 * np.clip(1 - (near - 0.015) / 0.2, 0, 1) * (0.4 + 0.6 * np.clip(opening / 0.6, 0, 1))
    closing = 0.25 + 0.05 * np.clip((1 - opening) / 0.6, 0, 1)
    reach = np.where(near < 0.03, np.maximum(reach, closing), reach)
    closeness = 1 - np.clip((away - AT_GOAL) / 0.2, 0, 1)
    carry = np.where(at_goal, 0.65 + 0.07 * (1 - height), 0.30 + height * (0.08 + 0.27 * closeness))
    let_go = np.maximum(np.clip((opening - 0.35) / 0.4, 0, 1), np.clip((near - 0.03) / 0.02, 0, 1))
    placed = 0.72 + 0.13 * let_go + 0.15 * np.clip((near - 0.02) / 0.05, 0, 1)

    resting = height < 0.1
    return np.where(at_goal & resting, placed, np.where(held, carry, reach))
