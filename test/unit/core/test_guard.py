"""What the guard does about every fault that it can see."""

from __future__ import annotations

import numpy as np
import pytest
from arm_bench import Bench

from vla_ros.core.chunk_intake import CHUNK_ENDED
from vla_ros.core.embodiment import load_arm
from vla_ros.core.guard import NO_INSTRUCTION, TOO_FAST, State
from vla_ros.core.guard_config import GuardConfig
from vla_ros.core.limiter import BRAKING_SHARE
from vla_ros.errors import ConfigError, ObservationError


@pytest.fixture
def moving() -> Bench:
    bench = Bench().active()
    bench.tick()
    bench.chunk()
    assert bench.run(0.3, policy=True).state is State.MOVING
    return bench


def stops(bench: Bench, reason: str) -> None:
    """The arm comes to rest in time, says why, and stays although the cause is gone."""
    speed = np.abs(bench.outputs[-1].velocity)
    longest_s = (speed / (BRAKING_SHARE * bench.arm.acceleration_max_rad_s2)).max()
    output = bench.run(longest_s + 2 * bench.period_ns * 1e-9, policy=True)
    assert output.state is State.STOP
    assert reason in output.reason
    assert not output.velocity.any()
    bench.guard.on_instruction('reach the red cube')
    assert bench.run(2.0, policy=True).state is State.STOP
    assert not any(o.velocity.any() for o in bench.outputs[-200:])


def test_inactive_guard_commands_zero_and_drops_chunks() -> None:
    bench = Bench()
    bench.measure()
    bench.chunk()
    output = bench.run(0.1)
    assert output.state is State.INACTIVE
    assert not output.velocity.any()


def test_chunk_moves_the_arm_and_its_end_holds(moving: Bench) -> None:
    np.testing.assert_allclose(moving.outputs[-1].velocity, 0.2, atol=1e-9)
    moving.chunk(steps=1)
    output = moving.run(0.12)
    assert (output.state, output.reason) == (State.HOLD, CHUNK_ENDED)
    assert not moving.run(0.1).velocity.any()
    moving.chunk()
    assert moving.run(0.1).state is State.MOVING


def test_policy_that_dies_at_full_speed_is_braked_within_150_ms(moving: Bench) -> None:
    moving.chunk(steps=100)  # ten seconds
    assert moving.run(0.13).state is State.MOVING
    output = moving.run(0.01)
    assert (output.state, output.reason) == (State.HOLD, 'no new chunk for 0.13 s')
    assert (output.velocity < 0.2).all()
    assert not moving.run(0.1).velocity.any()
    moving.chunk()
    assert moving.run(0.1).state is State.MOVING


def test_zero_chunks_leave_it_ready() -> None:
    bench = Bench().active()
    bench.tick()
    bench.chunk(0.0)
    assert bench.tick().state is State.READY


def test_no_new_chunk_for_a_second_stops(moving: Bench) -> None:
    moving.run(1.1)
    stops(moving, 'no new chunk')


def test_without_any_chunk_it_stays_ready() -> None:
    bench = Bench().active()
    assert bench.run(3.0).state is State.READY


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_joint_state_that_is_not_finite_stops(moving: Bench, value: float) -> None:
    positions = moving.position.tolist()
    positions[3] = value
    moving.measure(positions=positions)
    stops(moving, moving.arm.joints[3])


def test_joint_of_somebody_else_may_be_anything(moving: Bench) -> None:
    moving.measure(names=['gripper'], positions=[np.nan])
    moving.measure(names=['gripper', 'other'], positions=[1.0])
    moving.measure(names=moving.arm.joints, positions=[])
    assert moving.run(0.2, policy=True).state is State.MOVING


def test_names_and_positions_of_different_number_stop(moving: Bench) -> None:
    moving.measure(positions=[0.0] * 6)
    stops(moving, '7 names and 6 positions')


def test_silent_joint_states_stop_within_their_time(moving: Bench) -> None:
    moving.chunk()
    for _ in range(10):
        assert moving.tick(measured=False).state is State.MOVING
    moving.tick(measured=False)
    assert moving.tick(measured=False).state is State.STOP
    stops(moving, 'no state of panda_joint1')


def test_one_silent_joint_stops(moving: Bench) -> None:
    for _ in range(12):
        moving.tick(measured=False)
        moving.measure(names=moving.arm.joints[:6], positions=moving.position[:6].tolist())
    stops(moving, 'no state of panda_joint7')


def test_joint_state_that_was_overtaken_is_left_alone(moving: Bench) -> None:
    before = moving.guard.positions(moving.mono_ns)
    assert before is not None
    expected = before.copy()
    moving.measure(positions=[0.5] * 7, stamp_ns=moving.stamp_ns - 5_000_000)
    np.testing.assert_array_equal(moving.guard.positions(moving.mono_ns), expected)


