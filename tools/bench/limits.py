"""The fastest matrix product that torch reaches here, as one line of JSON: `python tools/bench/limits.py --threads 2`."""

import argparse
import json
import time

import torch


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = {}
    for rows, inner, columns in [(2048, 2048, 2048), (784, 1024, 4096), (196, 1024, 4096), (57, 2048, 6144), (39, 2048, 6144)]:
        x, weights = torch.randn(rows, inner), torch.randn(columns, inner)
        seconds = []
        for _ in range(8):
            begun = time.perf_counter()
            torch.nn.functional.linear(x, weights)
            seconds.append(time.perf_counter() - begun)
        found[f"{rows}x{inner}x{columns}"] = 2 * rows * inner * columns / min(seconds) / 1e9
    print(json.dumps({"gflops": found, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
