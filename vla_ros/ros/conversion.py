"""Messages to arrays and back, with every check before any reshape and no copy that can be spared.

Reading `Image.data` by `np.frombuffer` costs about a microsecond whatever the size, because the
array looks into the message; `docs/dependencies.md` says why that is the single path here. OpenCV
is loaded when the first image needs it: guard_node converts none.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_ros.errors import ObservationError
from vla_ros.ros.encoded_image import encoded_size
from vla_ros.types import ActionChunk, DepthArray, FloatArray, ImageArray

NANOSECONDS = 1_000_000_000
MAX_SIDE = 8192
MAX_DECODED_PIXELS = 1 << 24
MAX_STEPS = 1000

_CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}
_DEPTHS = {'32FC1': np.float32, '16UC1': np.uint16}
_TO_RGB = {
    'bgr8': 'COLOR_BGR2RGB',
    'rgba8': 'COLOR_RGBA2RGB',
    'bgra8': 'COLOR_BGRA2RGB',
    'mono8': 'COLOR_GRAY2RGB',
}


def stamp_to_ns(stamp: Time) -> int:
    """Return a time stamp in nanoseconds."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def ns_to_stamp(time_ns: int) -> Time:
    """Return nanoseconds as a time stamp."""
    sec, nanosec = divmod(time_ns, NANOSECONDS)
    return Time(sec=sec, nanosec=nanosec)


def image_reader(topic: str) -> tuple[type, Callable[[Any], ImageArray]]:
    """Return the message type of a camera topic, by its name, and what makes an image of one."""
    if topic.endswith('/compressed'):
        return CompressedImage, image_from_compressed
    return Image, image_from_message


def image_from_message(message: Image) -> ImageArray:
    """Return an image as (H, W, 3) uint8, RGB; for rgb8 a view of the message's own bytes.

    Raises:
        ObservationError: unknown encoding, absurd size, or a step or data length that does not
            fit the size.
    """
    channels = _CHANNELS.get(message.encoding)
    if channels is None:
        raise ObservationError(
            f"image encoding '{message.encoding[:32]}' is not supported; "
            f'use one of: {", ".join(_CHANNELS)}'
        )
    height, width, step = message.height, message.width, message.step
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise ObservationError(f'image is {width} x {height}; each side must be 1 to {MAX_SIDE}')
    if message.is_bigendian not in (0, 1):
        raise ObservationError(f'image is_bigendian is {message.is_bigendian}; it is 0 or 1')
    if step < width * channels:
        raise ObservationError(
            f'image step is {step} bytes, a row of {width} {message.encoding} pixels needs '
            f'{width * channels}'
        )
    if len(message.data) != height * step:
        raise ObservationError(
            f'image data has {len(message.data)} bytes, {height} rows of {step} need '
            f'{height * step}'
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)
    pixels = rows[:, : width * channels].reshape(height, width, channels)
    if message.encoding == 'rgb8':
        return pixels
    import cv2

    code = getattr(cv2, _TO_RGB[message.encoding])
    return np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def depth_from_message(message: Image) -> DepthArray:
    """Return a depth image as (H, W) float32, metres (REP 118); for 32FC1 a view of the message.

    What is unknown stays as it is: NaN, infinite or 0.

    Raises:
        ObservationError: neither 32FC1 (metres) nor 16UC1 (millimetres), another byte order than
            this machine's, absurd size, or a step or data length that does not fit the size.
    """
    kind = _DEPTHS.get(message.encoding)
    if kind is None:
        raise ObservationError(
            f"depth encoding '{message.encoding[:32]}' is not supported; "
            f'use one of: {", ".join(_DEPTHS)}'
        )
    height, width, step = message.height, message.width, message.step
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise ObservationError(f'depth is {width} x {height}; each side must be 1 to {MAX_SIDE}')
    if message.is_bigendian != (sys.byteorder == 'big'):
        raise ObservationError(f'depth is_bigendian is {message.is_bigendian}, unlike here')
    size = np.dtype(kind).itemsize
    if step < width * size or step % size:
        raise ObservationError(
            f'depth step is {step} bytes, a row of {width} {message.encoding} pixels needs '
            f'{width * size}'
        )
    if len(message.data) != height * step:
        raise ObservationError(
            f'depth data has {len(message.data)} bytes, {height} rows of {step} need '
            f'{height * step}'
        )
    rows = np.frombuffer(message.data, kind).reshape(height, step // size)[:, :width]
    return rows if kind is np.float32 else rows.astype(np.float32) * np.float32(1e-3)


def depth_to_message(depth_m: DepthArray, stamp: Time, frame_id: str) -> Image:
    """Return a depth image (H, W) float32 in metres as a 32FC1 message."""
    height, width = depth_m.shape
    message = Image(
        header=Header(stamp=stamp, frame_id=frame_id),
        height=height,
        width=width,
        encoding='32FC1',
        is_bigendian=int(sys.byteorder == 'big'),
        step=width * 4,
    )
    message.data.frombytes(np.ascontiguousarray(depth_m, np.float32).data.cast('B'))
    return message


def image_from_compressed(message: CompressedImage) -> ImageArray:
    """Return a JPEG or PNG image as (H, W, 3) uint8, RGB.

    Raises:
        ObservationError: the bytes are no such image, or one that unfolds into an absurd size.
    """
    import cv2

    encoded = np.frombuffer(message.data, np.uint8)
    size = encoded_size(encoded.data)
    if size and (max(size) > MAX_SIDE or size[0] * size[1] > MAX_DECODED_PIXELS):
        raise ObservationError(
            f'compressed image is {size[0]} x {size[1]}; {MAX_DECODED_PIXELS} pixels at most'
        )
    try:
        bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if size else None
    except cv2.error:  # damaged
        bgr = None
    if bgr is None:
        raise ObservationError(
            f"compressed image of format '{message.format[:32]}' with {encoded.size} bytes "
            'cannot be decoded; send JPEG or PNG'
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), np.uint8)


