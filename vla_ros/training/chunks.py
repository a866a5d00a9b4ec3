"""What a chunk says at an instant."""

from __future__ import annotations

import math

import numpy as np

from vla_ros.types import ARM_JOINTS, ActionChunk, FloatArray

REST = np.array([0.0] * ARM_JOINTS + [np.nan])  # the gripper stays as it is


def action_at(chunk: ActionChunk | None, time_s: float) -> FloatArray:
    """Return the action (8,) of a chunk for an instant; rest before the first and after the last.

    Row k holds from the chunk's stamp + k · step on, as the guard takes it.
    """
    if chunk is None:
        return REST
    row = math.floor((time_s - chunk.stamp_ns / 1e9) / chunk.step_s + 1e-6)
    if not 0 <= row < len(chunk.velocities_rad_s):
        return REST
    openings = chunk.gripper_openings_m
    return np.append(chunk.velocities_rad_s[row], np.nan if openings is None else openings[row])
