"""The limiter: any request in, a velocity out that the arm can always brake from in time.

Per joint, once a period T, with q' the measured position moved on by every command that it does
not show yet (those of the age of the joint state and, as the arm may or may not be that late,
those of the actuator lag: the worse counts), a' a share of the acceleration limit and
tau = 1.5 T (the next tick may be late) + age of the state + actuator lag:

    v_hi = -a' tau + sqrt((a' tau)^2 + 2 a' max(0, q_max - margin - q')), v_lo alike

is the largest velocity from which braking with a' after a delay of tau still ends before the
limit. Requests beyond a bound are scaled as a whole vector, so that their direction is kept; the
result changes by no more than the acceleration limit allows. With a joint beyond its position
limit the arm only crawls, that joint only inwards.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from vla_ros.core.embodiment import BRAKING_SHARE, LATEST_PERIODS, Embodiment
from vla_ros.types import ARM_JOINTS, FloatArray

HISTORY_S = 0.3  # commands that are remembered for the prediction of the position
SHORTEST_S = 1e-6  # two ticks are never reckoned closer than this
LONGEST_PERIODS = 2.0  # what a late tick may catch up on, in periods
CRAWL_RAD_S = 0.02  # while a joint is beyond its limit


@dataclass(frozen=True)
class Limited:
    """A velocity that may be commanded, and how much of the request it is (1 means untouched)."""

    velocity: FloatArray
    ratio: float


class Limiter:
    """Turns requested joint velocities into ones within the limits of an arm.

    Args:
        embodiment: the arm.
        period_s: time between two calls of `step`.
    """

    def __init__(self, embodiment: Embodiment, period_s: float) -> None:
        arm = embodiment
        self._period_s = period_s
        self._lag_s = arm.actuator_lag_s
        self._envelope = e = arm.velocity_envelope
        if e is not None:  # v(q + v tau) instead of v(q): a command is held until the next tick
            self._c_held = e.c + 0.5 * e.k * LATEST_PERIODS * period_s
            self._c_more = self._c_held**2 - e.c**2
        self._velocity_max = arm.velocity_max_rad_s
        self.velocity_scale = 1.0
        """Share of the velocity limits that may be used; may change at any time."""
        self._position_min, self._position_max = arm.position_min_rad, arm.position_max_rad
        self._acceleration = arm.acceleration_max_rad_s2
        self._braking = BRAKING_SHARE * arm.acceleration_max_rad_s2
        self._low = arm.position_min_rad + arm.margin_rad
        self._high = arm.position_max_rad - arm.margin_rad
        self._delay_s = np.full(ARM_JOINTS, LATEST_PERIODS * period_s + arm.actuator_lag_s)
        self._jerk: FloatArray | None = None
        jerk = arm.jerk_max_rad_s3
        if jerk is not None and (jerk * period_s < 2 * self._acceleration).any():
            self._jerk = jerk  # else a period is too long for the jerk limit to matter
            self._delay_s += (self._acceleration + self._braking) / jerk
        commands = max(1, round(HISTORY_S / period_s))
        self._sent: deque[tuple[FloatArray, float]] = deque(maxlen=commands)
        self.reset()

    def reset(self, velocity: FloatArray | None = None) -> None:
        """Start from a velocity that the arm has now; rest by default."""
        self._velocity = np.zeros(ARM_JOINTS) if velocity is None else velocity.copy()
        self._last_acceleration = np.zeros(ARM_JOINTS)
        self._sent.clear()

    @property
    def velocity(self) -> FloatArray:
        """The velocity that was returned last."""
        return self._velocity

    def step(
        self,
        request: FloatArray,
        position: FloatArray,
        state_age_s: float | FloatArray,
        elapsed_s: float | None = None,
    ) -> Limited:
        """Return what may be commanded now.

        Args:
            request: wanted velocities (7,); one that is not finite counts as rest.
            position: measured joint positions (7,).
            state_age_s: how long ago they were measured, 0 or more; one age or one per joint.
            elapsed_s: time since the last call, where ticks are not even; the period by default.
        """
        elapsed_s = self._remember(elapsed_s)
        if not np.isfinite(request).all():
            request = np.zeros(ARM_JOINTS)
        usable = self._usable(position)
        lowest, highest = self._predict(position, state_age_s)
        low, high = self._bounds(lowest, highest, state_age_s, usable)
        target, ratio = np.minimum(np.maximum(request, low), high), 1.0
        if (target != request).any():
            ratio = _scale(request, low, high)
            target = np.minimum(np.maximum(request * ratio, low), high)
        reach = self._acceleration * elapsed_s
        change = np.minimum(np.maximum(self._ease(target, elapsed_s), -reach), reach)
        self._move(change, elapsed_s)
        return Limited(self._velocity, ratio)

    def brake(self, elapsed_s: float | None = None) -> FloatArray:
        """Return the next velocity on the way to rest: every joint at its braking deceleration.

        Needs no position, so it also works when the joint states are what has failed. It does
        not wait for the jerk limit either: stopping goes before smoothness.
        """
        elapsed_s = self._remember(elapsed_s)
        reach = self._braking * elapsed_s
        self._move(np.minimum(np.maximum(-self._velocity, -reach), reach), elapsed_s)
        return self._velocity

    def _remember(self, elapsed_s: float | None) -> float:
        """Note how long the last command was in force; return the time to reckon with."""
        if elapsed_s is None:
            elapsed_s = self._period_s
        self._sent.append((self._velocity, elapsed_s))
        return min(max(elapsed_s, SHORTEST_S), LONGEST_PERIODS * self._period_s)

    def _move(self, change: FloatArray, elapsed_s: float) -> None:
        velocity = np.maximum(self._velocity + change, -self._velocity_max)
        velocity = np.minimum(velocity, self._velocity_max)
        self._last_acceleration = (velocity - self._velocity) / elapsed_s
        self._velocity = velocity

    def _predict(
        self, position: FloatArray, age_s: float | FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the lowest and the highest position at which all that was sent may end.

        What was sent since the measurement is not in it. What was sent up to the actuator lag
        before that may or may not be.
        """
        shown, moved, back_s = position, position, 0.0
        sent: list[FloatArray] = []
        one_age = isinstance(age_s, float | int)
        oldest_s = (age_s if one_age else float(np.max(age_s))) + self._lag_s
        for velocity, duration_s in reversed(self._sent):
            if back_s >= oldest_s:
                break
            shown = shown + velocity * _overlap(age_s - back_s, duration_s, one_age)
            moved = moved + velocity * _overlap(age_s + self._lag_s - back_s, duration_s, one_age)
            back_s += duration_s
            if back_s >= oldest_s - self._lag_s:
                sent.append(moved)
        lowest = highest = shown
        for moved in sent:
            lowest, highest = np.minimum(lowest, moved), np.maximum(highest, moved)
        return lowest, highest

    def _usable(self, position: FloatArray) -> FloatArray:
        """Return the velocities (7,) that may be used at a measured position."""
        usable = self.velocity_scale * self._velocity_max
        if ((position < self._position_min) | (position > self._position_max)).any():
            return np.minimum(usable, CRAWL_RAD_S)
        return usable

    def _bounds(
        self,
        lowest: FloatArray,
        highest: FloatArray,
        age_s: float | FloatArray,
        usable: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the lowest and the highest velocity that is safe between two positions."""
        delayed = self._braking * (self._delay_s + age_s)
        squared, twice = delayed * delayed, 2.0 * self._braking
        high = np.sqrt(squared + twice * np.maximum(self._high - highest, 0.0)) - delayed
        low = delayed - np.sqrt(squared + twice * np.maximum(lowest - self._low, 0.0))
        high = np.minimum(high, usable)
        low = np.maximum(low, -usable)
        if (e := self._envelope) is not None:
            upper = np.sqrt(np.maximum(e.k * (e.q_upper_rad - highest) + self._c_more, 0.0))
            lower = np.sqrt(np.maximum(e.k * (lowest - e.q_lower_rad) + self._c_more, 0.0))
            high = np.minimum(high, np.maximum(upper - self._c_held, 0.0))
            low = np.maximum(low, np.minimum(self._c_held - lower, 0.0))
        return low, high

    def _ease(self, target: FloatArray, elapsed_s: float) -> FloatArray:
        """Return the change towards the target that the jerk limit allows in this step."""
        change = target - self._velocity
        if self._jerk is None:
            return change
        step = self._jerk * elapsed_s * elapsed_s  # velocity by one step of jerk
        easing = np.sqrt(step * step + 2.0 * step * np.abs(change)) - step
        easing = np.maximum(easing, step)
        change = np.minimum(np.maximum(change, -easing), easing)
        last = self._last_acceleration * elapsed_s
        return np.minimum(np.maximum(change, last - step), last + step)


def _overlap(left_s: float | FloatArray, duration_s: float, one_age: bool) -> float | FloatArray:
    """Return for how much of a command's duration it has yet to be carried out."""
    if one_age:
        return min(max(left_s, 0.0), duration_s)  # type: ignore[type-var]  a float
    return np.clip(left_s, 0.0, duration_s)


def _scale(request: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """Return the largest share of a request beyond the bounds that is within them."""
    bound = np.where(request > 0, high, low)
    beyond = np.abs(request) > np.abs(bound)
    return float(np.min(bound[beyond] / request[beyond]))