BAD_CHUNKS = {
    'NaN': {'velocities_rad_s': np.full((8, 7), np.nan)},
    'infinity': {'velocities_rad_s': np.full((8, 7), np.inf)},
    'six joints': {'velocities_rad_s': np.zeros((8, 6))},
    'no steps': {'velocities_rad_s': np.zeros((0, 7))},
    'one dimension': {'velocities_rad_s': np.zeros(7)},
    'too many steps': {'velocities_rad_s': np.zeros((201, 7))},
    'step of zero': {'step_s': 0.0},
    'step backwards': {'step_s': -0.1},
    'step of nothing': {'step_s': 5e-324},
    'step for ever': {'step_s': float('inf')},
    'step unknown': {'step_s': float('nan')},
}


@pytest.mark.parametrize('bad', BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_bad_chunks_hold_and_the_third_in_a_row_stops(moving: Bench, bad: dict) -> None:
    for _ in range(3):
        for _ in range(2):
            moving.chunk(**bad)
            assert moving.tick().state is State.HOLD
            assert 'chunk refused' in moving.outputs[-1].reason
        moving.chunk()
        assert moving.tick().state is State.MOVING
    for _ in range(3):
        moving.tick()
        moving.chunk(**bad)
    stops(moving, '3 bad chunks in a row')


def test_chunk_from_the_future_holds_and_does_not_feed_the_watchdog(moving: Bench) -> None:
    for _ in range(8):
        moving.run(0.1)
        moving.chunk(stamp_ns=moving.stamp_ns + 51_000_000)
        assert moving.tick().state is State.HOLD
    moving.run(0.2)
    stops(moving, 'no new chunk')


def test_older_chunk_is_dropped(moving: Bench) -> None:
    newest = moving.chunk(0.2)
    moving.chunk(-0.2, stamp_ns=newest.stamp_ns - 1)
    moving.chunk(-0.2, stamp_ns=newest.stamp_ns)
    assert (moving.run(0.1).velocity > 0).all()


def test_chunks_that_have_ended_already_are_no_sign_of_life(moving: Bench) -> None:
    moving.run(0.5)
    for _ in range(20):
        moving.run(0.05)
        moving.chunk(steps=1, stamp_ns=moving.stamp_ns - 200_000_000)
    stops(moving, 'no new chunk')


def test_asking_for_too_much_is_scaled_and_in_the_end_stops(moving: Bench) -> None:
    fast = moving.arm.velocity_max_rad_s * 2
    for _ in range(20):
        moving.chunk(fast)
        output = moving.tick()
        assert output.state is State.MOVING
    assert output.ratio == pytest.approx(0.5, abs=1e-3)  # the first chunk has faded
    moving.chunk(fast)
    moving.tick()
    stops(moving, TOO_FAST)


def test_what_was_asked_before_the_rearm_is_forgiven(moving: Bench) -> None:
    fast = moving.arm.velocity_max_rad_s * 1.1
    while moving.tick().state is not State.STOP:
        moving.chunk(fast)
    while moving.tick().velocity.any():
        pass
    moving.rearm()
    moving.tick()
    moving.chunk(fast)
    assert moving.tick().state is State.MOVING


def test_a_burst_beyond_the_limits_is_forgiven(moving: Bench) -> None:
    for _ in range(6):
        moving.chunk(moving.arm.velocity_max_rad_s * -1.5)
        moving.run(0.1)
        moving.chunk(0.0)
        assert moving.run(0.95, policy=True).state in (State.MOVING, State.READY)


def test_full_speed_into_a_joint_limit_is_no_fault() -> None:
    bench = Bench().active()
    bench.tick()
    for _ in range(80):
        bench.chunk(bench.arm.velocity_max_rad_s)
        bench.run(0.05)
    assert bench.outputs[-1].state is State.MOVING
    assert (bench.position < bench.arm.position_max_rad).all()


@pytest.mark.parametrize('text', ['', '  ', '\n'])
def test_empty_instruction_stops(moving: Bench, text: str) -> None:
    moving.guard.on_instruction(text)
    stops(moving, NO_INSTRUCTION)


def test_stop_rearm_and_move_again(moving: Bench) -> None:
    moving.guard.stop('e-stop')
    with pytest.raises(ObservationError, match='brakes'):
        moving.rearm()
    stops(moving, 'e-stop')
    moving.rearm()
    assert moving.run(0.3).state is State.READY
    moving.chunk()
    assert moving.tick().state is State.MOVING


def test_rearm_wants_joint_states_of_after_the_stop(moving: Bench) -> None:
    moving.chunk(0.0)
    moving.run(0.3)
    moving.guard.stop('e-stop')
    with pytest.raises(ObservationError, match='no fresh state of panda_joint1'):
        moving.rearm()
    moving.measure()
    moving.rearm()


def test_chunk_of_before_the_rearm_moves_nothing(moving: Bench) -> None:
    moving.guard.stop('e-stop')
    moving.run(0.5)
    seen_ns = moving.stamp_ns
    moving.run(0.05)
    moving.rearm()
    moving.chunk(stamp_ns=seen_ns)
    assert moving.run(0.2).state is State.READY


def test_stop_outlives_deactivation() -> None:
    bench = Bench()
    bench.guard.stop('e-stop')
    bench.active()
    assert bench.tick().state is State.STOP
    bench.guard.deactivate()
    bench.rearm()
    bench.active()
    assert bench.tick().state is State.READY


def test_first_reason_of_a_stop_is_kept(moving: Bench) -> None:
    moving.guard.stop('first')
    moving.guard.stop('second')
    assert moving.tick().reason == 'first'


def test_not_ready_before_every_joint_is_known() -> None:
    bench = Bench()
    with pytest.raises(ObservationError, match='panda_joint1, panda_joint2'):
        bench.guard.activate(bench.stamp_ns, bench.mono_ns)
    bench.measure(names=bench.arm.joints[:6], positions=[0.0] * 6)
    with pytest.raises(ObservationError, match='of panda_joint7 on /joint_states'):
        bench.guard.activate(bench.stamp_ns, bench.mono_ns)


def test_not_ready_while_a_position_is_not_finite() -> None:
    bench = Bench()
    bench.measure()
    bench.measure(positions=[float('nan'), *bench.position[1:].tolist()])
    with pytest.raises(ObservationError, match='no fresh state of panda_joint1 on'):
        bench.guard.activate(bench.stamp_ns, bench.mono_ns)


def test_start_outside_the_limits_is_refused() -> None:
    bench = Bench()
    bench.position[1] = bench.arm.position_max_rad[1] + 0.01
    with pytest.raises(ObservationError, match=r'panda_joint2 is at 1\.7728 rad'):
        bench.active()


@pytest.mark.parametrize('jump_s', [-10.0, 10.0, -0.3, 0.3])
def test_clock_jump_drops_the_chunk_and_holds(moving: Bench, jump_s: float) -> None:
    output = moving.tick(stamp_step_ns=round(jump_s * 1e9))
    assert output.state is State.HOLD
    assert 'clock jumped' in output.reason
    assert moving.run(0.3).state is State.HOLD
    moving.chunk()
    assert moving.tick().state is State.MOVING


def test_paused_clock_holds_and_goes_on(moving: Bench) -> None:
    for _ in range(150):
        output = moving.tick(stamp_step_ns=0)
    assert output.state is State.HOLD
    assert output.reason == 'the clock stands still'
    moving.tick()
    moving.chunk()
    assert moving.tick().state is State.MOVING


def test_slow_simulated_clock_is_no_jump(moving: Bench) -> None:
    for k in range(100):
        output = moving.tick(stamp_step_ns=50_000_000 if k % 10 == 0 else 0)  # half real time
        if k % 10 == 0:
            moving.chunk()
        assert output.state is State.MOVING


def test_guard_that_was_held_up_reads_before_it_judges(moving: Bench) -> None:
    moving.mono_ns += 300_000_000
    moving.stamp_ns += 300_000_000
    output = moving.tick(measured=False)
    assert output.state is State.HOLD
    assert 'held up' in output.reason
    moving.measure()
    moving.chunk()
    assert moving.tick().state is State.MOVING


def test_guard_that_is_always_late_still_judges(moving: Bench) -> None:
    for _ in range(4):
        moving.mono_ns += 60_000_000
        moving.stamp_ns += 60_000_000
        output = moving.tick(measured=False)
    assert output.state is State.STOP


def test_without_a_controller_it_rests_and_ramps_up_on_return(moving: Bench) -> None:
    moving.guard.on_controller(listening=False)
    assert not moving.tick().velocity.any()  # at once: the arm does not move any more
    output = moving.run(0.3, policy=True)
    assert (output.state, output.reason) == (State.HOLD, 'no controller listens')
    assert not output.velocity.any()
    moving.guard.on_controller(listening=True)
    first = moving.tick().velocity
    limit = moving.arm.acceleration_max_rad_s2 * moving.period_ns * 1e-9
    assert (np.abs(first) <= limit + 1e-12).all()


def test_deactivation_brakes(moving: Bench) -> None:
    moving.guard.deactivate()
    output = moving.run(0.3, policy=True)
    assert output.state is State.INACTIVE
    assert not output.velocity.any()


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('joint_state_timeout_s', 0.0),
        ('chunk_timeout_s', float('nan')),
        ('max_chunk_steps', 0),
        ('over_limit_share', 1.5),
        ('bad_chunks_to_stop', 0),
    ],
)
def test_settings_that_guard_nothing_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f'{field} is {value}; it must be within'):
        GuardConfig(**{field: value})


def test_every_arm_can_be_guarded() -> None:
    for name in ('panda', 'fr3', 'gen3', 'xarm7', 'iiwa7', 'iiwa14'):
        bench = Bench(load_arm(name)).active()
        bench.tick()
        bench.chunk(0.1)
        assert bench.run(0.1).state is State.MOVING


def test_rearming_without_a_stop_changes_nothing(moving: Bench) -> None:
    """Who did not get the answer asks again, and the arm may be on its way by then."""
    velocity = moving.tick().velocity
    moving.rearm()
    assert moving.tick().state is State.MOVING
    assert (moving.outputs[-1].velocity >= velocity).all()
