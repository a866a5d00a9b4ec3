"""Inject every fault many times and say how the guard reacted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from multiprocessing import get_context

from vla_ros.errors import VlaRosError
from vla_ros.ros.faults.fault import Fault
from vla_ros.ros.faults.partition import NotPossibleError
from vla_ros.ros.faults.rig import Rig, Setup, rig
from vla_ros.ros.faults.verdict import Verdict, beyond_limits, even_ticks

PERIOD_ROW = 'control period while inference fails'
PERIOD_SHARE = 1.2

RepeatsOf = Callable[[Fault], int]
OnRepeat = Callable[[Fault, Verdict], None]


@dataclass(frozen=True)
class Row:
    """What came of one fault.

    Attributes:
        fault: its name.
        repeats: how often it was injected.
        passed: how often the reaction was right.
        worst_reaction_s: of all repeats; infinite if there was none.
        limit_s: what it had to stay within.
        problem: what was wrong the first time, empty if nothing was.
    """

    fault: str
    repeats: int
    passed: int
    worst_reaction_s: float
    limit_s: float
    problem: str = ''

    @property
    def failed(self) -> bool:
        """Whether any repeat went wrong."""
        return self.passed < self.repeats


@dataclass
class _Periods:
    """Control periods that were seen while inference failed."""

    limit_s: float = 0.0
    intervals_s: list[float] = field(default_factory=list)


def run(
    faults: Sequence[Fault],
    repeats_of: RepeatsOf,
    on_repeat: OnRepeat = lambda fault, verdict: None,
) -> Iterator[Row]:
    """Inject each fault as often as `repeats_of` says; yield one row per fault.

    Faults of one setup share one running graph. Where a fault leaves a graph that cannot be
    brought back to speed, its remaining repeats count as failed and the next fault gets a new one.
    """
    periods = _Periods()
    for setup, group in groupby(faults, key=lambda fault: fault.setup):
        if setup.partition:
            yield from _in_a_process_of_its_own(setup, list(group), repeats_of, on_repeat)
        else:
            yield from _run_group(setup, list(group), repeats_of, on_repeat, periods)
    if periods.intervals_s:
        yield _row(PERIOD_ROW, periods.limit_s, [even_ticks(**vars(periods))], 1)


def _in_a_process_of_its_own(
    setup: Setup, waiting: list[Fault], repeats_of: RepeatsOf, on_repeat: OnRepeat
) -> Iterator[Row]:
    """Run faults where Fast DDS, which looks up profile and network once, has not looked yet."""
    repeats = {fault.name: repeats_of(fault) for fault in waiting}
    with ProcessPoolExecutor(1, get_context('spawn')) as process:
        rows, heard = process.submit(_observe, setup, waiting, repeats).result()
    for fault, verdict in heard:
        on_repeat(fault, verdict)
    yield from rows


def _observe(
    setup: Setup, waiting: list[Fault], repeats: Mapping[str, int]
) -> tuple[list[Row], list[tuple[Fault, Verdict]]]:
    heard: list[tuple[Fault, Verdict]] = []
    rows = _run_group(
        setup,
        waiting,
        lambda fault: repeats[fault.name],
        lambda *repeat: heard.append(repeat),
        _Periods(),
    )
    return list(rows), heard


def _run_group(
    setup: Setup,
    waiting: list[Fault],
    repeats_of: RepeatsOf,
    on_repeat: OnRepeat,
    periods: _Periods,
) -> Iterator[Row]:
    while waiting:
        try:
            yield from _run_on_one_graph(setup, waiting, repeats_of, on_repeat, periods)
        except NotPossibleError as error:
            yield from (Row(f.name, 0, 0, math.inf, f.limit_s, str(error)) for f in waiting)
            break


def _run_on_one_graph(
    setup: Setup,
    waiting: list[Fault],
    repeats_of: RepeatsOf,
    on_repeat: OnRepeat,
    periods: _Periods,
) -> Iterator[Row]:
    """Take faults off `waiting` until it is empty or the graph is beyond repair."""
    with rig(setup) as running:
        while waiting:
            fault = waiting.pop(0)
            verdicts: list[Verdict] = []
            broken = ''
            for _ in range(repeats_of(fault)):
                try:
                    verdict = _inject(running, fault, periods)
                except VlaRosError as error:
                    verdict, broken = Verdict(math.inf, str(error)), str(error)
                verdicts.append(verdict)
                on_repeat(fault, verdict)
                if broken:
                    break
            yield _row(fault.name, fault.limit_s, verdicts, repeats_of(fault))
            if broken:
                return


def _inject(running: Rig, fault: Fault, periods: _Periods) -> Verdict:
    """Inject a fault once and repair it; return how the guard reacted."""
    running.full_speed(fault.room_s)
    fault_ns = fault.inject(running)
    verdict = fault.judge(running, fault, fault_ns)
    arm = running.arm
    if not verdict.problem:
        limits = arm.velocity_max_rad_s, arm.acceleration_max_rad_s2, running.period_s
        verdict = replace(verdict, problem=beyond_limits(running.commands, *limits))
    if fault.inference:
        periods.limit_s = PERIOD_SHARE * running.period_s
        periods.intervals_s += running.commands.periods_s(fault_ns)
    running.commands.clear()
    running.motion.clear()
    fault.undo(running)
    return verdict


def _row(name: str, limit_s: float, verdicts: Sequence[Verdict], repeats: int) -> Row:
    return Row(
        fault=name,
        repeats=repeats,
        passed=sum(not verdict.problem for verdict in verdicts),
        worst_reaction_s=max(verdict.reaction_s for verdict in verdicts),
        limit_s=max([limit_s, *(verdict.limit_s for verdict in verdicts)]),
        problem=next((verdict.problem for verdict in verdicts if verdict.problem), ''),
    )
