"""What passes between the layers: an observation, a chunk of actions, and a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ImageArray = NDArray[np.uint8]
DepthArray = NDArray[np.float32]

ARM_JOINTS = 7
TASKS = ('reach', 'push', 'pick', 'put')
"""What the arm can be asked to do with an object in the simulator."""
EXECUTION_HORIZON = 2
"""Steps of a chunk that are driven before a policy is asked again, unless it has its own."""


@dataclass(frozen=True)
class Observation:
    """All inputs of a policy at one instant.

    Attributes:
        images: camera name → (H, W, 3) uint8, RGB. Never written to; may be a view of a message.
        joint_positions_rad: (7,) in the order of the arm's YAML.
        instruction: the goal in words, as the operator gave it.
        stamp_ns: time of the oldest camera image in it, on the node clock.
        gripper_opening_m: distance between the finger tips; None where there is no gripper.
        depths_m: camera name → (H, W) float32, distance along the optical axis in metres.
    """

    images: Mapping[str, ImageArray]
    joint_positions_rad: FloatArray
    instruction: str
    stamp_ns: int = 0
    gripper_opening_m: float | None = None
    depths_m: Mapping[str, DepthArray] = field(default_factory=dict)


@dataclass(frozen=True)
class ActionChunk:
    """Consecutive actions of one inference.

    Attributes:
        velocities_rad_s: (K, 7) joint velocities; row k holds from `stamp + k * step_s` on.
        step_s: duration of one step.
        stamp_ns: time of the observation that the chunk answers.
        confidence: probability that the instruction names something that the policy sees. A
            policy that does not believe its instruction returns zero velocities.
        note: one line for the operator, empty when there is nothing to say.
        gripper_openings_m: (K,) wanted distances between the finger tips; None leaves the gripper.
    """

    velocities_rad_s: FloatArray
    step_s: float
    stamp_ns: int = 0
    confidence: float = 1.0
    note: str = field(default='')
    gripper_openings_m: FloatArray | None = None


class Policy(Protocol):
    """Observation → action chunk."""

    cameras: tuple[str, ...]
    """Names of the cameras that `infer` reads from an observation."""

    def reset(self) -> None:
        """Forget everything about the episode that ran so far."""
        ...

    def infer(self, observation: Observation) -> ActionChunk:
        """Predict the next actions; raises ObservationError for an observation it cannot use."""
        ...
