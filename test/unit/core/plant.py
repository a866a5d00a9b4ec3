"""An arm for the properties: it does what it is told, late, and is measured late."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from vla_ros.core.embodiment import Embodiment, available_arms, load_arm
from vla_ros.types import FloatArray

ARMS = {name: load_arm(name) for name in available_arms()}
PERIODS_S = (0.005, 0.01, 0.02, 0.05)
every_arm = pytest.mark.parametrize('arm', ARMS.values(), ids=ARMS)
NASTY = (np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, -5e-324, 0.0, -0.0, 1e-300)


class Plant:
    """Integrates velocities that take effect `lag_s` after they were commanded."""

    def __init__(self, position: FloatArray, lag_s: float = 0.0) -> None:
        self.position = position.copy()
        self.lag_s = lag_s
        self.time_s = 0.0
        self._pending: deque[tuple[float, FloatArray]] = deque()
        self._velocity = np.zeros(7)
        self._past: deque[tuple[float, FloatArray]] = deque([(0.0, self.position)], maxlen=400)

    def command(self, velocity: FloatArray) -> None:
        self._pending.append((self.time_s + self.lag_s, velocity))

    def advance(self, duration_s: float) -> None:
        end_s = self.time_s + duration_s
        while self._pending and self._pending[0][0] <= end_s:
            due_s, velocity = self._pending.popleft()
            self._go_on(due_s)
            self._velocity = velocity
        self._go_on(end_s)

    def _go_on(self, until_s: float) -> None:
        if until_s > self.time_s:
            self.position = self.position + self._velocity * (until_s - self.time_s)
            self.time_s = until_s
            self._past.append((self.time_s, self.position))

    def measured(self, age_s: float) -> FloatArray:
        """Return the position of `age_s` ago; the motion between two notes is straight."""
        wanted_s = max(0.0, self.time_s - age_s)
        later = self._past[-1]
        for note in reversed(self._past):
            if note[0] <= wanted_s:
                if later[0] == note[0]:
                    return note[1]
                share = (wanted_s - note[0]) / (later[0] - note[0])
                return note[1] + share * (later[1] - note[1])
            later = note
        return self._past[0][1]

    def overshoot(self, arm: Embodiment, *, margin: bool) -> float:
        """Return how far a joint is beyond its limit, or beyond the margin before it."""
        keep = arm.margin_rad if margin else 0.0
        beyond = np.maximum(
            self.position - arm.position_max_rad, arm.position_min_rad - self.position
        )
        return float((beyond + keep).max())


def start(arm: Embodiment, generator: np.random.Generator) -> FloatArray:
    """Return a position between the margins, often right at one; continuous joints anywhere."""
    low = np.where(np.isfinite(arm.position_min_rad), arm.position_min_rad + arm.margin_rad, -3.0)
    high = np.where(np.isfinite(arm.position_max_rad), arm.position_max_rad - arm.margin_rad, 3.0)
    share = np.clip(generator.uniform(-0.3, 1.3, 7), 0.0, 1.0)
    return low + share * (high - low)


def requests(arm: Embodiment, generator: np.random.Generator, steps: int) -> FloatArray:
    """Return (steps, 7) wishes: held for a while, often far beyond the limits, some nasty."""
    rows = np.empty((steps, 7))
    row = np.zeros(7)
    change, nasty = 10.0 ** generator.uniform(-2.5, -0.5, 2)
    for k in range(steps):
        if generator.random() < change or k == 0:
            scale = 10.0 ** generator.uniform(-1, 2)
            row = generator.uniform(-1, 1, 7) * arm.velocity_max_rad_s * scale
        rows[k] = row
        if generator.random() < 0.1 * nasty:
            rows[k, generator.integers(7)] = NASTY[generator.integers(len(NASTY))]
    return rows


def with_rate(arm: Embodiment, period_s: float) -> Embodiment:
    """Return the arm with a guard that ticks every `period_s`."""
    return dataclasses.replace(arm, guard_rate_hz=1.0 / period_s)


def runs() -> st.SearchStrategy[dict[str, Any]]:
    """Return what a run is drawn from: a period and a seed for all that is random."""
    return st.fixed_dictionaries(
        {'period_s': st.sampled_from(PERIODS_S), 'seed': st.integers(0, 2**32 - 1)}
    )
