"""Clocks of cameras that are set, stand still or were never set, and cameras that stop: docs/time.md."""

import time
from collections import Counter

import pytest
from peer import FIRST_STAMP_NS, wait_until
from rosgraph_msgs.msg import Clock
from scripted import BRIGHT, DARK
from std_srvs.srv import Trigger

TIMES = 50
# Relative to the peer's clock, which is a real one: these are 0 s, 1976 and some seconds after the start of a machine.
UNSET_S, BACK_IN_1976_S, SINCE_BOOT_S = (seconds - FIRST_STAMP_NS / 1e9 for seconds in (0, 2e8, 5))
# Half a second of a camera between two frames: dark until it is bright, which would be a success if it lasted for 5 s.
NOW_S = [index * 0.5 for index in range(14)]
VALUES = [DARK] * 4 + [BRIGHT] * 10


def stepped(by_s, first=7, last=len(NOW_S)):
    return [now + (by_s if first <= index < last else 0) for index, now in enumerate(NOW_S)]


def stamped(stamp_s, first, last):
    return [stamp_s if first <= index < last else now for index, now in enumerate(NOW_S)]


# The stamps of one episode, and whether it becomes two.
CLOCKS = {
    "first unset": (stamped(UNSET_S, 0, 1), True),
    "one unset": (stamped(UNSET_S, 7, 8), False),
    "several unset": (stamped(UNSET_S, 7, 10), False),
    "forward by 300 s": (stepped(300), True),
    "forward by 3 s": (stepped(3), True),
    "back by 300 s": (stepped(-300), True),
    "from 1976": (stepped(BACK_IN_1976_S, 0, 7), True),
    "to the time since boot": (stepped(SINCE_BOOT_S), True),
    "one far ahead": (stepped(300, 7, 8), False),
    "standing still": (stamped(NOW_S[6], 7, 14), False),
}


def test_no_step_of_a_clock_calls_a_success_or_a_reset(start_to_succeed, peer):
    node = start_to_succeed(
        success__hold_s=5.0, failure__stuck_s=60.0,
        reset__service=peer.offer_reset(), reset__on_timeout=True, reset__on_failure=True,
    )  # fmt: skip
    peer.wait_for_subscriber(peer.raw)
    begin_anew = peer.node.create_client(Trigger, "topreward/reset_episode")
    assert begin_anew.wait_for_service(20)
    steps = 0
    for name, (stamps_s, becomes_two) in CLOCKS.items():
        before = len(peer.episode)
        for _ in range(TIMES):
            for stamp_s, value in zip(stamps_s, VALUES):
                peer.send_raw(stamp_s, value)
                time.sleep(0.004)
            time.sleep(0.03)
            assert peer.result(begin_anew.call_async(Trigger.Request())).success
            steps += 1
        ended = Counter(episode.end_reason for episode in peer.episode[before:])
        assert set(ended) <= {"requested", "time_jump"}, (name, ended)
        # A camera's frames may get lost on the way, and with them a step.
        assert ended["time_jump"] >= TIMES // 2 if becomes_two else ended["time_jump"] == 0, (name, ended)
    assert steps == 500
    assert (peer.resets, len(peer.success)) == (0, 0)
    assert node.stop() == 0
    account = node.frame_account()
    assert account["offered"] == sum(account[column] for column in ("scored", "coalesced", "skipped", "dropped"))
    assert min(account[reason] for reason in ("stamp_unset", "stamp_step", "duplicate")) > 0
    assert "its clock was set: the stamps went from" in node.text()


