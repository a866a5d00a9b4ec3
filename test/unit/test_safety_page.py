"""Every promise in docs/safety.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_every_test_on_the_page_exists() -> None:
    page = (ROOT / 'docs' / 'safety.md').read_text(encoding='utf-8')
    files = list((ROOT / 'test').rglob('test_*.py'))
    tests = {
        name
        for file in files
        for name in re.findall(r'def (test_\w+)\(', file.read_text(encoding='utf-8'))
    }
    named = set(re.findall(r'`(test_\w+)`', page))
    assert len(named) > 40
    assert sorted(named - tests) == []


def test_every_promise_has_a_test() -> None:
    page = (ROOT / 'docs' / 'safety.md').read_text(encoding='utf-8')
    table = page.partition('| promise | test |')[2].partition('\n\n')[0]
    rows = table.splitlines()[2:]
    assert len(rows) > 30
    assert [row for row in rows if '`test_' not in row and '](' not in row] == []


@pytest.mark.parametrize('page', [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))])
def test_no_page_has_a_gap_left_to_fill(page: Path) -> None:
    assert '@@' not in page.read_text(encoding='utf-8')
