"""What the streams are built of; no batch norm, since a batch is one scene.

B batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Residual(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut, which is a convolution where it must be.

    With `shortcut` always one, this is the first block of a stage; without, the second.
    """

    def __init__(
        self, channels_in: int, channels: tuple[int, int, int], stride: int = 1, *,
        shortcut: bool, final_relu: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        first, second, third = channels
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, first, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(second, third, 1, bias=False),
        )
        self.shortcut = (
            nn.Conv2d(channels_in, third, 1, stride, bias=False) if shortcut else nn.Identity()
        )
        self.final_relu = final_relu

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Return the maps of the block."""
        summed = self.body(maps_BCHW) + self.shortcut(maps_BCHW)
        return functional.relu(summed) if self.final_relu else summed


def stage(channels_in: int, channels: int, stride: int = 1) -> nn.Sequential:
    """Return two residual blocks."""
    widths = channels, channels, channels
    return nn.Sequential(
        Residual(channels_in, widths, stride, shortcut=True),
        Residual(channels, widths, shortcut=False),
    )


class Up(nn.Module):
    """Twice the size, beside the maps of a skip, through two convolutions (U-Net)."""

    def __init__(self, channels_in: int, channels_skip: int, channels: int) -> None:
        super().__init__()
        total = channels_in + channels_skip
        self.body = nn.Sequential(
            nn.Conv2d(total, total // 2, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(total // 2, channels, 3, 1, 1), nn.ReLU(),
        )  # fmt: skip

    def forward(self, maps_BCHW: Tensor, skip_BCHW: Tensor, like_BCHW: Tensor) -> Tensor:
        """Return the maps at the size of `like_BCHW`."""
        parts = [resized(maps_BCHW, like_BCHW), resized(skip_BCHW, like_BCHW)]
        return self.body(torch.cat(parts, dim=1))


def resized(maps_BCHW: Tensor, like_BCHW: Tensor) -> Tensor:
    """Return the maps at the rows and columns of others."""
    size = like_BCHW.shape[-2:]
    if maps_BCHW.shape[-2:] == size:
        return maps_BCHW
    return functional.interpolate(maps_BCHW, size=size, mode='bilinear', align_corners=False)
