"""Actions as tokens: every dimension falls into one of equal bins (RT-1, section 5.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ActionBins(nn.Module):
    """Real actions (..., A) ↔ tokens (..., A) within the range of the data, A action.

    token = int((bins - 1) (x - low) / (high - low)), as action_tokenizer.py. A token stands for
    the middle of its bin; the reference takes its lower edge, and so always errs towards `low`.
    With a range symmetric about zero, zero comes back as exactly zero: an arm that should rest
    does.
    """

    low_A: Tensor
    high_A: Tensor

    def __init__(self, size: int, bins: int) -> None:
        super().__init__()
        self.bins = bins
        self.register_buffer('low_A', -torch.ones(size))
        self.register_buffer('high_A', torch.ones(size))

    def encode(self, actions: Tensor) -> Tensor:
        """Return the tokens, int64; what lies outside the range counts as its edge."""
        share = (actions.clamp(self.low_A, self.high_A) - self.low_A) / (self.high_A - self.low_A)
        return (share * (self.bins - 1)).long()

    def decode(self, tokens: Tensor) -> Tensor:
        """Return the middle of the tokens' bins; the last token is the upper edge itself."""
        share = ((tokens + 0.5) / (self.bins - 1)).clamp(max=1.0)
        return self.low_A + share * (self.high_A - self.low_A)

    def mean(self, weights: Tensor) -> Tensor:
        """Return the actions (..., A) that probabilities of the bins (..., A, X) expect."""
        tokens_X1 = torch.arange(self.bins, device=weights.device).unsqueeze(-1)
        middles_XA = self.decode(tokens_X1.expand(-1, weights.shape[-2]))
        return torch.einsum('...ax,xa->...a', weights, middles_XA)
