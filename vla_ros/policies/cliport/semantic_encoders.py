"""Encoders of the semantic stream: four maps of an RGB image, at strides 4, 8, 16 and 32.

B batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_ros.errors import CheckpointError
from vla_ros.policies.cliport.blocks import stage
from vla_ros.policies.cliport.config import SMALL, CliportConfig
from vla_ros.policies.pretrained import pretrained_model

MAPS = 4
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class SmallSemantic(nn.Module):
    """A small convolutional encoder, trained with the rest."""

    def __init__(self, base: int) -> None:
        super().__init__()
        self.widths = base * 2, base * 4, base * 8, base * 16
        self.stem = nn.Sequential(nn.Conv2d(3, base * 2, 4, 4), nn.ReLU())
        previous = self.widths[:1] + self.widths[:-1]
        self.stages = nn.ModuleList(
            stage(before, width, 1 if index == 0 else 2)
            for index, (before, width) in enumerate(zip(previous, self.widths, strict=True))
        )

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """Return the maps, fine to coarse."""
        maps = [self.stem(images_BCHW)]
        for layer in self.stages:
            maps.append(layer(maps[-1]))
        return maps[1:]


class FrozenSemantic(nn.Module):
    """CLIP's image encoder or a ResNet, by name through transformers; never trained.

    A vision transformer has maps of one stride; those of four depths serve.
    """

    def __init__(self, name: str, content: dict[str, Any] | None) -> None:
        super().__init__()
        backbone = pretrained_model(name, content)
        self.full_config: dict[str, Any] = backbone.config.to_dict()
        self.backbone = getattr(backbone, 'vision_model', backbone)
        config = self.backbone.config
        self.patch_size = int(getattr(config, 'patch_size', 0) or 0)
        if self.patch_size:
            layers = int(config.num_hidden_layers)
            self.layers = [max(1, round(layers * (k + 1) / MAPS)) for k in range(MAPS)]
            self.widths = (int(config.hidden_size),) * MAPS
        else:
            sizes = tuple(getattr(config, 'hidden_sizes', ()))
            if len(sizes) != MAPS:
                raise CheckpointError(
                    f"semantic: '{name}' is neither a vision transformer nor a ResNet of four "
                    "stages; use 'openai/clip-vit-base-patch32' or 'microsoft/resnet-50'"
                )
            self.widths = sizes
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """Return the maps, fine to coarse."""
        if not self.patch_size:
            found = self.backbone(images_BCHW, output_hidden_states=True)
            return list(found.hidden_states[-MAPS:])
        rows, columns = (-(-side // self.patch_size) for side in images_BCHW.shape[-2:])
        size = rows * self.patch_size, columns * self.patch_size
        images = functional.interpolate(images_BCHW, size, mode='bilinear', align_corners=False)
        found = self.backbone(images, output_hidden_states=True, interpolate_pos_encoding=True)
        return [
            found.hidden_states[layer][:, -rows * columns :].mT.unflatten(-1, (rows, columns))
            for layer in self.layers
        ]

    def train(self, mode: bool = True) -> FrozenSemantic:
        """Stay in evaluation mode."""
        return super().train(False)


def build_semantic(config: CliportConfig) -> SmallSemantic | FrozenSemantic:
    """Return the encoder that the configuration names.

    Raises:
        CheckpointError: it is nowhere, is no such encoder, or transformers is not installed.
    """
    if config.semantic == SMALL:
        return SmallSemantic(config.base_channels)
    content = dict(config.semantic_config) if config.semantic_config else None
    return FrozenSemantic(config.semantic, content)
