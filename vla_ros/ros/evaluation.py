"""Evaluate a policy through the running graph: three processes, real DDS, real time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vla_ros.core.embodiment import load_arm
from vla_ros.ros.local_graph import local_graph
from vla_ros.ros.rollout import RosRollout
from vla_ros.sim.env import EPISODE_S
from vla_ros.sim.episodes import Episode, Outcome, judge


def run_episodes_through_ros(
    episodes: Sequence[Episode], policy: str, *, device: str = 'auto'
) -> Iterator[Outcome]:
    """Run trials one after the other on a graph of our own and yield their outcomes.

    Raises:
        VlaRosError: a node does not start, ends, or does not answer.
    """
    with local_graph({'policy': policy, 'device': device}) as graph:
        client = RosRollout(load_arm('sim'), domain_id=graph.domain_id)
        try:
            client.wait_until_ready(check=graph.check)
            for episode in episodes:
                yield _run(client, episode)
                graph.check()
            client.halt()
        finally:
            client.close()


def _run(client: RosRollout, episode: Episode) -> Outcome:
    client.reset(episode.seed)
    rollout = client.run(episode.instruction, EPISODE_S)
    last = rollout.updates[-1]
    note = f'guard: {last.reason}' if last.guard_state == 'stop' else rollout.note
    return judge(episode, rollout.distances_m, note)
