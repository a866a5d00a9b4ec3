"""vla-ros bench faults."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vla_ros.commands.json_file import JsonFile, check_json_file, write_json
from vla_ros.errors import check_at_least

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vla_ros.ros.faults.fault import Fault
    from vla_ros.ros.faults.suite import Row

NOT_IN_THE_TABLE = (
    'guard: kill -9, output velocity is not in the table, because nothing can pass: the last '
    'command stays in force in a controller that latches. Such a controller needs a command '
    'time-out of its own, or output:=trajectory.'
)


def main(
    quick: bool = False,
    repeats: int = 0,
    only: str = '',
    json_file: JsonFile = None,
) -> int:
    """Break policy, guard, sensors and clock while the arm moves at full speed.

    Real processes and real DDS; measured where the commands reach the simulated arm. The exit
    code is 1 if a reaction was too late or wrong.

    Args:
        quick: fewer repeats, as CI runs it.
        repeats: of every fault; 0 takes those of the profile.
        only: a fault, or the beginning of the names of some.
        json_file: write the table to this file as JSON.
    """
    from vla_ros.ros.faults.suite import run

    check_json_file(json_file)
    check_at_least('repeats', repeats, 0)
    console = Console()
    faults = chosen(only)

    def repeats_of(fault: Fault) -> int:
        return repeats or (fault.quick if quick else fault.full)

    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    rows: list[Row] = []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task('starting', total=sum(map(repeats_of, faults)))

        def on_repeat(fault: Fault, verdict: object) -> None:
            del verdict
            progress.update(task, advance=1, description=fault.name)

        rows.extend(run(faults, repeats_of, on_repeat))
    show(rows, console)
    write_json(json_file, as_json(rows))
    return int(any(row.failed for row in rows))


def chosen(only: str) -> list[Fault]:
    """Return the faults whose names begin with `only`, all of them if it is empty.

    Raises:
        ConfigError: there is none.
    """
    from vla_ros.errors import ConfigError
    from vla_ros.ros.faults.catalogue import FAULTS

    exact = [fault for fault in FAULTS if fault.name == only]
    faults = exact or [fault for fault in FAULTS if fault.name.startswith(only)]
    if not faults:
        names = '\n  '.join(fault.name for fault in FAULTS)
        raise ConfigError(f"no fault begins with '{only}'; there are:\n  {names}")
    return faults


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Return what `--json` writes: one object per fault, null for a reaction that never came."""
    return [
        {
            'fault': row.fault,
            'repeats': row.repeats,
            'passed': row.passed,
            'worst_reaction_s': _finite(row.worst_reaction_s),
            'limit_s': row.limit_s,
        }
        for row in rows
    ]


def _finite(seconds: float) -> float | None:
    return round(seconds, 4) if math.isfinite(seconds) else None


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the rows as a table, then what went wrong."""
    table = Table(title='faults at full speed, seconds at the command input of the arm')
    table.add_column('fault')
    for heading in ('repeats', 'passed', 'worst reaction', 'limit'):
        table.add_column(heading, justify='right')
    for row in rows:
        colour = 'red' if row.failed else 'green'
        table.add_row(
            row.fault,
            str(row.repeats),
            f'[{colour}]{row.passed}[/]',
            f'{row.worst_reaction_s:.3f}' if math.isfinite(row.worst_reaction_s) else 'none',
            f'{row.limit_s:.3f}',
        )
    console.print(table)
    for row in rows:
        if row.problem:
            console.print(f'✗ {row.fault}: {row.problem}', style='red', markup=False)
    console.print(NOT_IN_THE_TABLE, highlight=False)
