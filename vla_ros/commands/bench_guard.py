"""vla-ros bench guard."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

GOAL_US = 150.0
FAST_HZ = 200.0
LATE = 1.2  # of the period, for the 99th percentile


def main(
    arm: str = 'sim',
    ticks: int = 5000,
    seconds: float = 5.0,
    json_file: Annotated[Path | None, tyro.conf.arg(name='json')] = None,
) -> int:
    """Measure one tick of the guard alone and through real DDS, and how evenly it ticks at 200 Hz.

    Args:
        arm: name in config/arms, or a YAML file.
        ticks: how many ticks of the state machine to time.
        seconds: how long guard_node runs in each output mode.
        json_file: write the figures to this file as JSON.
    """
    from vla_ros.ros.bench_guard import Ticks, measure_core, measure_node, measure_period

    console = Console()
    rows: dict[str, Ticks] = {}
    period = f'period at {FAST_HZ:.0f} Hz beside a busy core'
    with console.status('timing the state machine') as status:
        rows['state machine'] = measure_core(arm, ticks)
        for output in ('velocity', 'trajectory'):
            status.update(f'timing guard_node, output {output}')
            rows[f'guard_node, output {output}'] = measure_node(arm, output, seconds)
            status.update(f'timing guard_node at {FAST_HZ:.0f} Hz, output {output}')
            rows[f'{period}, output {output}'] = measure_period(arm, output, seconds, FAST_HZ)
    rows = {name: row for name, row in rows.items() if not math.isnan(row.median_us)}
    table = Table(title=f'one tick of the guard, arm {arm}, microseconds')
    table.add_column('what')
    for heading in ('median', 'p99', 'goal'):
        table.add_column(heading, justify='right')
    for name, row in rows.items():
        even = name.startswith(period)
        value, goal = (row.p99_us, LATE * 1e6 / FAST_HZ) if even else (row.median_us, GOAL_US)
        colour = 'green' if value <= goal else 'red'
        figures = [f'{row.median_us:.0f}', f'{row.p99_us:.0f}']
        figures[even] = f'[{colour}]{figures[even]}[/]'
        table.add_row(name, *figures, f'{"p99" if even else "median"} ≤ {goal:.0f}')
    console.print(table)
    if json_file:
        figures = {name: asdict(row) for name, row in rows.items()}
        json_file.write_text(json.dumps(figures, indent=2) + '\n', encoding='utf-8')
        console.print(f'written to {json_file}', highlight=False)
    return 0
