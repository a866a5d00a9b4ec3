"""Nodes that start themselves, and parameters that are checked as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_graph import Graph

from vla_ros.errors import ConfigError, VlaRosError
from vla_ros.ros.lifecycle import ManagedNode
from vla_ros.ros.parameters import read_parameters, refuse_unknown_parameters


class ShyNode(ManagedNode):
    """May be active at the third try only."""

    def __init__(self, context: Context, broken: str = '') -> None:
        super().__init__('shy', context=context)
        self.calls: list[str] = []
        self.problems: list[str] = []
        self.broken = broken

    def configure(self) -> None:
        self.calls.append('configure')
        if self.broken == 'configure':
            raise ConfigError('no such file')

    def activate(self) -> None:
        self.problems.append(self.problem)
        self.calls.append('activate')
        if self.calls.count('activate') < 3:
            raise VlaRosError('no joint states yet')

    def deactivate(self) -> None:
        self.calls.append('deactivate')
        if self.broken == 'deactivate':
            raise RuntimeError('a bug')

    def cleanup(self) -> None:
        self.calls.append('cleanup')


def test_it_tries_until_it_may_and_says_why_not(graph: Graph) -> None:
    node = ShyNode(graph.context)
    graph.executor.add_node(node)
    node.start_by_itself()
    assert graph.spin_until(lambda: node.active)
    assert node.calls == ['configure', 'activate', 'activate', 'activate']
    assert node.problems == ['', 'no joint states yet', 'no joint states yet']
    assert node.problem == ''


def test_what_does_not_heal_is_raised(graph: Graph) -> None:
    node = ShyNode(graph.context, broken='configure')
    graph.executor.add_node(node)
    node.start_by_itself()
    with pytest.raises(VlaRosError, match='no such file'):
        graph.spin_until(lambda: node.active)


def test_a_bug_in_a_transition_does_not_leave_the_node_active(graph: Graph) -> None:
    node = ShyNode(graph.context, broken='deactivate')
    node.trigger_configure()
    for _ in range(3):
        node.trigger_activate()
    assert node.active
    node.trigger_deactivate()
    assert not node.active
    assert 'a bug' in node.problem


def test_shutdown_of_an_active_node_deactivates_it_first(graph: Graph) -> None:
    node = ShyNode(graph.context)
    node.trigger_configure()
    for _ in range(3):
        node.trigger_activate()
    node.trigger_shutdown()
    assert node.calls[-2:] == ['deactivate', 'cleanup']
    assert not node.active


@dataclass(frozen=True)
class Config:
    name: str = 'arm'
    rate_hz: float = 10.0
    count: int = 1
    enabled: bool = False
    joints: tuple[str, ...] = ('a', 'b')

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f'count is {self.count}')


def node_with(context: Context, **values: object) -> Node:
    return Node(
        'configured',
        context=context,
        parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
        automatically_declare_parameters_from_overrides=True,
    )


def test_parameters_become_a_dataclass(ros_context: Context) -> None:
    node = node_with(ros_context, rate_hz=3, joints=['x', 'y'], name=7)
    config = read_parameters(node, Config)
    assert config == Config(name='7', rate_hz=3.0, joints=('x', 'y'))
    assert isinstance(config.rate_hz, float)
    assert node.get_parameter('count').value == 1
    refuse_unknown_parameters(node, Config)


@pytest.mark.parametrize(
    ('values', 'says'),
    [
        ({'count': 1.5}, "'count' must be a int, got 1.5"),
        ({'count': True}, "'count' must be a int, got True"),
        ({'enabled': 'yes'}, "'enabled' must be a bool, got 'yes'"),
        ({'joints': 'a'}, "'joints' must be a tuple"),
        ({'count': 0}, 'count is 0'),
        ({'cuont': 3}, "no parameter 'cuont'; it has: count, enabled"),
    ],
)
def test_a_bad_parameter_is_named(
    ros_context: Context, values: dict[str, object], says: str
) -> None:
    node = node_with(ros_context, **values)
    with pytest.raises(ConfigError, match=says):
        read_parameters(node, Config)
        refuse_unknown_parameters(node, Config)
