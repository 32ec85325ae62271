"""Episodes: services, instruction, success, reset."""

import threading

import pytest
from conftest import film_success
from peer import LATCHED, PATIENCE_S, wait_until
from scripted import BRIGHT, DARK, INSTRUCTION, SUCCESS_AT, THRESHOLD, reward
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, String
from std_srvs.srv import Empty, SetBool
from topreward.msg import SuccessDetection


def test_success_is_published_once_and_the_robot_is_reset_once(start_to_succeed, peer):
    node = start_to_succeed(reset__service=peer.offer_reset(), reset__settle_s=0.3)
    success = film_success(peer)
    assert success.episode_id == 1
    assert success.instruction == INSTRUCTION
    assert (success.frames, success.threshold) == (SUCCESS_AT, THRESHOLD)
    assert success.mean_log_prob_true == pytest.approx(reward(BRIGHT))
    (ended,) = peer.wait_for("episode")
    assert ended.success and ended.end_reason == ended.SUCCESS and ended.episode_id == 1
    assert ended.prefixes == len([m for m in peer.progress if m.episode_id == 1])
    assert -1 <= ended.voc <= 1
    wait_until(lambda: "episode 2 begins" in node.text(), "the next episode begins by itself")
    assert peer.resets == 1
    peer.film([DARK] * 4, from_s=100)
    wait_until(lambda: peer.progress[-1].episode_id == 2, "the next episode is scored")
    assert peer.resets == 1 and len(peer.success) == 1
    assert [flag.data for flag in peer.success_flag] == [False, True, False]


def test_who_joins_late_learns_of_the_success(start_to_succeed, peer):
    start_to_succeed()
    film_success(peer)
    late = []
    peer.node.create_subscription(SuccessDetection, "topreward/success", late.append, LATCHED)
    flags = []
    peer.node.create_subscription(Bool, "topreward/success_flag", flags.append, LATCHED)
    wait_until(lambda: late and flags, "the latched messages come")
    assert late[0] == peer.success[0] and flags[0].data


def test_without_a_reset_service_the_node_waits_after_success(start_to_succeed, peer):
    start_to_succeed()
    film_success(peer)
    wait_until(lambda: peer.status("episode")[1] == "idle", "the node is idle")
    answer = peer.call("start_episode")
    assert answer.success and answer.message == "episode 2 has begun"


def test_a_reset_service_that_is_not_there_is_reported(start_to_succeed, peer):
    node = start_to_succeed(reset__service="/nobody/reset", reset__timeout_s=0.5)
    film_success(peer)
    wait_until(lambda: peer.status("episode")[0] == 2, "an error on diagnostics")
    assert "/nobody/reset did not appear within 0.5 s" in peer.status("episode")[1]
    assert node.text().count("the robot was not reset") == 1
    assert peer.call("start_episode").success


def test_a_reset_that_is_refused_is_reported_and_not_repeated(start_to_succeed, peer):
    service = peer.offer_reset(success=False, message="the gripper is stuck")
    start_to_succeed(reset__service=service)
    film_success(peer)
    wait_until(lambda: peer.status("episode")[0] == 2, "an error on diagnostics")
    assert "the gripper is stuck" in peer.status("episode")[1]
    peer.stream([DARK, BRIGHT] * 5, from_s=100, period_s=0.5)
    peer.let_the_node_go_on()
    assert peer.resets == 1 and len(peer.success) == 1


def test_a_reset_that_does_not_answer_is_given_up(start_to_succeed, peer):
    late = threading.Event()
    start_to_succeed(reset__service=peer.offer_reset(wait_for=late), reset__timeout_s=0.5)
    film_success(peer)
    wait_until(lambda: peer.status("episode")[0] == 2, "an error on diagnostics")
    assert "did not answer within 0.5 s" in peer.status("episode")[1]
    late.set()
    wait_until(lambda: peer.resets_answered == 1, "the robot answers")
    peer.let_the_node_go_on()
    assert peer.resets == 1
    assert peer.status("episode")[0] == 2


