"""What the expert would do next: chunks of actions to learn from, for any goal in any state."""

from __future__ import annotations

import numpy as np

from vla_ros.sim.tasks.drive import Drive
from vla_ros.sim.tasks.expert import Expert
from vla_ros.sim.tasks.goal import Goal
from vla_ros.sim.world import World
from vla_ros.types import ARM_JOINTS, FloatArray

_PERIOD_S = 0.02  # of the limiters and of the commands while looking ahead


class Labeller:
    """Lets the expert go on in a copy of the physics, and returns to where the world is."""

    def __init__(self, world: World) -> None:
        """Build for a world; the same expert and limiters serve all of its labels."""
        self._world = world
        self._expert = Expert(world.embodiment)
        self._drive = Drive(world.embodiment, _PERIOD_S)

    def chunk(self, goal: Goal, steps: int, step_s: float) -> FloatArray:
        """Return the expert's next actions, (K, 8): joint velocities (rad/s) and opening (m)."""
        world = self._world
        actions = np.empty((steps, ARM_JOINTS + 1))
        with world.imagined():
            self._drive.start(world)
            for row in actions:
                row[:ARM_JOINTS], row[ARM_JOINTS] = self._expert.action(world, goal)
                self._drive.run(world, row, step_s)
        return actions


def label_chunk(world: World, goal: Goal, steps: int, step_s: float) -> FloatArray:
    """Return what `Labeller` does for one goal; keep a `Labeller` where many are wanted."""
    return Labeller(world).chunk(goal, steps, step_s)
