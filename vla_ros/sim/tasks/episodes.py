"""Which episodes of a task an evaluation runs, and how each of them is judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vla_ros.errors import ConfigError, choose
from vla_ros.sim.episodes import SEEDS_PER_RUN, judge, plan_episodes
from vla_ros.sim.grammar import shipped_phrasings
from vla_ros.sim.tasks.env import TaskEnv, choose_goal
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


@dataclass(frozen=True, kw_only=True)
class TaskOutcome:
    """How a trial ended.

    Attributes:
        success: the goal was met in time.
        wrong_object: it was not, but another object was moved (reach: the tool is over another).
        error_m: what was missing at the end, in metres: of the tool for reach, else of the object;
            NaN where nobody can tell.
        time_s: when the episode ended.
        interventions: commands that the limiter had to change.
        acceleration_rad_s2: see `acceleration_rad_s2`; lower is smoother.
        note: what the policy had to say, empty when nothing.
    """

    success: bool
    wrong_object: bool
    error_m: float
    time_s: float
    interventions: int
    acceleration_rad_s2: float
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


def judge_task(env: TaskEnv, velocities: Sequence[FloatArray], note: str = '') -> TaskOutcome:
    """Judge a trial by the state of its world now.

    Args:
        env: at the end of the trial.
        velocities: of the joints (rad/s), after each step of the environment.
        note: what the policy had to say.
    """
    report, world, goal = env.report(), env.world, env.goal
    success, wrong = bool(report['success']), bool(report['disturbed'])
    if goal is not None and goal.task == 'reach':
        wrong = judge(goal.object, reach_distances_m(world)).wrong_object
    return TaskOutcome(
        success=success,
        wrong_object=not success and wrong,
        error_m=report['error_m'],
        time_s=world.time_s,
        interventions=report['interventions'],
        acceleration_rad_s2=acceleration_rad_s2(velocities, env.step_s),
        note=note,
    )


def reach_distances_m(world: World) -> dict[str, float]:
    """Return object → distance of the tool from the point over it."""
    tool = world.tool_position_m
    return {
        o.name: float(np.linalg.norm(tool - world.target_position_m(o.name)))
        for o in world.objects
    }


def acceleration_rad_s2(velocities: Sequence[FloatArray], step_s: float) -> float:
    """Return the root mean square over time and joints, of velocities `step_s` apart."""
    change = np.diff(np.array(velocities), axis=0) / step_s
    return float(np.sqrt(np.mean(change**2))) if len(change) else 0.0
