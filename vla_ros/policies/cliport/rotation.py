"""Maps turned about one of their pixels.

B batch, N rotations, C channels, H and W rows and columns.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sampled(maps_BCHW: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return maps read at places given in pixels; 0 outside. `rows`, `columns`: (B, H', W')."""
    height, width = maps_BCHW.shape[-2:]
    x, y = (2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1
    grid = torch.stack([x, y], dim=-1)
    return functional.grid_sample(maps_BCHW, grid, mode='bilinear', align_corners=False)


def rotated_crops(maps_CHW: Tensor, pivot: tuple[int, int], count: int, size: int) -> Tensor:
    """Return crops around a pixel, the n-th turned by n/count of a full turn, (N, C, S, S).

    What is at the pivot comes to (S/2, S/2). Turns are counter-clockwise as the map is seen.
    """
    angles = torch.arange(count, device=maps_CHW.device) * (2 * torch.pi / count)
    cos, sin = angles.cos().view(-1, 1, 1), angles.sin().view(-1, 1, 1)
    offset = torch.arange(size, device=maps_CHW.device, dtype=maps_CHW.dtype) - size // 2
    down, right = offset.view(1, -1, 1), offset.view(1, 1, -1)
    rows = pivot[0] + cos * down + sin * right
    columns = pivot[1] - sin * down + cos * right
    return sampled(maps_CHW.expand(count, -1, -1, -1), rows, columns)
