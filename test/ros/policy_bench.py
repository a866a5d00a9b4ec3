"""A policy_node with real DDS, and a probe that plays cameras, driver and operator."""

from __future__ import annotations

from collections.abc import Callable

from fakes import ConstantPolicy, Probe, Rhythm, compressed_message
from rclpy.parameter import Parameter
from ros_graph import Graph
from sensor_msgs.msg import CompressedImage

from vla_ros.core.embodiment import load_arm
from vla_ros.ros import qos
from vla_ros.ros.policy_node import PolicyNode


class Bench:
    """A policy node, and a probe that is connected to it."""

    def __init__(self, graph: Graph, policy: ConstantPolicy, **parameters: object) -> None:
        self.graph, self.policy = graph, policy
        self.stamps: set[int] = set()
        self.arm = load_arm(str(parameters.get('arm', 'sim')))
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = PolicyNode(policy=policy, context=graph.context, parameter_overrides=overrides)
        self.probe = Probe(graph.context)
        graph.executor.add_node(self.node)
        graph.executor.add_node(self.probe)
        topics = (self.arm.cameras[name].topic for name in policy.cameras)
        self.compressed = [
            self.probe.create_publisher(CompressedImage, topic, qos.SENSOR)
            for topic in topics
            if topic.endswith('/compressed')
        ]
        self.node.trigger_configure()
        self.activate()
        assert graph.spin_until(self._connected)

    def activate(self) -> None:
        """Try until every input has been heard."""
        assert self.until(self._activated, self.send_all)

    def _activated(self) -> bool:
        self.node.trigger_activate()
        return self.node.active

    def send_all(self) -> None:
        """Send joint states and a frame of every camera."""
        for camera in self.policy.cameras:
            self.stamps.add(self.probe.send_frame(camera))
        for publisher in self.compressed:
            publisher.publish(compressed_message(self.probe))

    def _connected(self) -> bool:
        probe = self.probe
        publishers = [probe.instructions, probe.joint_states]
        cameras = [self.node.count_subscribers(c.topic) for c in self.arm.cameras.values()]
        return (
            sum(cameras) == len(self.policy.cameras)
            and all(p.get_subscription_count() for p in publishers)
            and probe.count_publishers('/vla/action_chunk') == 1
            and len(self.policy.observations) >= 1  # warmed up
        )

    def say(self, text: str) -> None:
        self.probe.say(text)
        assert self.until(lambda: self.status().get('instruction') == text)

    def status(self) -> dict[str, str]:
        return self.probe.status.get('policy_node', {})

    def until(self, holds: Callable[[], object], send: Callable[[], object] | None = None) -> bool:
        rhythm = Rhythm(send) if send else lambda: None

        def step() -> object:
            rhythm()
            return holds()

        return self.graph.spin_until(step)
