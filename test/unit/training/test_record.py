"""Recorded rollouts of all tasks: what a frame holds, resumed and reproducible recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_ros.cli import main
from vla_ros.core.embodiment import load_arm
from vla_ros.data.reader import Dataset, open_dataset
from vla_ros.errors import ConfigError
from vla_ros.sim.grammar import shipped_phrasings
from vla_ros.sim.tasks.goal import TASKS
from vla_ros.training.record import THINGS, RecordConfig, record

ARM = load_arm('sim')
SMALL = RecordConfig(episodes=4, episode_steps=6, labels=3, workers=1)


@pytest.fixture(scope='module')
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp('table')
    record(SMALL, folder)
    return open_dataset(folder)


def test_a_frame_is_labelled_for_several_goals_the_driven_one_first(dataset: Dataset) -> None:
    columns = dataset.columns(['action', 'label.action', 'label.task_index', 'task_index'])
    assert columns['label.action'].shape == (24, 3, 8, 8)
    assert np.array_equal(columns['label.task_index'][:, 0], columns['task_index'])
    # the first action of the first label is what the expert does in this state
    np.testing.assert_allclose(columns['label.action'][:, 0, 0], columns['action'], atol=1e-5)
    asked = {dataset.tasks[i].split()[0] for i in np.unique(columns['label.task_index'])}
    assert asked == {'reach', 'push', 'pick', 'put'} == set(TASKS)


def test_labels_are_within_the_limits_and_points_where_the_camera_sees_them(
    dataset: Dataset,
) -> None:
    columns = dataset.columns(['label.action', 'label.pixels', 'label.points_m', 'scene.present'])
    assert (np.abs(columns['label.action'][..., :7]) <= ARM.velocity_max_rad_s).all()
    openings = columns['label.action'][..., 7]
    assert (openings >= 0).all() and (openings <= ARM.gripper.opening_max_m).all()
    assert ((columns['label.pixels'] > -0.1) & (columns['label.pixels'] < 1.1)).all()
    assert columns['label.points_m'][..., 2].min() > 0
    assert columns['scene.present'].shape == (24, len(THINGS))
    assert columns['scene.present'].sum(1).min() >= 3


def test_only_what_is_on_the_table_is_asked_for(dataset: Dataset) -> None:
    columns = dataset.columns(['label.task_index', 'scene.present'])
    for tasks, present in zip(*columns.values(), strict=True):
        there = [name for name, is_there in zip(THINGS, present, strict=True) if is_there]
        for index in tasks:
            assert any(name in dataset.tasks[index] for name in there), dataset.tasks[index]


def test_a_recording_goes_on_and_is_reproducible(dataset: Dataset, tmp_path: Path) -> None:
    assert record(SMALL, dataset.folder) == 0
    record(RecordConfig(**{**vars(SMALL), 'episodes': 2}), tmp_path)
    assert record(SMALL, tmp_path) == 2
    again = open_dataset(tmp_path)
    for name in ('observation.state', 'label.action', 'label.pixels'):
        assert np.array_equal(again.column(name), dataset.column(name)), name
    camera = 'observation.images.front'
    assert np.array_equal(again.images(camera), dataset.images(camera))


def test_objects_that_are_left_out_are_never_asked_for(tmp_path: Path) -> None:
    left_out = tuple(name for name in THINGS if name.startswith('red') and 'bowl' not in name)
    record(RecordConfig(**{**vars(SMALL), 'leave_out': left_out}), tmp_path)
    asked = open_dataset(tmp_path)
    for index in np.unique(asked.column('label.task_index')):
        about = asked.tasks[index].split(' next to ')[0]
        assert not any(name in about for name in left_out), about


@pytest.mark.parametrize(
    ('settings', 'says'),
    [
        ({'tasks': ('juggle',)}, "unknown task 'juggle'"),
        ({'episodes': 0}, 'episodes: 0 is not at least 1'),
        ({'first_seed': shipped_phrasings().held_out_first_seed}, 'held-out'),
    ],
)
def test_what_cannot_be_recorded_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        RecordConfig(**settings)


def test_the_command_records_and_says_what_is_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / 'table'
    words = ['--tasks', 'pick', '--episodes', '1', '--workers', '1', '--output', str(output)]
    assert main(['collect', *words]) == 0
    assert f'vla-ros data view {output}' in capsys.readouterr().out
    assert all(task.startswith('pick up') for task in open_dataset(output).tasks)
    assert main(['collect', '--tasks', 'juggle']) == 2
    assert "unknown task 'juggle'" in capsys.readouterr().err
