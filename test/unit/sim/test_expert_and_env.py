"""The scripted expert reaches every object, and the environment keeps gymnasium's contract."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ConfigError
from vla_ros.sim.env import reach_env
from vla_ros.sim.expert import ReachExpert


@pytest.fixture(scope='module')
def env():
    made = reach_env(load_arm('sim'))
    yield made
    made.close()


def test_expert_reaches_every_object_of_many_scenes(env):
    expert = ReachExpert(env.world.embodiment)
    errors = []
    for seed in range(25):
        env.reset(seed=seed)
        goal = env.world.target_position_m(env.target)
        for _ in range(60):
            env.drive(expert.velocity(env.world.joint_positions_rad, goal))
        errors.append(env.distances_m()[env.target])
    assert max(errors) < 0.01


def test_expert_chunk_is_its_own_path(env):
    env.reset(seed=1)
    expert = ReachExpert(env.world.embodiment)
    goals = np.stack([env.world.target_position_m(o.name) for o in env.world.objects])
    start = env.world.joint_positions_rad
    chunks = expert.chunk(start, goals, steps=6, step_s=0.1)
    assert chunks.shape == (4, 6, 7)
    position = start
    for step in range(6):
        velocity = expert.velocity(position, goals[2])
        assert np.allclose(chunks[2, step], velocity)
        position = position + 0.1 * velocity


def test_environment_keeps_gymnasiums_contract(env):
    check_env(env, skip_render_check=True)


def test_absurd_actions_stay_within_the_limits_of_the_arm(env):
    env.reset(seed=2)
    arm = env.world.embodiment
    rng = np.random.default_rng(0)
    for _ in range(40):
        env.drive(rng.choice([-1e9, 1e9, np.nan, np.inf], 7))
        assert (env.world.joint_positions_rad <= arm.position_max_rad).all()
        assert (env.world.joint_positions_rad >= arm.position_min_rad).all()


def test_a_target_that_is_not_on_the_table_is_refused(env):
    with pytest.raises(ConfigError, match='unknown object'):
        env.reset(seed=2, options={'target': 'purple banana'})
