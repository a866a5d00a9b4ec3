"""The one way from an observation to tensors, in training and in serving."""

from __future__ import annotations

import cv2
import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.core.kinematics import tool_position
from vla_ros.errors import ConfigError, ObservationError
from vla_ros.types import ARM_JOINTS, FloatArray, ImageArray, Observation

PROPRIOCEPTION_SIZE = ARM_JOINTS + 3


def scale_image(image: ImageArray, width: int, height: int) -> ImageArray:
    """Return the image's centre at the wanted size, (height, width, 3) uint8 RGB.

    Cuts the longer side so that the aspect ratio is kept, then averages over areas. An image
    that has the size already is returned as it is.

    Raises:
        ObservationError: not an (H, W, 3) uint8 image, or smaller than wanted.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ObservationError(
            f'image of shape {image.shape} and type {image.dtype}; (H, W, 3) uint8 is needed'
        )
    rows, columns = image.shape[:2]
    if rows < height or columns < width:
        raise ObservationError(
            f'image of {columns}x{rows} is smaller than the {width}x{height} '
            'that the policy needs; raise the resolution of the camera'
        )
    if (rows, columns) == (height, width):
        return image
    used_rows = min(rows, columns * height // width)
    used_columns = min(columns, rows * width // height)
    top, left = (rows - used_rows) // 2, (columns - used_columns) // 2
    centre = image[top : top + used_rows, left : left + used_columns]
    scaled = cv2.resize(centre, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled, dtype=np.uint8)


def proprioception(
    embodiment: Embodiment,
    joint_positions_rad: FloatArray,
    gripper_opening_m: FloatArray | None = None,
) -> FloatArray:
    """Return joint positions (rad), the tool's position (m, base frame) and the opening (m).

    Args:
        embodiment: the arm.
        joint_positions_rad: (..., 7).
        gripper_opening_m: (...,) distance between the finger tips; None leaves it out.

    Returns:
        (..., 10), or (..., 11) with an opening.

    Raises:
        ConfigError: the arm's YAML has no kinematics.
    """
    if embodiment.kinematics is None:
        raise ConfigError(
            f"arm '{embodiment.name}' has no kinematics in {embodiment.source}; "
            'the policy needs the position of its tool'
        )
    tool_m = tool_position(embodiment.kinematics, joint_positions_rad)
    parts = [joint_positions_rad, tool_m]
    if gripper_opening_m is not None:
        parts.append(np.asarray(gripper_opening_m)[..., None])
    return np.concatenate(parts, axis=-1)


def observed_state(embodiment: Embodiment, observation: Observation, size: int) -> FloatArray:
    """Return the proprioception (P,) that a model of `size` P wants: 10, or 11 with the opening.

    Raises:
        ObservationError: the model wants the gripper's opening, and the observation has none.
    """
    opening = None
    if size > PROPRIOCEPTION_SIZE:
        if observation.gripper_opening_m is None:
            raise ObservationError(
                "no gripper opening, which the policy needs; the arm's joint states must hold the "
                f"joints of its gripper, see 'gripper' in {embodiment.source}"
            )
        opening = np.array(observation.gripper_opening_m)
    return proprioception(embodiment, observation.joint_positions_rad, opening)
