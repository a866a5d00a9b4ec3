"""Which goals make sense in a scene, when they are met, and where in the scene they happen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vla_ros.sim.scene import BOWL_RADIUS_M
from vla_ros.sim.tasks.goal import DIRECTIONS, IN, NEXT_TO, Goal
from vla_ros.sim.tasks.grasp import grasp_of
from vla_ros.sim.world import World
from vla_ros.types import FloatArray

REACHED_M = 0.03
PUSHED_M = 0.06
LIFTED_M = 0.08  # the lowest point of a picked object is at least so high
NEXT_TO_M = 0.10  # centre to centre
AWAY_M = 0.05  # the tool is so far over an object that was let go
MOVED_M = 0.03  # an object that was not to be moved

LIFT_TOOL_M = 0.22
BESIDE_M = 0.082  # where an object is put: 5 mm between two cubes, corner to corner
PUSH_WAY_M = 0.10  # how far a push is meant to go
_IN_BOWL_M = BOWL_RADIUS_M - 0.012
_IN_BOWL_HEIGHT_M = 0.075
_REACHABLE_M = (0.32, 0.78)  # from the base's axis: nearer the elbow, further the arm runs out
_REACHABLE_X_M, _REACHABLE_Y_M = (0.22, 0.76), 0.42
_LANE_BEHIND_M, _LANE_AHEAD_M = 0.10, 0.14
_ROOM_OBJECT_M, _ROOM_BOWL_M = 0.085, 0.125  # from the middle of a lane or of a place
_ON_TABLE_M = 0.015

Start = Mapping[str, FloatArray]
"""Object → its centre when the episode began."""


def start_of(world: World) -> dict[str, FloatArray]:
    """Return where the objects are now, which `succeeded` wants to know at the end."""
    return {o.name: o.position_m for o in world.objects}


def goals(world: World) -> list[Goal]:
    """Return what makes sense now: it can be done, and the gripper holds nothing else."""
    held = world.held
    held = held if held and lifted(world, held) else ''
    found: list[Goal] = []
    for item in world.objects:
        if not held:
            found.append(Goal('reach', item.name))
        if (
            held not in ('', item.name)
            or not _reachable(item.position_m)
            or _boxed_in(world, item.name)
        ):
            continue
        found.append(Goal('pick', item.name))
        if not held:
            found += [
                Goal('push', item.name, d) for d in DIRECTIONS if _lane_free(world, item.name, d)
            ]
        found += [Goal('put', item.name, IN + c.name) for c in world.containers]
        found += [
            Goal('put', item.name, NEXT_TO + o.name)
            for o in world.objects
            if o.name != item.name and place_beside(world, item.name, o.name) is not None
        ]
    return found


def succeeded(world: World, goal: Goal, start: Start) -> bool:
    """Tell whether a goal is met now.

    Args:
        world: as it is now.
        goal: what was asked for.
        start: `start_of` the world when it was asked for.
    """
    if goal.task == 'reach':
        way = world.tool_position_m - world.target_position_m(goal.object)
        return float(np.linalg.norm(way)) < REACHED_M
    if goal.task == 'pick':
        return world.held == goal.object and lifted(world, goal.object)
    if goal.task == 'put':
        above = world.tool_position_m[2] - world.object_position_m(goal.object)[2]
        return placed(world, goal) and world.held != goal.object and above > AWAY_M
    moved = world.object_position_m(goal.object) - start[goal.object]
    x, y = DIRECTIONS[goal.argument]
    along, aside = moved[0] * x + moved[1] * y, moved[1] * x - moved[0] * y
    return along >= PUSHED_M and abs(aside) < along / 2 and abs(moved[2]) < 0.03


def error_m(world: World, goal: Goal, start: Start) -> float:
    """Return how far the world is from a goal: of the tool for reach, else of the object."""
    if goal.task == 'reach':
        return float(np.linalg.norm(world.tool_position_m - world.target_position_m(goal.object)))
    now = world.object_position_m(goal.object)
    if goal.task == 'push':
        wanted = start[goal.object] + PUSH_WAY_M * np.array([*DIRECTIONS[goal.argument], 0.0])
        return float(np.linalg.norm((wanted - now)[:2]))
    return float(np.linalg.norm(points_m(world, goal)[1] - now))


def disturbed(world: World, goal: Goal, start: Start) -> tuple[str, ...]:
    """Return the objects that were moved though the goal is not about them."""
    return tuple(
        name
        for name, before in start.items()
        if name != goal.object and np.linalg.norm(world.object_position_m(name) - before) > MOVED_M
    )


def points_m(world: World, goal: Goal) -> FloatArray:
    """Return where the object is and where it has to end, (2, 3) in the base frame.

    For reach: the object, and the point over it where the tool has to end.
    """
    here = world.object_position_m(goal.object)
    if goal.task == 'reach':
        there = world.target_position_m(goal.object)
    elif goal.task == 'push':
        there = here + PUSH_WAY_M * np.array([*DIRECTIONS[goal.argument], 0.0])
    elif goal.task == 'pick':
        there = np.array([here[0], here[1], LIFT_TOOL_M])
    else:
        there = place_m(world, goal)
    return np.stack([here, there])


def place_m(world: World, goal: Goal) -> FloatArray:
    """Return where the centre of an object belongs that is to be put somewhere."""
    if goal.inside:
        return np.add(world.object_position_m(goal.place), (0.0, 0.0, 0.03))
    place = place_beside(world, goal.object, goal.place)
    if place is None:
        place = _beside(world, goal.place)[0]
    half_height = grasp_of(world, goal.object).half_height_m
    return np.array([*place, half_height])


def placed(world: World, goal: Goal) -> bool:
    """Tell whether an object is where it is to be put, in the fingers or not."""
    here, place = (world.object_position_m(name) for name in (goal.object, goal.place))
    apart = np.linalg.norm((here - place)[:2])
    if goal.inside:
        return bool(apart < _IN_BOWL_M and here[2] < _IN_BOWL_HEIGHT_M)
    low = here[2] - grasp_of(world, goal.object).half_height_m < _ON_TABLE_M
    return bool(apart <= NEXT_TO_M and low and abs(here[2]) < 0.06)


def lifted(world: World, name: str) -> bool:
    """Tell whether an object is off the table by `LIFTED_M`."""
    grasp = grasp_of(world, name)
    return grasp.object_m[2] - grasp.half_height_m > LIFTED_M


def place_beside(world: World, name: str, other: str) -> FloatArray | None:
    """Return a free place (x, y) beside an object, nearer to the base first; None without one."""
    for place in _beside(world, other):
        if _reachable(place) and _free(world, place, place, {name, other}):
            return place
    return None


def _beside(world: World, other: str) -> tuple[FloatArray, FloatArray]:
    centre = world.object_position_m(other)[:2]
    outwards = BESIDE_M * centre / np.linalg.norm(centre)
    return centre - outwards, centre + outwards


def _lane_free(world: World, name: str, direction: str) -> bool:
    """Tell whether nothing is in the way of the gripper behind and the object before it."""
    here, way = world.object_position_m(name)[:2], np.array(DIRECTIONS[direction])
    first, last = here - _LANE_BEHIND_M * way, here + _LANE_AHEAD_M * way
    return _reachable(first) and _reachable(last) and _free(world, first, last, {name})


def _free(world: World, first: FloatArray, last: FloatArray, besides: set[str]) -> bool:
    """Tell whether nothing but `besides` is near a line on the table."""
    rooms = [(o.position_m, _ROOM_OBJECT_M) for o in world.objects if o.name not in besides]
    rooms += [(c.position_m, _ROOM_BOWL_M) for c in world.containers]
    way = last - first
    length = max(float(way @ way), 1e-12)
    for position, room in rooms:
        share = np.clip((position[:2] - first) @ way / length, 0.0, 1.0)
        if np.linalg.norm(first + share * way - position[:2]) < room:
            return False
    return True


def _reachable(position: FloatArray) -> bool:
    x, y = position[:2]
    near, far = _REACHABLE_M
    low, high = _REACHABLE_X_M
    return bool(near <= np.hypot(x, y) <= far and low <= x <= high and abs(y) <= _REACHABLE_Y_M)


def _boxed_in(world: World, name: str) -> bool:
    """Tell whether an object lies in or against a bowl, where the gripper cannot close on it."""
    here = world.object_position_m(name)
    if here[2] > _IN_BOWL_HEIGHT_M:
        return False
    return any(
        np.linalg.norm((here - c.position_m)[:2]) < BOWL_RADIUS_M + 0.045 for c in world.containers
    )
