"""Record a data set, frame by frame or episode by episode, from one process or from many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_ros.data import finishing, staging, video
from vla_ros.data.features import Spec, feature_to_json
from vla_ros.data.layout import (
    INFO,
    Info,
    info_of_json,
    info_to_json,
    read_info,
    read_json,
    write_json,
)
from vla_ros.errors import DatasetError, choose

_SPEC = 'info.json'  # in the staging folder: what is being recorded


class DatasetWriter:
    """Records episodes into a folder, and goes on where a recording was broken off.

    An episode is there whole or not at all, whenever the process is killed: each is staged as a
    file of its own, and `finalize` makes the LeRobot v3.0 layout of them, in the order of their
    keys, so that the result does not depend on who recorded what first. Several processes may have
    a writer on one folder and save episodes of different keys; one of them finalizes.

        writer = DatasetWriter(folder, Spec(10, features))
        for seed in wanted - writer.keys:
            writer.save_episode({'action': (N, 7), …}, tasks='reach the red cube', key=seed)
        writer.finalize()
    """

    def __init__(self, folder: Path, spec: Spec, codec: str = 'h264') -> None:
        """Make a data set in `folder`, or go on with the one that is there.

        Args:
            folder: of the data set.
            spec: what is recorded; that of the data set, if there is one.
            codec: h264 or av1, for features of dtype 'video'.

        Raises:
            DatasetError: what is there is of another specification, or damaged.
        """
        self.folder, self.spec = folder, spec
        self._codec = choose('codec', codec, video.CODECS)
        self._frames: list[Mapping[str, Any]] = []
        self._tasks: list[str] = []
        finishing.complete(folder)
        if (folder / INFO).exists():
            _check_same(folder / INFO, spec, read_info(folder).spec)
        elif folder.is_dir() and any(e.name != staging.FOLDER for e in folder.iterdir()):
            raise DatasetError(f"'{folder}' holds files that are no data set; name another folder")
        notes = folder / staging.FOLDER / _SPEC
        if notes.exists():
            _check_same(notes, spec, staged_spec(folder))
        else:
            write_json(notes, info_to_json(Info(spec)))

    @property
    def keys(self) -> frozenset[int]:
        """Keys of the episodes that are recorded, staged or finalized."""
        return frozenset(staging.keys(self.folder) | set(finishing.finished_keys(self.folder)))

    def add_frame(self, frame: Mapping[str, Any], task: str) -> None:
        """Add one frame to the episode that is being recorded, which lies in memory until saved.

        Args:
            frame: feature → value of the feature's shape and dtype; `timestamp` in seconds, from
                the episode's start, where it is not the frame's number times the period.
            task: what is being done, in words.

        Raises:
            DatasetError: features that are missing or unknown.
        """
        self._check_names(set(frame))
        if self._frames and set(frame) != set(self._frames[0]):
            raise DatasetError("'timestamp' must be in every frame of an episode, or in none")
        self._frames.append({name: np.array(value) for name, value in frame.items()})
        self._tasks.append(task)

    def discard(self) -> None:
        """Forget the frames that were added since the last saved episode."""
        self._frames, self._tasks = [], []

    def save_episode(
        self,
        columns: Mapping[str, np.ndarray] | None = None,
        tasks: str | Sequence[str] = (),
        key: int | None = None,
    ) -> int:
        """Save the frames that were added, or a whole episode at once; return its key.

        Args:
            columns: feature → (N, *shape) values. A feature that is called `task_index`, or ends
                with `.task_index`, takes sentences instead of numbers.
            tasks: one sentence for all frames, or N.
            key: number of its own that the episode is known by; the next free one by default,
                which is for recordings from one process.

        Raises:
            DatasetError: shapes or dtypes that do not fit, no frames, or a key that is taken.
        """
        if columns is None:
            columns, tasks = self._added()
        self._check_names(set(columns))
        length = len(next(iter(columns.values())))
        if not length:
            raise DatasetError('an episode needs at least one frame')
        sentences = [tasks] * length if isinstance(tasks, str) else list(tasks)
        if len(sentences) != length or not all(isinstance(s, str) and s for s in sentences):
            raise DatasetError(f'{length} frames need one task in words, or {length} of them')
        taken = self.keys
        key = max(taken, default=-1) + 1 if key is None else key
        if key < 0 or key in taken:
            raise DatasetError(f'key {key} is taken or negative; each episode needs its own')
        staging.stage(self.folder, self.spec, key, columns, sentences, self._codec)
        return key

    def finalize(self) -> int:
        """Make the staged episodes part of the data set; return how many it has now.

        Whenever this is broken off, the next writer, or `vla-ros data finalize`, completes it.
        """
        return finishing.finish(self.folder, self.spec)

    def _added(self) -> tuple[dict[str, np.ndarray], list[str]]:
        if not self._frames:
            raise DatasetError('an episode needs at least one frame: add_frame')
        names = self._frames[0]
        columns = {name: np.stack([frame[name] for frame in self._frames]) for name in names}
        tasks = self._tasks
        self.discard()
        return columns, tasks

    def _check_names(self, names: set[str]) -> None:
        wanted = set(self.spec.features)
        if missing := sorted(wanted - names):
            raise DatasetError(f"feature '{missing[0]}' is missing")
        if unknown := sorted(names - wanted - {'timestamp'}):
            raise DatasetError(
                f"unknown feature '{unknown[0]}'; the data set has: {', '.join(sorted(wanted))}"
            )


def finalize(folder: Path) -> int:
    """Make a data set of what was recorded into a folder; return how many episodes it has.

    Raises:
        DatasetError: nothing was recorded there, or something is damaged.
    """
    finishing.complete(folder)
    if (folder / INFO).exists():
        spec = read_info(folder).spec
    elif (folder / staging.FOLDER / _SPEC).exists():
        spec = staged_spec(folder)
    else:
        raise DatasetError(f"nothing was recorded into '{folder}'")
    return DatasetWriter(folder, spec).finalize()


def staged_spec(folder: Path) -> Spec:
    """Return what is being recorded in a folder that holds staged episodes."""
    notes = folder / staging.FOLDER / _SPEC
    return info_of_json(read_json(notes), notes).spec


def _check_same(path: Path, wanted: Spec, found: Spec) -> None:
    def described(spec: Spec) -> dict[str, Any]:
        own = spec.features.items()
        features = {n: {**feature_to_json(f), 'info': None} for n, f in own}
        return {'fps': spec.fps, 'robot_type': spec.robot_type, **features}

    new, old = described(wanted), described(found)
    if different := [name for name in {**old, **new} if new.get(name) != old.get(name)]:
        name = different[0]
        raise DatasetError(
            f"{path}: '{name}' is {old.get(name)} there and {new.get(name)} here; record into "
            'another folder'
        )
