"""vla-ros eval."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from vla_ros.commands.json_file import JsonFile, check_json_file, write_json
from vla_ros.errors import ConfigError
from vla_ros.training.suites import SUITES

if TYPE_CHECKING:
    from vla_ros.training.evaluate import EvalConfig, Evaluation, Run
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
            latency_150, latency_200, latency_300, dropped_frames, swapped_instruction,
            absent_object, or all.
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
    from vla_ros.training import evaluate as evaluation
    from vla_ros.training.suites import chosen_suites

    check_json_file(json_file)
    if through == 'ros' and (suite or report_file or backend != 'loky'):
        raise ConfigError(
            '--through ros runs the plain trials alone, one after the other: leave out --suite, '
            '--report and --backend, or take --through sim'
        )
    if report_file is not None and not report_file.parent.is_dir():
        raise ConfigError(f"--report '{report_file}': there is no such folder; make it first")
    config = evaluation.EvalConfig(
        tasks=evaluation.TASKS if task == ALL else (task,), episodes=episodes, seed=seed,
        phrasings=phrasings, suites=chosen_suites(suite), device=device, workers=workers,
        backend=backend,
    )  # fmt: skip
    planned = evaluation.plan(config)
    where = _in_graph if through == 'ros' else evaluation.in_simulator
    runs = {name: where(config, name) for name in filter(None, (policy, against))}
    found = evaluation.evaluate(config, planned, policy, runs[policy])
    comparisons = []
    if against:
        other = evaluation.evaluate(config, planned, against, runs[against], against)
        comparisons = evaluation.compared(found, other)
    _show(found, comparisons, phrasings, through)
    if report_file is not None:
        command = ' '.join(['vla-ros', *sys.argv[1:]])
        evaluation.report_html(report_file, command, config, found, comparisons)
        print(f'written to {report_file}')
    write_json(json_file, evaluation.as_json(found, comparisons))
    return 0


def _in_graph(config: EvalConfig, policy: str) -> Run:
    """Return what runs trials through the three processes."""
    from vla_ros.core.embodiment import load_arm
    from vla_ros.policies.registry import load_policy
    from vla_ros.ros.evaluation import run_through_ros
    from vla_ros.training.trials import EXPERT, Trial, TrialResult

    if policy == EXPERT:
        raise ConfigError(
            f"policy '{EXPERT}' knows the state of the simulator, which no node does; take "
            '--through sim'
        )

    load_policy(policy, load_arm(config.arm), config.device)  # what is wrong is said at once

    def run(trials: Sequence[Trial]) -> Iterator[TrialResult]:
        outcomes = run_through_ros([t.episode for t in trials], policy, device=config.device)
        for trial, outcome in zip(trials, outcomes, strict=True):
            yield TrialResult(**vars(outcome), trial=trial, followed=outcome.success)

    return run


def _show(
    found: Evaluation, comparisons: Sequence[Comparison], phrasings: str, through: str
) -> None:
    console = Console()
    console.print(_table(found, phrasings, through))
    for row in found.reports:
        if row.task == 'reach' and row.median_error_m is not None:
            console.print(f'reach, {row.suite}: median error {1000 * row.median_error_m:.1f} mm')
    for row in comparisons:
        console.print(
            f'{row.task}, {row.suite}: {row.rate:.1%} against {row.rate_against:.1%} of '
            f'{row.against}: {row.better} trials better, {row.worse} worse, p = {row.p_value:.3g}',
            highlight=False,
            soft_wrap=True,
        )
    failures = found.failures()
    for result in failures[:SHOWN_FAILURES]:
        missing = '' if isnan(result.error_m) else f'{1000 * result.error_m:.0f} mm missing'
        wrong = 'another object' if result.wrong_object else ''
        console.print(
            f'  {result.trial.suite.name}, seed {result.trial.episode.seed} '
            f"'{result.trial.episode.instruction}': "
            f'{", ".join(filter(None, (missing, wrong, result.note))) or "not met"}',
            highlight=False,
            soft_wrap=True,
        )
    if len(failures) > SHOWN_FAILURES:
        console.print(f'  … and {len(failures) - SHOWN_FAILURES} more')


def _table(found: Evaluation, phrasings: str, through: str) -> Table:
    title = f'policy {found.policy}, phrasings {phrasings}{", through ROS" * (through == "ros")}'
    table = Table(title=title, box=SIMPLE_HEAD, padding=0)
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
    return table
