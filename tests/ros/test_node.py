"""The process: parameters, names, time, signals, exit codes."""

import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from conftest import ROOT, TINY_MODEL
from node_process import PATIENCE_S, program
from peer import becomes_true, wait_until
from rcl_interfaces.msg import Log, ParameterEvent, ParameterType
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock


def run(*arguments):
    command = [program("topreward_node"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def png(width, height):
    """A grey picture."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + b"\x80" * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_node_in_order(start_node, peer, how):
    node = start_node()
    peer.film([50, 60, 70])
    begun = time.monotonic()
    assert node.stop(how) == 0
    assert time.monotonic() - begun < 2.5
    account = node.frame_account()
    assert account["offered"] == sum(account[column] for column in ("scored", "coalesced", "skipped", "dropped"))


def test_a_signal_during_a_long_inference_ends_the_node_in_time(start_node, peer):
    node = start_node(image__transport="compressed", processor__max_pixels=13_000_000, diagnostics__period_s=0.1)
    peer.wait_for_subscriber(peer.compressed)
    peer.send_compressed(0.0, png(4096, 3072), "png")
    wait_until(lambda: peer.status("episode")[2].get("frames") == "1", "the model has the frame")
    begun = time.monotonic()
    assert node.stop(signal.SIGTERM) == 0
    assert time.monotonic() - begun < 2
    # It was still at it, so this has seen an inference cut off.
    assert node.frame_account()["shutdown"] == 1 and peer.progress == []


def test_a_signal_ends_a_node_that_is_held_up(namespace):
    """Nobody reads its log: it waits for ever where it begins to write."""
    log, full = os.pipe()
    os.set_blocking(full, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(full, b"x")
    os.set_blocking(full, True)
    node = subprocess.Popen([program("topreward_node"), "--ros-args", "-r", f"__ns:={namespace}"], stdout=full, stderr=full)
    try:
        wait_until(lambda: node.poll() is not None or keeps_signals(node.pid), "it keeps signals")
        with pytest.raises(subprocess.TimeoutExpired):
            node.wait(2)
        begun = time.monotonic()
        node.send_signal(signal.SIGTERM)
        assert node.wait(20) == 70
        assert time.monotonic() - begun < 4
    finally:
        node.kill()
        node.wait()
        os.close(log)
        os.close(full)


def keeps_signals(pid):
    """Whether a process has a handler of its own for SIGTERM."""
    (caught,) = [line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt")]
    return int(caught, 16) >> (signal.SIGTERM - 1) & 1 == 1


def test_a_node_that_ends_takes_its_shared_memory_along(start_node):
    node = start_node()
    links = [os.readlink(link) for link in Path(f"/proc/{node.process.pid}/fd").iterdir()]
    # Fast DDS keeps the lock beside each of its segments open. Ports belong to nobody.
    locks = [Path(link) for link in links if link.startswith("/dev/shm/fast") and "_port" not in link]
    if not locks:
        pytest.skip("this middleware has no shared memory")
    assert node.stop(patience_s=PATIENCE_S) == 0
    assert [lock for lock in locks if lock.exists()] == []


def test_a_signal_while_the_model_loads_ends_the_node(start_node):
    node = start_node(ready=False)
    node.wait_for_log("loading")
    assert node.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (["-p", "model.path:=/no/such/folder"], "/no/such/folder"),
        (["-p", f'model.path:="{TINY_MODEL}"', "-p", "sampling.rate_hz:=fast"], 'parameter sampling.rate_hz: "fast" is not a number'),
        (["-p", f'model.path:="{TINY_MODEL}"', "-p", "success.threshold_nats:=0.5"], "success.threshold_nats"),
        (["-p", f'model.path:="{TINY_MODEL}"', "-p", "image.transport:=zip"], "zip"),
        (["-p", "instruction:=x"], "parameter model.path: it is empty"),
        (["--params-file", "/no/such/file.yaml"], "/no/such/file.yaml"),
        (["-p", "half a rule"], "half a rule"),
    ],
    ids=["no model", "wrong type", "out of range", "no such value", "no model path", "no params file", "bad argument"],
)
def test_what_the_user_can_put_right_is_one_line_and_exit_2(parameters, said):
    done = run("--ros-args", *parameters)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("topreward_node:")]
    assert said in line
    assert "panicked" not in done.stderr


def test_own_arguments():
    assert run("--help").returncode == 0
    assert run("--version").stdout.startswith("topreward ")
    done = run("--verbose")
    assert done.returncode == 2 and "--verbose" in done.stderr


def test_an_unknown_parameter_is_answered_with_the_nearest(start_node):
    node = start_node(succes__hold_s=1.0)
    assert 'did you mean "success.hold_s"?' in node.text()


def test_parameters_are_listed_described_and_read(start_node, peer):
    start_node(sampling__rate_hz=4)  # an integer for a double
    client = peer.parameters()
    names = peer.result(client.list_parameters([], 0)).result.names
    assert {"instruction", "model.path", "success.threshold_nats", "use_sim_time"} <= set(names)
    values = peer.result(client.get_parameters(["sampling.rate_hz", "success.window", "episode.auto_start"])).values
    assert values[0].type == ParameterType.PARAMETER_DOUBLE and values[0].double_value == 4.0
    assert values[1].integer_value == 3
    assert values[2].bool_value is True
    descriptors = peer.result(client.describe_parameters(names)).descriptors
    assert all(descriptor.description for descriptor in descriptors)


def test_descriptors_show_ranges_and_what_is_read_only(start_node, peer):
    start_node()
    names = ["success.hold_s", "success.threshold_nats", "success.window", "sampling.rate_hz", "use_sim_time"]
    hold, threshold, window, rate, sim_time = peer.result(peer.parameters().describe_parameters(names)).descriptors
    (seconds,) = hold.floating_point_range
    assert (hold.type, seconds.from_value, seconds.to_value, hold.read_only) == (ParameterType.PARAMETER_DOUBLE, 0.0, 86400.0, False)
    assert threshold.floating_point_range[0].to_value == 0.0
    assert (window.type, window.integer_range[0].from_value, window.integer_range[0].to_value) == (ParameterType.PARAMETER_INTEGER, 1, 1000)
    assert rate.read_only and rate.additional_constraints == "above 0 and at most 1000"
    assert sim_time.read_only and sim_time.type == ParameterType.PARAMETER_BOOL


def test_parameters_are_set_while_the_node_runs_or_refused_with_a_reason(start_node, peer):
    start_node()
    client = peer.parameters()

    def outcome(name, value):
        (result,) = peer.result(client.set_parameters([Parameter(name, value=value)])).results
        return result.successful, result.reason

    def value(name):
        return parameter_value_to_python(peer.result(client.get_parameters([name])).values[0])

    assert outcome("instruction", "wipe the table") == (True, "")
    peer.film([50])
    assert peer.wait_for("progress")[0].instruction == "wipe the table"
    assert outcome("success.hold_s", 2) == (True, "")  # an integer for a double
    assert value("success.hold_s") == 2.0
    for name, wrong, reason in [
        ("instruction", " ", "empty"),
        ("success.hold_s", -1.0, "-1 is not from 0 to 86400"),
        ("success.hold_s", [1.0], "is not a number"),
        ("sampling.rate_hz", 4.0, "needs a restart"),
        ("succes.window", 5, 'did you mean "success.window"?'),
    ]:
        done, said = outcome(name, wrong)
        assert not done and reason in said, (name, said)
    assert (value("success.hold_s"), value("sampling.rate_hz"), value("instruction")) == (2.0, 2.0, "wipe the table")
    together = [Parameter("success.window", value=4), Parameter("success.hold_s", value=-2.0)]
    assert not peer.result(client.set_parameters_atomically(together)).result.successful
    assert value("success.window") == 3


def test_a_threshold_set_while_the_node_runs_counts(start_node, peer):
    start_node(success__threshold_nats=0.0, success__hold_s=0.0, success__min_frames=1)
    peer.film([10, 20, 30, 40])
    wait_until(lambda: peer.status("episode")[2]["verdict"] == "below_threshold", "the mean is below 0")
    assert peer.success == []
    wanted = Parameter("success.threshold_nats", value=-100.0)
    assert peer.result(peer.parameters().set_parameters([wanted])).results[0].successful
    # Looked for anew, and true from its start: no success on the spot.
    peer.film([50, 60, 70, 80], from_s=2)
    wait_until(lambda: peer.status("episode")[2]["verdict"] == "true_from_the_start", "diagnostics say so")
    assert peer.success == []


def test_parameter_events_tell_of_every_change_by_whatever_way(start_node, peer):
    peer.listen("/parameter_events", ParameterEvent, 100)
    name = f"{peer.namespace}/topreward"
    start_node()
    client = peer.parameters()

    def changes():
        events = [event for event in peer.received["parameter_events"] if event.node == name]
        return [(p.name, parameter_value_to_python(p.value)) for event in events for p in event.changed_parameters]

    peer.result(client.set_parameters([Parameter("success.window", value=4), Parameter("success.window", value=0)]))
    peer.result(client.set_parameters([Parameter("instruction", value="one")]))
    assert peer.set_instruction("two").success
    peer.say("topreward/instruction", "three")
    wait_until(lambda: len(changes()) >= 4, "four changes are told")
    assert changes() == [("success.window", 4), ("instruction", "one"), ("instruction", "two"), ("instruction", "three")]
    assert all(event.stamp.sec > 0 for event in peer.received["parameter_events"] if event.node == name)


def test_what_is_logged_comes_on_rosout(start_node, peer):
    peer.listen("/rosout", Log, QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    name = f"{peer.namespace[1:]}.topreward"

    def said(level):
        level = ord(level) if isinstance(level, bytes) else level  # a byte until Jazzy
        return [entry.msg for entry in peer.received["rosout"] if entry.name == name and entry.level == level]

    start_node(succes__hold_s=1.0)
    wait_until(lambda: any("is ready" in text for text in said(Log.INFO)), "an INFO line comes")
    assert any('did you mean "success.hold_s"' in text for text in said(Log.WARN))
    peer.say("topreward/instruction", " ")
    wait_until(lambda: any("instruction is empty" in text for text in said(Log.ERROR)), "an ERROR line comes")
    entry = [entry for entry in peer.received["rosout"] if entry.name == name][-1]
    assert entry.stamp.sec > 0 and entry.file.endswith(".rs") and entry.line > 0


def test_remapping_and_parameter_files_work(start_node, peer, tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("/**:\n  ros__parameters:\n    success.window: 4\n    instruction: from the file\n")
    camera = f"{peer.namespace}/somewhere/else"
    start_node("--params-file", str(params), "-r", f"image_raw:={camera}")
    wait_until(lambda: peer.node.count_subscribers(camera) == 1, "the remapped topic is subscribed")
    client = peer.parameters()
    values = peer.result(client.get_parameters(["success.window"])).values
    assert values[0].integer_value == 4


def test_diagnostics_come_every_second_and_go_by_simulated_time(start_node, peer):
    start_node(use_sim_time=True)
    clock = peer.node.create_publisher(Clock, "/clock", 10)
    message = Clock()
    message.clock.sec = 4321
    wait_until(lambda: clock.get_subscription_count() > 0, "the node listens to /clock")

    def stamped():
        clock.publish(message)
        return becomes_true(lambda: any(report.header.stamp.sec == 4321 for report in peer.diagnostics), 0.1)

    wait_until(stamped, "diagnostics carry the simulated time")
    peer.wait_for("diagnostics", len(peer.diagnostics) + 1)
    begun = time.monotonic()
    peer.wait_for("diagnostics", len(peer.diagnostics) + 2)
    assert 1.5 < time.monotonic() - begun < 2.5
    parts = {status.name.rsplit(": ", 1)[1] for status in peer.diagnostics[-1].status}
    assert parts == {"model", "episode", "frames", "latency", "camera camera"}


@pytest.mark.skipif(
    not (ROOT / "models/so101-sim/model.safetensors").exists(), reason="the embedded model is not in models/so101-sim"
)
def test_the_demo_judges_every_episode_rightly(tmp_path):
    command = [sys.executable, ROOT / "tools/ros/demo.py", "--headless", "--log", tmp_path / "node.log"]
    environment = os.environ | {"ROS_DOMAIN_ID": str((int(os.environ["ROS_DOMAIN_ID"]) + 1) % 200)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 wrong" in done.stdout