@pytest.mark.parametrize(("name", "kind"), [("empty", Empty), ("set_bool", SetBool)])
def test_a_reset_of_another_type_is_called(start_to_succeed, peer, name, kind):
    node = start_to_succeed(reset__service=peer.offer_reset(kind=kind), reset__type=name, reset__settle_s=0.1)
    film_success(peer)
    wait_until(lambda: "episode 2 begins" in node.text(), "the next episode begins by itself")
    assert peer.resets == 1
    if kind is SetBool:
        assert peer.reset_requests[0].data is True


def test_a_reset_that_is_refused_is_tried_again_where_that_is_wanted(start_to_succeed, peer):
    service = peer.offer_reset(refusals=2, message="homing")
    node = start_to_succeed(reset__service=service, reset__retries=2, reset__settle_s=0.1)
    film_success(peer)
    wait_until(lambda: "episode 2 begins" in node.text(), "the next episode begins by itself")
    assert peer.resets == 3 and len(peer.success) == 1
    assert node.text().count("homing") == 2


def test_an_episode_begun_by_hand_ends_the_attempts_to_reset(start_to_succeed, peer):
    service = peer.offer_reset(success=False, message="busy")
    node = start_to_succeed(reset__service=service, reset__retries=50)
    film_success(peer)
    node.wait_for_log("more attempts")
    assert peer.call("start_episode").success
    called = peer.resets
    peer.let_the_node_go_on(2)  # two more attempts would have been made, one a second
    assert peer.resets == called
    assert peer.status("episode")[1].startswith("episode running")
    assert node.process.poll() is None


def test_a_reset_that_does_not_answer_is_never_called_again(start_to_succeed, peer):
    late = threading.Event()
    start_to_succeed(reset__service=peer.offer_reset(wait_for=late), reset__timeout_s=0.5, reset__retries=5)
    film_success(peer)
    wait_until(lambda: peer.status("episode")[0] == 2, "an error on diagnostics")
    late.set()
    peer.let_the_node_go_on(2)
    assert peer.resets == 1


def test_a_timeout_resets_where_that_is_wanted(start_node, peer):
    start_node(episode__max_duration_s=2.0, reset__service=peer.offer_reset(), reset__on_timeout=True, reset__settle_s=0.1)
    peer.film([50] * 10, until=lambda: peer.episode)
    (ended,) = peer.wait_for("episode")
    assert ended.end_reason == ended.MAX_DURATION and not ended.success
    peer.film([50], from_s=10)
    assert peer.progress[-1].episode_id == 2 and peer.resets == 1


def test_a_clock_set_back_begins_a_new_episode(start_node, peer):
    start_node()
    peer.film([50, 60, 70], from_s=100)
    peer.stream([50] * 6)
    (ended,) = peer.wait_for("episode")
    assert ended.end_reason == ended.TIME_JUMP and ended.frames == 3
    peer.film([60], from_s=1)
    assert peer.progress[-1].episode_id == 2


@pytest.mark.parametrize("qos", [10, LATCHED], ids=["volatile", "latched"])
def test_an_instruction_comes_by_topic(start_node, peer, qos):
    node = start_node()
    peer.say("topreward/instruction", "  ", qos)
    node.wait_for_log("~/instruction: the instruction is empty")
    assert 'it stays "lift the cup"' in node.text()
    peer.say("topreward/instruction", "wipe the table", qos)
    wait_until(lambda: peer.status("episode")[2].get("instruction") == "wipe the table", "diagnostics show it")
    peer.film([50])
    assert peer.progress[-1].instruction == "wipe the table"


def test_an_instruction_latched_before_the_node_came_is_heard(start_node, peer):
    publisher = peer.node.create_publisher(String, "topreward/instruction", LATCHED)
    publisher.publish(String(data="wipe the table"))
    start_node(instruction="")
    wait_until(lambda: peer.status("episode")[1].startswith("episode running"), "the episode begins")
    assert peer.status("episode")[2]["instruction"] == "wipe the table"


def test_a_recorder_begins_and_ends_episodes(start_node, peer):
    node = start_node(episode__auto_start=False, episode__signal_topic="record_transition")
    publisher = peer.say("record_transition", "record")
    node.wait_for_log("episode 1 begins")
    publisher.publish(String(data="record"))
    assert peer.wait_for("episode")[0].end_reason == "requested"
    publisher.publish(String(data="save"))  # of the episode that has ended
    publisher.publish(String(data="pause"))
    node.wait_for_log('"pause" is not understood')
    publisher.publish(String(data="record"))
    node.wait_for_log("episode 2 begins")
    publisher.publish(String(data="delete"))
    assert peer.wait_for("episode", 2)[1].episode_id == 2
    assert "refused" not in node.text()


