"""vla-ros bench latency."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from vla_ros.commands.json_file import JsonFile, check_json_file, write_json
from vla_ros.errors import check_at_least

if TYPE_CHECKING:
    from vla_ros.ros.bench_latency import LatencyReport

GOALS_MS = {
    'all but the forward pass': (10.0, None, 30.0),
    'all but forward pass and drawing': (10.0, None, 30.0),
    'tick of the guard': (0.3, None, None),
}


def main(
    seconds: float = 20.0,
    width: int = 640,
    height: int = 480,
    policy: str = 'vla-reach',
    json_file: JsonFile = None,
) -> int:
    """Measure camera → inference → chunk → command through real DDS, on this machine.

    Args:
        seconds: how long to measure.
        width: of the camera images in pixels.
        height: of the camera images in pixels.
        policy: name of a shipped policy, 'hold', or a checkpoint folder.
        json_file: write the figures to this file as JSON.
    """
    from vla_ros.ros.bench_latency import measure_latency

    check_json_file(json_file)
    check_at_least('seconds', seconds, 1.0)
    console = Console()
    with console.status('starting') as status:
        report = measure_latency(seconds, width, height, policy, status.update)
    show(report, console)
    write_json(json_file, asdict(report))
    return 0


def show(report: LatencyReport, console: Console) -> None:
    """Print a report as a table, the goals beside the figures."""
    title = f'{report.chunks} chunks, {report.width} x {report.height}, {report.seconds:.0f} s'
    table = Table(title=title)
    table.add_column('milliseconds')
    for heading in ('p50', 'p95', 'p99', 'goal'):
        table.add_column(heading, justify='right')
    for name, values in report.rows_ms.items():
        goals = GOALS_MS.get(name, (None,) * len(values))
        cells = [_cell(value, goal) for value, goal in zip(values, goals, strict=True)]
        parts = zip(('p50', 'p95', 'p99'), goals, strict=True)
        table.add_row(name, *cells, ', '.join(f'{p} ≤ {g:g}' for p, g in parts if g))
    console.print(table)
    lost = report.frames_sent - report.frames_received
    colour = 'red' if lost else 'green'
    console.print(
        f'frames: {report.frames_sent} sent, {report.frames_received} received, '
        f'[{colour}]{lost} lost[/{colour}] (goal 0)   '
        f'real time factor {report.real_time_factor:.3f}',
        highlight=False,
    )


def _cell(value: float, goal: float | None) -> str:
    text = '–' if math.isnan(value) else f'{value:.2f}'
    if goal is None:
        return text
    return f'[{"green" if value <= goal else "red"}]{text}[/]'
