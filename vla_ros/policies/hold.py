"""The policy that never moves: for wiring up a robot, and as the baseline of every other."""

from __future__ import annotations

import numpy as np

from vla_ros.types import ARM_JOINTS, ActionChunk, Observation


class HoldPolicy:
    """Answers every observation with zero velocities."""

    cameras: tuple[str, ...] = ()

    def reset(self) -> None:
        """Nothing to forget."""

    def infer(self, observation: Observation) -> ActionChunk:
        """Return half a second of rest."""
        return ActionChunk(np.zeros((5, ARM_JOINTS)), 0.1, observation.stamp_ns)
