"""Properties 1 to 5 of the limiter, for every arm: whatever is asked for, the arm can take it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from plant import ARMS, PERIODS_S, Plant, every_arm, requests, runs, start

from vla_ros.core.embodiment import Embodiment
from vla_ros.core.limiter import BRAKING_SHARE, Limited, Limiter
from vla_ros.types import FloatArray

STEPS = 420
every_period = pytest.mark.parametrize('period_s', PERIODS_S)


@dataclass
class Step:
    request: FloatArray
    before: FloatArray
    limited: Limited
    elapsed_s: float
    plant: Plant
    limiter: Limiter


def drive(
    arm: Embodiment,
    run: dict[str, Any],
    *,
    lag_s: float = 0.0,
    max_age_s: float = 0.0,
    steps: int = STEPS,
    wishes: FloatArray | None = None,
) -> Iterator[Step]:
    """Run limiter and plant against each other with periods that are up to 50 % off."""
    period_s, generator = run['period_s'], np.random.default_rng(run['seed'])
    limiter, plant = Limiter(arm, period_s), Plant(start(arm, generator), lag_s)
    elapsed_s = period_s
    for request in requests(arm, generator, steps) if wishes is None else wishes:
        age_s = generator.uniform(0, max_age_s)
        before = limiter.velocity
        limited = limiter.step(request, plant.measured(age_s), age_s, elapsed_s)
        plant.command(limited.velocity)
        yield Step(request, before, limited, elapsed_s, plant, limiter)
        elapsed_s = period_s * generator.uniform(0.5, 1.5)
        plant.advance(elapsed_s)


@every_arm
@given(runs())
def test_1_output_is_always_within_the_limits_of_speed_and_acceleration(arm, run) -> None:
    for step in drive(arm, run):
        velocity = step.limited.velocity
        assert velocity.shape == (7,)
        assert np.isfinite(velocity).all()
        assert (np.abs(velocity) <= arm.velocity_max_rad_s).all()
        change = np.abs(velocity - step.before) / step.elapsed_s
        assert (change <= arm.acceleration_max_rad_s2 * (1 + 1e-9)).all()
        assert 0.0 <= step.limited.ratio <= 1.0


@every_arm
@given(runs())
@example({'period_s': 0.05, 'seed': 15700})  # an arm without the lag that its YAML claims
def test_2_no_overshoot_on_an_arm_that_does_what_it_is_told(arm, run) -> None:
    for step in drive(arm, run):
        assert step.plant.overshoot(arm, margin=True) <= 1e-9


@every_arm
@given(runs())
@example({'period_s': 0.005, 'seed': 3046})  # commands on their way count, too
def test_2_overshoot_within_the_margin_with_lag_and_stale_states(arm, run) -> None:
    generator = np.random.default_rng(run['seed'])
    for step in drive(arm, run, lag_s=generator.uniform(0, 0.05), max_age_s=0.03):
        assert step.plant.overshoot(arm, margin=False) <= 1e-9


@every_arm
@given(runs())
def test_3_braking_from_any_step_ends_before_the_limit(arm, run) -> None:
    braking = BRAKING_SHARE * arm.acceleration_max_rad_s2
    for step in drive(arm, run):
        velocity = step.limited.velocity
        rest = step.plant.position + velocity * np.abs(velocity) / (2 * braking)
        assert (rest <= arm.position_max_rad - arm.margin_rad + 1e-9).all()
        assert (rest >= arm.position_min_rad + arm.margin_rad - 1e-9).all()


@every_arm
@every_period
def test_4_requests_below_the_limits_pass_untouched(arm: Embodiment, period_s: float) -> None:
    limiter = Limiter(arm, period_s)
    jerk = arm.jerk_max_rad_s3
    limit = arm.acceleration_max_rad_s2
    gentle = 0.4 * (limit if jerk is None else np.minimum(limit, jerk * period_s / 4))
    for k in range(200):
        request = np.sin(0.02 * k) * np.minimum(gentle * period_s * 40, arm.velocity_max_rad_s) / 2
        limited = limiter.step(request, arm.home_rad, 0.0)
        assert limited.ratio == 1.0
        np.testing.assert_allclose(limited.velocity, request, atol=1e-12)


@every_arm
@given(runs())
@example({'period_s': 0.01, 'seed': 0})
def test_4_scaling_keeps_the_direction(arm, run) -> None:
    generator = np.random.default_rng(run['seed'])
    limiter = Limiter(arm, run['period_s'])
    wish = generator.normal(size=7)
    wish *= generator.uniform(1.05, 50) / np.abs(wish / arm.velocity_max_rad_s).max()
    for _ in range(2000):  # at one place, until slewing is over
        limited = limiter.step(wish, arm.home_rad, 0.0)
    velocity = limited.velocity
    assert limited.ratio < 1.0
    cosine = velocity @ wish / np.linalg.norm(velocity) / np.linalg.norm(wish)
    assert cosine >= 1 - 1e-9


@every_arm
@given(runs())
def test_5_braking_takes_no_longer_than_it_has_to(arm, run) -> None:
    period_s = run['period_s']
    generator = np.random.default_rng(run['seed'])
    braking = BRAKING_SHARE * arm.acceleration_max_rad_s2
    *_, step = drive(arm, run, steps=60)
    limiter, speed = step.limiter, np.abs(step.limited.velocity)
    passed_s = 0.0
    while limiter.velocity.any():
        elapsed_s = period_s * generator.uniform(0.5, 1.5)
        passed_s += elapsed_s
        before = limiter.velocity
        velocity = limiter.brake(elapsed_s)
        assert (np.abs(velocity) <= np.abs(before)).all()
        assert (np.abs(velocity - before) <= braking * elapsed_s * (1 + 1e-9)).all()
        assert passed_s <= (speed / braking).max() + 2 * period_s


@given(runs())
def test_velocity_limits_that_depend_on_position_hold_wherever_the_arm_goes(run) -> None:
    """FR3 without the rectangle that keeps it where these limits do not bind."""
    arm = dataclasses.replace(
        ARMS['fr3'],
        position_min_rad=np.array([-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159]),
        position_max_rad=np.array([2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159]),
        velocity_max_rad_s=np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26]),
    )
    envelope = arm.velocity_envelope
    assert envelope is not None
    bound = 0
    side = np.where(np.random.default_rng(run['seed']).random(7) < 0.5, -1, 1)
    to_and_fro = np.repeat([side, -side, side], round(4 / run['period_s']), axis=0)
    for step in drive(arm, run, wishes=to_and_fro * arm.velocity_max_rad_s):
        q, velocity = step.plant.position, step.limited.velocity
        upper = np.sqrt(envelope.k * np.maximum(envelope.q_upper_rad - q, 0)) - envelope.c
        lower = envelope.c - np.sqrt(envelope.k * np.maximum(q - envelope.q_lower_rad, 0))
        for held in (step.before, velocity):  # until now, and from now on
            assert (held <= np.maximum(upper, 0) + 1e-9).all()
            assert (held >= np.minimum(lower, 0) - 1e-9).all()
        bound += ((velocity > 0.7 * upper) | (velocity < 0.7 * lower)).any() and velocity.any()
    assert bound, 'never near one of these limits'


@every_arm
def test_outside_the_limits_only_inward_motion(arm: Embodiment) -> None:
    finite = np.isfinite(arm.position_max_rad)
    outside = np.where(finite, arm.position_max_rad + 0.05, 0.0)
    limiter = Limiter(arm, 0.01)
    for _ in range(50):
        outward = limiter.step(np.where(finite, 0.1, 0.0), outside, 0.0)
        assert not outward.velocity.any()
    for _ in range(50):
        inward = limiter.step(np.where(finite, -0.1, 0.0), outside, 0.0)
    assert (inward.velocity[finite] < 0).all()


def test_ages_may_differ_from_joint_to_joint() -> None:
    arm, wish = ARMS['sim'], np.full(7, 0.5)
    ages_s = np.array([0.0, 0.01, 0.02, 0.03, 0.0, 0.05, 0.1])
    one, each = Limiter(arm, 0.01), Limiter(arm, 0.01)
    position = arm.position_max_rad - 0.2
    for _ in range(20):
        one.step(wish, arm.home_rad, 0.0)
        each.step(wish, arm.home_rad, 0.0)
    velocity = each.step(wish, position, ages_s).velocity
    assert (velocity <= one.step(wish, position, 0.0).velocity + 1e-12).all()


def test_a_late_tick_may_catch_up_by_one_period_only() -> None:
    arm = ARMS['sim']
    limiter = Limiter(arm, 0.01)
    velocity = limiter.step(np.full(7, 1.0), arm.home_rad, 0.0, elapsed_s=5.0).velocity
    assert (velocity <= arm.acceleration_max_rad_s2 * 0.02 + 1e-12).all()


def test_the_measured_position_is_moved_on_by_what_was_commanded_since() -> None:
    arm = ARMS['sim']
    moved, jumped = Limiter(arm, 0.01), Limiter(arm, 0.01)
    for _ in range(30):
        moved.step(np.full(7, 0.5), arm.home_rad, 0.0)
    jumped.reset(moved.velocity)  # the same velocity, but no memory of having moved
    near = arm.position_max_rad - 0.15
    slower = moved.step(np.full(7, 9.0), near, 0.1).velocity
    faster = jumped.step(np.full(7, 9.0), near, 0.1).velocity
    assert (slower < faster - 1e-3).all()
