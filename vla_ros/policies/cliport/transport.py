"""Transport: where to place what lies at the pick, and turned by how much.

TwoStreamTransportLangFusion: the surroundings of the pick, turned N times, are cropped before the
query network; its answers are correlated with that of the key network to the whole map.

B batch, N rotations, C channels, H and W rows and columns, D sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_ros.policies.cliport.rotation import rotated_crops
from vla_ros.policies.cliport.streams import TwoStream

BEGIN_SHARE = 0.01
Encode = Callable[[Tensor], Sequence[Tensor]]
Pixel = tuple[int, int]


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
        point[:, crop // 2, crop // 2] = crop**2
        self.register_buffer('point', point, persistent=False)

    def begin(self) -> None:
        """Let a new network's kernels be hardly more than the point that they begin from."""
        with torch.no_grad():
            self.fuse_query.weight.mul_(BEGIN_SHARE)

    def forward(
        self, maps_BCHW: Tensor, encode: Encode, sentence_BD: Tensor, picks: Sequence[Pixel]
    ) -> Tensor:
        """Return the logits, (B, N, H, W), for a pick at a (row, column) of each map.

        Around the map nothing is said for or against; the paper's code surrounds the map itself
        with zeros, which costs two thirds more.
        """
        pad = (self.crop // 2,) * 4
        where, what = self.key(maps_BCHW, encode(maps_BCHW), sentence_BD)
        key = self.fuse_key(torch.cat([where, what], dim=1))
        kernels = self.kernels(maps_BCHW, encode, sentence_BD, picks)
        return self.correlate(functional.pad(key, pad), kernels)

    def kernels(
        self, maps_BCHW: Tensor, encode: Encode, sentence_BD: Tensor, pivots: Sequence[Pixel]
    ) -> Tensor:
        """Return the query network's answers to the crops around a pixel, (B, N, C, S, S).

        Added to a point in the middle: a new network says of each pixel what the key says of it.
        The paper's begins with what the key says of the whole surroundings, and takes far longer.
        """
        turned = [
            rotated_crops(maps_CHW, pivot, self.rotations, self.crop)
            for maps_CHW, pivot in zip(maps_BCHW, pivots, strict=True)
        ]
        crops, sentences = torch.cat(turned), sentence_BD.repeat_interleave(self.rotations, 0)
        where, what = self.query(crops, encode(crops), sentences)
        found = self.point + self.fuse_query(torch.cat([where, what], dim=1))
        return found.unflatten(0, (-1, self.rotations))

    def correlate(self, key_BCHW: Tensor, kernels_BNCSS: Tensor) -> Tensor:
        """Return how well kernels fit at each pixel of the map inside the padding, (B, N, H, W).

        A mean over the kernels' pixels, so that the empty table, which is most of them, does not
        outweigh the rest. By Fourier transforms: on a CPU the gradients of a convolution with
        kernels so large take ten times as long. What wraps around lies in the padding.
        """
        size = key_BCHW.shape[-2:]
        kernels = torch.fft.rfft2(kernels_BNCSS, s=size).conj()
        spectra = (torch.fft.rfft2(key_BCHW).unsqueeze(1) * kernels).sum(2)
        rows, columns = (side - self.crop for side in size)
        return torch.fft.irfft2(spectra, s=size)[..., :rows, :columns] / self.crop**2
