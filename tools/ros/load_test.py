"""Cameras at full rate against topreward_node: are all frames delivered, what does the node cost, does its memory grow?

    ./dev build, then with its environment:  python3 tools/ros/load_test.py --cameras 3 --seconds 300

Each camera is a process of its own that sends 640x480 rgb8 images by the clock. Ends with 0 when every limit was kept.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/ros"))

NAMESPACE = "/load_test"
WIDTH, HEIGHT = 640, 480
SAMPLE_S = 1.0
# Until the node has heard of all cameras, and after the last frame.
SETTLE_S = 1.5
# Threads that infer: the engine's own, and rayon's, which have the name of the thread that started them.
INFERENCE = ("engine", "rayon")
MOST_CPU_PERCENT = 10.0
# The allocator keeps a little more from time to time; a stalled machine may hold more frames, and says so here.
MOST_GROWTH_MIB = 8.0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300, help="how long the cameras send (default 300)")
    parser.add_argument("--cameras", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--rate", type=float, default=30, help="frames per second of each camera (default 30)")
    parser.add_argument("--sampling", type=float, default=2.0, help="sampling.rate_hz of the node (default 2)")
    parser.add_argument("--model", type=Path, default=ROOT / "tests/golden/tied", help="model folder (default a tiny one)")
    parser.add_argument("--max-pixels", type=int, default=4096, help="processor.max_pixels (default 4096; 0: the model's)")
    parser.add_argument("--episode", type=float, default=30, help="episode.max_duration_s (default 30)")
    parser.add_argument(
        "--profile", action=argparse.BooleanOptionalAction, default=True, help="config/fastdds_shm.xml on both sides"
    )
    parser.add_argument("--log", type=Path, help="where the node's log goes (default a temporary file)")
    parser.add_argument("--send", metavar="TOPIC", help=argparse.SUPPRESS)
    return parser.parse_args()


def ros_environment(profile):
    """Before anything of ROS is loaded: other machines and other nodes are none of our business."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["ROS_LOCALHOST_ONLY"] = "1"
    os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randrange(100, 200))
    # The variable's name before and since Fast DDS 3.
    for variable in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        os.environ.pop(variable, None)
    if profile:
        before_3 = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
        variable = "FASTRTPS_DEFAULT_PROFILES_FILE" if before_3 else "FASTDDS_DEFAULT_PROFILES_FILE"
        os.environ[variable] = str(ROOT / "config/fastdds_shm.xml")


# --- a camera, in a process of its own ---


def send(topic, seconds, rate_hz):
    """Publishes frames by the clock and writes what it did as JSON to standard output."""
    import numpy as np
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("camera_" + topic.strip("/").replace("/", "_"), namespace=NAMESPACE)
    publisher = node.create_publisher(Image, topic, qos_profile_sensor_data)
    message = Image(width=WIDTH, height=HEIGHT, encoding="rgb8", step=3 * WIDTH)
    message.header.frame_id = topic
    noise = np.random.default_rng(0).integers(0, 256, 3 * WIDTH * HEIGHT, dtype=np.uint8)
    message.data = array("B", noise.tobytes())
    patience = time.monotonic() + 20
    while publisher.get_subscription_count() == 0:
        if time.monotonic() > patience:
            sys.exit(f"the node does not subscribe to {NAMESPACE}/{topic}")
        time.sleep(0.01)
    time.sleep(SETTLE_S)
    begin, late_s, sent = time.monotonic(), [], round(seconds * rate_hz)
    for frame in range(sent):
        due = begin + frame / rate_hz
        time.sleep(max(0.0, due - time.monotonic()))
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        late_s.append(time.monotonic() - due)
    time.sleep(SETTLE_S)
    print(json.dumps({"sent": sent, "seconds": time.monotonic() - begin - SETTLE_S, "late_s": max(late_s)}))
    rclpy.shutdown()


# --- what the node costs ---


