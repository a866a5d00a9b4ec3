"""Nodes as processes: what a user sees who writes nonsense, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ros_graph import free_domain_id

from vla_ros.ros.bringup import node_specs
from vla_ros.ros.local_graph import local_processes
from vla_ros.ros.session import Session

DEADLINE_S = 30.0


def start(node: str, *parameters: str, domain_id: int | None = None) -> subprocess.Popen[str]:
    arguments = [word for parameter in parameters for word in ('-p', parameter)]
    return subprocess.Popen(
        [sys.executable, '-m', f'vla_ros.ros.{node}', '--ros-args', *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {'ROS_DOMAIN_ID': str(domain_id or free_domain_id())},
    )


@pytest.mark.parametrize(
    ('node', 'parameters', 'says'),
    [
        ('policy_node', ['polcy:=x'], "no parameter 'polcy'; it has: arm,"),
        ('policy_node', ['arm:=nosuch'], "unknown arm 'nosuch'; choose one of:"),
        ('policy_node', ['device:=tpu'], "unknown device 'tpu'"),
        ('policy_node', ['policy:=/no/checkpoint', 'autostart:=true'], '/no/checkpoint'),
        ('policy_node', ['policy:=no-such', 'autostart:=true'], "policy 'no-such'"),
        ('policy_node', ['threads'], 'arguments after --ros-args cannot be used'),
        ('sim_node', ['cameras_hz:=fast'], "'cameras_hz' must be a float, got 'fast'"),
        ('sim_node', ['arm:=/no/arm.yaml'], "file '/no/arm.yaml' does not exist"),
    ],
)
def test_nonsense_ends_with_one_clear_line_and_code_2(
    node: str, parameters: list[str], says: str
) -> None:
    process = start(node, *parameters)
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert says in errors
    assert 'Traceback' not in errors
    assert sum(line.startswith('error: ') for line in errors.splitlines()) == 1


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ('node', 'parameters'),
    [('sim_node', []), ('policy_node', ['policy:=hold', 'autostart:=true'])],
)
def test_a_signal_ends_a_working_node_in_two_seconds_without_a_trace(
    node: str, parameters: list[str], number: signal.Signals
) -> None:
    domain_id = free_domain_id()
    process = start(node, *parameters, domain_id=domain_id)
    with Session('waiter', domain_id) as session:
        assert session.spin_until(lambda: node in session.status, DEADLINE_S)
    process.send_signal(number)
    asked_s = time.monotonic()
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert time.monotonic() - asked_s < 2.0
    assert 'Traceback' not in errors


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    'start_it',
    [
        'from vla_ros.ros.start import guard_node; sys.exit(guard_node())',
        'sys.argv[1:] = ["vla_ros.ros.guard_node"]; '
        'runpy.run_module("vla_ros.ros.start", run_name="__main__", alter_sys=True)',
    ],
    ids=['console script', 'python -m'],
)
def test_a_signal_ends_a_node_that_is_still_being_imported_without_a_trace(
    start_it: str, number: signal.Signals
) -> None:
    code = f"""
import os, runpy, sys
class Signals:
    def find_spec(self, name, path=None, target=None):
        if name == 'rclpy':
            os.kill(os.getpid(), {int(number)})
sys.meta_path.insert(0, Signals())
{start_it}
"""
    result = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')


def test_a_node_needs_no_home(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ('HOME', 'ROS_LOG_DIR')}
    result = subprocess.run(
        [sys.executable, '-m', 'vla_ros.ros.policy_node', '--ros-args', '-p', 'arm:=nosuch'],
        env=environment | {'TMPDIR': str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert result.returncode == 2
    assert 'Traceback' not in result.stderr


def test_the_running_guard_has_nothing_of_fast_dds_in_shared_memory() -> None:
    specs = [spec for spec in node_specs({}) if spec.name != 'policy_node']
    with local_processes(specs) as graph, Session('waiter', graph.domain_id) as session:
        names = {spec.name for spec in specs}
        assert session.spin_until(lambda: names <= session.status.keys(), DEADLINE_S)
        maps = {n: Path(f'/proc/{graph.processes.pid(n)}/maps').read_text() for n in names}
    used = {name: '/dev/shm/fastdds' in text for name, text in maps.items()}
    assert used == {'sim_node': True, 'guard_node': False}
