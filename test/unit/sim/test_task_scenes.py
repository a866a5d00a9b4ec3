"""Scenes with objects to handle; scenes for reaching stay what they were."""

import hashlib

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ConfigError
from vla_ros.sim.layout import BOWL_SEPARATION_M, TABLE_SEPARATION_M, sample_table
from vla_ros.sim.tasks.env import TaskEnv
from vla_ros.sim.tasks.episodes import plan_task_episodes
from vla_ros.sim.tasks.goal import TASKS, Goal
from vla_ros.sim.tasks.language import held_out_pairs
from vla_ros.sim.world import World

ARM = load_arm('sim')


@pytest.fixture(scope='module')
def world():
    made = World(ARM, camera_sizes={'front': (64, 48), 'top': (320, 160)})
    yield made
    made.close()


def test_layouts_leave_room_for_the_gripper():
    for seed in range(60):
        layout = sample_table(np.random.default_rng(seed), ('push', 'put')[seed % 2])
        objects = np.array([(pose.x_m, pose.y_m) for _, pose in layout.objects])
        bowls = np.array([(pose.x_m, pose.y_m) for _, pose in layout.containers]).reshape(-1, 2)
        assert 3 <= len(objects) <= 5 and seed % 2 <= len(bowls) <= 2
        assert len({kind for kind, _ in layout.objects}) == len(objects)
        between = np.linalg.norm(objects[:, None] - objects[None], axis=-1)
        assert (between + np.eye(len(objects))).min() >= TABLE_SEPARATION_M
        if len(bowls):
            from_bowls = np.linalg.norm(objects[:, None] - bowls[None], axis=-1)
            assert from_bowls.min() >= BOWL_SEPARATION_M


def test_a_scene_for_reaching_does_not_depend_on_the_scenes_before(world):
    """Surfaces, containers and masses of another task leave no trace, not in a single bit."""

    def run():
        world.reset(5)
        world.command_velocity(np.array([0.2, 0.1, 0, -0.1, 0, 0, 0.3]))
        world.step(0.5)
        image = hashlib.sha256(world.render('front').tobytes()).hexdigest()
        return world.data.qpos.tobytes(), world.data.qvel.tobytes(), image

    first = run()
    world.reset(9, 'put')
    world.step(0.3)
    assert run() == first
    assert world.containers == ()


def test_bowls_are_out_of_sight_in_scenes_for_reaching(world):
    world.reset(5)
    before = world.render('front')
    for name in ('red bowl', 'blue bowl'):
        world.data.mocap_pos[world.model.body(name).mocapid[0]] += (0.0, 0.0, -40.0)
    world.step(0.005)
    assert np.array_equal(world.render('front'), before)


def test_the_same_seed_gives_the_same_scene(world):
    world.reset(5, 'put')
    first = [(o.name, *o.position_m) for o in (*world.objects, *world.containers)]
    world.reset(6, 'put')
    assert [(o.name, *o.position_m) for o in (*world.objects, *world.containers)] != first
    world.reset(5, 'put')
    assert [(o.name, *o.position_m) for o in (*world.objects, *world.containers)] == first


def test_objects_of_a_scene_lie_still(world):
    for seed in range(4):
        world.reset(seed, 'put')
        world.step(1.0)
        before = {o.name: o.position_m for o in world.objects}
        world.step(1.0)
        assert all(np.allclose(o.position_m, before[o.name], atol=1e-4) for o in world.objects)


def test_the_top_camera_sees_straight_down_in_colour_and_depth(world):
    world.reset(3, 'put')
    world.set_joint_positions(np.array([1.5, -0.4, 0.0, -2.2, 0.0, 1.8, 0.785]))  # out of sight
    depth, image = world.render_depth('top'), world.render('top')
    assert (
        depth.shape == (160, 320) and depth.dtype == np.float32 and image.shape[:2] == (160, 320)
    )
    camera_height = 1.2
    for item in world.objects:
        x, y = world.project('top', item.position_m)
        seen = camera_height - depth[int(y * 160), int(x * 320)]
        top = {'cube': 0.052, 'ball': 0.060, 'cylinder': 0.072}[item.shape]
        assert seen == pytest.approx(top, abs=0.003), item.name
    left = world.project('top', np.array([0.5, 0.5, 0.0]))
    far = world.project('top', np.array([0.75, 0.0, 0.3]))  # height does not matter
    assert left == pytest.approx((0.0, 0.5)) and far == pytest.approx((0.5, 0.0))


def test_unknown_task_names_the_known_ones(world):
    with pytest.raises(ConfigError, match=r"unknown task 'lick'.*pick, push, put, reach"):
        world.reset(0, 'lick')


@pytest.mark.parametrize('task', TASKS)
def test_environments_keep_gymnasiums_contract(task):
    made = gymnasium.make(f'vla_ros.sim.tasks.env:vla_ros/{task.capitalize()}-v0')
    check_env(made.unwrapped, skip_render_check=True)
    made.close()


def test_absurd_actions_stay_within_the_limits_of_the_arm(world):
    env = TaskEnv(world, 'pick')
    env.reset(seed=2)
    rng = np.random.default_rng(0)
    for _ in range(40):
        env.drive(rng.choice([-1e9, 1e9, np.nan, np.inf], 8))
        assert (world.joint_positions_rad <= ARM.position_max_rad).all()
        assert (world.joint_positions_rad >= ARM.position_min_rad).all()
        assert -0.001 < world.gripper_opening_m < 0.081


def test_a_goal_that_makes_no_sense_in_a_scene_is_refused(world):
    env = TaskEnv(world, 'pick')
    env.reset(seed=2)
    absent = next(
        name for name in ('red ball', 'red cube', 'blue ball', 'green cube', 'yellow ball')
        if name not in {o.name for o in world.objects}
    )  # fmt: skip
    with pytest.raises(ConfigError, match=f'pick up the {absent}.*makes no sense.*choose one of'):
        env.reset(seed=2, options={'goal': Goal('pick', absent)})


def test_trials_are_repeatable_held_out_and_about_what_was_asked_for(world):
    plan = plan_task_episodes(world, 'put', 20, 4)
    assert plan == plan_task_episodes(world, 'put', 20, 4)
    assert plan != plan_task_episodes(world, 'put', 20, 5)
    assert min(e.seed for e in plan) >= 1_000_000
    assert {e.goal.inside for e in plan} == {True, False}
    pairs = held_out_pairs()
    about = plan_task_episodes(world, 'pick', 5, 4, objects=pairs)
    assert all(e.goal.object in pairs for e in about)
    with pytest.raises(ConfigError, match='unknown object'):
        plan_task_episodes(world, 'pick', 5, 4, objects=('red banana',))
    with pytest.raises(ConfigError, match='is not within'):
        plan_task_episodes(world, 'pick', 0, 4)
