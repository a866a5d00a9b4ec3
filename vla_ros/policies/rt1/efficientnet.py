"""EfficientNet whose every block is conditioned on a sentence (film_efficientnet_encoder.py).

B batch, C channels, H W rows and columns, D sentence.
Width and depth scale as in Tan and Le, EfficientNet, 2019: B0 is (1.0, 1.0), B3 is (1.2, 1.4).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vla_ros.policies.rt1.film import Film

EPSILON, MOMENTUM = 1e-3, 0.01  # Keras calls this momentum 0.99
STEM, TOP = 32, 1280
SQUEEZED = 0.25  # share of a block's input channels that squeeze and excitation passes through


@dataclass(frozen=True)
class Stage:
    """A row of table 1 of EfficientNet, for B0."""

    kernel: int
    repeats: int
    channels: int
    expand: int
    stride: int


STAGES = (
    Stage(3, 1, 16, 1, 1),
    Stage(3, 2, 24, 6, 2),
    Stage(5, 2, 40, 6, 2),
    Stage(3, 3, 80, 6, 2),
    Stage(5, 3, 112, 6, 1),
    Stage(5, 4, 192, 6, 2),
    Stage(3, 1, 320, 6, 1),
)


@dataclass(frozen=True)
class Scale:
    """How a network differs from B0.

    Attributes:
        width: factor of the channels.
        depth: factor of the repeats of a stage.
        stages: how many of the seven; five end at stride 16, seven at 32.
        expand: how many times a block widens its input, at most.
    """

    width: float = 1.0
    depth: float = 1.0
    stages: int = len(STAGES)
    expand: int = 6

    def blocks(self) -> Iterator[tuple[Stage, int, int]]:
        """Yield stage, channels and stride of every block."""
        for stage in STAGES[: self.stages]:
            scaled = replace(stage, expand=min(stage.expand, self.expand))
            for repeat in range(math.ceil(self.depth * stage.repeats)):
                yield (
                    scaled,
                    scale_channels(stage.channels, self.width),
                    1 if repeat else stage.stride,
                )


def scale_channels(channels: int, width: float) -> int:
    """Return channels times `width`, a multiple of 8 that is not below 90 % of it."""
    scaled = max(8, int(channels * width + 4) // 8 * 8)
    return scaled + 8 if scaled < 0.9 * channels * width else scaled


def convolution(
    channels_in: int, channels: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return padding, a convolution without bias, and batch normalisation.

    At stride 2 the padding is that of Keras for an image of unknown size, one less before than
    after: so 300 pixels make 9 rows, the 81 places of RT-1.
    """
    layers: list[nn.Module] = []
    if stride == 2:
        before, after = kernel // 2 - 1, kernel // 2
        layers.append(nn.ZeroPad2d((before, after, before, after)))
    inside = kernel // 2 if stride == 1 else 0
    layers.append(
        nn.Conv2d(channels_in, channels, kernel, stride, inside, groups=groups, bias=False)
    )
    layers.append(nn.BatchNorm2d(channels, EPSILON, MOMENTUM))
    return nn.Sequential(*layers)


class SqueezeExcite(nn.Module):
    """Channels weighed by what is in the whole map (Hu et al., Squeeze-and-excitation, 2017)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Return the weighed maps."""
        pooled_BC11 = maps_BCHW.mean((2, 3), keepdim=True)
        weights = self.expand(nn.functional.silu(self.reduce(pooled_BC11)))
        return maps_BCHW * weights.sigmoid()


class Block(nn.Module):
    """MBConv: widen, convolve each channel by itself, weigh the channels, narrow, add the input.

    Args:
        stage: kernel and expansion.
        channels_in: of the input.
        channels: of the output.
        stride: 2 halves the map.
        drop: share of the samples whose block is left out in training (stochastic depth).
    """

    def __init__(
        self, stage: Stage, channels_in: int, channels: int, stride: int, drop: float
    ) -> None:
        super().__init__()
        self.is_residual = stride == 1 and channels_in == channels
        self.drop = drop
        wide = channels_in * stage.expand
        self.widen = convolution(channels_in, wide) if stage.expand > 1 else None
        self.depthwise = convolution(wide, wide, stage.kernel, stride, groups=wide)
        self.excite = SqueezeExcite(wide, max(1, int(channels_in * SQUEEZED)))
        self.narrow = convolution(wide, channels)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Return the maps of the block."""
        out = maps_BCHW
        if self.widen is not None:
            out = nn.functional.silu(self.widen(out))
        out = self.narrow(self.excite(nn.functional.silu(self.depthwise(out))))
        return maps_BCHW + self._dropped(out) if self.is_residual else out

    def _dropped(self, maps_BCHW: Tensor) -> Tensor:
        if not self.training or not self.drop:
            return maps_BCHW
        kept_B111 = torch.rand(len(maps_BCHW), 1, 1, 1, device=maps_BCHW.device) >= self.drop
        return maps_BCHW * kept_B111 / (1 - self.drop)


class FilmEfficientNet(nn.Module):
    """Stem, blocks with a FiLM layer behind each, and a last 1x1 convolution.

    Args:
        scale: how wide, deep and long it is.
        sentence_width: D.
        drop: stochastic depth of the last block; it grows from zero.
    """

    def __init__(self, scale: Scale, sentence_width: int, drop: float = 0.0) -> None:
        super().__init__()
        channels = scale_channels(STEM, scale.width)
        self.stem = convolution(3, channels, 3, 2)
        blocks: list[Block] = []
        plan = list(scale.blocks())
        for stage, out, stride in plan:
            blocks.append(Block(stage, channels, out, stride, drop * len(blocks) / len(plan)))
            channels = out
        self.blocks = nn.ModuleList(blocks)
        self.films = nn.ModuleList(Film(out, sentence_width) for _, out, _ in plan)
        self.width = scale_channels(TOP, scale.width)
        self.top = convolution(channels, self.width)
        self.apply(_initialise)

    def forward(self, images_BCHW: Tensor, sentence_BD: Tensor) -> Tensor:
        """Return the last map (B, C, H, W) of normalised images."""
        images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
        maps_BCHW = nn.functional.silu(self.stem(images_BCHW))
        for block, film in zip(self.blocks, self.films, strict=True):
            maps_BCHW = film(block(maps_BCHW), sentence_BD)
        return nn.functional.silu(self.top(maps_BCHW))


def map_size(pixels: int, stages: int) -> int:
    """Return how many rows or columns of the last map an image side of `pixels` gives."""
    for kernel in (3, *(stage.kernel for stage in STAGES[:stages] if stage.stride == 2)):
        pixels = (pixels + 2 * (kernel // 2) - 1 - kernel) // 2 + 1
    return pixels


def _initialise(module: nn.Module) -> None:
    """Initialise convolutions as Keras' EfficientNet does; a FiLM layer stays the identity."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
        if module.bias is not None:
            nn.init.zeros_(module.bias)
