"""Read labels the way LeRobot does, and print what it sees.

    pip install lerobot==0.6.1        # or 0.4.4; without it, pyarrow and pandas check the schema
    python tools/lerobot/check_labels.py topreward_progress.parquet [--chunk-size 50]

With LeRobot this is its own code: the weights of reward-aligned behaviour cloning (RA-BC) for every frame, as its
training loop asks for them. The schema and the metadata are compared with what LeRobot's labelling writes.
"""

import argparse
import importlib
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        ("index", pa.int64()),
        ("episode_index", pa.int64()),
        ("frame_index", pa.int64()),
        ("progress_sparse", pa.float32()),
    ]
)
# Where releases keep the reader of progress files.
READERS = ("lerobot.rewards.sarm.rabc", "lerobot.utils.rabc")


def check_schema(path):
    table = pq.read_table(path)
    schema = pq.read_metadata(path).schema.to_arrow_schema()
    if not schema.remove_metadata().equals(SCHEMA):
        sys.exit(f"the schema is not LeRobot's:\n{schema}")
    name = (schema.metadata or {}).get(b"vlm_name")
    if not name:
        sys.exit("the metadata has no vlm_name")
    print(f"schema: LeRobot's; vlm_name: {name.decode()}; metadata: {sorted(key.decode() for key in schema.metadata)}")
    frame = table.to_pandas()
    for episode, rows in frame.groupby("episode_index"):
        progress = rows.progress_sparse.to_numpy()
        if not (np.diff(rows["index"]) == 1).all() or rows.frame_index.tolist() != list(range(len(rows))):
            sys.exit(f"the frames of episode {episode} are not in order")
        if not ((progress >= 0) & (progress <= 1)).all():
            sys.exit(f"episode {episode} has progress outside 0 to 1")
        span = f"{progress.min():.3f} to {progress.max():.3f}"
        print(f"episode {episode}: {len(rows)} frames from index {rows['index'].iloc[0]}, progress {span}")
    return frame


def lerobot_reader():
    for name in READERS:
        try:
            return importlib.import_module(name).RABCWeights
        except ImportError:
            continue
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels")
    parser.add_argument("--chunk-size", type=int, default=50, help="frames that the policy looks ahead")
    args = parser.parse_args()
    frame = check_schema(args.labels)
    reader = lerobot_reader()
    if reader is None:
        print("LeRobot is not installed: its reader was not run")
        return
    import torch

    rabc = reader(args.labels, chunk_size=args.chunk_size, head_mode="sparse", device=torch.device("cpu"))
    weights, stats = rabc.compute_batch_weights({"index": torch.tensor(frame["index"].tolist())})
    print(f"{reader.__module__}: {rabc.get_stats()}")
    print(f"weights of all frames: {stats}")
    for episode, rows in frame.groupby("episode_index"):
        own = weights[rows.index.tolist()]
        print(f"episode {episode}: RA-BC weights {own.min():.3f} to {own.max():.3f}, mean {own.mean():.3f}")


if __name__ == "__main__":
    main()
