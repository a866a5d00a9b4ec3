"""The shipped checkpoint closes the loop: it reaches what is named and refuses what is not."""

from pathlib import Path

import numpy as np
import pytest

from vla_ros.core.embodiment import load_arm
from vla_ros.paths import policies_dir
from vla_ros.policies.checkpoint import read_manifest
from vla_ros.policies.registry import load_policy
from vla_ros.sim.grammar import phrase, shipped_phrasings
from vla_ros.sim.scene import OBJECT_KINDS
from vla_ros.sim.tasks.env import TIME_LIMIT_S, TaskEnv, task_env
from vla_ros.sim.world import World
from vla_ros.training.figures import task_report
from vla_ros.training.suites import PLAIN
from vla_ros.training.trial_plan import plan_trials
from vla_ros.training.trials import TICK_S, PolicyBrain, run_trial, run_trials

ARM = load_arm('sim')
FOLDER = policies_dir() / 'vla-reach'


@pytest.fixture(scope='module')
def env():
    made = task_env(ARM, 'reach')
    yield made
    made.close()


@pytest.fixture(scope='module')
def policy():
    return load_policy('vla-reach', ARM, 'cpu')


def test_it_says_where_it_runs(policy):
    assert policy.device == 'cpu'


def test_twenty_unseen_scenes_with_held_out_phrasings(env):
    trials = plan_trials(env.world, 'reach', 20, 7, 'held_out', PLAIN)
    results = list(run_trials(trials, 'vla-reach', device='cpu'))
    found = task_report(results, policy='vla-reach', seed=7, phrasings='held_out')
    assert found.success_rate >= 0.9, found
    assert found.wrong_object_rate <= 0.05, found


def drive(env, policy, seed, instruction):
    """Follow an instruction to the end of an episode; return notes and the way of the joints."""
    env.reset(seed=seed, options={'instruction': instruction})
    start, notes = env.world.joint_positions_rad, []
    while env.world.time_s < TIME_LIMIT_S['reach'] / 2:
        chunk = policy.infer(env.observation())
        notes.append(chunk.note)
        env.drive(np.append(chunk.velocities_rad_s[0], np.nan))
    return notes, np.abs(env.world.joint_positions_rad - start).max()


@pytest.mark.parametrize(
    'instruction',
    ['', 'make me a sandwich', 'qwertz uiop', 'go to the purple banana', '42', 'reach the cube'],
)
def test_a_sentence_that_means_nothing_moves_nothing(env, policy, instruction):
    for seed in range(1_000_000, 1_000_003):
        notes, way = drive(env, policy, seed, instruction)
        assert notes[-1] and way < 0.15, (seed, way)


def test_an_object_that_is_not_on_the_table_moves_nothing(env, policy):
    template = shipped_phrasings().held_out[0]
    stayed = []
    for seed in range(1_000_100, 1_000_112):
        env.reset(seed=seed)
        present = {item.name for item in env.world.objects}
        absent = [kind.name for kind in OBJECT_KINDS if kind.name not in present]
        notes, way = drive(env, policy, seed, phrase(template, absent[seed % len(absent)]))
        assert way < 1.5, 'nowhere wild, whatever it believes'
        stayed.append(bool(notes[-1]) and way < 0.15)
    assert np.mean(stayed) >= 0.9, stayed


def test_another_sentence_leads_elsewhere(env, policy):
    env.reset(seed=1_000_200)
    places = []
    for item in env.world.objects[:2]:
        drive(env, policy, 1_000_200, f'reach the {item.name}')
        places.append(env.world.tool_position_m)
    assert np.linalg.norm(places[0] - places[1]) > 0.08


def test_frames_of_twice_the_size_change_little():
    """Cameras of 640x480 are as good as those that it was trained with."""
    world = World(ARM, camera_sizes={'front': (640, 480)})
    env, brain = TaskEnv(world, 'reach', step_s=TICK_S), PolicyBrain('vla-reach', world, 'cpu')
    trials = plan_trials(world, 'reach', 5, 8, 'train', PLAIN)
    assert sum(run_trial(env, brain, trial, None).success for trial in trials) >= 4
    world.close()


def test_the_manifest_says_what_made_it():
    manifest = read_manifest(FOLDER)
    assert manifest.joints == list(ARM.joints) or tuple(manifest.joints) == ARM.joints
    assert manifest.training['command'].startswith('vla-ros train')
    last_seed = manifest.training['data']['first_seed'] + manifest.training['data']['episodes']
    assert last_seed <= shipped_phrasings().held_out_first_seed
    size = sum(path.stat().st_size for path in Path(FOLDER).iterdir())
    assert size < 25e6
