"""Write the demo's episodes as MCAP bags: `python tools/sim/bags.py models/so101-sim/episodes`.

One file each, as `ros2 bag play` opens it: the camera as JPEG, the instruction once, the simulator's own progress per frame.
"""

import argparse
from pathlib import Path

import numpy as np
from mcap.writer import CompressionType, Writer
from rosbags.typesys import Stores, get_typestore

from episode import FPS, Simulator
from generate import jpeg
from scene import Camera

# name, kind, colour, share of distractors
CAST = [
    ("success", "red", 0), ("success", "blue", 0), ("idle", "green", 0), ("success", "yellow", 1), ("halfway", "orange", 0),
    ("success", "purple", 0), ("miss", "blue", 0), ("success", "green", 1), ("drop", "red", 0), ("putback", "yellow", 0),
    ("offgoal", "purple", 1), ("success", "orange", 0), ("wander", "red", 0),
]  # fmt: skip
FIRST_SEED = 950_000
JPEG_QUALITY = 80
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND  # any fixed time: the bags come out the same on every run
FRAME_ID = "camera"
HOLD = (22, 30)  # steps after the gripper left, so that success can be called


def cast_episode(simulator, dry, seed, kind, colour, distractor_share):
    """The next seed whose episode is what the cast asks for; `dry` simulates without pictures."""
    while True:
        seed += 1
        episode = dry.run(seed, kind, colour, distractor_share, every=(1,), hold=HOLD)
        named = colour in episode.setup.instruction
        bystanders = len(episode.setup.distractors) > 0
        if named and bystanders == (distractor_share > 0) and episode.success == (kind == "success"):
            return simulator.run(seed, kind, colour, distractor_share, every=(1,), hold=HOLD)


class Bag:
    """An MCAP file in the ros2 profile."""

    def __init__(self, path, types):
        self.types = types
        self.writer = Writer(str(path), compression=CompressionType.NONE)
        self.writer.start(profile="ros2", library="topreward tools/sim")
        self.channels = {}

    def topic(self, name, message_type):
        text, _ = self.types.generate_msgdef(message_type, ros_version=2)
        schema = self.writer.register_schema(message_type, "ros2msg", text.encode())
        self.channels[name] = self.writer.register_channel(name, "cdr", schema, {"offered_qos_profiles": ""}), message_type

    def write(self, name, time_ns, message):
        channel, message_type = self.channels[name]
        data = bytes(self.types.serialize_cdr(message, message_type))
        self.writer.add_message(channel, log_time=time_ns, publish_time=time_ns, data=data)


def write_bag(path, episode, types):
    image, header, stamp = (types.types[t] for t in ("sensor_msgs/msg/CompressedImage", "std_msgs/msg/Header", "builtin_interfaces/msg/Time"))
    string, number = types.types["std_msgs/msg/String"], types.types["std_msgs/msg/Float32"]
    bag = Bag(path, types)
    bag.topic("/camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage")
    bag.topic("/instruction", "std_msgs/msg/String")
    bag.topic("/progress_label", "std_msgs/msg/Float32")
    setup = episode.setup
    about = {"instruction": setup.instruction, "kind": setup.kind, "success": str(episode.success).lower(), "seed": str(setup.seed), "fps": str(FPS)}
    bag.writer.add_metadata("topreward_episode", about)
    bag.write("/instruction", START, string(data=setup.instruction))
    for index, (frame, label) in enumerate(zip(episode.frames, episode.progress, strict=True)):
        now = START + index * SECOND // FPS
        when = stamp(sec=now // SECOND, nanosec=now % SECOND)
        data = np.frombuffer(jpeg(frame, JPEG_QUALITY), np.uint8)
        bag.write("/camera/image_raw/compressed", now, image(header=header(stamp=when, frame_id=FRAME_ID), format="jpeg", data=data))
        bag.write("/progress_label", now, number(data=float(label)))
    bag.writer.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    types = get_typestore(Stores.ROS2_JAZZY)
    simulator, dry = Simulator(Camera()), Simulator(None)
    for number, (kind, colour, distractor_share) in enumerate(CAST, 1):
        episode = cast_episode(simulator, dry, FIRST_SEED + 100 * number, kind, colour, distractor_share)
        others = "_distractor" if episode.setup.distractors else ""
        path = options.out / f"{number:02d}_{kind}_{colour}{others}.mcap"
        write_bag(path, episode, types)
        print(f"{path.name}: {len(episode.frames) / FPS:.1f} s, {path.stat().st_size / 1e6:.2f} MB, {episode.setup.instruction!r}", flush=True)


if __name__ == "__main__":
    main()
