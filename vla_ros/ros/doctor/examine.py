"""The whole examination, with or without a graph."""

from __future__ import annotations

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import ConfigError
from vla_ros.ros.doctor.check import Check
from vla_ros.ros.doctor.graph_checks import graph_checks
from vla_ros.ros.doctor.machine import Processors, machine_facts, policy_facts
from vla_ros.ros.doctor.machine_checks import machine_checks
from vla_ros.ros.doctor.observer import Observer
from vla_ros.ros.session import Session

MAX_SECONDS = 60.0
POLICY_THREADS = 1


def examine(
    arm: Embodiment,
    policy: str = 'vla-reach',
    output: str = '',
    seconds: float = 2.0,
    device: str = 'auto',
    domain_id: int | None = None,
) -> list[Check]:
    """Look at this machine and at the graph of `domain_id`, and return every finding.

    Raises:
        ConfigError: the arm has no controller for this output mode, or an absurd duration.
    """
    mode = output or arm.output
    if mode not in arm.controllers:
        raise ConfigError(
            f"output '{mode}': arm '{arm.name}' has {', '.join(arm.controllers)} only"
        )
    if not 0.5 <= seconds <= MAX_SECONDS:
        raise ConfigError(f'seconds: {seconds} is not within 0.5 and {MAX_SECONDS:g}')
    facts = policy_facts(policy, arm, device)  # first: it must not disturb what is measured
    with Session('vla_ros_doctor', domain_id) as session:
        processors = Processors()
        graph = Observer(session, arm).look(seconds)
        machine = machine_facts(processors.busy(), POLICY_THREADS)
        domain = session.context.get_domain_id()
    pixels = max(
        [image.width * image.height for image in graph.images.values()]
        + [camera.width * camera.height for camera in arm.cameras.values()]
    )
    return [
        *machine_checks(arm, facts, machine, pixels),
        *graph_checks(arm, facts, mode, domain, graph),
    ]
