"""Which reaches an evaluation runs, and how each of them is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vla_ros.errors import ConfigError
from vla_ros.sim.grammar import phrase, shipped_phrasings
from vla_ros.sim.layout import OBJECTS_PER_SCENE, sample_layout

SEEDS_PER_RUN = 10_000
REACHED_M = 0.03
"""A reach succeeds so near to the point over the object."""


@dataclass(frozen=True)
class Episode:
    """One reach: the scene's seed, the object, and the sentence that asks for it."""

    seed: int
    target: str
    instruction: str


def plan_episodes(count: int, seed: int, templates: Sequence[str]) -> list[Episode]:
    """Return trials whose scenes were never trained on, whatever the seed.

    Raises:
        ConfigError: fewer than one episode, or more than have seeds of their own.
    """
    if not 1 <= count <= SEEDS_PER_RUN:
        raise ConfigError(f'episodes: {count} is not within 1 and {SEEDS_PER_RUN}')
    if not 0 <= seed < 100_000:
        raise ConfigError(f'seed: {seed} is not within 0 and 99999')
    first = shipped_phrasings().held_out_first_seed + seed * SEEDS_PER_RUN
    rng = np.random.default_rng([seed, count])
    order = [int(i) for i in np.resize(rng.permutation(len(templates)), count)]
    episodes: list[Episode] = []
    for scene, template in zip(range(first, first + count), order, strict=True):
        layout = sample_layout(np.random.default_rng(scene))
        target = layout[int(rng.integers(OBJECTS_PER_SCENE))][0].name
        episodes.append(Episode(scene, target, phrase(templates[template], target)))
    return episodes


@dataclass(frozen=True)
class Reached:
    """Where the tool ended: how far (m) from the point over the named object, and over which."""

    error_m: float
    success: bool
    wrong_object: bool


def judge(target: str, distances_m: Mapping[str, float]) -> Reached:
    """Judge a reach by the tool's final distance from the point over each object."""
    error = distances_m[target]
    success = error < REACHED_M
    nearest = min(distances_m, key=lambda name: distances_m[name])
    over_another = nearest != target and distances_m[nearest] < 2 * REACHED_M
    return Reached(error, success, not success and over_another)
