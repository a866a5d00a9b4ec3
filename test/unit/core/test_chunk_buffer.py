"""The chunk in use, sampled by time, and the change from one chunk to the next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.chunk_buffer import BLEND_S, ChunkBuffer
from vla_ros.types import ActionChunk, FloatArray

START_NS = 1_000_000_000


@pytest.fixture
def buffer() -> ChunkBuffer:
    buffer = ChunkBuffer()
    rows = np.arange(3.0)[:, None] * np.ones(7)
    buffer.push(ActionChunk(rows, 0.1, START_NS), START_NS)
    return buffer


@pytest.mark.parametrize(
    ('after_ms', 'velocity'),
    [(-20, 0.0), (0, 0.0), (50, 0.5), (100, 1.0), (150, 1.5), (200, 2.0), (299, 2.0)],
)
def test_interpolates_between_steps_and_holds_the_last_for_its_time(
    buffer: ChunkBuffer, after_ms: int, velocity: float
) -> None:
    sample = buffer.sample(START_NS + after_ms * 1_000_000)
    np.testing.assert_allclose(sample, np.full(7, velocity), atol=1e-12)


@pytest.mark.parametrize('after_ms', [300, 10_000])
def test_is_nothing_past_its_end(buffer: ChunkBuffer, after_ms: int) -> None:
    assert buffer.sample(START_NS + after_ms * 1_000_000) is None


def test_is_nothing_once_cleared(buffer: ChunkBuffer) -> None:
    assert buffer.stamp_ns == START_NS
    buffer.clear()
    assert buffer.sample(START_NS + 1) is None
    assert buffer.stamp_ns is None


def at(buffer: ChunkBuffer, time_s: float) -> FloatArray:
    sample = buffer.sample(START_NS + round(time_s * 1e9))
    assert sample is not None
    return sample


CHUNKS_RAD_S = st.floats(-2.0, 2.0)


@given(
    st.lists(st.tuples(CHUNKS_RAD_S, CHUNKS_RAD_S), min_size=2, max_size=12),
    st.floats(0.005, 0.15),
)
def test_a_new_chunk_replaces_the_old_without_a_step_in_acceleration(
    ends: list[tuple[float, float]], every_s: float
) -> None:
    """Right before and right after each replacement velocity and acceleration are the same.

    Each chunk is one straight line, so that the only steps there could be are the replacements.
    """
    buffer = ChunkBuffer()
    tiny_s = 1e-6
    for k, (first, last) in enumerate(ends):
        now_s = 0.01 + k * every_s
        rows = np.array([[first] * 7, [last] * 7])
        chunk = ActionChunk(rows, 0.3, START_NS + round((now_s - 0.01) * 1e9))
        if k:
            before, earlier = at(buffer, now_s - tiny_s), at(buffer, now_s - 2 * tiny_s)
        buffer.push(chunk, START_NS + round(now_s * 1e9))
        if k:
            after, later = at(buffer, now_s + tiny_s), at(buffer, now_s + 2 * tiny_s)
            # Between the two is one tiny time; curvature is at most about 6 offset / BLEND_S².
            curve = 6 * 5.0 / BLEND_S**2 * 6
            slope_before, slope_after = (before - earlier) / tiny_s, (later - after) / tiny_s
            np.testing.assert_allclose(slope_after, slope_before, atol=curve * 4 * tiny_s + 1e-3)
            np.testing.assert_allclose(after, before + 2 * tiny_s * slope_before, atol=1e-5)


@given(CHUNKS_RAD_S, CHUNKS_RAD_S)
def test_what_is_left_of_the_old_chunk_is_gone_after_the_blend(old: float, new: float) -> None:
    buffer = ChunkBuffer()
    buffer.push(ActionChunk(np.full((8, 7), old), 0.1, START_NS), START_NS)
    replaced_s = 0.2
    now_ns = START_NS + round(replaced_s * 1e9)
    buffer.push(ActionChunk(np.full((8, 7), new), 0.1, now_ns), now_ns)
    assert at(buffer, replaced_s) == pytest.approx(np.full(7, old))
    half_way = at(buffer, replaced_s + BLEND_S / 2)
    assert half_way == pytest.approx(np.full(7, (old + new) / 2))
    np.testing.assert_allclose(at(buffer, replaced_s + BLEND_S), np.full(7, new), atol=1e-15)


@given(st.lists(CHUNKS_RAD_S, min_size=9, max_size=9), st.integers(1, 50))
def test_chunks_that_agree_pass_untouched(plan: list[float], every_ms: int) -> None:
    """The same plan, sent anew every so often: what comes out is the plan."""
    rows, buffer, alone = np.array(plan)[:, None] * np.ones(7), ChunkBuffer(), ChunkBuffer()
    alone.push(ActionChunk(rows, 0.05, START_NS), START_NS)
    for k in range(0, 400, every_ms):
        buffer.push(ActionChunk(rows, 0.05, START_NS), START_NS + k * 1_000_000)
        sample = at(buffer, (k + every_ms / 2) * 1e-3)
        np.testing.assert_allclose(sample, at(alone, (k + every_ms / 2) * 1e-3), atol=1e-12)


def test_a_clock_that_was_set_back_ends_the_blend(buffer: ChunkBuffer) -> None:
    now_ns = START_NS + 100_000_000
    buffer.push(ActionChunk(np.full((8, 7), -1.0), 0.1, now_ns), now_ns)
    assert (at(buffer, 0.1) == 1.0).all()
    assert (at(buffer, 0.05) == -1.0).all()
