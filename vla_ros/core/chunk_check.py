"""What a chunk must be before anything of it is executed."""

from __future__ import annotations

import math

import numpy as np

from vla_ros.core.embodiment import GripperConfig
from vla_ros.core.guard_config import GuardConfig
from vla_ros.errors import ObservationError
from vla_ros.types import ARM_JOINTS, ActionChunk, FloatArray

MIN_STEP_S = 1e-4
ROUNDING_M = 1e-6
"""An opening may be beyond its range by what a float32 costs."""


def check_chunk(chunk: ActionChunk, config: GuardConfig, gripper: GripperConfig | None) -> None:
    """Raise an ObservationError for a chunk with a wrong shape, a bad step or a bad value.

    Velocities beyond the limits of the arm are no reason: they are scaled. An opening that the
    gripper cannot have is one.
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
    if chunk.gripper_openings_m is not None:
        _check_openings(chunk.gripper_openings_m, steps, gripper)


def _check_openings(openings_m: FloatArray, steps: int, gripper: GripperConfig | None) -> None:
    if gripper is None:
        raise ObservationError('it commands a gripper, and the arm has none')
    if openings_m.shape != (steps,):
        raise ObservationError(
            f'openings of the gripper have the shape {openings_m.shape}, not ({steps},)'
        )
    most_m = gripper.opening_max_m
    within = (openings_m >= -ROUNDING_M) & (openings_m <= most_m + ROUNDING_M)  # NaN is not
    if not within.all():
        step = int(np.argmin(within))
        raise ObservationError(
            f'opening {openings_m[step]} m in step {step}; 0 to {most_m:g} are possible'
        )


def ends_ns(chunk: ActionChunk) -> int:
    """Return when a chunk ends, on the clock that stamped it."""
    return chunk.stamp_ns + round(len(chunk.velocities_rad_s) * chunk.step_s * 1e9)
