"""Where the files of the LeRobot v3.0 layout lie, and its info.json.

Source: lerobot 0.4.4, datasets/utils.py and datasets/lerobot_dataset.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from vla_ros.data.features import DEFAULT_FEATURES, Spec, feature_of_json, feature_to_json
from vla_ros.errors import DatasetError

VERSION = 'v3.0'
FILES_A_CHUNK = 1000
DATA_FILE_MB, VIDEO_FILE_MB = 100, 200
INFO = 'meta/info.json'
STATISTICS = 'meta/stats.json'
TASKS = 'meta/tasks.parquet'
RECORDING = 'meta/vla_ros.json'  # ours: the keys of the episodes; lerobot passes over it
EPISODES_PATTERN = 'meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
DATA_PATTERN = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
VIDEO_PATTERN = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'


@dataclass(frozen=True)
class Info:
    """What info.json says."""

    spec: Spec
    total_episodes: int = 0
    total_frames: int = 0
    total_tasks: int = 0
    data_path: str = DATA_PATTERN
    video_path: str = VIDEO_PATTERN

    def data_file(self, folder: Path, place: tuple[int, int]) -> Path:
        """Return the parquet file of a chunk and file index."""
        return _inside(folder, self.data_path, chunk_index=place[0], file_index=place[1])

    def video_file(self, folder: Path, camera: str, place: tuple[int, int]) -> Path:
        """Return the mp4 file of a camera by its chunk and file index."""
        chunk, file = place
        return _inside(
            folder, self.video_path, video_key=camera, chunk_index=chunk, file_index=file
        )


def read_info(folder: Path) -> Info:
    """Read meta/info.json of a data set.

    Raises:
        DatasetError: no data set, one of another version, or a damaged file.
    """
    path = folder / INFO
    if not path.is_file():
        staged = (folder / 'staging').is_dir()
        raise DatasetError(
            f"'{folder}' is recorded but not finished; type: vla-ros data finalize {folder}"
            if staged
            else f"'{folder}' is no data set of the LeRobot {VERSION} layout: no {INFO}"
        )
    return info_of_json(read_json(path), path)


def info_of_json(value: object, path: Path) -> Info:
    """Return what the content of an info.json says; `path` is named in errors.

    Raises:
        DatasetError: one of another version, or damaged.
    """
    if not isinstance(value, dict) or not isinstance(value.get('features'), dict):
        raise DatasetError(f'{path}: damaged; no features in it')
    if value.get('codebase_version') != VERSION:
        raise DatasetError(
            f'{path}: version {value.get("codebase_version")!r} cannot be read, only {VERSION}; '
            'convert it with lerobot.datasets.v30.convert_dataset_v21_to_v30'
        )
    try:
        features = {n: feature_of_json(n, f) for n, f in value['features'].items()}
        if missing := sorted(set(DEFAULT_FEATURES) - set(features)):
            raise DatasetError(f"feature '{missing[0]}' is missing")
        own = {n: f for n, f in features.items() if n not in DEFAULT_FEATURES}
        robot = value.get('robot_type')
        spec = Spec(_fps(value.get('fps')), own, str(robot) if robot else None)
        episodes = _count(value, 'total_episodes')
        frames, tasks = _count(value, 'total_frames'), _count(value, 'total_tasks')
    except DatasetError as error:
        raise DatasetError(f'{path}: {error}') from error
    data_path, video_path = value.get('data_path'), value.get('video_path')
    if not isinstance(data_path, str) or (spec.videos and not isinstance(video_path, str)):
        raise DatasetError(f'{path}: data_path or video_path is missing')
    return Info(spec, episodes, frames, tasks, data_path, video_path or VIDEO_PATTERN)


def info_to_json(info: Info) -> dict[str, Any]:
    """Return the content of info.json, with the keys in the order of lerobot's."""
    spec = info.spec
    return {
        'codebase_version': VERSION,
        'robot_type': spec.robot_type,
        'total_episodes': info.total_episodes,
        'total_frames': info.total_frames,
        'total_tasks': info.total_tasks,
        'chunks_size': FILES_A_CHUNK,
        'data_files_size_in_mb': DATA_FILE_MB,
        'video_files_size_in_mb': VIDEO_FILE_MB,
        'fps': spec.fps,
        'splits': {'train': f'0:{info.total_episodes}'},
        'data_path': info.data_path,
        'video_path': info.video_path if spec.videos else None,
        'features': {name: feature_to_json(f) for name, f in spec.all_features.items()},
    }


def next_place(place: tuple[int, int]) -> tuple[int, int]:
    """Return the chunk and file index after another."""
    chunk, file = place
    return (chunk + 1, 0) if file == FILES_A_CHUNK - 1 else (chunk, file + 1)


def read_json(path: Path) -> Any:  # noqa: ANN401  what JSON holds
    """Return the content of a JSON file; a damaged one is a DatasetError."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f'{path}: damaged, no valid JSON: {first_line(error)}') from error


def write_json(path: Path, value: object) -> None:
    """Write a JSON file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.{os.getpid()}')
    partial.write_text(json.dumps(value, indent=4, ensure_ascii=False), encoding='utf-8')
    partial.replace(path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged parquet file causes into one line that names it."""
    if not path.is_file():
        raise DatasetError(f'{path}: missing; the data set is not complete')
    try:
        yield
    except DatasetError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DatasetError(f'{path}: damaged: {first_line(error)}') from error


def first_line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _inside(folder: Path, pattern: str, **values: object) -> Path:
    try:
        path = folder / pattern.format(**values)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise DatasetError(f"{folder / INFO}: '{pattern}' is no pattern of files") from error
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DatasetError(f"{folder / INFO}: '{pattern}' leads out of the data set")
    return path


def _fps(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value  # type: ignore[return-value]  # Spec says what is wrong


def _count(value: dict[str, Any], key: str) -> int:
    count = value.get(key)
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise DatasetError(f'{key} {count!r} is no count')
    return count
