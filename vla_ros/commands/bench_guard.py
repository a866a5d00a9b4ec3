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

CORE_GOAL_US, NODE_GOAL_US = 150.0, 300.0


def main(
    arm: str = 'sim',
    ticks: int = 5000,
    seconds: float = 5.0,
    json_file: Annotated[Path | None, tyro.conf.arg(name='json')] = None,
) -> int:
    """Measure one tick of the guard: the state machine alone, and guard_node through real DDS.

    Args:
        arm: name in config/arms, or a YAML file.
        ticks: how many ticks of the state machine to time.
        seconds: how long guard_node runs in each output mode.
        json_file: write the figures to this file as JSON.
    """
    from vla_ros.ros.bench_guard import Ticks, measure_core, measure_node

    console = Console()
    rows: dict[str, tuple[Ticks, float]] = {}
    with console.status('timing the state machine') as status:
        rows['state machine'] = measure_core(arm, ticks), CORE_GOAL_US
        for output in ('velocity', 'trajectory'):
            status.update(f'timing guard_node, output {output}')
            measured = measure_node(arm, output, seconds)
            if not math.isnan(measured.median_us):
                rows[f'guard_node, output {output}'] = measured, NODE_GOAL_US
    table = Table(title=f'one tick of the guard, arm {arm}, microseconds')
    table.add_column('what')
    for heading in ('median', 'p99', 'goal for the median'):
        table.add_column(heading, justify='right')
    for name, (measured, goal) in rows.items():
        colour = 'green' if measured.median_us <= goal else 'red'
        median = f'[{colour}]{measured.median_us:.0f}[/]'
        table.add_row(name, median, f'{measured.p99_us:.0f}', f'≤ {goal:.0f}')
    console.print(table)
    if json_file:
        figures = {name: asdict(measured) for name, (measured, _) in rows.items()}
        json_file.write_text(json.dumps(figures, indent=2) + '\n', encoding='utf-8')
        console.print(f'written to {json_file}', highlight=False)
    return 0
