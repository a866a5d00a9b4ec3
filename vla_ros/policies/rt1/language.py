"""A sentence as one vector, which FiLM conditions the image on.

B batch, L words, D sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vla_ros.errors import ObservationError
from vla_ros.policies.rt1.config import SMALL, TASK_ID, Rt1Config
from vla_ros.policies.vla.config import VlaConfig
from vla_ros.policies.vla.encoders import build_language, build_tokenizer
from vla_ros.policies.vla.tokenizer import Tokenizer, words_of


class SentenceEncoder(nn.Module):
    """Mean of the words' vectors, then a linear layer; a pretrained encoder stays as it is."""

    def __init__(self, config: Rt1Config) -> None:
        super().__init__()
        self.words = build_language(_words_config(config))
        self.is_frozen = config.language != SMALL
        self.words.requires_grad_(not self.is_frozen)
        self.projection = nn.Linear(self.words.width, config.sentence_width)

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return the sentences' vectors, (B, D)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            words_BLE = self.words(ids_BL, mask_BL)
        mask_BL1 = mask_BL.unsqueeze(-1).to(words_BLE.dtype)
        return self.projection((words_BLE * mask_BL1).sum(1) / mask_BL1.sum(1))

    def encoder_config(self) -> dict[str, Any] | None:
        """Return the configuration of a pretrained encoder; None for the small one."""
        backbone = getattr(self.words, 'backbone', None)
        return None if backbone is None else backbone.config.to_dict()

    def train(self, mode: bool = True) -> SentenceEncoder:
        """Set the mode; a frozen encoder is never in training."""
        super().train(mode)
        if self.is_frozen:
            self.words.eval()
        return self


class TaskEmbedding(nn.Module):
    """One vector for each task, looked up by its number."""

    def __init__(self, config: Rt1Config) -> None:
        super().__init__()
        self.tasks = nn.Embedding(len(config.tasks), config.sentence_width)

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return the tasks' vectors, (B, D); L is 1."""
        return self.tasks(ids_BL[:, 0])


class TaskTokenizer:
    """Sentences to the numbers of tasks; case and punctuation do not matter."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self._ids = {' '.join(words_of(task)): index for index, task in enumerate(tasks)}
        self._tasks = tasks

    def __call__(self, sentences: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return numbers and mask, both (B, 1).

        Raises:
            ObservationError: a sentence that is none of the tasks.
        """
        rows = [self._ids.get(' '.join(words_of(sentence)), -1) for sentence in sentences]
        if -1 in rows:
            raise ObservationError(
                f"no task '{sentences[rows.index(-1)]}'; the policy was trained on: "
                f'{", ".join(self._tasks)}'
            )
        return np.array(rows)[:, None], np.ones((len(rows), 1), np.bool_)


def build_sentence_encoder(config: Rt1Config) -> SentenceEncoder | TaskEmbedding:
    """Return the encoder that the configuration names."""
    return TaskEmbedding(config) if config.language == TASK_ID else SentenceEncoder(config)


def build_sentence_tokenizer(config: Rt1Config) -> Tokenizer:
    """Return the tokenizer that belongs to the encoder."""
    if config.language == TASK_ID:
        return TaskTokenizer(config.tasks)
    return build_tokenizer(_words_config(config))


def _words_config(config: Rt1Config) -> VlaConfig:
    """Return the part of the configuration that VLA models share: which words, which encoder."""
    return VlaConfig(
        language=config.language,
        language_config=config.language_config,
        vocabulary=config.vocabulary,
        unknown_words=config.unknown_words,
        language_tokens=config.language_tokens,
        language_layers=config.language_layers,
        dropout=config.dropout,
    )
