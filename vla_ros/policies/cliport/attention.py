"""Attention: which pixel to pick at (TwoStreamAttentionLangFusion).

B batch, C channels, H and W rows and columns, D sentence.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vla_ros.policies.cliport.streams import TwoStream


class Attention(nn.Module):
    """One logit a pixel: the sum of what both streams say; a softmax over the pixels follows."""

    def __init__(
        self, widths: Sequence[int], sentence_width: int, base: int, *, skips: bool
    ) -> None:
        super().__init__()
        self.streams = TwoStream(widths, sentence_width, base, 1, skips=skips)

    def forward(self, maps_BCHW: Tensor, encoded: Sequence[Tensor], sentence_BD: Tensor) -> Tensor:
        """Return the logits, (B, H, W)."""
        where, what = self.streams(maps_BCHW, encoded, sentence_BD)
        return (where + what).squeeze(1)
