"""What a data set holds, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from vla_ros.data.reader import Dataset


@dataclass(frozen=True)
class Summary:
    """Figures of a data set.

    Attributes:
        episodes: how many.
        frames: how many in all.
        seconds: how long they are together.
        lengths: shortest, middle and longest episode, in frames.
        megabytes: of files on disk.
        tasks: task → episodes in which it was to be done, the most frequent first.
    """

    episodes: int
    frames: int
    seconds: float
    lengths: tuple[int, int, int]
    megabytes: float
    tasks: dict[str, int]


def summarise(dataset: Dataset) -> Summary:
    """Count what a data set holds."""
    lengths = [episode.length for episode in dataset.episodes]
    files = (path for path in dataset.folder.rglob('*') if path.is_file())
    tasks = Counter(task for episode in dataset.episodes for task in episode.tasks)
    return Summary(
        len(lengths),
        len(dataset),
        len(dataset) / dataset.spec.fps,
        (min(lengths), int(np.median(lengths)), max(lengths)),
        sum(path.stat().st_size for path in files) / 2**20,
        dict(tasks.most_common()),
    )
