"""vla-ros eval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from vla_ros.commands.json_file import JsonFile, check_json_file, write_json
from vla_ros.errors import ConfigError, check_at_least
from vla_ros.sim.episodes import Outcome, plan_episodes
from vla_ros.sim.grammar import load_phrasings, shipped_phrasings
from vla_ros.training.evaluate import EvalReport, failures, report, run_episodes, with_progress

SHOWN_FAILURES = 10


def main(
    task: Literal['reach'] = 'reach',
    episodes: int = 200,
    seed: int = 0,
    phrasings: str = 'train',
    policy: str = 'vla-reach',
    json_file: JsonFile = None,
    through: Literal['sim', 'ros'] = 'sim',
    device: str = 'auto',
    workers: int = 2,
) -> int:
    """Measure how often a policy reaches the named object, on scenes it never saw.

    Args:
        task: what the arm has to do.
        episodes: how many trials, each with a scene of its own.
        seed: chooses the trials. Training never sees a scene of any of these seeds.
        phrasings: train, held_out, or a text file with one template a line, with {object} in it.
        policy: name of a shipped policy, 'hold', or a checkpoint folder.
        json_file: write the figures to this file as JSON.
        through: sim steps the simulator directly; ros runs the same trials through the three
            processes and DDS, in real time.
        device: auto, cpu or cuda.
        workers: parallel processes, for sim.
    """
    check_json_file(json_file)
    templates = _templates(phrasings)
    plan = plan_episodes(episodes, seed, templates)
    check_at_least('workers', workers, 1)
    if through == 'ros':
        from vla_ros.ros.evaluation import run_episodes_through_ros

        runs = run_episodes_through_ros(plan, policy, device=device)
    else:
        runs = run_episodes(plan, policy, device=device, workers=workers)
    outcomes = with_progress(runs, len(plan))
    found = report(outcomes, policy=policy, seed=seed, task=task)
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
        f'{1000 * found.median_error_m:.1f} mm',
    )
    console.print(table)
    failed = failures(outcomes)
    for row in failed[:SHOWN_FAILURES]:
        console.print(f"  seed {row['seed']} '{row['instruction']}': {row['error_mm']} mm off"
                      f"{', over another object' if row['wrong_object'] else ''} {row['note']}",
                      highlight=False)  # fmt: skip
    if len(failed) > SHOWN_FAILURES:
        console.print(f'  … and {len(failed) - SHOWN_FAILURES} more')
