"""How the guard talks to a controller: joint velocities, or short trajectories to rest."""

from __future__ import annotations

from typing import Any, Protocol

from builtin_interfaces.msg import Duration
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_ros.core.embodiment import Embodiment
from vla_ros.core.guard import GuardOutput
from vla_ros.core.short_trajectory import ShortTrajectory, TrajectoryPlanner
from vla_ros.errors import ConfigError
from vla_ros.ros import qos
from vla_ros.ros.conversion import NANOSECONDS
from vla_ros.types import FloatArray

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
        self._publisher = node.create_lifecycle_publisher(Float64MultiArray, topic, qos.COMMAND)

    def send(self, output: GuardOutput, measured: FloatArray | None) -> None:
        """Publish the velocities of one tick."""
        del measured
        self._publisher.publish(Float64MultiArray(data=output.velocity.tolist()))

    def listeners(self) -> int:
        """Return how many controllers listen."""
        return self._publisher.get_subscription_count()


class TrajectoryOutput:
    """JointTrajectory every tick while the arm moves; at rest the controller holds by itself."""

    def __init__(self, node: LifecycleNode, topic: str, arm: Embodiment) -> None:
        """Publish on `topic` for the joints of an arm."""
        self.topic = topic
        self._joints = list(arm.joints)
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
            self._publisher.publish(trajectory_message(plan, self._joints))

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
        self._publisher = node.create_lifecycle_publisher(Float64MultiArray, topic, qos.COMMAND)

    def send(self, output: GuardOutput) -> None:
        """Publish the opening of one tick, if there is one."""
        if output.opening_m is not None:
            self._publisher.publish(Float64MultiArray(data=[output.opening_m]))


def trajectory_message(plan: ShortTrajectory, joints: list[str]) -> JointTrajectory:
    """Return a plan as a message; no stamp, which means: start now."""
    rows: Any = zip(
        (plan.times_s * NANOSECONDS).astype(int).tolist(),
        plan.positions_rad.tolist(),
        plan.velocities_rad_s.tolist(),
        strict=True,
    )
    points = [
        JointTrajectoryPoint(
            positions=positions,
            velocities=velocities,
            time_from_start=Duration(sec=time_ns // NANOSECONDS, nanosec=time_ns % NANOSECONDS),
        )
        for time_ns, positions, velocities in rows
    ]
    return JointTrajectory(joint_names=joints, points=points)


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
