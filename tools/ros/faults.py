"""Faults of what stands around topreward_node, each injected many times: what does the node do?

    ./dev faults                          five times each: a few minutes
    ./dev faults --times 100              the table of docs/reliability.md: half an hour
    ./dev faults --only ends --nodes 40 --times 20

The robot's reset is what counts most: a fault must never call it once too often. Ends with 0 when every fault went as it
should. The node must have been built with the feature scripted-model, as this command does.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from injected import FAULTS, FILM, Fault
from load_test import ros_environment
from scene import Scene, adds_up, defaults, exact_reports

# The node's promise, and what a busy machine may add to it before this program sees the end.
LONGEST_END_S = 2.0 + 0.5


@dataclass
class Row:
    """What came of a fault."""

    fault: Fault
    injected: int = 0
    resets: int = 0
    successes: int = 0
    ended: Counter = field(default_factory=Counter)
    exact: int = 0
    reports: int = 0
    codes: Counter = field(default_factory=Counter)
    slowest_s: float = 0.0
    wrong: list = field(default_factory=list)

    def ended_with(self, code, seconds, account):
        self.codes[code] += 1
        self.slowest_s = max(self.slowest_s, seconds)
        if account is not None:
            self.reports += 1
            self.exact += adds_up(account)
        if seconds > LONGEST_END_S:
            self.wrong.append(f"the end took {seconds:.2f} s")

    def saw(self, scene):
        exact, reports = exact_reports(list(scene.peer.diagnostics))
        self.exact, self.reports = self.exact + exact, self.reports + reports
        self.resets += scene.peer.resets
        self.successes += len(scene.peer.success)
        self.ended.update(episode.end_reason for episode in scene.peer.episode)

    def judge(self):
        """Adds to `wrong` what was not as it should be."""
        fault = self.fault
        for name, found, each in [("resets", self.resets, fault.resets), ("successes", self.successes, fault.successes)]:
            if each is not None and found != each * self.injected:
                self.wrong.append(f"{found} {name} of {each * self.injected}")
        if self.resets > self.successes + self.ended["max_duration"]:
            self.wrong.append("a reset that nothing asked for")
        if self.exact != self.reports:
            self.wrong.append(f"{self.reports - self.exact} accounts do not add up")
        if set(self.codes) != {0}:
            self.wrong.append(f"exit codes {dict(self.codes)}")

    def markdown(self):
        ended = ", ".join(f"{count} {reason}" for reason, count in self.ended.most_common()) or "–"
        codes = ", ".join(f"{code}: {count}" for code, count in sorted(self.codes.items()))
        return (
            f"| {self.fault.what} | {self.injected} | {ended} | {self.successes} | {self.resets} | {self.exact} of {self.reports} "
            f"| {codes} | {self.slowest_s:.2f} |"
        )


def in_one_node(fault, times, folder):
    """The fault again and again in a node, which is then ended."""
    row = Row(fault)
    with Scene(folder, fault.parameters, robot=fault.robot) as scene:
        if not fault.robot:
            scene.robot = f"{scene.namespace}/robot/reset"
            scene.parameters["reset.service"] = scene.robot
        scene.start()
        try:
            for _ in range(times):
                row.injected += 1
                fault.inject(scene)
        except AssertionError as error:
            row.wrong.append(str(error))
        scene.peer.let_the_node_go_on()
        if scene.node.process.poll() is None:
            code, seconds = scene.end(signal.SIGINT)
            row.ended_with(code, seconds, scene.node.frame_account())
        else:
            row.codes[scene.node.process.returncode] += 1
        row.saw(scene)
    row.judge()
    return row


SIGNALS = Fault("signals", "SIGINT or SIGTERM at a random moment of a start and a film", None, FILM, None, None)


def signals(times, folder):
    """Each in a node of its own: while it starts, loads, scores, or is being reset."""
    import scripted

    row = Row(SIGNALS)
    for _ in range(times):
        with Scene(folder, FILM) as scene:
            scene.start(ready=False)
            at = time.monotonic() + random.choice([random.uniform(0, 0.5), random.uniform(0, 4)])
            for value in scripted.FILM * 20:
                time.sleep(min(0.05, max(0.0, at - time.monotonic())))
                if time.monotonic() >= at:
                    break
                scene.send(value)
            how = random.choice([signal.SIGINT, signal.SIGTERM])
            spoke = scene.node.text() != ""
            code, seconds = scene.end(how)
            # The program's first act is to keep signals; one that comes before that kills it, as it does any program.
            if code == -how and not spoke:
                code = 0
            row.injected += 1
            row.ended_with(code, seconds, scene.node.frame_account() if " offered = " in scene.node.text() else None)
            row.saw(scene)
    row.judge()
    return row


def ends(rounds, nodes, folder):
    """So many nodes at once, ended at once: none may crash or leave its shared memory behind."""
    row = Row(Fault("ends", f"{nodes} nodes ended at once", None))
    left = set()
    # Nobody listens but the nodes themselves: Fast DDS may lock up who outlives dozens of them (docs/reliability.md).
    for number in range(rounds):
        left |= one_round(nodes, Path(folder), row)
        print(f"round {number + 1}: exit codes so far {dict(row.codes)}, slowest {row.slowest_s:.2f} s", flush=True)
    row.judge()
    print(f"{row.injected} nodes left {len(left)} segments of shared memory behind")
    return row


def one_round(nodes, folder, row):
    """Starts and ends so many nodes; the files in shared memory that they left behind."""
    from node_process import NodeProcess

    started, segments = [], set()
    try:
        for index in range(nodes):
            started.append(NodeProcess(f"/many/n{index}", folder / f"many{index}.log", defaults(folder)))
        for node in started:
            node.wait_for_log("is ready", patience_s=180)
        time.sleep(1)
        for node in started:
            segments |= shared_memory(node.process.pid)
        begun = time.monotonic()
        for node in started:
            node.process.send_signal(signal.SIGINT)
        waiting = list(started)
        while waiting and time.monotonic() < begun + 30:
            for node in [node for node in waiting if node.process.poll() is not None]:
                waiting.remove(node)
                row.ended_with(node.process.returncode, time.monotonic() - begun, None)
            time.sleep(0.01)
        row.wrong += [f"a node does not end: {node.log}" for node in waiting]
        row.injected += nodes
    finally:
        for node in started:
            node.kill()
    return {segment for segment in segments if segment.exists()}


def shared_memory(pid):
    """A process's own segments: Fast DDS keeps a lock beside each of them open. Ports belong to nobody."""
    open_files = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    locks = [name for name in open_files if name.startswith("/dev/shm/fast") and name.endswith("_el") and "_port" not in name]
    return {Path(name.removesuffix("_el")) for name in locks}


