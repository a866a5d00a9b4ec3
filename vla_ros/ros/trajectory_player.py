"""Play a joint trajectory as joint_trajectory_controller does, on an arm that takes velocities.

Model: ros2_controllers, joint_trajectory_controller/src/trajectory.cpp. A new trajectory replaces
the running one and starts from where the arm is; between points the position is a cubic spline
where they have velocities, else a line; at the end the arm holds the last position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from trajectory_msgs.msg import JointTrajectory

from vla_ros.errors import ObservationError
from vla_ros.ros.conversion import NANOSECONDS
from vla_ros.types import FloatArray

TRACKING_GAIN_1_S = 10.0


@dataclass(frozen=True)
class Trajectory:
    """Points of a motion: times (N,) in seconds, positions (N, 7), velocities (N, 7) or None."""

    times_s: FloatArray
    positions_rad: FloatArray
    velocities_rad_s: FloatArray | None

    def sample(self, time_s: float) -> tuple[FloatArray, FloatArray]:
        """Return desired position and velocity (7,) at a time; at rest before and after."""
        at_rest = np.zeros(self.positions_rad.shape[1])
        if time_s <= self.times_s[0]:
            return self.positions_rad[0], at_rest
        if time_s >= self.times_s[-1]:
            return self.positions_rad[-1], at_rest
        k = int(np.searchsorted(self.times_s, time_s, side='right')) - 1
        duration_s = self.times_s[k + 1] - self.times_s[k]
        q0, q1 = self.positions_rad[k], self.positions_rad[k + 1]
        s = (time_s - self.times_s[k]) / duration_s
        if self.velocities_rad_s is None:
            return q0 + s * (q1 - q0), (q1 - q0) / duration_s
        m0, m1 = self.velocities_rad_s[k : k + 2] * duration_s
        change = 3 * (q1 - q0) - 2 * m0 - m1  # cubic Hermite spline: q0 + m0 s + change s² + …
        bend = m0 + m1 - 2 * (q1 - q0)
        position = q0 + s * (m0 + s * (change + s * bend))
        return position, (m0 + s * (2 * change + 3 * s * bend)) / duration_s


class TrajectoryPlayer:
    """The trajectory that runs, and the joint velocities that follow it."""

    def __init__(self, joints: Sequence[str], velocity_max_rad_s: FloatArray) -> None:
        """Play for `joints`, never faster than `velocity_max_rad_s` (7,)."""
        self._joints = list(joints)
        self._velocity_max = velocity_max_rad_s
        self._trajectory: Trajectory | None = None

    @property
    def active(self) -> bool:
        """Whether a trajectory runs or is held at its end."""
        return self._trajectory is not None

    def clear(self) -> None:
        """Forget the trajectory; another controller has taken over."""
        self._trajectory = None

    def start(
        self,
        message: JointTrajectory,
        start_s: float,
        now_s: float,
        position_rad: FloatArray,
        velocity_rad_s: FloatArray,
    ) -> None:
        """Replace the running trajectory; its time 0 is `start_s`, the arm's state is of `now_s`.

        Raises:
            ObservationError: no point, other joints, missing positions, times that do not
                increase, values that are not finite, or a last point that moves; the running one
                goes on.
        """
        times_s, positions, velocities = self._read(message)
        times_s = times_s + start_s
        ahead = times_s > now_s
        if not ahead.any():
            raise ObservationError('trajectory lies entirely in the past')
        self._trajectory = Trajectory(
            np.concatenate([[now_s], times_s[ahead]]),
            np.concatenate([position_rad[None], positions[ahead]]),
            None
            if velocities is None
            else np.concatenate([velocity_rad_s[None], velocities[ahead]]),
        )

    def velocity(self, now_s: float, position_rad: FloatArray) -> FloatArray:
        """Return the joint velocities (7,) that keep the arm on the trajectory."""
        assert self._trajectory is not None
        desired_rad, desired_rad_s = self._trajectory.sample(now_s)
        command = desired_rad_s + TRACKING_GAIN_1_S * (desired_rad - position_rad)
        return np.clip(command, -self._velocity_max, self._velocity_max)

    def _read(self, message: JointTrajectory) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        names, points = list(message.joint_names), message.points
        if not points:  # JointTrajectoryController::validate_trajectory_msg
            raise ObservationError('empty trajectory')
        if sorted(names) != sorted(self._joints):
            raise ObservationError(
                f'trajectory is for joints {names[:16]}, the arm has {self._joints}'
            )
        order = [names.index(joint) for joint in self._joints]
        if any(len(p.positions) != len(order) for p in points):
            raise ObservationError(f'every point of a trajectory needs {len(order)} positions')
        positions = np.array([p.positions for p in points], np.float64)[:, order]
        velocities = None
        if all(len(p.velocities) == len(order) for p in points):
            velocities = np.array([p.velocities for p in points], np.float64)[:, order]
            if np.any(velocities[-1]):
                raise ObservationError('the last point of a trajectory must be at rest')
        elif any(p.velocities for p in points):
            raise ObservationError('all points of a trajectory have velocities, or none')
        times_s = np.array(
            [p.time_from_start.sec + p.time_from_start.nanosec / NANOSECONDS for p in points]
        )
        if times_s[0] < 0 or (np.diff(times_s) <= 0).any():
            raise ObservationError('time_from_start must increase from point to point')
        values = positions if velocities is None else np.stack([positions, velocities])
        if not np.isfinite(values).all():
            raise ObservationError('trajectory holds a value that is not finite')
        return times_s, positions, velocities
