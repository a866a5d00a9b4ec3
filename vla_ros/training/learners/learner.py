"""What makes a kind of model trainable; one module a kind beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from vla_ros.core.embodiment import Embodiment
from vla_ros.policies.checkpoint import Manifest
from vla_ros.training.table_batches import Batch
from vla_ros.types import ARM_JOINTS, FloatArray

MIN_RANGE = 1e-3


@dataclass(frozen=True)
class Ranges:
    """Statistics of a data set: of states (P,) mean and std, of actions (A,) least and most.

    `action_std` is about zero for velocities, so that rest is rest, and about the mean for the
    opening.
    """

    state_mean: FloatArray
    state_std: FloatArray
    action_min: FloatArray
    action_max: FloatArray
    action_mean: FloatArray
    action_std: FloatArray

    def bins(self, size: int) -> tuple[FloatArray, FloatArray]:
        """Return least and most (A,) of the first `size` actions, velocities symmetric about 0."""
        least, most = self.action_min[:size].copy(), self.action_max[:size].copy()
        fastest = np.maximum(abs(least), abs(most))[:ARM_JOINTS]
        least[:ARM_JOINTS], most[:ARM_JOINTS] = -fastest, fastest
        return least, np.maximum(most, least + MIN_RANGE)


class Learner(Protocol):
    """Builds, judges and saves a model of one kind."""

    kind: str
    """As a manifest names it."""
    observation_horizon: int
    """T, frames of history in a batch."""
    chunk_steps: int
    """K, actions predicted at once."""

    def build(self, ranges: Ranges) -> Any:  # noqa: ANN401  a module of its own kind
        """Return a new model that normalises by the ranges of its data."""
        ...

    def losses(self, model: Any, batch: Batch) -> dict[str, Tensor]:  # noqa: ANN401
        """Return the terms of the loss, whose sum is minimised."""
        ...

    def errors(self, model: Any, batch: Batch) -> dict[str, float]:  # noqa: ANN401
        """Return what a person wants to know; `action_rad_s` is the mean error of velocities."""
        ...

    def save(
        self,
        model: Any,  # noqa: ANN401
        folder: Path,
        embodiment: Embodiment,
        training: dict[str, Any],
    ) -> Manifest:
        """Write the model as a checkpoint; `training` says what made it."""
        ...


def mean_of(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of the values that count, zero when none does."""
    return (values * counts).sum() / counts.sum().clamp_min(1)
