"""The log of a training: one CSV row a report, kept when the training is resumed."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

JUDGED, DRIVEN = 'val_', 'success_'
"""Beginnings of the columns with errors on frames held back, and with what the simulator saw."""
UNDRAWN = frozenset(('step', 'steps_per_s', 'images_per_s', 'loader_images_per_s', 'loader_share'))
"""Columns that say how far and how fast it went, not how well."""


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
        draft = self._path.with_suffix('.draft')
        draft.write_text('', encoding='utf-8')
        for row in kept:
            Log(draft).add(row)
        draft.replace(self._path)  # in one piece: a training may be killed here, too

    def add(self, row: Mapping[str, float | str]) -> None:
        """Append one row."""
        with self._path.open('a', newline='', encoding='utf-8') as file:
            writer = csv.DictWriter(file, list(row))
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)


def draw_log(path: Path, picture: Path) -> None:
    """Draw a log's losses and errors over the steps, and how often the arm did what was said."""
    from matplotlib.figure import Figure

    with path.open(newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    names = [n for n in rows[0] if n not in UNDRAWN]
    parts = {
        'loss': [n for n in names if not n.startswith((JUDGED, DRIVEN))],
        'error on frames held back': [n for n in names if n.startswith(JUDGED)],
        'trials met in the simulator': [n for n in names if n.startswith(DRIVEN)],
    }
    parts = {title: group for title, group in parts.items() if group}
    figure = Figure(figsize=(5 * len(parts), 4), layout='constrained')
    for axes, (title, group) in zip(figure.subplots(1, len(parts)), parts.items(), strict=True):
        driven = group[0].startswith(DRIVEN)
        for name in group:
            known = [row for row in rows if math.isfinite(float(row[name]))]
            axes.plot(
                [int(row['step']) for row in known],
                [float(row[name]) for row in known],
                marker='o' if driven else '',
                label=name.removeprefix(JUDGED).removeprefix(DRIVEN),
            )
        axes.set(title=title, xlabel='step', yscale='linear' if driven else 'log')
        if driven:
            axes.set(ylim=(-0.03, 1.03))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(picture, dpi=110)
