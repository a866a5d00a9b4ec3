"""What a bringup starts: the one description that `ros2 launch` and `vla-ros up` both read.

Imports no rclpy: a launch file and the command line's help load it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vla_ros.core.embodiment import OUTPUT_MODES, available_arms
from vla_ros.errors import ConfigError, choose
from vla_ros.paths import config_dir
from vla_ros.types import TASKS

SIMULATED_ARM = 'sim'
SHIPPED_POLICY = 'vla-reach'
ENCLAVES = '/vla_ros'
"""Below it every process has an SROS2 enclave of its own, by its name."""
OPERATOR = 'operator'
"""Name of the enclave that the commands of the operator share."""
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
"""Where Fast DDS 3, and before it Fast DDS 2, look for a profile; 3 warns of the older name."""
FAST_DDS_2 = ('humble', 'iron', 'jazzy')
EXPORT_PROFILE = (
    f'export {PROFILE_VARIABLES[0]}=<share of vla_ros>/config/fastdds.xml (with ROS 2 Jazzy '
    f'{PROFILE_VARIABLES[1]})'
)
"""What to type where a camera driver or another node starts without a bringup."""
PROFILE, UDP_PROFILE = 'fastdds.xml', 'fastdds_udp.xml'
LOOPBACK_PROFILE = 'fastdds_loopback.xml'
RANGE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
TRUTH = {'true': True, 'false': False}


@dataclass(frozen=True)
class Argument:
    """One argument of a bringup, with the default and the text that its help shows."""

    name: str
    default: str
    help: str


ARGUMENTS = (
    Argument('arm', SIMULATED_ARM, 'name in config/arms, or a YAML file of your own'),
    Argument(
        'sim', 'auto', "start the simulated robot: true, false, or auto (true for arm 'sim')"
    ),
    Argument(
        'policy',
        '',
        "vla-reach, vla-table (pushes, picks and puts, too), 'hold' (never moves), or a "
        "checkpoint folder; empty takes vla-reach for arm 'sim', for which it was trained, else "
        'hold',
    ),
    Argument('output', '', "velocity or trajectory; empty takes the arm's own"),
    Argument(
        'estop_topic',
        '',
        'std_msgs/Bool of an e-stop button, true while pressed: the arm moves only while it is '
        'heard; empty for no button',
    ),
    Argument('device', 'auto', 'auto, cpu or cuda'),
    Argument('instruction', '', 'what to do from the start; empty waits for /vla/instruction'),
    Argument('seed', '5', 'layout of the objects of the simulated scene'),
    Argument(
        'task',
        'reach',
        f'kind of simulated scene: {", ".join(TASKS)}; there are bowls in those of the last three',
    ),
    Argument('threads', '1', 'CPU threads of the policy'),
    Argument('image_width', '0', "width of the simulated cameras; 0 takes the arm's YAML"),
    Argument('image_height', '0', "height of the simulated cameras; 0 takes the arm's YAML"),
)
"""Arguments of `bringup.launch.py` and of `vla-ros up`."""


@dataclass(frozen=True)
class NodeSpec:
    """One process: executable and node name are the same.

    Attributes:
        name: of the executable and of the node.
        lifecycle: it is a lifecycle node.
        parameter_files: read first.
        parameters: win over the files.
        module: what NodeProcesses runs; empty means the module of that name in vla_ros.ros.
        shared_memory: whether Fast DDS may use shared memory in it; see `environment`.
    """

    name: str
    lifecycle: bool
    parameter_files: tuple[Path, ...] = ()
    parameters: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    module: str = ''
    shared_memory: bool = True

    @property
    def ros_arguments(self) -> list[str]:
        """What follows `--ros-args`: the enclave, which counts when ROS security is enabled."""
        return ['--enclave', f'{ENCLAVES}/{self.name}']


def node_specs(arguments: Mapping[str, str]) -> list[NodeSpec]:
    """Return the nodes to start, in the order of starting.

    Raises:
        ConfigError: an unknown argument or arm, or a value that cannot be used.
    """
    known = {argument.name: argument.default for argument in ARGUMENTS}
    if unknown := sorted(set(arguments) - set(known)):
        raise ConfigError(f"unknown argument '{unknown[0]}'; known: {', '.join(known)}")
    values = known | dict(arguments)
    arm = values['arm']
    if Path(arm).suffix not in ('.yaml', '.yml'):
        choose('arm', arm, available_arms())
    choose('value of sim', values['sim'], (*TRUTH, 'auto'))
    if values['output']:
        choose('output', values['output'], OUTPUT_MODES)
    numbers = {name: _whole(values, name) for name in ('seed', 'image_width', 'image_height')}
    scene = {'arm': arm, 'task': choose('task', values['task'], TASKS), **numbers}
    specs: list[NodeSpec] = []
    if TRUTH.get(values['sim'], arm == SIMULATED_ARM):
        specs.append(NodeSpec('sim_node', False, parameters=scene))
    button = values['estop_topic']
    guard: dict[str, bool | int | float | str] = {'arm': arm, 'output': values['output']}
    guard |= {'estop_topic': button, 'estop_required': bool(button), 'autostart': True}
    guard_file = config_dir() / 'guard.yaml'
    specs.append(NodeSpec('guard_node', True, (guard_file,), guard, shared_memory=False))
    policy: dict[str, bool | int | float | str] = {
        name: values[name] for name in ('arm', 'device', 'instruction')
    }
    policy['policy'] = values['policy'] or (SHIPPED_POLICY if arm == SIMULATED_ARM else 'hold')
    policy |= {'threads': _whole(values, 'threads'), 'autostart': True}
    specs.append(NodeSpec('policy_node', True, parameters=policy))
    return specs


def _whole(values: Mapping[str, str], name: str) -> int:
    try:
        return int(values[name])
    except ValueError:
        raise ConfigError(f"{name}: '{values[name]}' is not a whole number") from None


def environment(
    user: Mapping[str, str] = os.environ, *, shared_memory: bool = True
) -> dict[str, str]:
    """Return what a bringup adds to the user's environment; what the user has set stays.

    The Fast DDS profile makes room for whole camera frames in shared memory, without which most
    of them are lost under load. The guard has one without shared memory: a process that is killed
    while it holds the lock of a port there blocks all who write to it for a second. Discovery
    stays on this machine unless the user asks for more.

    Args:
        user: as it is before.
        shared_memory: False for a process that is to use none.
    """
    added = {} if RANGE in user else {RANGE: 'LOCALHOST'}
    shipped = str(config_dir() / PROFILE)
    chosen = next((user[variable] for variable in PROFILE_VARIABLES if variable in user), '')
    if chosen not in ('', shipped):
        return added
    if not shared_memory:
        profile = UDP_PROFILE
        if user.get(RANGE, 'LOCALHOST') == 'LOCALHOST':  # to which rmw_fastrtps adds shared memory
            profile, added[RANGE] = LOOPBACK_PROFILE, 'SYSTEM_DEFAULT'
        added[profile_variable(user)] = str(config_dir() / profile)
    elif not chosen:
        added[profile_variable(user)] = shipped
    return added


def profile_variable(user: Mapping[str, str] = os.environ) -> str:
    """Return where the Fast DDS of the sourced ROS 2, or else of PyPI's, looks for a profile."""
    return PROFILE_VARIABLES[user.get('ROS_DISTRO', '') in FAST_DDS_2]
