"""What a data set holds: its features, its rate and its robot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_ros.errors import DatasetError

NUMBERS = ('float32', 'float64', 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'bool')
IMAGES = ('image', 'video')
DTYPES = (*NUMBERS, *IMAGES, 'string')
MOST_DIMENSIONS = 5  # lerobot 0.4.4: get_hf_features_from_features
MOST_VALUES = 10**7  # of one feature in one frame


@dataclass(frozen=True)
class Feature:
    """One column of a data set.

    Attributes:
        dtype: one of `DTYPES`. `image` keeps PNG bytes, lossless; `video` keeps frames of an mp4.
        shape: of one frame. Images: (H, W, 3), or (3, H, W) as some data sets of others say it.
        names: of the last axis, such as joints; data sets of others may hold anything here.
        info: what a data set says about a video's coding.
    """

    dtype: str
    shape: tuple[int, ...]
    names: Any = None
    info: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse what the layout cannot hold."""
        if self.dtype not in DTYPES:
            raise DatasetError(f"dtype '{self.dtype}' is not one of: {', '.join(DTYPES)}")
        whole = all(isinstance(size, int) and size > 0 for size in self.shape)
        if not whole or not 1 <= len(self.shape) <= MOST_DIMENSIONS or self.size > MOST_VALUES:
            raise DatasetError(
                f'shape {self.shape} is not 1 to {MOST_DIMENSIONS} positive whole numbers'
            )
        if self.is_image and (len(self.shape) != 3 or 3 not in (self.shape[0], self.shape[2])):
            raise DatasetError(f'shape {self.shape} is no RGB image; (height, width, 3) is one')

    @property
    def is_image(self) -> bool:
        """Whether a frame of it is an image, kept either way."""
        return self.dtype in IMAGES

    @property
    def size(self) -> int:
        """How many values one frame has."""
        return int(np.prod([float(size) for size in self.shape]))

    @property
    def height_and_width(self) -> tuple[int, int]:
        """Of an image."""
        shape = self.shape
        return (shape[0], shape[1]) if shape[2] == 3 else (shape[1], shape[2])


DEFAULT_FEATURES = {
    'timestamp': Feature('float32', (1,)),
    'frame_index': Feature('int64', (1,)),
    'episode_index': Feature('int64', (1,)),
    'index': Feature('int64', (1,)),
    'task_index': Feature('int64', (1,)),
}
"""Columns that every data set has and that the writer fills in (lerobot 0.4.4, utils.py)."""


@dataclass(frozen=True)
class Spec:
    """What is recorded, and how often.

    Attributes:
        fps: frames a second.
        features: name → feature, without the default ones.
        robot_type: name of the arm, None where unknown.
    """

    fps: int
    features: Mapping[str, Feature]
    robot_type: str | None = None

    def __post_init__(self) -> None:
        """Refuse names and rates that the layout cannot hold."""
        if (
            isinstance(self.fps, bool)
            or not isinstance(self.fps, int)
            or not 1 <= self.fps <= 1000
        ):
            raise DatasetError(f'fps {self.fps!r} is not a whole number within 1 and 1000')
        if not self.features:
            raise DatasetError('a data set needs at least one feature')
        for name in self.features:
            if not name or '/' in name or name in (*DEFAULT_FEATURES, 'task') or '\0' in name:
                raise DatasetError(
                    f"feature name '{name}' is taken, empty or holds a '/'; choose another"
                )

    @property
    def all_features(self) -> dict[str, Feature]:
        """Every column, the default ones last."""
        return {**self.features, **DEFAULT_FEATURES}

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the features that are images."""
        return tuple(name for name, feature in self.features.items() if feature.is_image)

    @property
    def videos(self) -> tuple[str, ...]:
        """Names of the features that are kept as videos."""
        return tuple(n for n, feature in self.features.items() if feature.dtype == 'video')


def names_tasks(name: str) -> bool:
    """Return whether a feature holds indices of tasks, which the writer takes as sentences."""
    return name == 'task_index' or name.endswith('.task_index')


def feature_of_json(name: str, value: object) -> Feature:
    """Read one feature of an info.json.

    Raises:
        DatasetError: it is none.
    """
    if not isinstance(value, dict) or not isinstance(value.get('shape'), list):
        raise DatasetError(f"feature '{name}' has no dtype and shape")
    info = value.get('info')
    try:
        return Feature(
            str(value.get('dtype')),
            tuple(value['shape']),
            value.get('names'),
            info if isinstance(info, dict) else None,
        )
    except DatasetError as error:
        raise DatasetError(f"feature '{name}': {error}") from error


def feature_to_json(feature: Feature) -> dict[str, Any]:
    """Return a feature as an info.json holds it."""
    names = list(feature.names) if isinstance(feature.names, tuple) else feature.names
    value = {'dtype': feature.dtype, 'shape': list(feature.shape), 'names': names}
    return value | ({'info': dict(feature.info)} if feature.info else {})
