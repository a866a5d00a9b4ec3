"""A velocity as a short trajectory that ends at rest, for a joint trajectory controller.

The controller plays it to the end and holds. Replaced every tick it follows the velocity; when
the guard dies, the arm comes to rest by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.core.limiter import BRAKING_SHARE
from vla_ros.types import ARM_JOINTS, FloatArray

LOOK_AHEAD_S = 0.03
LOOK_AHEAD_PERIODS = 3
LEASH_RAD = 0.1
_SAME_TIME_S = 1e-3
MOST_POINTS = ARM_JOINTS + 1
"""Of a trajectory: where the arm is soon, and where each joint comes to rest."""


@dataclass(frozen=True)
class ShortTrajectory:
    """Points of a motion to rest: times (N,) from now, positions (N, 7) and velocities (N, 7)."""

    times_s: FloatArray
    positions_rad: FloatArray
    velocities_rad_s: FloatArray


class TrajectoryPlanner:
    """Integrates the commanded velocities to a reference position and plans to rest from there.

    The reference is not the measured position: an arm that sags a little under its weight would
    sink further with every trajectory. It stays within LEASH_RAD of the measured one.
    """

    def __init__(self, embodiment: Embodiment, period_s: float) -> None:
        """Plan for an arm whose trajectory is replaced every `period_s`."""
        self._low, self._high = embodiment.position_min_rad, embodiment.position_max_rad
        self._braking = BRAKING_SHARE * embodiment.acceleration_max_rad_s2
        self._ahead_s = max(LOOK_AHEAD_S, LOOK_AHEAD_PERIODS * period_s)
        self._reference: FloatArray | None = None
        self._velocity = np.zeros_like(self._low)

    def plan(
        self, velocity: FloatArray, measured: FloatArray | None, elapsed_s: float
    ) -> ShortTrajectory | None:
        """Return the trajectory for a velocity (7,); None while the arm's position is unknown.

        Args:
            velocity: held for a moment, then braked from.
            measured: joint positions (7,), None when they are not known.
            elapsed_s: time since the last call.
        """
        reference = measured if self._reference is None else self._reference
        if reference is None:
            return None
        reference = reference + self._velocity * elapsed_s
        if measured is not None:
            reference = np.maximum(reference, measured - LEASH_RAD)
            reference = np.minimum(reference, measured + LEASH_RAD)
        self._reference, self._velocity = reference, velocity
        # A joint that is beyond a limit is not pulled back at once, which would be a jump.
        low, high = np.minimum(self._low, reference), np.maximum(self._high, reference)
        plan = self._to_rest(reference + velocity * self._ahead_s, velocity)
        positions = np.minimum(np.maximum(plan.positions_rad, low), high)
        return ShortTrajectory(plan.times_s, positions, plan.velocities_rad_s)

    def reset(self) -> None:
        """Start from the measured position next time."""
        self._reference = None
        self._velocity = np.zeros_like(self._low)

    def _to_rest(self, start: FloatArray, velocity: FloatArray) -> ShortTrajectory:
        """Brake every joint evenly; a point wherever one of them comes to rest."""
        rest_s = np.abs(velocity) / self._braking
        rests_s = sorted(rest_s.tolist())
        knots_s = [0.0]
        for time_s in rests_s:
            if time_s > knots_s[-1] + _SAME_TIME_S:
                knots_s.append(time_s)
        if len(knots_s) == 1:  # all but at rest: the last point must still say so
            knots_s.append(rests_s[-1] + _SAME_TIME_S)
        knots_s[-1] = max(knots_s[-1], rests_s[-1])
        knots = np.array(knots_s)
        times_s = np.minimum(knots[:, None], rest_s)
        velocities = velocity - np.copysign(self._braking, velocity) * times_s
        positions = start + 0.5 * times_s * (velocity + velocities)
        velocities[-1] = 0.0
        return ShortTrajectory(self._ahead_s + knots, positions, velocities)
