"""The decoder-only transformer of RT-1 and its mask (transformer.py, transformer_network.py).

B batch, S sequence, E embedding, N heads, D width of a head, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6


def attention_mask(frames: int, context_tokens: int, action_tokens: int) -> Tensor:
    """Return which token (row) may look at which (column), (S, S) bool, S = T (context + action).

    Causal, minus every look of an action token at an action token, itself included
    (transformer_network.py, _generate_masks).
    """
    size = frames * (context_tokens + action_tokens)
    is_action_S = torch.arange(size) % (context_tokens + action_tokens) >= context_tokens
    causal_SS = torch.ones(size, size, dtype=torch.bool).tril()
    return causal_SS & ~(is_action_S[:, None] & is_action_S[None, :])


class Attention(nn.Module):
    """Multi-head attention whose heads have a width of their own, as Keras' key_dim."""

    def __init__(self, width: int, heads: int, head_width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query_key_value = nn.Linear(width, 3 * heads * head_width)
        self.output = nn.Linear(heads * head_width, width)

    def forward(self, tokens_BSE: Tensor, mask_SS: Tensor) -> Tensor:
        """Return what each token gathers."""
        split = self.query_key_value(tokens_BSE).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        gathered_BNSD = functional.scaled_dot_product_attention(
            query, key, value, mask_SS, self.dropout if self.training else 0.0
        )
        return self.output(gathered_BNSD.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Attention, then one dense layer without an activation, each behind its own LayerNorm."""

    def __init__(self, width: int, heads: int, head_width: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=EPSILON)
        self.attention = Attention(width, heads, head_width, dropout)
        self.dense_norm = nn.LayerNorm(width, eps=EPSILON)
        self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens_BSE: Tensor, mask_SS: Tensor) -> Tensor:
        """Return the tokens after the layer."""
        tokens_BSE = tokens_BSE + self.attention(self.attention_norm(tokens_BSE), mask_SS)
        return tokens_BSE + self.dropout(self.dense(self.dense_norm(tokens_BSE)))


class Transformer(nn.Module):
    """Embedding, learned positions, layers, and a dense layer to the bins; no last LayerNorm."""

    mask_SS: Tensor

    def __init__(
        self,
        mask_SS: Tensor,
        *,
        width: int,
        layers: int,
        heads: int,
        head_width: int,
        dropout: float,
        bins: int,
    ) -> None:
        super().__init__()
        self.embedding = nn.Linear(width, width)
        self.positions = nn.Parameter(0.02 * torch.randn(len(mask_SS), width))
        self.layers = nn.ModuleList(
            Layer(width, heads, head_width, dropout) for _ in range(layers)
        )
        self.output = nn.Linear(width, bins)
        self.register_buffer('mask_SS', mask_SS, persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, tokens_BSE: Tensor) -> Tensor:
        """Return logits over the bins at every position, (B, S, bins)."""
        tokens_BSE = self.embedding(tokens_BSE) + self.positions
        for layer in self.layers:
            tokens_BSE = layer(tokens_BSE, self.mask_SS)
        return self.output(tokens_BSE)
