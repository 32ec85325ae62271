"""A model that says what the test writes down: its reward goes by the brightness of the newest frame.

The node takes such a folder for a model where it was built with the feature scripted-model, as `./dev test` does.
"""

import json

from peer import shades

INSTRUCTION = "lift the cup"
# Rewards of a black and of a white frame, nats.
BLACK_NATS, WHITE_NATS = -8.0, 0.0
# Brightest value of a frame: a task not done, and done.
DARK, BRIGHT = 10, 240


def write_model(folder, **script):
    """Makes the folder a scripted model; more of its script by name, as nats_per_frame."""
    folder.mkdir(exist_ok=True)
    (folder / "scripted.json").write_text(json.dumps({"black_nats": BLACK_NATS, "white_nats": WHITE_NATS} | script))
    return folder


def reward(value):
    """What the model says of a frame that `Peer.send_raw` sends with this value, nats."""
    return BLACK_NATS + (WHITE_NATS - BLACK_NATS) * float(shades(value).mean()) / 255


# Between a dark and a bright frame's reward, and reached by the mean of three frames as soon as two of them are bright.
THRESHOLD = -6.0
assert reward(DARK) < (2 * reward(DARK) + reward(BRIGHT)) / 3 < THRESHOLD < (reward(DARK) + 2 * reward(BRIGHT)) / 3
HOLD_S = 0.5
DARK_FRAMES = 4
FILM = [DARK] * DARK_FRAMES + [BRIGHT] * 6
# Two bright frames, and half a second more, which is one frame at two a second.
SUCCESS_AT = DARK_FRAMES + 2 + 1
SUCCESS = {"success.threshold_nats": THRESHOLD, "success.hold_s": HOLD_S, "success.min_frames": 4}
