"""Who may say what to whom, as an SROS2 policy: `python -m vla_ros.ros.sros2_policy --arm fr3`.

One enclave per process. Nobody but the guard may publish what the arm's controllers listen to.
Topics come from the arm's YAML and from `qos`; docs/sros2.md says what to do with the file.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.ros import qos
from vla_ros.ros.bringup import ENCLAVES, OPERATOR, SIMULATED_ARM

VERSION = '0.2.0'

_EVERY_NODE = (
    'describe_parameters',
    'get_parameter_types',
    'get_parameters',
    'get_type_description',
    'list_parameters',
    'set_parameters',
    'set_parameters_atomically',
)
_LIFECYCLE = (
    'change_state',
    'get_available_states',
    'get_available_transitions',
    'get_state',
    'get_transition_graph',
)


@dataclass(frozen=True)
class Permissions:
    """What one process may do; everything else is denied.

    Attributes:
        publishes: topics.
        subscribes: topics.
        replies: services that it offers.
        requests: services that it calls.
        lifecycle: it is a lifecycle node.
        parameters: services of its parameters; a visitor offers none.
    """

    publishes: Sequence[str] = ()
    subscribes: Sequence[str] = ()
    replies: Sequence[str] = ()
    requests: Sequence[str] = ()
    lifecycle: bool = False
    parameters: Sequence[str] = _EVERY_NODE


def command_topics(arm: Embodiment) -> list[str]:
    """Return the topics of the arm's controllers, and of its gripper's if it has one."""
    topics = {'velocity': arm.velocity_topic, 'trajectory': arm.trajectory_topic}
    grippers = [arm.gripper.topic] if arm.gripper else []
    return [*(topics[mode]() for mode in sorted(arm.controllers)), *grippers]


def permissions(arm: Embodiment, estop_topic: str = '') -> Mapping[str, Permissions]:
    """Return what each node of a bringup, and the operator's commands, may do."""
    cameras = [camera.topic for camera in arm.cameras.values()]
    infos = [topic.rsplit('/', 1)[0] + '/camera_info' for topic in cameras]
    cameras += [camera.depth_topic for camera in arm.cameras.values() if camera.depth_topic]
    said, states = qos.INSTRUCTION_TOPIC, arm.joint_states_topic
    services = [qos.STOP_SERVICE, qos.REARM_SERVICE]
    estop = [estop_topic] if estop_topic else []
    guard = Permissions(
        # Pressing the e-stop makes the guard say the empty instruction to the policy.
        publishes=[*command_topics(arm), qos.DIAGNOSTICS_TOPIC, *([said] if estop else [])],
        subscribes=[states, qos.CHUNK_TOPIC, said, *estop],
        replies=services,
        lifecycle=True,
    )
    policy = Permissions(
        publishes=[qos.CHUNK_TOPIC, qos.DIAGNOSTICS_TOPIC],
        subscribes=[*cameras, states, said],
        lifecycle=True,
    )
    allowed = {qos.GUARD_NODE: guard, qos.POLICY_NODE: policy}
    simulated: list[str] = []
    if arm.name == SIMULATED_ARM:
        simulated = [qos.SIM_TOOL_TOPIC, qos.SIM_OBJECTS_TOPIC]
        services = [*services, qos.SIM_RESET_SERVICE]
        allowed[qos.SIM_NODE] = Permissions(
            publishes=[
                *(states, *cameras, *infos, *simulated),
                *(qos.CLOCK_TOPIC, qos.DIAGNOSTICS_TOPIC),
            ],
            subscribes=command_topics(arm),
            replies=[qos.SIM_RESET_SERVICE],
        )
    parameters = [f'/{node}/{name}' for node in allowed for name in _EVERY_NODE]
    lifecycle = [
        f'/{node}/{name}' for node, may in allowed.items() if may.lifecycle for name in _LIFECYCLE
    ]
    allowed[OPERATOR] = Permissions(
        publishes=[said],
        subscribes=[
            *(qos.DIAGNOSTICS_TOPIC, qos.CHUNK_TOPIC, qos.URDF_TOPIC, states),
            *(*cameras, *infos, *simulated),
            *command_topics(arm),
        ],
        requests=[*services, *parameters, *lifecycle],
        parameters=(),
    )
    return allowed


def policy_xml(allowed: Mapping[str, Permissions]) -> str:
    """Return an SROS2 policy, version 0.2.0, with one enclave per process."""
    root = ElementTree.Element('policy', version=VERSION)
    enclaves = ElementTree.SubElement(root, 'enclaves')
    for node, may in allowed.items():
        enclave = ElementTree.SubElement(enclaves, 'enclave', path=f'{ENCLAVES}/{node}')
        profiles = ElementTree.SubElement(enclave, 'profiles')
        profile = ElementTree.SubElement(profiles, 'profile', ns='/', node=node)
        served = (*may.parameters, *(_LIFECYCLE if may.lifecycle else ()))
        own = [f'~/{name}' for name in served]
        events = ['~/transition_event'] if may.lifecycle else []
        log = ['/rosout', '/parameter_events']
        _rules(profile, 'topic', publish=[*may.publishes, *events, *log])
        _rules(profile, 'topic', subscribe=[*may.subscribes, qos.CLOCK_TOPIC, log[1]])
        _rules(profile, 'service', reply=[*may.replies, *own], request=may.requests)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding='unicode', xml_declaration=True) + '\n'


def _rules(profile: ElementTree.Element, kind: str, **names_of: Sequence[str]) -> None:
    """Add one list per verb: `<topics publish="ALLOW"><topic>…`; the schema wants none empty."""
    for verb, names in names_of.items():
        if names:
            rules = ElementTree.SubElement(profile, f'{kind}s', {verb: 'ALLOW'})
            for name in names:
                ElementTree.SubElement(rules, kind).text = name


def generate(arm: str = SIMULATED_ARM, estop_topic: str = '', output: Path | None = None) -> None:
    """Write the SROS2 policy of an arm.

    Args:
        arm: name in config/arms, or a YAML file.
        estop_topic: that of guard_node's parameter of this name, if you set it.
        output: file to write; the terminal by default.
    """
    text = policy_xml(permissions(load_arm(arm), estop_topic))
    if output:
        output.write_text(text, encoding='utf-8')
    else:
        sys.stdout.write(text)


def main() -> int:
    """Run `generate` with the words of the command line."""
    import tyro

    from vla_ros.errors import VlaRosError
    from vla_ros.ros.node_main import USAGE_ERROR, print_error

    try:
        tyro.cli(generate, prog='python -m vla_ros.ros.sros2_policy')
    except VlaRosError as error:
        print_error(error)
        return USAGE_ERROR
    return 0


if __name__ == '__main__':
    sys.exit(main())
