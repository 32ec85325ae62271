"""topreward_node for hours: three cameras, successes, resets, services called at random. Does anything grow or get lost?

    ./dev soak --hours 1

Each camera is a process of its own that counts what it sends. All of them show the same film over and over: first dark, then
bright, which is a success for the model that answers from a script; the robot is reset and the next episode begins. Both
sides use config/fastdds_shm.xml. Ends with 0 when every limit was kept.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections import Counter
from pathlib import Path

from load_test import names, ros_environment
from scene import Scene, exact_reports

# Seconds of the film: how long it is, and where it turns bright.
FILM_S, BRIGHT_S = 10.0, 5.0
SAMPLE_S = 5.0
# What may come and go: a thread of a client that joins, a descriptor of a log that turns.
MOST_THREADS, MOST_DESCRIPTORS = 2, 4
MOST_MIB_PER_HOUR = 8.0
# A slope of less is of the first minutes and of single stalls.
LEAST_JUDGED_S = 1800
# Until caches, queues and the allocator's arenas have their size.
WARM_SHARE, WARM_S = 0.2, 600


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0, help="how long (default 1)")
    parser.add_argument("--rate", type=float, default=30, help="frames per second of each camera (default 30)")
    size = {"type": int, "nargs": 2, "default": [640, 480], "metavar": ("W", "H")}
    parser.add_argument("--size", **size, help="of the images (default 640 480)")
    parser.add_argument("--cameras", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the random calls (default 0)")
    parser.add_argument("--log", type=Path, help="folder for the node's log (default a temporary one)")
    parser.add_argument("--send", metavar="TOPIC", help=argparse.SUPPRESS)
    return parser.parse_args()


# --- a camera, in a process of its own ---


def send(options):
    """Publishes the film by the clock until it is told to stop, and writes how many frames it sent."""
    import rclpy
    from peer import shades
    from rclpy.qos import qos_profile_sensor_data
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import Image

    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("camera_" + options.send.strip("/").replace("/", "_"))
    publisher = node.create_publisher(Image, options.send, qos_profile_sensor_data)
    width, height = options.size
    message = Image(width=width, height=height, encoding="rgb8", step=3 * width)
    message.header.frame_id = options.send
    pictures = [array("B", shades(value, 3 * width * height).tobytes()) for value in (10, 240)]
    while publisher.get_subscription_count() == 0 and not stopped:
        time.sleep(0.01)
    time.sleep(1.5)  # the node must know of the camera too
    begin, sent, late_s = time.monotonic(), 0, 0.0
    while not stopped:
        due = begin + sent / options.rate
        time.sleep(max(0.0, due - time.monotonic()))
        late_s = max(late_s, time.monotonic() - due)
        message.data = pictures[time.time() % FILM_S >= BRIGHT_S]
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        sent += 1
    time.sleep(1)
    print(json.dumps({"sent": sent, "late_s": late_s}))
    rclpy.shutdown()


# --- the node's costs ---


def costs(pid):
    """(own memory in MiB, shared memory in MiB, descriptors, threads)"""
    proc = Path(f"/proc/{pid}")
    lines = (line.split() for line in (proc / "status").read_text().splitlines())
    found = {words[0]: int(words[1]) for words in lines if words[0] in ("RssAnon:", "RssShmem:", "Threads:")}
    return found["RssAnon:"] / 1024, found["RssShmem:"] / 1024, len(list((proc / "fd").iterdir())), found["Threads:"]


def per_hour(samples, column):
    """The slope of a straight line through the samples, an hour."""
    slope, _ = statistics.linear_regression([at for at, *_ in samples], [row[column] for _, *row in samples])
    return 3600 * slope


# --- what is called ---


class Caller:
    """Calls a service of the node at random, and counts what was called."""

    def __init__(self, peer):
        from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
        from rcl_interfaces.srv import SetParameters
        from std_srvs.srv import Trigger
        from topreward.srv import SetInstruction

        self.peer, self.called, self.unanswered = peer, Counter(), 0
        hold = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.5)
        texts = ["lift the cup", "put the cup on the plate", "把杯子拿起来"]
        self._calls = {
            # An episode that a person has ended waits for a person to start the next one.
            "start_episode": (Trigger, 4, Trigger.Request),
            "end_episode": (Trigger, 1, Trigger.Request),
            "reset_episode": (Trigger, 1, Trigger.Request),
            "set_instruction": (SetInstruction, 2, lambda: SetInstruction.Request(instruction=random.choice(texts))),
            "set_parameters": (
                SetParameters, 2, lambda: SetParameters.Request(parameters=[Parameter(name="success.hold_s", value=hold)]),
            ),
        }  # fmt: skip
        self._clients = {name: peer.node.create_client(kind, f"topreward/{name}") for name, (kind, _, _) in self._calls.items()}

    def call(self):
        from peer import becomes_true

        name = random.choices(list(self._calls), [weight for _, weight, _ in self._calls.values()])[0]
        future = self._clients[name].call_async(self._calls[name][2]())
        self.called[name] += 1
        if not becomes_true(future.done, 5):
            self.unanswered += 1


class Reports:
    """Every report on /diagnostics: whether its account adds up. Messages are forgotten once they were read."""

    def __init__(self, peer):
        self._peer, self.exact, self.all, self.errors, self.scores = peer, 0, 0, Counter(), 0

    def read(self):
        news = self._taken("diagnostics")
        for report in news:
            self.errors.update(status.message for status in report.status if status.level == b"\x02")
        exact, reports = exact_reports(news)
        self.exact, self.all = self.exact + exact, self.all + reports
        self.scores += len(self._taken("progress"))
        for topic in ("progress_value", "success_flag"):
            self._taken(topic)

    def _taken(self, topic):
        """What was heard so far; more may come meanwhile."""
        heard = self._peer.received[topic]
        news = heard[:]
        del heard[: len(news)]
        return news


# --- the run ---


def run(options, folder):
    import scripted

    topics = [f"{name}/image_raw" for name in names(options.cameras)]
    parameters = scripted.SUCCESS | {
        "cameras": names(options.cameras), "success.hold_s": 0.5, "episode.max_duration_s": 60.0,
        # The next episode begins when the film is dark again: one that looks done from its start never succeeds.
        "reset.settle_s": 3.5, "diagnostics.period_s": 1.0,
    }  # fmt: skip
    with Scene(folder, parameters) as scene:
        scene.start(ready=False)
        scene.node.wait_for_log("is ready", patience_s=60)
        own = [sys.executable, __file__, "--rate", str(options.rate), "--size", *map(str, options.size)]
        each = [[*own, "--send", f"{scene.namespace}/{topic}"] for topic in topics]
        cameras = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in each]
        try:
            samples, caller, reports = watch(scene, options.hours * 3600)
            for camera in cameras:
                camera.terminate()
            sent = [json.loads(camera.communicate(timeout=20)[0]) for camera in cameras]
        finally:
            for camera in cameras:
                camera.kill()
        time.sleep(2)
        reports.read()
        code, seconds = scene.end(signal.SIGINT)
        return {
            "sent": sent, "samples": samples, "caller": caller, "reports": reports, "code": code, "exit_s": seconds,
            "account": scene.node.frame_account(), "resets": scene.peer.resets, "successes": len(scene.peer.success),
            "ended": Counter(episode.end_reason for episode in scene.peer.episode),
        }  # fmt: skip


def watch(scene, seconds):
    """Samples the node's costs and calls services until the time is over."""
    samples, caller, reports = [], Caller(scene.peer), Reports(scene.peer)
    begin = time.monotonic()
    next_sample, next_call, next_line = begin, begin + 10, begin + 60
    while time.monotonic() < begin + seconds:
        time.sleep(0.1)
        now = time.monotonic()
        if scene.node.process.poll() is not None:
            sys.exit(f"soak: the node ended with {scene.node.process.returncode}:\n{scene.node.text()[-3000:]}")
        if now >= next_sample:
            next_sample += SAMPLE_S
            samples.append((now - begin, *costs(scene.node.process.pid)))
            reports.read()
        if now >= next_call:
            caller.call()
            next_call = now + random.uniform(1, 8)
        if now >= next_line:
            next_line += 60
            memory, shared, descriptors, threads = samples[-1][1:]
            print(
                f"{(now - begin) / 60:.0f} min: {memory:.1f} MiB, {descriptors} descriptors, {threads} threads, "
                f"{len(scene.peer.success)} successes, {scene.peer.resets} resets, {reports.exact} of {reports.all} accounts",
                flush=True,
            )
    return samples, caller, reports


