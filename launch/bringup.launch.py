"""Start the simulated robot (or none), the guard and the policy.

ros2 launch vla_ros bringup.launch.py
ros2 launch vla_ros bringup.launch.py arm:=fr3 instruction:='reach the red cube'

What is started, with which arguments, stands in `vla_ros.ros.bringup`; `vla-ros up` reads the
same. The lifecycle nodes start themselves (parameter `autostart`), and every node ends safely on
the SIGINT that launch sends.
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from vla_ros.ros.bringup import ARGUMENTS, NodeSpec, environment, node_specs


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the nodes that they ask for."""
    declared = [
        DeclareLaunchArgument(a.name, default_value=a.default, description=a.help)
        for a in ARGUMENTS
    ]
    variables = [SetEnvironmentVariable(name, value) for name, value in environment().items()]
    return LaunchDescription([*declared, *variables, OpaqueFunction(function=_start_nodes)])


def _start_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = {a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS}
    actions: list[LaunchDescriptionEntity] = []
    for spec in node_specs(values):
        node = _node(spec)
        actions += [
            RegisterEventHandler(OnProcessExit(target_action=node, on_exit=_end_the_others)),
            node,
        ]
    return actions


def _end_the_others(event: ProcessExited, context: LaunchContext) -> EmitEvent | None:
    if context.is_shutdown:  # Ctrl-C has ended it with all the others
        return None
    return EmitEvent(event=Shutdown(reason=f'{event.process_name} has ended'))


def _node(spec: NodeSpec) -> Node:
    kind = LifecycleNode if spec.lifecycle else Node
    return kind(
        package='vla_ros',
        executable=spec.name,
        name=spec.name,
        namespace='',
        parameters=[*map(str, spec.parameter_files), dict(spec.parameters)],
        ros_arguments=spec.ros_arguments,
        additional_env=environment(shared_memory=spec.shared_memory),
        output='screen',
        emulate_tty=True,
    )
