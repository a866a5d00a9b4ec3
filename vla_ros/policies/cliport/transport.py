"""Transport: where to place what lies at the pick, and turned by how much.

TwoStreamTransportLangFusion: the surroundings of the pick, turned N times, are cropped before the
query network; its answers are correlated with that of the key network to the whole map.

B batch (always 1), N rotations, C channels, H and W rows and columns, D sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_ros.policies.cliport.rotation import rotated_crops
from vla_ros.policies.cliport.streams import TwoStream

BEGIN_SHARE = 0.1
Encode = Callable[[Tensor], Sequence[Tensor]]


class Transport(nn.Module):
    """One logit a rotation and pixel.

    Args:
        widths: of the image encoder's maps.
        sentence_width: D.
        base: channels of the streams.
        rotations: N, over a full turn.
        crop: side of the crops in pixels.
        channels: of key and query.
        skips: see `SpatialStream`.
    """

    point: Tensor

    def __init__(
        self, widths: Sequence[int], sentence_width: int, base: int, rotations: int, crop: int,
        channels: int, *, skips: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.rotations, self.crop = rotations, crop
        self.key = TwoStream(widths, sentence_width, base, channels, skips=skips)
        self.query = TwoStream(widths, sentence_width, base, channels, skips=skips)
        self.fuse_key = nn.Conv2d(2 * channels, channels, 1)
        self.fuse_query = nn.Conv2d(2 * channels, channels, 1)

        point = torch.zeros(channels, crop, crop)
        point[:, crop // 2, crop // 2] = crop
        self.register_buffer('point', point, persistent=False)

    def begin(self) -> None:
        """Let a new network's kernels be hardly more than the point that they begin from."""
        with torch.no_grad():
            self.fuse_query.weight.mul_(BEGIN_SHARE)

    def forward(
        self, maps_BCHW: Tensor, encode: Encode, sentence_BD: Tensor, pick: tuple[int, int]
    ) -> Tensor:
        """Return the logits, (N, H, W), for a pick at (row, column) of one map."""
        pad = self.crop // 2
        padded = functional.pad(maps_BCHW, (pad,) * 4)
        where, what = self.key(padded, encode(padded), sentence_BD)
        key = self.fuse_key(torch.cat([where, what], dim=1))
        kernels = self.kernels(padded, encode, sentence_BD, (pick[0] + pad, pick[1] + pad))
        return self.correlate(key, kernels)

    def kernels(
        self, maps_BCHW: Tensor, encode: Encode, sentence_BD: Tensor, pivot: tuple[int, int]
    ) -> Tensor:
        """Return the query network's answers to the crops around a pixel, (N, C, S, S).

        Added to a point in the middle: a new network says of each pixel what the key says of it.
        The paper's begins with what the key says of the whole surroundings, and takes far longer.
        """
        crops = rotated_crops(maps_BCHW[0], pivot, self.rotations, self.crop)
        sentences = sentence_BD.expand(self.rotations, -1)
        where, what = self.query(crops, encode(crops), sentences)
        return self.point + self.fuse_query(torch.cat([where, what], dim=1))

    def correlate(self, key_BCHW: Tensor, kernels_NCSS: Tensor) -> Tensor:
        """Return how well each kernel fits at each pixel of the map inside the padding, (N, H, W).

        Divided by the kernels' size, so that the logits of a new network are small. By Fourier
        transforms: on a CPU the gradients of a convolution with kernels so large take ten times
        as long. What wraps around lies in the padding.
        """
        size = key_BCHW.shape[-2:]
        spectra = torch.fft.rfft2(key_BCHW) * torch.fft.rfft2(kernels_NCSS, s=size).conj()
        found = torch.fft.irfft2(spectra.sum(1), s=size)
        rows, columns = (side - self.crop for side in size)
        return found[:, :rows, :columns] / self.crop
