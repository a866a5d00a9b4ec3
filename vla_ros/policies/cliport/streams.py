"""The two streams: where things are (spatial) and what the sentence means (semantic).

Shridhar et al., CLIPort: What and Where Pathways for Robotic Manipulation, 2021, section 3.2 and
appendix; a spatial ResNet gives its decoder's maps to the semantic decoder, which the sentence is
multiplied into at three stages. Maps are never larger than the input; the paper's code doubles
them once more and scales back.

B batch, C channels, H and W rows and columns, D width of a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from vla_ros.policies.cliport.blocks import Residual, Up, resized, stage

INPUT_CHANNELS = 6
"""Red, green, blue, and the height three times."""
THINNEST = 16
"""Channels that the last layers have at least: those of the paper's; two learn nothing."""


class SpatialStream(nn.Module):
    """A fully convolutional ResNet over colours and heights, with a decoder.

    Args:
        base: channels at full resolution.
        channels_out: of the stream's maps.
        skips: the decoder is given the maps of the encoder, too.
    """

    def __init__(self, base: int, channels_out: int, *, skips: bool) -> None:
        super().__init__()
        self.skips = skips
        self.stem = nn.Sequential(nn.Conv2d(INPUT_CHANNELS, base, 3, 1, 1), nn.ReLU())
        self.encoder = nn.Sequential(
            stage(base, base),
            *(stage(base << k, base << (k + 1), 2) for k in range(4)),
        )
        self.decoder = nn.ModuleList(stage(base << k, base << k >> 1) for k in (4, 3, 2, 1, 0))
        thin = max(base // 4, THINNEST)
        self.head = nn.Sequential(
            Residual(base // 2, (thin, thin, channels_out), shortcut=True, final_relu=False),
            Residual(channels_out, (thin, thin, channels_out), shortcut=False, final_relu=False),
        )
        self.lateral_widths = tuple((2 * base) << k >> 2 for k in (5, 4, 3, 2, 1, 0))

    def forward(self, maps_BCHW: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the stream's maps (B, C, H, W), and six of its decoder, coarse to fine."""
        encoded = [self.stem(maps_BCHW)]
        for layer in self.encoder:
            encoded.append(layer(encoded[-1]))
        *finer, maps = encoded[1:]
        laterals: list[Tensor] = []
        for layer, skip in zip(self.decoder, (*reversed(finer), None), strict=True):
            laterals.append(maps)
            maps = layer(maps)
            if skip is not None:
                maps = resized(maps, skip)
                maps = maps + skip if self.skips else maps
        laterals.append(maps)
        return self.head(maps), laterals


class SemanticStream(nn.Module):
    """Maps of an image encoder, the sentence multiplied in, beside what the spatial one saw."""

    def __init__(
        self, widths: Sequence[int], laterals: Sequence[int], sentence_width: int, base: int,
        channels_out: int,
    ) -> None:  # fmt: skip
        super().__init__()
        top = base << 4
        after = tuple(max(top >> k, THINNEST) for k in range(1, 7))
        stages = top, *after[:2]
        self.entry = nn.Sequential(nn.Conv2d(widths[-1], top, 3, 1, 1, bias=False), nn.ReLU())
        self.words = nn.ModuleList(nn.Linear(sentence_width, width) for width in stages)
        self.ups = nn.ModuleList(
            Up(width, skip, thinner)
            for width, skip, thinner in zip(
                stages, (widths[2], widths[1], widths[0]), after[:3], strict=True
            )
        )
        self.layers = nn.ModuleList(stage(*widths) for widths in pairwise(after[2:]))
        self.fusions = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width + lateral, width, 1, bias=False), nn.ReLU())
            for width, lateral in zip(after, laterals, strict=True)
        )
        self.head = nn.Conv2d(after[-1], channels_out, 1)

    def forward(
        self, encoded: Sequence[Tensor], sentence_BD: Tensor, laterals: Sequence[Tensor]
    ) -> Tensor:
        """Return the stream's maps, (B, C, H, W).

        Args:
            encoded: four maps of the image, fine to coarse.
            sentence_BD: what the image is to be looked at for.
            laterals: six of the spatial stream.
        """
        maps = self.entry(encoded[-1])
        skips = encoded[-2], encoded[-3], encoded[-4]
        for k, (words, up, skip) in enumerate(zip(self.words, self.ups, skips, strict=True)):
            maps = maps * words(sentence_BD)[:, :, None, None]
            maps = self.fusions[k](torch.cat([up(maps, skip, laterals[k]), laterals[k]], dim=1))
        for k, layer in enumerate(self.layers, start=3):
            maps = resized(layer(maps), laterals[k])
            maps = self.fusions[k](torch.cat([maps, laterals[k]], dim=1))
        return self.head(maps)


class TwoStream(nn.Module):
    """Both streams; whoever uses them fuses what they say."""

    def __init__(
        self, widths: Sequence[int], sentence_width: int, base: int, channels_out: int,
        *, skips: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.spatial = SpatialStream(base, channels_out, skips=skips)
        laterals = self.spatial.lateral_widths
        self.semantic = SemanticStream(widths, laterals, sentence_width, base, channels_out)

    def forward(
        self, maps_BCHW: Tensor, encoded: Sequence[Tensor], sentence_BD: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the spatial and the semantic maps, each (B, C, H, W)."""
        where, laterals = self.spatial(maps_BCHW)
        return where, self.semantic(encoded, sentence_BD, laterals)
