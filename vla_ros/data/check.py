"""Find what is wrong with a data set before a policy is trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vla_ros.core.embodiment import Embodiment, available_arms, load_arm
from vla_ros.data import check_frames, check_motion, layout
from vla_ros.data.episodes import Episode
from vla_ros.data.finding import Finding
from vla_ros.data.reader import Dataset, open_dataset
from vla_ros.errors import DatasetError

ACTION, STATE = 'action', 'observation.state'
_RECORD_AGAIN = 'copy the file again from where it was recorded, or record the data set again'


def check_dataset(folder: Path, arm: str = '') -> Iterator[Finding]:
    """Yield what is wrong, as it is found.

    Args:
        folder: of the data set.
        arm: name in config/arms, or a YAML file, whose limits apply; empty takes the arm that the
            data set names, or leaves limits out where it names none that is known.

    Raises:
        ConfigError: an unknown arm.
    """
    embodiment = load_arm(arm) if arm else None
    try:
        dataset = open_dataset(folder)
    except DatasetError as error:
        yield Finding('files', str(error), _RECORD_AGAIN)
        return
    if embodiment is None and dataset.spec.robot_type in available_arms():
        embodiment = load_arm(dataset.spec.robot_type)
    yield from _check_files(dataset)
    numbers = [n for n, f in dataset.spec.all_features.items() if not f.is_image]
    for episode in dataset.episodes:
        yield from _check_episode(dataset, episode, numbers, embodiment)
    yield from _check_statistics(dataset)


def _check_episode(
    dataset: Dataset, episode: Episode, numbers: list[str], arm: Embodiment | None
) -> Iterator[Finding]:
    spec, number = dataset.spec, episode.index
    try:
        columns = dataset.columns(numbers, number)
    except DatasetError as error:
        yield Finding('files', str(error), _RECORD_AGAIN, number)
        return
    yield from check_frames.check_numbers(columns, episode)
    yield from check_frames.check_stamps(columns['timestamp'], spec.fps, number)
    yield from check_frames.check_counts(columns, episode, len(dataset.tasks))
    state, action = columns.get(STATE), columns.get(ACTION)
    if state is not None and action is not None:
        yield from check_motion.check_motion(state, action, spec.fps, number)
    if arm is not None:
        yield from check_motion.check_units(state, action, arm, number)
    travelled = check_motion.travelled_rad(state, action, episode.length, spec.fps)
    for camera in spec.cameras:
        try:
            images = dataset.images(camera, number)
        except DatasetError as error:
            yield Finding('images', str(error), _RECORD_AGAIN, number)
            continue
        yield from check_frames.check_images(
            camera, images, travelled, spec.features[camera].dtype == 'image', number
        )


def _check_files(dataset: Dataset) -> Iterator[Finding]:
    """Files that no episode names: lerobot reads whatever lies in data/."""
    named = {dataset.info.data_file(dataset.folder, e.place) for e in dataset.episodes}
    for path in sorted((dataset.folder / 'data').rglob('*.parquet')):
        if path not in named:
            yield Finding(
                'files',
                f'{path} belongs to no episode; lerobot would read it all the same',
                'move it out of the data set',
            )
    if len(dataset.tasks) != dataset.info.total_tasks:
        yield Finding(
            'counts',
            f'{layout.INFO} says {dataset.info.total_tasks} tasks, {layout.TASKS} has '
            f'{len(dataset.tasks)}',
            f'correct total_tasks in {layout.INFO}',
        )
    for k, task in enumerate(dataset.tasks):
        if not task.strip():
            yield Finding('counts', f'task {k} has no words', f'name it in {layout.TASKS}')


def _check_statistics(dataset: Dataset) -> Iterator[Finding]:
    """Statistics that are of other data would normalise wrongly without anybody noticing."""
    remedy = f'delete {layout.STATISTICS} and import or record the data set again'
    try:
        statistics = dataset.statistics()
        names = [n for n in (ACTION, STATE) if n in dataset.spec.features]
        columns = dataset.columns(names)
    except DatasetError as error:
        yield Finding('statistics', str(error), remedy)
        return
    for name, values in columns.items():
        entries = statistics.get(name, {})
        rows = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
        rows = np.where(np.isfinite(rows), rows, np.nan)
        for key, extreme in (('min', np.nanmin), ('max', np.nanmax)):
            if key not in entries or entries[key].shape != rows.shape[1:]:
                yield Finding(
                    'statistics', f"{layout.STATISTICS} has no {key} of '{name}'", remedy
                )
            elif np.isfinite(rows).any(0).all():
                wanted, said = extreme(rows, axis=0), entries[key]
                if not np.allclose(wanted, said, rtol=1e-3, atol=1e-4):
                    k = int(np.argmax(np.abs(wanted - said)))
                    yield Finding(
                        'statistics',
                        f"{key} of '{name}' [{k}] is {said[k]:.4g} in {layout.STATISTICS} but "
                        f'{wanted[k]:.4g} in the data',
                        remedy,
                    )
