"""From a pick and a place to where the tool has to go, one waypoint after the other."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vla_ros.policies.cliport.height_map import HeightMap, MapGeometry
from vla_ros.types import FloatArray

OPEN_M, CLOSED_M = 0.08, 0.0
HOVER_M = 0.07  # over what is grasped
LIFT_M = 0.22
CARRY_M = 0.18
REACH_ABOVE_M = 0.10  # over the middle of an object
LOWEST_M = 0.018  # of the tool point: the finger tips reach a little further
OVER_MIDDLE_M = 0.004
PUSH_TOOL_M = 0.032
PUSH_BEHIND_M = 0.075  # of the object's middle: its half, the fingers, and room
PUSH_CONTACT_M = 0.038
PUSH_SPEED_M_S = 0.12
RIM_M = 0.047
CLOSE_S, OPEN_S = 0.5, 0.35
CLEAR_M, CLEAR_SPEED_M_S = 0.04, 0.12  # straight up: fingers that stray shift what they let go of
_FOOTPRINT_M = 0.06
_SUPPORT_M, _AROUND_M = 0.012, 0.07
_ON_TABLE_M = 0.008


@dataclass(frozen=True)
class Waypoint:
    """Where the tool has to be, and how.

    Attributes:
        tool_m: (3,) in the base frame.
        opening_m: of the gripper on the way there.
        yaw_rad: of the tool's x axis in the base frame, a half turn is as good; None is any.
        tolerance_m: so near is there.
        wait_s: how long to stay there, for the fingers.
        speed_m_s: on the way.
        holds: an object has to be between the fingers from here on.
    """

    tool_m: FloatArray
    opening_m: float
    yaw_rad: float | None = None
    tolerance_m: float = 0.006
    wait_s: float = 0.0
    speed_m_s: float = 0.45
    holds: bool = False


@dataclass(frozen=True)
class Decision:
    """What a model decided.

    Attributes:
        primitive: one of `config.PRIMITIVES`.
        pick: (row, column) in the height map.
        place: (row, column).
        turn_rad: of the object from pick to place; a half turn off is as good to the fingers.
        confidence: probability of the pixels around the pick.
    """

    primitive: str
    pick: tuple[int, int]
    place: tuple[int, int]
    turn_rad: float
    confidence: float


def waypoints(decision: Decision, seen: HeightMap, geometry: MapGeometry) -> list[Waypoint]:
    """Return the way of the tool for a decision, over the heights that were seen."""
    pick = geometry.point_m(np.array(decision.pick, np.float64))
    place = geometry.point_m(np.array(decision.place, np.float64))
    top = highest_m(seen, geometry, pick, _SUPPORT_M)
    if decision.primitive == 'reach':
        return [Waypoint(np.append(pick, top / 2 + REACH_ABOVE_M), OPEN_M, tolerance_m=0.003)]
    if decision.primitive == 'push':
        return _push(pick, place)
    yaw = grasp_yaw(seen, geometry, pick)
    low = max(top / 2 + OVER_MIDDLE_M, LOWEST_M)
    at = np.append(pick, low)
    grasp = [
        Waypoint(np.add(at, (0.0, 0.0, HOVER_M)), OPEN_M, yaw, tolerance_m=0.012),
        Waypoint(at, OPEN_M, yaw, tolerance_m=0.005),
        Waypoint(at, CLOSED_M, yaw, tolerance_m=1.0, wait_s=CLOSE_S),
    ]
    if decision.primitive == 'pick':
        return [*grasp, Waypoint(np.append(pick, LIFT_M), CLOSED_M, holds=True)]
    return [*grasp, *_put(pick, place, yaw + decision.turn_rad, low, seen, geometry)]


def _put(
    pick: FloatArray,
    place: FloatArray,
    yaw: float,
    low_m: float,
    seen: HeightMap,
    geometry: MapGeometry,
) -> list[Waypoint]:
    """Return lift, carry, lower, let go and rise."""
    under = highest_m(seen, geometry, place, _SUPPORT_M, but=pick)
    release = low_m + 0.003
    if under > 0.002:  # something is to be put into: the finger tips stay over its rim
        rim = highest_m(seen, geometry, place, _AROUND_M, but=pick)
        release = max(low_m + under + 0.010, min(rim, 0.06) + 0.011)
    there = np.append(place, release)
    carry = max(CARRY_M, release + HOVER_M)
    return [
        Waypoint(np.append(pick, carry), CLOSED_M, tolerance_m=0.06, holds=True),
        Waypoint(np.append(place, carry), CLOSED_M, yaw, tolerance_m=0.015, holds=True),
        Waypoint(there, CLOSED_M, yaw, tolerance_m=0.005, holds=True),
        Waypoint(there, OPEN_M, yaw, tolerance_m=1.0, wait_s=OPEN_S),
        Waypoint(np.add(there, (0.0, 0.0, CLEAR_M)), OPEN_M, yaw, speed_m_s=CLEAR_SPEED_M_S),
        Waypoint(np.append(place, carry + 0.02), OPEN_M),
    ]


def _push(contact: FloatArray, end: FloatArray) -> list[Waypoint]:
    """Return the way behind an object, and through it to where it has to end."""
    way = end - contact
    length = float(np.hypot(*way))
    ahead = way / length if length > 1e-6 else np.array([1.0, 0.0])
    behind = np.append(contact - PUSH_BEHIND_M * ahead, PUSH_TOOL_M)
    last = np.append(end - PUSH_CONTACT_M * ahead, PUSH_TOOL_M)
    yaw = float(np.arctan2(ahead[1], ahead[0]))
    return [
        Waypoint(np.add(behind, (0.0, 0.0, HOVER_M)), CLOSED_M, yaw, tolerance_m=0.015),
        Waypoint(behind, CLOSED_M, yaw, tolerance_m=0.006),
        Waypoint(last, CLOSED_M, yaw, tolerance_m=0.004, speed_m_s=PUSH_SPEED_M_S),
    ]


def highest_m(
    seen: HeightMap,
    geometry: MapGeometry,
    at_m: FloatArray,
    radius_m: float,
    but: FloatArray | None = None,
) -> float:
    """Return the greatest height around a point, but not around another; 0 at least."""
    rows, columns = np.mgrid[: geometry.rows, : geometry.columns]
    points = geometry.point_m(np.stack([rows, columns], axis=-1).astype(np.float64))
    near = np.linalg.norm(points - at_m, axis=-1) <= radius_m
    if but is not None:
        near &= np.linalg.norm(points - but, axis=-1) > _FOOTPRINT_M / 1.4
    return max(0.0, float(seen.heights_m[near].max(initial=0.0)))


def grasp_yaw(seen: HeightMap, geometry: MapGeometry, pick: FloatArray) -> float:
    """Return the yaw that the fingers close across the object's shorter side with, in rad.

    The smallest rectangle around what stands on the table at the pick; of yaws that differ by a
    half turn (by a quarter for a square) the one nearest to the direction from the base.
    """
    natural = float(np.arctan2(pick[1], pick[0]))
    row, column = np.round(geometry.pixel(pick)).astype(int)
    standing = (seen.heights_m > _ON_TABLE_M).astype(np.uint8)
    reach = max(2, round(_FOOTPRINT_M / geometry.metres_per_pixel))
    window = np.zeros_like(standing)
    part = (slice(max(0, row - reach), row + reach + 1),
            slice(max(0, column - reach), column + reach + 1))  # fmt: skip
    window[part] = standing[part]
    _, labels = cv2.connectedComponents(window, connectivity=4)
    if (
        not (0 <= row < geometry.rows and 0 <= column < geometry.columns)
        or not labels[row, column]
    ):
        return natural
    pixels = np.argwhere(labels == labels[row, column]).astype(np.float32)
    if len(pixels) < 6:
        return natural
    points = geometry.point_m(pixels.astype(np.float64)).astype(np.float32)
    corners = cv2.boxPoints(cv2.minAreaRect(points * 1000.0))
    sides = corners[1] - corners[0], corners[2] - corners[1]
    lengths = [float(np.hypot(*side)) for side in sides]
    long = sides[int(np.argmax(lengths))]
    period = np.pi if max(lengths) > 1.25 * min(lengths) else np.pi / 2
    yaw = float(np.arctan2(long[1], long[0]))
    return natural + wrapped(yaw - natural, period)


def wrapped(angle_rad: float, period_rad: float) -> float:
    """Return the angle within plus or minus half a period."""
    return float((angle_rad + period_rad / 2) % period_rad - period_rad / 2)
