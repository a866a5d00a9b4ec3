"""What makes a kind of model trainable: a batch that all models share, and a learner a kind.

B rows, T frames, V views, K chunk steps, A action (7 joint velocities and, where there is one, the
gripper's opening), P proprioception (7 joint positions, tool position, opening).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import choose
from vla_ros.policies.checkpoint import Manifest
from vla_ros.types import FloatArray

KINDS = ('cliport', 'rt1', 'vla')
"""Kinds of models; `training/learners/<kind>.py` makes one trainable by its `make_learner`."""


@dataclass(frozen=True)
class Batch:
    """B frames with a sentence each, SI units.

    Rows come in groups of `rows_per_frame` that show the same frame and differ in their sentence,
    so that a model may encode `images_BTVHWC[::rows_per_frame]` and repeat what it got.

    Attributes:
        images_BTVHWC: uint8 RGB, T frames one step apart, the newest last.
        instructions: B sentences.
        state_BTP: proprioception at those frames.
        actions_BKA: what is right to do after the newest frame.
        valid_BK: whether the episode goes on for so long; what is not valid is zero.
        grounded_B: whether the sentence can be followed in this scene. Where it cannot, actions
            are zero and points are NaN.
        points_B23: where the object is, and where it has to end (reach: where the tool has to
            end), in metres in the base frame; NaN where unknown.
        pixels_B22: where those points lie in the newest image of the first view, as fractions
            (x, y) of the image; NaN where unknown.
    """

    images_BTVHWC: Tensor
    instructions: tuple[str, ...]
    state_BTP: Tensor
    actions_BKA: Tensor
    valid_BK: Tensor
    grounded_B: Tensor
    points_B23: Tensor
    pixels_B22: Tensor
    rows_per_frame: int = 1

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        moved = {
            f.name: value.to(device, non_blocking=True)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True)
class Statistics:
    """What inputs and outputs of a model are normalised with: states (P,), actions (A,)."""

    state_mean: FloatArray
    state_std: FloatArray
    action_mean: FloatArray
    action_std: FloatArray
    action_min: FloatArray
    action_max: FloatArray


@dataclass(frozen=True)
class DataSpec:
    """What the configuration of a model takes from its data.

    Attributes:
        cameras: names, without `observation.images.`.
        image_width: of all cameras.
        image_height: of all cameras.
        step_s: time from one frame to the next.
        state_size: P.
        gripper: whether actions end with the opening of a gripper.
        vocabulary: every word that a sentence of this training can hold, sorted.
    """

    cameras: tuple[str, ...]
    image_width: int
    image_height: int
    step_s: float
    state_size: int
    gripper: bool
    vocabulary: tuple[str, ...]


class Learner(Protocol):
    """Makes a kind of model trainable.

    Attributes:
        kind: as a manifest names it.
        observation_horizon: T, how many frames the model is shown.
        chunk_steps: K, how many actions it learns to predict.
    """

    kind: str
    observation_horizon: int
    chunk_steps: int

    def build(self, statistics: Any) -> nn.Module:  # noqa: ANN401 - Statistics, or fields of it
        """Return a new model that normalises with the statistics of its data."""
        ...

    def losses(self, model: Any, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401 - its own
        """Return the terms of the loss, which are summed; means over the rows that count."""
        ...

    def errors(self, model: Any, batch: Any) -> dict[str, float]:  # noqa: ANN401 - its own
        """Return errors in units of people; `action_rad_s` is the mean error of velocities."""
        ...

    def save(
        self,
        model: Any,
        folder: Path,
        embodiment: Embodiment,
        training: dict[str, Any],  # noqa: ANN401
    ) -> Manifest:
        """Write the model as a checkpoint; `training` says what made it."""
        ...

    def restore(self, folder: Path, embodiment: Embodiment) -> nn.Module:
        """Return the model of a checkpoint, to go on with it."""
        ...


def make_learner(kind: str, spec: DataSpec, model: Mapping[str, Any]) -> Learner:
    """Return the learner of a kind of model for some data.

    Args:
        kind: one of `KINDS`.
        spec: what the data is like.
        model: fields of the model's configuration that shall differ from its defaults.

    Raises:
        ConfigError: an unknown kind, or an unknown or impossible field of its configuration.
    """
    choose('policy kind', kind, KINDS)
    module = importlib.import_module(f'vla_ros.training.learners.{kind}')
    return module.make_learner(spec, model)


def load_learner(kind: str, folder: Path) -> Learner:
    """Return the learner of a checkpoint, with its configuration.

    Raises:
        CheckpointError: no checkpoint, or a damaged one.
    """
    choose('policy kind', kind, KINDS)
    module = importlib.import_module(f'vla_ros.training.learners.{kind}')
    return module.load_learner(folder)
