"""vla-ros watch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from vla_ros.ros.operator import Snapshot
    from vla_ros.ros.session import Status

BAR_WIDTH = 31
_LEVELS = {0: 'green', 1: 'yellow', 2: 'red', 3: 'red'}
_STATES = {'ready': 'cyan', 'moving': 'green', 'hold': 'yellow', 'stop': 'bold red'}
_LATENCIES = {
    'stamp_to_inference': 'camera → inference',
    'inference': 'inference',
    'stamp_to_chunk': 'camera → chunk',
}


def main(once: bool = False, arm: str = 'sim') -> int:
    """Show what the arm does: state, joint speeds, limiter, latencies, instruction.

    Args:
        once: print one snapshot and leave.
        arm: name in config/arms, or a YAML file.
    """
    from vla_ros.ros import operator

    console = Console()
    if once:
        operator.watch(lambda snapshot: console.print(render(snapshot)), arm=arm, once=True)
        return 0
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        try:
            operator.watch(lambda s: live.update(render(s), refresh=True), arm=arm)
        except KeyboardInterrupt:
            return 0
    return 0


def render(snapshot: Snapshot) -> Group:
    """Return a snapshot as panels."""
    status = snapshot.status
    return Group(
        _guard(status.get('guard_node')),
        _speeds(snapshot.velocities_rad_s, snapshot.velocity_max_rad_s),
        _policy(status.get('policy_node')),
        _simulation(status.get('sim_node')),
    )


def _guard(status: Status | None) -> Panel:
    if status is None:
        return _silent('guard_node')
    values = status.values
    state = values.get('state', '?')
    line = Text.assemble((state.upper(), _STATES.get(state, 'white')), '  ')
    line.append(values.get('reason', '') or status.message)
    rows = _rows()
    ratio = status.number('limit_ratio')
    rows.add_row('limiter', '' if ratio is None else f'{ratio:.2f} of what was asked for')
    rows.add_row('chunk age', _ms(values.get('chunk_age_ms')))
    rows.add_row('tick', _percentiles(values, 'tick'))
    rows.add_row('output', values.get('output', ''))
    return Panel(Group(line, rows), title='guard', border_style=_LEVELS[status.level])


def _policy(status: Status | None) -> Panel:
    if status is None:
        return _silent('policy_node')
    values = status.values
    instruction = values.get('instruction', '')
    line = Text(f'“{instruction}”' if instruction else 'no instruction', style='bold')
    rows = _rows()
    rows.add_row('says', status.message)
    if values.get('confidence'):
        rows.add_row('confidence', f'{float(values["confidence"]):.2f}  {values.get("note", "")}')
    for key, label in _LATENCIES.items():
        rows.add_row(label, _percentiles(values, key))
    rows.add_row('counted', f'{values.get("frames")} frames, {values.get("chunks")} chunks')
    rows.add_row('policy', f'{values.get("policy")} on {values.get("device")}')
    return Panel(Group(line, rows), title='policy', border_style=_LEVELS[status.level])


def _simulation(status: Status | None) -> Text | Panel:
    if status is None:
        return Text('no simulation: a real arm, or sim_node does not run', style='dim')
    values = status.values
    rows = _rows()
    rows.add_row('real time factor', values.get('real_time_factor', ''))
    rows.add_row('rendering', f'{values.get("render_ms")} ms a frame')
    rows.add_row('scene', f'seed {values.get("seed")}')
    return Panel(rows, title='simulation', border_style=_LEVELS[status.level])


def _speeds(velocities: Mapping[str, float], limits: Mapping[str, float]) -> Panel:
    rows = _rows()
    for joint, limit in limits.items():
        if joint in velocities:
            velocity = velocities[joint]
            rows.add_row(joint, Text.assemble(bar(velocity / limit), f' {velocity:+.3f} rad/s'))
        else:
            rows.add_row(joint, Text('not heard', style='red'))
    return Panel(rows, title='joint velocities, of the limit', border_style='blue')


def bar(fraction: float) -> Text:
    """Return a bar that grows from the middle to the left or right; full at -1 and 1."""
    half = BAR_WIDTH // 2
    if not math.isfinite(fraction):  # a driver without velocities says NaN
        fraction = 0.0
    length = min(half, round(abs(fraction) * half))
    colour = 'red' if abs(fraction) > 1 else 'yellow' if abs(fraction) > 0.8 else 'green'
    left = '█' * length if fraction < 0 else ''
    right = '█' * length if fraction > 0 else ''
    return Text.assemble(
        (left.rjust(half, '·'), colour if left else 'dim'),
        '│',
        (right.ljust(half, '·'), colour if right else 'dim'),
    )


def _rows() -> Table:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style='dim', min_width=18)
    rows.add_column()
    return rows


def _silent(node: str) -> Panel:
    return Panel(Text('says nothing', style='red'), title=node, border_style='red')


def _ms(value: str | None) -> str:
    return f'{float(value):.1f} ms' if value else '–'


def _percentiles(values: Mapping[str, str], name: str) -> str:
    keys = [f'{name}_p{p}_ms' for p in (50, 95, 99)]
    if not all(values.get(key) for key in keys):
        return '–'
    p50, p95, p99 = (float(values[key]) for key in keys)
    return f'{p50:.2f} ms   p95 {p95:.2f}   p99 {p99:.2f}'
