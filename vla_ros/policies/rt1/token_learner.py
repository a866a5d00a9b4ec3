"""TokenLearner 1.1 (Ryoo et al., TokenLearner, 2021): a few tokens that look at the image.

B batch, N places, E embedding, M tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-6


class TokenLearner(nn.Module):
    """LayerNorm, an MLP to M maps, softmax over the places, weighted sums of the un-normed input.

    As token_learner.py of robotics_transformer, which RT-1 uses without dropout.
    """

    def __init__(self, width: int, hidden: int, tokens: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        first, last = nn.Linear(width, hidden), nn.Linear(hidden, tokens)
        for layer in (first, last):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)
        self.maps = nn.Sequential(first, nn.GELU(approximate='tanh'), last)

    def forward(self, places_BNE: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens (B, M, E) and the logits of their maps (B, M, N)."""
        logits_BMN = self.maps(self.norm(places_BNE)).transpose(1, 2)
        return torch.bmm(logits_BMN.softmax(dim=-1), places_BNE), logits_BMN
