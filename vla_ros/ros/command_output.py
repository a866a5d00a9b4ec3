"""How the guard talks to a controller: joint velocities, or short trajectories to rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_ros.core.embodiment import Embodiment
from vla_ros.core.guard import GuardOutput
from vla_ros.core.short_trajectory import MOST_POINTS, ShortTrajectory, TrajectoryPlanner
from vla_ros.errors import ConfigError
from vla_ros.ros import qos
from vla_ros.ros.conversion import NANOSECONDS
from vla_ros.types import ARM_JOINTS, FloatArray

RESTING_MESSAGES = 5
"""Commands to rest that are sent before the guard falls silent."""


class CommandOutput(Protocol):
    """Where the commands of the guard go."""

    topic: str

    def send(self, output: GuardOutput, measured: FloatArray | None) -> None:
        """Publish the command of one tick."""
        ...

    def listeners(self) -> int:
        """Return how many controllers listen."""
        ...


class VelocityOutput:
    """Float64MultiArray every tick, zeros included: the controller repeats whatever came last."""

    def __init__(self, node: LifecycleNode, topic: str) -> None:
        """Publish on `topic`."""
        self.topic = topic
        self._message = Float64MultiArray(data=[0.0] * ARM_JOINTS)
        self._velocity = np.frombuffer(self._message.data)  # the message's own memory
        self._publisher = node.create_lifecycle_publisher(Float64MultiArray, topic, qos.COMMAND)

    def send(self, output: GuardOutput, measured: FloatArray | None) -> None:
        """Publish the velocities of one tick."""
        del measured
        self._velocity[:] = output.velocity
        self._publisher.publish(self._message)

    def listeners(self) -> int:
        """Return how many controllers listen."""
        return self._publisher.get_subscription_count()


class TrajectoryOutput:
    """JointTrajectory every tick while the arm moves; at rest the controller holds by itself."""

    def __init__(self, node: LifecycleNode, topic: str, arm: Embodiment) -> None:
        """Publish on `topic` for the joints of an arm."""
        self.topic = topic
        self._message = TrajectoryMessage(arm.joints)
        self._planner = TrajectoryPlanner(arm, 1.0 / arm.guard_rate_hz)
        self._rests = RESTING_MESSAGES
        self._publisher = node.create_lifecycle_publisher(JointTrajectory, topic, qos.COMMAND)

    def send(self, output: GuardOutput, measured: FloatArray | None) -> None:
        """Publish the trajectory of one tick, a few times after coming to rest."""
        self._rests = 0 if output.velocity.any() else self._rests + 1
        if self._rests > RESTING_MESSAGES:
            self._planner.reset()
            return
        plan = self._planner.plan(output.velocity, measured, output.elapsed_s)
        if plan is not None:
            self._publisher.publish(self._message.of(plan))

    def listeners(self) -> int:
        """Return how many controllers listen."""
        return self._publisher.get_subscription_count()


class GripperOutput:
    """The opening in metres, every tick in which the policy commands one.

    The controller goes there and stays there: falling silent leaves the gripper as it is.
    """

    def __init__(self, node: LifecycleNode, topic: str) -> None:
        """Publish on `topic`."""
        self.topic = topic
        self._message = Float64MultiArray(data=[0.0])
        self._publisher = node.create_lifecycle_publisher(Float64MultiArray, topic, qos.COMMAND)

    def send(self, output: GuardOutput) -> None:
        """Publish the opening of one tick, if there is one."""
        if output.opening_m is not None:
            self._message.data[0] = output.opening_m
            self._publisher.publish(self._message)


class TrajectoryMessage:
    """A message that is written over every tick: to make a new one takes five times as long.

    Publishing serialises it at once, so nobody looks at it later.
    """

    def __init__(self, joints: Sequence[str]) -> None:
        """Make every point that a plan may need."""
        zeros = [0.0] * len(joints)
        self._points = [
            JointTrajectoryPoint(positions=zeros, velocities=zeros) for _ in range(MOST_POINTS)
        ]
        # Views of the messages' own memory.
        self._positions = [np.frombuffer(point.positions) for point in self._points]
        self._velocities = [np.frombuffer(point.velocities) for point in self._points]
        self._message = JointTrajectory(joint_names=list(joints))

    def of(self, plan: ShortTrajectory) -> JointTrajectory:
        """Return a plan as a message, until the next call; no stamp, which means: start now."""
        for k, time_s in enumerate(plan.times_s.tolist()):
            self._positions[k][:] = plan.positions_rad[k]
            self._velocities[k][:] = plan.velocities_rad_s[k]
            after = self._points[k].time_from_start
            after.sec, after.nanosec = divmod(int(time_s * NANOSECONDS), NANOSECONDS)
        self._message.points = self._points[: len(plan.times_s)]
        return self._message


def make_output(node: LifecycleNode, arm: Embodiment, mode: str) -> CommandOutput:
    """Return the output of a mode; empty means the one that the arm's YAML prefers.

    Raises:
        ConfigError: the arm has no controller for it.
    """
    mode = mode or arm.output
    if mode not in arm.controllers:
        raise ConfigError(
            f"arm '{arm.name}' has no controller for output '{mode}'; "
            f'it has: {", ".join(sorted(arm.controllers))}'
        )
    if mode == 'velocity':
        return VelocityOutput(node, arm.velocity_topic())
    return TrajectoryOutput(node, arm.trajectory_topic(), arm)
