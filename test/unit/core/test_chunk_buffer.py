"""The chunk in use, sampled by time."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.core.chunk_buffer import ChunkBuffer
from vla_ros.types import ActionChunk

START_NS = 1_000_000_000


@pytest.fixture
def buffer() -> ChunkBuffer:
    buffer = ChunkBuffer()
    rows = np.arange(3.0)[:, None] * np.ones(7)
    buffer.push(ActionChunk(rows, 0.1, START_NS))
    return buffer


@pytest.mark.parametrize(
    ('after_ms', 'velocity'),
    [(0, 0.0), (50, 0.5), (100, 1.0), (150, 1.5), (200, 2.0), (299, 2.0)],
)
def test_interpolates_between_steps_and_holds_the_last_for_its_time(
    buffer: ChunkBuffer, after_ms: int, velocity: float
) -> None:
    sample = buffer.sample(START_NS + after_ms * 1_000_000)
    np.testing.assert_allclose(sample, np.full(7, velocity), atol=1e-12)


@pytest.mark.parametrize('after_ms', [-1, 300, 10_000])
def test_is_nothing_before_its_observation_and_past_its_end(
    buffer: ChunkBuffer, after_ms: int
) -> None:
    assert buffer.sample(START_NS + after_ms * 1_000_000) is None


def test_only_a_chunk_that_is_not_older_replaces_it(buffer: ChunkBuffer) -> None:
    assert not buffer.push(ActionChunk(np.full((1, 7), 9.0), 0.1, START_NS - 1))
    assert buffer.stamp_ns == START_NS
    assert buffer.push(ActionChunk(np.full((1, 7), 9.0), 0.1, START_NS + 1))
    np.testing.assert_array_equal(buffer.sample(START_NS + 1), np.full(7, 9.0))
    buffer.clear()
    assert buffer.sample(START_NS + 1) is None
    assert buffer.stamp_ns is None
