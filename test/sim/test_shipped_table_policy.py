"""The shipped policy for all tasks closes the loop, with two cameras and a gripper."""

import pytest

from vla_ros.core.embodiment import load_arm
from vla_ros.paths import policies_dir
from vla_ros.policies.checkpoint import read_manifest
from vla_ros.policies.registry import load_policy
from vla_ros.sim.scene import OBJECT_KINDS
from vla_ros.sim.world import World
from vla_ros.training.suites import PLAIN
from vla_ros.training.trial_plan import plan_trials
from vla_ros.training.trials import run_trials
from vla_ros.types import Observation

ARM = load_arm('sim')


@pytest.mark.parametrize('task, met', [('reach', 5), ('push', 5), ('pick', 5), ('put', 4)])
def test_unseen_scenes(task, met):
    """What it must meet of six; docs/results.md says what it meets of a hundred."""
    trials = plan_trials(World(ARM), task, 6, 7, 'train', PLAIN)
    found = list(run_trials(trials, 'vla-table', device='cpu'))
    assert sum(result.success for result in found) >= met, found
    assert not any(result.wrong_object for result in found)


def test_every_opening_is_one_that_the_guard_takes():
    policy, world = load_policy('vla-table', ARM, 'cpu'), World(ARM)
    world.reset(3, 'pick')
    for opening_m in (0.0, 0.04, 0.08):
        chunk = policy.infer(
            Observation(
                {camera: world.render(camera) for camera in policy.cameras},
                world.joint_positions_rad, 'pick up the red ball', gripper_opening_m=opening_m,
            )
        )  # fmt: skip
        assert ((chunk.gripper_openings_m >= 0) & (chunk.gripper_openings_m <= 0.08)).all()


def test_its_manifest_says_what_made_it():
    folder = policies_dir() / 'vla-table'
    training = read_manifest(folder).training
    assert training['recipe'] == 'tools/train_vla_table.sh'
    assert training['held_out']['action_rad_s'] < training['held_out']['base_action_rad_s']
    assert sum(path.stat().st_size for path in folder.iterdir()) < 25e6


ASKED = (
    'head towards the {}',
    'would you mind reaching the {} for me',
    'the {} should be picked up',
    'would you push the {} left for me',
)
FORBIDDEN = ('do not head towards the {}', 'never pick up the {}', 'stay away from the {}')


@pytest.mark.parametrize('seed', [1000200, 1000201, 1000202])
def test_it_acts_on_what_is_there_and_refuses_what_is_not_or_must_not_be(seed):
    policy, world = load_policy('vla-table', ARM, 'cpu'), World(ARM)
    world.reset(seed, 'pick')
    images = {camera: world.render(camera) for camera in policy.cameras}

    def moves(phrasing, name):
        seen = Observation(
            images, world.joint_positions_rad, phrasing.format(name), gripper_opening_m=0.08
        )
        return bool(policy.infer(seen).velocities_rad_s.any())

    there = world.objects[0].name
    absent = {kind.name for kind in OBJECT_KINDS} - {o.name for o in world.objects}
    assert all(moves(phrasing, there) for phrasing in ASKED)
    for name in (*sorted(absent), 'purple cube', 'red banana'):
        assert not any(moves(phrasing, name) for phrasing in ASKED), name
    assert not any(moves(phrasing, there) for phrasing in FORBIDDEN)
