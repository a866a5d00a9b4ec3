"""What changes under a running guard_node: parameters, its controller, the clock."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import ARM
from guard_bench import Bench
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from ros_graph import Graph
from rosgraph_msgs.msg import Clock

from vla_ros.ros import qos
from vla_ros.ros.conversion import ns_to_stamp


def set_together(bench: Bench, **values: object) -> str:
    """Set parameters in one go; return why they were refused, empty if they were not."""
    parameters = [Parameter(name, value=value) for name, value in values.items()]
    return bench.guard.set_parameters_atomically(parameters).reason


@pytest.mark.parametrize(
    ('values', 'problem'),
    [
        ({'chunk_timeout_s': 2.0}, 'chunk_timeout_s: 1.0 can only be tightened'),
        ({'velocity_scale': 0.5, 'chunk_hold_s': 0.2}, 'chunk_hold_s: 0.13 can only be'),
        ({'velocity_scale': 0.0}, 'velocity_scale is 0.0; it must be within'),
        ({'velocity_scale': float('nan')}, 'velocity_scale is nan; it must be within'),
        ({'velocity_scale': 1}, 'Wrong parameter type'),
        ({'velocity_scale': 'slow'}, 'Wrong parameter type'),
        ({'arm': 'panda'}, 'arm: read at start only'),
        ({'estop_required': True}, 'estop_required is true, but estop_topic is empty'),
    ],
)
def test_parameters_that_loosen_are_refused_as_a_whole(
    graph: Graph, values: dict[str, object], problem: str
) -> None:
    bench = Bench(graph)
    assert problem in set_together(bench, **values)
    assert bench.guard.get_parameter('velocity_scale').value == 1.0


def test_parameters_tighten_while_it_moves_and_loosen_while_inactive(graph: Graph) -> None:
    bench = Bench(graph)
    bench.gets_moving()
    assert set_together(bench, velocity_scale=0.05, joint_state_timeout_s=0.08) == ''
    slow = 0.05 * ARM.velocity_max_rad_s.max() + 1e-9
    assert bench.until(lambda: 0 < bench.speed() <= slow, bench.think)
    assert bench.until(lambda: int(bench.status()['limited']) > 0, bench.think)
    assert 'can only be tightened' in set_together(bench, velocity_scale=0.5)
    bench.guard.trigger_deactivate()
    assert set_together(bench, velocity_scale=1.0) == ''
    assert bench.until(bench._activated)
    bench.gets_moving()


def test_controller_gone_and_back(graph: Graph) -> None:
    bench = Bench(graph)
    bench.gets_moving()
    bench.arm.destroy_subscription(bench.arm.controller)
    assert bench.becomes('hold', bench.think)
    assert bench.status()['reason'] == 'no controller listens'
    heard = len(bench.arm.velocities)
    bench.arm.start_controller()
    assert bench.until(lambda: len(bench.arm.velocities) > heard, bench.think)
    first = np.abs(bench.arm.velocities[heard])  # a ramp from zero; a tick may be late or lost
    assert (first <= 5 * ARM.acceleration_max_rad_s2 / ARM.guard_rate_hz).all()
    bench.gets_moving()


def test_every_hold_and_stop_is_logged_once_and_kept_on_diagnostics(graph: Graph) -> None:
    bench = Bench(graph)
    lines: list[str] = []
    bench.probe.create_subscription(
        Log, '/rosout', lambda m: lines.append(m.msg) if m.name == 'guard_node' else None, 100
    )
    assert bench.until(lambda: bench.guard.count_subscribers('/rosout') == 1)
    bench.gets_moving()
    holds = int(bench.status().get('holds', 0))
    bench.send_chunk(float('nan'))
    refused = 'chunk refused: velocity nan in step 0 for joint 1'
    assert bench.until(lambda: bench.status().get('last_reason') == refused)
    bench.gets_moving()
    assert int(bench.status()['holds']) == holds + 1
    bench.call(qos.STOP_SERVICE)
    assert bench.becomes('stop', bench.think)
    assert bench.until(bench.rests, bench.think)
    assert bench.until(lambda: any('STOP' in line for line in lines), bench.think)
    assert [line for line in lines if 'STOP' in line] == [
        'STOP: /vla/stop was called; re-arm with /vla/rearm'
    ]
    assert [line for line in lines if refused in line] == [f'HOLD: {refused}']


@pytest.mark.parametrize(('output', 'warns'), [('velocity', True), ('trajectory', False)])
def test_velocity_output_says_what_the_controller_must_provide(
    graph: Graph, output: str, warns: bool
) -> None:
    bench = Bench(graph, output=output)
    assert bench.becomes('ready')
    assert ('repeats the last command for ever' in bench.status()['warning']) is warns


def test_simulated_time_that_pauses_jumps_and_is_reset(graph: Graph) -> None:
    """The arm rests while the clock is not to be trusted, and goes on by itself after."""
    bench = Bench(graph, activate=False)
    clock = bench.probe.create_publisher(Clock, qos.CLOCK_TOPIC, 10)
    now_ns, rate, last_s = 100_000_000_000, 1.0, [bench.real_s()]
    times = {'now': now_ns, 'rate': rate}

    def flow() -> None:
        real_s = bench.real_s()
        times['now'] += round(times['rate'] * (real_s - last_s[0]) * 1e9)
        last_s[0] = real_s
        clock.publish(Clock(clock=ns_to_stamp(int(times['now']))))
        bench.think()

    for node in (bench.guard, bench.probe, bench.arm):
        node.set_parameters([Parameter('use_sim_time', value=True)])
    bench.guard.trigger_configure()
    assert bench.until(bench._activated, flow)
    for jump_s, rate, reason in (
        (0.0, 0.0, 'the clock stands still'),
        (10.0, 1.0, 'the clock jumped by +'),
        (-10.0, 1.0, 'the clock jumped by -'),
        (-80.0, 1.0, 'the clock jumped by -'),
    ):
        assert bench.until(lambda: bench.speed() > 0.25, flow), bench.status()
        assert bench.becomes('moving', flow)
        holds = int(bench.status()['holds'])
        times['now'] += jump_s * 1e9
        times['rate'] = rate

        def held(n: int = holds, reason: str = reason) -> bool:
            status = bench.status()
            return int(status['holds']) > n and status['last_reason'].startswith(reason)

        assert bench.until(held, flow), bench.status()
        if not rate:
            assert bench.until(bench.rests, flow)
        times['rate'] = 1.0
