"""Pretrained encoders and tokenizers by name or folder, through transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.errors import CheckpointError


def pretrained_model(name: str, content: Mapping[str, Any] | None) -> Any:  # noqa: ANN401 - a transformers model
    """Return a transformers model: random by its configuration, or pretrained by its name.

    Args:
        name: the model's name or folder.
        content: its configuration; None takes name's own, and its weights.

    Raises:
        CheckpointError: transformers is not installed, or the model is nowhere.
    """
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise CheckpointError(
            f"encoder '{name}' needs transformers; type: pip install 'vla_ros[train]'"
        ) from error
    if content is None:
        return load_local_first(AutoModel, name)
    values = dict(content)
    return AutoModel.from_config(AutoConfig.for_model(values.pop('model_type'), **values))


def load_local_first(loader: Any, name: str) -> Any:  # noqa: ANN401 - a transformers class
    """Load from this machine, and only if that fails from the hub; never run remote code.

    Raises:
        CheckpointError: it is in neither place.
    """
    try:
        return loader.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError):
        try:
            return loader.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"encoder '{name}' is neither on this machine nor can it be downloaded; give a "
                "folder that holds its config.json and model.safetensors, or use 'small'"
            ) from error


class PretrainedTokenizer:
    """Sentences to tokens as a pretrained encoder knows them.

    Args:
        name: of the encoder, or a folder with its tokenizer.
        length: most tokens of a sentence; what is more is cut off.
    """

    def __init__(self, name: str, length: int) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = load_local_first(AutoTokenizer, name)
        self._length = length

    def __call__(self, sentences: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return ids and mask, (B, L)."""
        tokens = self._tokenizer(
            list(sentences),
            padding=True,
            truncation=True,
            max_length=self._length,
            return_tensors='np',
        )
        ids = tokens['input_ids']
        mask = tokens.get('attention_mask', ids != self._tokenizer.pad_token_id)  # SigLIP has none
        return ids, mask.astype(np.bool_)

    def save(self, folder: Path) -> None:
        """Write what it takes to make it again without asking for it elsewhere."""
        self._tokenizer.save_pretrained(folder)
