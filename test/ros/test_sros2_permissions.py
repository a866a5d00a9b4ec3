"""What the nodes really publish, hear and serve is within what their enclaves may do."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from fakes import ARM, ConstantPolicy, Probe
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_graph import Graph

from vla_ros.ros import qos
from vla_ros.ros.doctor.observer import Observer
from vla_ros.ros.guard_node import GuardNode
from vla_ros.ros.policy_node import PolicyNode
from vla_ros.ros.rollout import RosRollout
from vla_ros.ros.session import Session
from vla_ros.ros.sim_node import SimNode
from vla_ros.ros.sros2_policy import permissions, policy_xml

ESTOP = '/estop'


def named(**values: object) -> list[Parameter]:
    return [Parameter(name, value=value) for name, value in values.items()]


def allowed(node: str, kind: str, verb: str) -> set[str]:
    policy = ElementTree.fromstring(policy_xml(permissions(ARM, ESTOP)))
    (enclave,) = (e for e in policy.iter('enclave') if e.get('path') == f'/vla_ros/{node}')
    return {
        str(name.text).replace('~', f'/{node}')
        for rules in enclave.iter(f'{kind}s')
        if rules.get(verb) == 'ALLOW'
        for name in rules
    }


def seen(probe: Node, node: str) -> dict[tuple[str, str], set[str]]:
    lists = {
        ('topic', 'publish'): probe.get_publisher_names_and_types_by_node,
        ('topic', 'subscribe'): probe.get_subscriber_names_and_types_by_node,
        ('service', 'reply'): probe.get_service_names_and_types_by_node,
        ('service', 'request'): probe.get_client_names_and_types_by_node,
    }
    return {rule: {name for name, _ in names(node, '/')} for rule, names in lists.items()}


def make(node: str, graph: Graph) -> Node:
    more = {'context': graph.context}
    if node == qos.GUARD_NODE:
        return GuardNode(parameter_overrides=named(estop_topic=ESTOP), **more)
    if node == qos.POLICY_NODE:
        made = PolicyNode(policy=ConstantPolicy(('front', 'wrist')), **more)
        made.trigger_configure()
        return made
    small = named(image_width=32, image_height=24, publish_clock=True)
    return SimNode(parameter_overrides=small, **more)


@pytest.mark.parametrize('node', [qos.GUARD_NODE, qos.POLICY_NODE, qos.SIM_NODE])
@pytest.mark.parametrize('use_sim_time', [False, True])
def test_a_node_does_nothing_that_its_enclave_may_not(
    graph: Graph, node: str, use_sim_time: bool
) -> None:
    probe = Probe(graph.context)
    graph.executor.add_node(probe)
    made = make(node, graph)
    graph.executor.add_node(made)
    if use_sim_time and node != qos.SIM_NODE:
        made.set_parameters(named(use_sim_time=True))

    def known() -> bool:
        found = seen(probe, node)
        return qos.DIAGNOSTICS_TOPIC in found['topic', 'publish'] and bool(
            found['service', 'reply']
        )

    assert graph.spin_until(known)
    for (kind, verb), names in seen(probe, node).items():
        assert names <= allowed(node, kind, verb), f'{kind} {verb}'


def doctor(domain_id: int) -> Session:
    session = Session('visitor', domain_id)
    Observer(session, ARM)
    return session


def rollout(domain_id: int) -> Session:
    return RosRollout(ARM, cameras=tuple(ARM.cameras), domain_id=domain_id).session


@pytest.mark.parametrize('visit', [doctor, rollout])
def test_a_visitor_does_nothing_that_the_operators_enclave_may_not(
    graph: Graph, visit: Callable[[int], Session]
) -> None:
    probe = Probe(graph.context)
    graph.executor.add_node(probe)
    with visit(graph.context.get_domain_id()) as session:
        name = session.node.get_name()
        heard = {ARM.joint_states_topic if visit is doctor else qos.SIM_TOOL_TOPIC}

        def known() -> bool:
            found = {node for node, _ in probe.get_node_names_and_namespaces()}
            return name in found and heard <= seen(probe, name)['topic', 'subscribe']

        assert graph.spin_until(known)
        found = seen(probe, name)
    assert qos.INSTRUCTION_TOPIC in found['topic', 'publish']
    for (kind, verb), names in found.items():
        assert names <= allowed('operator', kind, verb), f'{kind} {verb}'


def test_an_operator_may_call_what_the_commands_call() -> None:
    wanted = {qos.STOP_SERVICE, qos.REARM_SERVICE, qos.SIM_RESET_SERVICE}
    wanted.add(f'/{qos.SIM_NODE}/set_parameters')
    assert wanted <= allowed('operator', 'service', 'request')


def test_the_guard_may_reset_the_policy_when_the_estop_is_pressed() -> None:
    assert qos.INSTRUCTION_TOPIC in allowed(qos.GUARD_NODE, 'topic', 'publish')