class Costs:
    """Samples a process each second: its CPU time by thread, and its memory."""

    def __init__(self, pid):
        self.proc = Path(f"/proc/{pid}")
        self.begin = self.threads()
        self.begun = time.monotonic()
        self.memory = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def threads(self):
        """{thread id: (name, CPU seconds so far)}"""
        found = {}
        for task in (self.proc / "task").iterdir():
            try:
                name, fields = (task / "stat").read_text().split("(", 1)[1].rsplit(") ", 1)
            except (FileNotFoundError, ProcessLookupError):
                continue
            user, system = fields.split()[11:13]
            found[task.name] = name, (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        return found

    def _sample(self):
        while not self._over.wait(SAMPLE_S):
            status = (self.proc / "status").read_text()
            kib = {line.split(":")[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith("Rss")}
            self.memory.append((time.monotonic() - self.begun, kib["RssAnon"] / 1024, kib["RssShmem"] / 1024))

    def end(self, busy_s):
        """{thread name: (threads, CPU in percent of a core)}, as if all of it was spent in the time that was busy."""
        self._over.set()
        self._thread.join()
        by_name = {}
        # A thread that has ended in between is not counted; the node's live as long as it does.
        for thread, (name, cpu_s) in self.threads().items():
            before = self.begin.get(thread, (name, 0.0))[1]
            count, percent = by_name.get(name, (0, 0.0))
            by_name[name] = count + 1, percent + 100 * (cpu_s - before) / busy_s
        return by_name

    def memory_at(self, second):
        return min(self.memory, key=lambda sample: abs(sample[0] - second))


class Listener:
    """What the node says of itself: latencies of its scores, and its newest /diagnostics."""

    def __init__(self):
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor
        from topreward.msg import Progress

        rclpy.init()
        self.node = rclpy.create_node("load_test", namespace=NAMESPACE)
        self.latencies_s, self.errors = [], set()
        self.node.create_subscription(Progress, "topreward/progress", self._score, 100)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._report, 100)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin)
        self._thread.start()

    def _score(self, message):
        self.latencies_s.append(message.latency.sec + message.latency.nanosec * 1e-9)

    def _report(self, message):
        self.errors |= {f"{status.name}: {status.message}" for status in message.status if status.level == b"\x02"}

    def end(self):
        import rclpy

        self._executor.shutdown()
        self._thread.join()
        rclpy.try_shutdown()


# --- the run ---


def start_node(options, log):
    from node_process import NodeProcess

    parameters = {
        "model.path": options.model.resolve(),
        "processor.max_pixels": options.max_pixels,
        "instruction": "put the cup on the plate",
        "sampling.rate_hz": options.sampling,
        "episode.max_duration_s": options.episode,
        # Never reached: an episode that ends in success would leave the node idle.
        "success.threshold_nats": 0.0,
    }
    more = []
    if options.cameras > 1:
        more = ["--ros-args", "-p", f"cameras:=[{','.join(names(options.cameras))}]"]
    node = NodeProcess(NAMESPACE, log, parameters, more)
    node.wait_for_log("is ready", patience_s=300)
    return node


def names(cameras):
    return [chr(ord("a") + index) for index in range(cameras)]


def start_cameras(options):
    topics = ["image_raw"] if options.cameras == 1 else [f"{name}/image_raw" for name in names(options.cameras)]
    own = [sys.executable, __file__, "--seconds", str(options.seconds), "--rate", str(options.rate)]
    own += ["--profile" if options.profile else "--no-profile"]
    return [subprocess.Popen([*own, "--send", topic], stdout=subprocess.PIPE, text=True) for topic in topics]


def run(options, log):
    """Everything that was measured, as a dictionary."""
    node = start_node(options, log)
    listener, cameras = Listener(), []
    try:
        cameras = start_cameras(options)
        time.sleep(SETTLE_S)
        costs = Costs(node.process.pid)
        try:
            outputs = [camera.communicate(timeout=options.seconds + 60)[0] for camera in cameras]
        finally:
            threads = costs.end(options.seconds)
        if any(camera.returncode for camera in cameras):
            sys.exit("load_test: a camera failed")
        code = node.stop(patience_s=15)
    finally:
        listener.end()
        for camera in cameras:
            camera.kill()
        node.kill()
    return {
        "cameras": [json.loads(output) for output in outputs],
        "threads": threads,
        "costs": costs,
        "latencies_s": sorted(listener.latencies_s),
        "errors": listener.errors,
        "exit_code": code,
        "account": node.frame_account(),
        "account_line": next(line for line in node.text().splitlines() if " offered = " in line).split("frames: ")[1],
    }


