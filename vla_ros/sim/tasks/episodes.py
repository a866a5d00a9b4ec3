"""Which episodes of a task an evaluation runs, and how each of them is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from vla_ros.errors import ConfigError, choose
from vla_ros.sim.episodes import SEEDS_PER_RUN, plan_episodes
from vla_ros.sim.grammar import shipped_phrasings
from vla_ros.sim.tasks.env import TaskEnv, choose_goal
from vla_ros.sim.tasks.expert import Expert
from vla_ros.sim.tasks.goal import TASKS, Goal
from vla_ros.sim.tasks.goals import goals
from vla_ros.sim.tasks.language import family_of, sentence, shipped_templates
from vla_ros.sim.world import World
from vla_ros.types import FloatArray

PHRASINGS = ('train', 'held_out')


@dataclass(frozen=True)
class TaskEpisode:
    """One trial: the scene's seed, what to do in it, and the sentence that asks for it."""

    seed: int
    goal: Goal
    instruction: str


@dataclass(frozen=True)
class TaskOutcome:
    """How a trial ended.

    Attributes:
        success: the goal was met in time.
        wrong_object: it was not, but another object was moved (reach: the tool is over another).
        error_m: what was missing at the end, in metres: of the tool for reach, else of the object.
        time_s: when the episode ended.
        interventions: commands that the limiter had to change.
        note: what the policy had to say, empty when nothing.
    """

    episode: TaskEpisode
    success: bool
    wrong_object: bool
    error_m: float
    time_s: float
    interventions: int
    note: str = ''


def plan_task_episodes(
    world: World,
    task: str,
    count: int,
    seed: int,
    *,
    phrasings: str = 'held_out',
    objects: tuple[str, ...] = (),
) -> list[TaskEpisode]:
    """Return trials whose scenes were never trained on, whatever the seed.

    Args:
        world: used to look at the scenes, and left with the last one.
        task: one of `TASKS`.
        count: how many trials.
        seed: chooses them.
        phrasings: 'train' or 'held_out'.
        objects: only goals about these, such as `held_out_pairs()`; empty for all.

    Raises:
        ConfigError: an unknown task or object, or numbers out of range.
    """
    choose('task', task, TASKS)
    choose('phrasings', phrasings, PHRASINGS)
    for name in objects:
        Goal('reach', name)  # refuses an object that does not exist
    if task == 'reach' and not objects:
        templates = getattr(shipped_templates()['reach'], phrasings)
        plan = plan_episodes(count, seed, templates)
        return [TaskEpisode(e.seed, Goal('reach', e.target), e.instruction) for e in plan]
    if not 1 <= count <= SEEDS_PER_RUN // 10:
        raise ConfigError(f'episodes: {count} is not within 1 and {SEEDS_PER_RUN // 10}')
    if not 0 <= seed < 100_000:
        raise ConfigError(f'seed: {seed} is not within 0 and 99999')
    episodes: list[TaskEpisode] = []
    rng = np.random.default_rng([seed, TASKS.index(task)])
    for scene, found in _scenes(world, task, seed, objects):
        goal = choose_goal(found, rng)
        templates = getattr(shipped_templates()[family_of(goal)], phrasings)
        template = templates[int(rng.integers(len(templates)))]
        episodes.append(TaskEpisode(scene, goal, sentence(goal, template)))
        if len(episodes) == count:
            return episodes
    raise ConfigError(f'only {len(episodes)} of {count} scenes hold such goals; ask for fewer')


def _scenes(
    world: World, task: str, seed: int, objects: tuple[str, ...]
) -> Iterator[tuple[int, list[Goal]]]:
    first = shipped_phrasings().held_out_first_seed + seed * SEEDS_PER_RUN
    for scene in range(first, first + SEEDS_PER_RUN):
        world.reset(scene, task)
        found = [
            g for g in goals(world) if g.task == task and (not objects or g.object in objects)
        ]
        if found:
            yield scene, found


Act = Callable[[TaskEnv], tuple[FloatArray, str]]
"""What drives: environment → actions (K, 8) to carry out before it is asked again, and a note."""


def run_task_episode(env: TaskEnv, episode: TaskEpisode, act: Act) -> TaskOutcome:
    """Run one trial until the goal is met or its time is up, and judge it."""
    env.reset(
        seed=episode.seed, options={'goal': episode.goal, 'instruction': episode.instruction}
    )
    note = ''
    while not env.over:
        actions, note = act(env)
        for action in actions:
            env.drive(action)
            if env.over:
                break
    return judge_task(env, episode, note)


def judge_task(env: TaskEnv, episode: TaskEpisode, note: str = '') -> TaskOutcome:
    """Judge a trial by the state of its world now."""
    report, world = env.report(), env.world
    success = bool(report['success'])
    wrong = bool(report['disturbed'])
    if episode.goal.task == 'reach':
        tool = world.tool_position_m
        ways = {
            o.name: float(np.linalg.norm(tool - world.target_position_m(o.name)))
            for o in world.objects
        }
        nearest = min(ways, key=lambda name: ways[name])
        wrong = nearest != episode.goal.object and ways[nearest] < 0.06
    return TaskOutcome(
        episode, success, not success and wrong, report['error_m'], world.time_s,
        report['interventions'], note,
    )  # fmt: skip


def expert_act(expert: Expert) -> Act:
    """Return what lets the scripted expert drive."""

    def act(env: TaskEnv) -> tuple[FloatArray, str]:
        if env.goal is None:
            raise ConfigError('reset the environment first')
        velocities, opening_m = expert.action(env.world, env.goal)
        return np.append(velocities, opening_m)[None], ''

    return act
