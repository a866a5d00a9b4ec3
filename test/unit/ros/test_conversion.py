"""Conversions: round trips, views instead of copies, and clear refusals."""

from __future__ import annotations

import os

os.environ.setdefault('ROS_PYTHON_CHECK_FIELDS', '1')

import array
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image

from vla_ros.errors import ObservationError
from vla_ros.ros.conversion import (
    chunk_from_message,
    chunk_to_message,
    image_from_compressed,
    image_from_message,
    image_to_message,
    joint_state_to_message,
    ns_to_stamp,
    stamp_to_ns,
)
from vla_ros.ros.encoded_image import encoded_size
from vla_ros.types import ActionChunk, ImageArray

JOINTS = tuple(f'joint{k}' for k in range(1, 8))
STAMP = ns_to_stamp(12_345_678_901)


def noise(height: int = 6, width: int = 5) -> ImageArray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def message_of(pixels: ImageArray, encoding: str, padding: int = 0) -> Image:
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)))
    message = Image(height=height, width=width, encoding=encoding, step=rows.shape[1])
    message.data = array.array('B', rows.tobytes())
    return message


@given(st.integers(-(2**31) * 10**9, (2**31 - 1) * 10**9))
def test_stamps_round_trip(time_ns: int) -> None:
    assert stamp_to_ns(ns_to_stamp(time_ns)) == time_ns


def test_image_round_trip_is_a_view_of_the_message() -> None:
    message = image_to_message(noise(), STAMP, 'front')
    image = image_from_message(message)
    np.testing.assert_array_equal(image, noise())
    assert message.header.frame_id == 'front'
    assert message.header.stamp == STAMP
    message.data[0] ^= 0xFF
    assert image[0, 0, 0] == noise()[0, 0, 0] ^ 0xFF


def test_a_message_of_a_strided_image_holds_its_pixels() -> None:
    flipped = noise()[:, ::-1]
    np.testing.assert_array_equal(
        image_from_message(image_to_message(flipped, STAMP, '')), flipped
    )


@pytest.mark.parametrize('padding', [0, 3])
@pytest.mark.parametrize(
    ('encoding', 'code'),
    [
        ('rgb8', None),
        ('bgr8', cv2.COLOR_RGB2BGR),
        ('rgba8', cv2.COLOR_RGB2RGBA),
        ('bgra8', cv2.COLOR_RGB2BGRA),
    ],
)
def test_every_colour_encoding_arrives_as_rgb(
    encoding: str, code: int | None, padding: int
) -> None:
    pixels = noise() if code is None else cv2.cvtColor(noise(), code)
    image = image_from_message(message_of(pixels, encoding, padding))
    np.testing.assert_array_equal(image, noise())


def test_grey_arrives_as_three_equal_channels() -> None:
    grey = noise()[:, :, 0]
    image = image_from_message(message_of(np.ascontiguousarray(grey), 'mono8'))
    np.testing.assert_array_equal(image, np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        ({'encoding': '16UC1'}, "encoding '16UC1' is not supported; use one of: rgb8, bgr8"),
        ({'encoding': ''}, "encoding '' is not supported"),
        ({'height': 0}, '5 x 0'),
        ({'width': 2**31}, 'each side must be'),
        ({'step': 14}, 'step is 14 bytes'),
        ({'step': 2**32 - 1}, 'data has 90 bytes'),
        ({'height': 7}, 'data has 90 bytes, 7 rows of 15 need 105'),
        ({'height': 5}, 'data has 90 bytes, 5 rows of 15 need 75'),
        ({'data': array.array('B', b'x' * 89)}, 'data has 89 bytes'),
        ({'data': array.array('B')}, 'data has 0 bytes'),
        ({'is_bigendian': 7}, 'is_bigendian is 7'),
    ],
)
def test_an_image_that_does_not_fit_is_refused(change: dict[str, object], says: str) -> None:
    message = image_to_message(noise(), STAMP, '')
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ObservationError, match=says):
        image_from_message(message)


