"""Real nodes in one process: every test has a context and a domain of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rclpy.context import Context
from ros_graph import Graph


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each test of real nodes fail once; the summary counts it as rerun.

    The guard stops the arm when 0.1 s pass without a joint state: a machine that does not run a
    test for so long is a fault like any other, only not one that the test is about.
    """
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture
def graph() -> Iterator[Graph]:
    """A graph of its own, closed at the end of the test."""
    graph = Graph()
    yield graph
    graph.close()


@pytest.fixture
def ros_context(graph: Graph) -> Context:
    """The context of `graph`, on a domain of its own."""
    return graph.context
