"""Evaluate a policy through the running graph: three processes, real DDS, real time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vla_ros.core.embodiment import load_arm
from vla_ros.ros.local_graph import LocalGraph, local_graph
from vla_ros.ros.rollout import RosRollout
from vla_ros.ros.rollout_record import Rollout
from vla_ros.sim.env import EPISODE_S
from vla_ros.sim.episodes import Episode, Outcome, judge
from vla_ros.sim.tasks.env import TIME_LIMIT_S
from vla_ros.sim.tasks.episodes import TaskEpisode, TaskOutcome
from vla_ros.sim.tasks.language import sentence


def run_episodes_through_ros(
    episodes: Sequence[Episode], policy: str, *, device: str = 'auto'
) -> Iterator[Outcome]:
    """Run trials of reaching one after the other on a graph of our own; yield their outcomes.

    Raises:
        VlaRosError: a node does not start, ends, or does not answer.
    """
    with _graph(policy, device) as (graph, client):
        for episode in episodes:
            client.reset(episode.seed)
            rollout = client.run(episode.instruction, EPISODE_S)
            yield judge(episode, rollout.distances_m, _note(rollout))
            graph.check()


def run_task_episodes_through_ros(
    episodes: Sequence[TaskEpisode], policy: str, *, device: str = 'auto'
) -> Iterator[TaskOutcome]:
    """Run trials of any task; sim_node says in its diagnostics what is met.

    The wrong object is one that another goal of the task was met with. How far an object is from
    its goal is not said, so `error_m` is NaN.

    Raises:
        VlaRosError: a node does not start, ends, or does not answer.
    """
    with _graph(policy, device) as (graph, client):
        for episode in episodes:
            goal, wanted = episode.goal, sentence(episode.goal)
            client.reset(episode.seed, goal.task)
            client.met(fresh=True)  # no longer of the scene before

            def over(_: object, wanted: str = wanted, task: str = goal.task) -> bool:
                return task != 'reach' and wanted in client.met()

            rollout = client.run(episode.instruction, TIME_LIMIT_S[goal.task], over)
            met = client.met(fresh=True)
            others = (text for text in met if text.startswith(goal.task) and text != wanted)
            wrong = any(goal.object not in text for text in others)
            success = wanted in met
            seconds = rollout.updates[-1].elapsed_s
            yield TaskOutcome(
                episode, success, wrong and not success, math.nan, seconds, 0, _note(rollout)
            )
            graph.check()


@contextmanager
def _graph(policy: str, device: str) -> Iterator[tuple[LocalGraph, RosRollout]]:
    with local_graph({'policy': policy, 'device': device}) as graph:
        client = RosRollout(load_arm('sim'), domain_id=graph.domain_id)
        try:
            client.wait_until_ready(check=graph.check)
            yield graph, client
            client.halt()
        finally:
            client.close()


def _note(rollout: Rollout) -> str:
    last = rollout.updates[-1]
    return f'guard: {last.reason}' if last.guard_state == 'stop' else rollout.note