def test_png_round_trip_is_exact() -> None:
    _, encoded = cv2.imencode('.png', cv2.cvtColor(noise(), cv2.COLOR_RGB2BGR))
    message = CompressedImage(format='png', data=array.array('B', encoded.tobytes()))
    np.testing.assert_array_equal(image_from_compressed(message), noise())


@pytest.mark.parametrize('content', [b'', b'nonsense', b'\xff\xd8\xff\xe0 cut short'])
def test_bytes_that_are_no_image_are_refused(content: bytes) -> None:
    message = CompressedImage(format='jpeg', data=array.array('B', content))
    with pytest.raises(ObservationError, match=f'with {len(content)} bytes cannot be decoded'):
        image_from_compressed(message)


def bomb(kind: str, width: int, height: int) -> bytes:
    """Return a small image whose header claims another size."""
    picture = np.zeros((16, 16, 3), np.uint8)
    content = bytearray(cv2.imencode(f'.{kind}', picture)[1].tobytes())
    if kind == 'png':
        content[16:24] = width.to_bytes(4, 'big') + height.to_bytes(4, 'big')
        content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, 'big')
    else:
        at = content.index(b'\xff\xc0')
        content[at + 5 : at + 9] = height.to_bytes(2, 'big') + width.to_bytes(2, 'big')
    return bytes(content)


@pytest.mark.parametrize('kind', ['png', 'jpg'])
@pytest.mark.parametrize('size', [(30_000, 30_000), (8192, 8192), (65_535, 1), (1, 20_000)])
def test_an_image_that_unfolds_into_too_much_is_not_decoded(
    kind: str, size: tuple[int, int]
) -> None:
    content = bomb(kind, *size)
    assert encoded_size(content) == size
    message = CompressedImage(format=kind, data=array.array('B', content))
    with pytest.raises(ObservationError, match=f'{size[0]} x {size[1]}; 16777216 pixels at most'):
        image_from_compressed(message)


@pytest.mark.parametrize('kind', ['png', 'jpg'])
@settings(deadline=None)  # what is left of a header may still say 16 million pixels
@given(cut=st.integers(0, 700), at=st.integers(0, 600), value=st.integers(0, 255))
def test_a_damaged_image_is_refused_or_decoded(kind: str, cut: int, at: int, value: int) -> None:
    content = bytearray(bomb(kind, 16, 16))
    content[at % len(content)] = value
    content = content[: max(1, len(content) - cut)]
    try:
        image = image_from_compressed(CompressedImage(data=array.array('B', bytes(content))))
    except ObservationError:
        return
    assert image.ndim == 3
    assert image.size <= 3 << 24


def test_other_formats_and_endless_headers_have_no_size() -> None:
    assert encoded_size(b'') is None
    assert encoded_size(b'GIF89a' + b'\x00' * 30) is None
    assert encoded_size(b'\xff\xd8' + b'\xff' * 100_000) is None
    assert encoded_size(b'\xff\xd8' + b'\xff\xe0\x00\x02' * 100_000) is None
    assert encoded_size(b'\x89PNG\r\n\x1a\n' + b'\x00' * 30) is None


def test_a_joint_state_holds_every_sequence() -> None:
    positions = np.linspace(-1, 1, 7)
    message = joint_state_to_message(JOINTS, positions, -positions, STAMP)
    assert message.name == list(JOINTS)
    assert list(message.position) == positions.tolist()
    assert list(message.velocity) == (-positions).tolist()
    assert len(message.effort) == 7


@given(st.integers(1, 40), st.integers(1, 2000), st.permutations(JOINTS))
def test_chunk_round_trip_in_any_joint_order(steps: int, step_ms: int, order: list[str]) -> None:
    velocities = np.random.default_rng(steps).normal(size=(steps, 7))
    chunk = ActionChunk(velocities, step_ms / 1000, stamp_ns=7_000_000_001)
    message = chunk_to_message(chunk, JOINTS)
    index = [JOINTS.index(name) for name in order]
    message.joint_names = order
    for point in message.points:
        point.velocities = [point.velocities[k] for k in index]
    back = chunk_from_message(message, JOINTS)
    np.testing.assert_array_equal(back.velocities_rad_s, velocities)
    assert back.step_s == pytest.approx(chunk.step_s, abs=1e-9)
    assert back.stamp_ns == chunk.stamp_ns


