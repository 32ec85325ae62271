"""From camera messages to progress."""

import json
import math
import subprocess
from array import array

import numpy as np
import pytest
import yaml
from conftest import EPISODES
from node_process import program
from peer import FIRST_STAMP_NS, becomes_true, wait_until
from rclpy.parameter import Parameter
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import Image

CAMERA = "/camera/image_raw/compressed"


def stamp_ns(header):
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


def test_raw_frames_become_progress(start_node, peer):
    start_node()
    peer.film([20, 60, 100, 140, 180, 220])
    wait_until(lambda: peer.progress and peer.progress[-1].frames == 6, "the sixth frame is scored")
    for message in peer.progress:
        assert message.episode_id == 1
        assert message.instruction == "lift the cup"
        assert message.header.frame_id == "wrist"
        # The header is that of the newest frame that was scored.
        assert stamp_ns(message.header) == FIRST_STAMP_NS + (message.frames - 1) * 500_000_000
        assert message.episode_time.sec + message.episode_time.nanosec * 1e-9 == (message.frames - 1) * 0.5
        assert message.log_prob_true < 0 and message.log_prob_false < 0
        assert 0 <= message.progress <= 1
        latency, inference = (d.sec + d.nanosec * 1e-9 for d in (message.latency, message.inference))
        assert 0 < inference <= latency + 1e-6 < 10
    assert peer.progress[0].progress == 0
    frames = [message.frames for message in peer.progress]
    assert frames == sorted(set(frames))
    wait_until(lambda: len(peer.progress_value) == len(peer.progress), "a plain value beside each progress")
    assert [value.data for value in peer.progress_value] == [np.float32(m.progress) for m in peer.progress]


def test_a_recording_is_scored_from_its_jpegs(start_node, peer):
    bag = EPISODES / "01_success_red.mcap"
    start_node(image__transport="compressed", processor__max_pixels=16384)
    peer.wait_for_subscriber(peer.compressed)
    with AnyReader([bag]) as reader:
        connections = [c for c in reader.connections if c.topic == CAMERA]
        messages = [reader.deserialize(data, c.msgtype) for c, _, data in reader.messages(connections)][:30]
    # 30 frames at 10 Hz, sampled at 2 Hz: 0, 5, 10, 15, 20, 25
    for index, message in enumerate(messages):
        peer.send_compressed(stamp_ns(message.header) / 1e9 - FIRST_STAMP_NS / 1e9, message.data.tobytes(), message.format)
        if index % 5 == 0:
            frames = index // 5 + 1
            wait_until(lambda: peer.progress and peer.progress[-1].frames == frames, f"sample {frames} is scored")
    assert stamp_ns(peer.progress[-1].header) == stamp_ns(messages[25].header)


COLOUR = 200, 100, 50


def packed(order, width, height, kind="u1"):
    """An evenly coloured picture; `order` names the channels, x for one that means nothing."""
    values = [dict(zip("rgbx", (*COLOUR, 9)))[channel] for channel in order]
    scale = 1 if kind == "u1" else 257
    return np.tile(np.array(values, np.uint16) * scale, (height, width)).astype(kind)


