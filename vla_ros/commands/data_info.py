"""vla-ros data info."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from vla_ros.data.reader import Dataset

_MOST_TASKS = 20
_COLUMNS = ('min', 'q01', 'q50', 'q99', 'max', 'mean', 'std')


def main(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='FOLDER')],
    statistics: bool = True,
) -> int:
    """Say what a data set holds: features, episodes, tasks and statistics.

    Args:
        folder: the data set, such as datasets/mine.
        statistics: print those of states, actions and images, too.
    """
    from vla_ros.data.reader import open_dataset
    from vla_ros.data.summary import summarise

    dataset = open_dataset(folder)
    summary, spec = summarise(dataset), dataset.spec
    console = Console(highlight=False)
    short, middle, long = summary.lengths
    console.print(
        f'[bold]{folder}[/]: {summary.episodes} episodes, {summary.frames} frames at {spec.fps} '
        f'frames/s ({summary.seconds:.0f} s), {summary.megabytes:.1f} MB, arm '
        f'{spec.robot_type or "not named"}; episodes have {short} to {long} frames, half of them '
        f'{middle} or fewer'
    )
    console.print(_features(dataset))
    tasks = Table('episodes', 'task', title=f'{len(dataset.tasks)} tasks', title_justify='left')
    for task, count in list(summary.tasks.items())[:_MOST_TASKS]:
        tasks.add_row(str(count), task)
    if len(summary.tasks) > _MOST_TASKS:
        tasks.add_row('', f'and {len(summary.tasks) - _MOST_TASKS} more')
    console.print(tasks)
    if statistics:
        console.print(_statistics(dataset))
    return 0


def _features(dataset: Dataset) -> Table:
    table = Table('feature', 'dtype', 'shape', 'names', title='features', title_justify='left')
    for name, feature in dataset.spec.features.items():
        shape = ' x '.join(map(str, feature.shape))
        named = feature.names if isinstance(feature.names, list | tuple) else ()
        kind = feature.dtype
        if feature.info:
            kind += f' ({feature.info.get("video.codec")})'
        table.add_row(name, kind, shape, ', '.join(map(str, named)))
    return table


def _statistics(dataset: Dataset) -> Table:
    """Return those of vectors and images: one line a value, or a colour."""
    table = Table(title='statistics; images from 0 to 1', title_justify='left')
    table.add_column('feature')
    for name in _COLUMNS:
        table.add_column(name, justify='right')
    found = dataset.statistics()
    for name, feature in dataset.spec.features.items():
        entries = {key: values.reshape(-1) for key, values in found.get(name, {}).items()}
        if not all(key in entries for key in _COLUMNS):
            continue
        names = feature.names if isinstance(feature.names, list | tuple) else ()
        size = len(entries['mean'])
        labels = ('red', 'green', 'blue') if feature.is_image else names
        for k in range(size):
            label = f' {labels[k]}' if len(labels) == size else f' [{k}]' if size > 1 else ''
            table.add_row(name + label, *(f'{float(entries[key][k]):.4g}' for key in _COLUMNS))
    return table
