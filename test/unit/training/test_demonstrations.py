"""Demonstrations: what one holds, resumed recordings, and the way through a data set and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_ros.cli import main
from vla_ros.core.embodiment import load_arm
from vla_ros.data.check import check_dataset
from vla_ros.data.finishing import finished_keys
from vla_ros.data.reader import Dataset, open_dataset
from vla_ros.errors import ConfigError
from vla_ros.policies.cliport.config import CliportConfig
from vla_ros.sim.grammar import shipped_phrasings
from vla_ros.sim.tasks.language import held_out_pairs
from vla_ros.sim.world import World
from vla_ros.training.demonstrations import (
    DemonstrationConfig,
    Demonstrator,
    record_demonstrations,
    to_mm,
)
from vla_ros.training.scenes import load_examples

ARM = load_arm('sim')
FEW = DemonstrationConfig(tasks=('put', 'push'), episodes=4, workers=1)
CONFIG = CliportConfig(vocabulary=('put',))


@pytest.fixture(scope='module')
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp('demonstrations') / 'few'
    assert record_demonstrations(FEW, folder) == 4
    return open_dataset(folder)


def test_depth_comes_back_as_the_camera_saw_it(dataset: Dataset) -> None:
    columns, said = Demonstrator(FEW).demonstration(0) or ({}, '')
    again = dataset.columns(list(columns.keys() - {'observation.images.top'}), episode=0)
    assert dataset.episodes[0].tasks == (said,)
    for name, values in again.items():
        np.testing.assert_array_equal(values.reshape(columns[name].shape), columns[name])
    image = dataset.images('observation.images.top', 0)
    assert np.array_equal(image, columns['observation.images.top'])


def test_depth_is_kept_in_millimetres_and_unknown_depth_is_zero() -> None:
    depth_m = np.array([[1.2004, np.nan, -1.0], [np.inf, 70.0, 0.0006]], np.float32)
    assert to_mm(depth_m)[..., 0].tolist() == [[1200, 0, 0], [0, 0, 1]]


def test_the_table_lies_open_and_the_labels_are_on_the_objects(dataset: Dataset) -> None:
    for example in load_examples(dataset, ARM, CONFIG):
        assert example is not None
        heights_m = example.seen.heights_m
        assert heights_m.max() < 0.09  # nothing as high as a hand
        assert heights_m[example.pick] > 0.04
        assert example.primitive == example.instruction.split()[0]
        assert example.turn_rad is None
        if example.primitive == 'push':
            apart = np.hypot(*np.subtract(example.pick, example.place))
            assert apart * CONFIG.metres_per_pixel == pytest.approx(0.1, abs=0.01)


def test_check_info_and_view_take_it(dataset: Dataset, tmp_path: Path) -> None:
    folder = str(dataset.folder)
    assert list(check_dataset(dataset.folder)) == []
    assert main(['data', 'check', folder]) == main(['data', 'info', folder]) == 0
    assert main(['data', 'view', folder, '--output', str(tmp_path / 'view.png')]) == 0


def test_recording_goes_on_and_is_reproducible(dataset: Dataset, tmp_path: Path) -> None:
    assert record_demonstrations(FEW, dataset.folder) == 0
    record_demonstrations(DemonstrationConfig(**{**vars(FEW), 'episodes': 2}), tmp_path)
    assert record_demonstrations(FEW, tmp_path) == 2
    again = open_dataset(tmp_path)
    for name in ('observation.depths.top', 'label.points_m'):
        np.testing.assert_array_equal(again.column(name), dataset.column(name))


def test_left_out_objects_are_in_no_scene(tmp_path: Path) -> None:
    config = DemonstrationConfig(
        tasks=('reach',), episodes=4, leave_out=held_out_pairs(), workers=1
    )
    record_demonstrations(config, tmp_path)
    without = open_dataset(tmp_path)
    assert not any(name in said for name in held_out_pairs() for said in without.tasks)
    world = World(load_arm('sim'))
    for seed in finished_keys(tmp_path):
        world.reset(seed, 'reach')
        assert not {thing.name for thing in world.objects} & set(held_out_pairs())


def test_held_out_seeds_and_cameras_without_calibration_are_refused(tmp_path: Path) -> None:
    first = shipped_phrasings().held_out_first_seed - 150
    with pytest.raises(ConfigError, match='held-out'):
        DemonstrationConfig(first_seed=first, episodes=100)
    with pytest.raises(ConfigError, match='no calibration'):
        record_demonstrations(DemonstrationConfig(camera='front'), tmp_path)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ['--tasks', 'pick', '--episodes', '1', '--workers', '1', '--output', str(tmp_path)]
    assert main(['collect', '--demonstrations', *few]) == 0
    assert f'train --policy cliport --data {tmp_path}' in capsys.readouterr().out
