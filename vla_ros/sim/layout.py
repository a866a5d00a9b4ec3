"""Where the objects of a scene lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.sim.scene import CONTAINERS, OBJECT_KINDS, ObjectKind

OBJECTS_PER_SCENE = 4
X_RANGE_M = (0.34, 0.68)
Y_RANGE_M = (-0.32, 0.32)
SEPARATION_M = 0.12
TABLE_OBJECTS = (3, 4, 5)  # of a scene in which objects are handled
TABLE_X_RANGE_M = (0.36, 0.66)
TABLE_SEPARATION_M = 0.13  # room for the open gripper
BOWL_SEPARATION_M = 0.155  # of a bowl's centre from an object's; 0.02 more from another bowl's
BOWLS_MAX = 2
_ATTEMPTS = 200  # before a scene in which nothing more fits is begun anew


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


@dataclass(frozen=True)
class TableLayout:
    """Objects and containers of a scene in which objects are handled."""

    objects: tuple[tuple[ObjectKind, Pose], ...]
    containers: tuple[tuple[str, Pose], ...]


def sample_table(rng: np.random.Generator, task: str) -> TableLayout:
    """Draw 3 to 5 different objects and up to 2 bowls, with room for the gripper around each.

    Args:
        rng: decides everything.
        task: put gets at least one bowl; in other tasks they are distractors.
    """
    count = int(rng.choice(TABLE_OBJECTS))
    bowls = int(rng.integers(1 if task == 'put' else 0, BOWLS_MAX + 1))
    kinds = [OBJECT_KINDS[k] for k in rng.choice(len(OBJECT_KINDS), size=count, replace=False)]
    names = [CONTAINERS[k] for k in rng.choice(len(CONTAINERS), size=bowls, replace=False)]
    poses = None
    while poses is None:
        poses = _spread(rng, bowls, count)
    return TableLayout(
        tuple(zip(kinds, poses[bowls:], strict=True)),
        tuple(zip(names, poses[:bowls], strict=True)),
    )


def _spread(rng: np.random.Generator, bowls: int, objects: int) -> list[Pose] | None:
    """Return the poses of bowls, then of objects; None when they do not fit in."""
    poses: list[Pose] = []
    for _ in range(_ATTEMPTS):
        if len(poses) == bowls + objects:
            return poses
        pose = Pose(
            rng.uniform(*TABLE_X_RANGE_M), rng.uniform(*Y_RANGE_M), rng.uniform(-np.pi, np.pi)
        )
        for index, other in enumerate(poses):
            apart = TABLE_SEPARATION_M if index >= bowls else BOWL_SEPARATION_M
            apart += 0.02 if len(poses) < bowls else 0.0
            if np.hypot(pose.x_m - other.x_m, pose.y_m - other.y_m) < apart:
                break
        else:
            poses.append(pose)
    return None
