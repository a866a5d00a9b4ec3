"""The log of a training: one CSV row a report, kept when the training is resumed."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path


class Log:
    """Appends rows to a CSV file, whose columns are those of its first row."""

    def __init__(self, path: Path) -> None:
        """Log to `path`."""
        self._path = path

    def keep(self, steps: int) -> None:
        """Drop the rows after `steps`, which are about to be made again."""
        kept: list[dict[str, str]] = []
        if steps and self._path.is_file():
            with self._path.open(newline='', encoding='utf-8') as file:
                kept = [row for row in csv.DictReader(file) if int(row['step']) <= steps]
        self._path.write_text('', encoding='utf-8')
        for row in kept:
            self.add(row)

    def add(self, row: Mapping[str, float | str]) -> None:
        """Append one row."""
        with self._path.open('a', newline='', encoding='utf-8') as file:
            writer = csv.DictWriter(file, list(row))
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)


def draw_log(path: Path, picture: Path) -> None:
    """Draw a log's losses and errors over the steps."""
    from matplotlib.figure import Figure

    with path.open(newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    names = [n for n in rows[0] if n not in ('step', 'steps_per_s', 'loader_share')]
    steps = [int(row['step']) for row in rows]
    figure = Figure(figsize=(10, 4), layout='constrained')
    for axes, group, title in zip(
        figure.subplots(1, 2),
        ([n for n in names if not n.startswith('val_')], [n for n in names if n[:4] == 'val_']),
        ('loss', 'error on frames held back'),
        strict=True,
    ):
        for name in group:
            axes.plot(steps, [float(row[name]) for row in rows], label=name.removeprefix('val_'))
        axes.set(title=title, xlabel='step', yscale='log')
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(picture, dpi=110)
