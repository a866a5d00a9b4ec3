"""guard_node in front of the simulated arm: both outputs move it alike."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import ARM, Probe, Rhythm
from rclpy.parameter import Parameter
from ros_graph import Graph
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from vla_ros.ros import qos
from vla_ros.ros.conversion import chunk_to_message
from vla_ros.ros.guard_node import GuardNode
from vla_ros.ros.sim_node import SimNode
from vla_ros.types import ActionChunk

SPEED_RAD_S = np.array([0.3, 0.2, -0.3, 0.2, 0.3, 0.3, -0.4])
MOVED_RAD = 0.2


@pytest.mark.parametrize('output', ['velocity', 'trajectory'])
def test_arm_goes_as_fast_as_told_and_comes_to_rest(graph: Graph, output: str) -> None:
    def parameters(**values: object) -> list[Parameter]:
        return [Parameter(name, value=value) for name, value in values.items()]

    small = parameters(image_width=64, image_height=48)
    sim = SimNode(context=graph.context, parameter_overrides=small)
    start = parameters(autostart=True, output=output)
    guard = GuardNode(context=graph.context, parameter_overrides=start)
    probe = Probe(graph.context)
    for node in (sim, guard, probe):
        graph.executor.add_node(node)
    states: list[JointState] = []
    probe.create_subscription(JointState, ARM.joint_states_topic, states.append, qos.SENSOR)
    chunks = probe.create_publisher(JointTrajectory, qos.CHUNK_TOPIC, qos.COMMAND)

    def think() -> None:
        chunk = ActionChunk(np.tile(SPEED_RAD_S, (2, 1)), 0.1, probe.now_ns())
        chunks.publish(chunk_to_message(chunk, ARM.joints))

    def position(k: int) -> np.ndarray:
        return np.array([states[k].position[states[k].name.index(j)] for j in ARM.joints])

    def velocity(k: int) -> np.ndarray:
        return np.array([states[k].velocity[states[k].name.index(j)] for j in ARM.joints])

    def state() -> str:
        return probe.status.get('guard_node', {}).get('state', '')

    assert graph.spin_until(lambda: state() == 'ready' and states)
    home, rhythm = position(-1), Rhythm(think, 0.05)

    def moved() -> bool:
        rhythm()
        return abs(position(-1) - home).max() > MOVED_RAD

    assert graph.spin_until(moved), probe.status
    cruising = np.median([velocity(k) for k in range(-20, 0)], axis=0)  # a late tick may be in it
    np.testing.assert_allclose(cruising, SPEED_RAD_S, atol=0.06)
    path = position(-1) - home  # straight in joint space: every joint had its share
    np.testing.assert_allclose(path / path[6], SPEED_RAD_S / SPEED_RAD_S[6], atol=0.1)

    def rested() -> bool:
        return state() == 'hold' and abs(velocity(-1)).max() < 1e-2

    assert graph.spin_until(rested)
    rest, count = position(-1), len(states)
    assert graph.spin_until(lambda: len(states) > count + 30)
    np.testing.assert_allclose(position(-1), rest, atol=5e-3)
    assert (abs(rest - home) < MOVED_RAD + 0.15).all()
