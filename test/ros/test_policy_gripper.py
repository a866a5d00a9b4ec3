"""The gripper's way through policy_node: its opening in, wanted openings out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import ARM, ConstantPolicy, Probe, Rhythm
from policy_bench import Bench
from rclpy.parameter import Parameter
from ros_graph import Graph

from vla_ros.paths import config_dir
from vla_ros.ros.policy_node import PolicyNode
from vla_ros.types import ActionChunk, Observation


class GripPolicy(ConstantPolicy):
    """Closes the gripper to half of what it is."""

    reads_gripper = True

    def infer(self, observation: Observation) -> ActionChunk:
        self.observations.append(observation)
        assert observation.gripper_opening_m is not None
        openings_m = np.full(8, observation.gripper_opening_m / 2)
        return ActionChunk(np.zeros((8, 7)), 0.1, gripper_openings_m=openings_m)


def test_a_policy_sees_the_opening_and_commands_another(graph: Graph) -> None:
    policy = GripPolicy()
    node = PolicyNode(
        policy=policy,
        context=graph.context,
        parameter_overrides=[Parameter('autostart', value=True)],
    )
    probe = Probe(graph.context)
    graph.executor.add_node(node)
    graph.executor.add_node(probe)
    rhythm = Rhythm(probe.send_frame)

    def until(holds) -> bool:
        return graph.spin_until(lambda: rhythm() or holds())

    def says(text: str) -> bool:
        return text in probe.status.get('policy_node', {}).get('message', '')

    assert until(lambda: says('no fresh state of panda_finger_joint1, panda_finger_joint2'))
    assert not node.active
    probe.opening_m = 0.06
    assert until(lambda: node.active)
    probe.say('pick up the red cube')
    assert until(lambda: probe.chunks), probe.status
    assert policy.observations[-1].gripper_opening_m == pytest.approx(0.06)
    np.testing.assert_allclose(probe.chunks[-1].gripper_openings_m, np.full(8, 0.03))
    assert until(lambda: says('following the instruction'))
    probe.opening_m = None  # the fingers fall silent: no observation for this policy
    assert until(lambda: says('no fresh state of panda_finger_joint1'))
    asked = len(policy.observations)
    frames = int(probe.status['policy_node']['frames'])
    assert until(lambda: int(probe.status['policy_node']['frames']) > frames + 5)
    assert len(policy.observations) == asked


def test_fingers_that_are_silent_do_not_matter_to_who_does_not_need_them(graph: Graph) -> None:
    bench = Bench(graph, ConstantPolicy())
    bench.say('reach the red cube')
    assert bench.until(lambda: bench.probe.chunks, bench.probe.send_frame)
    assert bench.policy.observations[-1].gripper_opening_m is None
    bench.probe.opening_m = 0.02

    def sees_it() -> bool:
        return bench.policy.observations[-1].gripper_opening_m is not None

    assert bench.until(sees_it, bench.probe.send_frame)


def test_a_policy_that_needs_a_gripper_is_told_that_the_arm_has_none(
    graph: Graph, tmp_path: Path
) -> None:
    text = (config_dir() / 'arms' / 'sim.yaml').read_text()
    start, end = text.index('gripper:'), text.index('kinematics:')
    (tmp_path / 'arm.yaml').write_text(text[:start] + text[end:])
    given = [
        Parameter('autostart', value=True),
        Parameter('arm', value=str(tmp_path / 'arm.yaml')),
    ]
    node = PolicyNode(policy=GripPolicy(), context=graph.context, parameter_overrides=given)
    probe = Probe(graph.context)
    graph.executor.add_node(node)
    graph.executor.add_node(probe)
    rhythm = Rhythm(probe.send_frame)

    def told() -> bool:
        rhythm()
        said = probe.status.get('policy_node', {}).get('message', '')
        return f"arm '{ARM.name}' has no gripper in {tmp_path}" in said

    assert graph.spin_until(told), probe.status
    assert not node.active
