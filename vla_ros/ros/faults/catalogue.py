"""Every fault that the suite injects: how, how it is undone, and what has to follow."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from lifecycle_msgs.msg import Transition
from std_msgs.msg import Float64MultiArray, String

from vla_ros.ros import qos
from vla_ros.ros.faults import faulty_sim, partition, swing
from vla_ros.ros.faults.rig import Rig, Setup
from vla_ros.ros.faults.verdict import (
    EXIT_S,
    Verdict,
    braked,
    came_to_rest,
    ended_at_rest,
    even_ticks,
)
from vla_ros.ros.trajectory_player import TRACKING_GAIN_1_S

POLICY_SILENT_S = 0.15
CAMERA_SILENT_S = 0.2
JOINTS_SILENT_S = 0.12  # 0.1 s and two periods of the simulated arm's guard
AT_ONCE_S = 0.05
RIVAL_S = 1.0
CLOCK_PAUSED_S = 0.22
_WATCH_S = 0.1
_TIMEOUT_S = 1.0
_RESTING_RAD_S = 0.02  # of a joint that holds its position
# What the guard sent last is played to its end, 0.03 s and a stop time of 0.17 s; four time
# constants more until the arm has caught up with it.
_PLAYED_S = 0.2 + 4.0 / TRACKING_GAIN_1_S
_TRAJECTORY_ZEROS = 3  # at rest a trajectory controller is told so a few times, then no more
_FLOOD_S, _FLOOD_HZ, _FLOOD_SHARE = 5.0, 1000, 1.1

VELOCITY, TRAJECTORY, SIM_TIME = Setup(), Setup(output='trajectory'), Setup(sim_time=True)
PARTITION = Setup(partition=True)

Inject = Callable[[Rig], int]
"""Does the harm; returns when it took effect, on the monotonic clock in nanoseconds."""


def brakes(rig: Rig, fault: Fault, fault_ns: int) -> Verdict:
    """The command falls within the limit, is zero a stop time later, and stays there."""
    zeros = round(fault.watch_s / rig.period_s)
    if rig.setup.output == 'trajectory':
        zeros = _TRAJECTORY_ZEROS
    timeout_s = fault.limit_s + rig.stop_s + fault.watch_s + _TIMEOUT_S
    rig.session.spin_until(lambda: rig.commands.resting(zeros), timeout_s)
    return braked(rig.commands, fault_ns, fault.limit_s, rig.stop_s)


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: as the table and `--only` say it.
        inject: does the harm while the arm moves at full speed.
        undo: repairs it; bringing the arm back to speed re-arms the guard where that is needed.
        limit_s: of the reaction.
        judge: says after the injection whether the reaction was right.
        setup: the graph that it needs.
        quick: repeats of the quick profile.
        watch_s: how long the arm has to stay at rest.
        room_s: how long the arm must be able to go on without turning.
        inference: the control period is judged while it lasts.
    """

    name: str
    inject: Inject
    undo: Callable[[Rig], object]
    limit_s: float = POLICY_SILENT_S
    judge: Callable[[Rig, Fault, int], Verdict] = brakes
    setup: Setup = VELOCITY
    quick: int = 20
    full: int = 50
    watch_s: float = _WATCH_S
    room_s: float = 0.3
    inference: bool = False


def _says(instruction: str) -> Inject:
    return lambda rig: rig.say(instruction)


def _spoils(fault: str) -> Inject:
    return lambda rig: rig.spoil(fault)


def _signals(process: str, number: int) -> Inject:
    return lambda rig: rig.signal(process, number)


def _changes(process: str, *transitions: int) -> Inject:
    def inject(rig: Rig) -> int:
        now_ns = time.monotonic_ns()
        for transition in transitions:
            rig.change_state(process, transition)
        return now_ns

    return inject


def _restart(process: str) -> Callable[[Rig], None]:
    return lambda rig: rig.restart(process)


def _swing_again(rig: Rig) -> None:
    rig.signal(qos.POLICY_NODE, signal.SIGUSR1)
    rig.session.say(swing.SWING)


def _thread_again(rig: Rig) -> None:
    rig.change_state(qos.POLICY_NODE, Transition.TRANSITION_DEACTIVATE)
    rig.change_state(qos.POLICY_NODE, Transition.TRANSITION_ACTIVATE)


def _heal(rig: Rig) -> None:
    rig.spoil(faulty_sim.HEALTHY)


def _slow(rig: Rig) -> int:
    seconds = (0.5, 1.0, 2.0, 5.0, 10.0)
    rig.slow_times += 1
    return rig.say(f'{swing.SLOW}{seconds[rig.slow_times % len(seconds)]}')


def _unplug(rig: Rig) -> int:
    del rig
    now_ns = time.monotonic_ns()
    partition.connect(False)
    return now_ns


