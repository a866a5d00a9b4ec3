"""Actions into the world through the limiters of the guard."""

from __future__ import annotations

import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.core.gripper import GripperLimiter
from vla_ros.core.limiter import Limiter
from vla_ros.errors import ConfigError
from vla_ros.sim.world import World
from vla_ros.types import ARM_JOINTS, FloatArray

CONTROL_PERIOD_S = 0.01
"""Between two commands, unless somebody says something else."""


class Drive:
    """Holds an action for a while, limited as the guard limits it.

    Args:
        embodiment: an arm with a gripper; else a ConfigError says so.
        period_s: between two commands; the guard's by default.
    """

    def __init__(self, embodiment: Embodiment, period_s: float = CONTROL_PERIOD_S) -> None:
        if embodiment.gripper is None:
            raise ConfigError(f"arm '{embodiment.name}' has no gripper to handle objects with")
        self._period_s = period_s
        self._arm = Limiter(embodiment, period_s)
        self._gripper = GripperLimiter(embodiment.gripper, period_s)
        self.interventions = 0
        """Commands since `start` that are not what was asked for."""

    def start(self, world: World) -> None:
        """Go on from the commands that are latched in a world."""
        self._arm.reset(world.commanded_velocity_rad_s)
        self._gripper.opening_m = world.commanded_opening_m
        self._gripper.begin()
        self.interventions = 0

    def run(self, world: World, action: FloatArray, duration_s: float) -> None:
        """Drive with an action (8,), joint velocities (rad/s) and opening (m), for a while.

        An opening that is not finite leaves the gripper, velocities that are not are rest.
        """
        velocity, opening_m = action[:ARM_JOINTS], float(action[ARM_JOINTS])
        for _ in range(round(duration_s / self._period_s)):
            limited = self._arm.step(velocity, world.joint_positions_rad, 0.0)
            self.interventions += limited.ratio < 1.0
            world.command_velocity(limited.velocity)
            if np.isfinite(opening_m):
                allowed = self._gripper.step(opening_m, world.gripper_opening_m, self._period_s)
                world.command_gripper(opening_m if allowed is None else allowed)
            world.step(self._period_s)
