"""How an object can be grasped where it lies: how wide, how high, which way round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.sim.scene import SHAPES
from vla_ros.sim.world import World
from vla_ros.types import FloatArray

CUBE, BALL, CYLINDER = 'cube', 'ball', 'cylinder'
# Of the target; the fingers close 8 mm above it already. Their pads reach from 5 mm below the tool
# point to 23 mm above it and must hold a ball by its widest part.
_TOOL_ABOVE_CENTRE_M = {CUBE: 0.002, BALL: -0.005, CYLINDER: 0.001}
_TOOL_ABOVE_LYING_M = 0.0
_UP = np.array([0.0, 0.0, 1.0])
_UPRIGHT = 0.8  # of a cylinder's axis along z


@dataclass(frozen=True)
class Grasp:
    """Where the tool has to be to close the fingers around an object.

    Attributes:
        object_m: the object's centre in the base frame.
        tool_m: the tool point in the base frame.
        width_m: how wide the object is between the fingers.
        half_height_m: from the object's centre to its lowest point.
        yaw_rad: wanted yaw of the tool's x axis in the base frame; None where any will do.
        period_rad: yaws that differ by this are as good.
    """

    object_m: FloatArray
    tool_m: FloatArray
    width_m: float
    half_height_m: float
    yaw_rad: float | None = None
    period_rad: float = np.pi


def grasp_of(world: World, name: str) -> Grasp:
    """Return the grasp of an object on the table in the pose that it has now."""
    shape = name.split()[-1]
    centre = world.object_position_m(name)
    width, above = 2 * SHAPES[shape][1][0], _TOOL_ABOVE_CENTRE_M[shape]
    height = half_extent_m(world, name, _UP)
    yaw, period = None, np.pi
    if shape == CUBE:
        yaw, period = _cube_yaw(world.object_rotation(name)), np.pi / 2
    elif shape == CYLINDER:
        axis = world.object_rotation(name)[:, 2]
        if abs(axis[2]) < _UPRIGHT:
            yaw, above = float(np.arctan2(axis[1], axis[0])), _TOOL_ABOVE_LYING_M
    tool = np.add(centre, (0.0, 0.0, above))
    return Grasp(centre, tool, width, height, yaw, period)


def half_extent_m(world: World, name: str, direction: FloatArray) -> float:
    """Return how far an object reaches from its centre along a direction of the base frame."""
    shape, rotation = name.split()[-1], world.object_rotation(name)
    radius, half_length, _ = SHAPES[shape][1]
    if shape == CUBE:
        return radius * float(np.abs(rotation.T @ direction).sum())
    if shape == BALL:
        return radius
    along = abs(float(rotation[:, 2] @ direction))
    return half_length * along + radius * float(np.sqrt(max(0.0, 1.0 - along**2)))


def _cube_yaw(rotation: FloatArray) -> float:
    """Return the yaw of the edges of a cube that lies on any of its faces."""
    level = int(np.argmin(np.abs(rotation[2])))
    return float(np.arctan2(rotation[1, level], rotation[0, level]))


def yaw_error(world: World, yaw_rad: float, period_rad: float) -> float:
    """Return by how much the tool has to turn to one of the yaws that are as good, in rad.

    The nearest of those within a quarter turn of the yaw that the hand has with the last joint at
    home, so that the wrist stays within its limits whatever happened before.
    """
    tool, (x, y, _) = world.tool_rotation[:, 0], world.tool_position_m
    natural = np.arctan2(y, x)
    now = _wrap(np.arctan2(tool[1], tool[0]) - natural, 2 * np.pi)
    turns = np.arange(-2, 3) * period_rad + _wrap(yaw_rad - natural, period_rad)
    errors = turns[np.abs(turns) <= np.pi / 2 + 1e-6] - now
    return float(errors[np.argmin(np.abs(errors))])


def _wrap(angle_rad: float, period_rad: float) -> float:
    """Return the angle within plus or minus half a period."""
    return float((angle_rad + period_rad / 2) % period_rad - period_rad / 2)
