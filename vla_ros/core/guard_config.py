"""The settings of the guard; those that belong to an arm are in the arm's YAML."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from vla_ros.errors import ConfigError

_RANGES: dict[str, tuple[float, float]] = {
    'velocity_scale': (0.01, 1.0),
    'joint_state_timeout_s': (0.02, 0.5),
    'chunk_hold_s': (0.05, 5.0),
    'chunk_timeout_s': (0.1, 5.0),
    'max_chunk_steps': (1, 1000),
    'max_step_s': (0.001, 10.0),
    'max_future_s': (0.0, 0.5),
    'bad_chunks_to_stop': (1, 100),
    'over_limit_tolerance': (0.0, 1.0),
    'over_limit_share': (0.0, 1.0),
    'over_limit_window_s': (0.1, 10.0),
    'clock_jump_s': (0.1, 5.0),
    'estop_timeout_s': (0.1, 5.0),
}
_ALLOWED_WHEN_TIGHTER = {'estop_required': True, 'allow_inward_recovery': False}
_NEITHER_TIGHTER_NOR_LOOSER = 'over_limit_window_s'


@dataclass(frozen=True)
class GuardConfig:
    """When the guard holds and when it stops; the defaults are those of `config/guard.yaml`.

    Of every number the smaller is the tighter one.

    Attributes:
        velocity_scale: share of the arm's velocity limits that may be used.
        joint_state_timeout_s: a joint that was not heard of for longer means STOP.
        chunk_hold_s: no new chunk for longer means HOLD, even while the last one goes on: a dead
            policy must not keep the arm moving. The default leaves a tick to spare of the 150 ms
            in which it must react; a frame that a policy of 15 Hz loses costs one tick of braking,
            and a slower policy needs more.
        chunk_timeout_s: no new chunk for longer, once one has been executed, means STOP.
        max_chunk_steps: a chunk with more steps is refused.
        max_step_s: a chunk with longer steps is refused.
        max_future_s: a chunk stamped further in the future is refused.
        bad_chunks_to_stop: so many refused chunks in a row mean STOP; fewer mean HOLD.
        over_limit_tolerance: a request beyond the arm's velocity limits by a larger share counts
            as beyond; everything is scaled to the limits in any case.
        over_limit_share: such requests in a larger share of the ticks of a window mean STOP.
        over_limit_window_s: length of that window.
        clock_jump_s: the node's clock and the monotonic clock disagreeing by more between two
            ticks, or the node's clock standing still for longer, is a jump: chunks are dropped.
        estop_required: without an e-stop button that is heard the arm does not move.
        estop_timeout_s: a required button that was not heard of for longer means STOP.
        allow_inward_recovery: start although a joint is outside its position limits, which then
            moves inwards only and crawls.
    """

    velocity_scale: float = 1.0
    joint_state_timeout_s: float = 0.1
    chunk_hold_s: float = 0.13
    chunk_timeout_s: float = 1.0
    max_chunk_steps: int = 200
    max_step_s: float = 1.0
    max_future_s: float = 0.05
    bad_chunks_to_stop: int = 3
    over_limit_tolerance: float = 0.05
    over_limit_share: float = 0.2
    over_limit_window_s: float = 1.0
    clock_jump_s: float = 0.2
    estop_required: bool = False
    estop_timeout_s: float = 0.5
    allow_inward_recovery: bool = False

    def __post_init__(self) -> None:
        """Refuse settings that would leave the arm without a guard."""
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise ConfigError(f'{name} is {value}; it must be within {low} and {high}')

    def loosened(self, wanted: GuardConfig) -> str:
        """Return the first setting that `wanted` does not leave or tighten, empty if none."""
        for field in fields(self):
            old, new = getattr(self, field.name), getattr(wanted, field.name)
            if old == new:
                continue
            if field.name in _ALLOWED_WHEN_TIGHTER:
                tighter = new == _ALLOWED_WHEN_TIGHTER[field.name]
            else:
                tighter = new < old and field.name != _NEITHER_TIGHTER_NOR_LOOSER
            if not tighter:
                return field.name
        return ''
