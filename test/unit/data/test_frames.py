"""Frames in memory are those of the data set, whichever are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_ros.data.features import Feature, Spec
from vla_ros.data.frames import Frames
from vla_ros.data.reader import open_dataset
from vla_ros.data.writer import DatasetWriter
from vla_ros.errors import DatasetError

CAMERAS = ('observation.images.front', 'observation.images.wrist')


@pytest.fixture(params=['image', 'video'])
def dataset(request: pytest.FixtureRequest, tmp_path: Path):
    features = {camera: Feature(request.param, (32, 48, 3)) for camera in CAMERAS}
    features['action'] = Feature('float32', (2,))
    writer = DatasetWriter(tmp_path / 'data', Spec(10, features, 'sim'))
    rng = np.random.default_rng(0)
    for key in range(3):
        columns = {c: rng.integers(0, 256, (5, 32, 48, 3), np.uint8) for c in CAMERAS}
        columns['action'] = np.zeros((5, 2), np.float32)
        writer.save_episode(columns, ['look'] * 5, key=key)
    writer.finalize()
    return open_dataset(tmp_path / 'data')


def test_any_frames_are_taken_in_any_order_and_shape(dataset) -> None:
    frames = Frames.of(dataset)
    whole = np.stack([dataset.images(camera) for camera in CAMERAS], axis=1)
    rows = np.array([[7, 3, 3], [14, 0, 7]])
    np.testing.assert_array_equal(frames.take(rows), whole[rows])
    assert len(frames) == 15
    part = frames[5:10]
    assert len(part) == 5
    np.testing.assert_array_equal(part.take(np.arange(5)), whole[5:10])


def test_a_damaged_image_is_named_when_it_is_asked_for() -> None:
    frames = Frames({'front': [b'\x89PNG cut off']}, (32, 48))
    with pytest.raises(DatasetError, match='front'):
        frames.take(np.array([0]))
