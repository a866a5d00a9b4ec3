"""The scripted expert of all tasks: a memoryless function of the state of the world.

What is to be done next is read off the geometry: is the object between the fingers, do both touch
it, is it lifted, is it over its place? So any state can be labelled, also one that a noisy rollout
or a learned policy got into. The height of the tool over the object (or the place, or the point
behind the object) grows with what is still missing in the plane: a funnel, down which the tool
comes only when it is aligned, and in which it rises when it is not.
"""

from __future__ import annotations

import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.sim.expert import ReachExpert
from vla_ros.sim.tasks.goal import DIRECTIONS, Goal
from vla_ros.sim.tasks.goals import LIFT_TOOL_M, place_m, placed
from vla_ros.sim.tasks.grasp import Grasp, grasp_of, half_extent_m, yaw_error
from vla_ros.sim.tasks.table import BESIDE_M
from vla_ros.sim.world import World
from vla_ros.types import FloatArray

OPEN_M, CLOSED_M = 0.08, 0.0
GAIN_PER_S = 2.5  # slow enough for a policy that sees the state 0.2 s late
SPEED_MAX_M_S = 0.35
DAMPING = 0.02  # the tool comes to within 1 mm of where it should be
YAW_GAIN_PER_S = 2.5
YAW_RATE_MAX_RAD_S = 1.5
YAW_LEVER_M = 0.05  # a yaw off by 0.1 rad keeps the tool as high as 5 mm in the plane
ALIGNED_M = 0.006
SLOPE = 3.0  # of the funnel: height over what is missing in the plane
HOVER_M = 0.07  # rim of the funnel: the finger tips are over everything on the table
LIFT_RADIUS_M = 0.36  # nearer to the base's axis the elbow does not fold far enough to go up
CARRY_TOOL_M = 0.18
RETREAT_TOOL_M = 0.20
BOWL_ROOM_M = 0.015  # further off the middle of a bowl what is let go still falls into it
LET_DOWN_M = 0.015  # over its place: nobody has to tell by the millimetre whether it is down
BESIDE_ROOM_M = 0.012  # further off its place what is let go still stands next to the other
RIM_TOOL_M = 0.047  # the finger tips are over the rim of a bowl
PUSH_TOOL_M = 0.032
PUSH_SPEED_M_S = 0.12
PUSH_CLEARANCE_M = 0.03  # between the closed gripper and the object before the push
PUSH_STEER_PER_S = 4.0
LANE_M = 0.015  # how far off the line through the object a push goes on
JOINT_ROOM_RAD = 0.03  # kept from a joint's margin
LIMIT_GAIN_PER_S = 4.0
TIP_M = 0.010  # half of the closed gripper


