"""The chunk that is being executed, indexed by the time of the observation it answers."""

from __future__ import annotations

import numpy as np

from vla_ros.types import ARM_JOINTS, ActionChunk, FloatArray

BLEND_S = 0.05
"""How long what is left of the replaced chunk fades: half of it is the delay that it costs."""
ABSURD_RAD_S = 1e3
"""Differences beyond it are not blended: such a request is scaled to the limits as it is."""


class ChunkBuffer:
    """Keeps the newest chunk and samples it on the guard's clock.

    Step k starts `k * step_s` after the observation. Between the starts of two steps velocities
    are interpolated linearly; a chunk ends one step after the start of its last.

    A new chunk takes over without a step in velocity or acceleration: the difference between the
    two, and between their slopes, fades to nothing along a cubic within BLEND_S. Chunks that
    agree differ by nothing, so they pass untouched.
    """

    def __init__(self) -> None:
        self._chunk: ActionChunk | None = None
        self._fade: tuple[int, FloatArray, FloatArray] | None = None  # since, offset, its slope

    @property
    def stamp_ns(self) -> int | None:
        """Observation time of the chunk in use; None when there is none."""
        return None if self._chunk is None else self._chunk.stamp_ns

    def push(self, chunk: ActionChunk, now_ns: int) -> None:
        """Replace the chunk from `now_ns` on, which is a time on the node clock."""
        with np.errstate(all='ignore'):  # a chunk may hold 1e308
            before, slope_before = self.sample(now_ns), self._slope(now_ns)
            self._chunk, self._fade = chunk, None
            after = self.sample(now_ns)
            if before is None or after is None:
                return
            offset, slope = before - after, slope_before - self._slope(now_ns)
            size = np.abs([offset, BLEND_S * slope]).max()
        if 0.0 < size < ABSURD_RAD_S:
            self._fade = now_ns, offset, slope

    def clear(self) -> None:
        """Drop the chunk."""
        self._chunk = self._fade = None

    def sample(self, now_ns: int) -> FloatArray | None:
        """Return the velocities (7,) for a time on the node clock.

        None without a chunk and past its end: the arm has to rest then.
        """
        velocity = self.sample_alone(now_ns)
        if velocity is None or self._fade is None:
            return velocity
        since_ns, offset, slope = self._fade
        s = (now_ns - since_ns) * 1e-9 / BLEND_S
        if not 0.0 <= s < 1.0:  # over, or the clock was set back
            self._fade = None
            return velocity
        return velocity + (1.0 - s) ** 2 * ((1.0 + 2.0 * s) * offset + s * BLEND_S * slope)

    def sample_alone(self, now_ns: int) -> FloatArray | None:
        """Return what the chunk itself says, without what is left of the one before."""
        if self._chunk is None:
            return None
        rows = self._chunk.velocities_rad_s
        step, share = self._place(now_ns)
        if step >= len(rows) - 1:
            return rows[step] if step < len(rows) else None
        return (1.0 - share) * rows[step] + share * rows[step + 1]

    def opening_m(self, now_ns: int) -> float | None:
        """Return the opening of the gripper that the step of now wants; None when it wants none.

        Openings are not interpolated; the gripper's limiter sees to its speed.
        """
        if self._chunk is None or self._chunk.gripper_openings_m is None:
            return None
        step, _ = self._place(now_ns)
        openings_m = self._chunk.gripper_openings_m
        return float(openings_m[step]) if step < len(openings_m) else None

    def _place(self, now_ns: int) -> tuple[int, float]:
        """Return the step of the chunk that a time is in, and how much of it has passed.

        A stamp may be a little ahead, from another machine's clock: begin with the first step.
        """
        assert self._chunk
        place = max(0, now_ns - self._chunk.stamp_ns) * 1e-9 / self._chunk.step_s
        return int(place), place - int(place)

    def _slope(self, now_ns: int) -> FloatArray:
        """Return how fast `sample` changes, in rad/s²."""
        slope = np.zeros(ARM_JOINTS)
        if self._chunk is None:
            return slope
        rows = self._chunk.velocities_rad_s
        step, _ = self._place(now_ns)
        if step < len(rows) - 1:
            slope = (rows[step + 1] - rows[step]) / self._chunk.step_s
        if self._fade:
            since_ns, offset, fading = self._fade
            s = (now_ns - since_ns) * 1e-9 / BLEND_S
            if 0.0 <= s < 1.0:
                bend = (1.0 - 3.0 * s) * fading - 6.0 * s * offset / BLEND_S
                slope = slope + (1.0 - s) * bend
        return slope