def arguments():
    names = [fault.name for fault in FAULTS] + ["signals", "ends"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="how often each is injected (default 5)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these faults alone")
    parser.add_argument("--nodes", type=int, default=8, help="nodes of each of the rounds of `ends` (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default 0)")
    parser.add_argument("--logs", type=Path, help="folder for the logs of the nodes (default a temporary one)")
    return parser.parse_args()


def main():
    options = arguments()
    random.seed(options.seed)
    ros_environment(profile=False)
    import rclpy

    rclpy.init()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.logs or Path(temporary)
        folder.mkdir(exist_ok=True)
        runs = {fault.name: (lambda fault=fault: in_one_node(fault, options.times, folder)) for fault in FAULTS}
        runs |= {"signals": lambda: signals(options.times, folder), "ends": lambda: ends(options.times, options.nodes, folder)}
        for name in options.only:
            begun = time.monotonic()
            row = runs[name]()
            rows.append(row)
            seconds = time.monotonic() - begun
            print(f"{'FAIL' if row.wrong else 'ok  '} {name}: {row.injected} times in {seconds:.0f} s", flush=True)
            for wrong in row.wrong[:5]:
                print(f"     {wrong}", flush=True)
    rclpy.try_shutdown()
    print("\n| fault | injected | episodes ended | successes | resets | accounts exact | exit codes | slowest exit, s |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(row.markdown() for row in rows))
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