class Expert:
    """Velocities and opening that bring the world nearer to a goal."""

    def __init__(self, embodiment: Embodiment) -> None:
        """Build for an arm with kinematics; else a ConfigError says so."""
        self._drive = ReachExpert(embodiment)
        kept = embodiment.margin_rad + JOINT_ROOM_RAD
        self._low = embodiment.position_min_rad + kept
        self._high = embodiment.position_max_rad - kept

    def action(self, world: World, goal: Goal) -> tuple[FloatArray, float]:
        """Return joint velocities (7,) in rad/s and the gripper's opening in metres."""
        held = world.held
        if goal.task == 'reach':
            target = world.target_position_m(goal.object)
            opening = CLOSED_M if held not in ('', goal.object) else OPEN_M
            position = world.joint_positions_rad
            return self._keep_off_limits(position, self._drive.velocity(position, target)), opening
        if held not in ('', goal.object):
            return self._move(world, np.zeros(3)), OPEN_M
        turn = turn_rad(world, goal)
        if goal.task == 'push':
            return self._push(world, goal, turn or 0.0)
        if goal.task == 'put' and placed(world, goal):
            return self._let_go(world, goal)
        if held:
            return self._lift(world) if goal.task == 'pick' else self._carry(world, goal, turn)
        return self._grasp(world, grasp_of(world, goal.object), turn)

    def _grasp(self, world: World, grasp: Grasp, turn: float | None) -> tuple[FloatArray, float]:
        tool, opening = world.tool_position_m, world.gripper_opening_m
        way = grasp.tool_m - tool
        missing = float(np.hypot(way[0], way[1])) + YAW_LEVER_M * abs(turn or 0.0)
        across, along, _ = np.abs(world.tool_rotation.T @ (grasp.object_m - tool))
        room = (opening - grasp.width_m) / 2
        between = -way[2] < 0.022 and across < 0.012 and along < room + 0.006
        if between and abs(turn or 0.0) < 0.3:
            close = -way[2] < 0.008 and across < 0.009
            return self._move(world, self._towards(way), turn), CLOSED_M if close else OPEN_M
        above = _funnel(missing)
        if room < 0.005:
            above = max(above, HOVER_M - 0.01)  # wait over it until the fingers are open
        return self._move(world, self._descend(way, above), turn), OPEN_M

    def _lift(self, world: World) -> tuple[FloatArray, float]:
        x, y, z = world.tool_position_m
        outwards = max(0.0, LIFT_RADIUS_M / float(np.hypot(x, y)) - 1.0)
        way = np.array([outwards * x, outwards * y, LIFT_TOOL_M - z])
        return self._move(world, self._towards(way)), CLOSED_M

    def _carry(self, world: World, goal: Goal, turn: float | None) -> tuple[FloatArray, float]:
        grasp, tool = grasp_of(world, goal.object), world.tool_position_m
        place = place_m(world, goal)
        hang = tool[2] - grasp.object_m[2] + grasp.half_height_m  # tool over the lowest point
        release = max(RIM_TOOL_M, hang + 0.010) if goal.inside else hang + 0.003
        way = np.append(place[:2] - grasp.object_m[:2], release - tool[2])
        missing = max(0.0, float(np.hypot(way[0], way[1])) - self._room_m(world, goal))
        missing += YAW_LEVER_M * abs(turn or 0.0)
        if missing < 2 * ALIGNED_M and -way[2] < (0.006 if goal.inside else LET_DOWN_M):
            return self._move(world, self._towards(way), turn), OPEN_M
        above = _funnel(missing, CARRY_TOOL_M - release)
        return self._move(world, self._descend(way, above), turn), CLOSED_M

    @staticmethod
    def _room_m(world: World, goal: Goal) -> float:
        """Return how far off its place an object may be let down: never onto the other."""
        if goal.inside:
            return BOWL_ROOM_M
        here, other = (world.object_position_m(name)[:2] for name in (goal.object, goal.place))
        apart = float(np.linalg.norm(here - other))
        return float(np.clip(apart - (BESIDE_M - ALIGNED_M), 0.0, BESIDE_ROOM_M))

    def _let_go(self, world: World, goal: Goal) -> tuple[FloatArray, float]:
        """Open, then rise; the object is where it belongs."""
        grasp, tool = grasp_of(world, goal.object), world.tool_position_m
        aside, above = np.hypot(*(tool - grasp.object_m)[:2]), tool[2] - grasp.object_m[2]
        around = aside < 0.04 and above < 0.03
        if around and world.gripper_opening_m < grasp.width_m + 0.008:
            return self._move(world, np.zeros(3)), OPEN_M
        way = np.array([0.0, 0.0, RETREAT_TOOL_M - tool[2]])
        return self._move(world, self._towards(way)), OPEN_M

    def _push(self, world: World, goal: Goal, turn: float) -> tuple[FloatArray, float]:
        grasp, tool = grasp_of(world, goal.object), world.tool_position_m
        x, y = DIRECTIONS[goal.argument]
        ahead, aside = np.array([x, y, 0.0]), np.array([-y, x, 0.0])
        contact = half_extent_m(world, goal.object, ahead) + TIP_M
        behind = grasp.object_m - (contact + PUSH_CLEARANCE_M) * ahead
        to_object = grasp.object_m - tool
        gap, off = float(to_object @ ahead) - contact, float(to_object @ aside)
        low = tool[2] < PUSH_TOOL_M + 0.02
        if low and abs(off) < LANE_M and -0.02 < gap < PUSH_CLEARANCE_M + 0.03:
            down = GAIN_PER_S * (PUSH_TOOL_M - tool[2])
            linear = PUSH_SPEED_M_S * ahead + PUSH_STEER_PER_S * off * aside
            linear[2] = down
            return self._move(world, linear, turn), CLOSED_M
        way = np.append((behind - tool)[:2], PUSH_TOOL_M - tool[2])
        missing = float(np.hypot(way[0], way[1])) + YAW_LEVER_M * abs(turn)
        return self._move(world, self._descend(way, _funnel(missing)), turn), CLOSED_M

    def _descend(self, way: FloatArray, above_m: float) -> FloatArray:
        """Return the velocity along a way whose end is to be kept under the tool by `above_m`.

        While the tool is lower than that it rises, and moves in the plane the less, the more.
        """
        rise = way[2] + above_m
        share = np.clip(1.0 - (rise - 0.01) / 0.03, 0.0, 1.0)
        return self._towards(np.array([share * way[0], share * way[1], rise]))

    def _towards(self, way: FloatArray) -> FloatArray:
        speed = GAIN_PER_S * float(np.linalg.norm(way))
        return GAIN_PER_S * way * min(1.0, SPEED_MAX_M_S / max(speed, 1e-9))

    def _move(self, world: World, linear: FloatArray, turn_rad: float | None = None) -> FloatArray:
        yaw_rate = None
        if turn_rad is not None:
            limit = YAW_RATE_MAX_RAD_S
            yaw_rate = np.clip([YAW_GAIN_PER_S * turn_rad], -limit, limit)
        position = world.joint_positions_rad
        velocity = self._drive.follow(
            position,
            world.tool_jacobian,
            world.tool_rotation[:, 2],
            linear,
            yaw_rate,
            damping=DAMPING,
        )
        return self._keep_off_limits(position, velocity)

    def _keep_off_limits(self, position: FloatArray, velocity: FloatArray) -> FloatArray:
        """Bound each joint by its way to the limit: one that wants beyond would stop them all."""
        low, high = self._low - position, self._high - position
        return np.clip(velocity, LIMIT_GAIN_PER_S * low, LIMIT_GAIN_PER_S * high)


def turn_rad(world: World, goal: Goal) -> float | None:
    """Return by how much the tool has to turn about the base's z axis; None where any yaw will do.

    Towards the edges of what is to be grasped, a flat side of the fingers ahead in a push, and
    what is put next to another along the ray from the base.
    """
    held = world.held
    if goal.task == 'reach' or held not in ('', goal.object):
        return None
    if goal.task == 'push':
        return yaw_error(world, 0.0, np.pi / 2)
    if goal.task == 'put' and placed(world, goal):
        return None
    if held:
        if goal.task == 'pick' or goal.inside:
            return None
        x, y, _ = place_m(world, goal)
        return yaw_error(world, float(np.arctan2(y, x)), np.pi)
    grasp = grasp_of(world, goal.object)
    if grasp.yaw_rad is None:
        return None
    return yaw_error(world, grasp.yaw_rad, grasp.period_rad)


def _funnel(missing_m: float, rim_m: float = HOVER_M) -> float:
    return float(np.clip(SLOPE * (missing_m - ALIGNED_M), 0.0, rim_m))
