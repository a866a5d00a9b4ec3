"""What a record of commands says about one fault. No ROS here: times and speeds in, a verdict out.

Times are on the monotonic clock, in nanoseconds; the speed of a command is that of its fastest
joint, in rad/s.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_ros.types import FloatArray

ZEROS = 5
EXIT_S = 2.0
_STEADY = 1.001


@dataclass
class Record:
    """Commands, or joint velocities: when they arrived, when they were sent, and what they say."""

    times_ns: list[int] = field(default_factory=list)
    sent_ns: list[int] = field(default_factory=list)
    velocities_rad_s: list[FloatArray] = field(default_factory=list)

    def add(self, time_ns: int, sent_ns: int, velocities_rad_s: FloatArray) -> None:
        """Append one message."""
        self.times_ns.append(time_ns)
        self.sent_ns.append(sent_ns)
        self.velocities_rad_s.append(velocities_rad_s)

    def clear(self) -> None:
        """Forget everything."""
        self.times_ns.clear()
        self.sent_ns.clear()
        self.velocities_rad_s.clear()

    def speeds(self) -> FloatArray:
        """Return the speed of every message (N,)."""
        return np.array([np.abs(v).max(initial=0.0) for v in self.velocities_rad_s])

    def resting(self, count: int, threshold_rad_s: float = 0.0) -> bool:
        """Return whether the last `count` messages are at rest."""
        last = self.velocities_rad_s[-count:]
        return len(last) == count and all(np.abs(v).max() <= threshold_rad_s for v in last)

    def since(self, time_ns: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Return times and speeds of what arrived after a time."""
        times = np.array(self.times_ns, np.int64)
        after = times > time_ns
        return times[after], self.speeds()[after]

    def periods_s(self, time_ns: int) -> list[float]:
        """Return the time between messages that were sent after a time.

        Of sending, because arriving adds how busy the observer's own process was.
        """
        sent = np.array(self.sent_ns, np.int64)
        return (np.diff(sent[sent > time_ns]) * 1e-9).tolist()


@dataclass(frozen=True)
class Verdict:
    """How long the reaction took, and what is wrong with it; nothing when the text is empty.

    `limit_s` is what it was held against, where that is not known before.
    """

    reaction_s: float
    problem: str = ''
    limit_s: float = 0.0


def braked(
    record: Record, fault_ns: int, limit_s: float, stop_s: float, resting_rad_s: float = 0.0
) -> Verdict:
    """Judge that the command begins to fall for good within `limit_s`, and is zero `stop_s` later.

    Returns:
        The time from the fault to the first command from which on it falls until it is zero.
    """
    before = record.speeds()[np.array(record.times_ns, np.int64) <= fault_ns]
    times, speeds = record.since(fault_ns)
    if not before.size or before[-1] <= resting_rad_s:
        return Verdict(np.inf, 'the arm was not moving before the fault')
    resting = speeds <= resting_rad_s
    falling = (np.diff(speeds, prepend=before[-1]) < 0) | resting
    began = _first_of_the_last(falling)
    if began == speeds.size:
        return Verdict(np.inf, 'the command never fell for good')
    reaction_s = float(times[began] - fault_ns) * 1e-9
    rests = _first_of_the_last(resting)
    if rests == speeds.size:
        return Verdict(reaction_s, f'still {speeds[-1]:.3f} rad/s at the end')
    if reaction_s > limit_s:
        return Verdict(reaction_s, f'began to fall after {reaction_s:.3f} s')
    rest_s = float(times[rests] - fault_ns) * 1e-9
    if rest_s > limit_s + stop_s:
        return Verdict(reaction_s, f'zero after {rest_s:.3f} s, not {limit_s + stop_s:.3f} s')
    return Verdict(reaction_s)


def _first_of_the_last(holds: NDArray[np.bool_]) -> int:
    """Return from which index on something holds to the end; the length if not at the end."""
    return int(holds.size - np.argmin(np.append(holds[::-1], False)))


def ended_at_rest(record: Record, fault_ns: int, end_ns: int) -> Verdict:
    """Judge a guard that ends: a ramp, at least ZEROS zeros, all within EXIT_S.

    Returns:
        The time from the fault to the end.
    """
    reaction_s = (end_ns - fault_ns) * 1e-9
    _, speeds = record.since(fault_ns)
    zeros = speeds.size - _first_of_the_last(speeds == 0)
    if zeros < ZEROS:
        return Verdict(reaction_s, f'{zeros} zeros before the end, not {ZEROS}')
    if (np.diff(speeds) > _STEADY - 1).any():
        return Verdict(reaction_s, 'the command rose again')
    if reaction_s > EXIT_S:
        return Verdict(reaction_s, f'took {reaction_s:.2f} s')
    return Verdict(reaction_s)


def came_to_rest(record: Record, fault_ns: int, limit_s: float, resting_rad_s: float) -> Verdict:
    """Judge an arm, by its joint velocities, that nobody commands any more.

    Returns:
        The time from the fault to the last motion.
    """
    times, speeds = record.since(fault_ns)
    moving = np.flatnonzero(speeds > resting_rad_s)
    if not moving.size:
        return Verdict(np.inf, 'the arm was not moving before the fault')
    reaction_s = float(times[moving[-1]] - fault_ns) * 1e-9
    if moving[-1] + 1 == speeds.size:
        return Verdict(reaction_s, f'still {speeds[-1]:.3f} rad/s at the end')
    if reaction_s > limit_s:
        return Verdict(reaction_s, f'moved for {reaction_s:.3f} s')
    return Verdict(reaction_s)


def beyond_limits(
    record: Record, velocity_max: FloatArray, acceleration_max: FloatArray, period_s: float
) -> str:
    """Return how commands went beyond the speed or acceleration limits; empty if they did not.

    Sending is less even than the guard's ticks: one period more is granted to each step.
    """
    if len(record.sent_ns) < 2:
        return ''
    velocities = np.array(record.velocities_rad_s)
    if not np.isfinite(velocities).all():
        return 'a command was not finite'
    if (np.abs(velocities) > velocity_max * _STEADY).any():
        return f'a command of {np.abs(velocities).max():.3f} rad/s'
    steps_s = np.diff(record.sent_ns)[:, None] * 1e-9 + period_s
    changes = np.abs(np.diff(velocities, axis=0))
    if (changes > acceleration_max * steps_s).any():
        return f'the command jumped by {changes.max():.3f} rad/s'
    return ''


def even_ticks(intervals_s: list[float], limit_s: float) -> Verdict:
    """Judge the time between commands: 99 % of the intervals must be within the limit.

    Returns:
        The 99th percentile.
    """
    if not intervals_s:
        return Verdict(np.inf, 'no commands')
    p99_s = float(np.percentile(intervals_s, 99))
    return Verdict(p99_s, '' if p99_s <= limit_s else f'p99 {1e3 * p99_s:.1f} ms', limit_s)
