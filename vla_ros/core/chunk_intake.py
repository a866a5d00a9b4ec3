"""What becomes of the chunks of a policy: refused, in use, over, or missing for too long."""

from __future__ import annotations

import numpy as np

from vla_ros.core.chunk_buffer import ChunkBuffer
from vla_ros.core.chunk_check import check_chunk, ends_ns
from vla_ros.core.embodiment import Embodiment
from vla_ros.core.guard_config import GuardConfig
from vla_ros.core.joint_state import NEVER_NS
from vla_ros.core.watchdog import Watchdog
from vla_ros.errors import ObservationError
from vla_ros.types import ActionChunk, FloatArray

CHUNK_ENDED = 'the last chunk has ended'


class ChunkIntake:
    """Takes chunks, gives requests, and knows why there is none (`reason`).

    Times as in Guard: `stamp_ns` on the node's clock, `mono_ns` on the monotonic one.
    """

    def __init__(self, arm: Embodiment) -> None:
        """Wait for the first chunk."""
        self._velocity_max = arm.velocity_max_rad_s
        self._gripper = arm.gripper
        self._buffer = ChunkBuffer()
        self._silent, self._starved = Watchdog(), Watchdog()
        self._newest_ns = NEVER_NS
        self._beyond = False
        self.reason = ''
        """Why the last chunk is executed no more; empty while one is, and before the first."""
        self.bad_in_a_row = 0

    @property
    def stamp_ns(self) -> int | None:
        """When the chunk in use was observed; None without one."""
        return self._buffer.stamp_ns

    def begin(self, stamp_ns: int) -> None:
        """Start afresh; what was observed until now counts for nothing."""
        self.forget('', stamp_ns)
        self.bad_in_a_row = 0

    def forget(self, reason: str, stamp_ns: int | None = None) -> None:
        """Drop the chunk and wait for the next without a time limit."""
        self._drop(reason)
        self._silent.sleep()
        self._starved.sleep()
        if stamp_ns is not None:
            self._newest_ns = stamp_ns

    def offer(self, chunk: ActionChunk, config: GuardConfig, stamp_ns: int, mono_ns: int) -> None:
        """Execute a chunk from now on, unless it is bad or answers an older observation."""
        ahead_s = (chunk.stamp_ns - stamp_ns) * 1e-9
        if ahead_s > config.max_future_s:  # a clock that is off is no broken policy: not counted
            self._drop(f'chunk refused: stamped {ahead_s:.3f} s in the future')
            return
        try:
            check_chunk(chunk, config, self._gripper)
        except ObservationError as error:
            self.refuse(str(error))
            return
        if chunk.stamp_ns <= self._newest_ns:
            return
        self._newest_ns = chunk.stamp_ns
        self.bad_in_a_row = 0
        self._buffer.push(chunk, stamp_ns)
        self._beyond = bool((np.abs(chunk.velocities_rad_s) > self._tolerated(config)).any())
        if stamp_ns < ends_ns(chunk):  # one that has ended already is no sign of life
            self.reason = ''
            self._silent.feed(mono_ns)
            self._starved.feed(mono_ns)

    def refuse(self, problem: str) -> None:
        """Drop a bad chunk, and the one in use: who sends the one is not to be trusted."""
        self.bad_in_a_row += 1
        self._drop(f'chunk refused: {problem}')

    def opening_m(self, stamp_ns: int) -> float | None:
        """Return the opening of the gripper that the policy wants now; None when it wants none."""
        return self._buffer.opening_m(stamp_ns)

    def request(self, config: GuardConfig, stamp_ns: int, mono_ns: int) -> FloatArray | None:
        """Return what the policy wants now; None when it wants nothing, or has fallen silent."""
        request = self._buffer.sample(stamp_ns)
        if request is not None and self._silent.barks(mono_ns, config.chunk_hold_s):
            request = None
            self._drop(f'no new chunk for {config.chunk_hold_s:g} s')
        elif request is None and self._buffer.stamp_ns is not None:
            self._drop(CHUNK_ENDED)
        return request

    def is_beyond(self, config: GuardConfig, stamp_ns: int) -> bool:
        """Return whether the chunk wants more than the velocity limits of the arm by too much."""
        wanted = self._buffer.sample_alone(stamp_ns) if self._beyond else None
        return wanted is not None and bool((np.abs(wanted) > self._tolerated(config)).any())

    def _tolerated(self, config: GuardConfig) -> FloatArray:
        return self._velocity_max * (1.0 + config.over_limit_tolerance)

    def starved(self, config: GuardConfig, mono_ns: int) -> str:
        """Return that there was no chunk for far too long, empty when there was."""
        barks = self._starved.barks(mono_ns, config.chunk_timeout_s)
        return f'no new chunk for {config.chunk_timeout_s:g} s' if barks else ''

    def _drop(self, reason: str) -> None:
        """Drop the chunk in use; the watchdogs stay as hungry as they were."""
        self._buffer.clear()
        self.reason = reason
