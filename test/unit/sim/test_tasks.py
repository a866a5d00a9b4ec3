"""Goals, when they are met, and the expert that meets them from any state."""

from collections import Counter

import numpy as np
import pytest

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ConfigError
from vla_ros.sim.tasks.drive import Drive
from vla_ros.sim.tasks.env import TIME_LIMIT_S, TaskEnv
from vla_ros.sim.tasks.expert import Expert
from vla_ros.sim.tasks.goal import TASKS, Goal
from vla_ros.sim.tasks.goals import (
    disturbed,
    goals,
    points_m,
    start_of,
    succeeded,
)
from vla_ros.sim.tasks.labels import Labeller, label_chunk
from vla_ros.sim.world import World
from vla_ros.training.suites import PLAIN
from vla_ros.training.trial_plan import plan_trials
from vla_ros.training.trials import TICK_S, ExpertBrain, run_trial

ARM = load_arm('sim')
HANDLING = ('push', 'pick', 'put')


@pytest.fixture(scope='module')
def world():
    made = World(ARM, camera_sizes={'front': (64, 48)})
    yield made
    made.close()


@pytest.fixture(scope='module')
def expert():
    return Expert(ARM)


def a_goal(world, task, **wanted):
    return next(
        goal
        for goal in goals(world)
        if goal.task == task and all(getattr(goal, k) == v for k, v in wanted.items())
    )


def drive_until(world, expert, goal, seconds):
    """Let the expert drive until the goal is met; return whether it was."""
    start, drive = start_of(world), Drive(ARM)
    drive.start(world)
    for _ in range(round(seconds / 0.1)):
        velocities, opening = expert.action(world, goal)
        drive.run(world, np.append(velocities, opening), 0.1)
        if goal.task != 'reach' and succeeded(world, goal, start):
            return True
    return succeeded(world, goal, start)


@pytest.mark.parametrize('task', TASKS)
def test_the_expert_does_every_task_on_held_out_scenes(world, task):
    env, brain = TaskEnv(world, task, step_s=TICK_S), ExpertBrain(world)
    trials = plan_trials(world, task, 12, 3, 'held_out', PLAIN)
    outcomes = [run_trial(env, brain, trial, None) for trial in trials]
    assert all(outcome.success for outcome in outcomes), [o for o in outcomes if not o.success]
    assert not any(outcome.wrong_object for outcome in outcomes)
    assert sum(outcome.interventions for outcome in outcomes) == 0


@pytest.mark.parametrize('seed', range(12))
def test_from_whatever_state_noise_led_to_the_expert_gets_to_any_goal(world, expert, seed):
    rng, drive = np.random.default_rng(seed), Drive(ARM)
    world.reset(seed, HANDLING[seed % 3])
    drive.start(world)
    for _ in range(4):  # goals that are given up half-way, with noise, and fingers that slip
        found = goals(world)
        goal = found[rng.integers(len(found))]
        for _ in range(int(rng.integers(5, 15))):
            velocities, opening = expert.action(world, goal)
            opening = opening if rng.random() > 0.1 else 0.08 - opening
            noisy = velocities + rng.normal(0.0, 0.15, 7)
            drive.run(world, np.append(noisy, opening), 0.1)
    found = [goal for goal in goals(world) if goal.task in HANDLING]
    goal = found[rng.integers(len(found))]
    assert drive_until(world, expert, goal, TIME_LIMIT_S[goal.task]), goal


def test_a_label_is_what_the_expert_goes_on_to_do_and_leaves_the_world_alone(world, expert):
    world.reset(2, 'put')
    goal, drive, labeller = a_goal(world, 'put', inside=True), Drive(ARM), Labeller(world)
    drive.start(world)
    done, labels = [], []
    for _ in range(40):
        before = world.data.qpos.copy(), world.data.ctrl.copy(), world.time_s
        labels.append(labeller.chunk(goal, 4, 0.1))
        assert np.array_equal(before[0], world.data.qpos) and before[2] == world.time_s
        assert np.array_equal(before[1], world.data.ctrl)
        done.append(np.append(*expert.action(world, goal)))
        drive.run(world, done[-1], 0.1)
    assert labels[0].shape == (4, 8)
    ahead = np.array([[labels[k][a] - done[k + a] for a in range(4)] for k in range(36)])
    assert np.abs(ahead[:, 0]).max() == 0.0
    assert np.median(np.abs(ahead[:, 1:, :7])) < 0.02
    assert (np.abs(ahead[:, 1:, 7]) > 0.01).mean() < 0.05  # opens and closes when it says


