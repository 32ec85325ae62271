"""Draw what the model says of recorded episodes: film strips over the reward's progress, with the scores of
`topreward score`.

    python tools/plot_bags.py docs/demo.png models/so101-sim/episodes/{01_success_red,05_halfway_orange,03_idle_green}.mcap
"""

import argparse
import io
import json
import subprocess
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from mcap.reader import make_reader
from PIL import Image
from rosbags.typesys import Stores, get_typestore

STRIP = 8  # pictures in a strip
CAMERA = "/camera/image_raw/compressed"
GREEN, GREY, BLUE = "#1a9850", "#8a8a8a", "#2166ac"


def read_bag(path):
    """The camera's pictures and the facts about the episode."""
    types = get_typestore(Stores.ROS2_HUMBLE)
    with open(path, "rb") as file:
        reader = make_reader(file)
        about = next(m.metadata for m in reader.iter_metadata() if m.name == "topreward_episode")
        pictures = [
            bytes(types.deserialize_cdr(message.data, schema.name).data)
            for schema, channel, message in reader.iter_messages(topics=[CAMERA])
        ]
    return pictures, about


def score(arguments, pictures, about):
    """The JSON of `topreward score` over the pictures of one episode."""
    with tempfile.TemporaryDirectory() as folder:
        for index, picture in enumerate(pictures):
            (Path(folder) / f"{index}.jpg").write_bytes(picture)
        command = [arguments.topreward, "score", "--json", "--model", arguments.model, "--config", arguments.config]
        command += ["--frames", folder, "--fps", about["fps"], "--instruction", about["instruction"]]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def draw(axes_strip, axes_curve, pictures, about, report):
    chosen = [pictures[round(i * (len(pictures) - 1) / (STRIP - 1))] for i in range(STRIP)]
    chosen = [Image.open(io.BytesIO(picture)) for picture in chosen]
    width, height = chosen[0].size
    strip = Image.new("RGB", (STRIP * width, height))
    for index, picture in enumerate(chosen):
        strip.paste(picture, (index * width, 0))
    axes_strip.imshow(strip)
    axes_strip.axis("off")
    verdict = "success called" if report["success"] else "success not called"
    axes_strip.set_title(f"{about['instruction']}   ({about['kind']}: {verdict})", loc="left", fontsize=10)
    times = [row["time_s"] for row in report["prefixes"]]
    progress = [row["progress"] for row in report["prefixes"]]
    colour = GREEN if report["success"] else BLUE
    axes_curve.fill_between(times, progress, color=colour, alpha=0.15, linewidth=0)
    axes_curve.plot(times, progress, color=colour, marker="o", markersize=3)
    axes_curve.set_xlim(0, max(times))
    axes_curve.set_ylim(0, 1.05)
    axes_curve.set_ylabel("progress")
    axes_curve.grid(color=GREY, alpha=0.25)
    axes_curve.spines[["top", "right"]].set_visible(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture")
    parser.add_argument("bags", nargs="+")
    parser.add_argument("--model", default="models/so101-sim")
    parser.add_argument("--config", default="config/so101_sim.yaml")
    parser.add_argument("--topreward", default="target/release/topreward")
    arguments = parser.parse_args()
    rows = len(arguments.bags)
    figure, axes = plt.subplots(2 * rows, 1, figsize=(11, 3.1 * rows), height_ratios=[1.1, 1] * rows, layout="constrained")
    for row, bag in enumerate(arguments.bags):
        pictures, about = read_bag(bag)
        draw(axes[2 * row], axes[2 * row + 1], pictures, about, score(arguments, pictures, about))
    axes[-1].set_xlabel("seconds")
    figure.savefig(arguments.picture, dpi=85)


if __name__ == "__main__":
    main()
