"""The chunk that is being executed, indexed by the time of the observation it answers."""

from __future__ import annotations

from vla_ros.types import ActionChunk, FloatArray

BLEND_S = 0.05
"""How long what is left of the replaced chunk fades: half of it is the delay that it costs."""


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
        before = self._at(now_ns)
        self._chunk, self._fade = chunk, None
        after = self._at(now_ns)
        if before and after:
            offset, slope = before[0] - after[0], before[1] - after[1]
            if offset.any() or slope.any():
                self._fade = now_ns, offset, slope

    def clear(self) -> None:
        """Drop the chunk."""
        self._chunk = self._fade = None

    def sample(self, now_ns: int) -> FloatArray | None:
        """Return the velocities (7,) for a time on the node clock.

        None without a chunk and past its end: the arm has to rest then.
        """
        sampled = self._at(now_ns)
        return sampled[0] if sampled else None

    def sample_alone(self, now_ns: int) -> FloatArray | None:
        """Return what the chunk itself says, without what is left of the one before."""
        sampled = self._alone(now_ns)
        return sampled[0] if sampled else None

    def _at(self, now_ns: int) -> tuple[FloatArray, FloatArray] | None:
        """Return velocities and their slopes."""
        sampled = self._alone(now_ns)
        return self._faded(now_ns, *sampled) if sampled and self._fade else sampled

    def _alone(self, now_ns: int) -> tuple[FloatArray, FloatArray] | None:
        chunk = self._chunk
        if chunk is None:
            return None
        rows = chunk.velocities_rad_s
        # A stamp may be a little ahead, from another machine's clock: begin with the first step.
        place = max(0, now_ns - chunk.stamp_ns) * 1e-9 / chunk.step_s
        step = int(place)
        if step >= len(rows):
            return None
        velocity, slope = rows[step], 0.0 * rows[step]
        if step < len(rows) - 1:
            share, following = place - step, rows[step + 1]
            slope = (following - velocity) / chunk.step_s
            velocity = (1.0 - share) * velocity + share * following
        return velocity, slope

    def _faded(
        self, now_ns: int, velocity: FloatArray, slope: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Add what is left of the chunk before: a cubic from its offset and slope to zero."""
        assert self._fade
        since_ns, offset, offset_slope = self._fade
        s = (now_ns - since_ns) * 1e-9 / BLEND_S
        if not 0.0 <= s < 1.0:  # over, or the clock was set back
            self._fade = None
            return velocity, slope
        rest, run = 1.0 - s, BLEND_S * offset_slope
        velocity = velocity + rest * rest * ((1.0 + 2.0 * s) * offset + s * run)
        slope = slope + rest * ((1.0 - 3.0 * s) * run - 6.0 * s * offset) / BLEND_S
        return velocity, slope
