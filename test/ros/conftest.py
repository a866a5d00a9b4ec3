"""Real nodes in one process: every test has a context and a domain of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rclpy.context import Context
from ros_graph import Graph


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
