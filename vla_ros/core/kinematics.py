"""Forward kinematics of the tool from Denavit-Hartenberg parameters, for one pose or a batch."""

from __future__ import annotations

import numpy as np

from vla_ros.core.embodiment import Kinematics
from vla_ros.types import FloatArray


def tool_frame(kinematics: Kinematics, joint_positions_rad: FloatArray) -> FloatArray:
    """Return `transform_tool_to_base`, (..., 4, 4), for joint positions (..., 7).

    Craig, Introduction to Robotics, eq. 3.6 (modified Denavit-Hartenberg), row after row, then
    the tool's offset along the last z axis.
    """
    return _joint_frames(kinematics, joint_positions_rad)[-1]


def tool_position(kinematics: Kinematics, joint_positions_rad: FloatArray) -> FloatArray:
    """Return the tool's position in the base frame, (..., 3) in metres."""
    return tool_frame(kinematics, joint_positions_rad)[..., :3, 3]


def tool_jacobian(kinematics: Kinematics, joint_positions_rad: FloatArray) -> FloatArray:
    """Return d(position; rotation)/dq of the tool in the base frame, (..., 6, 7)."""
    *joints, tool = _joint_frames(kinematics, joint_positions_rad)
    axes = np.stack([frame[..., :3, 2] for frame in joints], axis=-2)
    origins = np.stack([frame[..., :3, 3] for frame in joints], axis=-2)
    linear = np.cross(axes, tool[..., None, :3, 3] - origins)
    return np.concatenate([linear, axes], axis=-1).swapaxes(-1, -2)


def joint_origins(kinematics: Kinematics, joint_positions_rad: FloatArray) -> FloatArray:
    """Return where the seven joints and the tool are in the base frame, (..., 8, 3) in metres."""
    frames = _joint_frames(kinematics, joint_positions_rad)
    return np.stack([frame[..., :3, 3] for frame in frames], axis=-2)


def _joint_frames(kinematics: Kinematics, joint_positions_rad: FloatArray) -> list[FloatArray]:
    """Return the frames of the seven joints and of the tool, each (..., 4, 4)."""
    frame = np.broadcast_to(np.eye(4), (*joint_positions_rad.shape[:-1], 4, 4))
    frames: list[FloatArray] = []
    for joint, (a, d, alpha) in enumerate(kinematics.dh):
        theta = joint_positions_rad[..., joint]
        cos_t, sin_t, cos_a, sin_a = np.cos(theta), np.sin(theta), np.cos(alpha), np.sin(alpha)
        step = np.zeros((*theta.shape, 4, 4))
        step[..., 0, 0], step[..., 0, 1], step[..., 0, 3] = cos_t, -sin_t, a
        step[..., 1, 0], step[..., 1, 1] = sin_t * cos_a, cos_t * cos_a
        step[..., 1, 2], step[..., 1, 3] = -sin_a, -sin_a * d
        step[..., 2, 0], step[..., 2, 1] = sin_t * sin_a, cos_t * sin_a
        step[..., 2, 2], step[..., 2, 3] = cos_a, cos_a * d
        step[..., 3, 3] = 1.0
        frame = frame @ step
        frames.append(frame)
    offset = np.eye(4)
    offset[2, 3] = kinematics.tool_offset_m
    return [*frames, frame @ offset]
