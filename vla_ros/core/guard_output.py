"""What the guard says every tick."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from vla_ros.types import FloatArray


class State(enum.Enum):
    """What the guard does."""

    INACTIVE = 'inactive'
    READY = 'ready'
    MOVING = 'moving'
    HOLD = 'hold'
    STOP = 'stop'


@dataclass(frozen=True)
class GuardOutput:
    """What to command now, and why.

    Attributes:
        velocity: (7,) rad/s.
        state: what the guard does.
        reason: of a HOLD or a STOP, else empty.
        ratio: share of the request that the limits allow.
        elapsed_s: time since the tick before.
        opening_m: of the gripper; None leaves it as it is.
    """

    velocity: FloatArray
    state: State
    reason: str
    ratio: float
    elapsed_s: float
    opening_m: float | None = None
