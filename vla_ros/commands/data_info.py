"""vla-ros data info."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from vla_ros.data.features import Feature
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
        f'{spec.robot_type or "not named"}; episodes of {short} to {long} frames, median {middle}'
    )
    console.print(_features(dataset))
    tasks = Table('episodes', f'{len(dataset.tasks)} tasks', box=box.SIMPLE, pad_edge=False)
    for task, count in list(summary.tasks.items())[:_MOST_TASKS]:
        tasks.add_row(str(count), task)
    if len(summary.tasks) > _MOST_TASKS:
        tasks.add_row('', f'and {len(summary.tasks) - _MOST_TASKS} more')
    console.print(tasks)
    if statistics:
        _print_statistics(dataset, console)
    return 0


def _features(dataset: Dataset) -> Table:
    table = Table('feature', 'dtype', 'shape', 'names', box=box.SIMPLE, pad_edge=False)
    for name, feature in dataset.spec.features.items():
        shape = ' x '.join(map(str, feature.shape))
        kind = feature.dtype + (f' {feature.info.get("video.codec")}' if feature.info else '')
        names = '' if feature.is_image else ', '.join(_names(feature))
        table.add_row(name, kind, shape, names)
    return table


def _print_statistics(dataset: Dataset, console: Console) -> None:
    """Print those of vectors and images, a table a feature: one line a value, or a colour."""
    found = dataset.statistics()
    for name, feature in dataset.spec.features.items():
        entries = {key: values.reshape(-1) for key, values in found.get(name, {}).items()}
        if not all(key in entries for key in _COLUMNS):
            continue
        size = len(entries['mean'])
        labels = _names(feature)
        if feature.is_image:
            labels = ('red, 0 to 1', 'green, 0 to 1', 'blue, 0 to 1')
        table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column('', no_wrap=True, min_width=14)
        for key in _COLUMNS:
            table.add_column(key, justify='right', no_wrap=True, min_width=7)
        for k in range(size):
            label = labels[k] if len(labels) == size else str(k)
            table.add_row(label, *(_short(entries[key][k]) for key in _COLUMNS))
        console.print(f'[bold]{name}[/]')
        console.print(table)


def _short(value: float) -> str:
    return f'{value:.3f}' if abs(value) < 1000 else f'{value:.3g}'


def _names(feature: Feature) -> tuple[str, ...]:
    names = feature.names if isinstance(feature.names, list | tuple) else ()
    return tuple(map(str, names))
