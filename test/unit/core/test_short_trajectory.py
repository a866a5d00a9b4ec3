"""Short trajectories: they follow the velocity, end at rest, and stay within the limits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from plant import ARMS, every_arm, runs, start

from vla_ros.core.limiter import BRAKING_SHARE, Limiter
from vla_ros.core.short_trajectory import LEASH_RAD, TrajectoryPlanner

HOME = ARMS['sim'].home_rad


@every_arm
@given(runs())
def test_every_trajectory_ends_at_rest_within_limits_and_brakes_evenly(arm, run) -> None:
    period_s = run['period_s']
    generator = np.random.default_rng(run['seed'])
    limiter, planner = Limiter(arm, period_s), TrajectoryPlanner(arm, period_s)
    position = start(arm, generator)
    braking = BRAKING_SHARE * arm.acceleration_max_rad_s2
    for _ in range(60):
        wish = generator.uniform(-1.5, 1.5, 7) * arm.velocity_max_rad_s
        velocity = limiter.step(wish, position, 0.0, period_s).velocity
        plan = planner.plan(velocity, position, period_s)
        assert plan is not None
        assert not plan.velocities_rad_s[-1].any()
        np.testing.assert_array_equal(plan.velocities_rad_s[0], velocity)
        assert plan.times_s[0] > period_s
        assert (np.diff(plan.times_s) > 0).all()
        assert (plan.positions_rad <= arm.position_max_rad).all()
        assert (plan.positions_rad >= arm.position_min_rad).all()
        slopes = np.abs(np.diff(plan.velocities_rad_s, axis=0)) / np.diff(plan.times_s)[:, None]
        assert (slopes <= braking * (1 + 1e-6) + 0.01).all()
        position = position + velocity * period_s


def test_reference_integrates_the_velocity_and_ignores_a_sagging_arm() -> None:
    planner = TrajectoryPlanner(ARMS['sim'], 0.01)
    velocity = np.full(7, 0.1)
    for _ in range(101):
        plan = planner.plan(velocity, HOME + 0.02, 0.01)
    assert plan is not None
    sagged = planner.plan(np.zeros(7), HOME + 0.02, 0.01)
    assert sagged is not None
    np.testing.assert_allclose(sagged.positions_rad[-1], HOME + 0.02 + 0.1, atol=2e-3)


def test_reference_stays_near_an_arm_that_does_not_follow() -> None:
    planner = TrajectoryPlanner(ARMS['sim'], 0.01)
    for _ in range(500):
        planner.plan(np.full(7, 0.5), HOME, 0.01)
    plan = planner.plan(np.zeros(7), HOME, 0.01)
    assert plan is not None
    np.testing.assert_allclose(plan.positions_rad[-1], HOME + LEASH_RAD, atol=1e-9)


def test_no_trajectory_before_the_position_is_known_nor_a_stale_one_after_reset() -> None:
    planner = TrajectoryPlanner(ARMS['sim'], 0.01)
    assert planner.plan(np.zeros(7), None, 0.01) is None
    planner.plan(np.zeros(7), HOME, 0.01)
    assert planner.plan(np.zeros(7), None, 0.01) is not None
    planner.reset()
    assert planner.plan(np.zeros(7), None, 0.01) is None
    moved = planner.plan(np.zeros(7), HOME + 0.5, 0.01)
    assert moved is not None
    np.testing.assert_allclose(moved.positions_rad, np.tile(HOME + 0.5, (2, 1)))


def test_look_ahead_does_not_lead_beyond_a_limit() -> None:
    arm = ARMS['sim']
    planner = TrajectoryPlanner(arm, 0.01)
    for side, limit in ((1, arm.position_max_rad), (-1, arm.position_min_rad)):
        planner.reset()
        plan = planner.plan(np.full(7, side * 0.5), limit - side * 0.001, 0.01)
        assert plan is not None
        np.testing.assert_allclose(plan.positions_rad[-1], limit)


def test_a_joint_beyond_its_limit_is_not_pulled_back_at_once() -> None:
    """The guard lets it crawl inwards at 0.02 rad/s; the trajectory must not jump there."""
    arm = ARMS['sim']
    planner = TrajectoryPlanner(arm, 0.01)
    outside = arm.position_max_rad + 0.03
    rest = planner.plan(np.zeros(7), outside, 0.01)
    assert rest is not None
    np.testing.assert_array_equal(rest.positions_rad, np.tile(outside, (2, 1)))
    inwards = planner.plan(np.full(7, -0.02), outside, 0.01)
    assert inwards is not None
    assert (np.abs(inwards.positions_rad - outside) <= 0.02 * inwards.times_s[-1]).all()
    planner.reset()
    outwards = planner.plan(np.full(7, 0.02), outside, 0.01)
    assert outwards is not None
    assert (outwards.positions_rad == outside).all()
