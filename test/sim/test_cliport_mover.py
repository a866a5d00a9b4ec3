"""CLIPort's mover in the simulator: told where to pick and place, it does, within the limits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from vla_ros.core.embodiment import load_arm
from vla_ros.policies.cliport.config import CliportConfig
from vla_ros.policies.cliport.height_map import HeightMap
from vla_ros.policies.cliport.model import CliportModel
from vla_ros.policies.cliport.policy import CliportPolicy
from vla_ros.policies.cliport.waypoints import Decision, wrapped
from vla_ros.sim.tasks.env import TaskEnv
from vla_ros.sim.tasks.goals import points_m
from vla_ros.sim.tasks.table import Table
from vla_ros.sim.world import World
from vla_ros.types import FloatArray, Observation

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


class Told(CliportPolicy):
    """Is told its decisions, the last one for ever: the mover is tested, the network untrained."""

    def __init__(self) -> None:
        super().__init__(CliportModel(CONFIG), ARM, torch.device('cpu'))
        self.decisions: list[Decision] = []
        self.asked = 0

    def decide(self, seen: HeightMap, instruction: str) -> Decision:
        self.asked += 1
        return self.decisions[min(self.asked, len(self.decisions)) - 1]


def right(env: TaskEnv) -> Decision:
    """Return what is to be decided, as pixels of the map."""
    assert env.goal is not None
    points = np.round(CONFIG.geometry.pixel(points_m(env.world, env.goal)))
    pick, place = ((int(p[0]), int(p[1])) for p in points)
    return Decision(env.task, pick, place, 0.0, 1.0)


@pytest.mark.parametrize('task', ['reach', 'push', 'pick', 'put'])
def test_what_is_decided_rightly_is_done(world: World, task: str) -> None:
    policy = Told()
    env = TaskEnv(world, task, cameras=('top',))
    for seed in (1002, 1003, 1004):
        env.reset(seed=seed)
        policy.reset()
        policy.decisions = [right(env)]
        run(policy, env)
        assert env.report()['success'], (task, seed, env.instruction)


def free_place_m(world: World) -> FloatArray:
    """Return the place on the table, (2,), that is farthest from everything there."""
    things = np.array([item.position_m[:2] for item in (*world.objects, *world.containers)])
    x, y = np.meshgrid(np.linspace(0.4, 0.6, 9), np.linspace(-0.3, 0.3, 13))
    places = np.stack([x.ravel(), y.ravel()], axis=-1)
    return places[np.linalg.norm(places[:, None] - things, axis=-1).min(1).argmax()]


def heading_rad(world: World, name: str) -> float:
    rotation = world.object_rotation(name)
    return float(np.arctan2(rotation[1, 0], rotation[0, 0]))


def test_what_is_put_somewhere_is_turned_by_what_was_decided(world: World) -> None:
    """Against a turn of zero: the fingers turn an object a little when they close on it."""
    policy = Told()
    env = TaskEnv(world, 'put', cameras=('top',))
    headings = []
    for turn_rad in (0.0, np.pi / 4):
        env.reset(seed=1002)
        policy.reset()
        reachable = Table.of(world).within_reach
        name = next(o.name for o in world.objects if o.shape == 'cube' and reachable(o.name))
        way = np.stack([world.object_position_m(name)[:2], free_place_m(world)])
        pick, place = ((int(p[0]), int(p[1])) for p in np.round(CONFIG.geometry.pixel(way)))
        policy.decisions = [Decision('put', pick, place, turn_rad, 1.0)]
        run(policy, env)
        assert np.linalg.norm(world.object_position_m(name)[:2] - way[1]) < 0.02
        headings.append(heading_rad(world, name))
    off_rad = wrapped(headings[1] - headings[0] - np.pi / 4, np.pi)  # a half turn is as good
    assert abs(np.degrees(off_rad)) < 5


def test_a_grasp_that_holds_nothing_is_tried_again(world: World) -> None:
    policy = Told()
    env = TaskEnv(world, 'pick', cameras=('top',))
    env.reset(seed=1002)
    decision = right(env)
    row, column = decision.pick
    beside = (row - 18 if row > 40 else row + 18, column)
    policy.decisions = [Decision('pick', beside, beside, 0.0, 1.0), decision]
    run(policy, env)
    assert policy.asked == 2


def test_the_table_is_seen_without_the_arm(world: World) -> None:
    policy = Told()
    env = TaskEnv(world, 'put', cameras=('top',))
    env.reset(seed=1002)
    for _ in range(30):
        policy.decisions = [right(env)]
        policy.infer(observed(env))
        if policy.decision is not None:
            break
        env.drive(np.append(policy.infer(observed(env)).velocities_rad_s[0], 0.04))
    seen = policy.see(observed(env))
    assert seen.heights_m.max() < 0.09  # nothing as high as a hand
    for item in world.objects:
        row, column = np.round(CONFIG.geometry.pixel(item.position_m)).astype(int)
        assert seen.heights_m[row, column] > 0.04