def percentile(ordered, share):
    return 1e3 * ordered[round(share * (len(ordered) - 1))] if ordered else float("nan")


def print_costs(measured):
    """Prints what the threads took; what all but those that infer took, percent of a core."""
    outside = 0.0
    print("CPU by thread, percent of a core")
    for name, (count, percent) in sorted(measured["threads"].items(), key=lambda item: -item[1][1]):
        infers = name.startswith(INFERENCE)
        outside += 0.0 if infers else percent
        if percent >= 0.05:
            print(f"  {name:18} x{count:<3} {percent:7.2f}{'   inference' if infers else ''}")
    print(f"  {'outside inference':18}      {outside:7.2f}")
    return outside


def print_memory(measured, seconds):
    """Prints the memory over time; how much more the node's own is at the end than after the start, MiB."""
    print("resident memory, MiB         own   shared")
    # The first seconds fill caches, queues and the first episode.
    after_start = min(30.0, seconds / 4)
    points = [("after %.0f s" % after_start, after_start), ("half-way", seconds / 2), ("at the end", seconds)]
    samples = [measured["costs"].memory_at(second) for _, second in points]
    for (label, _), (_, own, shared) in zip(points, samples):
        print(f"  {label:24} {own:7.1f}  {shared:7.1f}")
    return samples[-1][1] - samples[0][1]


def report(options, measured):
    """Prints the table; whether all limits were kept."""
    sent = sum(camera["sent"] for camera in measured["cameras"])
    account = measured["account"]
    offered = account["offered"]
    accounted = sum(account.get(part, 0) for part in ("scored", "coalesced", "skipped", "dropped", "pending"))
    latencies = measured["latencies_s"]
    profile = "with" if options.profile else "without"
    print(f"{options.cameras} x {WIDTH}x{HEIGHT} rgb8, {options.rate:g} Hz, {options.seconds:g} s, {profile} fastdds_shm.xml")
    late = max(camera["late_s"] for camera in measured["cameras"])
    slowest = min(camera["sent"] / camera["seconds"] for camera in measured["cameras"])
    print(f"sent {sent}, offered to the node {offered}: {100 * offered / sent:.2f} %")
    print(f"the slowest camera had {slowest:.1f} Hz, the latest frame came {late:.3f} s late")
    outside = print_costs(measured)
    growth = print_memory(measured, options.seconds)
    print(
        f"latency of {len(latencies)} scores, ms: p50 {percentile(latencies, 0.5):.1f}, p99 {percentile(latencies, 0.99):.1f}"
        f", mean {1e3 * statistics.fmean(latencies or [float('nan')]):.1f}"
    )
    print(f"account: {measured['account_line']}")
    limits = [
        (offered == sent, "every frame was delivered"),
        (outside < MOST_CPU_PERCENT, f"below {MOST_CPU_PERCENT:g} % of a core outside inference"),
        (growth < MOST_GROWTH_MIB, f"own memory {growth:+.1f} MiB, less than {MOST_GROWTH_MIB:.0f}"),
        (accounted == offered and "pending" not in account, "the account adds up"),
        (measured["exit_code"] == 0, f"exit status {measured['exit_code']}"),
        (not measured["errors"], "no error on /diagnostics" + "".join(f"\n      {error}" for error in measured["errors"])),
    ]
    for kept, limit in limits:
        print(f"{'ok  ' if kept else 'FAIL'} {limit}")
    return all(kept for kept, _ in limits)


def main():
    options = arguments()
    if options.send:
        return send(options.send, options.seconds, options.rate)
    if not 1 <= options.cameras <= 26:
        sys.exit("load_test: --cameras from 1 to 26")
    ros_environment(options.profile)
    with tempfile.TemporaryDirectory() as folder:
        measured = run(options, options.log or Path(folder) / "node.log")
    return 0 if report(options, measured) else 1


if __name__ == "__main__":
    sys.exit(main())
