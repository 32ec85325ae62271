"""The launch files: what can be read off them always, what they start where there is a `ros2 launch`."""

import ast
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, TINY_MODEL
from node_process import NodeProcess
from peer import wait_until
from rcl_interfaces.msg import ParameterType

LAUNCH, CONFIG = ROOT / "launch", ROOT / "config"
FORMS = ["topreward.launch.py", "topreward.launch.xml"]
# Small frames for the tiny model, and a way to tell that the file was read after the preset.
PARAMS = "/**:\n  ros__parameters:\n    processor.max_pixels: 4096\n    success.window: 4\n    success.hold_s: 9.0\n"

with_ros2_launch = pytest.mark.skipif(
    importlib.util.find_spec("launch_ros") is None or shutil.which("ros2") is None,
    reason="there is no ros2 launch: launch_ros is in no package registry, it comes with an installed ROS 2",
)


# --- what the files say ---


def assigned(name):
    """The value of a top-level name in topreward.launch.py, as syntax."""
    tree = ast.parse((LAUNCH / FORMS[0]).read_text())
    (value,) = [n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == name]
    return value


PRESETS = ast.literal_eval(assigned("PRESETS"))
ARGUMENTS = {call.args[0].value: call.args[1].value for call in assigned("ARGUMENTS").elts}


def test_every_argument_is_described():
    assert list(ARGUMENTS) == [
        "robot", "instruction", "model", "device", "params_file", "namespace", "image_topic", "compressed", "use_sim_time",
        "reset_service", "autostart", "shared_memory", "log_level",
    ]  # fmt: skip
    assert all(len(text) > 10 and text.endswith(".") for text in ARGUMENTS.values())


def test_every_preset_is_a_file_and_names_its_cameras():
    assert set(PRESETS) == {"franka", "yam", "so100", "so101", "sim"}
    assert {path.name for path in CONFIG.glob("*.yaml")} == {*PRESETS.values(), "topreward.yaml"}
    for file in PRESETS.values():
        parameters = yaml.safe_load((CONFIG / file).read_text())["topreward"]["ros__parameters"]
        assert parameters["cameras"], file
        assert all(parameters["camera"][name]["topic"] for name in parameters["cameras"]), file


def test_the_xml_files_are_well_formed_and_name_what_there_is():
    for file in LAUNCH.glob("*.xml"):
        root = ElementTree.parse(file).getroot()
        assert root.tag == "launch", file
        texts = [value for element in root.iter() for value in element.attrib.values()]
        named = re.findall(r"\$\(find-pkg-share topreward\)/([\w./-]+)", " ".join(texts))
        assert named and all((ROOT / path).exists() for path in named), (file, named)


def test_the_xml_file_has_the_arguments_of_the_python_file():
    # It includes the Python file, whose arguments are then its own, and adds none.
    (include,) = ElementTree.parse(LAUNCH / FORMS[1]).getroot()
    assert include.tag == "include" and include.get("file").endswith(f"/launch/{FORMS[0]}") and len(include) == 0


# --- what they start ---


