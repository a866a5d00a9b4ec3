"""The guard: what stands between a policy and the arm, without ROS and without a clock.

Two reactions to a fault. HOLD brakes to rest and resumes by itself when the cause is gone. STOP
brakes to rest and stays there, with the reason, until somebody re-arms. `Guard.tick` is the state
machine; docs/safety.md draws it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vla_ros.core.chunk_intake import ChunkIntake
from vla_ros.core.embodiment import Embodiment
from vla_ros.core.estop import EStop
from vla_ros.core.gripper import Fingers, GripperLimiter
from vla_ros.core.guard_config import GuardConfig
from vla_ros.core.guard_output import GuardOutput, State
from vla_ros.core.joint_state import JointStates
from vla_ros.core.limiter import Limiter
from vla_ros.core.watchdog import ClockWatch, ShareInWindow
from vla_ros.errors import ConfigError, ObservationError
from vla_ros.types import ActionChunk, FloatArray

NO_INSTRUCTION = 'the instruction is empty, which means stop'
NO_FINGERS = 'the policy commands the gripper, and no state of its fingers arrives'
TOO_FAST = 'the policy keeps asking for velocities beyond the limits of the arm'


class Guard:
    """State machine: joint states, chunks and instructions in; a safe velocity out, every tick.

    Times are handed in: `stamp_ns` on the node's clock, which may jump, and `mono_ns` on the
    monotonic clock, which all watchdogs use.
    """

    def __init__(self, embodiment: Embodiment, config: GuardConfig | None = None) -> None:
        """Guard an arm; inactive until `activate`."""
        self._arm = embodiment
        self._period_s = 1.0 / embodiment.guard_rate_hz
        self._joints = JointStates(embodiment.joints)
        self._limiter = Limiter(embodiment, self._period_s)
        self._chunks = ChunkIntake(embodiment)
        gripper = embodiment.gripper
        self._fingers = Fingers(gripper) if gripper else None
        self._gripper = GripperLimiter(gripper, self._period_s) if gripper else None
        self._estop = EStop()
        self._clock = ClockWatch()
        self._beyond = ShareInWindow(self._period_s)
        self._active = self._late = False
        self._listening = True
        self._stop = ''
        self._last_tick_ns: int | None = None
        self.adopt(config or GuardConfig())

    def tick(self, stamp_ns: int, mono_ns: int) -> GuardOutput:
        """Return what to command now; to be called once a period, whatever happens."""
        elapsed_s = self._elapsed(mono_ns)
        if jump := self._clock.check(stamp_ns, mono_ns, self.config.clock_jump_s):
            self._flush(jump, stamp_ns)
        if not self._active:
            return self._brake(elapsed_s, State.INACTIVE, self.reason)
        if self._stop:
            return self._brake(elapsed_s, State.STOP, self._stop)
        if not self._listening:
            self._limiter.reset()
            return self._brake(elapsed_s, State.HOLD, 'no controller listens')
        if self._is_late(elapsed_s):
            held_up = f'the guard was held up for {elapsed_s:.3f} s'
            return self._brake(elapsed_s, State.HOLD, held_up)
        request = self._chunks.request(self.config, stamp_ns, mono_ns)
        if fault := self._fault(stamp_ns, mono_ns):
            self.stop(fault)
            return self._brake(elapsed_s, State.STOP, self._stop)
        if request is None:
            reason = self._chunks.reason
            return self._brake(elapsed_s, State.HOLD if reason else State.READY, reason)
        opening_m, wanted_m = None, self._chunks.opening_m(stamp_ns)
        if wanted_m is not None:
            opening_m = self._grip(wanted_m, mono_ns, elapsed_s)
            if opening_m is None:
                return self._brake(elapsed_s, State.HOLD, NO_FINGERS)
        ages_s = self._joints.ages_s(mono_ns)
        limited = self._limiter.step(request, self._joints.positions_rad, ages_s, elapsed_s)
        grips = self._gripper is not None and opening_m is not None and self._gripper.moves
        moving = request.any() or limited.velocity.any() or grips
        state = State.MOVING if moving else State.READY
        return GuardOutput(limited.velocity, state, '', limited.ratio, elapsed_s, opening_m)

    def _fault(self, stamp_ns: int, mono_ns: int) -> str:
        """Return why the arm has to stop now, empty when it may go on."""
        config = self.config
        if missing := self._joints.missing(mono_ns, config.joint_state_timeout_s):
            return f'no state of {", ".join(missing)} for {config.joint_state_timeout_s:g} s'
        if pressed := self._pressed(mono_ns):
            return pressed
        if starved := self._chunks.starved(config, mono_ns):
            return starved
        beyond = self._chunks.is_beyond(config, stamp_ns)
        share, window_s = config.over_limit_share, config.over_limit_window_s
        return TOO_FAST if self._beyond.too_many(beyond, mono_ns, share, window_s) else ''

    def activate(self, stamp_ns: int, mono_ns: int) -> None:
        """Allow the arm to move, from rest; a STOP of before stays until it is re-armed.

        Raises:
            ObservationError: a joint is not known or outside its limits, or the e-stop forbids it.
        """
        self._check_start(mono_ns)
        self._begin(stamp_ns)
        self._active = True

    def deactivate(self) -> None:
        """Allow no motion any more: the next ticks brake to rest."""
        self._active = False
        self._chunks.forget('')

    def stop(self, reason: str) -> None:
        """Brake to rest and stay there until `rearm`; the first reason is kept."""
        if not self._stop:
            self._stop = reason
            self._joints.forget()  # to be re-armed only on states from after the stop
        self._chunks.forget('')

    def rearm(self, stamp_ns: int, mono_ns: int) -> None:
        """End a STOP. The arm starts from rest, and only on chunks of later observations.

        Without a STOP it changes nothing: whoever did not get the answer may ask again.

        Raises:
            ObservationError: still braking, a joint is not known again or outside its limits, or
                the e-stop forbids it.
        """
        if self._active and not self._stop:
            return
        if not self.at_rest:
            raise ObservationError('the arm still brakes; try again')
        if self._active:
            self._check_start(mono_ns)
        elif pressed := self._pressed(mono_ns):
            raise ObservationError(pressed)
        self._stop = ''
        self._begin(stamp_ns)

    def adopt(self, config: GuardConfig) -> None:
        """Take other settings; while active none may be looser than it was.

        Raises:
            ConfigError: one is, and none of them is taken.
        """
        if self._active and (name := self.config.loosened(config)):
            raise ConfigError(
                f'{name}: {getattr(self.config, name)} can only be tightened while guard_node is '
                f'active, got {getattr(config, name)}; deactivate it first'
            )
        self.config = config
        self._limiter.velocity_scale = config.velocity_scale

    def on_joint_state(
        self, names: Sequence[str], positions: Sequence[float], stamp_ns: int, mono_ns: int
    ) -> None:
        """Take over measured positions; one that is not finite means STOP."""
        problem = self._joints.update(names, positions, stamp_ns, mono_ns)
        if problem and self._active:
            self.stop(problem)
        if self._fingers:
            self._fingers.update(names, positions, stamp_ns, mono_ns)

    def on_instruction(self, text: str) -> None:
        """Hear what the operator says to the policy: nothing at all means STOP."""
        if not text or text.isspace():
            self.stop(NO_INSTRUCTION)

    def on_estop(self, pressed: bool, mono_ns: int) -> None:
        """Hear an emergency stop button: pressed means STOP, released re-arms nothing."""
        self._estop.hear(pressed, mono_ns)
        if pressed:
            self.stop(self._pressed(mono_ns))

    def on_controller(self, listening: bool) -> None:
        """Note whether a controller listens; while none does, the command rests at zero."""
        self._listening = listening

    def on_chunk(self, chunk: ActionChunk, stamp_ns: int, mono_ns: int) -> None:
        """Execute a chunk from now on, unless it is bad or answers an older observation."""
        if self._active and not self._stop:
            self._chunks.offer(chunk, self.config, stamp_ns, mono_ns)
            self._count_bad_chunks()

    def on_bad_chunk(self, problem: str) -> None:
        """Refuse a message that is no chunk: HOLD, and STOP when too many come in a row."""
        if self._active and not self._stop:
            self._chunks.refuse(problem)
            self._count_bad_chunks()

    @property
    def reason(self) -> str:
        """Why the guard holds or has stopped; empty when it does neither."""
        return self._stop or self._chunks.reason

    @property
    def at_rest(self) -> bool:
        """Whether the last command was zero."""
        return not self._limiter.velocity.any()

    def chunk_age_s(self, stamp_ns: int) -> float | None:
        """Return how old the observation is that the chunk in use answers; None without one."""
        made_ns = self._chunks.stamp_ns
        return None if made_ns is None else (stamp_ns - made_ns) * 1e-9

    def positions(self, mono_ns: int) -> FloatArray | None:
        """Return the measured joint positions (7,), None when one is missing or too old."""
        missing = self._joints.missing(mono_ns, self.config.joint_state_timeout_s)
        return None if missing else self._joints.positions_rad

    def _brake(self, elapsed_s: float, state: State, reason: str) -> GuardOutput:
        return GuardOutput(self._limiter.brake(elapsed_s), state, reason, 1.0, elapsed_s)

    def _grip(self, wanted_m: float, mono_ns: int, elapsed_s: float) -> float | None:
        """Return the opening to command; None while nobody knows how far the gripper is open."""
        if self._gripper is None or self._fingers is None:
            return None
        measured_m = self._fingers.opening_m(mono_ns, self.config.joint_state_timeout_s)
        return self._gripper.step(wanted_m, measured_m, elapsed_s)

    def _count_bad_chunks(self) -> None:
        count = self._chunks.bad_in_a_row
        if count >= self.config.bad_chunks_to_stop:
            self.stop(f'{count} bad chunks in a row: {self._chunks.reason}')

    def _pressed(self, mono_ns: int) -> str:
        config = self.config
        return self._estop.fault(mono_ns, config.estop_required, config.estop_timeout_s)

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
        if pressed := self._pressed(mono_ns):
            raise ObservationError(pressed)
        missing = self._joints.missing(mono_ns, self.config.joint_state_timeout_s)
        if missing:
            raise ObservationError(
                f'no fresh state of {", ".join(missing)} on {self._arm.joint_states_topic}'
            )
        q = self._joints.positions_rad
        low, high = self._arm.position_min_rad, self._arm.position_max_rad
        outside = (q < low) | (q > high)
        if outside.any() and not self.config.allow_inward_recovery:
            k = int(np.argmax(outside))
            raise ObservationError(
                f'{self._arm.joints[k]} is at {q[k]:.4f} rad, outside {low[k]:.4f} to '
                f'{high[k]:.4f}; move the arm back within its limits by its own means, or set '
                'allow_inward_recovery and let a policy that moves inwards do it'
            )

    def _begin(self, stamp_ns: int) -> None:
        self._limiter.reset()
        self._beyond.clear()
        self._chunks.begin(stamp_ns)
        if self._gripper:
            self._gripper.begin()

    def _flush(self, jump: str, stamp_ns: int) -> None:
        """Forget everything that was stamped by a clock that is no more."""
        holds = self._active and not self._stop
        self._chunks.forget(jump if holds else '', stamp_ns)
        self._joints.forget_stamps()
        if self._fingers:
            self._fingers.forget_stamps()
