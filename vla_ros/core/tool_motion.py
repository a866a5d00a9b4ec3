"""Joint velocities that move the tool in the base frame: damped least squares."""

from __future__ import annotations

import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.core.kinematics import tool_frame, tool_jacobian
from vla_ros.errors import ConfigError
from vla_ros.types import FloatArray

GAIN_PER_S = 2.5  # the remaining way shrinks by exp(-GAIN_PER_S * t) near the goal
SPEED_MAX_M_S = 0.35
UPRIGHT_GAIN_PER_S = 2.0
POSTURE_GAIN_PER_S = 0.6
DAMPING = 0.05
SPEED_SHARE = 0.8  # of the arm's own velocity limits


class ToolMotion:
    """Damped least squares on the tool with a null-space pull to the arm's home posture.

    Nakamura and Hanafusa, Inverse kinematic solutions with singularity robustness, 1986. A pure
    function of joint positions and goal.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        """Build for an arm with kinematics; else a ConfigError says so."""
        if embodiment.kinematics is None:
            raise ConfigError(
                f"arm '{embodiment.name}' has no kinematics in {embodiment.source}, which moving "
                'its tool to a point needs'
            )
        self._kinematics = embodiment.kinematics
        self._home_rad = embodiment.home_rad
        self._velocity_max = SPEED_SHARE * embodiment.velocity_max_rad_s
        self._low = embodiment.position_min_rad + embodiment.margin_rad
        self._high = embodiment.position_max_rad - embodiment.margin_rad

    def velocity(self, joint_positions_rad: FloatArray, goal_m: FloatArray) -> FloatArray:
        """Return joint velocities (..., 7) for positions (..., 7) and goals (..., 3)."""
        frame = tool_frame(self._kinematics, joint_positions_rad)
        jacobian = tool_jacobian(self._kinematics, joint_positions_rad)
        way = goal_m - frame[..., :3, 3]
        speed = GAIN_PER_S * np.linalg.norm(way, axis=-1, keepdims=True)
        linear = GAIN_PER_S * way * np.minimum(1.0, SPEED_MAX_M_S / np.maximum(speed, 1e-9))
        return self.follow(joint_positions_rad, jacobian, frame[..., :3, 2], linear)

    def follow(
        self,
        joint_positions_rad: FloatArray,
        jacobian: FloatArray,
        axis: FloatArray,
        linear: FloatArray,
        yaw_rate_rad_s: FloatArray | None = None,
        damping: float = DAMPING,
    ) -> FloatArray:
        """Return joint velocities (..., 7) that move the tool and turn it straight down.

        Args:
            joint_positions_rad: (..., 7).
            jacobian: (..., 6, 7) of the tool in the base frame at these positions.
            axis: the tool's z axis in the base frame, (..., 3).
            linear: wanted velocity of the tool in the base frame, (..., 3) in m/s.
            yaw_rate_rad_s: wanted turning about the base's z axis, (..., 1); None leaves the yaw
                to the null-space pull, and the task has five dimensions instead of six.
            damping: of the least squares; the more, the further the pull to the home posture
                keeps the tool from its goal.
        """
        # rotating about (z_tool x down) turns the tool's z axis straight down
        tilt = UPRIGHT_GAIN_PER_S * np.stack([-axis[..., 1], axis[..., 0]], axis=-1)
        parts = [linear, tilt] if yaw_rate_rad_s is None else [linear, tilt, yaw_rate_rad_s]
        task = np.concatenate(parts, axis=-1)
        size = task.shape[-1]
        jacobian = jacobian[..., :size, :]
        transpose = jacobian.swapaxes(-1, -2)
        inverse = transpose @ np.linalg.inv(jacobian @ transpose + damping**2 * np.eye(size))
        posture = POSTURE_GAIN_PER_S * (self._home_rad - joint_positions_rad)
        residual = task - np.einsum('...ij,...j->...i', jacobian, posture)
        velocity = posture + np.einsum('...ij,...j->...i', inverse, residual)
        excess = np.max(np.abs(velocity) / self._velocity_max, axis=-1, keepdims=True)
        return velocity / np.maximum(excess, 1.0)
