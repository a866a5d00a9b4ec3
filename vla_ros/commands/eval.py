"""vla-ros eval."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

from vla_ros.commands.json_file import JsonFile, check_json_file, write_json
from vla_ros.errors import ConfigError, check_at_least
from vla_ros.sim.episodes import Outcome, plan_episodes
from vla_ros.sim.grammar import load_phrasings, shipped_phrasings
from vla_ros.training.evaluate import EvalReport, failures, report, run_episodes, with_progress
from vla_ros.training.suites import SUITES

if TYPE_CHECKING:
    from vla_ros.training.evaluate_tasks import Evaluation
    from vla_ros.training.figures import Comparison

SHOWN_FAILURES = 10
ALL = 'all'


def main(
    task: Literal['reach', 'push', 'pick', 'put', 'all'] = 'reach',
    episodes: int = 200,
    seed: int = 0,
    phrasings: str = 'train',
    policy: str = 'vla-reach',
    suite: tuple[str, ...] = (),
    report_file: Annotated[Path | None, tyro.conf.arg(name='report')] = None,
    against: str = '',
    json_file: JsonFile = None,
    through: Literal['sim', 'ros'] = 'sim',
    device: str = 'auto',
    workers: int = 2,
    backend: str = 'loky',
) -> int:
    """Measure how often a policy does what a sentence says, on scenes it never saw.

    Args:
        task: what the arm has to do.
        episodes: how many trials of a task and suite, each with a scene of its own.
        seed: chooses the trials. Training never sees a scene of any of these seeds.
        phrasings: train, held_out, or a text file with one template a line, with {object} in it,
            and {direction}, {container} or {other} where the task needs them.
        policy: name of a shipped policy, 'hold', 'expert', or a checkpoint folder.
        suite: what is made harder: plain, held_out_phrasings, held_out_pairs, distractors,
            camera_moved, light_changed, image_noise, joint_delay, latency_50, latency_100,
            latency_150, latency_200, latency_300, dropped_frames, swapped_instruction, or all.
        report_file: write one HTML file with figures, a plot, film strips and videos.
        against: another policy, which runs the same trials; compared by the exact McNemar test.
        json_file: write the figures to this file as JSON.
        through: sim steps the simulator directly; ros runs the same trials through the three
            processes and DDS, in real time.
        device: auto, cpu or cuda.
        workers: parallel processes, for sim.
        backend: of joblib: loky is processes here; dask:HOST:PORT is a scheduler of Dask, ray or
            ray:ADDRESS a cluster of Ray.
    """
    check_json_file(json_file)
    check_at_least('workers', workers, 1)
    more = suite or report_file or against or policy == 'expert' or backend != 'loky'
    if task == 'reach' and not more:
        return _reach(episodes, seed, phrasings, policy, json_file, through, device, workers)
    if through == 'ros':
        if more:
            raise ConfigError('--through ros runs the plain trials alone: no suites, no reports')
        return _tasks_through_ros(task, episodes, seed, phrasings, policy, json_file, device)
    return _tasks(
        task, episodes, seed, phrasings, policy, suite, report_file, against, json_file, device,
        workers, backend,
    )  # fmt: skip


def _tasks(
    task: str, episodes: int, seed: int, phrasings: str, policy: str, suite: tuple[str, ...],
    report_file: Path | None, against: str, json_file: Path | None, device: str, workers: int,
    backend: str,
) -> int:  # fmt: skip
    from vla_ros.training import evaluate_tasks as tasks
    from vla_ros.training.suites import chosen_suites

    if report_file is not None and not report_file.parent.is_dir():
        raise ConfigError(f"--report '{report_file}': there is no such folder; make it first")
    config = tasks.EvalConfig(
        tasks=tasks.TASKS if task == ALL else (task,), episodes=episodes, seed=seed,
        phrasings=phrasings, suites=chosen_suites(suite), device=device, workers=workers,
        backend=backend,
    )  # fmt: skip
    planned = tasks.plan(config)
    found = tasks.evaluate(config, planned, policy)
    comparisons = []
    if against:
        comparisons = tasks.compared(found, tasks.evaluate(config, planned, against, against))
    _show_tasks(found, comparisons)
    if report_file is not None:
        tasks.report_html(
            report_file, ' '.join(['vla-ros', *sys.argv[1:]]), config, found, comparisons
        )
        print(f'written to {report_file}')
    write_json(json_file, tasks.as_json(found, comparisons))
    return 0


def _tasks_through_ros(
    task: str, episodes: int, seed: int, phrasings: str, policy: str, json_file: Path | None,
    device: str,
) -> int:  # fmt: skip
    from vla_ros.ros.evaluation import run_task_episodes_through_ros
    from vla_ros.training import evaluate_tasks as tasks

    config = tasks.EvalConfig(
        tasks=tasks.TASKS if task == ALL else (task,), episodes=episodes, seed=seed,
        phrasings=phrasings,
    )  # fmt: skip
    rows = []
    for (name, _), trials in tasks.plan(config).items():
        plan = [trial.episode for trial in trials]
        runs = run_task_episodes_through_ros(plan, policy, device=device)
        rows.append(report(with_progress(runs, len(plan)), policy=policy, seed=seed, task=name))
    console, table = Console(), Table(title=f'policy {policy}, through ROS')
    for heading in ('task', 'met', '95 %', 'wrong'):
        table.add_column(heading, justify='left' if heading == 'task' else 'right')
    for row in rows:
        low, high = row.wilson_95
        table.add_row(
            row.task, f'{row.successes}/{row.episodes}', f'{100 * low:.0f}-{100 * high:.0f}',
            f'{row.wrong_object_rate:.0%}',
        )  # fmt: skip
    console.print(table)
    found = [asdict(row) for row in rows]
    write_json(json_file, found if task == ALL else found[0])
    return 0


def _show_tasks(found: Evaluation, comparisons: Sequence[Comparison]) -> None:
    console = Console()
    table = Table(title=f'policy {found.policy}')
    swapped = any(SUITES[row.suite].swapped for row in found.reports)
    headings = ['task', 'suite', 'met', '95 %', 'wrong', 'time', 'limited', 'rad/s²']
    for heading in [*headings, *(['as said'] if swapped else [])]:
        words = heading in ('task', 'suite')
        table.add_column(heading, justify='left' if words else 'right', no_wrap=True)
    for row in found.reports:
        low, high = row.wilson_95
        table.add_row(
            row.task, row.suite, f'{row.successes}/{row.episodes}',
            f'{100 * low:.0f}-{100 * high:.0f}', f'{row.wrong_object_rate:.0%}',
            '' if row.median_time_s is None else f'{row.median_time_s:.1f} s',
            f'{row.interventions_per_s:.1f}/s', f'{row.acceleration_rad_s2:.1f}',
            *([f'{row.followed_rate:.0%}'] if swapped else []),
        )  # fmt: skip
    console.print(table)
    for row in comparisons:
        console.print(
            f'{row.task}, {row.suite}: {row.rate:.1%} against {row.rate_against:.1%} of '
            f'{row.against}: {row.better} trials better, {row.worse} worse, p = {row.p_value:.3g}',
            highlight=False,
        )
    for result in found.failures()[:SHOWN_FAILURES]:
        console.print(
            f'  {result.trial.suite.name}, seed {result.trial.episode.seed} '
            f"'{result.trial.episode.instruction}': {1000 * result.error_m:.0f} mm missing"
            f'{", another object moved" if result.wrong_object else ""} {result.note}',
            highlight=False,
        )


def _reach(
    episodes: int, seed: int, phrasings: str, policy: str, json_file: Path | None, through: str,
    device: str, workers: int,
) -> int:  # fmt: skip
    templates = _templates(phrasings)
    plan = plan_episodes(episodes, seed, templates)
    if through == 'ros':
        from vla_ros.ros.evaluation import run_episodes_through_ros

        runs = run_episodes_through_ros(plan, policy, device=device)
    else:
        runs = run_episodes(plan, policy, device=device, workers=workers)
    outcomes = with_progress(runs, len(plan))
    found = report(outcomes, policy=policy, seed=seed, task='reach')
    _show(found, outcomes, phrasings)
    write_json(json_file, asdict(found))
    return 0


def _templates(phrasings: str) -> tuple[str, ...]:
    shipped = {'train': shipped_phrasings().train, 'held_out': shipped_phrasings().held_out}
    path = Path(phrasings)
    if phrasings in shipped:
        return shipped[phrasings]
    if not path.exists():
        raise ConfigError(f"phrasings '{phrasings}' is neither a file nor one of: train, held_out")
    return load_phrasings(path)


def _show(found: EvalReport, outcomes: Sequence[Outcome], phrasings: str) -> None:
    console = Console()
    low, high = found.wilson_95
    table = Table(title=f'{found.task}, policy {found.policy}, phrasings {phrasings}')
    for heading in ('reached', 'rate', '95 % interval', 'wrong object', 'median error'):
        table.add_column(heading, justify='right')
    table.add_row(
        f'{found.successes} of {found.episodes}',
        f'{found.success_rate:.1%}',
        f'{low:.1%} to {high:.1%}',
        f'{found.wrong_object_rate:.1%}',
        f'{1000 * (found.median_error_m or 0.0):.1f} mm',
    )
    console.print(table)
    failed = failures(outcomes)
    for row in failed[:SHOWN_FAILURES]:
        console.print(f"  seed {row['seed']} '{row['instruction']}': {row['error_mm']} mm off"
                      f"{', over another object' if row['wrong_object'] else ''} {row['note']}",
                      highlight=False)  # fmt: skip
    if len(failed) > SHOWN_FAILURES:
        console.print(f'  … and {len(failed) - SHOWN_FAILURES} more')
