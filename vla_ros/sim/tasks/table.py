"""Where there is room: for a push, and for putting one object next to another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vla_ros.sim.scene import BOWL_RADIUS_M
from vla_ros.sim.tasks.goal import DIRECTIONS
from vla_ros.sim.world import World

BESIDE_M = 0.082  # where an object is put: 5 mm between two cubes, corner to corner
_REACHABLE_M = (0.32, 0.78)  # from the base's axis: nearer the elbow, further the arm runs out
_REACHABLE_X_M, _REACHABLE_Y_M = (0.22, 0.76), 0.42
_LANE_BEHIND_M, _LANE_AHEAD_M = 0.10, 0.14
_ROOM_OBJECT_M, _ROOM_BOWL_M = 0.085, 0.125  # from the middle of a lane or of a place
_BOXED_IN_M = BOWL_RADIUS_M + 0.045

Point = tuple[float, float]
"""x, y in the base frame, in metres."""


@dataclass(frozen=True)
class Table:
    """Centres of the objects and containers on the table, by name."""

    objects: dict[str, Point]
    containers: dict[str, Point]

    @classmethod
    def of(cls, world: World) -> Table:
        """Return the table of a world as it is now."""
        objects, containers = (
            {item.name: (float(item.position_m[0]), float(item.position_m[1])) for item in items}
            for items in (world.objects, world.containers)
        )
        return cls(objects, containers)

    def within_reach(self, name: str) -> bool:
        """Tell whether the gripper gets to an object: near enough, not in or against a bowl."""
        here = self.objects[name]
        return _reachable(here) and all(
            _distance(here, bowl) >= _BOXED_IN_M for bowl in self.containers.values()
        )

    def lane_is_free(self, name: str, direction: str) -> bool:
        """Tell whether nothing is in the way of the gripper behind and the object before it."""
        (x, y), (dx, dy) = self.objects[name], DIRECTIONS[direction]
        first = x - _LANE_BEHIND_M * dx, y - _LANE_BEHIND_M * dy
        last = x + _LANE_AHEAD_M * dx, y + _LANE_AHEAD_M * dy
        return _reachable(first) and _reachable(last) and self._is_free(first, last, {name})

    def place_beside(self, name: str, other: str) -> Point | None:
        """Return a free place beside an object, nearer to the base first; None without one."""
        for place in self.beside(other):
            if _reachable(place) and self._is_free(place, place, {name, other}):
                return place
        return None

    def beside(self, other: str) -> tuple[Point, Point]:
        """Return the places beside an object, towards the base and away from it."""
        x, y = self.objects[other]
        share = BESIDE_M / float(np.hypot(x, y))
        return ((1 - share) * x, (1 - share) * y), ((1 + share) * x, (1 + share) * y)

    def _is_free(self, first: Point, last: Point, besides: set[str]) -> bool:
        """Tell whether nothing but `besides` is near a line on the table."""
        return all(
            _distance_from_line(place, first, last) >= room for place, room in self._rooms(besides)
        )

    def _rooms(self, besides: set[str]) -> Iterator[tuple[Point, float]]:
        yield from ((p, _ROOM_OBJECT_M) for n, p in self.objects.items() if n not in besides)
        yield from ((place, _ROOM_BOWL_M) for place in self.containers.values())


def _distance(one: Point, other: Point) -> float:
    return ((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2) ** 0.5


def _distance_from_line(point: Point, first: Point, last: Point) -> float:
    way = last[0] - first[0], last[1] - first[1]
    length = way[0] ** 2 + way[1] ** 2
    share = 0.0
    if length:
        share = ((point[0] - first[0]) * way[0] + (point[1] - first[1]) * way[1]) / length
        share = min(max(share, 0.0), 1.0)
    return _distance(point, (first[0] + share * way[0], first[1] + share * way[1]))


def _reachable(place: Point) -> bool:
    near, far = _REACHABLE_M
    low, high = _REACHABLE_X_M
    return (
        near <= float(np.hypot(*place)) <= far
        and low <= place[0] <= high
        and abs(place[1]) <= _REACHABLE_Y_M
    )
