"""Start topreward_node with the preset of a robot.

ros2 launch topreward topreward.launch.py robot:=so101 model:=/models/qwen3-vl instruction:="Put the cup on the plate."
"""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

# What robot:= takes, and the file in config/ that it stands for.
PRESETS = {
    "franka": "franka.yaml",
    "yam": "yam.yaml",
    "so100": "so100.yaml",
    "so101": "so101.yaml",
    "sim": "so101_sim.yaml",
}
DEVICES = ["", "cpu", "cuda", "metal"]
LOG_LEVELS = ["", "debug", "info", "warn", "error", "fatal"]
# The parameters of arguments that are texts.
TEXTS = {"instruction": "instruction", "model": "model.path", "device": "model.device", "reset_service": "reset.service"}
# What image_topic:= calls its camera: the one name that every preset has too.
CAMERA = "camera"


def argument(name, description, default="", **more):
    return DeclareLaunchArgument(name, default_value=default, description=description, **more)


# An argument that is left empty changes no parameter: the files keep their say, and so does the node's default.
ARGUMENTS = [
    argument("robot", "The preset in config/. What is given below goes before it.", "so101", choices=list(PRESETS)),
    argument("instruction", "What the robot is to do, in words."),
    argument("model", "Folder of a Qwen3-VL checkpoint, or its name on Hugging Face."),
    argument("device", "Where the model is computed: cpu, or cuda or metal with a build for it.", choices=DEVICES),
    argument("params_file", "Parameter file that is read after the preset."),
    argument("namespace", "Namespace of the node."),
    argument("image_topic", "The one camera to look at, instead of the preset's."),
    argument("compressed", "true: compressed images, from the camera's topic with /compressed; false: raw images."),
    argument("use_sim_time", "true: take the time from /clock."),
    argument("reset_service", "Service that resets the robot on success."),
    argument("autostart", "false: wait for a lifecycle manager before the model is loaded; by default true."),
    argument("shared_memory", "true: Fast DDS with config/fastdds_shm.xml; the camera driver must use it too.", "false"),
    argument("log_level", "Least severe message that is logged; by default info.", choices=LOG_LEVELS),
]  # fmt: skip


def truth(name, text):
    """true, false, or None for an empty text; ValueError for anything else."""
    known = {"true": True, "1": True, "false": False, "0": False, "": None}
    if text.lower() not in known:
        raise ValueError(f'launch argument {name}:={text} is neither "true" nor "false"')
    return known[text.lower()]


def overrides(given):
    """The parameters that launch arguments set; `given` maps the arguments' names to their texts."""
    values = {}
    for argument, parameter in TEXTS.items():
        if given[argument]:
            # Without the type, launch_ros makes a number of "7" and a truth value of "yes".
            values[parameter] = ParameterValue(given[argument], value_type=str)
    if given["image_topic"]:
        values["cameras"] = [CAMERA]
        values[f"camera.{CAMERA}.topic"] = ParameterValue(given["image_topic"], value_type=str)
    compressed = truth("compressed", given["compressed"])
    if compressed is not None:
        values["image.transport"] = "compressed" if compressed else "raw"
    for name in ("use_sim_time", "autostart"):
        value = truth(name, given[name])
        if value is not None:
            values[name] = value
    return values


def existing(params_file):
    """Its path; launch_ros only warns of a file that is missing, and the node would run without it."""
    path = Path(params_file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"launch argument params_file:={params_file} is no file")
    return str(path)


def fast_dds_profile(share):
    """The environment that makes Fast DDS read the profile; its variable has another name since Fast DDS 3."""
    before_3 = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
    variable = "FASTRTPS_DEFAULT_PROFILES_FILE" if before_3 else "FASTDDS_DEFAULT_PROFILES_FILE"
    return {variable: str(share / "config" / "fastdds_shm.xml")}


def log_level(level):
    """The node's ROS arguments. The debug lines of ROS itself would bury ours: rcl has one for each wait."""
    loggers = {"": [], "debug": ["debug", "rcl:=info", "rmw_fastrtps_cpp:=info"]}.get(level, [level])
    return [part for logger in loggers for part in ("--log-level", logger)]


def node(context):
    given = {argument.name: LaunchConfiguration(argument.name).perform(context).strip() for argument in ARGUMENTS}
    share = Path(get_package_share_directory("topreward"))
    parameters = [str(share / "config" / PRESETS[given["robot"]])]
    if given["params_file"]:
        parameters.append(existing(given["params_file"]))
    values = overrides(given)
    if values:
        parameters.append(values)
    return [
        Node(
            package="topreward",
            executable="topreward_node",
            name="topreward",
            namespace=given["namespace"],
            output="screen",
            parameters=parameters,
            ros_arguments=log_level(given["log_level"]),
            additional_env=fast_dds_profile(share) if truth("shared_memory", given["shared_memory"]) else {},
        )
    ]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=node)])