def test_a_simulations_clock_may_jump_and_still_ends_an_episode_that_is_too_long(start_node, peer):
    start_node(
        use_sim_time=True, episode__max_duration_s=8.0, reset__service=peer.offer_reset(), reset__on_timeout=True,
    )  # fmt: skip
    clock = peer.node.create_publisher(Clock, "/clock", 10)
    peer.wait_for_subscriber(peer.raw)
    wait_until(lambda: clock.get_subscription_count() > 0, "the node listens to /clock")

    def play(from_s, seconds, camera=True):
        for index in range(int(seconds * 2)):
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(round((from_s + index / 2) * 1e9), 1_000_000_000)
            clock.publish(message)
            time.sleep(0.05)
            if camera:
                peer.send_raw(UNSET_S + from_s + index / 2, 60)

    play(1000, 3)
    play(1500, 4)
    (jumped,) = peer.wait_for("episode")
    assert jumped.end_reason == jumped.TIME_JUMP and peer.resets == 0
    # Of the second episode three seconds have passed or so, and the camera stops.
    play(1504, 10, camera=False)
    ended = peer.wait_for("episode", 2)[1]
    assert ended.end_reason == ended.MAX_DURATION
    wait_until(lambda: peer.resets == 1, "the robot is reset")


def test_an_episode_ends_although_its_camera_stops(start_node, peer):
    node = start_node(episode__max_duration_s=4.0, reset__service=peer.offer_reset(), reset__on_timeout=True)
    peer.film([50, 60])
    (ended,) = peer.wait_for("episode")
    assert ended.end_reason == ended.MAX_DURATION and ended.frames == 2
    wait_until(lambda: peer.resets == 1, "the robot is reset")
    assert node.text().count("no image for 3 s: nothing is scored") == 1


def test_a_camera_whose_time_stands_still_is_told_of_with_the_remedy(start_node, peer):
    node = start_node()
    peer.film([50])
    for _ in range(12):
        peer.send_raw(0.0, 60)
        time.sleep(0.02)
    wait_until(lambda: "stands still" in peer.status("camera camera")[1], "diagnostics warn")
    level, message, values = peer.status("camera camera")
    assert level == 1 and "camera.<name>.stamps" in message and int(values["dropped.duplicate"]) > 4
    assert peer.status("episode")[0] == 1 and "camera camera: the stamp" in peer.status("episode")[1]
    assert node.text().count("stands still: nothing is scored") == 1
    # The peer's stamps are of 2023.
    assert node.text().count("behind the node's clock") == 1


def test_a_camera_that_cannot_stamp_is_scored_by_the_time_of_receipt(start_node, peer):
    start_node(camera__camera__stamps="receipt")
    peer.wait_for_subscriber(peer.raw)
    for value in range(40, 100, 2):
        peer.send_raw(UNSET_S, value)
        time.sleep(0.1)
    wait_until(lambda: len(peer.progress) > 3, "samples are scored")
    now, (first, second) = time.time(), peer.progress[:2]
    assert abs(first.header.stamp.sec - now) < 60
    passed_s = second.episode_time.sec + second.episode_time.nanosec * 1e-9
    assert 0.3 < passed_s < 2, passed_s


def test_images_of_another_size_begin_a_new_episode(start_node, peer):
    node = start_node()
    peer.film([50, 60])
    for index in range(2, 8):
        peer.send_raw(index * 0.5, 70, size=(96, 72))
        time.sleep(0.1)
    (ended,) = peer.wait_for("episode")
    assert ended.end_reason == ended.SIZE_CHANGED and ended.frames == 2
    wait_until(lambda: peer.progress[-1].episode_id == 2, "the new size is scored")
    node.wait_for_log("96×72 pixels and had 64×48")


def test_good_and_bad_images_in_turn_are_one_error(start_node, peer):
    node = start_node()
    peer.film([50])
    for index in range(1, 20):
        peer.send_raw(index * 0.1, 60, encoding="32FC1" if index % 2 else "rgb8")
        time.sleep(0.02)
    wait_until(lambda: int(peer.status("frames")[2].get("dropped.undecodable", 0)) >= 8, "they are counted")
    assert node.text().count("later ones are only counted") == 1


@pytest.mark.parametrize("value", [0, 60])
def test_a_black_picture_is_told_of(start_node, peer, value):
    node = start_node()
    peer.film([value] * 2)
    peer.let_the_node_go_on()
    black = value == 0
    assert ("its picture is black" in node.text()) == black
    assert ("black" in peer.status("camera camera")[1]) == black
