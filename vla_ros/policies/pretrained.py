"""Pretrained encoders by name or folder, through transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
