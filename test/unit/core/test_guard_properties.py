"""Properties 6 to 8 of the guard, and that no input whatever moves the arm beyond its limits."""

from __future__ import annotations

import resource

import numpy as np
import pytest
from arm_bench import Bench
from hypothesis import given
from hypothesis import strategies as st
from plant import ARMS, NASTY, Plant, every_arm, requests, runs, start, with_rate

from vla_ros.core.guard import State
from vla_ros.core.joint_state import JointStates
from vla_ros.core.limiter import BRAKING_SHARE
from vla_ros.types import ActionChunk

ABSURD = ('', ' ', 'x' * 100_000, '\x00\x1b[2J', '\ud800', 'reach the red cube', '\n' * 9, '🤖')


@every_arm
@given(runs())
def test_whatever_comes_the_command_keeps_speed_and_acceleration(arm, run) -> None:
    period_s = run['period_s']
    generator = np.random.default_rng(run['seed'])
    bench = Bench(with_rate(arm, period_s)).active()
    bench.position = start(arm, generator)
    plant, before = Plant(bench.position), bench.tick().velocity
    for wish in requests(arm, generator, 420):
        bench.period_ns = round(1e9 * period_s * generator.uniform(0.5, 1.5))
        plant.advance(bench.period_ns * 1e-9)
        bench.position = plant.position
        if generator.random() < 0.2:
            bench.chunk(wish, stamp_ns=bench.stamp_ns + int(generator.normal(0, 3e7)))
        if bench.guard.reason and generator.random() < 0.1 and bench.guard.at_rest:
            bench.measure()
            bench.rearm()
        bench.outputs.clear()  # the plant moves the arm, not the bench
        velocity = bench.tick().velocity
        plant.command(velocity)
        assert velocity.shape == (7,)
        assert (np.abs(velocity) <= arm.velocity_max_rad_s).all()
        change = np.abs(velocity - before) / (bench.period_ns * 1e-9)
        assert (change <= arm.acceleration_max_rad_s2 * (1 + 1e-9)).all()
        assert plant.overshoot(arm, margin=True) <= 1e-9
        before = velocity


@every_arm
@given(runs(), st.sampled_from(['stop', 'silence', 'NaN', 'bad chunk', 'instruction', 'jump']))
def test_5_every_fault_brings_the_arm_to_rest_in_time(arm, run, fault) -> None:
    period_s = run['period_s']
    generator = np.random.default_rng(run['seed'])
    bench = Bench(with_rate(arm, period_s)).active()
    wish = generator.uniform(-1, 1, 7) * arm.velocity_max_rad_s
    for _ in range(round(0.4 / period_s)):
        bench.chunk(wish, steps=100)
        bench.tick()
    speed = np.abs(bench.outputs[-1].velocity)
    if fault == 'silence':  # until it is noticed, the arm may still become faster
        speed = np.maximum(speed, np.abs(wish))
    longest_s = (speed / (BRAKING_SHARE * arm.acceleration_max_rad_s2)).max() + 2 * period_s
    if fault == 'stop':
        bench.guard.stop('test')
    elif fault == 'NaN':
        bench.measure(positions=[*bench.position[:6].tolist(), float('nan')])
    elif fault == 'bad chunk':
        bench.chunk(float('inf'))
    elif fault == 'instruction':
        bench.guard.on_instruction('')
    elif fault == 'jump':
        bench.stamp_ns -= 10_000_000_000
    else:
        longest_s += bench.guard.config.joint_state_timeout_s
    passed_s = 0.0
    while bench.tick(measured=fault != 'silence').velocity.any():
        passed_s += period_s
        assert passed_s <= longest_s + 1e-9
    assert bench.outputs[-1].state in (State.HOLD, State.STOP)


