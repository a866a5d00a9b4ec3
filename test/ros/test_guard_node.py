"""guard_node with real DDS, in front of an arm that does what the controller topics say."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from fakes import ARM, Probe, Rhythm
from guard_bench import Arm, Bench
from rclpy.parameter import Parameter
from ros_graph import Graph
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_ros.errors import ConfigError
from vla_ros.ros import qos
from vla_ros.ros.conversion import chunk_to_message
from vla_ros.ros.guard_node import GuardNode
from vla_ros.types import ActionChunk


@pytest.fixture
def bench(graph: Graph) -> Bench:
    return Bench(graph)


def test_publishes_zeros_every_tick_when_idle(bench: Bench) -> None:
    assert bench.until(lambda: len(bench.arm.velocities) >= 50)
    assert not np.any(bench.arm.velocities)
    assert bench.becomes('ready')
    assert bench.status()['arm'] == 'sim'
    assert float(bench.status()['tick_p50_ms']) > 0


def test_chunk_moves_the_arm_and_its_end_holds(bench: Bench) -> None:
    bench.gets_moving()
    assert bench.becomes('moving', bench.think)
    assert float(bench.status()['chunk_age_ms']) < 1000
    assert bench.becomes('hold')
    assert bench.status()['reason'] == 'no new chunk for 0.13 s'
    assert bench.until(bench.rests)
    steps = np.abs(np.diff(bench.arm.velocities, axis=0)).max(axis=0)
    assert (steps <= 2 * ARM.acceleration_max_rad_s2 / ARM.guard_rate_hz + 1e-9).all()


def test_silent_policy_stops_after_a_second(bench: Bench) -> None:
    bench.gets_moving()
    assert bench.becomes('stop')
    assert bench.status()['reason'] == 'no new chunk for 1 s'
    assert bench.status()['level'] == '2'


@pytest.mark.parametrize('fault', ['broken', 'silent'])
def test_bad_joint_states_stop(bench: Bench, fault: str) -> None:
    bench.gets_moving()
    setattr(bench.arm, fault, True)
    assert bench.becomes('stop', bench.think)
    assert 'panda_joint' in bench.status()['reason']
    assert bench.until(bench.rests, bench.think)
    refused = bench.call(qos.REARM_SERVICE)
    assert not refused.success
    assert 'no fresh state of panda_joint' in refused.message
    setattr(bench.arm, fault, False)
    assert bench.until(lambda: bench.call(qos.REARM_SERVICE).success)
    bench.gets_moving()


def test_stop_and_rearm(bench: Bench) -> None:
    bench.gets_moving()
    assert bench.call(qos.STOP_SERVICE).success
    assert bench.becomes('stop', bench.think)
    assert bench.until(bench.rests, bench.think)
    heard = len(bench.arm.velocities)
    assert bench.until(lambda: len(bench.arm.velocities) > heard + 50, bench.think)
    assert not np.any(bench.arm.velocities[heard:])
    assert bench.until(lambda: bench.call(qos.REARM_SERVICE).success)
    bench.gets_moving()


def test_empty_instruction_stops(bench: Bench) -> None:
    bench.gets_moving()
    bench.probe.say('')
    assert bench.becomes('stop', bench.think)
    assert 'instruction is empty' in bench.status()['reason']
    bench.probe.say('reach the red cube')
    heard = len(bench.arm.velocities)
    assert bench.until(lambda: len(bench.arm.velocities) > heard + 50, bench.think)
    assert bench.rests()


def test_second_publisher_on_the_command_topic_stops(bench: Bench, graph: Graph) -> None:
    bench.gets_moving()
    rival = bench.probe.create_publisher(Float64MultiArray, ARM.velocity_topic(), qos.COMMAND)
    assert bench.becomes('stop', bench.think)
    assert bench.status()['level'] == '2'
    assert f'1 other publisher(s) on {ARM.velocity_topic()}' in bench.status()['reason']
    assert not bench.call(qos.REARM_SERVICE).success
    bench.probe.destroy_publisher(rival)
    assert bench.until(lambda: bench.call(qos.REARM_SERVICE).success)
    bench.gets_moving()


def test_chunks_that_are_not_finite_hold_then_stop(bench: Bench) -> None:
    bench.gets_moving()
    bench.send_chunk(math.nan)
    assert bench.becomes('hold')
    assert 'velocity nan in step 0 for joint 1' in bench.status()['reason']
    bench.gets_moving()
    assert bench.becomes('stop', Rhythm(lambda: bench.send_chunk(math.nan), 0.05))
    assert '3 bad chunks in a row' in bench.status()['reason']


def test_deactivation_in_motion_ramps_down_and_ends_with_zeros(bench: Bench) -> None:
    bench.gets_moving()
    start_s = time.monotonic()
    bench.guard.trigger_deactivate()
    assert time.monotonic() - start_s < 2.0
    assert bench.until(lambda: bench.speed() == 0.0 and not np.any(bench.arm.velocities[-5:]))
    heard = len(bench.arm.velocities)
    bench.probe.status.clear()
    assert bench.becomes('inactive', bench.think)
    assert len(bench.arm.velocities) == heard


def test_without_a_controller_or_joint_states_it_does_not_start(graph: Graph) -> None:
    guard, probe = GuardNode(context=graph.context), Probe(graph.context)
    graph.executor.add_node(guard)
    graph.executor.add_node(probe)
    guard.trigger_configure()
    guard.trigger_activate()
    assert not guard.active
    assert 'no controller listens on /forward_velocity_controller/commands' in guard.problem
    arm = Arm(graph.context)
    arm.silent = True
    graph.executor.add_node(arm)

    def activates(problem: str) -> bool:
        guard.trigger_activate()
        return problem in guard.problem

    assert graph.spin_until(lambda: activates('no fresh state of panda_joint1'))
    arm.position[1] = 3.0
    arm.silent = False
    assert graph.spin_until(lambda: activates('panda_joint2 is at 3.0000 rad, outside'))


def test_starts_by_itself_when_it_may(graph: Graph) -> None:
    bench = Bench(graph, activate=False, autostart=True)
    assert bench.becomes('ready')
    bench.gets_moving()


def test_trajectories_end_at_rest_where_the_velocity_leads(graph: Graph) -> None:
    bench = Bench(graph, output='trajectory')
    heard = bench.arm.trajectories
    assert bench.until(lambda: len(heard) > 20, bench.think)
    assert bench.until(lambda: not any(np.any(m.points[0].velocities) for m in heard[-5:]))
    assert not bench.arm.velocities
    for message in heard:
        assert list(message.joint_names) == list(ARM.joints)
        assert not np.any(message.points[-1].velocities)
        times = [p.time_from_start.sec * 10**9 + p.time_from_start.nanosec for p in message.points]
        assert 0 < times[0] <= 50_000_000
        assert np.all(np.diff(times) > 0)
        assert times[-1] < 1_000_000_000
    rest = np.array(heard[-1].points[-1].positions)
    assert (rest > ARM.home_rad + 0.01).all()
    count = len(heard)
    bench.probe.status.clear()
    assert bench.becomes('stop')  # a second later; meanwhile the controller holds
    assert len(heard) == count


def test_parameters_that_cannot_be_used_are_refused(graph: Graph) -> None:
    with pytest.raises(ConfigError, match='it must be within'):
        GuardNode(
            context=graph.context, parameter_overrides=[Parameter('chunk_timeout_s', value=99.0)]
        )


@pytest.mark.parametrize(
    ('parameter', 'problem'),
    [
        ('arm:=spider', "unknown arm 'spider'; choose one of: fr3, gen3"),
        ('speed:=2.0', "guard_node has no parameter 'speed'; it has: allow_inward_recovery, arm"),
        ('output:=steam', "unknown output 'steam'; choose one of: trajectory, velocity"),
        ('joint_state_timeout_s:=9.0', 'joint_state_timeout_s is 9.0; it must be within'),
        ('bad_chunks_to_stop:=many', "parameter 'bad_chunks_to_stop' must be a int"),
        ('estop_required:=true', 'estop_required is true, but estop_topic is empty'),
    ],
)
def test_bad_parameters_are_one_line_and_exit_2(parameter: str, problem: str) -> None:
    run = subprocess.run(
        [sys.executable, '-m', 'vla_ros.ros.guard_node', '--ros-args', '-p', parameter],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 2
    assert problem in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_process_ramps_down_on_a_signal(graph: Graph, number: signal.Signals) -> None:
    arm, probe = Arm(graph.context), Probe(graph.context)
    graph.executor.add_node(arm)
    graph.executor.add_node(probe)
    chunks = probe.create_publisher(JointTrajectory, qos.CHUNK_TOPIC, qos.COMMAND)

    def send() -> None:
        chunk = ActionChunk(np.full((4, 7), 0.3), 0.1, probe.now_ns())
        chunks.publish(chunk_to_message(chunk, ARM.joints))

    process = subprocess.Popen(
        [sys.executable, '-m', 'vla_ros.ros.guard_node', '--ros-args', '-p', 'autostart:=true'],
        env=os.environ | {'ROS_DOMAIN_ID': str(graph.context.get_domain_id())},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        think = Rhythm(send, 0.05)

        def fast() -> bool:
            think()
            return bool(arm.velocities) and min(arm.velocities[-1]) > 0.25

        assert graph.spin_until(fast, 40.0)
        start_s = time.monotonic()
        process.send_signal(number)
        assert graph.spin_until(lambda: process.poll() is not None)
        assert time.monotonic() - start_s < 2.0
        assert process.returncode == 0
        assert not np.any(arm.velocities[-5:])
        assert np.abs(arm.velocities[-6]).max() <= 0.31
        assert 'Traceback' not in process.stderr.read()  # type: ignore[union-attr]
    finally:
        process.kill()
        process.wait()


def test_process_loads_neither_torch_nor_mujoco() -> None:
    code = (
        'import json, sys; import vla_ros.ros.guard_node; '
        'heavy = {"torch", "mujoco", "transformers", "cv2"}; '
        'print(json.dumps([m for m in sys.modules if m in heavy]))'
    )
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert json.loads(run.stdout) == []
