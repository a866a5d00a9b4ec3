"""Verdicts on records of commands that were made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from vla_ros.ros.faults.verdict import (
    Record,
    beyond_limits,
    braked,
    came_to_rest,
    ended_at_rest,
    even_ticks,
)

PERIOD_NS = 10_000_000
FAULT_NS = 10 * PERIOD_NS
LIMIT_S, STOP_S = 0.05, 0.06
FULL = 2.0


def record(*after: float) -> Record:
    """Full speed up to the fault, then these speeds, one a period."""
    made = Record()
    for k, speed in enumerate([FULL] * 11 + list(after)):
        made.add(k * PERIOD_NS, k * PERIOD_NS, np.array([0.0, -speed]))
    return made


@pytest.mark.parametrize(
    ('after', 'problem'),
    [
        ([2.0, 2.0, 1.5, 1.0, 0.5, 0.0, 0.0], ''),
        ([2.0] * 9, 'never fell'),
        ([2.0] * 6 + [1.0, 0.0, 0.0], 'began to fall after 0.070 s'),
        ([2.0, 1.8, 1.6, 1.4, 1.2, 1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.0, 0.0], 'zero after 0.120 s'),
        ([2.0, 1.0, 1.5, 1.0, 0.5, 0.0, 0.0], ''),
        ([1.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0], 'began to fall after 0.070 s'),
        ([2.0, 1.0, 0.0, 0.0, 0.1], 'never fell'),
        ([2.0, 1.0, 0.5], 'still 0.500 rad/s'),
    ],
)
def test_a_brake_must_begin_in_time_and_end_at_zero(after: Sequence[float], problem: str) -> None:
    verdict = braked(record(*after), FAULT_NS, LIMIT_S, STOP_S)
    assert problem in verdict.problem
    assert bool(problem) == bool(verdict.problem)


def test_the_reaction_is_the_first_lower_command() -> None:
    verdict = braked(record(2.0, 2.0, 1.9, 0.0, 0.0), FAULT_NS, LIMIT_S, STOP_S)
    assert verdict.reaction_s == pytest.approx(0.03)


def test_an_arm_that_rests_shows_nothing() -> None:
    assert 'not moving' in braked(Record(), FAULT_NS, LIMIT_S, STOP_S).problem
    still = record(0.0, 0.0)
    still.velocities_rad_s = [np.zeros(2)] * len(still.times_ns)
    assert 'not moving' in braked(still, FAULT_NS, LIMIT_S, STOP_S).problem


@pytest.mark.parametrize(
    ('after', 'end_s', 'problem'),
    [
        ([1.0, 0.0, 0.0, 0.0, 0.0, 0.0], 0.1, ''),
        ([1.0, 0.0, 0.0, 0.0, 0.0], 0.1, '4 zeros'),
        ([1.0], 0.1, '0 zeros'),
        ([], 0.1, '0 zeros'),
        ([1.0, 0.0, 1.5, 0.0, 0.0, 0.0, 0.0, 0.0], 0.1, 'rose again'),
        ([1.0, 0.0, 0.0, 0.0, 0.0, 0.0], 2.1, 'took 2.10 s'),
    ],
)
def test_a_guard_ends_with_five_zeros(after: Sequence[float], end_s: float, problem: str) -> None:
    verdict = ended_at_rest(record(*after), FAULT_NS, FAULT_NS + round(end_s * 1e9))
    assert verdict.reaction_s == pytest.approx(end_s)
    assert problem in verdict.problem
    assert bool(problem) == bool(verdict.problem)


def test_an_arm_that_nobody_commands_comes_to_rest() -> None:
    after = (2.0, 1.0, 0.1, 0.01, 0.01)
    assert came_to_rest(record(*after), FAULT_NS, 0.04, 0.02).problem == ''
    assert came_to_rest(record(*after), FAULT_NS, 0.04, 0.02).reaction_s == pytest.approx(0.03)
    assert 'moved for 0.030 s' in came_to_rest(record(*after), FAULT_NS, 0.02, 0.02).problem
    assert 'still' in came_to_rest(record(2.0, 1.0), FAULT_NS, 0.5, 0.02).problem


@pytest.mark.parametrize(
    ('after', 'problem'),
    [
        ([1.9, 1.8], ''),
        ([np.nan], 'not finite'),
        ([2.1], 'command of 2.100'),
        ([0.0], 'jumped by 2.000'),
    ],
)
def test_commands_stay_within_the_limits_of_the_arm(after: list[float], problem: str) -> None:
    speed_max, acceleration_max = np.full(2, FULL), np.full(2, 10.0)
    said = beyond_limits(record(*after), speed_max, acceleration_max, 0.01)
    assert problem in said
    assert bool(problem) == bool(said)


def test_one_late_tick_in_a_hundred_is_forgiven() -> None:
    assert even_ticks([0.01] * 199 + [0.02], 0.012).problem == ''
    assert 'p99 20.0 ms' in even_ticks([0.01] * 97 + [0.02] * 3, 0.012).problem
    assert 'no commands' in even_ticks([], 0.012).problem
