"""Make a small LeRobot dataset from recorded episodes, with the official library.

    pip install lerobot==0.3.3 mcap mcap-ros2-support     # writes v2.1
    pip install lerobot==0.4.4 mcap mcap-ros2-support     # writes v3.0
    python tools/lerobot/make_datasets.py OUT --lossless models/so101-sim/episodes/{01,03,07}_*.mcap

Which version is written is the installed library's. Two cameras (or the first) hold the frames: `observation.images.front` as they
are, `observation.images.wrist` upside down. With `--lossless` the videos are H.264 of RGB without loss, so every
dataset that is made of the same frames, v2.1 or v3.0, video or `--images`, holds the same pixels; without it they are
what the library writes by default (AV1).

An input is a bag of this repository's simulator, or a folder of PNG frames with a file `instruction.txt` (and `--fps`).
"""

import argparse
import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
from lerobot.datasets import lerobot_dataset, video_utils
from lerobot.datasets.lerobot_dataset import CODEBASE_VERSION, LeRobotDataset
from PIL import Image

CAMERAS = ("observation.images.front", "observation.images.wrist")


def read_bag(path):
    """The pictures of a bag, its instruction and its rate."""
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    with open(path, "rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        about = next(m.metadata for m in reader.iter_metadata() if m.name == "topreward_episode")
        messages = reader.iter_decoded_messages(topics=["/camera/image_raw/compressed"])
        pictures = [Image.open(io.BytesIO(bytes(message.data))).convert("RGB") for *_, message in messages]
    return pictures, about["instruction"], int(about["fps"])


def read_folder(path, fps):
    pictures = [Image.open(file).convert("RGB") for file in sorted(path.glob("*.png"))]
    return pictures, (path / "instruction.txt").read_text().strip(), fps


def encode_lossless(imgs_dir, video_path, fps, *_, **__):
    """In place of the library's encoder: every RGB value survives."""
    Path(video_path).parent.mkdir(parents=True, exist_ok=True)
    first = next(iter(sorted(Path(imgs_dir).glob("frame*0.png"))))
    pattern = str(first).replace("000000.png", "%06d.png")
    command = ["ffmpeg", "-v", "error", "-y", "-framerate", str(fps), "-start_number", "0", "-i", pattern]
    codec = ["-c:v", "libx264rgb", "-qp", "0", "-preset", "veryslow", "-g", "8", "-threads", "1"]
    subprocess.run([*command, *codec, "-video_track_timescale", "15360", str(video_path)], check=True)


def create(args, fps, shape):
    dtype = "image" if args.images else "video"
    picture = {"dtype": dtype, "shape": shape, "names": ["height", "width", "channels"]}
    joint = {"dtype": "float32", "shape": (1,), "names": ["joint"]}
    features = {"action": joint, "observation.state": joint} | {camera: picture for camera in CAMERAS[: args.cameras]}
    about = {"repo_id": "local/so101-sim", "robot_type": "so101_sim", "root": args.out}
    return LeRobotDataset.create(fps=fps, features=features, use_videos=not args.images, **about)


def add_episode(dataset, pictures, task):
    for number, picture in enumerate(pictures):
        pixels = np.asarray(picture)
        joint = np.array([number], dtype=np.float32)
        frame = {"action": joint, "observation.state": joint}
        views = dict(zip(CAMERAS, (pixels, np.ascontiguousarray(pixels[::-1]))))
        frame |= {camera: view for camera, view in views.items() if camera in dataset.features}
        if CODEBASE_VERSION == "v2.1":
            dataset.add_frame(frame, task=task)
        else:
            dataset.add_frame(frame | {"task": task})
    dataset.save_episode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the dataset's folder; replaced")
    parser.add_argument("inputs", type=Path, nargs="+", help="bags, or folders of PNG frames")
    parser.add_argument("--fps", type=int, default=10, help="of folders")
    parser.add_argument("--frames", type=int, help="at most so many of each episode")
    parser.add_argument("--size", help="scale to WIDTHxHEIGHT")
    parser.add_argument("--cameras", type=int, choices=(1, 2), default=2)
    parser.add_argument("--images", action="store_true", help="pictures in the parquet files instead of videos")
    parser.add_argument("--lossless", action="store_true")
    args = parser.parse_args()

    if args.lossless:
        lerobot_dataset.encode_video_frames = video_utils.encode_video_frames = encode_lossless
        # The library knows no name of a planar RGB format.
        video_utils.get_video_pixel_channels = lambda _: 3
    shutil.rmtree(args.out, ignore_errors=True)
    dataset = None
    for number, path in enumerate(args.inputs):
        pictures, task, fps = read_folder(path, args.fps) if path.is_dir() else read_bag(path)
        # Unequal lengths show it when one episode's frames are counted as another's.
        pictures = pictures[: args.frames - number if args.frames else None]
        if args.size:
            size = tuple(int(side) for side in args.size.split("x"))
            pictures = [picture.resize(size, Image.Resampling.LANCZOS) for picture in pictures]
        if dataset is None:
            dataset = create(args, fps, (*pictures[0].size[::-1], 3))
        add_episode(dataset, pictures, task)
    if hasattr(dataset, "finalize"):
        dataset.finalize()
    shutil.rmtree(args.out / "images", ignore_errors=True)
    print(f"{args.out}: {CODEBASE_VERSION}, {len(args.inputs)} episodes")


if __name__ == "__main__":
    main()
