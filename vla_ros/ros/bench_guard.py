"""How long one tick of the guard takes: alone, with its publishing, and in the running node.

Back to back it is what the code costs. In the node a tick is woken from sleep, and where the
processor slept, too, every first touch of code and data costs a multiple.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.core.guard import Guard, GuardOutput, State
from vla_ros.errors import VlaRosError
from vla_ros.paths import config_dir
from vla_ros.ros import qos
from vla_ros.ros.bringup import NodeSpec
from vla_ros.ros.command_output import make_output
from vla_ros.ros.conversion import chunk_to_message, joint_state_to_message
from vla_ros.ros.local_graph import free_domain_id
from vla_ros.ros.processes import NodeProcesses
from vla_ros.ros.session import Session
from vla_ros.types import ActionChunk, FloatArray

CHUNK_STEPS, STEP_S, SPEED_RAD_S = 8, 0.1, 0.2
TICKS_PER_CHUNK = 7
STATES_HZ = 100.0  # of the stand-in for a robot
WARM_UP = 200
Send = Callable[[GuardOutput, FloatArray | None], None]
_START_S = 20.0
_LOAD = 'import numpy as np\na = np.ones((256, 256))\nwhile True:\n    a @ a'


@dataclass(frozen=True)
class Ticks:
    """How long one kind of tick takes, in microseconds."""

    median_us: float
    p99_us: float


def measure_core(arm_name: str, ticks: int, send: Send = lambda output, measured: None) -> Ticks:
    """Time `Guard.tick` and `send`, back to back, on an arm that swings, without ROS."""
    arm = load_arm(arm_name)
    guard, position = Guard(arm), arm.home_rad.copy()
    period_ns = round(1e9 / arm.guard_rate_hz)
    durations_ns: list[int] = []
    for k in range(WARM_UP + ticks):
        now_ns = (k + 1) * period_ns
        guard.on_joint_state(arm.joints, position.tolist(), now_ns, now_ns)
        if k == 0:
            guard.activate(0, now_ns)
        if k % TICKS_PER_CHUNK == 0:
            guard.on_chunk(_swing(now_ns), now_ns, now_ns)
        start_ns = time.perf_counter_ns()
        output = guard.tick(now_ns, now_ns)
        send(output, guard.positions(now_ns))
        durations_ns.append(time.perf_counter_ns() - start_ns)
        position += output.velocity * period_ns * 1e-9
    assert output.state is State.MOVING, output.reason
    median, p99 = np.percentile(durations_ns[WARM_UP:], (50, 99)) / 1e3
    return Ticks(float(median), float(p99))


def measure_published(arm_name: str, output: str, ticks: int) -> Ticks:
    """Time a tick with the publishing of its command to a subscriber, back to back."""
    arm = load_arm(arm_name)
    if output not in arm.controllers:
        return Ticks(float('nan'), float('nan'))
    with Session('bench', free_domain_id()) as session:
        node = LifecycleNode('bench_guard', context=session.context)
        command = make_output(node, arm, output)
        kind, topic = next(c for c in _controllers(arm) if c[1] == command.topic)
        session.node.create_subscription(kind, topic, lambda _: None, qos.COMMAND)
        node.trigger_configure()
        node.trigger_activate()
        if not session.spin_until(command.listeners, _START_S):
            raise VlaRosError(f'nobody hears {topic}; is DDS allowed to use the loopback?')
        try:
            return measure_core(arm_name, ticks, command.send)
        finally:
            node.destroy_node()


def measure_node(arm_name: str, output: str, seconds: float) -> Ticks:
    """Return what a guard_node process says about its ticks while it moves an arm through DDS.

    Raises:
        ConfigError: the arm has no controller for the output.
        VlaRosError: the node does not start, or stops.
    """
    return _measure(arm_name, output, seconds, 'tick')


def measure_period(arm_name: str, output: str, seconds: float, rate_hz: float) -> Ticks:
    """Return how evenly a guard_node process ticks at a rate while another keeps a core busy.

    Raises:
        VlaRosError: the node does not start, or stops.
    """
    path = Path(arm_name)
    if path.suffix not in ('.yaml', '.yml'):
        path = config_dir() / 'arms' / f'{arm_name}.yaml'
    content = yaml.safe_load(path.read_text(encoding='utf-8')) | {'guard_rate_hz': rate_hz}
    with tempfile.TemporaryDirectory(prefix='vla_ros_') as folder, _busy_core():
        copy = Path(folder) / 'arm.yaml'
        copy.write_text(yaml.safe_dump(content), encoding='utf-8')
        return _measure(str(copy), output, seconds, 'period')


@contextmanager
def _busy_core() -> Iterator[None]:
    """Keep one core busy, as a policy on the CPU does."""
    one_thread = os.environ | {'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}
    process = subprocess.Popen([sys.executable, '-c', _LOAD], env=one_thread)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _measure(arm_name: str, output: str, seconds: float, what: str) -> Ticks:
    """Run guard_node for a while; return percentiles of a duration on its diagnostics."""
    arm = load_arm(arm_name)
    if output not in arm.controllers:
        return Ticks(float('nan'), float('nan'))
    domain_id = free_domain_id()
    parameters = {'arm': arm_name, 'output': output, 'autostart': True}
    spec = NodeSpec('guard_node', True, (config_dir() / 'guard.yaml',), parameters)
    with (
        NodeProcesses([spec], extra_environment={'ROS_DOMAIN_ID': str(domain_id)}) as processes,
        Session('bench', domain_id) as session,
        _robot(session, arm),
    ):

        def moving() -> bool:
            processes.check()
            return session.value(qos.GUARD_NODE, 'state') == 'moving'

        if not session.spin_until(moving, _START_S):
            status = session.status.get(qos.GUARD_NODE)
            raise VlaRosError(f'guard_node did not start: {status.message if status else ""}')
        session.spin(seconds)
        if not moving():
            raise VlaRosError(f'guard_node: {session.status[qos.GUARD_NODE].message}')
        said = [float(session.value(qos.GUARD_NODE, f'{what}_{p}_ms')) for p in ('p50', 'p99')]
    return Ticks(1000 * said[0], 1000 * said[1])


@contextmanager
def _robot(session: Session, arm: Embodiment) -> Iterator[None]:
    """Play driver, controllers and policy: the arm goes where the chunks say."""
    node = session.node
    states = node.create_publisher(JointState, arm.joint_states_topic, qos.SENSOR)
    chunks = node.create_publisher(JointTrajectory, qos.CHUNK_TOPIC, qos.COMMAND)
    listeners = [
        node.create_subscription(message_type, topic, lambda _: None, qos.COMMAND)
        for message_type, topic in _controllers(arm)
    ]
    start_s, position = time.monotonic(), arm.home_rad

    def publish_state() -> None:
        now = node.get_clock().now().to_msg()
        swung = position + 0.01 * np.sin(time.monotonic() - start_s)
        states.publish(joint_state_to_message(arm.joints, swung, np.zeros(7), now))

    def publish_chunk() -> None:
        chunk = _swing(node.get_clock().now().nanoseconds)
        chunks.publish(chunk_to_message(chunk, arm.joints))

    steady = Clock(clock_type=ClockType.STEADY_TIME)
    period_s = 1.0 / STATES_HZ
    timers = [
        node.create_timer(period_s, publish_state, clock=steady),
        node.create_timer(period_s * TICKS_PER_CHUNK, publish_chunk, clock=steady),
    ]
    yield
    for timer in timers:
        node.destroy_timer(timer)
    for listener in listeners:
        node.destroy_subscription(listener)


def _controllers(arm: Embodiment) -> list[tuple[type, str]]:
    kinds = {
        'velocity': (Float64MultiArray, arm.velocity_topic),
        'trajectory': (JointTrajectory, arm.trajectory_topic),
    }
    return [(kinds[mode][0], kinds[mode][1]()) for mode in arm.controllers]


def _swing(stamp_ns: int) -> ActionChunk:
    speed = SPEED_RAD_S * np.cos(2e-9 * np.pi * stamp_ns)
    velocities: FloatArray = np.full((CHUNK_STEPS, 7), speed)
    return ActionChunk(velocities, STEP_S, stamp_ns)
