"""Evaluate a policy through the running graph: three processes, real DDS, real time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vla_ros.core.embodiment import load_arm
from vla_ros.ros.local_graph import LocalGraph, local_graph
from vla_ros.ros.rollout import RosRollout
from vla_ros.ros.rollout_record import Rollout
from vla_ros.sim.episodes import judge
from vla_ros.sim.tasks.env import TICK_S, TIME_LIMIT_S
from vla_ros.sim.tasks.episodes import TaskEpisode, TaskOutcome, acceleration_rad_s2
from vla_ros.sim.tasks.language import sentence


def run_through_ros(
    episodes: Sequence[TaskEpisode], policy: str, *, device: str = 'auto'
) -> Iterator[TaskOutcome]:
    """Run trials one after the other on a graph of our own; yield how they ended.

    A reach is judged by where the tool ends; what else is met sim_node says in its diagnostics. It
    does not say how far an object is from its goal, so `error_m` is NaN there, and the wrong
    object is one that another goal of the task was met with. The acceleration is that of commands.

    Raises:
        VlaRosError: a node does not start, ends, or does not answer.
    """
    with _graph(policy, device) as (graph, client):
        for episode in episodes:
            yield _run(client, episode)
            graph.check()


def _run(client: RosRollout, episode: TaskEpisode) -> TaskOutcome:
    goal, wanted = episode.goal, sentence(episode.goal)
    client.reset(episode.seed, goal.task)
    client.listen()  # what is met, and limited, no longer of the scene before
    limited = client.limited()
    rollout = client.run(
        episode.instruction,
        TIME_LIMIT_S[goal.task],
        lambda _: goal.task != 'reach' and wanted in client.met(),
    )
    if goal.task == 'reach':
        reached = judge(goal.object, rollout.distances_m)
        error_m, success, wrong = reached.error_m, reached.success, reached.wrong_object
    else:
        met = client.met()
        others = [text for text in met if text.startswith(goal.task) and text != wanted]
        error_m, success = math.nan, wanted in met
        wrong = not success and any(goal.object not in text for text in others)
    return TaskOutcome(
        success=success,
        wrong_object=wrong,
        error_m=error_m,
        time_s=rollout.updates[-1].elapsed_s,
        interventions=client.limited() - limited,
        acceleration_rad_s2=acceleration_rad_s2(rollout.commands_every(TICK_S), TICK_S),
        note=_note(rollout),
    )


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
