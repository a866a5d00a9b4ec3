"""Change a scene in ways that training did not show: cameras, light, more objects on the table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from vla_ros.sim.scene import OBJECT_KINDS
from vla_ros.sim.world import World

_FAR_ENOUGH_M = 0.13  # of a further object from all that is on the table
_PLACES_M = ((0.25, 0.75), (-0.42, 0.42))  # x, y
_TRIES = 400


@contextmanager
def unchanged(world: World) -> Iterator[None]:
    """Undo at the end what the functions below did to the model of a world."""
    model = world.model
    arrays = (
        model.cam_pos, model.cam_quat, model.light_diffuse, model.vis.headlight.ambient,
        model.vis.headlight.diffuse, model.body_gravcomp,
    )  # fmt: skip
    kept = [np.array(array) for array in arrays]
    try:
        yield
    finally:
        for array, values in zip(arrays, kept, strict=True):
            array[:] = values


def move_cameras(world: World, shift_m: float, turn_rad: float, rng: np.random.Generator) -> None:
    """Shift each camera by `shift_m` and turn it by `turn_rad`, in random directions."""
    model = world.model
    for camera in range(model.ncam):
        model.cam_pos[camera] += shift_m * _direction(rng)
        half = turn_rad / 2
        turn = np.array([np.cos(half), *(np.sin(half) * _direction(rng))])
        model.cam_quat[camera] = _times(model.cam_quat[camera], turn)
    world.set_joint_positions(world.joint_positions_rad)  # cameras are where the model says


def change_light(world: World, share: float, rng: np.random.Generator) -> None:
    """Make each light brighter or darker by up to `share`, and each colour of it by a fifth."""
    model = world.model
    lights = (model.light_diffuse, model.vis.headlight.ambient, model.vis.headlight.diffuse)
    for light in lights:
        colour = 1.0 + share / 5 * rng.uniform(-1, 1, 3)
        light[:] = np.clip(light * (1.0 + share * rng.uniform(-1, 1)) * colour, 0.0, 1.0)


def add_distractors(world: World, count: int, rng: np.random.Generator) -> list[str]:
    """Put up to `count` objects on the table that are not there; return their names.

    Nothing asks for them. Fewer come where there is no room.
    """
    there = {o.name for o in world.objects}
    kinds = [kind for kind in OBJECT_KINDS if kind.name not in there]
    taken = [o.position_m[:2] for o in (*world.objects, *world.containers)]
    added: list[str] = []
    for k in rng.permutation(len(kinds)):
        if len(added) == count:
            break
        place = _free_place(taken, rng)
        if place is None:
            break
        kind = kinds[k]
        world.model.body_gravcomp[world.model.body(kind.name).id] = 0.0
        world.set_object_position(kind.name, np.array([*place, kind.rest_height_m]))
        taken.append(place)
        added.append(kind.name)
    return added


def _free_place(taken: list[np.ndarray], rng: np.random.Generator) -> np.ndarray | None:
    for _ in range(_TRIES):
        place = np.array([rng.uniform(*span) for span in _PLACES_M])
        if all(np.linalg.norm(place - other) >= _FAR_ENOUGH_M for other in taken):
            return place
    return None


def _direction(rng: np.random.Generator) -> np.ndarray:
    way = rng.normal(size=3)
    return way / np.linalg.norm(way)


def _times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Multiply quaternions (w, x, y, z)."""
    vector = a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:])
    return np.array([a[0] * b[0] - a[1:] @ b[1:], *vector])