def _estop(rig: Rig) -> int:
    now_ns = time.monotonic_ns()
    rig.session.trigger(qos.STOP_SERVICE)
    return now_ns


def _rival(rig: Rig) -> int:
    rig.rival = rig.session.node.create_publisher(
        Float64MultiArray, rig.arm.velocity_topic(), qos.COMMAND
    )
    return time.monotonic_ns()


def _no_rival(rig: Rig) -> None:
    rig.session.node.destroy_publisher(rig.rival)


def _flood(rig: Rig) -> int:
    """Say the instruction a thousand times a second, from a thread of its own."""
    rig.commands.clear()
    rig.session.spin(_FLOOD_S)
    rig.undisturbed_s = even_ticks(rig.commands.intervals_s(0), 0.0).reaction_s
    rig.commands.clear()
    now_ns = time.monotonic_ns()
    publisher = rig.session.node.create_publisher(String, qos.INSTRUCTION_TOPIC, qos.INSTRUCTION)
    message = String(data=swing.SWING)

    def publish() -> None:
        for k in range(round(_FLOOD_S * _FLOOD_HZ)):
            publisher.publish(message)
            due_s = now_ns * 1e-9 + (k + 1) / _FLOOD_HZ
            time.sleep(max(0.0, due_s - time.monotonic()))

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    rig.session.spin_until(lambda: not thread.is_alive(), 2 * _FLOOD_S)
    rig.session.node.destroy_publisher(publisher)
    return now_ns


def ticks_as_before(rig: Rig, fault: Fault, fault_ns: int) -> Verdict:
    """The 99th percentile of the control period is at most a tenth above the undisturbed one."""
    limit_s = max(fault.limit_s, _FLOOD_SHARE * rig.undisturbed_s)
    return even_ticks(rig.commands.intervals_s(fault_ns), limit_s)


def brakes_and_exits(rig: Rig, fault: Fault, fault_ns: int) -> Verdict:
    """The command falls to zero, and the process ends in time and in order."""
    verdict = brakes(rig, fault, fault_ns)
    return verdict if verdict.problem else Verdict(verdict.reaction_s, _exit_problem(rig))


def _exit_problem(rig: Rig, process: str = qos.POLICY_NODE) -> str:
    code = rig.wait_for_exit(process, EXIT_S)
    if code != 0:
        return f'exit code {code}' if code else f'{process} still runs after {EXIT_S:g} s'
    return 'traceback' if any('Traceback' in line for line in rig.lines[process]) else ''


def guard_exits(rig: Rig, fault: Fault, fault_ns: int) -> Verdict:
    """A ramp, five zeros, then the end of the process, in order."""
    problem = _exit_problem(rig, qos.GUARD_NODE)
    return _guard_ended(rig, fault_ns, problem)


def guard_falls_silent(rig: Rig, fault: Fault, fault_ns: int) -> Verdict:
    """A ramp and five zeros before the transition is over."""
    return _guard_ended(rig, fault_ns, '')


def _guard_ended(rig: Rig, fault_ns: int, problem: str) -> Verdict:
    end_ns = time.monotonic_ns()
    rig.session.spin(_WATCH_S)
    verdict = ended_at_rest(rig.commands, fault_ns, end_ns)
    return verdict if verdict.problem else Verdict(verdict.reaction_s, problem)


def arm_rests(rig: Rig, fault: Fault, fault_ns: int) -> Verdict:
    """The arm itself comes to rest, although nobody commands it any more."""
    zeros = round(fault.watch_s / rig.period_s)
    timeout_s = fault.limit_s + fault.watch_s + _TIMEOUT_S
    rig.session.spin_until(lambda: rig.motion.resting(zeros, _RESTING_RAD_S), timeout_s)
    return came_to_rest(rig.motion, fault_ns, fault.limit_s, _RESTING_RAD_S)


def _continued(rig: Rig, fault: Fault, fault_ns: int) -> Verdict:
    """After SIGCONT a policy that was away for too long moves nothing without a re-arm."""
    verdict = brakes(rig, fault, fault_ns)
    rig.signal(qos.POLICY_NODE, signal.SIGCONT)
    rig.session.spin(fault.watch_s)
    again = braked(rig.commands, fault_ns, fault.limit_s, rig.stop_s)
    return verdict if verdict.problem else again


def _go_on(rig: Rig) -> None:
    rig.signal(qos.POLICY_NODE, signal.SIGCONT)


_POLICY, _GUARD = qos.POLICY_NODE, qos.GUARD_NODE
_DEACTIVATE, _ACTIVATE = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE
_CLEANUP, _CONFIGURE = Transition.TRANSITION_CLEANUP, Transition.TRANSITION_CONFIGURE

