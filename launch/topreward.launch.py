"""Start topreward_node: `ros2 launch topreward topreward.launch.py instruction:="..." model_path:=...`."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare("topreward")

ARGUMENTS = [
    DeclareLaunchArgument("arm", default_value="so101", description="Preset in config/: franka, yam, so101 or so101_sim."),
    DeclareLaunchArgument("params_file", default_value="", description="Parameter file read after the preset."),
    DeclareLaunchArgument("instruction", default_value="", description="What the robot is to do, in words."),
    DeclareLaunchArgument("model_path", default_value="", description="Folder of a Qwen3-VL checkpoint."),
    DeclareLaunchArgument("image_topic", default_value="image_raw", description="The camera; compressed images are looked for at <image_topic>/compressed."),
    DeclareLaunchArgument("reset_service", default_value="", description="std_srvs/srv/Trigger service that resets the robot on success."),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
    DeclareLaunchArgument("use_sim_time", default_value="false", description="Take the time from /clock."),
    DeclareLaunchArgument(
        "shared_memory", default_value="false", description="Use config/fastdds_shm.xml; the camera driver must use it too."
    ),
]  # fmt: skip


def node(context):
    """The node, with those arguments as overrides that were given."""

    def given(name):
        return LaunchConfiguration(name).perform(context)

    parameters = [PathJoinSubstitution([SHARE, "config", given("arm") + ".yaml"])]
    if given("params_file"):
        parameters.append(given("params_file"))
    overrides = {"instruction": given("instruction"), "model.path": given("model_path"), "reset.service": given("reset_service")}
    overrides = {name: value for name, value in overrides.items() if value}
    overrides["use_sim_time"] = given("use_sim_time").lower() == "true"
    parameters.append(overrides)
    image = given("image_topic")
    return [
        Node(
            package="topreward",
            executable="topreward_node",
            name="topreward",
            namespace=given("namespace"),
            output="screen",
            parameters=parameters,
            remappings=[("image_raw", image), ("image_raw/compressed", image + "/compressed")],
        )
    ]


def generate_launch_description():
    profile = PathJoinSubstitution([SHARE, "config", "fastdds_shm.xml"])
    shared_memory = SetEnvironmentVariable(
        "FASTDDS_DEFAULT_PROFILES_FILE", profile, condition=IfCondition(LaunchConfiguration("shared_memory"))
    )
    return LaunchDescription([*ARGUMENTS, shared_memory, OpaqueFunction(function=node)])