def test_labels_are_repeatable_and_differ_between_goals(world):
    world.reset(4, 'push')
    world.step(0.2)
    left, right = (a_goal(world, 'push', argument=side) for side in ('left', 'right'))
    assert np.array_equal(label_chunk(world, left, 8, 0.1), label_chunk(world, left, 8, 0.1))
    assert not np.allclose(label_chunk(world, left, 8, 0.1), label_chunk(world, right, 8, 0.1))


def test_a_picked_object_does_not_slip_and_nothing_jumps(world, expert):
    for seed in range(6):
        world.reset(seed, 'pick')
        goal = a_goal(world, 'pick')
        assert drive_until(world, expert, goal, 8.0)
        hang = world.object_position_m(goal.object) - world.tool_position_m
        world.command_velocity(np.array([0.4, 0, 0, 0, 0, 0, 0]))
        world.step(2.0)
        assert world.held == goal.object
        now = world.object_position_m(goal.object) - world.tool_position_m
        assert abs(now[2] - hang[2]) < 0.003
        assert np.linalg.norm(hang) == pytest.approx(np.linalg.norm(now), abs=0.004)
        assert all(o.position_m[2] < 0.05 for o in world.objects if o.name != goal.object)


def test_a_reach_is_met_within_three_centimetres_of_its_end_and_no_further(world):
    world.reset(2, 'reach')
    goal = Goal('reach', world.objects[0].name)
    start, below_tool = start_of(world), world.tool_position_m - (0.0, 0.0, 0.1)
    for way in np.vstack([np.eye(3), -np.eye(3), np.full((1, 3), 3**-0.5)]):
        for apart, met in ((0.0, True), (0.029, True), (0.031, False), (0.1, False)):
            world.set_object_position(goal.object, below_tool + apart * way)
            assert succeeded(world, goal, start) == met, (way, apart)


def test_a_pick_is_met_by_what_is_held_and_high_alone(world, expert):
    world.reset(0, 'pick')
    goal, drive = a_goal(world, 'pick'), Drive(ARM)
    start = start_of(world)
    drive.start(world)

    def height():
        return world.object_position_m(goal.object)[2] - start[goal.object][2]

    def lift_to(height_m):
        for _ in range(160):
            if height() > height_m:
                return
            drive.run(world, np.append(*expert.action(world, goal)), 0.05)

    lift_to(0.05)
    assert world.held == goal.object and 0.05 < height() < 0.08
    assert not succeeded(world, goal, start)  # held, but too low
    lift_to(0.11)
    assert succeeded(world, goal, start)
    others = (o.name for o in world.objects if o.name != goal.object)
    assert not any(succeeded(world, Goal('pick', name), start) for name in others)
    world.command_gripper(0.08)
    for _ in range(40):
        if world.held:
            world.step(0.005)
    assert not world.held and height() > 0.09
    assert not succeeded(world, goal, start)  # still high, but let go


def test_a_push_is_met_along_its_direction_alone(world):
    world.reset(1, 'push')
    name = world.objects[0].name
    start = start_of(world)

    def moved(x, y, z=0.0):
        moved_from = {**start, name: start[name] - np.array([x, y, z])}
        return {
            d
            for d in ('left', 'right', 'forward', 'back')
            if succeeded(world, Goal('push', name, d), moved_from)
        }

    assert moved(0.0, 0.07) == {'left'} and moved(0.0, -0.07) == {'right'}
    assert moved(0.07, 0.0) == {'forward'} and moved(-0.07, 0.01) == {'back'}
    assert moved(0.0, 0.05) == set()  # too short
    assert moved(0.07, 0.05) == set()  # too far aside
    assert moved(0.0, 0.07, 0.1) == set()  # carried


