"""The demonstration as a user starts it: three processes, real DDS, the shipped policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_ros.cli import main


def test_what_is_asked_for_is_reached_and_filmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(['demo', '--output', str(tmp_path), '--instruction', 'reach the red ball'])
    shown = capsys.readouterr().out
    assert code == 0, shown
    assert 'reached the red ball' in shown
    for name in ('demo.mp4', 'demo.png'):
        assert (tmp_path / name).stat().st_size > 10_000
        assert name in shown


@pytest.mark.parametrize('instruction', ['reach the yellow ball', 'colourless green ideas sleep'])
def test_what_is_not_there_is_not_reached_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], instruction: str
) -> None:
    assert main(['demo', '--output', str(tmp_path), '--instruction', instruction]) == 1
    assert 'not understood' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('words', 'says'),
    [
        (['--instruction', 'x' * 600], '600 bytes'),
        (['--instruction', 'reach\x1b[2J'], 'U+001B'),
        (['--seed', '-1'], 'seed is -1'),
        (['--output', '/proc/nowhere'], "output '/proc/nowhere' cannot be written to"),
        (['--policy', 'no-such'], "policy 'no-such' is neither a folder nor one of"),
        (['--device', 'tpu'], "unknown device 'tpu'"),
    ],
)
def test_nonsense_ends_with_one_line_and_code_2(
    capfd: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert main(['demo', *words]) == 2
    errors = capfd.readouterr().err
    assert says in errors
    assert 'Traceback' not in errors
