"""The scripted expert of reaching reaches every object."""

import numpy as np
import pytest

from vla_ros.core.embodiment import load_arm
from vla_ros.sim.expert import ReachExpert
from vla_ros.sim.tasks.env import task_env


@pytest.fixture(scope='module')
def env():
    made = task_env(load_arm('sim'), 'reach')
    yield made
    made.close()


def test_expert_reaches_every_object_of_many_scenes(env):
    expert = ReachExpert(env.world.embodiment)
    errors = []
    for seed in range(25):
        env.reset(seed=seed)
        goal = env.world.target_position_m(env.goal.object)
        for _ in range(60):
            velocity = expert.velocity(env.world.joint_positions_rad, goal)
            env.drive(np.append(velocity, np.nan))
        errors.append(env.report()['error_m'])
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