def mosaic(pattern, width, height, kind="u1"):
    rows = [packed(pattern[start : start + 2], width // 2, 1, kind) for start in (0, 2)]
    return np.tile(np.concatenate(rows), (height // 2, 1))


def encodings(width, height):
    """{name: (rows of the picture, big-endian, whether it is the white one)} of every encoding that the node reads."""
    pictures = {}
    for name, order in [("rgb", "rgb"), ("bgr", "bgr"), ("rgba", "rgbx"), ("bgra", "bgrx")]:
        pictures[f"{name}8"] = packed(order, width, height), False, False
        pictures[f"{name}16"] = packed(order, width, height, "<u2"), False, False
    pictures["8UC3"] = packed("bgr", width, height), False, False
    pictures["8UC4"] = packed("bgrx", width, height), False, False
    pictures["big-endian rgb16"] = packed("rgb", width, height, ">u2"), True, False
    for pattern in ("rggb", "bggr", "gbrg", "grbg"):
        pictures[f"bayer_{pattern}8"] = mosaic(pattern, width, height), False, False
        pictures[f"bayer_{pattern}16"] = mosaic(pattern, width, height, "<u2"), False, False
    # White in BT.601: luma 235, no chroma.
    pictures |= {name: (np.full((height, width), 255, np.uint8), False, True) for name in ("mono8", "8UC1")}
    pictures["mono16"] = np.full((height, width), 65535, "<u2"), False, True
    for names, pair in [(("yuyv", "yuv422_yuy2"), (235, 128)), (("uyvy", "yuv422"), (128, 235))]:
        pictures |= {name: (np.tile(np.array(pair, np.uint8), (height, width)), False, True) for name in names}
    for name, chroma_rows in [("nv12", height // 2), ("nv21", height // 2), ("nv24", 2 * height)]:
        planes = [np.full((height, width), 235, np.uint8), np.full((chroma_rows, width), 128, np.uint8)]
        pictures[name] = np.concatenate(planes), False, True
    return pictures


def test_every_encoding_of_a_picture_gets_the_same_reward(start_node, peer):
    start_node()
    peer.wait_for_subscriber(peer.raw)
    width, height = 64, 48

    def reward(name, rows, big, episode):
        message = Image(width=width, height=height, encoding=name.split()[-1], step=rows[0].nbytes, is_bigendian=big)
        message.header.stamp.sec = 1_700_000_000 + episode
        message.data = array("B", rows.tobytes())
        for _ in range(4):
            peer.raw.publish(message)
            if becomes_true(lambda: peer.progress and peer.progress[-1].episode_id == episode, 2):
                break
        score = peer.progress[-1]
        assert score.episode_id == episode and math.isfinite(score.log_prob_true), name
        assert peer.call("reset_episode").success
        return score.log_prob_true

    coloured = reward("rgb8", packed("rgb", width, height), False, 1)
    white = reward("rgb8", np.full((height, 3 * width), 255, np.uint8), False, 2)
    assert coloured != white
    for episode, (name, (rows, big, is_white)) in enumerate(encodings(width, height).items(), 3):
        assert reward(name, rows, big, episode) == (white if is_white else coloured), name


def test_frames_between_samples_are_skipped_and_every_frame_is_accounted_for(start_node, peer):
    node = start_node()
    peer.film([80])  # the stream begins when the first frame has come through
    peer.stream([80] * 20, from_s=0.1)
    wait_until(lambda: peer.progress[-1].frames == 5, "the fifth sample is scored")
    peer.send_raw(2.0, 80)  # again the last stamp
    peer.send_raw(1.0, 80)  # back in time
    peer.send_raw(3.0, 80, size=(32, 32))
    wait_until(lambda: peer.status("frames")[2].get("dropped") == "3", "diagnostics count three dropped frames")
    level, _, values = peer.status("frames")
    assert values["dropped.duplicate"] == values["dropped.out_of_order"] == values["dropped.size_changed"] == "1"
    assert values["offered"] == "24" and values["skipped"] == "16"
    assert peer.call("end_episode").success
    peer.send_raw(4.0, 80)
    wait_until(lambda: peer.status("frames")[2].get("dropped.no_episode") == "1", "a frame without an episode is counted")
    assert node.stop() == 0
    account = node.frame_account()
    assert account["offered"] == 25 == sum(account[column] for column in ("scored", "coalesced", "skipped", "dropped"))
    assert account["scored"] + account["coalesced"] == 5
    assert "pending" not in account


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_an_image_that_cannot_be_read_is_counted_and_reported_once(start_node, peer, transport):
    node = start_node(image__transport=transport)
    if transport == "raw":
        peer.wait_for_subscriber(peer.raw)
        for index in range(5):
            peer.send_raw(index * 0.5, encoding="32FC1")
    else:
        peer.wait_for_subscriber(peer.compressed)
        for index in range(5):
            peer.send_compressed(index * 0.5, b"\xff\xd8 no picture")
    wait_until(lambda: peer.status("frames")[2].get("dropped.undecodable") == "5", "five undecodable images")
    assert node.text().count("an image cannot be decoded") == 1
    assert peer.progress == []
    assert node.stop() == 0
    assert node.frame_account()["undecodable"] == 5


def test_an_instruction_that_is_too_long_is_refused_whichever_way_it_comes(start_node, peer):
    node = start_node(model__max_instruction_tokens=8, instruction="lift it")
    long = "one two three four five six seven " * 3
    answer = peer.set_instruction(long)
    assert not answer.success and "more than the 8 allowed" in answer.message
    (result,) = peer.result(peer.parameters().set_parameters([Parameter("instruction", value=long)])).results
    assert not result.successful and "more than the 8 allowed" in result.reason
    peer.say("topreward/instruction", long)
    node.wait_for_log("~/instruction: the instruction has")
    for strange in ("ring the \x07 bell", " \n "):
        assert not peer.set_instruction(strange).success
    peer.film([50])
    assert peer.progress[-1].instruction == "lift it"


def test_an_instruction_that_is_too_long_at_the_start_is_one_line_and_exit_2(start_node):
    node = start_node(ready=False, model__max_instruction_tokens=8, instruction="one two three four five six seven")
    assert node.exit_code() == 2
    assert "parameter instruction: the instruction has" in node.text()


def test_what_an_unchanged_scene_gains_is_no_progress(start_node, peer):
    start_node(bias__control="static")
    peer.film([120] * 6)
    first = peer.progress[0].log_prob_true
    assert len({message.log_prob_true for message in peer.progress}) > 1, "the tiny model's reward moves with length"
    for message in peer.progress:
        # The same pictures: the control says what the reward says.
        assert message.control == message.log_prob_true
        assert message.corrected == pytest.approx(first) and message.progress == 0.0
    peer.film([10, 240], from_s=3.0)
    assert peer.progress[-1].control != peer.progress[-1].log_prob_true


def test_without_a_control_the_reward_stands_for_itself(start_node, peer):
    start_node()
    peer.film([20, 200])
    assert all(math.isnan(m.control) and m.corrected == m.log_prob_true for m in peer.progress)
    assert {m.verdict for m in peer.progress} == {"gathering"}


def test_every_third_prefix_is_scored_or_on_request(start_node, peer):
    node = start_node(scoring__every=3)
    for index, value in enumerate([50, 90, 130, 170]):
        peer.wait_for_subscriber(peer.raw)
        seen = str(index + 1)
        for _ in range(4):  # a camera's frames may get lost on the way
            peer.send_raw(index * 0.5, value)
            if becomes_true(lambda: peer.status("episode")[2].get("frames") == seen, 2.5):
                break
    assert [message.frames for message in peer.progress] == [3]
    answer = peer.call("score_now")
    assert answer.success
    wait_until(lambda: len(peer.progress) == 2, "a score is asked for")
    assert peer.progress[1].frames == 4
    assert node.stop() == 0
    account = node.frame_account()
    assert account["offered"] == sum(account[column] for column in ("scored", "coalesced", "skipped", "dropped"))


def test_a_frozen_video_is_no_success_and_the_reason_is_told(start_node, peer):
    start_node(success__threshold_nats=-100.0, success__min_frames=1, success__hold_s=0.0, episode__trust_manual_start=True)
    assert peer.call("reset_episode").success
    peer.film([80] * 5)
    wait_until(lambda: peer.status("episode")[2]["verdict"] == "unchanged_video", "diagnostics name the guard")
    assert "success.min_change" in peer.status("episode")[2]["verdict_explained"]
    assert peer.success == [] and peer.progress[-1].verdict == "unchanged_video"
    peer.film([10, 240], from_s=2.5, until=lambda: peer.success)
    peer.wait_for("success")


def calibration(tmp_path, **changes):
    """A file as `topreward calibrate` writes it, for the tiny model as the tests run it."""
    figures = {
        "version": 1,
        "model": {"name": "tiny", "fingerprint": "unknown"},
        "instructions": ["lift the cup"],
        "chat_template": False,
        "max_pixels": 4096,
        "sampling_rate_hz": 2.0,
        "bias_control": "off",
        "success": {"window": 3, "hold_s": 1.0, "min_frames": 6},
        "date": "2026-11-22",
        "episodes": {"successes": 9, "failures": 9},
        "auc": {"value": 0.9, "low": 0.8, "high": 1.0},
        "wanted_false_positive_rate": 0.0,
        "threshold_nats": -3.25,
        "first_nats": -6.0,
        "final_nats": -2.0,
    }
    file = tmp_path / "calibration.yaml"
    file.write_text(yaml.safe_dump(figures | changes))
    return file


def test_a_calibration_sets_the_threshold_and_what_progress_runs_between(start_node, peer, tmp_path):
    probe = start_node()
    wait_until(lambda: peer.status("model")[2].get("fingerprint"), "diagnostics tell the model's fingerprint")
    model = {"name": "tiny", "fingerprint": peer.status("model")[2]["fingerprint"]}
    assert probe.stop() == 0

    node = start_node(calibration__file=calibration(tmp_path, model=model), progress__mode="calibrated")
    (threshold,) = peer.result(peer.parameters().get_parameters(["success.threshold_nats"])).values
    assert threshold.double_value == -3.25
    peer.film([20, 120, 220])
    for message in peer.progress:
        # From the typical first reward to the typical final one.
        expected = min(max((message.log_prob_true + 6.0) / 4.0, 0.0), 1.0)
        assert message.progress == pytest.approx(expected)
    answer = peer.set_instruction("wipe the table")
    assert not answer.success and "calibration" in answer.message
    assert node.stop() == 0

    for wrong, named in [({"model": {"name": "x", "fingerprint": "0" * 64}}, "fingerprint"), ({"sampling_rate_hz": 5.0}, "rate_hz")]:
        refused = start_node(ready=False, calibration__file=calibration(tmp_path, **{"model": model} | wrong))
        assert refused.exit_code() == 2
        (line,) = [line for line in refused.text().splitlines() if line.startswith("topreward_node:")]
        assert named in line and "calibration.yaml" in line


def offline_curve(folder, instruction):
    """What the command line says of a folder of pictures, 10 a second."""
    command = [
        program("topreward"), "score", "--model", EPISODES.parent, "--frames", folder, "--fps", "10", "--sample-fps", "2",
        "--max-pixels", "24576", "--instruction", instruction, "--bias-control", "static", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["prefixes"]


def test_a_recording_has_the_same_scores_live_and_offline_to_the_last_bit(start_node, peer, tmp_path):
    with AnyReader([EPISODES / "01_success_red.mcap"]) as reader:
        connections = [c for c in reader.connections if c.topic == CAMERA]
        jpegs = [reader.deserialize(data, c.msgtype).data.tobytes() for c, _, data in reader.messages(connections)][:61]
    for index, jpeg in enumerate(jpegs):
        (tmp_path / f"{index:03}.jpg").write_bytes(jpeg)
    instruction = "Pick up the red cube."
    offline = offline_curve(tmp_path, instruction)

    start_node(
        model__path=EPISODES.parent, processor__max_pixels=24576, image__transport="compressed", instruction=instruction,
        bias__control="static", success__threshold_nats=0.0,
    )  # fmt: skip
    peer.wait_for_subscriber(peer.compressed)
    for index, jpeg in enumerate(jpegs):
        peer.send_compressed(index / 10, jpeg)
        if index % 5 == 0:  # a sample: scored by itself
            frames = index // 5 + 1
            wait_until(lambda: peer.progress and peer.progress[-1].frames == frames, f"sample {frames} is scored")
    live = [(m.frames, m.log_prob_true, m.log_prob_false, m.control) for m in peer.progress]
    assert live == [(p["frames"], p["log_prob_true"], p["log_prob_false"], p["control"]) for p in offline]
    assert len(live) == 13
