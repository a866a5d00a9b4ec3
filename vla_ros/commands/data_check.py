"""vla-ros data check."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vla_ros.commands.json_file import JsonFile, check_json_file, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vla_ros.data.finding import Finding

_MOST_OF_A_KIND = 5


def main(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='FOLDER')],
    arm: str = '',
    json_file: JsonFile = None,
) -> int:
    """Find what is wrong with a data set, with episode, frame and remedy.

    Looks for values that are not finite, stamps that repeat or go back, cameras that are frozen
    or dark, degrees instead of radians, joints beyond their limits, actions that are not how the
    arm moved, damaged and missing files, and counts and statistics that do not fit the data. The
    exit code is 1 if there is anything.

    Args:
        folder: the data set, such as datasets/mine.
        arm: name in config/arms, or a YAML file, whose limits apply; empty takes the arm that
            the data set names.
        json_file: write the findings to this file as JSON.
    """
    from vla_ros.data.check import check_dataset

    check_json_file(json_file)
    console = Console()
    with console.status(f'looking through {folder}'):
        findings = list(check_dataset(folder, arm))
    write_json(json_file, [asdict(finding) for finding in findings])
    if not findings:
        console.print(f'[green]✓[/] nothing is wrong with {folder}', highlight=False)
        return 0
    console.print(table(findings))
    counts = Counter(finding.kind for finding in findings)
    console.print(', '.join(f'{count} of {kind}' for kind, count in counts.items()))
    return 1


def table(findings: Sequence[Finding]) -> Table:
    """Return the findings as a table, a few of each kind."""
    shown = Table('kind', 'episode', 'frame', 'what', show_edge=False)
    kinds: Counter[str] = Counter()
    for finding in findings:
        kinds[finding.kind] += 1
        if kinds[finding.kind] <= _MOST_OF_A_KIND:
            text = Text(finding.found).append(f'\n→ {finding.remedy}', 'yellow')
            where = (finding.episode, finding.frame)
            shown.add_row(finding.kind, *('' if n is None else str(n) for n in where), text)
    for kind, count in kinds.items():
        if count > _MOST_OF_A_KIND:
            shown.add_row(kind, '', '', f'and {count - _MOST_OF_A_KIND} more; --json lists all')
    return shown
