"""Faults of what stands around topreward_node, each injected many times: what does the node do?

    ./dev faults                          five times each, the first of them within a minute
    ./dev faults --times 100              what docs/reliability.md shows
    ./dev faults --only ends --nodes 40 --times 20

The robot's reset is what counts most: a fault must never call it once too often. Ends with 0 when every fault went as it
should. The node must have been built with the feature scripted-model, as this command does.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from load_test import ros_environment
from scene import Scene, adds_up

# What a robot's process ends with when it was called.
WAS_CALLED = 42
# The node's promise, and what a busy machine may add to it before this program sees the end.
LONGEST_END_S = 2.0 + 0.5


@dataclass
class Fault:
    """One row of the table: what is done, in which node, and what an injection may call."""

    name: str
    what: str
    inject: object
    parameters: dict = field(default_factory=dict)
    resets: int = 0
    successes: int = 0
    robot: bool = True


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
        exact, reports = scene.exact_reports()
        self.exact, self.reports = self.exact + exact, self.reports + reports
        self.resets += scene.peer.resets
        self.successes += len(scene.peer.success)
        self.ended.update(episode.end_reason for episode in scene.peer.episode)

    def judge(self):
        """Adds to `wrong` what was not as it should be."""
        for name, found, each in [("resets", self.resets, self.fault.resets), ("successes", self.successes, self.fault.successes)]:
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


# --- the faults ---


def until(scene, holds, what):
    from peer import wait_until

    wait_until(holds, f"{what}; the log ends with:\n{scene.node.text()[-1500:]}", patience_s=30)


def new_episode(scene, begun):
    until(scene, lambda: scene.begun() > begun, "the next episode begins")


def camera_stops(scene):
    """It falls silent in the middle: the episode ends by its time, the robot is reset once, and the next begins."""
    begun, resets = scene.begun(), scene.peer.resets
    scene.show([30] * 3)
    until(scene, lambda: scene.peer.resets > resets, "the robot is reset")
    new_episode(scene, begun)


def camera_goes_and_comes(scene):
    """Its publisher is no more, and another one comes: frames are scored again."""
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    peer = scene.peer
    scene.show([30] * 2)
    peer.node.destroy_publisher(peer.raw)
    time.sleep(random.uniform(0, 0.3))
    peer.raw = peer.node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
    until(scene, lambda: peer.raw.get_subscription_count() > 0, "the node finds the camera again")
    scores = len(peer.progress)
    scene.show([30] * 3)
    until(scene, lambda: len(peer.progress) > scores, "its frames are scored")


def size_changes(scene):
    """Larger images, and the old ones again: each change begins an episode."""
    small, large = (64, 48), (96, 72)
    for size, other in [(small, large), (large, small)]:
        scene.show([30] * 2, size=size)
        ended = len(scene.peer.episode)
        for _ in range(20):
            scene.send(30, 0.3, size=other)
            time.sleep(0.05)
            if len(scene.peer.episode) > ended:
                break
        assert len(scene.peer.episode) == ended + 1, "the episode does not end"


def encoding_changes(scene):
    """The encoding is another one from frame to frame: all are scored."""
    for encoding in ["rgb8", "bgr8", "mono8", "rgb8"]:
        scores = len(scene.peer.progress)
        scene.show([30], encoding=encoding)
        until(scene, lambda: len(scene.peer.progress) > scores, f"{encoding} is scored")


def hostile_image(scene):
    """A message that no camera would send, between two frames."""
    from peer import stamp
    from sensor_msgs.msg import Image

    message = Image(width=64, height=48, encoding="rgb8", step=192)
    message.data = array("B", random.randbytes(64 * 48 * 3))
    for name, value in random.choice(
        [
            [("encoding", "32FC1")],
            [("encoding", "\x1b[2J" + "x" * 5000)],
            [("width", 2**32 - 1), ("height", 2**32 - 1)],
            [("width", 0)],
            [("step", 1)],
            [("step", 2**32 - 1)],
            [("data", array("B", b"\0"))],
            [("width", 30000), ("height", 30000), ("step", 90000)],
        ]
    ):
        setattr(message, name, value)
    stamp(message.header, scene.time_s - random.uniform(0.1, 0.4))
    scene.peer.raw.publish(message)


def hostile_images(scene):
    """Between the frames of an episode that succeeds: it succeeds, once."""
    import scripted

    begun, successes = scene.begun(), len(scene.peer.success)
    for value in scripted.FILM:
        for _ in range(3):
            hostile_image(scene)
        scene.show([value], until=lambda: len(scene.peer.success) > successes)
    until(scene, lambda: len(scene.peer.success) > successes, "success")
    new_episode(scene, begun)


def robot_dies(scene):
    """The process of the reset service ends while it is asked: one call, an error, and start_episode goes on."""
    import scripted

    successes, begun = len(scene.peer.success), scene.begun()
    robot = subprocess.Popen([sys.executable, __file__, "--robot", scene.robot], stdout=subprocess.PIPE)
    try:
        robot.stdout.readline()
        scene.show(scripted.FILM, until=lambda: len(scene.peer.success) > successes)
        until(scene, lambda: robot.poll() is not None, "the robot is called")
    finally:
        robot.kill()
    scene.peer.resets += robot.wait() == WAS_CALLED
    until(scene, lambda: "the robot was not reset" in scene.peer.status("episode")[1], "an error on /diagnostics")
    assert scene.begun() == begun, "an episode begins although the robot was not reset"
    assert scene.peer.call("start_episode").success


def lifecycle_storm(scene):
    """Ten transitions in a row, sensible or not, while frames come: at the end it is active and scores."""
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState, GetState

    def change(label):
        return scene.peer.result(scene.changer.call_async(ChangeState.Request(transition=Transition(label=label))))

    if not hasattr(scene, "changer"):
        scene.changer = scene.peer.node.create_client(ChangeState, "topreward/change_state")
        assert scene.changer.wait_for_service(20)
        time.sleep(0.2)
    for _ in range(10):
        change(random.choice(["configure", "activate", "deactivate", "cleanup"]))
        scene.send(30, 0.1)
    for label in ["configure", "activate"]:
        change(label)
    assert scene.peer.call("get_state", GetState).current_state.label == "active"
    until(scene, lambda: scene.peer.raw.get_subscription_count() > 0, "the node subscribes")
    time.sleep(0.1)
    scores = len(scene.peer.progress)
    scene.show([30] * 2)
    assert len(scene.peer.progress) > scores, "nothing is scored"


def clock_jumps(scene):
    """/clock goes forward by 500 s and back by 200: neither success nor reset, whatever the frames show."""
    from rosgraph_msgs.msg import Clock

    if not hasattr(scene, "clock"):
        scene.clock, scene.sim_s = scene.peer.node.create_publisher(Clock, "/clock", 10), 1000.0
        until(scene, lambda: scene.clock.get_subscription_count() > 0, "the node listens to /clock")
    for jump_s, value in [(0, 10), (500, 240), (-200, 240)]:
        scene.sim_s += jump_s
        for _ in range(4):
            scene.sim_s += 0.5
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(round(scene.sim_s * 1e9), 1_000_000_000)
            scene.clock.publish(message)
            time.sleep(0.02)
            scene.peer.send_raw(scene.sim_s - 1_700_000_000, value)


FILM = {"success.threshold_nats": -6.0, "success.hold_s": 0.5, "success.min_frames": 4}
FAULTS = [
    Fault(
        "stops", "the camera stops; `reset.on_timeout`", camera_stops,
        {"episode.max_duration_s": 1.0, "reset.on_timeout": True}, resets=1,
    ),
    Fault("returns", "the camera's publisher goes, another comes", camera_goes_and_comes),
    Fault("size", "images of another size, and back", size_changes),
    Fault("encoding", "another encoding at each frame", encoding_changes),
    Fault("hostile", "30 hostile images within a film of success", hostile_images, FILM, resets=1, successes=1),
    Fault(
        "robot", "the robot dies while it resets", robot_dies, FILM | {"reset.timeout_s": 0.7, "reset.retries": 3},
        resets=1, successes=1, robot=False,
    ),
    Fault("lifecycle", "ten transitions at random, then up again", lifecycle_storm),
    Fault(
        "clock", "`/clock` +500 s and −200 s, bright frames", clock_jumps,
        FILM | {"success.hold_s": 5.0, "use_sim_time": True, "episode.max_duration_s": 60.0, "reset.on_timeout": True},
    ),
]  # fmt: skip


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
    """So many nodes at once, ended at once: none may crash, and what they leave behind is counted."""
    from node_process import NodeProcess

    row = Row(Fault("ends", f"{nodes} nodes ended at once", None))
    before = shared_memory()
    with Scene(folder, {}) as scene:
        for number in range(rounds):
            started = []
            try:
                for index in range(nodes):
                    log = Path(folder) / f"many{index}.log"
                    started.append(NodeProcess(f"{scene.namespace}/n{index}", log, scene.parameters))
                for node in started:
                    node.wait_for_log("is ready", patience_s=180)
                time.sleep(1)
                begun = time.monotonic()
                for node in started:
                    node.process.send_signal(signal.SIGINT)
                waiting = dict(enumerate(started))
                while waiting and time.monotonic() < begun + 30:
                    for index in [index for index, node in waiting.items() if node.process.poll() is not None]:
                        node = waiting.pop(index)
                        row.ended_with(node.process.returncode, time.monotonic() - begun, None)
                    time.sleep(0.01)
                row.wrong += [f"node {index} does not end" for index in waiting]
                row.injected += nodes
                print(f"round {number + 1}: exit codes so far {dict(row.codes)}, slowest {row.slowest_s:.2f} s", flush=True)
            finally:
                for node in started:
                    node.kill()
    row.judge()
    left = shared_memory() - before
    print(f"shared memory that {row.injected} nodes left behind: {sum(size for _, size in left)} bytes in {len(left)} files")
    return row


def shared_memory():
    """Fast DDS's files in shared memory, but not the ports, which belong to nobody: {(name, bytes)}."""
    files = [file for file in Path("/dev/shm").glob("fast*") if "_port" not in file.name]
    return {(file.name, file.stat().st_size) for file in files if file.exists()}


