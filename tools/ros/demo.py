"""Start topreward_node and the episode player side by side, as launch/demo.launch.xml does, and end both."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

# Found in the recordings, in this order: what succeeds, what stands idle, what fails half-way or otherwise.
CAST = ("01_", "03_", "04_", "05_", "06_", "09_")
NODE_ENDS_S = 5


def package(prefixes):
    for prefix in prefixes.split(os.pathsep):
        if (Path(prefix) / "lib/topreward/topreward_node").exists():
            return Path(prefix) / "lib/topreward", Path(prefix) / "share/topreward"
    sys.exit("demo: topreward is not on AMENT_PREFIX_PATH")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--headless", action="store_true", help="plain lines, for CI")
    parser.add_argument("--model", help="another model folder than the embedded one")
    parser.add_argument("--device", help="what model.device says: cpu, or cuda with a build for it")
    parser.add_argument("--all", action="store_true", help="every recorded episode")
    parser.add_argument("--log", type=Path, default=Path("build/demo-node.log"), help="where the node's log goes")
    options = parser.parse_args()

    programs, share = package(os.environ["AMENT_PREFIX_PATH"])
    episodes = sorted((share / "models/so101-sim/episodes").glob("*.mcap"))
    if not options.model and not (share / "models/so101-sim/model.safetensors").exists():
        sys.exit("demo: the embedded model models/so101-sim is not installed: give a Qwen3-VL folder with --model DIR")
    if not options.all:
        episodes = [episode for episode in episodes if episode.name.startswith(CAST)]
    node = [programs / "topreward_node", "--ros-args", "--params-file", share / "config/so101_sim.yaml"]
    node += ["-p", "reset.service:=/episode_player/reset"]
    if options.model:
        node += ["-p", f"model.path:={options.model}"]
    if options.device:
        node += ["-p", f"model.device:={options.device}"]
    player = [programs / "topreward_episode_player", *(["--headless"] if options.headless else []), *episodes]

    options.log.parent.mkdir(parents=True, exist_ok=True)
    with options.log.open("wb") as log:
        running_node = subprocess.Popen(node, stdout=log, stderr=subprocess.STDOUT)
        running_player = subprocess.Popen(player)
        try:
            status = wait(running_node, running_player)
        finally:
            running_player.terminate()
            running_node.send_signal(signal.SIGINT)
            try:
                node_status = running_node.wait(NODE_ENDS_S)
            except subprocess.TimeoutExpired:
                running_node.kill()
                node_status = "none: it did not end"
    if node_status != 0:
        print(options.log.read_text(errors="replace")[-2000:], file=sys.stderr)
        print(f"demo: the node's exit status is {node_status}", file=sys.stderr)
        return 3
    return status


def wait(node, player):
    """The player's exit status; the node must live as long."""
    while True:
        try:
            return player.wait(0.5)
        except subprocess.TimeoutExpired:
            if node.poll() is not None:
                return 3


if __name__ == "__main__":
    # As Ctrl-C: the node and the player must not be left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
