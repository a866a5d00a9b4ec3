"""The gripper: how far it is open, and which opening may be commanded next."""

from __future__ import annotations

from collections.abc import Sequence

from vla_ros.core.embodiment import GripperConfig
from vla_ros.core.joint_state import JointStates

LONGEST_PERIODS = 2.0  # what a late tick may catch up on, in periods


class Fingers:
    """Joint states of the fingers, whose positions (m) add up to the opening."""

    def __init__(self, gripper: GripperConfig) -> None:
        """Wait for every finger."""
        self._states = JointStates(gripper.joints)
        self._opening_max_m = gripper.opening_max_m

    def update(
        self, names: Sequence[str], positions: Sequence[float], stamp_ns: int, mono_ns: int
    ) -> str:
        """Take over the fingers' positions; return what is wrong, as `JointStates.update` does."""
        return self._states.update(names, positions, stamp_ns, mono_ns)

    def forget_stamps(self) -> None:
        """Take the next messages whatever their stamps: the clock was set."""
        self._states.forget_stamps()

    def missing(self, mono_ns: int, timeout_s: float) -> list[str]:
        """Return the fingers that were not heard of for longer than `timeout_s`."""
        return self._states.missing(mono_ns, timeout_s)

    def opening_m(self, mono_ns: int, timeout_s: float) -> float | None:
        """Return the opening, None when a finger was not heard of for longer."""
        if self.missing(mono_ns, timeout_s):
            return None
        return min(max(float(self._states.positions_rad.sum()), 0.0), self._opening_max_m)


class GripperLimiter:
    """Follows the wanted opening within its range, no faster than the gripper may.

    What was commanded last stays, whatever happens to the arm: an object that is held is not
    dropped. `begin` lets the next step start from the measured opening, as somebody may have moved
    the fingers; unless it is to close, and what was commanded before is tighter: then they hold
    something that keeps them apart.
    """

    def __init__(self, gripper: GripperConfig, period_s: float) -> None:
        """Nothing has been commanded yet; `step` is called every `period_s`."""
        self._opening_max_m = gripper.opening_max_m
        self._speed_m_s = gripper.speed_max_m_s
        self._longest_s = LONGEST_PERIODS * period_s
        self._begins = True
        self.opening_m: float | None = None
        """What was commanded last; None before the first command."""
        self.moves = False
        """Whether that was another opening than the one before."""

    def begin(self) -> None:
        """Start from the measured opening next time."""
        self._begins = True

    def step(self, wanted_m: float, measured_m: float | None, elapsed_s: float) -> float | None:
        """Return the opening to command now; None while it is not known where to start.

        Args:
            wanted_m: finite; beyond the range it counts as the end of the range.
            measured_m: the opening as it is, None when it is not known.
            elapsed_s: time since the last tick.
        """
        start_m = self._start_m(wanted_m, measured_m) if self._begins else self.opening_m
        if start_m is None:
            return None
        reach_m = self._speed_m_s * min(max(elapsed_s, 0.0), self._longest_s)
        opening_m = min(max(wanted_m, start_m - reach_m), start_m + reach_m)
        opening_m = min(max(opening_m, 0.0), self._opening_max_m)
        self.moves = opening_m != self.opening_m
        self.opening_m, self._begins = opening_m, False
        return opening_m

    def _start_m(self, wanted_m: float, measured_m: float | None) -> float | None:
        before_m = self.opening_m
        if before_m is None or measured_m is None:
            return before_m if measured_m is None else measured_m
        return measured_m if wanted_m > measured_m else min(before_m, measured_m)
