"""Simulator, policy and guard as processes of our own, on a domain that nobody else uses."""

from __future__ import annotations

import random
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from vla_ros.errors import VlaRosError
from vla_ros.ros.bringup import NodeSpec, node_specs
from vla_ros.ros.processes import NodeProcesses

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class LocalGraph:
    """A running graph and the domain that it runs on."""

    domain_id: int
    processes: NodeProcesses

    def check(self) -> None:
        """Raise a VlaRosError with its last words when a node has ended."""
        self.processes.check()


@contextmanager
def local_graph(arguments: Mapping[str, str]) -> Iterator[LocalGraph]:
    """Start the nodes of a bringup with its arguments, and end them on leaving.

    Raises:
        ConfigError: an unknown argument, or a value that cannot be used.
    """
    with local_processes(node_specs(arguments)) as graph:
        yield graph


@contextmanager
def local_processes(
    specs: Sequence[NodeSpec], on_line: Callable[[str, str], None] = lambda name, line: None
) -> Iterator[LocalGraph]:
    """Start these nodes on a free domain, and end them on leaving; see NodeProcesses."""
    domain_id = free_domain_id()
    extra = {'ROS_DOMAIN_ID': str(domain_id)}
    # No signal may leave the processes behind: they are in sessions of their own.
    before = {n: signal.signal(n, signal.default_int_handler) for n in _ENDING}
    try:
        with NodeProcesses(specs, on_line, extra_environment=extra) as processes:
            yield LocalGraph(domain_id, processes)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_domain_id() -> int:
    """Return a ROS_DOMAIN_ID on which no participant runs on this machine.

    The first participant of a domain holds UDP port 7410 + 250 x domain (DDSI-RTPS 2.2, 9.6.1.1);
    ids above 101 reach into the ports that Linux hands out itself.
    """
    for domain_id in random.sample(range(1, 101), 100):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', 7410 + 250 * domain_id))
            except OSError:
                continue
            return domain_id
    raise VlaRosError('no ROS_DOMAIN_ID within 1 and 100 is free; end some ROS processes')
