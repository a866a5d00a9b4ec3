"""vla-ros bench guard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from vla_ros.commands.json_file import JsonFile, check_json_file, write_json
from vla_ros.errors import check_at_least

if TYPE_CHECKING:
    from vla_ros.ros.bench_guard import Ticks

GOAL_US = 150.0
FAST_HZ = 200.0
LATE = 1.2  # of the period, for the 99th percentile


def main(
    arm: str = 'sim',
    ticks: int = 5000,
    seconds: float = 5.0,
    json_file: JsonFile = None,
) -> int:
    """Measure one tick of the guard alone and through real DDS, and how evenly it ticks at 200 Hz.

    Back to back is what the code costs; in guard_node a tick is woken from sleep every period, and
    a processor that slept, too, is slow at first.

    Args:
        arm: name in config/arms, or a YAML file.
        ticks: how many ticks of the state machine to time.
        seconds: how long guard_node runs in each output mode.
        json_file: write the figures to this file as JSON.
    """
    from vla_ros.ros import bench_guard as bench

    check_json_file(json_file)
    check_at_least('ticks', ticks, 1)
    check_at_least('seconds', seconds, 0.5)
    console = Console()
    rows: dict[str, bench.Ticks] = {}
    goals: dict[str, tuple[float, float]] = {}  # of the median, of the 99th percentile
    with console.status('timing the state machine') as status:
        rows['state machine, back to back'] = bench.measure_core(arm, ticks)
        for output in ('velocity', 'trajectory'):
            status.update(f'timing output {output}')
            name = f'tick and publish, back to back, {output}'
            goals[name] = GOAL_US, math.inf
            rows[name] = bench.measure_published(arm, output, ticks)
            name = f'tick and publish in guard_node, {output}'
            rows[name] = bench.measure_node(arm, output, seconds)
            status.update(f'timing guard_node at {FAST_HZ:.0f} Hz, output {output}')
            name = f'period at {FAST_HZ:.0f} Hz beside a busy core, {output}'
            goals[name] = math.inf, LATE * 1e6 / FAST_HZ
            rows[name] = bench.measure_period(arm, output, seconds, FAST_HZ)
    rows = {name: row for name, row in rows.items() if not math.isnan(row.median_us)}
    show(rows, goals, console, arm)
    write_json(json_file, {name: asdict(row) for name, row in rows.items()})
    return 0


def show(
    rows: Mapping[str, Ticks],
    goals: Mapping[str, tuple[float, float]],
    console: Console,
    arm: str,
) -> None:
    """Print the figures as a table, the goals beside them."""
    table = Table(title=f'one tick of the guard, arm {arm}, microseconds')
    table.add_column('what')
    for heading in ('median', 'p99', 'goal'):
        table.add_column(heading, justify='right')
    for name, row in rows.items():
        median, p99 = goals.get(name, (math.inf, math.inf))
        texts = [f'{what} ≤ {g:.0f}' for what, g in (('median', median), ('p99', p99)) if g < 1e9]
        table.add_row(name, _cell(row.median_us, median), _cell(row.p99_us, p99), ', '.join(texts))
    console.print(table)


def _cell(value: float, goal: float) -> str:
    if math.isinf(goal):
        return f'{value:.0f}'
    return f'[{"green" if value <= goal else "red"}]{value:.0f}[/]'