def test_the_episode_services_say_what_they_do(start_node, peer):
    start_node(episode__auto_start=False)
    answer = peer.call("end_episode")
    assert not answer.success and answer.message == "no episode is running"
    assert peer.call("start_episode").message == "episode 1 has begun"
    answer = peer.call("start_episode")
    assert not answer.success and answer.message.startswith("episode 1 is running")
    peer.film([50])
    peer.wait_for("progress")
    assert peer.call("reset_episode").message == "episode 2 has begun"
    (ended,) = peer.wait_for("episode")
    assert (ended.episode_id, ended.end_reason, ended.frames, ended.success) == (1, ended.REQUESTED, 1, False)
    assert peer.call("end_episode").message == "episode 2 has ended"


def test_the_longest_episode_ends_and_the_next_begins(start_node, peer):
    start_node(episode__max_duration_s=3.0)
    peer.film([50] * 10, until=lambda: peer.episode)
    (ended,) = peer.wait_for("episode")
    # By the node's clock, which the camera's has overtaken.
    assert ended.end_reason == ended.MAX_DURATION and ended.frames == 10
    peer.film([50], from_s=10)
    assert peer.progress[-1].episode_id == 2


def test_without_an_instruction_nothing_is_scored(start_node, peer):
    node = start_node(instruction="")
    node.wait_for_log("there is no instruction")
    peer.stream([50, 60, 70], period_s=0.5)
    wait_until(lambda: peer.status("episode")[1] == "waiting for an instruction", "diagnostics say so")
    assert peer.status("episode")[0] == 1
    assert not peer.call("start_episode").success
    answer = peer.set_instruction("   ")
    assert not answer.success and "empty" in answer.message
    assert peer.progress == []
    assert peer.set_instruction("open the drawer").success
    peer.film([50], from_s=10)
    assert peer.wait_for("progress")[0].instruction == "open the drawer"


def test_a_new_instruction_is_asked_about_the_same_frames(start_node, peer):
    start_node()
    peer.film([50, 90])
    wait_until(lambda: peer.progress and peer.progress[-1].frames == 2, "two frames are scored")
    assert peer.set_instruction("close the lid").success
    wait_until(lambda: peer.progress[-1].instruction == "close the lid", "the new question is answered")
    again = peer.progress[-1]
    assert (again.frames, again.episode_id) == (2, 1)
    assert again.log_prob_true != peer.progress[-2].log_prob_true
    values = peer.result(peer.parameters().get_parameters(["instruction"])).values
    assert values[0].string_value == "close the lid"


def test_an_episode_cut_short_by_the_end_is_summed_up(start_node, peer):
    node = start_node()
    peer.film([50, 60])
    peer.wait_for("progress", 2)
    assert node.stop(patience_s=PATIENCE_S) == 0
    (ended,) = peer.wait_for("episode")
    assert ended.end_reason == ended.SHUTDOWN and ended.frames == 2


def test_the_overlay_shows_the_scored_frame_to_whoever_looks(start_node, peer):
    start_node()
    peer.film([200] * 3)
    overlays = peer.listen("topreward/overlay", Image, 10)
    wait_until(lambda: overlays, "a newcomer sees the newest picture at once")
    first = overlays[-1]
    assert (first.width, first.height, first.encoding, first.step) == (640, 480, "rgb8", 1920)
    assert first.header == peer.progress[-1].header
    assert len(first.data) == 640 * 480 * 3
    shown = len(overlays)
    peer.film([200], from_s=1.5)
    wait_until(lambda: len(overlays) > shown and overlays[-1].header == peer.progress[-1].header, "the next score is drawn")
    assert overlays[-1].data != first.data
    peer.let_the_node_go_on()
    still = len(overlays)
    peer.let_the_node_go_on()
    assert len(overlays) == still, "nothing new, nothing drawn"
