"""docs/training.md says what is there: its command lines are understood, its settings exist."""

from __future__ import annotations

import functools
import importlib
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import tyro
import yaml

from vla_ros.cli import COMMANDS
from vla_ros.policies.registry import LOADERS
from vla_ros.sim.tasks.goal import TASKS
from vla_ros.training.fit_config import FitConfig
from vla_ros.training.suites import chosen_suites

PAGE = (Path(__file__).resolve().parents[2] / 'docs' / 'training.md').read_text(encoding='utf-8')
BLOCKS = re.findall(r'^ *```\n(.*?)^ *```$', PAGE, re.DOTALL | re.MULTILINE)
LINES = [
    shlex.split(line, comments=True)[1:]
    for block in BLOCKS
    for line in block.splitlines()
    if line.strip().startswith('vla-ros ')
]


def parsed(words: list[str]) -> dict[str, Any]:
    """Return what the command's own function would be called with, as `vla_ros.cli` does."""
    length = 2 if ' '.join(words[:2]) in COMMANDS else 1
    assert ' '.join(words[:length]) in COMMANDS
    main = importlib.import_module(f'vla_ros.commands.{"_".join(words[:length])}').main

    @functools.wraps(main)
    def hears(**said: Any) -> dict[str, Any]:
        return said

    return tyro.cli(hears, args=words[length:], config=(tyro.conf.OmitArgPrefixes,))


@pytest.mark.parametrize('words', LINES, ids=' '.join)
def test_every_command_line_of_the_page_is_understood(words: list[str]) -> None:
    said = parsed(words)
    for task in (said.get('tasks') or said.get('task') or 'all').split(','):
        assert task in ('all', *TASKS)
    chosen_suites(said.get('suite', ()))  # refuses unknown ones
    if words[0] == 'train' and said['policy'] is not None:
        assert said['policy'] in LOADERS


def test_the_page_has_command_lines_and_a_wrong_one_is_refused() -> None:
    assert len(LINES) > 10 and {words[0] for words in LINES} == {
        'collect', 'train', 'adapt', 'eval'
    }  # fmt: skip
    with pytest.raises(SystemExit):
        parsed(['train', '--dta', 'datasets/few'])
    with pytest.raises(SystemExit):
        parsed(['eval', '--episodes', 'twenty'])


def test_the_table_of_settings_names_every_one_of_them_and_its_default() -> None:
    rows = PAGE.partition('| key | default | meaning |\n')[2].partition('\n\n')[0].splitlines()[1:]
    cells = [row.strip('| ').split('|')[:2] for row in rows]
    told: dict[str, str] = {}
    for keys, defaults in cells:
        values = defaults.strip().split(', ')
        for key, value in zip(keys.strip().split(', '), values, strict=True):
            assert key not in told
            told[key] = value
    assert told.pop('model') == ''
    assert sorted(told) == sorted(field.name for field in fields(FitConfig))
    assert told.pop('leave_out') == 'none' and FitConfig().leave_out == ()
    assert {k: yaml.safe_load(v) for k, v in told.items()} == {
        key: getattr(FitConfig(), key) for key in told
    }
