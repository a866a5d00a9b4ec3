"""The newest usable frame of every camera, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import ObservationError
from vla_ros.ros.joint_inputs import JointInputs, from_the_future
from vla_ros.types import ImageArray, Observation, Policy

MAX_FRAME_AGE_NS = 200_000_000


@dataclass
class _Camera:
    image: ImageArray | None = None
    stamp_ns: int = 0
    used: bool = True


class Frames:
    """Judges frames as they come; an observation takes one new frame of every camera.

    A camera that hangs repeats itself: the same stamp, or new stamps on identical pixels (a real
    sensor has noise). Such a frame counts as none.
    """

    def __init__(self, cameras: Sequence[str]) -> None:
        """Wait for frames of `cameras`."""
        self._cameras = {name: _Camera() for name in cameras}
        self._now_ns = 0

    def offer(self, camera: str, image: ImageArray, stamp_ns: int, now_ns: int) -> str:
        """Keep a frame if it is usable; return why it is not, empty when it is.

        Times are on the node's clock. The image is kept, not copied.
        """
        if now_ns < self._now_ns:  # simulated time was reset: what came before means nothing
            self._cameras = {name: _Camera() for name in self._cameras}
        self._now_ns = now_ns
        last = self._cameras[camera]
        if problem := from_the_future(stamp_ns, now_ns):
            return problem
        if now_ns - stamp_ns > MAX_FRAME_AGE_NS:
            return f'{(now_ns - stamp_ns) / 1e9:.3f} s old'
        if last.image is not None:
            if stamp_ns == last.stamp_ns:
                return 'frozen: same stamp as the last frame'
            if stamp_ns < last.stamp_ns:
                return f'{(last.stamp_ns - stamp_ns) / 1e9:.3f} s older than the last frame'
            if _same(image, last.image):
                last.stamp_ns = stamp_ns
                return 'frozen: same pixels as the last frame'
        last.image, last.stamp_ns, last.used = image, stamp_ns, False
        return ''

    def missing(self, now_ns: int) -> list[str]:
        """Return the cameras without a fresh frame."""
        return [
            name
            for name, camera in self._cameras.items()
            if camera.image is None or now_ns - camera.stamp_ns > MAX_FRAME_AGE_NS
        ]

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return width and height of the newest usable frame of every camera that sent one."""
        return {
            name: (camera.image.shape[1], camera.image.shape[0])
            for name, camera in self._cameras.items()
            if camera.image is not None
        }

    def take(self, now_ns: int) -> tuple[Mapping[str, ImageArray], int] | None:
        """Return one new frame per camera and the oldest of their stamps, or None."""
        cameras = self._cameras.values()
        if any(camera.used for camera in cameras):
            return None
        stamp_ns = min(camera.stamp_ns for camera in cameras)
        if now_ns - stamp_ns > MAX_FRAME_AGE_NS:
            return None
        for camera in cameras:
            camera.used = True
        images = {name: c.image for name, c in self._cameras.items() if c.image is not None}
        return images, stamp_ns


def check_inputs(
    policy: Policy,
    arm: Embodiment,
    frames: Frames,
    joints: JointInputs,
    now_ns: int,
    mono_ns: int,
) -> None:
    """See whether everything arrives that a policy needs before it may be active.

    A policy may say more than its cameras: `camera_sizes` (camera → width, height) that its images
    must at least have, and `reads_gripper`, true when it cannot do without the gripper's opening.

    Raises:
        ObservationError: a camera or a joint is silent, images are too small for the policy, or it
            reads a gripper that the arm has not.
    """
    if missing := set(frames.missing(now_ns)) & set(policy.cameras):
        topics = ', '.join(arm.cameras[name].topic for name in sorted(missing))
        raise ObservationError(f'no usable frame on {topics}')
    sizes = frames.sizes()
    for name, (width, height) in getattr(policy, 'camera_sizes', {}).items():
        if sizes[name][0] < width or sizes[name][1] < height:
            raise ObservationError(
                f'camera {name} sends {sizes[name][0]}x{sizes[name][1]}, the policy needs '
                f'{width}x{height}; raise its resolution'
            )
    fingers = reads_gripper(policy)
    if fingers and not arm.gripper:
        raise ObservationError(
            f"the policy needs the gripper's opening, and arm '{arm.name}' has no gripper in "
            f'{arm.source}; add it there, or choose another policy'
        )
    if silent := joints.missing(mono_ns, fingers=fingers):
        raise ObservationError(
            f'no fresh state of {", ".join(silent)} on {arm.joint_states_topic}'
        )


def blank_observation(policy: Policy, arm: Embodiment, instruction: str) -> Observation:
    """Return an observation to warm up with: black images, nothing known of depth, arm at home."""
    cameras = {name: arm.cameras[name] for name in policy.cameras}
    images = {n: np.zeros((c.height, c.width, 3), np.uint8) for n, c in cameras.items()}
    opening_m = arm.gripper.opening_max_m if arm.gripper else None
    depths = {
        name: np.zeros((cameras[name].height, cameras[name].width), np.float32)
        for name in getattr(policy, 'depth_cameras', ())
    }
    return Observation(images, arm.home_rad, instruction, 0, opening_m, depths)


def reads_gripper(policy: Policy) -> bool:
    """Return whether a policy cannot do without the gripper's opening."""
    return bool(getattr(policy, 'reads_gripper', False))


def _same(image: ImageArray, other: ImageArray) -> bool:
    """Compare every 16th row first: in nearly all frames that already tells them apart."""
    return np.array_equal(image[::16], other[::16]) and np.array_equal(image, other)
