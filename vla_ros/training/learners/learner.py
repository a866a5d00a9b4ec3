"""What makes a kind of model trainable; one module a kind beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, distributed

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
    """Builds, judges and saves a model of one kind.

    One whose model knows the sentences of its data and no others has `verbatim = True`.
    """

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


def shared_mean(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of the values that count, over the batches of all processes.

    What counts may be more here than there; a mean of the processes' means would not be the mean.
    So every process has to ask for it, whether anything counts there or not.
    """
    counts = counts.expand_as(values)
    total = counts.sum().to(values.dtype)
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(total)
        total = total / distributed.get_world_size()  # as gradients are averaged afterwards
    return torch.where(counts, values, 0.0).sum() / torch.where(total > 0, total, 1.0)


def verbatim(learner: Learner) -> bool:
    """Tell whether a learner's model knows the sentences of its data and no others."""
    return getattr(learner, 'verbatim', False)


def mean_of(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of the values that count, zero when none does."""
    return (values * counts).sum() / counts.sum().clamp_min(1)
