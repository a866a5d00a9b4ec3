"""The chunk that is being executed, indexed by the time of the observation it answers."""

from __future__ import annotations

from vla_ros.types import ActionChunk, FloatArray


class ChunkBuffer:
    """Keeps the newest chunk and samples it on the guard's clock.

    Step k starts `k * step_s` after the observation. Between the starts of two steps velocities
    are interpolated linearly; a chunk ends one step after the start of its last.
    """

    def __init__(self) -> None:
        self._chunk: ActionChunk | None = None

    @property
    def stamp_ns(self) -> int | None:
        """Observation time of the chunk in use; None when there is none."""
        return None if self._chunk is None else self._chunk.stamp_ns

    def push(self, chunk: ActionChunk) -> bool:
        """Replace the chunk by a newer one; False for one that answers an older observation."""
        if self._chunk is not None and chunk.stamp_ns < self._chunk.stamp_ns:
            return False
        self._chunk = chunk
        return True

    def clear(self) -> None:
        """Drop the chunk."""
        self._chunk = None

    def sample(self, stamp_ns: int) -> FloatArray | None:
        """Return the velocities (7,) for a time on the node clock.

        None without a chunk, before its observation and past its end: the arm has to rest then.
        """
        chunk = self._chunk
        if chunk is None or stamp_ns < chunk.stamp_ns:
            return None
        rows = chunk.velocities_rad_s
        place = (stamp_ns - chunk.stamp_ns) * 1e-9 / chunk.step_s
        step = int(place)
        if step >= len(rows):
            return None
        if step == len(rows) - 1:
            return rows[step]
        share = place - step
        return (1.0 - share) * rows[step] + share * rows[step + 1]
