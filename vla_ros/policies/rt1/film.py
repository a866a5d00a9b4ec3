"""FiLM: a sentence scales and shifts the channels of a map (Perez et al., 2017, eq. 2)."""

from __future__ import annotations

from torch import Tensor, nn


class Film(nn.Module):
    """(1 + γ) x + β, with γ and β linear in the sentence; B batch, C channels, H W, D sentence.

    Both projections begin with zeros, so that a pretrained network is unchanged at first
    (robotics_transformer, film_conditioning_layer.py).
    """

    def __init__(self, channels: int, sentence_width: int) -> None:
        super().__init__()
        self.scale = nn.Linear(sentence_width, channels)
        self.shift = nn.Linear(sentence_width, channels)
        for projection in (self.scale, self.shift):
            nn.init.zeros_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(self, maps_BCHW: Tensor, sentence_BD: Tensor) -> Tensor:
        """Return the conditioned maps."""
        scale_BC11 = self.scale(sentence_BD)[:, :, None, None]
        shift_BC11 = self.shift(sentence_BD)[:, :, None, None]
        return (1 + scale_BC11) * maps_BCHW + shift_BC11