def robot(service):
    """A robot's process that ends when it is asked to reset."""
    import os

    import rclpy
    from std_srvs.srv import Trigger

    rclpy.init()
    node = rclpy.create_node("mortal_robot")
    node.create_service(Trigger, service, lambda *_: os._exit(WAS_CALLED))
    while node.count_clients(service) == 0:
        time.sleep(0.01)
    time.sleep(0.5)  # the node must know of it too
    print("ready", flush=True)
    rclpy.spin(node)


def arguments():
    names = [fault.name for fault in FAULTS] + ["signals", "ends"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="how often each is injected (default 5)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these faults alone")
    parser.add_argument("--nodes", type=int, default=8, help="nodes of each of the rounds of `ends` (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default 0)")
    parser.add_argument("--logs", type=Path, help="folder for the logs of the nodes (default a temporary one)")
    parser.add_argument("--robot", metavar="SERVICE", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = arguments()
    if options.robot:
        return robot(options.robot)
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
            print(f"{'FAIL' if row.wrong else 'ok  '} {name}: {row.injected} times in {time.monotonic() - begun:.0f} s", flush=True)
            for wrong in row.wrong[:5]:
                print(f"     {wrong}", flush=True)
    rclpy.try_shutdown()
    print("\n| fault | injected | episodes ended | successes | resets | accounts exact | exit codes | slowest exit, s |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(row.markdown() for row in rows))
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
