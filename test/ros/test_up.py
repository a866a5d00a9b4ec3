"""vla-ros up: starts the nodes, and leaves none behind however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
from ros_graph import free_domain_id

from vla_ros.ros import qos
from vla_ros.ros.session import Session

DEADLINE_S = 30.0
NODES = {qos.SIM_NODE, qos.GUARD_NODE, qos.POLICY_NODE}


class Up:
    """A running `vla-ros up`, and the processes that it started."""

    def __init__(self, *arguments: str) -> None:
        self.domain_id = free_domain_id()
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'vla_ros.cli', 'up', *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {'ROS_DOMAIN_ID': str(self.domain_id)},
        )
        self.nodes: list[psutil.Process] = []

    def wait_until_moving(self, session: Session) -> None:
        """Return when the guard says that the arm moves."""
        moving = lambda: session.value(qos.GUARD_NODE, 'state') == 'moving'  # noqa: E731
        assert session.spin_until(moving, DEADLINE_S), session.status
        self.nodes = psutil.Process(self.process.pid).children()
        assert len(self.nodes) == len(NODES)

    def end(self) -> tuple[str, str, float]:
        """Return what it printed and how long it still took."""
        start_s = time.monotonic()
        output, errors = self.process.communicate(timeout=DEADLINE_S)
        return output, errors, time.monotonic() - start_s


@pytest.fixture
def up() -> Iterator[Up]:
    running = Up('policy:=vla-reach', 'instruction:=reach the blue cylinder', 'seed:=5')
    try:
        with Session('witness', running.domain_id) as session:
            running.wait_until_moving(session)
        yield running
    finally:
        running.process.kill()
        for node in running.nodes:
            if node.is_running():
                node.kill()


@pytest.mark.parametrize(
    'signals', [[signal.SIGINT], [signal.SIGHUP], [signal.SIGTERM], [signal.SIGINT] * 3]
)
def test_it_ends_in_two_seconds_with_the_arm_at_rest(up: Up, signals: list[int]) -> None:
    for number in signals:
        up.process.send_signal(number)
    output, errors, seconds = up.end()
    assert up.process.returncode == 0
    assert seconds < 2.5  # 2 s, and the time to be told of it
    assert 'ended, the arm is at rest' in output
    assert 'Traceback' not in output + errors
    assert not [node for node in up.nodes if node.is_running()]


def test_killed_it_leaves_nothing_running(up: Up) -> None:
    up.process.kill()
    _, alive = psutil.wait_procs(up.nodes, timeout=DEADLINE_S)
    assert not alive


def test_a_node_that_dies_ends_the_others_and_is_named(up: Up) -> None:
    policy = next(n for n in up.nodes if 'vla_ros.ros.policy_node' in n.cmdline())
    policy.kill()
    _, errors, _ = up.end()
    assert up.process.returncode == 2
    assert 'policy_node has ended' in errors
    assert not [node for node in up.nodes if node.is_running()]
