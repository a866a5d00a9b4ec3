"""Make the LeRobot v3.0 layout of staged episodes, so that it can be broken off at any time.

All new files are made in `staging/new`. Renaming that to `staging/done` is the one step that
counts: what is done before it can be forgotten, what comes after it is completed by `complete`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_ros.data import layout, staging, statistics, video
from vla_ros.data.columns import plain, to_arrow
from vla_ros.data.episodes import (
    Episode,
    VideoSpan,
    episodes_table,
    read_episodes,
    read_tasks,
    tasks_table,
)
from vla_ros.data.features import DEFAULT_FEATURES, Feature, Spec
from vla_ros.data.layout import Info, read_info, read_json, reading, write_json
from vla_ros.data.staging import StagedEpisode, staged_type
from vla_ros.errors import DatasetError

_NEW, _DONE = 'new', 'done'
_MB = 2**20


def finish(folder: Path, spec: Spec) -> int:
    """Append the staged episodes of a folder, in the order of their keys; return how many it has.

    Raises:
        DatasetError: nothing was recorded, or something is damaged.
    """
    complete(folder)
    new = staging.keys(folder)
    if not new:
        info = _existing(folder, spec)
        if not info.total_episodes:
            raise DatasetError(f"'{folder}' has no episodes; record at least one")
        shutil.rmtree(folder / staging.FOLDER, ignore_errors=True)
        return info.total_episodes
    tree = folder / staging.FOLDER / _NEW
    shutil.rmtree(tree, ignore_errors=True)
    total = _Finisher(folder, tree, _existing(folder, spec)).run(sorted(new))
    tree.rename(folder / staging.FOLDER / _DONE)
    complete(folder)
    return total


def complete(folder: Path) -> None:
    """Move files that are made into their places, if that was begun."""
    done = folder / staging.FOLDER / _DONE
    if not done.is_dir():
        return
    files = [path.relative_to(done) for path in done.rglob('*') if path.is_file()]
    for path in sorted(files, key=lambda path: (path == Path(layout.INFO), path)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (done / path).replace(folder / path)
    for path in done.parent.iterdir():  # the episodes go before the sign that they are in
        if path.is_file():
            path.unlink()
    shutil.rmtree(done.parent)


def finished_keys(folder: Path) -> list[int]:
    """Return the keys of the episodes of a data set; −1 where one has none."""
    path = folder / layout.RECORDING
    if not path.is_file():
        return []
    value = read_json(path)
    keys = value.get('keys') if isinstance(value, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, int) for key in keys):
        raise DatasetError(f'{path}: damaged; delete it to forget under which keys was recorded')
    return keys


def _existing(folder: Path, spec: Spec) -> Info:
    return read_info(folder) if (folder / layout.INFO).exists() else Info(spec)


@dataclass
class _Film:
    """Episodes of one camera that become one file."""

    place: tuple[int, int]
    parts: list[Path] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    size: int = 0


class _Finisher:
    """Makes all files of a data set that change when episodes are appended."""

    def __init__(self, folder: Path, tree: Path, info: Info) -> None:
        """Append to the data set in `folder`, but write below `tree`."""
        self._folder, self._tree, self._info = folder, tree, info
        self._there = read_episodes(folder, info) if info.total_episodes else ()
        tasks = read_tasks(folder) if info.total_episodes else ()
        self._tasks = {task: k for k, task in enumerate(tasks)}
        self._writer: pq.ParquetWriter | None = None
        self._bytes = 0
        last = self._there[-1] if self._there else None
        self._place = layout.next_place(last.place) if last else (0, 0)
        self._episodes_place = layout.next_place(last.episodes_place) if last else (0, 0)
        self._films = {
            camera: _Film(layout.next_place(last.videos[camera].place) if last else (0, 0))
            for camera in info.spec.videos
        }

    def run(self, keys: list[int]) -> int:
        """Append the episodes staged under `keys`; return how many there are then."""
        episodes: list[Episode] = []
        found: list[statistics.Statistics] = []
        for key in keys:
            staged = staging.load(self._folder, self._info.spec, key)
            number = len(self._there) + len(episodes)
            first = (episodes or self._there or [None])[-1]
            table, new = self._table(staged, number, first.end if first else 0)
            self._write(table)
            spans = {camera: self._film(camera, staged) for camera in self._films}
            tasks = tuple(plain(staged.table[staging.TASK]).unique().to_pylist())
            begin = first.end if first else 0
            span = (begin, begin + len(table))
            episodes.append(
                Episode(number, tasks, *span, self._place, self._episodes_place, spans)
            )
            found.append(staged.statistics | new)
        if self._writer:
            self._writer.close()
        for camera in self._films:
            self._cut(camera)
        self._describe(episodes, found, keys)
        return len(self._there) + len(episodes)

    def _table(
        self, staged: StagedEpisode, number: int, first: int
    ) -> tuple[pa.Table, statistics.Statistics]:
        """Return the columns of an episode, and the statistics of those that are new."""
        length = len(staged.table)
        new = {
            'episode_index': np.full(length, number),
            'index': np.arange(first, first + length),
            'task_index': self._indices(staged.table[staging.TASK]),
        }
        columns = {name: to_arrow(DEFAULT_FEATURES[name], new[name]) for name in new}
        for name, feature in self._info.spec.features.items():
            if feature.dtype != 'video' and staged_type(name, feature, staged.table):
                indices = self._indices(staged.table[name]).reshape(length, *feature.shape)
                new[name] = indices.astype(feature.dtype)
                columns[name] = to_arrow(feature, new[name])
        names = [n for n, f in self._info.spec.all_features.items() if f.dtype != 'video']
        table = pa.table({n: columns[n] if n in columns else staged.table[n] for n in names})
        found = {name: statistics.of_numbers(values) for name, values in new.items()}
        return table.replace_schema_metadata(), found

    def _indices(self, sentences: pa.ChunkedArray) -> np.ndarray:
        """Return the number of each task, in the order of the values; new tasks get new ones."""
        values = plain(sentences)
        while not pa.types.is_string(values.type):
            values = values.flatten()
        encoded = values.dictionary_encode()
        known = [
            self._tasks.setdefault(task, len(self._tasks))
            for task in encoded.dictionary.to_pylist()
        ]
        return np.array(known, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]

    def _write(self, table: pa.Table) -> None:
        """Append an episode to the data file, as a row group of its own, or to the next file."""
        if self._writer and self._bytes + table.nbytes > layout.DATA_FILE_MB * _MB:
            self._writer.close()
            self._writer, self._bytes = None, 0
            self._place = layout.next_place(self._place)
        if self._writer is None:
            path = self._info.data_file(self._tree, self._place)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(path, table.schema, compression='snappy')
        self._writer.write_table(table, row_group_size=len(table))
        self._bytes += table.nbytes

    def _film(self, camera: str, staged: StagedEpisode) -> VideoSpan:
        path, length = staged.videos[camera], len(staged.table)
        size = path.stat().st_size
        film = self._films[camera]
        if film.parts and film.size + size > layout.VIDEO_FILE_MB * _MB:
            self._cut(camera)
            film = self._films[camera] = _Film(layout.next_place(film.place))
        before, fps = sum(film.lengths), self._info.spec.fps
        film.parts.append(path)
        film.lengths.append(length)
        film.size += size
        return VideoSpan(film.place, before / fps, (before + length) / fps)

    def _cut(self, camera: str) -> None:
        film = self._films[camera]
        path = self._info.video_file(self._tree, camera, film.place)
        path.parent.mkdir(parents=True, exist_ok=True)
        video.join(film.parts, film.lengths, self._info.spec.fps, path)

    def _describe(
        self, episodes: list[Episode], found: list[statistics.Statistics], keys: list[int]
    ) -> None:
        """Write all of meta/."""
        tree, place = self._tree, self._episodes_place
        path = tree / layout.EPISODES_PATTERN.format(chunk_index=place[0], file_index=place[1])
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(episodes_table(episodes, found, place), path)
        pq.write_table(tasks_table(list(self._tasks)), tree / layout.TASKS)
        before: list[statistics.Statistics] = []
        if self._there:
            with reading(self._folder / layout.STATISTICS):
                before = [statistics.from_lists(read_json(self._folder / layout.STATISTICS))]
        together = statistics.to_lists(statistics.combine([*before, *found]))
        write_json(tree / layout.STATISTICS, together)
        known = finished_keys(self._folder) if self._there else []
        known += [-1] * (len(self._there) - len(known))
        write_json(tree / layout.RECORDING, {'keys': known + keys})
        info = replace(
            self._info,
            spec=replace(self._info.spec, features=self._described_features()),
            total_episodes=len(self._there) + len(episodes),
            total_frames=episodes[-1].end,
            total_tasks=len(self._tasks),
        )
        write_json(tree / layout.INFO, layout.info_to_json(info))

    def _described_features(self) -> Mapping[str, Feature]:
        """Return the features, with how the videos are coded."""
        described = dict(self._info.spec.features)
        for camera, film in self._films.items():
            if not described[camera].info:
                path = self._info.video_file(self._tree, camera, film.place)
                described[camera] = replace(described[camera], info=video.describe(path))
        return described
