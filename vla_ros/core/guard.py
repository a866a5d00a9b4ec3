"""The guard: what stands between a policy and the arm, without ROS and without a clock.

Two reactions to a fault. HOLD brakes to rest and resumes by itself when the cause is gone. STOP
brakes to rest and stays there, with the reason, until somebody re-arms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vla_ros.core.chunk_buffer import ChunkBuffer
from vla_ros.core.chunk_check import check_chunk, ends_ns
from vla_ros.core.embodiment import Embodiment
from vla_ros.core.guard_config import GuardConfig
from vla_ros.core.guard_output import GuardOutput, State
from vla_ros.core.joint_state import NEVER_NS, JointStates
from vla_ros.core.limiter import Limiter
from vla_ros.core.watchdog import ClockWatch, ShareInWindow, Watchdog
from vla_ros.errors import ObservationError
from vla_ros.types import ActionChunk, FloatArray

NO_INSTRUCTION = 'the instruction is empty, which means stop'
CHUNK_ENDED = 'the last chunk has ended'
TOO_FAST = 'the policy keeps asking for velocities beyond the limits of the arm'


class Guard:
    """State machine: joint states, chunks and instructions in; a safe velocity out, every tick.

    Times are handed in: `stamp_ns` on the node's clock, which may jump, and `mono_ns` on the
    monotonic clock, which all watchdogs use.
    """

    def __init__(self, embodiment: Embodiment, config: GuardConfig | None = None) -> None:
        """Guard an arm; inactive until `activate`."""
        self.config = config = config or GuardConfig()
        self._arm = embodiment
        self._period_s = 1.0 / embodiment.guard_rate_hz
        self._over_rad_s = embodiment.velocity_max_rad_s * (1.0 + config.over_limit_tolerance)
        self._joints = JointStates(embodiment.joints)
        self._limiter = Limiter(embodiment, self._period_s)
        self._buffer = ChunkBuffer()
        self._silent = Watchdog(config.chunk_hold_s)
        self._starved = Watchdog(config.chunk_timeout_s)
        self._clock = ClockWatch(config.clock_jump_s)
        self._over = ShareInWindow(
            config.over_limit_window_s, self._period_s, config.over_limit_share
        )
        self._active = self._late = self._fast_chunk = False
        self._listening = True
        self._stop = self._hold = ''
        self._last_tick_ns: int | None = None
        self._newest_ns = NEVER_NS
        self._bad_chunks = 0

    @property
    def reason(self) -> str:
        """Why the guard holds or has stopped; empty when it does neither."""
        return self._stop or self._hold

    @property
    def at_rest(self) -> bool:
        """Whether the last command was zero."""
        return not self._limiter.velocity.any()

    def chunk_age_s(self, stamp_ns: int) -> float | None:
        """Return how old the observation is that the chunk in use answers; None without one."""
        made_ns = self._buffer.stamp_ns
        return None if made_ns is None else (stamp_ns - made_ns) * 1e-9

    def positions(self, mono_ns: int) -> FloatArray | None:
        """Return the measured joint positions (7,), None when one is missing or too old."""
        missing = self._joints.missing(mono_ns, self.config.joint_state_timeout_s)
        return None if missing else self._joints.positions_rad

    def activate(self, stamp_ns: int, mono_ns: int) -> None:
        """Allow the arm to move, from rest; a STOP of before stays until it is re-armed.

        Raises:
            ObservationError: a joint is not known or outside its limits.
        """
        self._check_start(mono_ns)
        self._begin(stamp_ns)
        self._active = True

    def deactivate(self) -> None:
        """Allow no motion any more: the next ticks brake to rest."""
        self._active = False
        self._hold = ''
        self._forget_chunks()

    def stop(self, reason: str) -> None:
        """Brake to rest and stay there until `rearm`; the first reason is kept."""
        if not self._stop:
            self._stop = reason
            self._joints.forget()  # to be re-armed only on states from after the stop
        self._hold = ''
        self._forget_chunks()

    def rearm(self, stamp_ns: int, mono_ns: int) -> None:
        """End a STOP. The arm starts from rest, and only on chunks of later observations.

        Raises:
            ObservationError: still braking, or a joint is not known again or outside its limits.
        """
        if not self.at_rest:
            raise ObservationError('the arm still brakes; try again')
        if self._active:
            self._check_start(mono_ns)
        self._stop = ''
        self._begin(stamp_ns)

    def on_joint_state(
        self, names: Sequence[str], positions: Sequence[float], stamp_ns: int, mono_ns: int
    ) -> None:
        """Take over measured positions; one that is not finite means STOP."""
        problem = self._joints.update(names, positions, stamp_ns, mono_ns)
        if problem and self._active:
            self.stop(problem)

    def on_instruction(self, text: str) -> None:
        """Hear what the operator says to the policy: nothing at all means STOP."""
        if not text.strip():
            self.stop(NO_INSTRUCTION)

    def on_controller(self, listening: bool) -> None:
        """Note whether a controller listens; while none does, the command rests at zero."""
        self._listening = listening

    def on_chunk(self, chunk: ActionChunk, stamp_ns: int, mono_ns: int) -> None:
        """Execute a chunk from now on, unless it is bad or answers an older observation."""
        if not self._active or self._stop:
            return
        ahead_s = (chunk.stamp_ns - stamp_ns) * 1e-9
        if ahead_s > self.config.max_future_s:
            self._drop(f'chunk refused: stamped {ahead_s:.3f} s in the future')
            return
        try:
            check_chunk(chunk, self.config)
        except ObservationError as error:
            self.on_bad_chunk(str(error))
            return
        if chunk.stamp_ns <= self._newest_ns:
            return
        self._newest_ns = chunk.stamp_ns
        self._bad_chunks = 0
        self._buffer.push(chunk)
        self._fast_chunk = bool((np.abs(chunk.velocities_rad_s) > self._over_rad_s).any())
        if stamp_ns < ends_ns(chunk):  # one that has ended already is no sign of life
            self._hold = ''
            self._silent.feed(mono_ns)
            self._starved.feed(mono_ns)

    def on_bad_chunk(self, problem: str) -> None:
        """Refuse a chunk: HOLD, and STOP when too many come in a row."""
        if not self._active or self._stop:
            return
        self._bad_chunks += 1
        if self._bad_chunks >= self.config.bad_chunks_to_stop:
            self.stop(f'{self._bad_chunks} bad chunks in a row: {problem}')
        else:
            self._drop(f'chunk refused: {problem}')

    def tick(self, stamp_ns: int, mono_ns: int) -> GuardOutput:
        """Return what to command now; to be called once a period, whatever happens."""
        elapsed_s = self._elapsed(mono_ns)
        if jump := self._clock.check(stamp_ns, mono_ns):
            self._flush(jump)
        if not self._active or self._stop:
            return self._brake(elapsed_s)
        if not self._listening:
            self._limiter.reset()
            return self._brake(elapsed_s, 'no controller listens')
        if self._is_late(elapsed_s):
            return self._brake(elapsed_s, f'the guard was held up for {elapsed_s:.3f} s')
        if fault := self._fault(mono_ns):
            self.stop(fault)
            return self._brake(elapsed_s)
        request = self._request(stamp_ns, mono_ns)
        if request is None:
            return self._brake(elapsed_s)
        if self._over.too_many(self._is_over(request), mono_ns):
            self.stop(TOO_FAST)
            return self._brake(elapsed_s)
        ages_s = self._joints.ages_s(mono_ns)
        limited = self._limiter.step(request, self._joints.positions_rad, ages_s, elapsed_s)
        moving = request.any() or limited.velocity.any()
        state = State.MOVING if moving else State.READY
        return GuardOutput(limited.velocity, state, '', limited.ratio, elapsed_s)

    def _brake(self, elapsed_s: float, hold: str = '') -> GuardOutput:
        velocity = self._limiter.brake(elapsed_s)
        if not self._active:
            state = State.INACTIVE
        elif self._stop:
            state = State.STOP
        else:
            state = State.HOLD if hold or self._hold else State.READY
        return GuardOutput(velocity, state, hold or self.reason, 1.0, elapsed_s)

    def _fault(self, mono_ns: int) -> str:
        """Return why the arm has to stop now, empty when it may go on."""
        timeout_s = self.config.joint_state_timeout_s
        if missing := self._joints.missing(mono_ns, timeout_s):
            return f'no state of {", ".join(missing)} for {timeout_s:g} s'
        if self._starved.barks(mono_ns):
            return f'no new chunk for {self.config.chunk_timeout_s:g} s'
        return ''

    def _request(self, stamp_ns: int, mono_ns: int) -> FloatArray | None:
        """Return what the policy wants now; None when it wants nothing, or has fallen silent."""
        request = self._buffer.sample(stamp_ns)
        if request is not None and self._silent.barks(mono_ns):
            request = None
            self._drop(f'no new chunk for {self.config.chunk_hold_s:g} s')
        elif request is None and self._buffer.stamp_ns is not None:
            self._drop(CHUNK_ENDED if self._newest_ns < stamp_ns else 'the chunk begins later')
        return request

    def _is_over(self, request: FloatArray) -> bool:
        """Return whether a request is beyond the velocity limits of the arm by too much."""
        return self._fast_chunk and bool((np.abs(request) > self._over_rad_s).any())

    def _elapsed(self, mono_ns: int) -> float:
        last_ns, self._last_tick_ns = self._last_tick_ns, mono_ns
        return self._period_s if last_ns is None else (mono_ns - last_ns) * 1e-9

    def _is_late(self, elapsed_s: float) -> bool:
        """Return whether this tick, but not the one before, came too late to judge.

        What arrived while the process was held up is read only after this tick.
        """
        late = elapsed_s > self.config.joint_state_timeout_s / 2
        self._late = late and not self._late
        return self._late

    def _check_start(self, mono_ns: int) -> None:
        """Raise an ObservationError unless every joint is known and within its limits."""
        missing = self._joints.missing(mono_ns, self.config.joint_state_timeout_s)
        if missing:
            raise ObservationError(
                f'no fresh state of {", ".join(missing)} on {self._arm.joint_states_topic}'
            )
        q = self._joints.positions_rad
        low, high = self._arm.position_min_rad, self._arm.position_max_rad
        outside = (q < low) | (q > high)
        if outside.any():
            k = int(np.argmax(outside))
            raise ObservationError(
                f'{self._arm.joints[k]} is at {q[k]:.4f} rad, outside {low[k]:.4f} to '
                f'{high[k]:.4f}; move the arm back within its limits by its own means first'
            )

    def _begin(self, stamp_ns: int) -> None:
        self._limiter.reset()
        self._over.clear()
        self._hold = ''
        self._bad_chunks = 0
        self._forget_chunks()
        self._newest_ns = stamp_ns  # nothing that was seen before counts

    def _drop(self, reason: str) -> None:
        """Drop the chunk in use and hold; the watchdog stays as hungry as it was."""
        self._buffer.clear()
        self._hold = reason

    def _flush(self, jump: str) -> None:
        """Forget everything that was stamped by a clock that is no more."""
        self._forget_chunks()
        self._joints.forget_stamps()
        self._newest_ns = NEVER_NS
        if self._active and not self._stop:
            self._hold = jump

    def _forget_chunks(self) -> None:
        self._buffer.clear()
        self._silent.sleep()
        self._starved.sleep()
