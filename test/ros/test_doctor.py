"""vla-ros doctor on real graphs: a healthy one of real processes, and robots that are not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fakes import ARM
from rclpy.context import Context
from rclpy.node import Node
from ros_graph import Graph
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String

from vla_ros.cli import main
from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ConfigError
from vla_ros.ros import qos
from vla_ros.ros.conversion import image_to_message, joint_state_to_message
from vla_ros.ros.doctor.check import Check
from vla_ros.ros.doctor.examine import examine
from vla_ros.ros.local_graph import local_graph
from vla_ros.ros.session import Session

TIMING = {'CPU', 'frames front', 'frames wrist', 'diagnostics'}  # of this machine at this moment
CHECKED = {
    'joints', 'units', 'joint-state rate', 'limits', 'camera front', 'frames front',
    'camera wrist', 'frames wrist', 'clock', 'controller', 'commands', 'diagnostics',
}  # fmt: skip
_TIGHT = (
    '<joint name="panda_joint1" type="revolute"><limit lower="-1" upper="1" velocity="1"/></joint>'
)
_FREE = ''.join(f'<joint name="{joint}" type="continuous"/>' for joint in ARM.joints[1:])
URDF = f'<robot name="r">{_TIGHT}{_FREE}</robot>'


class Robot(Node):
    """A driver, two cameras and a controller, with one thing wrong."""

    def __init__(self, context: Context, wrong: str = '') -> None:
        super().__init__('robot', context=context)
        self.wrong = wrong
        self.picture = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
        self.states = self.create_publisher(JointState, ARM.joint_states_topic, qos.SENSOR)
        self.cameras = {
            name: self.create_publisher(Image, camera.topic, qos.SENSOR)
            for name, camera in ARM.cameras.items()
        }
        profile = qos.LATCHED if wrong == 'incompatible controller' else qos.COMMAND
        self.create_subscription(
            Float64MultiArray, ARM.velocity_topic(), lambda message: None, profile
        )
        if wrong == 'rival':
            self.create_publisher(Float64MultiArray, ARM.velocity_topic(), qos.COMMAND)
        if wrong == 'urdf':
            description = self.create_publisher(String, '/robot_description', qos.LATCHED)
            description.publish(String(data=URDF))
        self.create_timer(0.02, self.send_state)
        self.create_timer(1 / 15, self.send_images)

    def send_state(self) -> None:
        q = np.rad2deg(ARM.home_rad) if self.wrong == 'degrees' else ARM.home_rad
        names = list(ARM.joints)
        if self.wrong == 'joint':
            names[3] = 'elbow'
        stamp = self.get_clock().now().to_msg()
        stamp.sec -= 60 * (self.wrong == 'clock')
        self.states.publish(joint_state_to_message(names, q, np.zeros(7), stamp))

    def send_images(self) -> None:
        self.picture = np.roll(self.picture, 1, axis=0)
        for name, camera in self.cameras.items():
            if self.wrong == 'no wrist' and name == 'wrist':
                continue
            columns = 80 if self.wrong == 'size' else 320
            rows = columns * ARM.cameras[name].height // ARM.cameras[name].width
            picture = self.picture[:rows, :columns]
            message = image_to_message(picture, self.get_clock().now().to_msg(), name)
            if self.wrong == 'encoding':
                message.encoding = 'yuv422'
            if self.wrong == 'mono':  # half the bytes that it says
                message.encoding, message.width = 'mono8', 4096
            camera.publish(message)


@contextmanager
def spinning(graph: Graph, *nodes: Node) -> Iterator[int]:
    """Spin nodes in a thread; the value is their domain."""
    for node in nodes:
        graph.executor.add_node(node)
    stopping = threading.Event()

    def spin() -> None:
        while not stopping.is_set():
            graph.executor.spin_once(timeout_sec=0.05)

    spinner = threading.Thread(target=spin, daemon=True)
    spinner.start()
    try:
        yield graph.context.get_domain_id()
    finally:
        stopping.set()
        spinner.join()


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.mark.parametrize('output', ['velocity', 'trajectory'])
def test_a_graph_of_our_own_is_healthy(output: str) -> None:
    with local_graph({'output': output}) as graph:
        with Session(domain_id=graph.domain_id) as session:
            assert session.spin_until(
                lambda: session.value(qos.GUARD_NODE, 'state') == 'ready', 30.0
            )
        checks = by_name(examine(ARM, output=output, domain_id=graph.domain_id))
    assert set(checks) >= CHECKED
    wrong = [c for c in checks.values() if c.ok is not True and c.name not in TIMING]
    assert [c.name for c in wrong] == ['limits'], wrong
    assert checks['limits'].ok is None
    assert not any(check.fatal for check in checks.values())
    assert '320x240' in checks['camera front'].found


@pytest.mark.parametrize(
    'wrong, name, says',
    [
        ('degrees', 'units', 'these are degrees'),
        ('joint', 'joints', 'lacks panda_joint4; it has panda_joint1'),
        ('encoding', 'camera front', "encoding 'yuv422' is not supported"),
        ('size', 'camera front', 'rgb8 80x60, the policy needs 128x96'),
        ('mono', 'camera front', 'image step is 960 bytes'),
        ('no wrist', 'camera wrist', 'nothing came'),
        ('incompatible controller', 'controller', 'cannot hear the guard'),
        ('rival', 'commands', 'robot publishes on'),
        ('urdf', 'limits', 'panda_joint1: the YAML allows'),
        ('clock', 'clock', 'ms old'),
        ('', '', ''),
    ],
)
def test_a_robot_with_one_thing_wrong(graph: Graph, wrong: str, name: str, says: str) -> None:
    with spinning(graph, Robot(graph.context, wrong)) as domain_id:
        checks = examine(ARM, seconds=1.0, domain_id=domain_id)
    bad = [c for c in checks if c.ok is False and c.name not in TIMING]
    expected = {name} if name else set()
    if wrong in ('encoding', 'mono'):
        expected = {f'camera {camera}' for camera in ARM.cameras}
    if wrong == 'size':
        expected = {'camera front'}
    assert {c.name for c in bad} == expected, bad
    for check in bad:
        assert check.remedy
        if check.name == name:
            assert says in check.found


def test_nothing_runs(graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', str(graph.context.get_domain_id()))
    path = tmp_path / 'found.json'
    assert main(['doctor', '--seconds', '0.5', '--policy', 'hold', '--json', str(path)]) == 1
    found = json.loads(path.read_text())
    (graph_row,) = [row for row in found if row['name'] == 'graph']
    assert graph_row['ok'] is False
    assert 'vla-ros up' in graph_row['remedy']
    assert set(graph_row) == {'name', 'ok', 'found', 'remedy', 'fatal'}


def test_an_output_mode_or_a_duration_that_cannot_be_had() -> None:
    with pytest.raises(ConfigError, match="output 'velocity': arm 'iiwa7' has trajectory only"):
        examine(load_arm('iiwa7'), output='velocity')
    with pytest.raises(ConfigError, match=r'seconds: 0\.1'):
        examine(ARM, seconds=0.1)