def report(options, found):
    """Prints what was found; whether every limit was kept."""
    samples, account, caller, reports = found["samples"], found["account"], found["caller"], found["reports"]
    sent = sum(camera["sent"] for camera in found["sent"])
    warm = [sample for sample in samples if sample[0] >= min(WARM_S, WARM_SHARE * samples[-1][0])]
    lost = sent - account["offered"]
    width, height = options.size
    late_s = max(camera["late_s"] for camera in found["sent"])
    what = f"{options.cameras} cameras of {width}x{height} at {options.rate:g} Hz"
    print(f"{samples[-1][0]:.0f} s, {what}, {late_s:.2f} s late at most")
    print(f"frames: {sent} sent = {account['offered']} received + {lost} lost by transport ({100 * lost / sent:.3f} %)")
    print("account: " + ", ".join(f"{name} {count}" for name, count in account.items()))
    print(f"episodes: {dict(found['ended'])}; {reports.scores} fused scores")
    print(f"successes {found['successes']}, resets called {found['resets']}; services called: {dict(caller.called)}")
    growth = {}
    for column, name in enumerate(["own memory, MiB", "shared memory, MiB", "descriptors", "threads"]):
        values, growth[column] = [sample[column + 1] for sample in warm], per_hour(warm, column)
        first_last = f"{values[0]:.1f} at first, {values[-1]:.1f} at last"
        print(f"{name}: {first_last}, {min(values):.1f} to {max(values):.1f}, {growth[column]:+.2f} an hour")
    spread = [max(sample[column] for sample in warm) - min(sample[column] for sample in warm) for column in range(1, 5)]
    limits = [
        (
            growth[0] < MOST_MIB_PER_HOUR or samples[-1][0] < LEAST_JUDGED_S,
            f"own memory grows by less than {MOST_MIB_PER_HOUR:g} MiB an hour ({24 * growth[0]:+.0f} MiB in 24 hours); "
            f"judged from {LEAST_JUDGED_S} s on",
        ),
        (spread[2] <= MOST_DESCRIPTORS, f"descriptors within {MOST_DESCRIPTORS}"),
        (spread[3] <= MOST_THREADS, f"threads within {MOST_THREADS}"),
        (reports.exact == reports.all > 0, f"the account adds up in {reports.exact} of {reports.all} reports"),
        (lost >= 0, "no more frames were received than sent"),
        (found["successes"] > 0 and found["resets"] == found["successes"], "one reset for each success"),
        (caller.unanswered == 0, f"every call was answered ({caller.unanswered} were not)"),
        (found["code"] == 0 and found["exit_s"] < 2.5, f"exit status {found['code']} after {found['exit_s']:.2f} s"),
        (not reports.errors, "no error on /diagnostics" + "".join(f"\n      {error}" for error in reports.errors)),
    ]
    for kept, limit in limits:
        print(f"{'ok  ' if kept else 'FAIL'} {limit}")
    return all(kept for kept, _ in limits)


def main():
    options = arguments()
    if options.send:
        return send(options)
    random.seed(options.seed)
    os.nice(5)  # a robot's own programs go first
    ros_environment(profile=True)
    import rclpy

    rclpy.init()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.log or Path(temporary)
        folder.mkdir(exist_ok=True)
        found = run(options, folder)
    rclpy.try_shutdown()
    return 0 if report(options, found) else 1


if __name__ == "__main__":
    sys.exit(main())
