"""What tools/ros/faults.py injects: each function does one fault to a scene, and waits until the node has dealt with it.

Run as a program with the name of a service, this is a robot that dies when it is asked to reset.
"""

import random
import subprocess
import sys
import time
from array import array
from dataclasses import dataclass, field

# What a robot's process ends with when it was called.
WAS_CALLED = 42


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
    robot = subprocess.Popen([sys.executable, __file__, scene.robot], stdout=subprocess.PIPE)
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
    Fault("hostile", "21 hostile images within a film of success", hostile_images, FILM, resets=1, successes=1),
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


if __name__ == "__main__":
    robot(sys.argv[1])
