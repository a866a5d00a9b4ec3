"""bringup.launch.py under the real `ros2 launch`, where there is one."""

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launch_ros.actions import LifecycleNode, Node

from vla_ros.paths import share_dir
from vla_ros.ros.bringup import ARGUMENTS

pytestmark = pytest.mark.launch
FILE = Path(share_dir()) / 'launch' / 'bringup.launch.py'


@pytest.fixture
def description():
    return get_launch_description_from_python_launch_file(str(FILE))


def nodes(description, **values):
    context = LaunchContext()
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            context.launch_configurations[entity.name] = entity.default_value[0].text
    context.launch_configurations.update(values)
    start = next(e for e in description.entities if isinstance(e, OpaqueFunction))
    return [action for action in start.execute(context) if isinstance(action, Node)]


def test_it_declares_the_arguments_of_the_bringup(description):
    declared = [e for e in description.entities if isinstance(e, DeclareLaunchArgument)]
    assert [d.name for d in declared] == [a.name for a in ARGUMENTS]


def test_it_starts_three_nodes_and_no_simulator_on_a_real_arm(description):
    three = nodes(description)
    assert [node.node_executable for node in three] == ['sim_node', 'guard_node', 'policy_node']
    assert [isinstance(node, LifecycleNode) for node in three] == [False, True, True]
    assert len(nodes(description, arm='fr3')) == 2


@pytest.mark.skipif(shutil.which('ros2') is None, reason='needs the ros2 command')
def test_ctrl_c_ends_everything_cleanly():
    process = subprocess.Popen(
        ['ros2', 'launch', 'vla_ros', 'bringup.launch.py', 'policy:=hold'],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, 'ROS_DOMAIN_ID': '78'},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    too_late = threading.Timer(60, process.kill)  # ends the lines, and with them the test
    too_late.start()
    lines = []
    for line in process.stdout:
        lines.append(line)
        if 'no fresh state' in line:
            process.send_signal(signal.SIGINT)
            break
    lines += process.stdout.readlines()
    process.wait(timeout=20)
    too_late.cancel()
    text = ''.join(lines)
    assert 'Traceback' not in text
    assert text.count('process has finished cleanly') == 3
