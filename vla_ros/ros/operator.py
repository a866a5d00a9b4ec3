"""What an operator does: say, stop, re-arm, reset the simulation, and look."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from sensor_msgs.msg import JointState

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ObservationError, VlaRosError
from vla_ros.ros import qos
from vla_ros.ros.instruction import clean_instruction
from vla_ros.ros.session import START_HINT, Session, Status

_STALE_S = 1.0
_LINGER_S = 0.3
_NODES = 3
_ARRIVE_S = 2.0  # a real arm has no sim_node: go on without


@dataclass(frozen=True)
class Snapshot:
    """What is known about the graph at one moment.

    Attributes:
        status: node name → its diagnostics, only of those heard within the last second.
        velocities_rad_s: joint → measured velocity.
        velocity_max_rad_s: joint → limit.
    """

    status: Mapping[str, Status]
    velocities_rad_s: Mapping[str, float] = field(default_factory=dict)
    velocity_max_rad_s: Mapping[str, float] = field(default_factory=dict)


def say(instruction: str, timeout_s: float = 5.0) -> int:
    """Publish an instruction, empty for stop; return how many nodes heard it.

    Raises:
        VlaRosError: too long, or with control characters.
    """
    try:
        cleaned = clean_instruction(instruction)
    except ObservationError as error:
        raise VlaRosError(str(error)) from error
    with Session() as session:
        listeners = session.say(cleaned, timeout_s)
        session.spin(_LINGER_S)  # leaving at once could take the message along
        return listeners


def stop() -> str:
    """Stop the arm until it is re-armed; return the guard's answer."""
    with Session() as session:
        return session.trigger(qos.STOP_SERVICE)


def rearm() -> str:
    """Let the arm move again; return the guard's answer."""
    with Session() as session:
        return session.trigger(qos.REARM_SERVICE)


def reset(seed: int, task: str = 'reach') -> dict[str, list[float]]:
    """Put the simulated arm at home and other things on the table; return where they are."""
    with Session() as session:
        scene = reset_scene(session, seed, task)
        things = scene['objects'] | scene['containers']
        return {name: place['position_m'] for name, place in things.items()}


def reset_scene(
    session: Session, seed: int, task: str = 'reach'
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Reset sim_node with a seed, to a scene for a task; return its answer.

    Raises:
        VlaRosError: sim_node is not there, or refuses the seed or the task.
    """
    number = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
    name = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=task)
    parameters = [Parameter(name='seed', value=number), Parameter(name='task', value=name)]
    request = SetParameters.Request(parameters=parameters)
    service = f'/{qos.SIM_NODE}/set_parameters'
    response = session.call(SetParameters, service, request, again=True)
    for result in response.results:
        if not result.successful:
            raise VlaRosError(f'seed {seed}, task {task} refused: {result.reason}')
    return json.loads(session.trigger(qos.SIM_RESET_SERVICE))


def watch(
    show: Callable[[Snapshot], None],
    *,
    arm: str = 'sim',
    once: bool = False,
    timeout_s: float = 5.0,
    period_s: float = 0.1,
) -> None:
    """Call `show` with a snapshot ten times a second until interrupted, or once.

    Raises:
        VlaRosError: no node says anything within `timeout_s`.
    """
    embodiment = load_arm(arm)
    limits = dict(zip(embodiment.joints, embodiment.velocity_max_rad_s.tolist(), strict=True))
    velocities: dict[str, float] = {}

    def on_joint_state(message: JointState) -> None:
        velocities.update(zip(message.name, message.velocity, strict=False))

    with Session() as session:
        session.node.create_subscription(
            JointState, embodiment.joint_states_topic, on_joint_state, qos.SENSOR
        )
        if not session.spin_until(lambda: session.status, timeout_s):
            raise VlaRosError(f'no node says anything on {qos.DIAGNOSTICS_TOPIC}; {START_HINT}')
        session.spin_until(lambda: len(session.status) >= _NODES and velocities, _ARRIVE_S)
        while True:
            now_s = time.monotonic()
            fresh = {n: s for n, s in session.status.items() if now_s - s.received_s < _STALE_S}
            arm_velocities = {j: velocities[j] for j in limits if j in velocities}
            show(Snapshot(fresh, arm_velocities, limits))
            if once:
                return
            session.spin(period_s)
