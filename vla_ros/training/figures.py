"""Sum trials up: rates with intervals, times, smoothness, and paired comparisons."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from vla_ros.errors import ConfigError
from vla_ros.training.trials import TICK_S, TrialResult


@dataclass(frozen=True)
class TaskReport:
    """What an evaluation of one task under one suite found.

    Attributes:
        task: one of the package's.
        policy: name or folder.
        suite: what was made harder.
        phrasings: train, held_out, or a file.
        seed: of the trials.
        episodes: how many.
        successes: of them.
        success_rate: their share.
        wilson_95: its Wilson score interval at 95 %.
        wrong_object_rate: not met, and another object was moved; reach: the tool is over another.
        followed_rate: the goal that was said is met; differs where the instruction is swapped.
        median_error_m: what is missing at the end; None where nobody can tell.
        median_time_s: of the successes; None without any.
        interventions_per_s: commands a second that the limiter had to change.
        acceleration_rad_s2: root mean square over joints and time, mean of the trials.
    """

    task: str
    policy: str
    suite: str
    phrasings: str
    seed: int
    episodes: int
    successes: int
    success_rate: float
    wilson_95: tuple[float, float]
    wrong_object_rate: float
    followed_rate: float
    median_error_m: float | None
    median_time_s: float | None
    interventions_per_s: float
    acceleration_rad_s2: float


@dataclass(frozen=True)
class Comparison:
    """Two policies on the same trials.

    Attributes:
        better: trials that the first met and the other did not; `worse`: the other way round.
        p_value: of the exact McNemar test, two-sided, that both are as good.
    """

    task: str
    suite: str
    against: str
    rate: float
    rate_against: float
    better: int
    worse: int
    p_value: float


def task_report(
    results: Sequence[TrialResult], *, policy: str, seed: int, phrasings: str
) -> TaskReport:
    """Sum up the trials of one task under one suite."""
    count, successes = len(results), sum(r.success for r in results)
    first = results[0].trial
    times = [r.time_s for r in results if r.success]
    errors_m = [r.error_m for r in results if math.isfinite(r.error_m)]
    said = 'held_out' if first.suite.held_out_phrasings else phrasings
    return TaskReport(
        task=first.episode.goal.task,
        policy=policy,
        suite=first.suite.name,
        phrasings='of the other goal' if first.suite.swapped else said,
        seed=seed,
        episodes=count,
        successes=successes,
        success_rate=successes / count,
        wilson_95=wilson_95(successes, count),
        wrong_object_rate=sum(r.wrong_object for r in results) / count,
        followed_rate=sum(r.followed for r in results) / count,
        median_error_m=statistics.median(errors_m) if errors_m else None,
        median_time_s=statistics.median(times) if times else None,
        interventions_per_s=sum(r.interventions for r in results)
        / max(TICK_S, sum(r.time_s for r in results)),
        acceleration_rad_s2=statistics.fmean(r.acceleration_rad_s2 for r in results),
    )


def wilson_95(successes: int, count: int) -> tuple[float, float]:
    """Return the Wilson score interval at 95 % (Wilson, Probable inference, 1927)."""
    z = 1.959963984540054
    rate, spread = successes / count, z * z / count
    centre = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * (rate * (1 - rate) / count + spread / (4 * count)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)


def compare(
    results: Sequence[TrialResult], others: Sequence[TrialResult], against: str
) -> Comparison:
    """Compare two policies trial by trial.

    Raises:
        ConfigError: they did not run the same trials.
    """
    mine = {r.trial: r.success for r in results}
    theirs = {r.trial: r.success for r in others}
    if mine.keys() != theirs.keys():
        raise ConfigError('the two policies did not run the same trials')
    better = sum(ok and not theirs[trial] for trial, ok in mine.items())
    worse = sum(theirs[trial] and not ok for trial, ok in mine.items())
    first = results[0].trial
    return Comparison(
        first.episode.goal.task, first.suite.name, against, sum(mine.values()) / len(mine),
        sum(theirs.values()) / len(theirs), better, worse, mcnemar_exact(better, worse),
    )  # fmt: skip


def mcnemar_exact(better: int, worse: int) -> float:
    """Return the two-sided p-value of the exact McNemar test.

    Under the hypothesis that both are as good, each trial on which they differ is a fair coin
    (McNemar, Note on the sampling error of the difference between correlated proportions, 1947).
    """
    differing = better + worse
    if not differing:
        return 1.0
    tail = sum(math.comb(differing, k) for k in range(min(better, worse) + 1))
    return min(1.0, 2 * tail / 2**differing)