class Launched(NodeProcess):
    """A `ros2 launch` and the log of all that it starts."""

    def __init__(self, log, *arguments):
        self.log = log
        with log.open("wb") as output:
            # A shell without job control has its background processes ignore SIGINT, and their children inherit it.
            self.process = subprocess.Popen(
                ["ros2", "launch", "topreward", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                env=os.environ | {"ROS_LOG_DIR": str(log.parent / "log")},
            )

    def node_pid(self):
        return int(re.search(r"\[topreward_node-\d\]: process started with pid \[(\d+)\]", self.text())[1])

    def kill(self):
        """Interrupted, launch ends what it started; killed, it would leave it running."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                super().kill()


@pytest.fixture
def launch(tmp_path, namespace):
    """Launches a file in the test's namespace, with the tiny model and further arguments, until the node is ready."""
    started = []
    params = tmp_path / "params.yaml"
    params.write_text(PARAMS)

    def start(form=FORMS[0], *arguments, ready=True, model=TINY_MODEL):
        own = [f"namespace:={namespace}", f"model:={model}", f"params_file:={params}"]
        launched = Launched(tmp_path / f"launch{len(started)}.log", form, *own, *arguments)
        started.append(launched)
        if ready:
            launched.wait_for_log("is ready")
        return launched

    yield start
    for launched in started:
        launched.kill()


def values(peer, *names):
    """The node's parameters by name; None where it has none."""
    fields = {
        ParameterType.PARAMETER_BOOL: "bool_value",
        ParameterType.PARAMETER_INTEGER: "integer_value",
        ParameterType.PARAMETER_DOUBLE: "double_value",
        ParameterType.PARAMETER_STRING: "string_value",
        ParameterType.PARAMETER_STRING_ARRAY: "string_array_value",
    }
    answer = peer.result(peer.parameters().get_parameters(list(names))).values
    return {name: getattr(value, fields[value.type]) if value.type else None for name, value in zip(names, answer)}


@with_ros2_launch
@pytest.mark.parametrize("form", FORMS)
def test_what_is_given_arrives_and_the_rest_is_the_presets(launch, peer, form):
    # An instruction that YAML would take for a truth value stays text.
    launched = launch(form, "robot:=yam", "instruction:=yes", "compressed:=True", "reset_service:=/robot/home")
    name = "topreward", peer.namespace
    wait_until(lambda: name in peer.node.get_node_names_and_namespaces(), "the node has its name and namespace")
    given = {"instruction": "yes", "model.path": str(TINY_MODEL), "reset.service": "/robot/home"}
    given["image.transport"] = "compressed"
    from_file = {"success.window": 4, "processor.max_pixels": 4096, "success.hold_s": 9.0}
    from_preset = {"episode.max_duration_s": 120.0, "success.min_frames": 10}
    expected = given | from_file | from_preset | {"use_sim_time": False}
    assert values(peer, *expected) == expected
    assert launched.stop(patience_s=15) == 0
    assert "process has finished cleanly" in launched.text()


@with_ros2_launch
def test_the_camera_is_the_presets_or_the_one_that_is_given(launch, peer):
    launch(FORMS[0], "robot:=franka")
    wait_until(lambda: peer.node.count_subscribers("/camera/camera/color/image_raw") == 1, "the preset's camera is looked at")
    eye, second = f"{peer.namespace}/eye", f"{peer.namespace}/second"
    launch(FORMS[0], "robot:=franka", "compressed:=true", f"image_topic:={eye}", f"namespace:={second}")
    wait_until(lambda: peer.node.count_subscribers(f"{eye}/compressed") == 1, "the given camera is looked at")
    assert peer.node.count_subscribers("/camera/camera/color/image_raw") == 1


@with_ros2_launch
def test_truth_values_arrive(launch, peer):
    launch(FORMS[0], "use_sim_time:=true", "autostart:=False", ready=False)
    assert values(peer, "use_sim_time", "autostart") == {"use_sim_time": True, "autostart": False}


@with_ros2_launch
def test_log_level_and_shared_memory_reach_the_node(launch):
    launched = launch(FORMS[0], "shared_memory:=true", "log_level:=debug")
    process = f"/proc/{launched.node_pid()}"
    environment = open(f"{process}/environ", "rb").read().decode().split("\0")
    (profile,) = [line for line in environment if re.match("FAST(DDS|RTPS)_DEFAULT_PROFILES_FILE=", line)]
    assert Path(profile.split("=")[1]).read_text() == (CONFIG / "fastdds_shm.xml").read_text()
    arguments = open(f"{process}/cmdline", "rb").read().decode().split("\0")
    assert "debug" in arguments and "Initializing wait set" not in launched.text()


@with_ros2_launch
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "wrong",
    ["robot:=foo", "compressed:=maybe", "use_sim_time:=2", "autostart:=no", "shared_memory:=si", "log_level:=loud",
     "params_file:=/no/such.yaml"],
)  # fmt: skip
def test_a_wrong_argument_is_named_and_nothing_starts(launch, form, wrong):
    launched = launch(form, wrong, ready=False)
    assert launched.exit_code() == 1
    name, value = wrong.split(":=")
    (error,) = [line for line in launched.text().splitlines() if "[launch]: Caught exception" in line]
    assert name in error and value in error
    assert "process started" not in launched.text() and "Traceback" not in launched.text()


@with_ros2_launch
def test_both_forms_show_the_same_arguments():
    shown = [
        subprocess.run(["ros2", "launch", "topreward", form, "--show-args"], capture_output=True, text=True, check=True).stdout
        for form in FORMS
    ]
    assert shown[0] == shown[1]
    assert re.findall(r"^    '(\w+)':$", shown[0], re.M) == list(ARGUMENTS)


@with_ros2_launch
@pytest.mark.skipif(
    not (ROOT / "models/so101-sim/model.safetensors").exists(), reason="the embedded model is not in models/so101-sim"
)
def test_the_demo_can_be_launched(tmp_path):
    launched = Launched(tmp_path / "launch.log", "demo.launch.xml")
    try:
        launched.wait_for_log("episode 1 begins", patience_s=30)
        launched.wait_for_log("[topreward_episode_player-2] 1/", patience_s=30)
        assert launched.stop(patience_s=15) == 0
    finally:
        launched.kill()
    assert "[topreward_node-1]: process has finished cleanly" in launched.text()
