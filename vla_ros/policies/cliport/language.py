"""A sentence as one vector, which is multiplied into the semantic stream.

B batch, L words, D width of a sentence.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vla_ros.policies.cliport.config import SMALL, CliportConfig
from vla_ros.policies.pretrained import PretrainedTokenizer, pretrained_model
from vla_ros.policies.vla.tokenizer import Tokenizer, WordTokenizer


class WordEncoder(nn.Module):
    """Words with their places through a transformer encoder; the sentence is a weighted sum."""

    def __init__(self, config: CliportConfig) -> None:
        super().__init__()
        self.width = config.sentence_width
        tokens = 1 + config.unknown_words + len(config.vocabulary)
        self.words = nn.Embedding(tokens, self.width)
        self.positions = nn.Parameter(0.02 * torch.randn(config.language_tokens, self.width))
        layer = nn.TransformerEncoderLayer(
            self.width, 4, 2 * self.width, 0.0, 'gelu', batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, config.language_layers, enable_nested_tensor=False
        )
        self.weight = nn.Linear(self.width, 1)

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return the sentences, (B, D)."""
        words_BLD = self.words(ids_BL) + self.positions[: ids_BL.shape[1]]
        words_BLD = self.encoder(words_BLD, src_key_padding_mask=~mask_BL)
        weights_BL1 = self.weight(words_BLD).masked_fill(~mask_BL.unsqueeze(-1), -1e9).softmax(1)
        return (weights_BL1 * words_BLD).sum(1)


class FrozenText(nn.Module):
    """The text encoder of CLIP, or the mean over the tokens of a BERT-like one; never trained."""

    def __init__(self, name: str, content: dict[str, Any] | None) -> None:
        super().__init__()
        backbone = pretrained_model(name, content)
        self.full_config: dict[str, Any] = backbone.config.to_dict()
        self.backbone = getattr(backbone, 'text_model', backbone)
        self.width = int(self.backbone.config.hidden_size)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return the sentences, (B, D)."""
        found = self.backbone(input_ids=ids_BL, attention_mask=mask_BL.long())
        if self.backbone.config.model_type == 'clip_text_model':
            return found.pooler_output
        mask_BL1 = mask_BL.unsqueeze(-1).to(found.last_hidden_state.dtype)
        return (found.last_hidden_state * mask_BL1).sum(1) / mask_BL1.sum(1)

    def train(self, mode: bool = True) -> FrozenText:
        """Stay in evaluation mode."""
        return super().train(False)


def build_text(config: CliportConfig) -> WordEncoder | FrozenText:
    """Return the sentence encoder that the configuration names.

    Raises:
        CheckpointError: it is nowhere, or transformers is not installed.
    """
    if config.language == SMALL:
        return WordEncoder(config)
    content = dict(config.language_config) if config.language_config else None
    return FrozenText(config.language, content)


def build_tokenizer(config: CliportConfig) -> Tokenizer:
    """Return the tokenizer that belongs to the encoder."""
    if config.language == SMALL:
        return WordTokenizer(config.vocabulary, config.unknown_words, config.language_tokens)
    return PretrainedTokenizer(config.language, config.language_tokens)
