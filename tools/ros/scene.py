"""A topreward_node with a robot, a camera and an observer, for the programs that put it under stress."""

import itertools
import re
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/ros"))

PARTS = ("scored", "coalesced", "skipped", "dropped")
_numbers = itertools.count(1)


class Scene:
    """What happens between its start and its end is counted. ROS must have been initialised."""

    def __init__(self, folder, parameters, robot=True):
        from peer import Peer

        number = next(_numbers)
        self.namespace = f"/scene{number}"
        self.log = Path(folder) / f"node{number}.log"
        self.peer = Peer(self.namespace)
        self.parameters = defaults(folder) | parameters
        if robot:
            self.parameters["reset.service"] = self.peer.offer_reset()
        # Seconds of the camera's time; every frame that is shown takes half of one.
        self.time_s = 0.0
        self.node = None

    def __enter__(self):
        self.peer.__enter__()
        return self

    def __exit__(self, *_):
        if self.node:
            self.node.kill()
        self.peer.__exit__()

    def start(self, ready=True):
        from node_process import NodeProcess

        self.node = NodeProcess(self.namespace, self.log, self.parameters)
        if ready:
            self.node.wait_for_log("is ready", patience_s=60)
            self.peer.wait_for_subscriber(self.peer.raw)

    # --- the camera ---

    def show(self, values, until=lambda: False, **how):
        """Frames of these brightnesses, each scored before the next one is sent."""
        self.peer.show(values, from_s=self.time_s, until=until, **how)
        self.time_s += 0.5 * len(values)

    def send(self, value, by_s=0.5, **how):
        """One frame, whatever becomes of it."""
        self.time_s += by_s
        return self.peer.send_raw(self.time_s, value, **how)

    # --- what is seen ---

    def begun(self):
        """Episodes that have begun."""
        return len(re.findall(r"episode \d+ begins", self.node.text()))

    def end(self, how, patience_s=20):
        """Signals the node; (its exit code, the seconds that it took)."""
        begun = time.monotonic()
        code = self.node.stop(how, patience_s)
        return code, time.monotonic() - begun


def defaults(folder):
    """Parameters of a node whose model answers from a script."""
    import scripted

    return {
        "model.path": scripted.write_model(Path(folder) / "scripted"),
        "instruction": scripted.INSTRUCTION,
        "sampling.rate_hz": 2.0,
        "reset.settle_s": 0.05,
        "diagnostics.period_s": 0.2,
    }


def exact_reports(reports):
    """(messages on /diagnostics whose account adds up, all of them)"""
    statuses = [status for report in reports for status in report.status if status.name.endswith(": frames")]
    return sum(adds_up(account(status)) for status in statuses), len(statuses)


def account(status):
    return {pair.key: int(pair.value) if pair.value.isdecimal() else None for pair in status.values}


def adds_up(counts):
    """Whether an account holds: offered = scored + coalesced + skipped + dropped + pending."""
    pending = counts.get("pending", 0)
    return pending is not None and counts["offered"] == sum(counts.get(part, 0) for part in PARTS) + pending
