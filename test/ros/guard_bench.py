"""A guard_node with real DDS, an arm in front of it, and who plays policy and operator."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
from fakes import ARM, Probe, Rhythm
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription
from ros_graph import Graph
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vla_ros.ros import qos
from vla_ros.ros.conversion import chunk_to_message, joint_state_to_message
from vla_ros.ros.guard_node import GuardNode
from vla_ros.types import ActionChunk

ARM_PERIOD_S = 0.01
EVERY_MESSAGE = 1000


class Arm(Node):
    """Driver and both controllers: latches the last velocity, keeps every command."""

    def __init__(self, context: Context) -> None:
        super().__init__('arm', context=context)
        self.position = ARM.home_rad.copy()
        self.velocities: list[list[float]] = []
        self.trajectories: list[JointTrajectory] = []
        self.silent = self.broken = False
        self._states = self.create_publisher(JointState, ARM.joint_states_topic, qos.SENSOR)
        self.controller = self.start_controller()
        self.create_subscription(
            JointTrajectory, ARM.trajectory_topic(), self.trajectories.append, EVERY_MESSAGE
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a robot does not stop with the clock
        self.create_timer(ARM_PERIOD_S, self._publish, clock=steady)

    def start_controller(self) -> Subscription:
        """Listen for velocities; destroy what this returns to end the controller."""
        return self.create_subscription(
            Float64MultiArray, ARM.velocity_topic(), self._on_velocity, EVERY_MESSAGE
        )

    def _on_velocity(self, message: Float64MultiArray) -> None:
        self.velocities.append(list(message.data))

    def _publish(self) -> None:
        if self.velocities:
            self.position = self.position + np.array(self.velocities[-1]) * ARM_PERIOD_S
        position = self.position.copy()
        if self.broken:
            position[2] = math.nan
        if not self.silent:
            stamp = self.get_clock().now().to_msg()
            self._states.publish(joint_state_to_message(ARM.joints, position, np.zeros(7), stamp))


class Bench:
    """A guard, an arm, and somebody who plays policy and operator."""

    def __init__(self, graph: Graph, *, activate: bool = True, **parameters: object) -> None:
        self.graph = graph
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.guard = GuardNode(context=graph.context, parameter_overrides=overrides)
        self.arm, self.probe = Arm(graph.context), Probe(graph.context)
        for node in (self.guard, self.arm, self.probe):
            graph.executor.add_node(node)
        self.chunks = self.probe.create_publisher(JointTrajectory, qos.CHUNK_TOPIC, qos.COMMAND)
        self.services = {
            name: self.probe.create_client(Trigger, name)
            for name in (qos.STOP_SERVICE, qos.REARM_SERVICE)
        }
        self.think = Rhythm(self.send_chunk, 0.05)
        assert self.until(self._connected)
        if activate:
            self.guard.trigger_configure()
            assert self.until(self._activated)

    def _connected(self) -> bool:
        return (
            self.chunks.get_subscription_count() == 2  # guard and probe
            and self.probe.instructions.get_subscription_count() == 1
            and all(client.service_is_ready() for client in self.services.values())
            and self.probe.count_publishers(self.topic) == 1
            and 'guard_node' in self.probe.status
        )

    def _activated(self) -> bool:
        self.guard.trigger_activate()
        return self.guard.active

    @property
    def topic(self) -> str:
        trajectory = self.status().get('output') == 'trajectory'
        return ARM.trajectory_topic() if trajectory else ARM.velocity_topic()

    def status(self) -> dict[str, str]:
        return self.probe.status.get('guard_node', {})

    def until(self, holds: Callable[[], object], send: Callable[[], object] | None = None) -> bool:
        def step() -> object:
            if send:
                send()
            return holds()

        return self.graph.spin_until(step)

    def becomes(self, state: str, send: Callable[[], object] | None = None) -> bool:
        return self.until(lambda: self.status().get('state') == state, send)

    def send_chunk(self, speed: float = 0.3, steps: int = 4) -> None:
        chunk = ActionChunk(np.full((steps, 7), speed), 0.1, self.probe.now_ns())
        self.chunks.publish(chunk_to_message(chunk, ARM.joints))

    @staticmethod
    def real_s() -> float:
        """Return the time that no simulated clock changes."""
        return time.monotonic()

    def call(self, name: str) -> Trigger.Response:
        future = self.services[name].call_async(Trigger.Request())
        assert self.until(future.done)
        return future.result()

    def rests(self) -> bool:
        """Whether the newest ten commands are zero."""
        newest = self.arm.velocities[-10:]
        return len(newest) == 10 and not np.any(newest)

    def gets_moving(self) -> None:
        assert self.until(lambda: self.speed() > 0.25, self.think), self.status()

    def speed(self) -> float:
        return float(np.abs(self.arm.velocities[-1]).max()) if self.arm.velocities else 0.0
