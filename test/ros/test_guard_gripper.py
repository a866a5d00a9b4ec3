"""Chunks that command the gripper, through guard_node to the fingers of the simulated arm."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import ARM, Probe, Rhythm
from rclpy.parameter import Parameter
from ros_graph import Graph
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vla_ros.ros import qos
from vla_ros.ros.conversion import chunk_to_message
from vla_ros.ros.guard_node import GuardNode
from vla_ros.ros.sim_node import SimNode
from vla_ros.types import ActionChunk

GRIPPER = ARM.gripper
assert GRIPPER
NEARLY_M = 0.003


class Hand:
    """Simulator, guard, and somebody who opens and closes."""

    def __init__(self, graph: Graph, output: str) -> None:
        small = [Parameter('image_width', value=64), Parameter('image_height', value=48)]
        sim = SimNode(context=graph.context, parameter_overrides=small)
        start = [Parameter('autostart', value=True), Parameter('output', value=output)]
        guard = GuardNode(context=graph.context, parameter_overrides=start)
        self.graph, self.probe = graph, Probe(graph.context)
        for node in (sim, guard, self.probe):
            graph.executor.add_node(node)
        self.opening_m, self.wanted_m, self.states = np.nan, 0.08, 0
        self.commands: list[float] = []
        probe = self.probe
        probe.create_subscription(JointState, ARM.joint_states_topic, self._on_state, qos.SENSOR)
        probe.create_subscription(
            Float64MultiArray, GRIPPER.topic, lambda m: self.commands.extend(m.data), 1000
        )
        self.chunks = probe.create_publisher(JointTrajectory, qos.CHUNK_TOPIC, qos.COMMAND)
        self.stops = probe.create_client(Trigger, qos.STOP_SERVICE)
        self.think = Rhythm(self._send, 0.05)
        assert self.until(lambda: self.state() == 'ready' and not np.isnan(self.opening_m))
        assert self.until(self.stops.service_is_ready)

    def _on_state(self, message: JointState) -> None:
        positions = dict(zip(message.name, message.position, strict=True))
        self.opening_m = sum(positions[joint] for joint in GRIPPER.joints)
        self.states += 1

    def _send(self) -> None:
        openings_m = np.full(4, self.wanted_m)
        stamp_ns = self.probe.now_ns()
        chunk = ActionChunk(np.zeros((4, 7)), 0.1, stamp_ns, gripper_openings_m=openings_m)
        self.chunks.publish(chunk_to_message(chunk, ARM.joints, ARM.gripper_joint))

    def state(self) -> str:
        return self.probe.status.get('guard_node', {}).get('state', '')

    def until(self, holds, *, thinking: bool = False) -> bool:
        def step() -> object:
            if thinking:
                self.think()
            return holds()

        return self.graph.spin_until(step)

    def goes_to(self, wanted_m: float) -> bool:
        self.wanted_m = wanted_m
        return self.until(lambda: abs(self.opening_m - wanted_m) < NEARLY_M, thinking=True)


@pytest.mark.parametrize('output', ['velocity', 'trajectory'])
def test_fingers_do_what_chunks_say_and_stay_when_stopped(graph: Graph, output: str) -> None:
    hand = Hand(graph, output)
    start_m = hand.opening_m
    assert not hand.commands
    assert hand.goes_to(0.08), hand.opening_m
    reach_m = GRIPPER.speed_max_m_s / ARM.guard_rate_hz
    assert abs(hand.commands[0] - start_m) <= 2 * reach_m
    assert np.abs(np.diff(hand.commands)).max() <= 2 * reach_m + 1e-9  # a tick may come late
    assert hand.goes_to(0.02), hand.opening_m
    stopped = hand.stops.call_async(Trigger.Request())
    assert hand.until(stopped.done, thinking=True)
    assert hand.until(lambda: hand.state() == 'stop', thinking=True)
    hand.wanted_m, count, heard = 0.08, len(hand.commands), hand.states
    assert hand.until(lambda: hand.states > heard + 50, thinking=True)  # half a second
    assert len(hand.commands) == count
    assert abs(hand.opening_m - 0.02) < NEARLY_M


def test_a_second_publisher_on_the_gripper_topic_stops(graph: Graph) -> None:
    hand = Hand(graph, 'velocity')
    hand.probe.create_publisher(Float64MultiArray, GRIPPER.topic, qos.COMMAND)
    assert hand.until(lambda: hand.state() == 'stop', thinking=True)
    reason = hand.probe.status['guard_node']['reason']
    assert reason == f'1 other publisher(s) on {GRIPPER.topic}'
