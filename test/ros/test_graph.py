"""The whole graph in one process: simulator, a policy that knows the way, guard, operator."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from fakes import ARM
from rclpy.parameter import Parameter
from ros_graph import Graph

from vla_ros.core.kinematics import tool_jacobian, tool_position
from vla_ros.errors import VlaRosError
from vla_ros.ros import operator, qos
from vla_ros.ros.demo import named_object
from vla_ros.ros.guard_node import GuardNode
from vla_ros.ros.policy_node import PolicyNode
from vla_ros.ros.rollout import RosRollout
from vla_ros.ros.rollout_record import Settled, Update
from vla_ros.ros.sim_node import SimNode
from vla_ros.types import ActionChunk, FloatArray, Observation

SEED = 1_000_974
DEADLINE_S = 30.0


class ExpertPolicy:
    """Drives the tool to the point over the named object, which it is told."""

    cameras = ('front',)

    def __init__(self) -> None:
        self.targets_m: dict[str, FloatArray] = {}

    def reset(self) -> None:
        """Nothing is remembered."""

    def infer(self, observation: Observation) -> ActionChunk:
        name = named_object(observation.instruction, list(self.targets_m))
        if name is None:
            return ActionChunk(np.zeros((8, 7)), 0.1, confidence=0.1, note='I see no such object')
        assert ARM.kinematics is not None
        q = observation.joint_positions_rad
        jacobian = tool_jacobian(ARM.kinematics, q)[:3]
        error = self.targets_m[name] - tool_position(ARM.kinematics, q)
        damped = jacobian @ jacobian.T + 1e-3 * np.eye(3)
        velocity = jacobian.T @ np.linalg.solve(damped, 2.0 * error)
        velocity *= min(1.0, 0.8 / max(1e-9, np.abs(velocity).max()))
        return ActionChunk(np.tile(velocity, (8, 1)), 0.1)


class WholeGraph:
    """Three nodes that spin in a thread, and a client on the same domain."""

    def __init__(self, graph: Graph, output: str = '') -> None:
        def parameters(**values: object) -> list[Parameter]:
            return [Parameter(name, value=value) for name, value in values.items()]

        self.policy = ExpertPolicy()
        small = {'image_width': 64, 'image_height': 48}
        start = parameters(autostart=True)
        nodes = (
            SimNode(context=graph.context, parameter_overrides=parameters(seed=SEED, **small)),
            GuardNode(
                context=graph.context,
                parameter_overrides=parameters(autostart=True, output=output),
            ),
            PolicyNode(policy=self.policy, context=graph.context, parameter_overrides=start),
        )
        for node in nodes:
            graph.executor.add_node(node)
        self.client = RosRollout(ARM, domain_id=graph.context.get_domain_id())
        self._stopping = threading.Event()
        self._spinner = threading.Thread(target=self._spin, args=(graph,), daemon=True)
        self._spinner.start()

    def _spin(self, graph: Graph) -> None:
        while not self._stopping.is_set():
            graph.executor.spin_once(timeout_sec=0.05)

    def reset(self) -> list[str]:
        self.client.wait_until_ready(DEADLINE_S)
        self.policy.targets_m = self.client.reset(SEED)
        return list(self.policy.targets_m)

    def close(self) -> None:
        self.client.close()
        self._stopping.set()
        self._spinner.join()

    def state(self) -> str:
        return self.client.session.value(qos.GUARD_NODE, 'state')

    def until(self, holds: Callable[[], object]) -> bool:
        return self.client.session.spin_until(holds, DEADLINE_S)


@pytest.fixture
def whole(graph: Graph) -> Iterator[WholeGraph]:
    whole = WholeGraph(graph)
    yield whole
    whole.close()


def test_what_is_named_is_reached_and_recorded(whole: WholeGraph) -> None:
    first, second, *_ = whole.reset()
    for target in (first, second):
        rollout = whole.client.run(f'reach the {target}', DEADLINE_S, Settled(target))
        assert rollout.reached(target), rollout.updates[-1]
        assert rollout.believed
        speeds = np.abs(rollout.commands_rad_s).max(axis=0)
        assert (speeds <= ARM.velocity_max_rad_s).all()
        assert speeds.max() > 0.2
        travelled_m = np.ptp(rollout.tool_positions_m, axis=0).max()
        assert travelled_m > 0.05


def test_it_is_reached_by_short_trajectories_too(graph: Graph) -> None:
    whole = WholeGraph(graph, output='trajectory')
    try:
        target = whole.reset()[0]
        rollout = whole.client.run(f'reach the {target}', DEADLINE_S, Settled(target))
        assert rollout.reached(target), rollout.updates[-1]
        assert np.abs(rollout.commands_rad_s).max() > 0.2
    finally:
        whole.close()


def test_what_is_not_there_moves_nothing(whole: WholeGraph) -> None:
    whole.reset()

    def doubted(update: Update) -> bool:
        return update.confidence is not None and update.elapsed_s > 1.0

    rollout = whole.client.run('bring me the purple banana', DEADLINE_S, doubted)
    assert not rollout.believed
    assert rollout.note == 'I see no such object'
    assert np.ptp(rollout.tool_positions_m, axis=0).max() < 0.01
    assert not np.abs(rollout.commands_rad_s).max() > 1e-6


def test_stop_holds_until_it_is_taken_back(whole: WholeGraph) -> None:
    target = whole.reset()[1]

    def moving(update: Update) -> bool:
        return update.joint_speed_rad_s > 0.2

    whole.client.run(f'reach the {target}', DEADLINE_S, moving)
    whole.client.session.say('')
    assert whole.until(lambda: whole.state() == 'stop')
    rollout = whole.client.run(f'reach the {target}', 1.0)
    assert rollout.updates[-1].guard_state == 'stop'
    assert rollout.updates[-1].joint_speed_rad_s == 0.0
    whole.client.rearm()
    rollout = whole.client.run(f'reach the {target}', DEADLINE_S, Settled(target))
    assert rollout.reached(target)


def test_an_operator_in_another_process_is_heard(
    whole: WholeGraph, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole.reset()
    monkeypatch.setenv('ROS_DOMAIN_ID', str(graph.context.get_domain_id()))
    assert operator.say('reach the moon') >= 2
    instruction = ''

    def heard() -> bool:
        nonlocal instruction
        instruction = whole.client.session.value(qos.POLICY_NODE, 'instruction')
        return instruction == 'reach the moon'

    assert whole.until(heard)
    operator.stop()
    assert whole.until(lambda: whole.state() == 'stop')
    operator.rearm()
    assert whole.until(lambda: whole.state() != 'stop')
    places = operator.reset(3)
    assert len(places) == 4
    shown: list[operator.Snapshot] = []
    operator.watch(shown.append, once=True)
    assert set(shown[0].status) == {qos.SIM_NODE, qos.POLICY_NODE, qos.GUARD_NODE}
    assert list(shown[0].velocities_rad_s) == list(ARM.joints)
    with pytest.raises(VlaRosError, match='seed -1, task reach refused'):
        operator.reset(-1)
