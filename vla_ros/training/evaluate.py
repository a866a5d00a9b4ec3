"""Evaluate a policy in the simulator, without ROS and faster than real time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import joblib
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_ros.core.embodiment import load_arm
from vla_ros.policies.registry import load_policy
from vla_ros.sim.env import EPISODE_S, ReachEnv, reach_env
from vla_ros.sim.episodes import Episode, Outcome, judge
from vla_ros.sim.tasks.episodes import TaskOutcome
from vla_ros.types import EXECUTION_HORIZON, Policy

AnyOutcome = TypeVar('AnyOutcome', Outcome, TaskOutcome)


@dataclass(frozen=True)
class EvalReport:
    """What an evaluation found; `wilson_95` is the 95 % Wilson score interval of the rate."""

    task: str
    policy: str
    episodes: int
    successes: int
    success_rate: float
    wilson_95: tuple[float, float]
    wrong_object_rate: float
    median_error_m: float | None
    seed: int


def run_episode(env: ReachEnv, policy: Policy, episode: Episode) -> Outcome:
    """Run one trial for its whole time and judge where the tool ends."""
    policy.reset()
    env.reset(
        seed=episode.seed, options={'target': episode.target, 'instruction': episode.instruction}
    )
    note = ''
    horizon = getattr(policy, 'execution_horizon', EXECUTION_HORIZON)
    while env.world.time_s < EPISODE_S - 1e-9:
        chunk = policy.infer(env.observation())
        note = chunk.note
        for velocities in chunk.velocities_rad_s[:horizon]:
            env.drive(velocities)
    return judge(episode, env.distances_m(), note)


def run_episodes(
    episodes: Sequence[Episode], policy: str, *, arm: str = 'sim', device: str = 'auto',
    workers: int = 2,
) -> Iterator[Outcome]:  # fmt: skip
    """Run trials in parallel processes and yield their outcomes as they come."""
    load_policy(policy, load_arm(arm), device)  # what is wrong is said here, not in a worker
    size = max(1, min(10, len(episodes) // workers))
    parts = [episodes[i : i + size] for i in range(0, len(episodes), size)]
    parallel = joblib.Parallel(n_jobs=workers, return_as='generator_unordered')
    jobs = (joblib.delayed(_run_part)(part, policy, arm, device) for part in parts)
    for outcomes in cast('Iterable[list[Outcome]]', parallel(jobs)):
        yield from outcomes


_made: dict[tuple[str, str, str], tuple[ReachEnv, Policy]] = {}


def _run_part(part: Sequence[Episode], policy: str, arm: str, device: str) -> list[Outcome]:
    key = policy, arm, device
    if key not in _made:
        torch.set_num_threads(1)
        embodiment = load_arm(arm)
        loaded = load_policy(policy, embodiment, device)
        _made[key] = reach_env(embodiment, cameras=loaded.cameras or ('front',)), loaded
    env, loaded = _made[key]
    return [run_episode(env, loaded, episode) for episode in part]


def with_progress(outcomes: Iterable[AnyOutcome], total: int) -> list[AnyOutcome]:
    """Collect outcomes behind a progress bar that shows the successes so far."""
    columns = (TextColumn('eval'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    done: list[AnyOutcome] = []
    with Progress(*columns, TextColumn('{task.fields[reached]} reached')) as progress:
        bar = progress.add_task('eval', total=total, reached=0)
        for outcome in outcomes:
            done.append(outcome)
            progress.update(bar, advance=1, reached=sum(o.success for o in done))
    return done


def report(
    outcomes: Sequence[Outcome | TaskOutcome], *, policy: str, seed: int, task: str
) -> EvalReport:
    """Sum up the outcomes; no error where none is known."""
    count, successes = len(outcomes), sum(o.success for o in outcomes)
    errors_m = [o.error_m for o in outcomes if math.isfinite(o.error_m)]
    return EvalReport(
        task=task,
        policy=policy,
        episodes=count,
        successes=successes,
        success_rate=successes / count,
        wilson_95=wilson_95(successes, count),
        wrong_object_rate=sum(o.wrong_object for o in outcomes) / count,
        median_error_m=statistics.median(errors_m) if errors_m else None,
        seed=seed,
    )


def wilson_95(successes: int, count: int) -> tuple[float, float]:
    """Return the Wilson score interval at 95 % (Wilson, Probable inference, 1927)."""
    z = 1.959963984540054
    rate, spread = successes / count, z * z / count
    centre = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * (rate * (1 - rate) / count + spread / (4 * count)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)


def failures(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return one row a failed trial, worst first."""
    failed = sorted((o for o in outcomes if not o.success), key=lambda o: -o.error_m)
    return [
        {
            'seed': o.episode.seed,
            'instruction': o.episode.instruction,
            'error_mm': round(1000 * o.error_m),
            'wrong_object': o.wrong_object,
            'note': o.note,
        }
        for o in failed
    ]
