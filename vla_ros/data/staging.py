"""Episodes that are recorded and not yet part of the data set: one file each, whole or not there.

`staging/episode-<key>.parquet` holds the columns of an episode, `staging/<key>.<camera>.mp4` its
videos, which are there before the parquet file is. Any number of processes may stage episodes of
different keys at once.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_ros.data import statistics, video
from vla_ros.data.columns import arrow_type, to_arrow
from vla_ros.data.features import DEFAULT_FEATURES, Feature, Spec, names_tasks
from vla_ros.data.images import to_png
from vla_ros.data.layout import reading
from vla_ros.errors import DatasetError

FOLDER = 'staging'
TASK = 'task'
_NOTES = b'vla_ros'
_NAME = re.compile(r'episode-(\d+)\.parquet')


@dataclass(frozen=True)
class StagedEpisode:
    """An episode that waits to become part of the data set.

    Attributes:
        key: what it was recorded under, such as a seed.
        table: its columns; `task` and columns that name tasks hold sentences.
        statistics: those of all columns whose values are final.
        videos: camera → mp4.
    """

    key: int
    table: pa.Table
    statistics: statistics.Statistics
    videos: Mapping[str, Path]


def keys(folder: Path) -> set[int]:
    """Return the keys of the episodes that are staged in a data set."""
    staging = folder / FOLDER
    names = os.listdir(staging) if staging.is_dir() else []
    return {int(match[1]) for name in names if (match := _NAME.fullmatch(name))}


def stage(
    folder: Path,
    spec: Spec,
    key: int,
    columns: Mapping[str, np.ndarray],
    tasks: Sequence[str],
    codec: str,
) -> None:
    """Write one episode; it is there when this returns, and not at all before.

    Args:
        folder: of the data set.
        spec: what is recorded.
        key: a number of its own, 0 or more.
        columns: feature → (N, *shape); `timestamp` in seconds may be among them.
        tasks: N sentences.
        codec: of the videos.
    """
    staging = folder / FOLDER
    staging.mkdir(parents=True, exist_ok=True)
    length = len(tasks)
    values: dict[str, pa.Array] = {}
    found: statistics.Statistics = {}
    for name, feature in spec.features.items():
        array = _checked(name, feature, columns[name], length)
        if feature.dtype == 'video':
            mp4 = _video(staging, key, name)
            partial = mp4.with_name(f'.{mp4.name}.{os.getpid()}')
            video.encode(array, spec.fps, partial, codec)
            partial.replace(mp4)
        elif feature.dtype == 'image':
            values[name] = to_png(array)
        else:
            values[name] = to_arrow(_staged(name, feature, array), array)
        if feature.is_image:
            found[name] = statistics.of_images(array)
        elif array.dtype != object:
            found[name] = statistics.of_numbers(array)
    frames = np.arange(length)
    stamps = np.asarray(columns.get('timestamp', frames / spec.fps), np.float64).reshape(length)
    for name, array in (('timestamp', stamps), ('frame_index', frames)):
        dtype = DEFAULT_FEATURES[name].dtype
        values[name] = to_arrow(DEFAULT_FEATURES[name], array.astype(dtype))
        found[name] = statistics.of_numbers(array)
    values[TASK] = pa.array(tasks, pa.string())
    notes = json.dumps({'key': key, 'statistics': statistics.to_lists(found)})
    table = pa.table(values).replace_schema_metadata({_NOTES: notes.encode()})
    path = _parquet(staging, key)
    partial = path.with_name(f'.{path.name}.{os.getpid()}')
    pq.write_table(table, partial, compression='none')
    partial.replace(path)


def load(folder: Path, spec: Spec, key: int) -> StagedEpisode:
    """Read a staged episode.

    Raises:
        DatasetError: it is damaged; says how to record it again.
    """
    staging = folder / FOLDER
    path = _parquet(staging, key)
    try:
        with reading(path):
            table = pq.read_table(path)
            notes: dict[str, Any] = json.loads((table.schema.metadata or {})[_NOTES])
            found = statistics.from_lists(notes['statistics'])
        videos = {camera: _video(staging, key, camera) for camera in spec.videos}
        for mp4 in videos.values():
            with video.reading_video(mp4):
                pass
    except DatasetError as error:
        raise DatasetError(f'{error}; delete {path} and record it again') from error
    return StagedEpisode(key, table, found, videos)


def staged_type(name: str, feature: Feature, table: pa.Table) -> bool:
    """Return whether a staged column holds sentences whose indices are wanted."""
    return names_tasks(name) and table.schema.field(name).type != arrow_type(feature)


def _staged(name: str, feature: Feature, array: np.ndarray) -> Feature:
    if array.dtype == object and feature.dtype != 'string':
        if not names_tasks(name):
            raise DatasetError(f"'{name}' holds objects, not {feature.dtype}")
        return Feature('string', feature.shape)
    return feature


def _checked(name: str, feature: Feature, values: np.ndarray, length: int) -> np.ndarray:
    array = np.asarray(values)
    shape = (*feature.height_and_width, 3) if feature.is_image else feature.shape
    if feature.is_image and array.ndim == 4 and array.shape[1] == 3 and array.shape[3] != 3:
        array = array.transpose(0, 2, 3, 1)
    if shape == (1,) and array.shape == (length,):
        array = array.reshape(length, 1)
    if array.shape != (length, *shape):
        raise DatasetError(
            f"'{name}' is of shape {array.shape}, not {(length, *shape)}: {length} frames of "
            f'{shape}'
        )
    wanted = 'uint8' if feature.is_image else feature.dtype
    if array.dtype.kind in 'UO' and (wanted == 'string' or names_tasks(name)):
        return array.astype(object)
    if array.dtype != np.dtype('O' if wanted == 'string' else wanted):
        raise DatasetError(f"'{name}' is of dtype {array.dtype}, not {wanted}; convert it")
    return array


def _parquet(staging: Path, key: int) -> Path:
    return staging / f'episode-{key:09d}.parquet'


def _video(staging: Path, key: int, camera: str) -> Path:
    return staging / f'{key:09d}.{camera}.mp4'
