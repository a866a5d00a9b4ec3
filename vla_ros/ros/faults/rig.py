"""A running graph to break: real guard, policy and simulated arm as processes, and an observer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

from vla_ros.core.embodiment import load_arm
from vla_ros.core.limiter import BRAKING_SHARE
from vla_ros.errors import VlaRosError
from vla_ros.ros import qos
from vla_ros.ros.bringup import NodeSpec, node_specs
from vla_ros.ros.faults import faulty_sim, partition, swing
from vla_ros.ros.faults.verdict import Record
from vla_ros.ros.local_graph import LocalGraph, local_processes
from vla_ros.ros.session import Session

_MODULES = {qos.SIM_NODE: faulty_sim, qos.POLICY_NODE: swing}
_ARGUMENTS = {
    'arm': swing.ARM,
    'policy': 'hold',  # replaced by the swinging one
    'instruction': swing.SWING,
    'image_width': '64',
    'image_height': '48',
}
_EVERY_MESSAGE = 1000
_TO_SPEED_S = 30.0
_HIT_S = 3.0
_REARM_S = 0.1
_AGREE_S = 5.0
_ANSWER_S = 1.0
_MEET_S = 15.0
_ENDS = {
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_CLEANUP: State.PRIMARY_STATE_UNCONFIGURED,
}
_SPIN_S = 0.02
_FULL = 0.99
_CHUNK_PERIOD_S = 0.07


@dataclass(frozen=True)
class Setup:
    """Which graph a fault needs."""

    output: str = 'velocity'
    sim_time: bool = False
    partition: bool = False


class Rig:
    """Brings the arm to full speed, breaks something, and records what the arm is told.

    Attributes:
        commands: what arrived at the arm's command input.
        motion: velocities of the arm's joints.
        lines: what each process has printed since it was started last.
        rival: the second publisher on the command topic, while there is one.
        turn: which of several variants of a fault is next.
        calm_s: control periods while nothing was wrong, to compare with.
        flooded_s: control periods while something was.
    """

    def __init__(self, graph: LocalGraph, lines: dict[str, list[str]], setup: Setup) -> None:
        """Observe a graph; see `rig`."""
        self.arm = load_arm(swing.ARM)
        self.session = Session('vla_ros_faults', graph.domain_id)
        self.setup = setup
        self.lines = lines
        self.commands, self.motion = Record(), Record()
        self._graph = graph
        self.rival: Any = None
        self.turn = 0
        self.calm_s: list[float] = []
        self.flooded_s: list[float] = []
        self._away_rad = 0.0
        self._strangers = {qos.POLICY_NODE, qos.GUARD_NODE}
        node, arm = self.session.node, self.arm
        self._faults = node.create_publisher(String, faulty_sim.FAULT_TOPIC, qos.INSTRUCTION)
        listen = node.create_subscription
        listen(Float64MultiArray, arm.velocity_topic(), self._on_velocity, _EVERY_MESSAGE)
        listen(JointTrajectory, arm.trajectory_topic(), self._on_trajectory, _EVERY_MESSAGE)
        listen(JointState, arm.joint_states_topic, self._on_joint_state, qos.SENSOR)

    @property
    def period_s(self) -> float:
        """Time between two commands."""
        return 1.0 / self.arm.guard_rate_hz

    @property
    def stop_s(self) -> float:
        """How long braking from full speed may take: v/a' and two periods."""
        speed = self.arm.velocity_max_rad_s[swing.JOINT]
        braking = BRAKING_SHARE * self.arm.acceleration_max_rad_s2[swing.JOINT]
        return float(speed / braking) + 2.0 * self.period_s

    def _on_velocity(self, message: Float64MultiArray, info: Mapping[str, Any]) -> None:
        self.commands.add(*_times_ns(info), np.array(message.data))

    def _on_trajectory(self, message: JointTrajectory, info: Mapping[str, Any]) -> None:
        self.commands.add(*_times_ns(info), np.array(next(iter(message.points)).velocities))

    def _on_joint_state(self, message: JointState, info: Mapping[str, Any]) -> None:
        joints = dict(zip(message.name, message.velocity, strict=True))
        self.motion.add(*_times_ns(info), np.array([joints[j] for j in self.arm.joints]))
        k = list(message.name).index(self.arm.joints[swing.JOINT])
        self._away_rad = message.position[k] - self.arm.home_rad[swing.JOINT]

    def full_speed(self, room_s: float) -> None:
        """Bring the arm to full speed, with room to go on like that for a while.

        Raises:
            VlaRosError: it does not get there.
        """
        self._meet()
        deadline_s, next_rearm_s = time.monotonic() + _TO_SPEED_S, 0.0
        # Not always at the same moment between two chunks.
        patience_s, fast_since_s = random.uniform(0.0, _CHUNK_PERIOD_S), None
        while fast_since_s is None or time.monotonic() - fast_since_s < patience_s:
            if not self._is_fast(room_s):
                fast_since_s = None
            elif fast_since_s is None:
                fast_since_s = time.monotonic()
            self.session.executor.spin_once(timeout_sec=_SPIN_S)
            self._graph.check()
            now_s = time.monotonic()
            if now_s > deadline_s:
                said = '; '.join(f'{n}: {s.message}' for n, s in self.session.status.items())
                raise VlaRosError(f'the arm does not swing. {said}')
            if self.state() == 'stop' and now_s > next_rearm_s:
                self.rearm()
                next_rearm_s = time.monotonic() + _REARM_S

    def _is_fast(self, room_s: float) -> bool:
        if not self.commands.velocities_rad_s or not self.motion.velocities_rad_s:
            return False
        full_rad_s = float(self.arm.velocity_max_rad_s[swing.JOINT])
        commanded = float(self.commands.velocities_rad_s[-1][swing.JOINT])
        moves = float(self.motion.velocities_rad_s[-1][swing.JOINT])
        ahead_rad = swing.AMPLITUDE_RAD - self._away_rad * np.sign(commanded)
        fast = abs(commanded) > _FULL * full_rad_s and moves / commanded > 0.9
        return fast and ahead_rad > full_rad_s * room_s

    def state(self) -> str:
        """Return the guard's state as it was said last."""
        return self.session.value(qos.GUARD_NODE, 'state')

    def rearm(self) -> bool:
        """Re-arm the guard; return whether it agreed."""
        try:
            self.session.trigger(qos.REARM_SERVICE)
        except VlaRosError:
            return False
        self.session.status.pop(qos.GUARD_NODE, None)  # it still says stop
        return True

    def say(self, instruction: str) -> int:
        """Tell the policy to misbehave; return when it did."""
        return self._hit(qos.POLICY_NODE, lambda: self.session.say(instruction))

    def spoil(self, fault: str) -> int:
        """Let sensors or clock of the simulated arm fail; return when they did."""
        message = String(data=fault)
        return self._hit(qos.SIM_NODE, lambda: self._faults.publish(message))

    def _hit(self, process: str, inject: Callable[[], object]) -> int:
        lines = self.lines[process] = []
        inject()
        prefix = swing.FAULT_PREFIX
        if not self.session.spin_until(lambda: any(n.startswith(prefix) for n in lines), _HIT_S):
            raise VlaRosError(f'{process} did not obey: {self.lines[process][-3:]}')
        line = next(line for line in lines if line.startswith(prefix))
        return int(line.removeprefix(prefix))

    def signal(self, process: str, number: int) -> int:
        """Send a signal to a process; return when."""
        now_ns = time.monotonic_ns()
        self._graph.processes.send_signal(process, number)
        return now_ns

    def wait_for_exit(self, process: str, timeout_s: float) -> int | None:
        """Wait until a process has ended; return its exit code, None if it has not."""
        exit_code = self._graph.processes.exit_code
        self.session.spin_until(lambda: exit_code(process) is not None, timeout_s)
        return exit_code(process)

    def restart(self, process: str) -> None:
        """Start a process again."""
        self.lines[process] = []
        self._graph.processes.restart(process)
        self.session.status.pop(process, None)
        self._strangers.add(process)

    def change_state(self, process: str, transition: int) -> None:
        """Ask a lifecycle node for a transition, until its inputs are there and it agrees.

        An answer may get lost: what state the node is in then says whether to ask again.

        Raises:
            VlaRosError: it goes on refusing.
        """
        deadline_s = time.monotonic() + _AGREE_S
        while not self._agrees(process, transition) and self._state(process) != _ENDS[transition]:
            if time.monotonic() > deadline_s:
                raise VlaRosError(f'{process} refused transition {transition}')
            self.session.spin(_SPIN_S)

    def _agrees(self, process: str, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        service = f'/{process}/change_state'
        try:
            return self.session.call(ChangeState, service, request, _ANSWER_S).success
        except VlaRosError:
            return False

    def _state(self, process: str) -> int:
        service = f'/{process}/get_state'
        request = GetState.Request()
        return self.session.call(GetState, service, request, again=True).current_state.id

    def _meet(self) -> None:
        """Call every service that a fault uses once, so that no answer gets lost later."""
        request = ChangeState.Request(transition=Transition(label='refused, but answered'))
        for process in self._strangers:
            self.session.spin_until(lambda p=process: p in self.session.status, _MEET_S)
            service = f'/{process}/change_state'
            self.session.call(ChangeState, service, request, _MEET_S, again=True)
            if process == qos.GUARD_NODE:
                self.session.trigger(qos.STOP_SERVICE, _MEET_S)
        self._strangers.clear()


def _times_ns(info: Mapping[str, Any]) -> tuple[int, int]:
    """Return when DDS received a message and when it was sent, on the monotonic clock.

    Not when Python came to read it: the observer's own delays are no delays of the guard.
    """
    to_monotonic_ns = time.monotonic_ns() - time.time_ns()
    received_ns, sent_ns = int(info['received_timestamp']), int(info['source_timestamp'])
    return received_ns + to_monotonic_ns, sent_ns + to_monotonic_ns


def _specs(setup: Setup) -> list[NodeSpec]:
    specs = []
    for spec in node_specs(_ARGUMENTS | {'output': setup.output}):
        parameters = dict(spec.parameters)
        if setup.sim_time:
            key = 'publish_clock' if spec.name == qos.SIM_NODE else 'use_sim_time'
            parameters[key] = True
        module = _MODULES.get(spec.name)
        if setup.partition and spec.name == qos.POLICY_NODE:
            module = partition
        name = module.__name__ if module else ''
        specs.append(replace(spec, parameters=parameters, module=name))
    return specs


@contextmanager
def rig(setup: Setup) -> Iterator[Rig]:
    """Start a graph on a domain of its own, and end it on leaving.

    Raises:
        NotPossibleError: this machine cannot have such a graph.
    """
    lines: dict[str, list[str]] = {}

    def on_line(name: str, line: str) -> None:
        lines.setdefault(name, []).append(line)

    network = partition.namespace() if setup.partition else nullcontext()
    with network, local_processes(_specs(setup), on_line) as graph:
        running = Rig(graph, lines, setup)
        try:
            yield running
        finally:
            running.session.close()
