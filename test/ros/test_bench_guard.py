"""vla-ros bench guard: every row of its table, short."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vla_ros.cli import main


def test_rows_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / 'figures.json'
    arguments = ['bench', 'guard', '--ticks', '50', '--seconds', '0.5', '--json', str(file)]
    assert main(arguments) == 0
    figures = json.loads(file.read_text(encoding='utf-8'))
    assert list(figures) == ['state machine, back to back'] + [
        row.format(output)
        for output in ('velocity', 'trajectory')
        for row in (
            'tick and publish, back to back, {}',
            'tick and publish in guard_node, {}',
            'period at 200 Hz beside a busy core, {}',
        )
    ]
    assert all(0 < row['median_us'] <= row['p99_us'] for row in figures.values())
    period_us = figures['period at 200 Hz beside a busy core, velocity']['median_us']
    assert 4000 < period_us < 8000, 'not the rate that was asked for'
    assert 'one tick of the guard, arm sim' in capsys.readouterr().out
