"""Ten thousand messages that lie, to the real policy_node and guard_node over real DDS."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import psutil
from fakes import ARM, ConstantPolicy, Probe, Rhythm, compressed_message
from fuzz import Fuzzer
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_graph import Graph
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vla_ros.paths import config_dir
from vla_ros.ros import qos
from vla_ros.ros.conversion import joint_state_to_message
from vla_ros.ros.guard_node import GuardNode
from vla_ros.ros.policy_node import PolicyNode

MESSAGES = 10_000
WARM_UP = 2_000
KINDS = 5
REARM_EVERY = 40  # rounds: so that the guard is not simply stopped all the time
MAX_GROWTH_BYTES = 10_000_000
WRIST = '/camera/wrist/image_raw/compressed'


class Robot(Node):
    """Driver and controller that keep nothing but the fastest command."""

    def __init__(self, graph: Graph) -> None:
        super().__init__('robot', context=graph.context)
        self.fastest, self.commands = 0.0, 0
        self.states = self.create_publisher(JointState, ARM.joint_states_topic, qos.SENSOR)
        self.create_subscription(
            Float64MultiArray, ARM.velocity_topic(), self.on_command, qos.COMMAND
        )
        self.create_timer(0.01, self.send_state)

    def on_command(self, message: Float64MultiArray) -> None:
        self.commands += 1
        self.fastest = max(self.fastest, np.abs(message.data).max())

    def send_state(self) -> None:
        stamp = self.get_clock().now().to_msg()
        self.states.publish(joint_state_to_message(ARM.joints, ARM.home_rad, np.zeros(7), stamp))


class Operator(Probe):
    """A probe that does not read chunks: most of them make no sense."""

    def _on_chunk(self, message: JointTrajectory) -> None:
        del message


class Listener(Node):
    """Counts what really comes through on each topic."""

    def __init__(self, graph: Graph) -> None:
        super().__init__('listener', context=graph.context)
        self.counts = {}
        for kind, topic, profile in (
            (CompressedImage, WRIST, qos.SENSOR),
            (JointTrajectory, qos.CHUNK_TOPIC, qos.COMMAND),
        ):
            self.counts[topic] = 0
            self.create_subscription(
                kind, topic, lambda _, topic=topic: self.count(topic), profile, raw=True
            )

    def count(self, topic: str) -> None:
        self.counts[topic] += 1


class Fuzzed:
    """Both nodes, a robot, and somebody who sends them nonsense."""

    def __init__(self, graph: Graph, arm: Path) -> None:
        self.graph, self.fuzzer = graph, Fuzzer()
        start = [Parameter('autostart', value=True), Parameter('arm', value=str(arm))]
        self.policy = ConstantPolicy(cameras=('front', 'wrist'))
        self.policy_node = PolicyNode(
            policy=self.policy, context=graph.context, parameter_overrides=start
        )
        self.guard = GuardNode(context=graph.context, parameter_overrides=start)
        self.robot, self.probe, self.listener = (
            Robot(graph),
            Operator(graph.context),
            Listener(graph),
        )
        for node in (self.policy_node, self.guard, self.robot, self.probe, self.listener):
            graph.executor.add_node(node)
        self.wrist = self.probe.create_publisher(CompressedImage, WRIST, qos.SENSOR)
        self.chunks = self.probe.create_publisher(JointTrajectory, qos.CHUNK_TOPIC, qos.COMMAND)
        self.rearms = self.probe.create_client(Trigger, qos.REARM_SERVICE)
        assert self.until(lambda: self.policy_node.active and self.guard.active)
        assert self.until(self.rearms.service_is_ready)

    def until(self, holds: object) -> bool:
        rhythm = Rhythm(self.send_frames)

        def step() -> object:
            rhythm()
            return holds()

        return self.graph.spin_until(step)

    def guard_state(self) -> str:
        return self.probe.status.get('guard_node', {}).get('state', '')

    def send_frames(self) -> None:
        self.probe.send_frame('front')
        self.wrist.publish(compressed_message(self.probe))

    def round(self) -> None:
        """Send one bad message of every kind, and let everybody work on it."""
        now = self.probe.get_clock().now().to_msg()
        self.probe.images['front'].publish(self.fuzzer.image(now))
        self.wrist.publish(self.fuzzer.compressed(now))
        self.robot.states.publish(self.fuzzer.joint_state(now))
        self.chunks.publish(self.fuzzer.chunk(now))
        self.probe.instructions.publish(self.fuzzer.instruction())
        before = dict(self.listener.counts)
        self.graph.spin_until(
            lambda: all(n > before[topic] for topic, n in self.listener.counts.items()), 0.1
        )

    def rounds(self, messages: int) -> None:
        for k in range(messages // KINDS):
            self.round()
            if k % REARM_EVERY == 0:
                self.rearms.call_async(Trigger.Request())


def memory_bytes() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss


def test_nothing_that_lies_moves_crashes_or_fills_the_memory(graph: Graph, tmp_path: Path) -> None:
    text = (config_dir() / 'arms' / 'sim.yaml').read_text()
    arm = tmp_path / 'arm.yaml'
    arm.write_text(text.replace('/camera/wrist/image_raw', WRIST))
    fuzzed = Fuzzed(graph, arm)
    fuzzed.rounds(WARM_UP)
    before, received = memory_bytes(), dict(fuzzed.listener.counts)
    inferences = len(fuzzed.policy.observations)
    fuzzed.rounds(MESSAGES)
    grown = memory_bytes() - before
    for topic, count in fuzzed.listener.counts.items():
        assert count - received[topic] > 0.9 * MESSAGES / KINDS, topic
    assert fuzzed.robot.fastest == 0.0
    assert fuzzed.robot.commands > 100
    assert len(fuzzed.policy.observations) == inferences
    assert fuzzed.policy_node.active
    assert fuzzed.guard.active
    assert grown < MAX_GROWTH_BYTES

    fuzzed.probe.say('reach the red cube')  # the sentinel: good messages still get through

    def moves() -> bool:
        if fuzzed.guard_state() == 'stop':
            fuzzed.rearms.call_async(Trigger.Request())
        return fuzzed.robot.fastest > 0.05

    assert fuzzed.until(moves), fuzzed.probe.status
    assert fuzzed.policy.observations[-1].instruction == 'reach the red cube'
