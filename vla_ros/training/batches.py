"""Batches of images, sentences and labels, drawn from frames that lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_ros.core.embodiment import Embodiment
from vla_ros.policies.preprocessing import proprioception
from vla_ros.sim.scene import OBJECT_KINDS, ObjectKind
from vla_ros.training.config import TrainConfig
from vla_ros.training.episodes import Frames
from vla_ros.training.hues import Named, draw_turn, like, names, turned
from vla_ros.training.sentences import SentenceSampler


@dataclass(frozen=True)
class Batch:
    """B images with M sentences each; sentence i belongs to image i // M."""

    images_BVHWC: Tensor
    ids_NL: Tensor
    mask_NL: Tensor
    proprioception_NP: Tensor
    asked_N: Tensor
    actions_NKA: Tensor
    targets_N3: Tensor
    pixels_N2: Tensor


class Batches:
    """Draws batches from frames that lie in memory."""

    def __init__(
        self, frames: Frames, embodiment: Embodiment, sampler: SentenceSampler, config: TrainConfig
    ) -> None:
        self._frames = frames
        self._sampler = sampler
        self._config = config
        self._rng = np.random.default_rng(config.seed + 1)
        self._left_out = set(OBJECT_KINDS).difference(sampler.kinds)
        self.proprioception = proprioception(
            embodiment, frames.joint_positions_rad.astype(np.float64)
        ).astype(np.float32)

    @property
    def generators(self) -> tuple[np.random.Generator, ...]:
        """Every source of random numbers that the next batch depends on."""
        return self._rng, self._sampler.generator

    def draw(self, device: torch.device) -> Batch:
        """Return a random batch."""
        rows = self._rng.integers(0, len(self._frames), self._config.batch_images)
        return self.take(rows, device)

    def take(self, rows: NDArray[np.int64], device: torch.device) -> Batch:
        """Return the frames of the given rows with fresh sentences."""
        frames, config = self._frames, self._config
        per_image = config.sentences_per_image
        images, named, alike = self._seen(rows)
        refusals = config.refusals_per_image
        ids, mask, asked = self._sampler.batch(named, per_image, refusals, alike)
        owner = np.repeat(rows, per_image)
        which = np.maximum(asked, 0)
        arrays = (
            images[:, None],
            ids,
            mask,
            self.proprioception[owner],
            asked,
            frames.velocities_rad_s[owner, which],
            frames.targets_m[owner, which],
            frames.pixels[owner, which],
        )
        return Batch(*(torch.from_numpy(array).to(device) for array in arrays))

    def _seen(
        self, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], list[Named], list[tuple[ObjectKind, ...]] | None]:
        """Return images, what is called how in them, and what may be taken for what.

        In a share of the images hues are turned.
        """
        images = self._frames.images[rows]
        kinds = [tuple(OBJECT_KINDS[k] for k in row) for row in self._frames.kinds[rows]]
        if not self._config.hues:
            return images, [*kinds], None
        turns = [
            draw_turn(those, self._left_out, self._rng)
            if self._rng.random() < self._config.hues
            else 0.0
            for those in kinds
        ]
        seen = np.stack([turned(i, by) if by else i for i, by in zip(images, turns, strict=True)])
        pairs = [*zip(kinds, turns, strict=True)]
        return seen, [names(*pair) for pair in pairs], [like(*pair) for pair in pairs]


def jitter(images_BVHWC: Tensor, config: TrainConfig) -> Tensor:
    """Change brightness and contrast of each image a little, and add noise."""
    images = images_BVHWC.float()
    shape = (len(images), 1, 1, 1, 1)
    gain = 1 + config.brightness * (2 * torch.rand(shape, device=images.device) - 1)
    offset = 128 * config.brightness * (2 * torch.rand(shape, device=images.device) - 1)
    images = (images - 128) * gain + 128 + offset
    return (images + config.noise * torch.randn_like(images)).clamp_(0, 255)