def test_a_damaged_chunk_is_refused() -> None:
    def message() -> object:
        return chunk_to_message(ActionChunk(np.zeros((3, 7)), 0.1), JOINTS)

    other = message()
    other.joint_names = ['a', *JOINTS[1:]]
    empty = message()
    empty.points = []
    short = message()
    short.points[1].velocities = [0.0]
    uneven = message()
    uneven.points[2].time_from_start.sec = 9
    backwards = message()
    backwards.points[0].time_from_start.sec = -1
    for bad, says in (
        (other, 'the arm has'),
        (empty, '0 steps'),
        (short, 'step 1 of the chunk has 1 velocities'),
        (uneven, 'one duration'),
        (backwards, 'one duration'),
    ):
        with pytest.raises(ObservationError, match=says):
            chunk_from_message(bad, JOINTS)


@given(st.integers(1, 40), st.permutations([*JOINTS, 'finger']))
def test_openings_of_the_gripper_make_the_round_trip(steps: int, order: list[str]) -> None:
    generator = np.random.default_rng(steps)
    velocities, openings = generator.normal(size=(steps, 7)), generator.uniform(0, 0.08, steps)
    chunk = ActionChunk(velocities, 0.1, 5, gripper_openings_m=openings)
    message = chunk_to_message(chunk, JOINTS, 'finger')
    assert message.joint_names == [*JOINTS, 'finger']
    assert [list(p.positions) for p in message.points] == [[0.0] * 7 + [o] for o in openings]
    assert all(len(p.velocities) == 8 and p.velocities[7] == 0.0 for p in message.points)
    index = [message.joint_names.index(name) for name in order]
    message.joint_names = order
    for point in message.points:
        point.velocities = [point.velocities[k] for k in index]
        point.positions = [point.positions[k] for k in index]
    back = chunk_from_message(message, JOINTS, 'finger')
    np.testing.assert_array_equal(back.velocities_rad_s, velocities)
    np.testing.assert_array_equal(back.gripper_openings_m, openings)


def test_a_chunk_that_leaves_the_gripper_is_for_any_arm() -> None:
    message = chunk_to_message(ActionChunk(np.zeros((3, 7)), 0.1), JOINTS, 'finger')
    assert message.joint_names == list(JOINTS)
    assert chunk_from_message(message, JOINTS, 'finger').gripper_openings_m is None


def test_a_gripper_that_the_arm_has_not_is_refused_on_both_sides() -> None:
    chunk = ActionChunk(np.zeros((3, 7)), 0.1, gripper_openings_m=np.zeros(3))
    with pytest.raises(ObservationError, match='commands a gripper, and the arm has none'):
        chunk_to_message(chunk, JOINTS)
    message = chunk_to_message(chunk, JOINTS, 'finger')
    with pytest.raises(ObservationError, match='and no gripper'):
        chunk_from_message(message, JOINTS)
    with pytest.raises(ObservationError, match=r"the arm has .*'\]$"):
        chunk_from_message(message, JOINTS, 'other_finger')


def test_openings_that_are_missing_are_refused() -> None:
    chunk = ActionChunk(np.zeros((3, 7)), 0.1, gripper_openings_m=np.zeros(3))
    message = chunk_to_message(chunk, JOINTS, 'finger')
    message.points[1].positions = [0.01]
    with pytest.raises(ObservationError, match='step 1 of the chunk has 1 positions, not 8'):
        chunk_from_message(message, JOINTS, 'finger')
    message.points[1].velocities = [0.0] * 7
    with pytest.raises(ObservationError, match='step 1 of the chunk has 7 velocities, not 8'):
        chunk_from_message(message, JOINTS, 'finger')
