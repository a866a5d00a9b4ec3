"""Make a data set of episodes that a JSON file describes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vla_ros.core.embodiment import available_arms, load_arm
from vla_ros.data.features import Feature, Spec
from vla_ros.data.json_episodes import JsonEpisodes, Step, load_image, read_json_episodes
from vla_ros.data.writer import DatasetWriter
from vla_ros.errors import DatasetError, choose

STORAGES = ('image', 'video')


def import_json(
    source: Path, folder: Path, fps: int | None, robot_type: str | None, storage: str
) -> int:
    """Import a JSON or JSONL file; goes on where it was broken off. Return how many episodes.

    Args:
        source: the file; `data/json_episodes.py` says its form.
        folder: of the data set.
        fps: frames a second; None takes what the file says.
        robot_type: name of the arm; None takes what the file says.
        storage: 'image' (lossless) or 'video' (small).

    Raises:
        DatasetError: the file is not of the form, images are missing or differ in size.
    """
    choose('storage', storage, STORAGES)
    described = read_json_episodes(source)
    rate = described.fps if fps is None else fps
    if rate is None:
        raise DatasetError(f'{source} does not say how many steps a second; add --fps')
    if fps is not None and described.fps not in (None, fps):
        raise DatasetError(f'--fps {fps}, but {source} says {described.fps}')
    arm = robot_type or described.robot_type
    writer = DatasetWriter(folder, Spec(rate, _features(described, arm, storage), arm))
    for key, steps in enumerate(described.episodes):
        if key not in writer.keys:
            try:
                writer.save_episode(_columns(steps), [s.instruction for s in steps], key)
            except DatasetError as error:
                raise DatasetError(f'{source}: episode {key}: {error}') from error
    return writer.finalize()


def _features(described: JsonEpisodes, arm: str | None, storage: str) -> dict[str, Feature]:
    first = described.episodes[0][0]
    joints = _joints(arm)
    features = {}
    for name, values in (('observation.state', first.state), ('action', first.action)):
        if values:
            features[name] = Feature('float32', (len(values),), joints[: len(values)])
    for camera, path in first.images.items():
        shape = load_image(path).shape
        names = ('height', 'width', 'channels')
        features[f'observation.images.{camera}'] = Feature(storage, shape, names)
    return features


def _joints(arm: str | None) -> tuple[str, ...]:
    if arm in available_arms():
        embodiment = load_arm(str(arm))
        return (*embodiment.joints, embodiment.gripper_joint or 'gripper')
    return (*(f'joint{k}' for k in range(1, 8)), 'gripper')


def _columns(steps: Sequence[Step]) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    columns['action'] = np.array([step.action for step in steps], np.float32)
    if steps[0].state:
        columns['observation.state'] = np.array([step.state for step in steps], np.float32)
    for camera in steps[0].images:
        images = [load_image(step.images[camera]) for step in steps]
        for k, image in enumerate(images):
            if image.shape != images[0].shape:
                raise DatasetError(
                    f'step {k}: {steps[k].images[camera]} is {image.shape[1]}x{image.shape[0]}, '
                    f'those before are {images[0].shape[1]}x{images[0].shape[0]}'
                )
        columns[f'observation.images.{camera}'] = np.stack(images)
    return columns
