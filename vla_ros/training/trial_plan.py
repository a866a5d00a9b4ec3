"""Which trials an evaluation runs: scenes never trained on, goals, sentences, perturbations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vla_ros.errors import ConfigError
from vla_ros.sim.grammar import load_phrasings
from vla_ros.sim.scene import OBJECT_KINDS
from vla_ros.sim.tasks.episodes import PHRASINGS, TaskEpisode, plan_task_episodes
from vla_ros.sim.tasks.goal import Goal
from vla_ros.sim.tasks.goals import goals
from vla_ros.sim.tasks.language import family_of, held_out_pairs, sentence
from vla_ros.sim.world import World
from vla_ros.training.suites import Suite
from vla_ros.training.trials import Trial

PLACEHOLDERS = {
    'reach': {'{object}'},
    'push': {'{object}', '{direction}'},
    'pick': {'{object}'},
    'put_in': {'{object}', '{container}'},
    'put_next_to': {'{object}', '{other}'},
}
"""What a phrasing of each family of goals must hold."""


def plan_trials(
    world: World, task: str, count: int, seed: int, phrasings: str, suite: Suite
) -> list[Trial]:
    """Return trials of one task under one suite; the same ones for the same arguments.

    Scenes depend on task, count and seed alone, so that suites and policies meet the same ones,
    but for those of `held_out_pairs`, which has scenes with such objects, and for
    `swapped_instruction`, which leaves out scenes with one goal alone. `absent_object` names one
    of the objects that are not there.

    Args:
        world: used to look at the scenes, and left with the last one.
        task: one of `TASKS`.
        count: how many trials.
        seed: chooses them.
        phrasings: train, held_out, or a file with one template a line.
        suite: what is made harder.

    Raises:
        ConfigError: values out of range, a file without a phrasing for the task, or no scene in
            which something else could be said.
    """
    said = 'held_out' if suite.held_out_phrasings else phrasings
    objects = held_out_pairs() if suite.held_out_pairs else ()
    shipped = said if said in PHRASINGS else 'train'
    episodes = plan_task_episodes(world, task, count, seed, phrasings=shipped, objects=objects)
    if said not in PHRASINGS:
        episodes = _reworded(episodes, said, np.random.default_rng([seed, 17]))
    trials = [Trial(suite, episode, episode.goal) for episode in episodes]
    if suite.absent:
        rng = np.random.default_rng([seed, 23])
        trials = [_absent(world, trial, rng) for trial in trials]
    if suite.swapped:
        rng = np.random.default_rng([seed, 19])
        trials = [swapped for t in trials if (swapped := _swapped(world, t, rng))]
        if not trials:
            raise ConfigError(
                f'none of {count} scenes of seed {seed} holds a second thing to {task}; take more '
                '--episodes or another --seed'
            )
    return trials


def _reworded(episodes: Sequence[TaskEpisode], path: str, rng: np.random.Generator) -> list:
    if not Path(path).exists():
        raise ConfigError(f"phrasings '{path}' is neither a file nor one of: train, held_out")
    templates = load_phrasings(Path(path))
    reworded = []
    for episode in episodes:
        family = family_of(episode.goal)
        fitting = [t for t in templates if _placeholders(t) == PLACEHOLDERS[family]]
        if not fitting:
            raise ConfigError(
                f'{path}: no phrasing holds {" and ".join(sorted(PLACEHOLDERS[family]))}, which '
                f"'{sentence(episode.goal)}' needs; add one"
            )
        template = fitting[int(rng.integers(len(fitting)))]
        reworded.append(replace(episode, instruction=sentence(episode.goal, template)))
    return reworded


def _placeholders(template: str) -> set[str]:
    every = set().union(*PLACEHOLDERS.values())
    return {name for name in every if name in template}


def _absent(world: World, trial: Trial, rng: np.random.Generator) -> Trial:
    """Name an object that is not on the table, in the same words."""
    goal = trial.episode.goal
    world.reset(trial.episode.seed, goal.task)
    there = {o.name for o in world.objects}
    others = [kind.name for kind in OBJECT_KINDS if kind.name not in there]
    other = others[int(rng.integers(len(others)))]
    instruction = trial.episode.instruction.replace(goal.object, other)
    said = replace(goal, object=other)
    return replace(trial, said=said, episode=replace(trial.episode, instruction=instruction))


def _swapped(world: World, trial: Trial, rng: np.random.Generator) -> Trial | None:
    """Say another goal of the same task: another object if there is one, else another place.

    None where the scene holds no other.
    """
    goal = trial.episode.goal
    world.reset(trial.episode.seed, goal.task)
    others = [g for g in goals(world) if g.task == goal.task and g != goal]
    others = [g for g in others if g.object != goal.object] or others
    if not others:
        return None
    said: Goal = others[int(rng.integers(len(others)))]
    return replace(trial, said=said, episode=replace(trial.episode, instruction=sentence(said)))
