"""Several cameras, cameras that come late or stop, and publishers that do not reach the node."""

import time

from peer import becomes_true, wait_until
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String
from topreward.msg import Progress

WRIST, FRONT = [20, 60, 100, 140], [200, 150, 100, 50]


def send_and_wait(peer, time_s, value, camera, heard):
    """A frame, again where it got lost, until its score is heard."""
    for _ in range(4):
        sent = peer.send_raw(time_s, value, camera=camera).header.stamp
        if becomes_true(lambda: heard and heard[-1].header.stamp == sent, 2):
            return
    raise AssertionError(f"the frame at {time_s} s was not scored")


def test_two_cameras_are_scored_one_by_one_and_fused(start_node, peer):
    node = start_node(cameras=["wrist", "front"], fusion="min")
    heard = {name: peer.listen(f"topreward/{name}/progress", Progress, 100, name) for name in ("wrist", "front")}
    wrist, front = peer.camera("wrist/image_raw"), peer.camera("front/image_raw")
    for index, (wrist_value, front_value) in enumerate(zip(WRIST, FRONT)):
        send_and_wait(peer, index * 0.5, wrist_value, wrist, heard["wrist"])
        assert len(peer.progress) == index, "the front camera is missing"
        # A camera's own clock may differ.
        send_and_wait(peer, 50 + index * 0.5, front_value, front, heard["front"])
        wait_until(lambda: len(peer.progress) == index + 1, "both together")
    rewards = {name: [message.log_prob_true for message in messages] for name, messages in heard.items()}
    assert [message.log_prob_true for message in peer.progress] == [min(pair) for pair in zip(*rewards.values())]
    assert [message.frames for message in peer.progress] == [1, 2, 3, 4]
    assert rewards["wrist"] != rewards["front"]

    # The front camera stops: the wrist goes on, but nothing is said of both together.
    sent = 4
    while "no image for" not in peer.status("camera front")[1]:
        send_and_wait(peer, sent * 0.5, 90, wrist, heard["wrist"])
        sent += 1
        assert sent < 20, "diagnostics do not warn of the front camera"
        peer.wait_for("diagnostics", len(peer.diagnostics) + 1)
    assert (peer.status("camera front")[0], peer.status("camera wrist")[0]) == (1, 0)
    assert len(peer.progress) == 4
    assert node.stop() == 0
    account = node.frame_account()
    assert account["offered"] == sum(account[column] for column in ("scored", "coalesced", "skipped", "dropped"))
    assert account["scored"] == sent + 4
    assert f"camera wrist: {sent} offered" in node.text() and "camera front: 4 offered" in node.text()

    # Each camera's scores are those that it would have had alone, to the last bit.
    start_node("-r", "image_raw:=front/image_raw")
    peer.progress.clear()
    for index, value in enumerate(FRONT):
        send_and_wait(peer, 50 + index * 0.5, value, front, peer.progress)
    assert [message.log_prob_true for message in peer.progress] == rewards["front"]


def test_a_camera_that_comes_late_and_then_stops_is_reported(start_node, peer):
    start_node("-r", "image_raw:=late/image")
    wait_until(lambda: peer.status("camera camera")[0] == 1, "diagnostics warn")
    _, message, values = peer.status("camera camera")
    assert message == f"no image has arrived on {peer.namespace}/late/image" and values["publishers"] == "0"
    camera = peer.camera("late/image")
    for index in range(30):
        peer.send_raw(index * 0.1, camera=camera)
        time.sleep(0.1)  # a camera's own pace, which the node is to measure
    level, _, values = peer.status("camera camera")
    assert level == 0 and 5 < float(values["rate_hz"]) < 15 and float(values["age_s"]) < 1
    wait_until(lambda: peer.status("camera camera")[2]["publishers"] == "1", "the publisher is seen")
    wait_until(lambda: "no image for" in peer.status("camera camera")[1], "the silence is seen")
    assert peer.success == []


def test_what_cannot_be_received_is_logged_once(start_node, peer):
    node = start_node("-r", "image_raw:=other/image")
    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    peer.node.create_publisher(String, "topreward/instruction", best_effort)
    other = peer.node.create_publisher(CompressedImage, "other/image", 10)
    node.wait_for_log("best effort, but this node subscribes as reliable")
    node.wait_for_log("sensor_msgs/msg/CompressedImage, but this node subscribes to sensor_msgs/msg/Image")
    wait_until(lambda: peer.status("camera camera")[0] == 2, "an error on diagnostics")
    assert f"{peer.namespace}/peer" in peer.status("camera camera")[1]
    peer.let_the_node_go_on(4)  # it looks again every three seconds
    assert node.text().count("but this node subscribes") == 2
    peer.node.destroy_publisher(other)
    wait_until(lambda: peer.status("camera camera")[0] != 2, "the error goes with its reason")