FAULTS = (
    Fault('policy: kill -9', _signals(_POLICY, signal.SIGKILL), _restart(_POLICY)),
    Fault('policy: SIGSTOP', _signals(_POLICY, signal.SIGSTOP), _go_on),
    Fault(
        'policy: SIGCONT after 1.5 s',
        _signals(_POLICY, signal.SIGSTOP),
        _go_on,
        judge=_continued,
        quick=3,
        watch_s=1.2,
    ),
    Fault(
        'policy: SIGTERM',
        _signals(_POLICY, signal.SIGTERM),
        _restart(_POLICY),
        judge=brakes_and_exits,
        quick=3,
    ),
    Fault(
        'policy: Ctrl-C',
        _signals(_POLICY, signal.SIGINT),
        _restart(_POLICY),
        judge=brakes_and_exits,
        quick=3,
    ),
    Fault('policy: deactivate', _changes(_POLICY, _DEACTIVATE), _changes(_POLICY, _ACTIVATE)),
    Fault(
        'policy: cleanup',
        _changes(_POLICY, _DEACTIVATE, _CLEANUP),
        _changes(_POLICY, _CONFIGURE, _ACTIVATE),
    ),
    Fault('policy: exception', _says(swing.EXCEPTION), _swing_again, inference=True),
    Fault('policy: endless inference', _says(swing.ENDLESS), _swing_again, inference=True),
    Fault('policy: out of memory', _says(swing.OUT_OF_MEMORY), _swing_again, inference=True),
    Fault('policy: thread death', _says(swing.THREAD_DEATH), _thread_again, inference=True),
    Fault('policy: inference of 0.5-10 s', _slow, _swing_again, quick=5, inference=True),
    Fault('policy: nan', _says(swing.NOT_FINITE), _swing_again, quick=5),
    Fault(
        'guard: SIGTERM',
        _signals(_GUARD, signal.SIGTERM),
        _restart(_GUARD),
        EXIT_S,
        guard_exits,
        quick=3,
    ),
    Fault(
        'guard: Ctrl-C',
        _signals(_GUARD, signal.SIGINT),
        _restart(_GUARD),
        EXIT_S,
        guard_exits,
        quick=3,
    ),
    Fault(
        'guard: deactivate',
        _changes(_GUARD, _DEACTIVATE),
        _changes(_GUARD, _ACTIVATE),
        EXIT_S,
        guard_falls_silent,
    ),
    Fault('camera: silent', _spoils(faulty_sim.CAMERA_SILENT), _heal, CAMERA_SILENT_S, quick=5),
    Fault('camera: frozen', _spoils(faulty_sim.CAMERA_FROZEN), _heal, CAMERA_SILENT_S, quick=5),
    Fault(
        'camera: wrong encoding',
        _spoils(faulty_sim.CAMERA_ENCODING),
        _heal,
        CAMERA_SILENT_S,
        quick=5,
    ),
    Fault('joint states: silent', _spoils(faulty_sim.JOINTS_SILENT), _heal, JOINTS_SILENT_S),
    Fault('joint states: nan', _spoils(faulty_sim.JOINTS_NOT_FINITE), _heal, JOINTS_SILENT_S),
    Fault('e-stop service', _estop, lambda rig: None, AT_ONCE_S, watch_s=0.5),
    Fault('second publisher', _rival, _no_rival, RIVAL_S, quick=5, room_s=RIVAL_S),
    Fault(
        'instructions at 1 kHz', _flood, lambda rig: None, 0.011, ticks_as_before, quick=1, full=12
    ),
    Fault(
        'policy: kill -9, output trajectory',
        _signals(_POLICY, signal.SIGKILL),
        _restart(_POLICY),
        setup=TRAJECTORY,
        quick=3,
    ),
    Fault(
        'guard: kill -9, output trajectory',
        _signals(_GUARD, signal.SIGKILL),
        _restart(_GUARD),
        _PLAYED_S,
        arm_rests,
        TRAJECTORY,
        quick=5,
    ),
    Fault(
        'policy: network cut',
        _unplug,
        lambda rig: partition.connect(True),
        setup=PARTITION,
        quick=3,
    ),
    Fault(
        'clock: pause',
        _spoils(faulty_sim.CLOCK_PAUSED),
        _heal,
        CLOCK_PAUSED_S,
        setup=SIM_TIME,
        quick=3,
    ),
    Fault(
        'clock: 10 s forward',
        _spoils(faulty_sim.CLOCK_FORWARD),
        _heal,
        AT_ONCE_S,
        setup=SIM_TIME,
        quick=3,
    ),
    Fault(
        'clock: 10 s back',
        _spoils(faulty_sim.CLOCK_BACK),
        _heal,
        AT_ONCE_S,
        setup=SIM_TIME,
        quick=3,
    ),
    Fault(
        'clock: reset', _spoils(faulty_sim.CLOCK_RESET), _heal, AT_ONCE_S, setup=SIM_TIME, quick=3
    ),
)