@every_arm
@given(seed=st.integers(0, 2**32 - 1))
def test_6_order_and_split_of_joint_states_do_not_matter(arm, seed) -> None:
    generator = np.random.default_rng(seed)
    whole, parts = Bench(arm), Bench(arm)
    names = [*arm.joints, 'gripper', 'base_wheel']
    for bench in (whole, parts):
        bench.active()
        bench.tick()
        bench.chunk(0.5)
    for _ in range(40):
        for bench in (whole, parts):
            bench.mono_ns += bench.period_ns
            bench.stamp_ns += bench.period_ns
        positions = [*(arm.home_rad + generator.normal(0, 0.01, 7)), 9.0, float('nan')]
        whole.measure(names=names, positions=positions)
        order = generator.permutation(len(names))
        cuts = np.sort(generator.integers(0, len(names) + 1, 3))
        for part in np.split(order, cuts):
            parts.measure(names=[names[k] for k in part], positions=[positions[k] for k in part])
        outputs = [b.guard.tick(b.stamp_ns, b.mono_ns) for b in (whole, parts)]
        np.testing.assert_array_equal(outputs[0].velocity, outputs[1].velocity)
        assert outputs[0].state is outputs[1].state


@given(st.lists(st.integers(-(2**62), 2**62), max_size=60), st.integers(0, 2**32 - 1))
def test_7_no_stamps_keep_the_arm_moving_without_new_observations(stamps, seed) -> None:
    """The node's clock stands where it is; stamps of states and repeated chunks are anything."""
    bench = Bench().active()
    bench.tick()
    observed = bench.chunk(0.3, steps=200)
    generator = np.random.default_rng(seed)
    for k in range(400):
        stamp_ns = stamps[generator.integers(len(stamps))] if stamps else 0
        chunk = ActionChunk(observed.velocities_rad_s, 0.1, min(stamp_ns, observed.stamp_ns))
        bench.guard.on_chunk(chunk, bench.stamp_ns, bench.mono_ns)
        output = bench.tick()
        if k * bench.period_ns > 1.1e9:
            assert output.state is State.STOP
    assert not output.velocity.any()


@given(st.lists(st.integers(-(2**62), 2**62), max_size=40))
def test_7_no_stamps_make_silent_joints_young(stamps) -> None:
    states = JointStates(ARMS['sim'].joints)
    for k, stamp_ns in enumerate(stamps):
        states.update(ARMS['sim'].joints[:6], [0.0] * 6, stamp_ns, k * 10_000_000)
        assert states.missing(k * 10_000_000, 0.1)[-1] == 'panda_joint7'
    assert len(states.missing(len(stamps) * 10_000_000 + 200_000_000, 0.1)) == 7


@pytest.mark.parametrize('seed', [0])
def test_8_malformed_chunks_states_and_instructions_cost_nothing(seed: int) -> None:
    generator = np.random.default_rng(seed)
    bench = Bench().active()

    def abuse(count: int) -> None:
        for k in range(count):
            shape = tuple(generator.integers(0, 12, generator.integers(0, 4)))
            rows = generator.choice(NASTY, shape)
            step_s = float(generator.choice([*NASTY, 0.1]))
            stamp_ns = int(generator.integers(-(2**60), 2**60))
            openings_m = generator.choice(NASTY, generator.integers(0, 12))
            chunk = ActionChunk(rows, step_s, stamp_ns, gripper_openings_m=openings_m)
            bench.guard.on_chunk(chunk, bench.stamp_ns, bench.mono_ns)
            bench.guard.on_bad_chunk('not a chunk')
            bench.guard.on_instruction(ABSURD[k % len(ABSURD)])
            names = generator.choice([*bench.arm.joints, 'x', ''], generator.integers(0, 9))
            bench.guard.on_joint_state(
                names.tolist(), rows.ravel().tolist(), stamp_ns, bench.mono_ns
            )
            assert not bench.tick().velocity.any()
            bench.outputs.clear()
            if k % 4 == 0:
                bench.measure(stamp_ns=0)
                bench.rearm()

    abuse(2_000)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    abuse(10_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 10_000
