"""What a chunk must be before anything of it is executed."""

from __future__ import annotations

import math

import numpy as np

from vla_ros.core.guard_config import GuardConfig
from vla_ros.errors import ObservationError
from vla_ros.types import ARM_JOINTS, ActionChunk

MIN_STEP_S = 1e-4


def check_chunk(chunk: ActionChunk, config: GuardConfig) -> None:
    """Raise an ObservationError for a chunk with a wrong shape, a bad step or a bad value.

    Velocities beyond the limits of the arm are no reason: they are scaled.
    """
    velocities = chunk.velocities_rad_s
    if velocities.ndim != 2 or velocities.shape[1] != ARM_JOINTS:
        raise ObservationError(
            f'velocities have the shape {velocities.shape}, not (steps, {ARM_JOINTS})'
        )
    steps = len(velocities)
    if not 0 < steps <= config.max_chunk_steps:
        raise ObservationError(f'{steps} steps; 1 to {config.max_chunk_steps} are possible')
    if not (math.isfinite(chunk.step_s) and MIN_STEP_S <= chunk.step_s <= config.max_step_s):
        raise ObservationError(
            f'steps of {chunk.step_s} s; {MIN_STEP_S:g} to {config.max_step_s:g} are possible'
        )
    if not np.isfinite(velocities).all():
        step, joint = np.argwhere(~np.isfinite(velocities))[0]
        raise ObservationError(
            f'velocity {velocities[step, joint]} in step {step} for joint {joint + 1}'
        )


def ends_ns(chunk: ActionChunk) -> int:
    """Return when a chunk ends, on the clock that stamped it."""
    return chunk.stamp_ns + round(len(chunk.velocities_rad_s) * chunk.step_s * 1e9)
