"""The scripted expert: joint velocities that bring the tool to a point, tool pointing down."""

from __future__ import annotations

import numpy as np

from vla_ros.core.tool_motion import ToolMotion
from vla_ros.types import FloatArray


class ReachExpert(ToolMotion):
    """The law of `core.tool_motion`, looking ahead by its own prediction.

    A pure function of joint positions and goal, so that frames can be labelled for goals nobody
    drove to.
    """

    def chunk(
        self, joint_positions_rad: FloatArray, goal_m: FloatArray, steps: int, step_s: float
    ) -> FloatArray:
        """Return the velocities (..., K, 7) of the next steps, following its own prediction."""
        position = np.broadcast_to(
            joint_positions_rad, (*goal_m.shape[:-1], joint_positions_rad.shape[-1])
        )
        velocities: list[FloatArray] = []
        for _ in range(steps):
            velocity = self.velocity(position, goal_m)
            velocities.append(velocity)
            position = np.clip(position + step_s * velocity, self._low, self._high)
        return np.stack(velocities, axis=-2)
