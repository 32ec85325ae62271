"""From camera messages to progress."""

import math
import time

import numpy as np
import pytest
from conftest import EPISODES
from peer import FIRST_STAMP_NS, wait_until
from rosbags.highlevel import AnyReader

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
    for message in messages:
        time.sleep(0.05)
        peer.send_compressed(stamp_ns(message.header) / 1e9 - FIRST_STAMP_NS / 1e9, message.data.tobytes(), message.format)
    # 30 frames at 10 Hz, sampled at 2 Hz: 0, 5, 10, 15, 20, 25
    wait_until(lambda: peer.progress and peer.progress[-1].frames == 6, "the sixth sample is scored")
    assert stamp_ns(peer.progress[-1].header) == stamp_ns(messages[25].header)


def test_the_same_frames_give_the_same_rewards_raw_in_any_encoding(start_node, peer):
    """mono8 and rgb8 with equal channels are one picture."""
    start_node()
    peer.wait_for_subscriber(peer.raw)
    peer.send_raw(0.0, 0)
    (black,) = peer.wait_for("progress")
    peer.call("reset_episode")
    peer.send_raw(10.0, 0, encoding="mono8")
    black_mono = peer.wait_for("progress", 2)[1]
    assert black_mono.episode_id == 2
    assert black_mono.log_prob_true == black.log_prob_true
    assert math.isfinite(black.log_prob_true)


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
            peer.send_raw(index * 0.5, encoding="bayer_rggb8")
    else:
        peer.wait_for_subscriber(peer.compressed)
        for index in range(5):
            peer.send_compressed(index * 0.5, b"\xff\xd8 no picture")
    wait_until(lambda: peer.status("frames")[2].get("dropped.undecodable") == "5", "five undecodable images")
    assert node.text().count("an image cannot be used") == 1
    assert peer.progress == []
    assert node.stop() == 0
    assert node.frame_account()["undecodable"] == 5


def test_what_the_model_refuses_is_said(start_node, peer):
    node = start_node(model__max_instruction_tokens=4, instruction="one two three four five six seven")
    peer.stream([10, 20], period_s=0.5)
    wait_until(lambda: peer.status("model")[0] == 2, "an error on diagnostics")
    assert "more than the 4 allowed" in peer.status("model")[1]
    assert node.text().count("cannot be scored") == 1
    assert node.stop() == 0
    account = node.frame_account()
    assert account["offered"] == account["inference_failed"] == 2