def test_an_object_is_in_a_bowl_when_it_lies_there_and_nobody_holds_it(world):
    world.reset(3, 'put')
    goal, every = a_goal(world, 'put', inside=True), goals(world)
    start = start_of(world)
    assert not succeeded(world, goal, start)
    bowl = world.object_position_m(goal.place)
    world.set_object_position(goal.object, np.add(bowl, (0.0, 0.0, 0.05)))
    world.step(1.0)
    assert [g for g in every if succeeded(world, g, start)] == [goal]  # as sim_node says it
    assert goal.object not in {g.object for g in goals(world) if g.task == 'pick'}
    world.set_object_position(goal.object, np.add(bowl, (0.11, 0.0, 0.04)))
    world.step(1.0)
    assert not succeeded(world, goal, start)


def test_next_to_is_on_the_table_and_near(world):
    world.reset(7, 'put')
    goal = a_goal(world, 'put', inside=False)
    start, other = start_of(world), world.object_position_m(goal.place)
    assert not succeeded(world, goal, start)
    end = points_m(world, goal)[1]
    assert np.linalg.norm((end - other)[:2]) < 0.09
    world.set_object_position(goal.object, end)
    world.step(0.5)
    assert succeeded(world, goal, start) and not disturbed(world, goal, start)
    world.set_object_position(goal.object, np.add(other, (0.0, 0.0, 0.07)))  # on top
    assert not succeeded(world, goal, start)
    away = (end - other) / np.linalg.norm((end - other)[:2])
    for apart, met in ((0.115, True), (0.125, False)):
        place = np.append((other + apart * away)[:2], end[2])
        world.set_object_position(goal.object, place)
        assert succeeded(world, goal, start) == met


@pytest.mark.parametrize('seed', range(4))
def test_what_is_carried_over_the_other_is_not_let_down_on_it(world, expert, seed):
    world.reset(seed, 'put')
    goal = a_goal(world, 'put', inside=False)
    start = start_of(world)
    assert drive_until(world, expert, Goal('pick', goal.object), 8.0)
    drive_until(world, expert, Goal('reach', goal.place), 3.0)
    assert world.held == goal.object
    assert drive_until(world, expert, goal, 8.0) and not disturbed(world, goal, start)


def test_what_a_goal_may_be():
    assert Goal('put', 'red cube', 'in blue bowl').place == 'blue bowl'
    assert Goal('put', 'red cube', 'next to blue ball').place == 'blue ball'
    assert len({Goal('pick', 'red cube'), Goal('pick', 'red cube')}) == 1
    for bad, match in (
        (('lick', 'red cube'), 'unknown task'),
        (('pick', 'red banana'), 'unknown object'),
        (('push', 'red cube', 'up'), 'unknown direction'),
        (('put', 'red cube', 'in red cube'), 'unknown container'),
        (('put', 'red cube', 'next to red cube'), 'unknown object'),
        (('put', 'red cube', 'on blue bowl'), 'is no place'),
        (('pick', 'red cube', 'left'), 'takes no argument'),
    ):
        with pytest.raises(ConfigError, match=match):
            Goal(*bad)


def test_every_scene_has_something_to_do_and_all_kinds_of_it(world):
    kinds = Counter()
    for seed in range(60):
        task = HANDLING[seed % 3]
        world.reset(seed, task)
        found = [goal for goal in goals(world) if goal.task == task]
        assert found, (seed, task)
        kinds.update((g.task, g.argument.split(' ')[0]) for g in found)
        for goal in found:
            here, there = points_m(world, goal)
            assert np.allclose(here, world.object_position_m(goal.object))
            assert 0.25 < np.hypot(*there[:2]) < 0.85
    assert set(kinds) == {
        ('pick', ''), ('put', 'in'), ('put', 'next'),
        *(('push', d) for d in ('left', 'right', 'forward', 'back')),
    }  # fmt: skip
