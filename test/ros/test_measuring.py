"""What measures the running graph: evaluation through ROS, and latencies."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from vla_ros.cli import main
from vla_ros.core.embodiment import load_arm
from vla_ros.ros.evaluation import run_through_ros
from vla_ros.sim.tasks.episodes import plan_task_episodes
from vla_ros.sim.world import World
from vla_ros.training.figures import TaskReport


@pytest.mark.parametrize('through', ['sim', 'ros'])
def test_eval_writes_the_same_figures_of_simulator_and_graph(tmp_path: Path, through: str) -> None:
    file = tmp_path / 'eval.json'
    words = ['--episodes', '2', '--seed', '3', '--phrasings', 'held_out', '--workers', '1']
    assert main(['eval', *words, '--through', through, '--json', str(file)]) == 0
    found = json.loads(file.read_text(encoding='utf-8'))
    assert set(found) == {field.name for field in fields(TaskReport)}
    assert (found['episodes'], found['successes'], found['seed']) == (2, 2, 3)
    assert (found['task'], found['policy']) == ('reach', 'vla-reach')
    assert found['success_rate'] == 1.0
    assert found['wrong_object_rate'] == 0.0
    assert 0 < found['median_error_m'] < 0.03
    assert 0.3 < found['wilson_95'][0] < found['wilson_95'][1] <= 1.0
    assert 6.0 - 1e-6 < found['median_time_s'] < (6.001 if through == 'sim' else 9.0)
    assert 0.05 < found['acceleration_rad_s2'] < 3.0
    assert 0.0 <= found['interventions_per_s'] < 20.0


def test_what_is_met_is_heard_through_the_graph() -> None:
    world = World(load_arm('sim'))
    reach = plan_task_episodes(world, 'reach', 1, 3)
    pick = plan_task_episodes(world, 'pick', 1, 3)
    done, not_done = run_through_ros([*reach, *pick], 'vla-reach')
    assert done.success and not done.wrong_object
    assert not not_done.success and not_done.time_s > 7.5


def test_eval_of_any_task_through_ros(tmp_path: Path) -> None:
    file = tmp_path / 'eval.json'
    words = '--task push --policy hold --episodes 1 --through ros --json'
    assert main(['eval', *words.split(), str(file)]) == 0
    found = json.loads(file.read_text(encoding='utf-8'))
    assert (found['task'], found['successes'], found['median_error_m']) == ('push', 0, None)
    assert found['median_time_s'] is None
    assert found['interventions_per_s'] == found['acceleration_rad_s2'] == 0.0  # it held still


def test_eval_takes_the_users_own_phrasings(tmp_path: Path) -> None:
    templates, file = tmp_path / 'mine.txt', tmp_path / 'eval.json'
    templates.write_text('# mine\nplease go to the {object}\n', encoding='utf-8')
    words = ['--episodes', '2', '--workers', '1', '--phrasings', str(templates)]
    assert main(['eval', *words, '--json', str(file)]) == 0
    assert json.loads(file.read_text(encoding='utf-8'))['successes'] == 2


def test_latencies_add_up_and_no_frame_is_lost(tmp_path: Path) -> None:
    file = tmp_path / 'latency.json'
    words = ['--seconds', '4', '--width', '320', '--height', '240', '--json', str(file)]
    assert main(['bench', 'latency', *words]) == 0
    found = json.loads(file.read_text(encoding='utf-8'))
    p50 = {name: values[0] for name, values in found['rows_ms'].items()}
    assert 0 < p50['camera → inference start'] < p50['camera → chunk'] < p50['camera → command']
    assert 0 < p50['forward pass of the model'] < p50['camera → chunk']
    assert all(values == sorted(values) for values in found['rows_ms'].values())
    assert found['frames_sent'] > 20
    assert found['frames_received'] == found['frames_sent']
    assert found['chunks'] > 20
