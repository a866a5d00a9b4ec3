"""The tables of episodes and of tasks: where each episode lies, and what was to be done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vla_ros.data.layout import INFO, TASKS, Info, reading
from vla_ros.data.statistics import Statistics, to_lists
from vla_ros.errors import DatasetError

_PANDAS_INDEX = '__index_level_0__'


@dataclass(frozen=True)
class VideoSpan:
    """Where an episode lies in the videos of one camera: chunk and file index, first frame."""

    place: tuple[int, int]
    from_s: float
    to_s: float


@dataclass(frozen=True)
class Episode:
    """One episode of a data set.

    Attributes:
        index: its number, from 0.
        tasks: what was to be done in it, in words.
        first: number of its first frame in the whole data set; `end` is one after the last.
        place: chunk and file index of its columns.
        videos: camera → where its frames are.
    """

    index: int
    tasks: tuple[str, ...]
    first: int
    end: int
    place: tuple[int, int]
    episodes_place: tuple[int, int]
    videos: Mapping[str, VideoSpan] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """How many frames it has."""
        return self.end - self.first


def read_episodes(folder: Path, info: Info) -> tuple[Episode, ...]:
    """Read meta/episodes, all but the statistics.

    Raises:
        DatasetError: damaged files, or episodes that do not follow on each other.
    """
    episodes: list[Episode] = []
    for path in sorted((folder / 'meta' / 'episodes').glob('*/*.parquet')):
        with reading(path):
            file = pq.ParquetFile(path)
            names = [n for n in file.schema_arrow.names if not n.startswith('stats/')]
            rows = file.read(columns=names).to_pylist()
            episodes += [_episode(row, info) for row in rows]
    before = 0
    for number, episode in enumerate(episodes):
        if episode.index != number or episode.first != before or episode.length < 1:
            raise DatasetError(
                f'{folder}/meta/episodes: episode {episode.index} with frames {episode.first} to '
                f'{episode.end} does not follow {number} episodes with {before} frames'
            )
        before = episode.end
    if (len(episodes), before) != (info.total_episodes, info.total_frames):
        raise DatasetError(
            f'{folder / INFO}: {info.total_episodes} episodes with {info.total_frames} frames, '
            f'but meta/episodes has {len(episodes)} with {before}'
        )
    return tuple(episodes)


def episodes_table(
    episodes: Sequence[Episode], statistics: Sequence[Statistics], place: tuple[int, int]
) -> pa.Table:
    """Return the rows of some episodes as lerobot 0.4.4 writes them."""
    rows = []
    for episode, found in zip(episodes, statistics, strict=True):
        row: dict[str, Any] = {
            'episode_index': episode.index,
            'tasks': list(episode.tasks),
            'length': episode.length,
            'data/chunk_index': episode.place[0],
            'data/file_index': episode.place[1],
            'dataset_from_index': episode.first,
            'dataset_to_index': episode.end,
        }
        for camera, span in episode.videos.items():
            row[f'videos/{camera}/chunk_index'], row[f'videos/{camera}/file_index'] = span.place
            row[f'videos/{camera}/from_timestamp'] = span.from_s
            row[f'videos/{camera}/to_timestamp'] = span.to_s
        for name, entries in to_lists(found).items():
            row |= {f'stats/{name}/{key}': values for key, values in entries.items()}
        row['meta/episodes/chunk_index'], row['meta/episodes/file_index'] = place
        rows.append(row)
    return pa.table({name: [row[name] for row in rows] for name in rows[0]})


def read_tasks(folder: Path) -> tuple[str, ...]:
    """Read meta/tasks.parquet: sentences in the order of their indices."""
    path = folder / TASKS
    with reading(path):
        table = pq.read_table(path)
        texts = [name for name in table.schema.names if name != 'task_index']
        if len(texts) != 1:
            raise DatasetError(f'{path}: damaged: no single column of tasks')
        indices = table['task_index'].to_pylist()
        if sorted(indices) != list(range(len(indices))):
            raise DatasetError(f'{path}: damaged: the indices are not 0 to {len(indices) - 1}')
        sentences = dict(zip(indices, table[texts[0]].to_pylist(), strict=True))
    return tuple(str(sentences[k]) for k in range(len(sentences)))


def tasks_table(tasks: Sequence[str]) -> pa.Table:
    """Return tasks as pandas would write them, with the sentences as the index of the rows."""

    def column(name: str | None, field_name: str, kind: str, numpy_type: str) -> dict[str, Any]:
        return {
            'name': name,
            'field_name': field_name,
            'pandas_type': kind,
            'numpy_type': numpy_type,
            'metadata': None,
        }

    columns = [
        column('task_index', 'task_index', 'int64', 'int64'),
        column(None, _PANDAS_INDEX, 'unicode', 'object'),
    ]
    names = {'name': None, 'field_name': None, 'pandas_type': 'unicode', 'numpy_type': 'object'}
    notes = {
        'index_columns': [_PANDAS_INDEX],
        'column_indexes': [names | {'metadata': {'encoding': 'UTF-8'}}],
        'columns': columns,
        'creator': {'library': 'pyarrow', 'version': pa.__version__},
        'pandas_version': '2.2.3',
    }
    indices = pa.array(range(len(tasks)), pa.int64())
    table = pa.table({'task_index': indices, _PANDAS_INDEX: pa.array(tasks, pa.string())})
    return table.replace_schema_metadata({b'pandas': json.dumps(notes).encode()})


def _episode(row: Mapping[str, Any], info: Info) -> Episode:
    def place(prefix: str) -> tuple[int, int]:
        return int(row[f'{prefix}/chunk_index']), int(row[f'{prefix}/file_index'])

    videos = {
        camera: VideoSpan(
            place(f'videos/{camera}'),
            float(row[f'videos/{camera}/from_timestamp']),
            float(row[f'videos/{camera}/to_timestamp']),
        )
        for camera in info.spec.videos
    }
    return Episode(
        int(row['episode_index']),
        tuple(map(str, row['tasks'])),
        int(row['dataset_from_index']),
        int(row['dataset_to_index']),
        place('data'),
        place('meta/episodes'),
        videos,
    )
