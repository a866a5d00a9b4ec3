"""Evaluate a policy on tasks and suites: plan, run, sum up, compare, film, report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import check_at_least
from vla_ros.policies.registry import load_policy
from vla_ros.sim.tasks.goal import TASKS
from vla_ros.sim.world import World
from vla_ros.training.figures import Comparison, TaskReport, compare, task_report
from vla_ros.training.suites import PLAIN, Suite
from vla_ros.training.trial_plan import plan_trials
from vla_ros.training.trials import EXPERT, Trial, TrialResult, film_trial, run_trials

FILMED_FAILURES = 3  # of a task and suite
Group = tuple[str, str]
"""Task and suite."""


@dataclass(frozen=True)
class EvalConfig:
    """What is measured; `backend` is where: see `cluster.spread`."""

    tasks: tuple[str, ...] = TASKS
    episodes: int = 100
    seed: int = 0
    phrasings: str = 'train'
    suites: tuple[Suite, ...] = (PLAIN,)
    arm: str = 'sim'
    device: str = 'auto'
    workers: int = 2
    backend: str = 'loky'

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        check_at_least('workers', self.workers, 1)


@dataclass(frozen=True)
class Evaluation:
    """What was found: a report a task and suite, and the single trials."""

    policy: str
    reports: tuple[TaskReport, ...]
    results: dict[Group, list[TrialResult]]

    def failures(self) -> list[TrialResult]:
        """Return the trials that went wrong."""
        return [r for results in self.results.values() for r in results if failed(r)]


def failed(result: TrialResult) -> bool:
    """Tell whether a trial went wrong; one of a swapped instruction must not be met."""
    return result.success == result.trial.suite.swapped


def plan(config: EvalConfig) -> dict[Group, list[Trial]]:
    """Return the trials of each task and suite."""
    world = World(load_arm(config.arm))
    return {
        (task, suite.name): plan_trials(
            world, task, config.episodes, config.seed, config.phrasings, suite
        )
        for task in config.tasks
        for suite in config.suites
    }


Run = Callable[[Sequence[Trial]], Iterable[TrialResult]]
"""Runs trials somewhere, and yields how they ended, as they come."""


def in_simulator(config: EvalConfig, policy: str) -> Run:
    """Return what runs trials of a policy in the simulator, in parallel.

    Raises:
        ConfigError: there is no such policy.
    """
    if policy != EXPERT:
        load_policy(policy, load_arm(config.arm), config.device)  # what is wrong is said at once
    return partial(
        run_trials, policy=policy, arm=config.arm, device=config.device, workers=config.workers,
        backend=config.backend,
    )  # fmt: skip


def evaluate(
    config: EvalConfig, planned: dict[Group, list[Trial]], policy: str, run: Run,
    title: str = 'eval',
) -> Evaluation:  # fmt: skip
    """Run planned trials with a policy, behind a progress bar."""
    trials = [trial for group in planned.values() for trial in group]
    done: dict[Trial, TrialResult] = {}
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn('{task.fields[met]} met')) as progress:
        bar = progress.add_task(title, total=len(trials), met=0)
        for result in run(trials):
            done[result.trial] = result
            progress.update(bar, advance=1, met=sum(r.success for r in done.values()))
    results = {group: [done[trial] for trial in part] for group, part in planned.items()}
    reports = tuple(
        task_report(part, policy=policy, seed=config.seed, phrasings=config.phrasings)
        for part in results.values()
    )
    return Evaluation(policy, reports, results)


def compared(mine: Evaluation, other: Evaluation) -> list[Comparison]:
    """Compare two policies on the same trials."""
    return [compare(part, other.results[g], other.policy) for g, part in mine.results.items()]


def as_json(
    evaluation: Evaluation, comparisons: Sequence[Comparison] = ()
) -> dict[str, Any] | list[dict[str, Any]]:
    """Return the figures: one mapping for one task and suite, else a list of them."""
    rows = [asdict(report) for report in evaluation.reports]
    for row, comparison in zip(rows, comparisons, strict=False):
        row['comparison'] = asdict(comparison)
    return rows[0] if len(rows) == 1 else rows


def report_html(
    path: Path,
    command: str,
    config: EvalConfig,
    evaluation: Evaluation,
    comparisons: Sequence[Comparison],
) -> None:
    """Film some failures, and a success of each task, and write the report."""
    from vla_ros.training.html_report import Film, write_report

    chosen: list[TrialResult] = []
    for results in evaluation.results.values():
        wrong = sorted((r for r in results if failed(r)), key=lambda r: -r.error_m)
        chosen += wrong[:FILMED_FAILURES]
        chosen += [r for r in results if not failed(r)][:1]
    films = [
        Film(r, film_trial(r.trial, evaluation.policy, arm=config.arm, device=config.device))
        for r in chosen
    ]
    write_report(path, command, evaluation.reports, comparisons, films)
