"""The other side of the node: a camera, a robot that resets, and an observer, all with rclpy."""

import threading
import time
from array import array

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, Float32, String
from std_srvs.srv import Empty, Trigger
from topreward.msg import EpisodeSummary, Progress, SuccessDetection
from topreward.srv import SetInstruction

PATIENCE_S = 20
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
FIRST_STAMP_NS = 1_700_000_000_000_000_000


class Peer:
    """Listens to everything that the node called topreward in the namespace says."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.node = rclpy.create_node("peer", namespace=namespace)
        self.received = {}
        for topic, kind, qos in [
            ("topreward/progress", Progress, 100),
            ("topreward/progress_value", Float32, 100),
            ("topreward/success", SuccessDetection, LATCHED),
            ("topreward/success_flag", Bool, LATCHED),
            ("topreward/episode", EpisodeSummary, 100),
            ("/diagnostics", DiagnosticArray, 100),
        ]:
            self.listen(topic, kind, qos)
        self.raw = self.node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
        self.compressed = self.node.create_publisher(CompressedImage, "image_raw/compressed", qos_profile_sensor_data)
        # The robot takes its time to answer and must not hold up what is heard, so it has a thread of its own.
        self.robot = rclpy.create_node("robot", namespace=namespace)
        self.resets, self.resets_answered, self.reset_requests = 0, 0, []
        self._spinning = [Spinning(node) for node in (self.node, self.robot)]

    def __enter__(self):
        for spinning in self._spinning:
            spinning.start()
        return self

    def __exit__(self, *_):
        for spinning in self._spinning:
            spinning.end()

    def listen(self, topic, kind, qos, name=None):
        heard = self.received[name or topic.rsplit("/", 1)[1]] = []
        self.node.create_subscription(kind, topic, heard.append, qos)
        return heard

    def __getattr__(self, name):
        """peer.progress: every message on ~/progress so far."""
        if name != "received" and name in self.received:
            return self.received[name]
        raise AttributeError(name)

    # --- the robot ---

    def offer_reset(self, success=True, message="", wait_for=None, kind=Trigger, refusals=0):
        """A reset service that first refuses so many times and waits for an event before it answers.

        peer.resets counts its calls, peer.resets_answered its answers, peer.reset_requests keeps the requests.
        """

        def answer(request, response):
            self.resets += 1
            self.reset_requests.append(request)
            if wait_for is not None:
                wait_for.wait(PATIENCE_S)
            if kind is not Empty:
                response.success, response.message = success and self.resets > refusals, message
            self.resets_answered += 1
            return response

        self.robot.create_service(kind, "robot/reset", answer)
        return f"{self.namespace}/robot/reset"

    # --- the camera ---

    def wait_for_subscriber(self, publisher):
        wait_until(lambda: publisher.get_subscription_count() > 0, "the node subscribes")
        # The node must know of the camera too: it asks for nothing to be sent again. Where its diagnostics arrive, it has
        # heard of this peer's subscriptions, and of its publishers a moment later at most; it says so itself only seconds
        # later.
        self.wait_for("diagnostics")
        time.sleep(0.3)

    def camera(self, topic, kind=Image):
        """One more camera, which the node listens to."""
        publisher = self.node.create_publisher(kind, topic, qos_profile_sensor_data)
        self.wait_for_subscriber(publisher)
        return publisher

    def send_raw(self, time_s, value=128, encoding="rgb8", size=(64, 48), camera=None):
        width, height = size
        channels = 1 if encoding == "mono8" else 3
        message = Image(width=width, height=height, encoding=encoding, step=width * channels)
        message.header.frame_id = "wrist"
        stamp(message.header, time_s)
        message.data = array("B", shades(value, width * height * channels).tobytes())
        (camera or self.raw).publish(message)
        return message

    def send_compressed(self, time_s, data, format="jpeg"):
        message = CompressedImage(format=format)
        message.header.frame_id = "wrist"
        stamp(message.header, time_s)
        message.data = array("B", data)
        self.compressed.publish(message)
        return message

    def film(self, values, from_s=0.0, period_s=0.5, until=lambda: False):
        """What `show` does, once the node listens."""
        self.wait_for_subscriber(self.raw)
        self.show(values, from_s, period_s, until)

    def show(self, values, from_s=0.0, period_s=0.5, until=lambda: False, **how):
        """Raw frames of these brightnesses, each scored before the next one is sent; ends early when `until` holds.

        A frame without a score is sent again: a camera's frames may get lost on the way.
        """
        for index, value in enumerate(values):
            for _ in range(4):
                if until():
                    return
                sent = self.send_raw(from_s + index * period_s, value, **how).header.stamp
                if becomes_true(lambda: until() or any(m.header.stamp == sent for m in self.progress), 2):
                    break

    def stream(self, values, from_s=0.0, period_s=0.1, wall_s=0.05):
        """Raw frames of these brightnesses at a camera's pace, whatever becomes of them."""
        self.wait_for_subscriber(self.raw)
        for index, value in enumerate(values):
            self.send_raw(from_s + index * period_s, value)
            time.sleep(wall_s)

    def say(self, topic, text, qos=10):
        """A text on a topic, once the node listens."""
        publisher = self.node.create_publisher(String, topic, qos)
        wait_until(lambda: publisher.get_subscription_count() > 0, f"the node listens to {topic}")
        time.sleep(0.2)  # the node must know of the publisher too, or its first message is lost
        publisher.publish(String(data=text))
        return publisher

    # --- asking the node ---

    def call(self, service, kind=Trigger, **fields):
        client = self.node.create_client(kind, f"topreward/{service}")
        assert client.wait_for_service(PATIENCE_S), f"no service {service}"
        time.sleep(0.1)  # the node must know of the client too, or its answer is lost
        try:
            return self.result(client.call_async(kind.Request(**fields)))
        finally:
            self.node.destroy_client(client)

    def set_instruction(self, text):
        return self.call("set_instruction", SetInstruction, instruction=text)

    def parameters(self):
        client = AsyncParameterClient(self.node, f"{self.namespace}/topreward")
        assert client.wait_for_services(PATIENCE_S)
        return client

    def result(self, future):
        wait_until(future.done, "an answer comes")
        return future.result()

    def status(self, part):
        """The newest diagnostics of this part, as (level, message, values)."""
        for report in reversed(self.diagnostics):
            for status in report.status:
                if status.name == f"{self.namespace}/topreward: {part}":
                    return status.level[0], status.message, {pair.key: pair.value for pair in status.values}
        return None, "", {}

    def let_the_node_go_on(self, seconds=1):
        """Waits so long by the node's own clock, its diagnostics: what was to happen by now has happened."""
        self.wait_for("diagnostics", len(self.diagnostics) + seconds + 1)

    def wait_for(self, topic, count=1):
        """The first messages on a topic, once there are so many."""
        heard = self.received[topic]
        wait_until(lambda: len(heard) >= count, f"{count} messages on {topic}, there are {len(heard)}")
        return heard[:count]


class Spinning:
    """A node that is spun on a thread of its own."""

    def __init__(self, node):
        self._node = node
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin)
        self.start = self._thread.start

    def _spin(self):
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass

    def end(self):
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()


def shades(value, count=64 * 48 * 3):
    """The bytes of a frame: from black to this value."""
    return np.linspace(0, value, count).astype(np.uint8)


def stamp(header, time_s):
    now = FIRST_STAMP_NS + round(time_s * 1e9)
    header.stamp.sec, header.stamp.nanosec = divmod(now, 1_000_000_000)


def becomes_true(holds, patience_s):
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def wait_until(holds, what, patience_s=PATIENCE_S):
    assert becomes_true(holds, patience_s), f"in vain: {what}"
