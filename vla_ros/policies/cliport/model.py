"""The CLIPort network, top down (Shridhar et al., 2021).

B batch, L words, D sentence, C channels, H and W rows and columns, N rotations.

A sentence and a height map give a pick (attention); the surroundings of the pick are compared with
the whole map (transport), which gives a place and a rotation. Beside the paper, which has one
primitive for a tool, a linear layer on the sentence says which of the mover's primitives it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vla_ros.policies.cliport.attention import Attention
from vla_ros.policies.cliport.blocks import Residual
from vla_ros.policies.cliport.config import PRIMITIVES, CliportConfig
from vla_ros.policies.cliport.language import build_text
from vla_ros.policies.cliport.semantic_encoders import (
    CLIP_MEAN,
    CLIP_STD,
    SmallSemantic,
    build_semantic,
)
from vla_ros.policies.cliport.streams import SemanticStream
from vla_ros.policies.cliport.transport import Transport


class CliportModel(nn.Module):
    """Attention and transport, which share the encoders of images and of sentences."""

    height_mean: Tensor
    height_std: Tensor
    image_mean: Tensor
    image_std: Tensor

    def __init__(self, config: CliportConfig) -> None:
        super().__init__()
        self.config = config
        self.text = build_text(config)
        self.semantic = build_semantic(config)
        widths, base = self.semantic.widths, config.base_channels
        self.attention = Attention(widths, self.text.width, base, skips=config.skips)
        self.transport = Transport(
            widths, self.text.width, base, config.rotations, config.crop_pixels,
            config.kernel_channels, skips=config.skips,
        )  # fmt: skip
        self.primitive = nn.Linear(self.text.width, len(PRIMITIVES))
        for part in (self.attention, self.transport):
            part.apply(_begin)
        self.transport.begin()
        if isinstance(self.semantic, SmallSemantic):
            self.semantic.apply(_begin)
        self.register_buffer('image_mean', torch.tensor(CLIP_MEAN).view(3, 1, 1))
        self.register_buffer('image_std', torch.tensor(CLIP_STD).view(3, 1, 1))
        self.register_buffer('height_mean', torch.tensor([0.006]))
        self.register_buffer('height_std', torch.tensor([0.018]))

    def encode_language(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return the sentences, (B, D)."""
        return self.text(ids_BL, mask_BL)

    def inputs(self, colours_BHWC: Tensor, heights_BHW: Tensor) -> Tensor:
        """Return normalised maps (B, 6, H, W): colours (0 to 255), and heights (m) three times."""
        colours = colours_BHWC.permute(0, 3, 1, 2).to(self.image_mean.dtype) / 255
        colours = (colours - self.image_mean) / self.image_std
        heights = ((heights_BHW - self.height_mean) / self.height_std).unsqueeze(1)
        return torch.cat([colours, heights.expand(-1, 3, -1, -1)], dim=1)

    def encode(self, maps_BCHW: Tensor) -> list[Tensor]:
        """Return the semantic maps of the colours in the inputs."""
        return self.semantic(maps_BCHW[:, :3])

    def pick(self, maps_BCHW: Tensor, sentence_BD: Tensor) -> Tensor:
        """Return the logits of the pick, (B, H, W)."""
        return self.attention(maps_BCHW, self.encode(maps_BCHW), sentence_BD)

    def place(
        self, maps_BCHW: Tensor, sentence_BD: Tensor, picks: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Return the logits of the place after a pick at a (row, column) each, (B, N, H, W)."""
        return self.transport(maps_BCHW, self.encode, sentence_BD, picks)


def _begin(layer: nn.Module) -> None:
    """Draw weights that keep the size of the signals: nothing else normalises them here.

    The last convolution of a residual block begins small, and the sentence multiplies by one.
    """
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, Residual):
        last = layer.body[-1]
        assert isinstance(last, nn.Conv2d)
        with torch.no_grad():
            last.weight.mul_(0.3)
    elif isinstance(layer, SemanticStream):
        for words in layer.words:
            assert isinstance(words, nn.Linear)
            nn.init.ones_(words.bias)
