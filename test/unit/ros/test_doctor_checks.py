"""Every finding of the doctor, on snapshots: no ROS, no graph."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from vla_ros.commands import doctor
from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ObservationError
from vla_ros.ros.doctor.check import Check, exit_code
from vla_ros.ros.doctor.graph_checks import graph_checks
from vla_ros.ros.doctor.machine import fast_dds_profile, policy_facts
from vla_ros.ros.doctor.machine_checks import machine_checks
from vla_ros.ros.doctor.snapshot import (
    Endpoint,
    GraphSnapshot,
    ImageSample,
    JointSample,
    MachineFacts,
    PolicyFacts,
    Stream,
)
from vla_ros.ros.doctor.urdf import joint_limits

ARM = load_arm('sim')
POLICY = PolicyFacts(
    'vla-reach', device='cpu', camera_sizes={'front': (128, 96)}, known_answer_off=0.0
)
MACHINE = MachineFacts('rclpy', True, '/fastdds.xml', 16 << 20, 4, 0.3)
IMAGE, STATE = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/JointState'
VELOCITY, TRAJECTORY = ARM.velocity_topic(), ARM.trajectory_topic()
SECONDS = 2.0


def stream(topic: str, message_type: str, rate_hz: float, age_s: float = 0.01) -> Stream:
    stamps = tuple(np.arange(0, SECONDS, 1 / rate_hz) + 100.0)
    ages = (age_s,) * len(stamps)
    return Stream(topic, (Endpoint('robot', message_type),), SECONDS, stamps, stamps, ages)


def sample(positions: np.ndarray = ARM.home_rad, speed: float = 0.0) -> JointSample:
    joints = ARM.joints
    return JointSample(
        joints,
        dict(zip(joints, positions.tolist(), strict=True)),
        dict.fromkeys(joints, speed),
    )


def healthy(**changes: object) -> GraphSnapshot:
    """Return a graph with which nothing is wrong, but for the changes."""
    listener = (Endpoint('robot', 'std_msgs/msg/Float64MultiArray'),)
    graph = GraphSnapshot(
        joint_states=stream(ARM.joint_states_topic, STATE, 100.0),
        joints=sample(),
        cameras={name: stream(c.topic, IMAGE, c.rate_hz) for name, c in ARM.cameras.items()},
        images={name: ImageSample('rgb8', c.width, c.height) for name, c in ARM.cameras.items()},
        controllers={VELOCITY: listener, TRAJECTORY: ()},
        commanders={VELOCITY: (Endpoint('guard_node', ''),), TRAJECTORY: ()},
        urdf=urdf(),
    )
    return replace(graph, **changes)


def urdf(speed: float = 10.0, names: tuple[str, ...] = ARM.joints) -> str:
    low, high = ARM.position_min_rad, ARM.position_max_rad
    joints = [
        f'<joint name="{name}" type="revolute">'
        f'<limit lower="{low[k]}" upper="{high[k]}" velocity="{speed}" effort="1"/></joint>'
        for k, name in enumerate(names)
    ]
    return f'<robot name="r">{"".join(joints)}</robot>'


def examine(graph: GraphSnapshot, output: str = 'velocity') -> list[Check]:
    return graph_checks(ARM, POLICY, output, 0, graph)


def with_camera(name: str, **changes: object) -> GraphSnapshot:
    graph = healthy()
    return replace(graph, cameras={**graph.cameras, name: replace(graph.cameras[name], **changes)})


def with_image(name: str, image: ImageSample) -> GraphSnapshot:
    graph = healthy()
    return replace(graph, images={**graph.images, name: image})


def without(joint: str) -> JointSample:
    positions = {name: 0.0 for name in ARM.joints if name != joint}
    return JointSample(tuple(positions), positions, {})


def controllers(endpoint: Endpoint) -> dict[str, tuple[Endpoint, ...]]:
    return {VELOCITY: (endpoint,), TRAJECTORY: ()}


def test_a_healthy_graph_is_all_good() -> None:
    checks = examine(healthy())
    assert {check.ok for check in checks} == {True}
    assert exit_code(checks) == 0
    assert len({check.name for check in checks}) == len(checks)


def every_second_lost() -> Stream:
    whole = healthy().cameras['front']
    kept = tuple(s for k, s in enumerate(whole.stamps_s) if k % 5)
    return replace(whole, stamps_s=kept, received_s=kept)


WRONG = [
    ('joints', True, healthy(joint_states=Stream('/joint_states')), 'nobody publishes'),
    ('joints', True, healthy(joints=None), 'nothing came'),
    (
        'joints',
        True,
        healthy(joints=None, joint_states=Stream('/s', (Endpoint('r', STATE, 'no match'),))),
        'no match',
    ),
    ('joints', True, healthy(joints=without('panda_joint3')), 'lacks panda_joint3'),
    ('units', True, healthy(joints=sample(np.rad2deg(ARM.home_rad))), 'these are degrees'),
    ('units', True, healthy(joints=sample(ARM.home_rad + 4.0)), 'its limits are'),
    ('units', True, healthy(joints=sample(ARM.home_rad * np.nan)), 'not finite'),
    ('units', True, healthy(joints=sample(speed=30.0)), 'moves at 30'),
    (
        'joint-state rate',
        True,
        healthy(joint_states=stream('/joint_states', STATE, 5.0)),
        '5.0 Hz',
    ),
    ('limits', True, healthy(urdf=urdf(speed=1.0)), 'panda_joint1: the YAML allows'),
    ('limits', False, healthy(urdf=urdf(names=('a',) * 7)), 'no joint panda_joint1'),
    ('limits', False, healthy(urdf='<robot'), 'not valid XML'),
    ('camera front', True, with_camera('front', publishers=()), 'nobody publishes /camera/front'),
    ('camera wrist', False, with_camera('wrist', publishers=()), 'nobody publishes /camera/wrist'),
    (
        'camera front',
        True,
        with_camera('front', publishers=(Endpoint('r', 'sensor_msgs/msg/PointCloud2'),)),
        'PointCloud2',
    ),
    (
        'camera front',
        True,
        healthy(images={'wrist': ImageSample('rgb8', 320, 240)}),
        'nothing came',
    ),
    (
        'camera front',
        True,
        with_image('front', ImageSample('yuv422', 0, 0, "encoding 'yuv422'")),
        'yuv422',
    ),
    (
        'camera front',
        True,
        with_image('front', ImageSample('rgb8', 64, 48)),
        'policy needs 128x96',
    ),
    ('camera front', False, with_image('front', ImageSample('rgb8', 320, 180)), 'aspect ratio'),
    (
        'frames front',
        False,
        healthy(cameras=healthy().cameras | {'front': every_second_lost()}),
        '2',
    ),
    (
        'frames front',
        False,
        healthy(cameras=healthy().cameras | {'front': stream('/f', IMAGE, 8)}),
        '8.0 of 15 Hz',
    ),
    ('clock', True, with_camera('front', ages_s=(0.5,)), '500 ms old'),
    ('clock', True, with_camera('front', ages_s=(-0.5,)), '500 ms ahead'),
    ('clock', True, healthy(joint_states=stream('/j', STATE, 100, age_s=3600.0)), '3600000 ms'),
    ('controller', True, healthy(controllers={}), 'nobody listens on'),
    (
        'controller',
        True,
        healthy(controllers=controllers(Endpoint('jtc', 'std_msgs/msg/String'))),
        'expects std_msgs/msg/String',
    ),
    (
        'controller',
        True,
        healthy(
            controllers=controllers(
                Endpoint('jtc', 'std_msgs/msg/Float64MultiArray', 'durability')
            )
        ),
        'cannot hear the guard',
    ),
    (
        'commands',
        True,
        healthy(commanders={VELOCITY: (Endpoint('guard_node', ''), Endpoint('servo', ''))}),
        'servo publishes',
    ),
    (
        'commands',
        True,
        healthy(commanders={TRAJECTORY: (Endpoint('moveit', ''),)}),
        'moveit publishes',
    ),
    (
        'commands',
        True,
        healthy(commanders={VELOCITY: (Endpoint('guard_node', ''),) * 2}),
        'guard_node publishes',
    ),
    ('diagnostics', False, healthy(problems={'guard_node': 'stop: x'}), 'guard_node: stop: x'),
]


@pytest.mark.parametrize('name, is_fatal, graph, says', WRONG)
def test_each_thing_that_is_wrong_is_found(
    name: str, is_fatal: bool, graph: GraphSnapshot, says: str
) -> None:
    checks = {check.name: check for check in examine(graph)}
    found = checks[name]
    assert found.ok is False
    assert found.fatal == is_fatal
    assert says in found.found
    assert found.remedy
    assert exit_code(list(checks.values())) == 1


def test_what_is_another_output_mode_is_looked_up_there() -> None:
    found = {check.name: check for check in examine(healthy(), 'trajectory')}['controller']
    assert found.ok is False
    assert TRAJECTORY in found.found


def test_joints_in_another_order_are_no_fault() -> None:
    joints = replace(sample(), order=('gripper', *reversed(ARM.joints)))
    found = {check.name: check for check in examine(healthy(joints=joints))}['joints']
    assert found.ok
    assert 'reordered' in found.found


def test_without_a_graph_it_says_how_to_start_one() -> None:
    streams = {name: Stream(c.topic) for name, c in ARM.cameras.items()}
    nothing = GraphSnapshot(Stream('/joint_states'), None, streams)
    (check,) = examine(nothing)
    assert check.ok is False
    assert 'vla-ros up' in check.remedy


def test_what_cannot_be_told_is_no_failure() -> None:
    checks = examine(healthy(simulated_time=True, urdf='', commanders={}))
    assert {c.name for c in checks if c.ok is None} == {'clock', 'limits', 'commands'}
    assert exit_code(checks) == 0


@pytest.mark.parametrize(
    'name, policy, machine, says',
    [
        ('checkpoint', PolicyFacts('x', 'joints differ'), MACHINE, 'joints differ'),
        ('normalisation', replace(POLICY, known_answer_off=None), MACHINE, 'no known_answer'),
        ('Fast DDS profile', POLICY, replace(MACHINE, profile=''), '0.5 MB of shared memory'),
        ('Fast DDS profile', POLICY, replace(MACHINE, segment_bytes=1 << 20), '1.0 MB'),
        ('CPU', POLICY, replace(MACHINE, busy=0.97), '97% busy'),
        ('CPU', POLICY, replace(MACHINE, threads=4), 'policy on 4'),
        ('CPU', POLICY, replace(MACHINE, cores=1), '1 cores'),
    ],
)
def test_each_thing_that_is_wrong_with_the_machine_is_found(
    name: str, policy: PolicyFacts, machine: MachineFacts, says: str
) -> None:
    assert {c.ok for c in machine_checks(ARM, POLICY, MACHINE, 640 * 480)} == {True}
    checks = {c.name: c for c in machine_checks(ARM, policy, machine, 640 * 480)}
    assert checks[name].ok is False
    assert says in checks[name].found
    assert checks[name].remedy


def test_a_policy_that_does_not_load_is_a_finding() -> None:
    assert 'neither a folder nor one of' in policy_facts('nonsense', ARM, 'cpu').problem
    assert not policy_facts('hold', ARM, 'cpu').problem


def test_the_profile_in_force(tmp_path) -> None:
    assert fast_dds_profile({}) == ('', None)
    assert fast_dds_profile({'FASTDDS_DEFAULT_PROFILES_FILE': '/nowhere'}) == ('', None)
    path = tmp_path / 'own.xml'
    path.write_text('<a><segment_size> 123 </segment_size></a>')
    assert fast_dds_profile({'FASTDDS_DEFAULT_PROFILES_FILE': str(path)}) == (str(path), 123)
    path.write_text('<a/>')
    assert fast_dds_profile({'FASTDDS_DEFAULT_PROFILES_FILE': str(path)}) == (str(path), None)


def test_limits_of_a_urdf() -> None:
    text = """<robot name="r"><joint name="turn" type="continuous"><limit velocity="2" effort="1"/>
        </joint><joint name="bend" type="revolute"><limit lower="-1" upper="2" velocity="3"/>
        </joint><joint name="stiff" type="fixed"/></robot>"""
    assert joint_limits(text) == {
        'turn': (-float('inf'), float('inf'), 2.0),
        'bend': (-1.0, 2.0, 3.0),
    }


@pytest.mark.parametrize(
    'text, says',
    [
        ('<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><robot>&b;</robot>', 'entities'),
        ('<robot>' + ' ' * 16_000_000 + '</robot>', 'at most'),
        ('<robot', 'not valid XML'),
        (urdf().replace('velocity="10.0"', 'velocity="fast"'), "velocity of 'panda_joint1'"),
    ],
)
def test_a_urdf_that_cannot_be_trusted(text: str, says: str) -> None:
    with pytest.raises(ObservationError, match=says):
        joint_limits(text)


def test_the_table_shows_the_remedy_and_json_has_every_field(capsys) -> None:
    checks = examine(healthy(controllers={}))
    from rich.console import Console

    Console(width=100).print(doctor.table(checks))
    shown = capsys.readouterr().out
    assert '✓' in shown
    assert '✗  controller' in shown
    assert '→ start and activate controller' in shown
    assert json.dumps([c.__dict__ for c in checks])
