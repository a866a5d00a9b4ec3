"""Trajectories are played as joint_trajectory_controller plays them."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_ros.errors import ObservationError
from vla_ros.ros.trajectory_player import Trajectory, TrajectoryPlayer

JOINTS = tuple(f'joint{k}' for k in range(1, 8))
V_MAX = np.full(7, 2.0)
ZERO = np.zeros(7)


def message(
    positions: list[float], times_s: list[float], velocities: list[float] | None = None
) -> JointTrajectory:
    points = []
    for k, (position, time_s) in enumerate(zip(positions, times_s, strict=True)):
        nanosec = round(abs(time_s) % 1 * 1e9)
        point = JointTrajectoryPoint(
            positions=[position] * 7,
            time_from_start=Duration(sec=int(time_s), nanosec=nanosec),
        )
        if velocities is not None:
            point.velocities = [velocities[k]] * 7
        points.append(point)
    return JointTrajectory(joint_names=list(JOINTS), points=points)


def play(player: TrajectoryPlayer, from_s: float, to_s: float, start: float) -> list[float]:
    """Follow with an ideal velocity drive; return the positions of joint 1."""
    position, track = np.full(7, start), []
    for time_s in np.arange(from_s, to_s, 0.01):
        position = position + 0.01 * player.velocity(time_s + 0.01, position)
        track.append(float(position[0]))
    return track


def test_it_arrives_holds_and_replaces() -> None:
    player = TrajectoryPlayer(JOINTS, V_MAX)
    player.start(message([0.5], [1.0]), 0.0, 0.0, ZERO, ZERO)
    track = play(player, 0.0, 3.0, 0.0)
    assert track[49] == pytest.approx(0.25, abs=0.01)
    assert track[100:] == pytest.approx([0.5] * len(track[100:]), abs=0.01)
    player.start(message([0.0], [1.0]), 3.0, 3.0, np.full(7, 0.5), ZERO)
    assert play(player, 3.0, 5.0, 0.5)[-1] == pytest.approx(0.0, abs=0.005)


def test_velocities_make_a_cubic_whose_derivative_is_its_velocity() -> None:
    trajectory = Trajectory(
        np.array([0.0, 0.7, 1.0]), np.array([[0.0], [0.4], [0.5]]), np.array([[0.1], [0.6], [0.0]])
    )
    for time_s in np.linspace(0.01, 0.99, 50):
        h = 1e-6
        ahead, behind = trajectory.sample(time_s + h)[0], trajectory.sample(time_s - h)[0]
        assert trajectory.sample(time_s)[1] == pytest.approx((ahead - behind) / (2 * h), abs=1e-4)
    assert trajectory.sample(0.7) == (pytest.approx([0.4]), pytest.approx([0.6]))
    assert trajectory.sample(2.0) == (pytest.approx([0.5]), pytest.approx([0.0]))


def test_joints_in_another_order_are_mapped_by_name() -> None:
    player = TrajectoryPlayer(JOINTS, V_MAX)
    swapped = message([0.0], [0.5])
    swapped.joint_names = list(reversed(JOINTS))
    swapped.points[0].positions = [float(k) for k in range(7)]
    player.start(swapped, 0.0, 0.0, ZERO, ZERO)
    assert (np.diff(player.velocity(0.4, ZERO)) <= 0).all()


def test_the_command_never_exceeds_the_velocity_limit() -> None:
    player = TrajectoryPlayer(JOINTS, V_MAX)
    player.start(message([50.0], [0.1]), 0.0, 0.0, ZERO, ZERO)
    assert np.abs(player.velocity(0.05, ZERO)).max() <= 2.0


def test_what_cannot_be_played_is_refused_and_the_running_one_goes_on() -> None:
    player = TrajectoryPlayer(JOINTS, V_MAX)
    player.start(message([0.5], [1.0]), 0.0, 0.0, ZERO, ZERO)
    other = message([0.1], [1.0])
    other.joint_names[0] = 'elbow'
    short = message([0.1], [1.0])
    short.points[0].positions = [0.1]
    for bad, start_s, says in (
        (JointTrajectory(joint_names=JOINTS), 0.0, 'empty trajectory'),
        (other, 0.0, 'elbow'),
        (short, 0.0, '7 positions'),
        (message([0.1, 0.2], [1.0, 1.0]), 0.0, 'must increase'),
        (message([0.1], [1.0], [0.5]), 0.0, 'must be at rest'),
        (message([float('nan')], [1.0]), 0.0, 'not finite'),
        (message([0.1], [1.0]), -5.0, 'in the past'),
    ):
        with pytest.raises(ObservationError, match=says):
            player.start(bad, start_s, 0.0, ZERO, ZERO)
    assert play(player, 0.0, 2.0, 0.0)[-1] == pytest.approx(0.5, abs=0.005)
