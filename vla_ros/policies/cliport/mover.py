"""Carries waypoints out as joint velocities and gripper openings, by damped least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.core.kinematics import tool_frame, tool_jacobian
from vla_ros.core.tool_motion import ToolMotion
from vla_ros.errors import ConfigError
from vla_ros.policies.cliport.waypoints import Waypoint, wrapped
from vla_ros.types import ARM_JOINTS, FloatArray

GAIN_PER_S = 3.5
DAMPING = 0.02  # the tool comes to within 1 mm of where it should be
YAW_GAIN_PER_S, YAW_RATE_MAX_RAD_S, YAW_TOLERANCE_RAD = 3.0, 1.5, 0.15
LIMIT_GAIN_PER_S = 4.0
JOINT_ROOM_RAD = 0.03  # kept from a joint's margin
EMPTY_M = 0.006  # an opening below: nothing is between the fingers
STUCK_S = 4.0  # a waypoint that is not reached by then is given up


@dataclass(frozen=True)
class Progress:
    """Which waypoint comes next, and since when."""

    index: int = 0
    since_s: float = 0.0


class Mover:
    """Follows waypoints; what it does is a function of the arm's state and of its progress."""

    def __init__(self, embodiment: Embodiment) -> None:
        """Build for an arm with kinematics and a gripper; else a ConfigError says so."""
        if embodiment.gripper is None or embodiment.kinematics is None:
            raise ConfigError(
                f"arm '{embodiment.name}' needs 'gripper' and 'kinematics' in "
                f'{embodiment.source} to pick and place'
            )
        self._motion = ToolMotion(embodiment)
        self._kinematics = embodiment.kinematics
        self._opening_max_m = embodiment.gripper.opening_max_m
        kept = embodiment.margin_rad + JOINT_ROOM_RAD
        self._low = embodiment.position_min_rad + kept
        self._high = embodiment.position_max_rad - kept
        self._way: list[Waypoint] = []
        self._progress = Progress()
        self.failed = ''
        """Why the way was given up; empty while it was not."""

    def start(self, way: list[Waypoint], now_s: float) -> None:
        """Follow another way."""
        self._way, self._progress, self.failed = way, Progress(0, now_s), ''

    @property
    def done(self) -> bool:
        """The last waypoint was reached."""
        return self._progress.index >= len(self._way)

    def chunk(
        self, position: FloatArray, opening_m: float, now_s: float, steps: int, step_s: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return velocities (K, 7) in rad/s and openings (K,) in m from the state that is.

        Args:
            position: (7,) joint positions in rad.
            opening_m: of the gripper.
            now_s: time of that state, on any clock that does not stand still.
            steps: K.
            step_s: duration of one.
        """
        self._progress = self._advanced(self._progress, position, now_s)
        self._judge(opening_m, now_s)
        velocities, openings = np.zeros((steps, ARM_JOINTS)), np.zeros(steps)
        progress = self._progress
        for k in range(steps):
            velocities[k], openings[k] = self._action(progress, position)
            position = np.clip(position + step_s * velocities[k], self._low, self._high)
            now_s += step_s
            progress = self._advanced(progress, position, now_s)
        return velocities, np.minimum(openings, self._opening_max_m)

    def _judge(self, opening_m: float, now_s: float) -> None:
        if self.done or self.failed:
            return
        if self._way[self._progress.index].holds and opening_m < EMPTY_M:
            self.failed = 'nothing is between the fingers'
        elif now_s - self._progress.since_s > STUCK_S + self._way[self._progress.index].wait_s:
            self.failed = 'a waypoint is out of reach'

    def _advanced(self, progress: Progress, position: FloatArray, now_s: float) -> Progress:
        if progress.index >= len(self._way):
            return progress
        waypoint = self._way[progress.index]
        if now_s - progress.since_s < waypoint.wait_s - 1e-6:
            return progress
        frame = tool_frame(self._kinematics, position)
        off_m = float(np.linalg.norm(waypoint.tool_m - frame[:3, 3]))
        turned = abs(self._turn(frame, waypoint)) < YAW_TOLERANCE_RAD or waypoint.wait_s > 0
        if off_m < waypoint.tolerance_m and turned:
            return Progress(progress.index + 1, now_s)
        return progress

    def _action(self, progress: Progress, position: FloatArray) -> tuple[FloatArray, float]:
        """Return velocities (7,) and the opening; at the end the tool stays at the last."""
        if not self._way:
            return np.zeros(ARM_JOINTS), self._opening_max_m
        waypoint = self._way[min(progress.index, len(self._way) - 1)]
        frame = tool_frame(self._kinematics, position)
        way = waypoint.tool_m - frame[:3, 3]
        speed = GAIN_PER_S * float(np.linalg.norm(way))
        linear = GAIN_PER_S * way * min(1.0, waypoint.speed_m_s / max(speed, 1e-9))
        yaw_rate = None
        if waypoint.yaw_rad is not None:
            wanted = YAW_GAIN_PER_S * self._turn(frame, waypoint)
            yaw_rate = np.clip([wanted], -YAW_RATE_MAX_RAD_S, YAW_RATE_MAX_RAD_S)
        jacobian = tool_jacobian(self._kinematics, position)
        velocity = self._motion.follow(position, jacobian, frame[:3, 2], linear, yaw_rate, DAMPING)
        low, high = self._low - position, self._high - position
        return (
            np.clip(velocity, LIMIT_GAIN_PER_S * low, LIMIT_GAIN_PER_S * high),
            waypoint.opening_m,
        )

    @staticmethod
    def _turn(frame: FloatArray, waypoint: Waypoint) -> float:
        """Return by how much the tool has to turn, to the yaw nearest to the wrist's middle."""
        if waypoint.yaw_rad is None:
            return 0.0
        natural = float(np.arctan2(frame[1, 3], frame[0, 3]))
        now = wrapped(float(np.arctan2(frame[1, 0], frame[0, 0])) - natural, 2 * np.pi)
        return wrapped(waypoint.yaw_rad - natural, np.pi) - now
