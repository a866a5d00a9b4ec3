"""Which goals make sense in a scene, when they are met, and where in the scene they happen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vla_ros.sim.episodes import REACHED_M
from vla_ros.sim.scene import BOWL_RADIUS_M
from vla_ros.sim.tasks.goal import DIRECTIONS, IN, NEXT_TO, Goal
from vla_ros.sim.tasks.grasp import grasp_of
from vla_ros.sim.tasks.table import Table
from vla_ros.sim.world import World
from vla_ros.types import FloatArray

PUSHED_M = 0.06
LIFTED_M = 0.08  # the lowest point of a picked object is at least so high
NEXT_TO_M = 0.12  # centre to centre: not much more than an object between them
AWAY_M = 0.05  # the tool is so far over an object that was let go
MOVED_M = 0.03  # an object that was not to be moved

LIFT_TOOL_M = 0.22
PUSH_WAY_M = 0.10  # how far a push is meant to go
_IN_BOWL_M = BOWL_RADIUS_M - 0.012
_IN_BOWL_HEIGHT_M = 0.075
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
    table = Table.of(world)
    found: list[Goal] = []
    for name in table.objects:
        if not held:
            found.append(Goal('reach', name))
        if held == name or (not held and table.within_reach(name)):
            found += _handling(table, name, bool(held))
    return found


def _handling(table: Table, name: str, held: bool) -> list[Goal]:
    """Return what can be done with an object that the gripper holds or gets to."""
    found = [Goal('pick', name)]
    if not held:
        found += [Goal('push', name, d) for d in DIRECTIONS if table.lane_is_free(name, d)]
    found += [Goal('put', name, IN + container) for container in table.containers]
    others = (other for other in table.objects if other != name)
    found += [Goal('put', name, NEXT_TO + o) for o in others if table.place_beside(name, o)]
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
    pushed = along >= PUSHED_M and abs(aside) < along / 2 and abs(moved[2]) < 0.03
    bowls = [Goal('put', goal.object, IN + bowl.name) for bowl in world.containers]
    return pushed and not any(
        placed(world, into) for into in bowls
    )  # nothing is pushed over a rim


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
    table = Table.of(world)
    place = table.place_beside(goal.object, goal.place) or table.beside(goal.place)[0]
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
