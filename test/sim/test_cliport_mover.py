"""CLIPort's mover in the simulator: told where to pick and place, it does, within the limits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from vla_ros.core.embodiment import load_arm
from vla_ros.policies.cliport.config import CliportConfig
from vla_ros.policies.cliport.model import CliportModel
from vla_ros.policies.cliport.policy import CliportPolicy
from vla_ros.policies.cliport.waypoints import Decision
from vla_ros.sim.tasks.env import TaskEnv
from vla_ros.sim.tasks.goals import points_m
from vla_ros.sim.world import World
from vla_ros.types import Observation

ARM = load_arm('sim')
CONFIG = CliportConfig(base_channels=4, vocabulary=('put',))


@pytest.fixture(scope='module')
def world() -> Iterator[World]:
    made = World(ARM, camera_sizes={'top': (320, 160)})
    yield made
    made.close()


def observed(env: TaskEnv) -> Observation:
    world = env.world
    return Observation(
        {'top': world.render('top')}, world.joint_positions_rad, env.instruction,
        round(world.time_s * 1e9) + 1, world.gripper_opening_m,
        {'top': world.render_depth('top')},
    )  # fmt: skip


def run(policy: CliportPolicy, env: TaskEnv) -> None:
    low, high = (limit + sign * ARM.margin_rad for limit, sign in (
        (ARM.position_min_rad, 1), (ARM.position_max_rad, -1)))  # fmt: skip
    while not env.over:
        chunk = policy.infer(observed(env))
        assert (np.abs(chunk.velocities_rad_s) <= ARM.velocity_max_rad_s).all()
        openings = chunk.gripper_openings_m
        assert openings is not None
        assert ((openings >= 0) & (openings <= 0.08)).all()
        env.drive(np.append(chunk.velocities_rad_s[0], openings[0]))
        position = env.world.joint_positions_rad
        assert ((position >= low) & (position <= high)).all()


def told(env: TaskEnv, policy: CliportPolicy) -> None:
    """Let the policy decide what is right, as pixels of its map."""
    task, geometry = env.task, CONFIG.geometry
    pick, place = (
        (int(p[0]), int(p[1])) for p in np.round(geometry.pixel(points_m(env.world, env.goal)))
    )
    decision = Decision(task, pick, place, 0.0, 1.0)
    policy.decide = lambda seen, instruction: decision  # type: ignore[method-assign]


@pytest.mark.parametrize('task', ['reach', 'push', 'pick', 'put'])
def test_what_is_decided_rightly_is_done(world: World, task: str) -> None:
    policy = CliportPolicy(CliportModel(CONFIG), ARM, torch.device('cpu'))
    env = TaskEnv(world, task, cameras=('top',))
    for seed in (1002, 1003, 1004):
        env.reset(seed=seed)
        policy.reset()
        told(env, policy)
        run(policy, env)
        assert env.report()['success'], (task, seed, env.instruction)


def test_a_grasp_that_holds_nothing_is_tried_again(world: World) -> None:
    policy = CliportPolicy(CliportModel(CONFIG), ARM, torch.device('cpu'))
    env = TaskEnv(world, 'pick', cameras=('top',))
    env.reset(seed=1002)
    told(env, policy)
    right, asked = policy.decide, []

    def first_beside(seen: object, instruction: str) -> Decision:
        asked.append(instruction)
        decision = right(seen, instruction)  # type: ignore[arg-type]
        row, column = decision.pick
        beside = (row - 18 if row > 40 else row + 18, column)
        return decision if len(asked) > 1 else Decision('pick', beside, beside, 0.0, 1.0)

    policy.decide = first_beside  # type: ignore[method-assign]
    run(policy, env)
    assert len(asked) == 2


def test_the_table_is_seen_without_the_arm(world: World) -> None:
    policy = CliportPolicy(CliportModel(CONFIG), ARM, torch.device('cpu'))
    env = TaskEnv(world, 'put', cameras=('top',))
    env.reset(seed=1002)
    for _ in range(30):
        told(env, policy)
        policy.infer(observed(env))
        if policy.decision is not None:
            break
        env.drive(np.append(policy.infer(observed(env)).velocities_rad_s[0], 0.04))
    seen = policy.see(observed(env))
    assert seen.heights_m.max() < 0.09  # nothing as high as a hand
    for item in world.objects:
        row, column = np.round(CONFIG.geometry.pixel(item.position_m)).astype(int)
        assert seen.heights_m[row, column] > 0.04
