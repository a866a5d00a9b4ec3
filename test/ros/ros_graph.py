"""One context, one domain and one executor for each test."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor

_DOMAINS = itertools.count()
_DEADLINE_S = 20.0


def free_domain_id() -> int:
    """Return a domain id that no other test of this machine uses now, as far as one can know.

    Ids above 101 meet the ports that Linux hands out itself.
    """
    worker = int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw'))
    return 1 + (os.getpid() + worker * 37 + next(_DOMAINS)) % 100


class Graph:
    """One context, one executor, and spinning until something holds."""

    def __init__(self) -> None:
        """Make a context on a domain of its own."""
        self.context = Context()
        self.context.init(domain_id=free_domain_id())
        self.executor = SingleThreadedExecutor(context=self.context)

    def spin_until(self, holds: Callable[[], object], deadline_s: float = _DEADLINE_S) -> bool:
        """Spin until `holds()` is true; return whether it became so before the deadline."""
        end = time.monotonic() + deadline_s
        while not holds():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.05)
        return True

    def close(self) -> None:
        """Destroy every node, then the context."""
        for node in self.executor.get_nodes():
            self.executor.remove_node(node)
            node.destroy_node()
        self.executor.shutdown()
        self.context.try_shutdown()
