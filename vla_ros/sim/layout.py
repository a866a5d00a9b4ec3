"""Where the objects of a scene lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.sim.scene import OBJECT_KINDS, ObjectKind

OBJECTS_PER_SCENE = 4
X_RANGE_M = (0.34, 0.68)
Y_RANGE_M = (-0.32, 0.32)
SEPARATION_M = 0.12


@dataclass(frozen=True)
class Pose:
    """Place of an object on the table, in the base frame."""

    x_m: float
    y_m: float
    yaw_rad: float


def sample_layout(rng: np.random.Generator) -> list[tuple[ObjectKind, Pose]]:
    """Draw four different objects and poses that keep `SEPARATION_M` between their centres."""
    chosen = rng.choice(len(OBJECT_KINDS), size=OBJECTS_PER_SCENE, replace=False)
    poses: list[Pose] = []
    while len(poses) < OBJECTS_PER_SCENE:
        pose = Pose(rng.uniform(*X_RANGE_M), rng.uniform(*Y_RANGE_M), rng.uniform(-np.pi, np.pi))
        if all(np.hypot(pose.x_m - p.x_m, pose.y_m - p.y_m) >= SEPARATION_M for p in poses):
            poses.append(pose)
    return [(OBJECT_KINDS[k], pose) for k, pose in zip(chosen, poses, strict=True)]