def image_to_message(image: ImageArray, stamp: Time, frame_id: str) -> Image:
    """Return an RGB image (H, W, 3) uint8 as an rgb8 message.

    `frombytes` of a memoryview copies once, 0.05 ms at 640 x 480; assigning the array itself to
    `data` would take 124 ms.
    """
    height, width, channels = image.shape
    message = Image(
        header=Header(stamp=stamp, frame_id=frame_id),
        height=height,
        width=width,
        encoding='rgb8',
        step=width * channels,
    )
    message.data.frombytes(np.ascontiguousarray(image).data.cast('B'))
    return message


def joint_state_to_message(
    joints: Sequence[str], positions_rad: FloatArray, velocities_rad_s: FloatArray, stamp: Time
) -> JointState:
    """Return a joint state. Efforts are filled: empty optional sequences break some recorders."""
    return JointState(
        header=Header(stamp=stamp),
        name=list(joints),
        position=positions_rad.tolist(),
        velocity=velocities_rad_s.tolist(),
        effort=[0.0] * len(joints),
    )


def chunk_to_message(
    chunk: ActionChunk, joints: Sequence[str], gripper_joint: str = ''
) -> JointTrajectory:
    """Return a chunk as a trajectory: `time_from_start` of a point is the end of its step.

    So the last point says when the chunk ends, and a chunk of one step keeps its duration.
    Openings of the gripper (m) are the positions of one more joint, `gripper_joint`; its velocity
    is 0, and so are the positions of the arm's joints, which mean nothing.

    Raises:
        ObservationError: the chunk commands a gripper, and there is no `gripper_joint`.
    """
    step_ns = round(chunk.step_s * NANOSECONDS)
    points = [
        JointTrajectoryPoint(
            velocities=row,
            time_from_start=Duration(
                sec=(k + 1) * step_ns // NANOSECONDS, nanosec=(k + 1) * step_ns % NANOSECONDS
            ),
        )
        for k, row in enumerate(chunk.velocities_rad_s.tolist())
    ]
    names = list(joints)
    if chunk.gripper_openings_m is not None:
        if not gripper_joint:
            raise ObservationError('the policy commands a gripper, and the arm has none')
        for point, opening_m in zip(points, chunk.gripper_openings_m.tolist(), strict=True):
            point.velocities.append(0.0)
            point.positions = [0.0] * len(joints) + [opening_m]
        names.append(gripper_joint)
    header = Header(stamp=ns_to_stamp(chunk.stamp_ns))
    return JointTrajectory(header=header, joint_names=names, points=points)


def chunk_from_message(
    message: JointTrajectory, joints: Sequence[str], gripper_joint: str = ''
) -> ActionChunk:
    """Return the chunk that `chunk_to_message` wrote, with its joints in the order of `joints`.

    Whether velocities and openings are finite and within limits is for the guard to judge.

    Raises:
        ObservationError: other joints, a gripper that the arm has not, no steps, steps of unequal
            duration, or a point that does not hold one velocity (and opening) per joint.
    """
    names = list(message.joint_names)
    grips = bool(gripper_joint) and gripper_joint in names
    wanted = [*joints, gripper_joint] if grips else list(joints)
    if sorted(names) != sorted(wanted):
        named = [name[:64] for name in names[:16]]
        none = '' if gripper_joint else ' and no gripper'
        raise ObservationError(f'chunk is for joints {named}, the arm has {wanted}{none}')
    points = list(message.points)
    if not 0 < len(points) <= MAX_STEPS:
        raise ObservationError(f'chunk has {len(points)} steps; 1 to {MAX_STEPS} are possible')
    for k, point in enumerate(points):
        if len(point.velocities) != len(wanted):
            raise ObservationError(
                f'step {k} of the chunk has {len(point.velocities)} velocities, not {len(wanted)}'
            )
        if grips and len(point.positions) != len(wanted):
            raise ObservationError(
                f'step {k} of the chunk has {len(point.positions)} positions, not {len(wanted)}; '
                f'that of {gripper_joint} is the opening of the gripper'
            )
    ends_ns = np.array(
        [p.time_from_start.sec * NANOSECONDS + p.time_from_start.nanosec for p in points]
    )
    step_ns = int(ends_ns[0])
    if step_ns <= 0 or np.abs(np.diff(ends_ns) - step_ns).max(initial=0) > 1:
        raise ObservationError('steps of the chunk must have one duration, longer than zero')
    velocities = np.array([p.velocities for p in points], np.float64)
    order = [names.index(joint) for joint in joints]
    openings_m = None
    if grips:
        opening = names.index(gripper_joint)
        openings_m = np.array([p.positions[opening] for p in points], np.float64)
    return ActionChunk(
        velocities_rad_s=velocities[:, order],
        step_s=step_ns / NANOSECONDS,
        stamp_ns=stamp_to_ns(message.header.stamp),
        gripper_openings_m=openings_m,
    )
