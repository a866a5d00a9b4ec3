"""All checks of a graph, or the one that says that there is none."""

from __future__ import annotations

from vla_ros.core.embodiment import Embodiment
from vla_ros.ros.doctor.camera_checks import camera_checks
from vla_ros.ros.doctor.check import Check, bad, good
from vla_ros.ros.doctor.command_checks import command_checks
from vla_ros.ros.doctor.joint_checks import joint_checks
from vla_ros.ros.doctor.snapshot import GraphSnapshot, PolicyFacts


def graph_checks(
    arm: Embodiment, policy: PolicyFacts, output: str, domain_id: int, graph: GraphSnapshot
) -> list[Check]:
    """Return the checks of a graph for an arm, a policy and an output mode."""
    if graph.empty:
        return [
            bad(
                'graph',
                f'nobody on ROS_DOMAIN_ID {domain_id} has anything to do with arm {arm.name}',
                "start your arm's driver and cameras, or 'vla-ros up' for the simulated arm",
            )
        ]
    return [
        good('graph', f'ROS_DOMAIN_ID {domain_id}'),
        *joint_checks(arm, graph),
        *camera_checks(arm, policy, graph),
        *command_checks(arm, output, graph),
    ]
