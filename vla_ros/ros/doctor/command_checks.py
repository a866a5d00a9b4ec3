"""Checks of the way out: a controller listens, and nobody but the guard commands it."""

from __future__ import annotations

from vla_ros.core.embodiment import Embodiment
from vla_ros.ros import qos
from vla_ros.ros.doctor.check import Check, fatal, good, unknown
from vla_ros.ros.doctor.snapshot import GraphSnapshot

MESSAGE_TYPES = {
    'velocity': 'std_msgs/msg/Float64MultiArray',
    'trajectory': 'trajectory_msgs/msg/JointTrajectory',
}


def command_checks(arm: Embodiment, output: str, graph: GraphSnapshot) -> list[Check]:
    """Return the checks of the command topics for an output mode."""
    return [controller(arm, output, graph), rivals(graph), nodes(graph)]


def command_topic(arm: Embodiment, output: str) -> str:
    """Return the command topic of an output mode."""
    return arm.velocity_topic() if output == 'velocity' else arm.trajectory_topic()


def controller(arm: Embodiment, output: str, graph: GraphSnapshot) -> Check:
    """The arm's controller listens to what the guard sends."""
    name, topic = 'controller', command_topic(arm, output)
    found = graph.controllers.get(topic, ())
    if not found:
        return fatal(
            name,
            f'nobody listens on {topic}',
            f'start and activate controller {arm.controllers[output]}, or take another output:=',
        )
    wrong = [c for c in found if c.message_type != MESSAGE_TYPES[output]]
    if wrong:
        return fatal(
            name,
            f'{wrong[0].node} expects {wrong[0].message_type} on {topic}',
            f'the controller for output {output} must take {MESSAGE_TYPES[output]}',
        )
    if deaf := [c for c in found if c.mismatch]:
        return fatal(
            name,
            f'{deaf[0].node} cannot hear the guard on {topic}: {deaf[0].mismatch}',
            'it must subscribe with durability volatile and without deadline or lease',
        )
    return good(name, f'{found[0].node} listens on {topic}')


def rivals(graph: GraphSnapshot) -> Check:
    """Nobody but one guard publishes commands, whatever the output mode."""
    name = 'commands'
    for topic, publishers in graph.commanders.items():
        others = [p.node for p in publishers if p.node != qos.GUARD_NODE]
        others += [qos.GUARD_NODE] * (len(publishers) - len(others) - 1)
        if others:
            return fatal(
                name,
                f'{", ".join(others)} publishes on {topic}, too',
                'end it: two commanders fight, and the guard stops when it sees another',
            )
    if not any(graph.commanders.values()):
        return unknown(name, 'nobody commands the arm; vla-ros up starts the guard')
    return good(name, 'the guard alone')


def nodes(graph: GraphSnapshot) -> Check:
    """What the nodes say of themselves."""
    name = 'diagnostics'
    if graph.problems:
        node, problem = next(iter(graph.problems.items()))
        return Check(name, False, f'{node}: {problem}', 'vla-ros watch shows more')
    return good(name, 'no node reports an error')
