"""Recorded rollouts of all tasks: what a frame holds, resumed and reproducible recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_ros.cli import main
from vla_ros.core.embodiment import load_arm
from vla_ros.data.reader import Dataset, open_dataset
from vla_ros.errors import CheckpointError, ConfigError
from vla_ros.sim.grammar import shipped_phrasings
from vla_ros.sim.scene import THINGS
from vla_ros.sim.tasks.goal import TASKS
from vla_ros.training.record import RecordConfig, record

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
    pixels = columns['label.pixels']
    assert pixels.shape == (24, 3, 2, 2, 2)  # labels, cameras, points
    seen = np.isfinite(pixels).all(-1)
    assert ((pixels[seen] >= 0) & (pixels[seen] <= 1)).all() and np.isnan(pixels[~seen]).all()
    assert seen[:, :, 0, 0].mean() > 0.9 > seen[:, :, 1].mean()  # the wrist does not see it all
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
    for name in ('observation.state', 'label.action', 'label.pixels', 'label.turn_rad'):
        assert np.array_equal(again.column(name), dataset.column(name), equal_nan=True), name
    camera = 'observation.images.front'
    assert np.array_equal(again.images(camera), dataset.images(camera))


def test_objects_that_are_left_out_are_in_no_scene(dataset: Dataset, tmp_path: Path) -> None:
    shown = dataset.column('scene.present').any(0)
    seen = [name for name, is_there in zip(THINGS, shown, strict=True) if is_there]
    left_out = seen[0], seen[-1]
    assert left_out[1].endswith('bowl')
    record(RecordConfig(**{**vars(SMALL), 'leave_out': left_out}), tmp_path)
    without = open_dataset(tmp_path)
    assert not without.column('scene.present')[:, np.isin(THINGS, left_out)].any()
    assert not any(name in text for name in left_out for text in without.tasks)


def test_how_far_the_tool_has_to_turn_is_labelled_where_it_matters(dataset: Dataset) -> None:
    columns = dataset.columns(['label.turn_rad', 'label.task_index'])
    for turns, tasks in zip(*columns.values(), strict=True):
        for turn, index in zip(turns, tasks, strict=True):
            about = dataset.tasks[index]
            if about.startswith('reach'):
                assert np.isnan(turn)
            if about.startswith('push'):
                assert abs(turn) <= np.pi / 2
    assert 0.1 < np.isfinite(columns['label.turn_rad']).mean() < 0.9


def test_a_scene_in_which_nothing_can_be_pushed_is_laid_anew(tmp_path: Path) -> None:
    seed = 300018  # of such a scene
    record(
        RecordConfig(tasks=('push',), episodes=1, first_seed=seed, episode_steps=2, workers=1),
        tmp_path,
    )
    assert all(text.startswith('push ') for text in open_dataset(tmp_path).tasks)
    nothing = RecordConfig(episodes=1, leave_out=tuple(THINGS), workers=1)
    with pytest.raises(ConfigError, match='in none of 100 scenes'):
        record(nothing, tmp_path / 'nothing')


def test_a_policy_drives_and_the_expert_labels(tmp_path: Path) -> None:
    by_policy = RecordConfig(**{**vars(SMALL), 'policy': 'vla-reach', 'episode_steps': 12})
    record(by_policy, tmp_path / 'policy')
    record(RecordConfig(**{**vars(by_policy), 'policy': ''}), tmp_path / 'expert')
    by_policy, by_expert = (open_dataset(tmp_path / name) for name in ('policy', 'expert'))
    for name in ('label.action', 'observation.state'):  # the same beginnings
        ours, theirs = (d.column(name).reshape(4, 12, -1) for d in (by_policy, by_expert))
        np.testing.assert_array_equal(ours[:, 0], theirs[:, 0])
        assert np.abs(ours[:, -1] - theirs[:, -1]).max() > 0.01, name
    first, action = (by_policy.column(n) for n in ('label.action', 'action'))
    np.testing.assert_allclose(first[:, 0, 0], action, atol=1e-5)  # labels are the expert's


def test_a_policy_that_sees_by_other_cameras_does_not_drive(tmp_path: Path) -> None:
    config = RecordConfig(**{**vars(SMALL), 'policy': 'vla-reach', 'cameras': ('wrist',)})
    with pytest.raises(ConfigError, match="'vla-reach' sees by front, which is not recorded"):
        record(config, tmp_path)
    with pytest.raises(CheckpointError, match='nowhere'):
        record(RecordConfig(**{**vars(SMALL), 'policy': 'nowhere'}), tmp_path)


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
