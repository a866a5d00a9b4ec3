"""Which frames a policy gets to see."""

from __future__ import annotations

import numpy as np

from vla_ros.ros.inputs import MAX_FRAME_AGE_NS, Frames
from vla_ros.types import ImageArray

MS = 1_000_000


def frame(value: int) -> ImageArray:
    return np.full((4, 4, 3), value, np.uint8)


def test_a_new_frame_is_taken_once() -> None:
    frames = Frames(['front'])
    assert frames.take(0) is None
    assert frames.offer('front', frame(1), 10 * MS, 20 * MS) == ''
    taken = frames.take(20 * MS)
    assert taken is not None
    assert taken[1] == 10 * MS
    assert taken[0]['front'][0, 0, 0] == 1
    assert frames.take(20 * MS) is None


def test_several_cameras_give_one_observation_with_the_oldest_stamp() -> None:
    frames = Frames(['front', 'wrist'])
    frames.offer('front', frame(1), 30 * MS, 40 * MS)
    assert frames.take(40 * MS) is None
    frames.offer('wrist', frame(2), 10 * MS, 40 * MS)
    taken = frames.take(40 * MS)
    assert taken is not None
    assert taken[1] == 10 * MS
    assert sorted(taken[0]) == ['front', 'wrist']


def test_frozen_stale_future_and_out_of_order_frames_are_no_frames() -> None:
    frames = Frames(['front'])
    now = 10_000 * MS
    assert frames.offer('front', frame(1), now, now) == ''
    assert frames.take(now) is not None
    assert 'same stamp' in frames.offer('front', frame(2), now, now)
    assert 'same pixels' in frames.offer('front', frame(1), now + MS, now + MS)
    assert 'older than the last' in frames.offer('front', frame(2), now - MS, now + MS)
    assert 's old' in frames.offer('front', frame(2), now, now + MAX_FRAME_AGE_NS + MS)
    assert 'future' in frames.offer('front', frame(2), now + 500 * MS, now + 300 * MS)
    assert frames.take(now + MS) is None


def test_a_frame_that_waited_too_long_is_not_taken() -> None:
    frames = Frames(['front'])
    frames.offer('front', frame(1), 0, 0)
    assert frames.take(MAX_FRAME_AGE_NS + 1) is None
    assert frames.missing(MAX_FRAME_AGE_NS + 1) == ['front']


def test_simulated_time_that_starts_again_is_no_reason_to_wait() -> None:
    frames = Frames(['front'])
    frames.offer('front', frame(1), 9_000 * MS, 9_000 * MS)
    assert frames.offer('front', frame(1), 10 * MS, 10 * MS) == ''
    assert frames.take(10 * MS) is not None
