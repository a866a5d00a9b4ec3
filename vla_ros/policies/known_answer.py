"""A known input and what a policy must answer to it: proof that normalisation is applied."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import CheckpointError
from vla_ros.policies.checkpoint import MANIFEST, Manifest
from vla_ros.types import FloatArray, ImageArray, Observation

INSTRUCTION = 'reach the red cube'
GRIPPER_OPENING_M = 0.02
TOLERANCE_RAD_S = {'cpu': 0.01, 'cuda': 0.1}  # float32 on other machines; bfloat16


class PredictingPolicy(Protocol):
    """A policy whose prediction can be asked for, whether the policy believes it or not."""

    device: str
    camera_sizes: dict[str, tuple[int, int]]

    def predict(self, observation: Observation) -> tuple[FloatArray, float]:
        """Return velocities (K, 7) in rad/s and the confidence."""
        ...

    def reset(self) -> None:
        """Forget the episode."""
        ...


def known_observation(
    embodiment: Embodiment,
    cameras: Mapping[str, tuple[int, int]],
    instruction: str = INSTRUCTION,
) -> Observation:
    """Return an observation that is the same everywhere: a pattern, the arm at home, a sentence.

    The pattern has the model's own size, so that no image scaling is part of it.
    """
    images = {name: _pattern(*size) for name, size in cameras.items()}
    return Observation(
        images, embodiment.home_rad, instruction, gripper_opening_m=GRIPPER_OPENING_M
    )


def answer(
    policy: PredictingPolicy, embodiment: Embodiment, instruction: str = INSTRUCTION
) -> FloatArray:
    """Return the first velocities (7,) in rad/s for the known observation."""
    observation = known_observation(embodiment, policy.camera_sizes, instruction)
    velocities, _ = policy.predict(observation)
    policy.reset()
    return velocities[0]


def check_known_answer(
    folder: Path,
    policy: PredictingPolicy,
    manifest: Manifest,
    embodiment: Embodiment,
    instruction: str = INSTRUCTION,
) -> float | None:
    """Return by how much the answer differs (rad/s), None where the manifest has none.

    Args:
        folder: of the checkpoint.
        policy: made from it.
        manifest: its manifest.
        embodiment: the arm.
        instruction: another one for a policy that knows only the sentences of its own list.

    Raises:
        CheckpointError: the answer is another one than the manifest's.
    """
    if manifest.known_answer is None:
        return None
    expected = np.array(manifest.known_answer)
    found = answer(policy, embodiment, instruction)
    tolerance = TOLERANCE_RAD_S[policy.device.partition(':')[0]]
    off = np.abs(found - expected).max() if expected.shape == found.shape else np.inf
    if not off <= tolerance:
        raise CheckpointError(
            f'{folder / MANIFEST}: known_answer: for the known input the policy gives '
            f'{np.round(found, 3).tolist()} rad/s, the manifest says '
            f'{np.round(expected, 3).tolist()}; it was written by another version, or '
            'normalisation is not applied; train or export the checkpoint again'
        )
    return float(off)


def _pattern(width: int, height: int) -> ImageArray:
    y, x, channel = np.ogrid[:height, :width, :3]
    return ((7 * x + 13 * y + 85 * channel) % 256).astype(np.uint8)
