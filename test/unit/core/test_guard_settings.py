"""Settings at run time: tighter at any time, looser only while inactive. Starting outside."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from arm_bench import Bench
from plant import ARMS

from vla_ros.core.embodiment import Embodiment
from vla_ros.core.guard import State
from vla_ros.core.guard_config import GuardConfig
from vla_ros.core.limiter import CRAWL_RAD_S
from vla_ros.errors import ConfigError, ObservationError

TIGHTER = {
    'velocity_scale': 0.5,
    'joint_state_timeout_s': 0.05,
    'chunk_hold_s': 0.1,
    'chunk_timeout_s': 0.5,
    'max_chunk_steps': 10,
    'max_step_s': 0.2,
    'max_future_s': 0.01,
    'bad_chunks_to_stop': 2,
    'over_limit_tolerance': 0.01,
    'over_limit_share': 0.1,
    'clock_jump_s': 0.1,
    'estop_required': True,
    'estop_timeout_s': 0.2,
}


@pytest.mark.parametrize(('name', 'value'), TIGHTER.items(), ids=TIGHTER)
def test_settings_only_tighten_while_active(name: str, value: float) -> None:
    loose = GuardConfig()
    tight = replace(loose, **{name: value})
    bench = Bench(config=loose)
    bench.guard.on_estop(False, bench.mono_ns)
    bench.active()
    bench.guard.adopt(tight)
    assert bench.guard.config == tight
    with pytest.raises(ConfigError, match=f'{name}: .* can only be tightened'):
        bench.guard.adopt(loose)
    assert bench.guard.config == tight
    bench.guard.deactivate()
    bench.guard.adopt(loose)
    assert bench.guard.config == loose


def test_every_setting_has_a_tighter_side() -> None:
    rest = {'over_limit_window_s', 'allow_inward_recovery'}
    assert {field.name for field in fields(GuardConfig)} == set(TIGHTER) | rest
    base = replace(GuardConfig(), allow_inward_recovery=True)
    assert base.loosened(GuardConfig()) == ''
    assert GuardConfig().loosened(base) == 'allow_inward_recovery'
    for window_s in (0.5, 2.0):  # neither is tighter
        assert base.loosened(replace(base, over_limit_window_s=window_s)) == 'over_limit_window_s'


def test_one_looser_setting_refuses_all_of_them() -> None:
    bench = Bench().active()
    with pytest.raises(ConfigError, match='chunk_timeout_s: 1'):
        bench.guard.adopt(replace(GuardConfig(), velocity_scale=0.5, chunk_timeout_s=2.0))
    assert bench.guard.config == GuardConfig()


def test_slowing_down_in_motion_is_a_ramp_and_no_fault() -> None:
    bench = Bench().active()
    fast = bench.arm.velocity_max_rad_s
    for _ in range(40):
        bench.chunk(fast)
        bench.tick()
    np.testing.assert_allclose(bench.outputs[-1].velocity, fast, rtol=1e-3)
    bench.guard.adopt(replace(bench.guard.config, velocity_scale=0.1))
    for _ in range(60):
        before = bench.outputs[-1].velocity
        bench.chunk(fast)
        output = bench.tick()
        assert output.state is State.MOVING
        change = np.abs(output.velocity - before) * bench.arm.guard_rate_hz
        assert (change <= bench.arm.acceleration_max_rad_s2 * (1 + 1e-9)).all()
    np.testing.assert_allclose(output.velocity, 0.1 * fast, rtol=1e-6)


def outside(arm: Embodiment, config: GuardConfig) -> Bench:
    """Return a bench whose last joint with limits is 0.03 rad beyond its upper one."""
    bench = Bench(arm, config)
    joint = int(np.flatnonzero(np.isfinite(arm.position_max_rad))[-1])
    bench.position[joint] = arm.position_max_rad[joint] + 0.03
    return bench


@pytest.mark.parametrize('arm', ARMS.values(), ids=ARMS)
def test_start_outside_is_refused_without_the_flag_and_rearming_too(arm: Embodiment) -> None:
    bench = outside(arm, GuardConfig())
    with pytest.raises(ObservationError, match=r'outside .* allow_inward_recovery'):
        bench.active()
    inside = Bench(arm).active()
    inside.guard.stop('test')
    inside.position = bench.position
    inside.run(0.1)
    with pytest.raises(ObservationError, match='outside'):
        inside.rearm()


@pytest.mark.parametrize('arm', ARMS.values(), ids=ARMS)
def test_recovery_crawls_inwards_and_never_outwards(arm: Embodiment) -> None:
    bench = outside(arm, GuardConfig(allow_inward_recovery=True)).active()
    joint = int(np.flatnonzero(bench.position > arm.position_max_rad)[0])
    outwards = bench.position[joint]
    for _ in range(30):
        bench.chunk(0.3 * arm.velocity_max_rad_s)
        assert not bench.tick().velocity.any()
    assert bench.position[joint] == outwards
    while True:
        bench.chunk(-0.5 * arm.velocity_max_rad_s)
        velocity = bench.tick().velocity
        if bench.position[joint] <= arm.position_max_rad[joint]:
            break
        assert (np.abs(velocity) <= CRAWL_RAD_S).all()
        assert velocity[joint] <= 0
        assert len(bench.outputs) < 1000, 'does not come back'
    assert bench.run(0.1).state in (State.MOVING, State.HOLD)
    for _ in range(20):
        bench.chunk(-0.5 * arm.velocity_max_rad_s)
        bench.tick()
    assert bench.outputs[-1].velocity[joint] < -2 * CRAWL_RAD_S, 'inside it moves as ever'
