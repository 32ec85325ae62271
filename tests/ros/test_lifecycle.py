"""The managed node: states, transitions, and what they mean."""

import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from conftest import film_success
from lifecycle_msgs.msg import State, Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState
from peer import wait_until

UP_AND_DOWN = 20


def state(peer):
    return peer.call("get_state", GetState).current_state.label


def change(peer, label):
    return peer.call("change_state", ChangeState, transition=Transition(label=label)).success


def test_a_plain_start_becomes_active_by_itself(start_node, peer):
    peer.listen("topreward/transition_event", TransitionEvent, 100)
    start_node()
    wait_until(lambda: state(peer) == "active", "the node is active")
    told = [(event.transition.label, event.goal_state.label) for event in peer.transition_event]
    # The first ones may have come before this peer was known.
    expected = [
        ("configure", "configuring"),
        ("transition_success", "inactive"),
        ("activate", "activating"),
        ("transition_success", "active"),
    ]
    assert told == expected[len(expected) - len(told) :]


def test_without_autostart_each_step_is_asked_for(start_node, peer):
    peer.listen("topreward/transition_event", TransitionEvent, 100)
    node = start_node(ready=False, autostart=False)
    assert state(peer) == "unconfigured"
    assert not change(peer, "activate"), "there is no model yet"
    assert not peer.call("start_episode").success
    assert peer.node.count_subscribers(f"{peer.namespace}/image_raw") == 0
    assert change(peer, "configure") and state(peer) == "inactive"
    assert "is ready" in node.text()
    assert peer.node.count_subscribers(f"{peer.namespace}/image_raw") == 0
    assert "not active" in peer.call("start_episode").message
    assert peer.call("change_state", ChangeState, transition=Transition(id=Transition.TRANSITION_ACTIVATE)).success
    peer.film([50, 60])
    assert change(peer, "deactivate") and state(peer) == "inactive"
    (ended,) = peer.wait_for("episode")
    assert ended.end_reason == ended.DEACTIVATED
    assert change(peer, "activate")
    peer.film([50], from_s=50)
    wait_until(lambda: peer.progress[-1].episode_id == 2, "the next episode is scored")
    assert change(peer, "deactivate") and change(peer, "cleanup") and state(peer) == "unconfigured"
    wait_until(lambda: peer.status("model")[1] == "not loaded", "diagnostics say so")
    assert change(peer, "shutdown") and state(peer) == "finalized"
    labels = [event.transition.label for event in peer.transition_event]
    assert labels[0::2][-7:] == ["configure", "activate", "deactivate", "activate", "deactivate", "cleanup", "shutdown"]
    assert set(labels[1::2]) == {"transition_success"}
    assert node.stop() == 0


def test_the_graph_of_states_is_told(start_node, peer):
    start_node(ready=False, autostart=False)
    states = {s.id: s.label for s in peer.call("get_available_states", GetAvailableStates).available_states}
    assert states[State.PRIMARY_STATE_ACTIVE] == "active" and states[State.TRANSITION_STATE_CONFIGURING] == "configuring"
    now = peer.call("get_available_transitions", GetAvailableTransitions).available_transitions
    assert {(t.transition.id, t.transition.label, t.goal_state.label) for t in now} == {
        (Transition.TRANSITION_CONFIGURE, "configure", "configuring"),
        (Transition.TRANSITION_UNCONFIGURED_SHUTDOWN, "shutdown", "shuttingdown"),
    }
    graph = peer.call("get_transition_graph", GetAvailableTransitions).available_transitions
    assert len(graph) > len(now)
    assert {(t.start_state.label, t.transition.label) for t in graph} >= {("active", "deactivate"), ("inactive", "cleanup")}


def test_a_model_that_cannot_be_loaded_is_said_and_can_be_tried_again(start_node, peer, tmp_path):
    model = tmp_path / "model"
    node = start_node(ready=False, autostart=False, model__path=model)
    assert not change(peer, "configure")
    assert state(peer) == "unconfigured" and str(model) in node.text()
    wait_until(lambda: peer.status("model")[0] == 2 and str(model) in peer.status("model")[1], "diagnostics say so")
    model.symlink_to(Path(__file__).parents[1] / "golden/tied")
    assert change(peer, "configure") and state(peer) == "inactive"


def test_a_model_that_takes_its_time_blocks_nothing(start_node, peer, tmp_path):
    # A hub that takes connections and never answers.
    with socket.create_server(("127.0.0.1", 0)) as hub:
        environment = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}", "HF_HOME": str(tmp_path / "cache")}
        node = start_node(ready=False, environment=environment, model__path="somebody/some-model")
        wait_until(lambda: "somebody/some-model" in peer.status("model")[1], "diagnostics tell of the fetch")
        assert peer.status("model")[0] == 1 and peer.status("model")[2]["lifecycle"] == "configuring"
        assert state(peer) == "configuring"
        assert not change(peer, "activate")
        assert peer.set_instruction("wipe the table").success
        assert "not active" in peer.call("start_episode").message
        begun = time.monotonic()
        assert node.stop(signal.SIGTERM) == 0
        assert time.monotonic() - begun < 2


def test_a_model_that_is_not_in_the_cache_is_named_when_the_hub_is_off_limits(start_node, tmp_path):
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    node = start_node(ready=False, environment=environment, model__path="somebody/some-model")
    assert node.exit_code() == 2
    (line,) = [line for line in node.text().splitlines() if line.startswith("topreward_node:")]
    assert "somebody/some-model" in line and "HF_HUB_OFFLINE" in line


def test_deactivation_between_success_and_reset_begins_nothing(start_to_succeed, peer):
    deactivated = threading.Event()
    node = start_to_succeed(reset__service=peer.offer_reset(wait_for=deactivated), reset__settle_s=0.1)
    film_success(peer)
    wait_until(lambda: peer.resets == 1, "the robot is asked to reset")
    assert change(peer, "deactivate")
    deactivated.set()
    wait_until(lambda: peer.resets_answered == 1, "the robot answers")
    peer.let_the_node_go_on()
    assert "episode 2 begins" not in node.text() and peer.resets == 1
    assert change(peer, "activate")
    node.wait_for_log("episode 2 begins")


@pytest.mark.parametrize("down_to", ["inactive", "unconfigured"])
def test_up_and_down_many_times_leaves_memory_flat(start_node, peer, down_to):
    node = start_node(ready=False, autostart=False)
    assert change(peer, "configure")
    resident = []
    for cycle in range(UP_AND_DOWN):
        if state(peer) == "unconfigured":
            assert change(peer, "configure")
        assert change(peer, "activate")
        peer.film([30, 60, 90], from_s=cycle * 100)
        assert change(peer, "deactivate")
        if down_to == "unconfigured":
            assert change(peer, "cleanup")
        resident.append(node.resident_kib())
    assert len(peer.episode) == UP_AND_DOWN
    # The first rounds fill pools and caches; from then on a leak of the model (600 KiB) or of an episode would show.
    growth = (resident[-1] - resident[4]) / (UP_AND_DOWN - 5)
    assert growth < 100, f"{growth:.0f} KiB a cycle: {resident}"
    assert node.stop() == 0
    account = node.frame_account()
    assert account["offered"] == sum(account[column] for column in ("scored", "coalesced", "skipped", "dropped"))
