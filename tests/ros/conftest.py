"""Real rclpy peers against the real topreward_node: `./dev test` runs this with build/install on the path."""

import os
import random

# Before anything of ROS is loaded: robots on the network are none of our business, nor are other tests.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_LOCALHOST_ONLY"] = "1"
os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randrange(100, 200))

import itertools
from pathlib import Path

import pytest
import rclpy
import scripted
from node_process import NodeProcess
from peer import Peer

ROOT = Path(__file__).resolve().parents[2]
TINY_MODEL = ROOT / "tests/golden/tied"
EPISODES = ROOT / "models/so101-sim/episodes"
_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def ros():
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def namespace():
    """A namespace of the test's own: nothing of an earlier test is heard."""
    return f"/t{next(_numbers)}"


@pytest.fixture
def peer(namespace):
    with Peer(namespace) as peer:
        yield peer


@pytest.fixture
def start_node(namespace, tmp_path):
    """Starts nodes that are ended with the test."""
    started = []

    def start(*arguments, ready=True, environment=None, **parameters):
        defaults = {
            "model.path": TINY_MODEL,
            "processor.max_pixels": 4096,
            "instruction": scripted.INSTRUCTION,
            "sampling.rate_hz": 2.0,
        }
        node = NodeProcess(namespace, tmp_path / f"node{len(started)}.log", defaults | undotted(parameters), arguments, environment)
        started.append(node)
        if ready:
            node.wait_for_log("is ready")
        return node

    yield start
    for node in started:
        node.kill()


@pytest.fixture
def start_to_succeed(start_node, tmp_path):
    """Starts nodes that see success at the seventh frame of `scripted.FILM`."""
    model = scripted.write_model(tmp_path / "scripted")

    def start(**parameters):
        return start_node(**scripted.SUCCESS, **{"model.path": model}, **parameters)

    return start


def film_success(peer):
    peer.film(scripted.FILM, until=lambda: peer.success)
    return peer.wait_for("success")[0]


def undotted(parameters):
    """success__hold_s=1 stands for success.hold_s."""
    return {name.replace("__", "."): value for name, value in parameters.items()}
