"""What a fault is, and what has to follow one."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from vla_ros.ros import qos
from vla_ros.ros.faults.rig import Rig, Setup
from vla_ros.ros.faults.verdict import (
    EXIT_S,
    Verdict,
    braked,
    came_to_rest,
    ended_at_rest,
    even_ticks,
)

POLICY_SILENT_S = 0.15
RESTING_RAD_S = 0.02  # of a joint that holds its position
FLOOD_SHARE = 1.1
VELOCITY = Setup()
_TIMEOUT_S = 1.0
_TRAJECTORY_ZEROS = 3  # at rest a trajectory controller is told so a few times, then no more

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
        full: repeats of the full profile.
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
    quick: int = 3
    full: int = 50
    watch_s: float = 0.1
    room_s: float = 0.3
    inference: bool = False


def brakes_and_exits(rig: Rig, fault: Fault, fault_ns: int) -> Verdict:
    """The command falls to zero, and the policy's process ends in time and in order."""
    verdict = brakes(rig, fault, fault_ns)
    problem = _exit_problem(rig, qos.POLICY_NODE)
    return verdict if verdict.problem else Verdict(verdict.reaction_s, problem)


def stays_when_continued(rig: Rig, fault: Fault, fault_ns: int) -> Verdict:
    """After SIGCONT a policy that was away for too long moves nothing without a re-arm."""
    verdict = brakes(rig, fault, fault_ns)
    rig.signal(qos.POLICY_NODE, signal.SIGCONT)
    rig.session.spin(fault.watch_s)
    again = braked(rig.commands, fault_ns, fault.limit_s, rig.stop_s)
    return verdict if verdict.problem else again


def guard_exits(rig: Rig, fault: Fault, fault_ns: int) -> Verdict:
    """A ramp, five zeros, then the end of the guard's process, in order."""
    return _guard_ended(rig, fault, fault_ns, _exit_problem(rig, qos.GUARD_NODE))


def guard_falls_silent(rig: Rig, fault: Fault, fault_ns: int) -> Verdict:
    """A ramp and five zeros before the transition is over."""
    return _guard_ended(rig, fault, fault_ns, '')


def _guard_ended(rig: Rig, fault: Fault, fault_ns: int, problem: str) -> Verdict:
    end_ns = time.monotonic_ns()
    rig.session.spin(fault.watch_s)
    verdict = ended_at_rest(rig.commands, fault_ns, end_ns)
    return verdict if verdict.problem else Verdict(verdict.reaction_s, problem)


def _exit_problem(rig: Rig, process: str) -> str:
    code = rig.wait_for_exit(process, EXIT_S)
    if code != 0:
        return f'exit code {code}' if code else f'{process} still runs after {EXIT_S:g} s'
    return 'traceback' if any('Traceback' in line for line in rig.lines[process]) else ''


def arm_rests(rig: Rig, fault: Fault, fault_ns: int) -> Verdict:
    """The arm itself comes to rest, although nobody commands it any more."""
    zeros = round(fault.watch_s / rig.period_s)
    timeout_s = fault.limit_s + fault.watch_s + _TIMEOUT_S
    rig.session.spin_until(lambda: rig.motion.resting(zeros, RESTING_RAD_S), timeout_s)
    return came_to_rest(rig.motion, fault_ns, fault.limit_s, RESTING_RAD_S)


def ticks_as_before(rig: Rig, fault: Fault, fault_ns: int) -> Verdict:
    """The 99th percentile of the control period is at most a tenth above the undisturbed one."""
    del fault_ns
    calm_s = even_ticks(rig.calm_s, fault.limit_s).reaction_s
    return even_ticks(rig.flooded_s, max(fault.limit_s, FLOOD_SHARE * calm_s))
