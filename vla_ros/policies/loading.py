"""What loading a checkpoint is for every kind of policy: trust no file, name what differs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vla_ros.core.strict_yaml import build, typed
from vla_ros.errors import CheckpointError, VlaRosError
from vla_ros.policies.checkpoint import (
    CONFIG,
    MANIFEST,
    WEIGHTS,
    Manifest,
    check_shapes,
    read_json,
    read_weights,
)
from vla_ros.policies.pretrained import PretrainedTokenizer

TOKENIZER = 'tokenizer'
Config = TypeVar('Config')
Model = TypeVar('Model', bound=nn.Module)


@contextmanager
def naming_misfits(folder: Path) -> Iterator[None]:
    """Make whatever a configuration that lies raises a CheckpointError that names the folder."""
    try:
        yield
    except CheckpointError:
        raise
    except (VlaRosError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"checkpoint '{folder}' does not fit its {CONFIG}: {error}"
        ) from error


def read_config(kind: type[Config], folder: Path, manifest: Manifest) -> Config:
    """Read the configuration, which must say what the manifest says.

    Args:
        kind: a dataclass with cameras, image_width, image_height and step_s.
        folder: of the checkpoint.
        manifest: its manifest.

    Raises:
        CheckpointError: no JSON object, other cameras or another rate than in the manifest.
        ConfigError: an unknown key, or a value that cannot be.
    """
    where = str(folder / CONFIG)
    config: Any = build(kind, typed(kind, read_json(folder / CONFIG), where), where)
    size = config.image_width, config.image_height
    if dict(manifest.cameras) != dict.fromkeys(config.cameras, size):
        raise CheckpointError(f'{where}: cameras: not those of {MANIFEST}, or of another size')
    if not math.isclose(config.step_s * manifest.rate_hz, 1.0, rel_tol=1e-6):
        raise CheckpointError(
            f'{where}: step_s: {config.step_s}; {MANIFEST} says {manifest.rate_hz} steps a second'
        )
    return config


def require_encoder_config(folder: Path, field: str, name: str, content: object) -> None:
    """Refuse a checkpoint with a pretrained encoder whose configuration it does not hold.

    Raises:
        CheckpointError: `content` is None, so the encoder would have to be asked for elsewhere.
    """
    if content is None:
        raise CheckpointError(
            f'{folder / CONFIG}: {field}: missing; a checkpoint brings the configuration of '
            f"'{name}' along, its weights are in {WEIGHTS}"
        )


def keep_tokenizer(folder: Path, tokenizer: object) -> None:
    """Write the tokenizer of a pretrained encoder into a checkpoint; others are made of words."""
    if isinstance(tokenizer, PretrainedTokenizer):
        tokenizer.save(folder / TOKENIZER)


def kept_tokenizer(folder: Path, name: str) -> str:
    """Return the folder with the tokenizer of the pretrained encoder `name` in a checkpoint.

    Raises:
        CheckpointError: the checkpoint does not hold it, so it would have to be asked for.
    """
    if not (folder / TOKENIZER).is_dir():
        raise CheckpointError(
            f"'{folder / TOKENIZER}' is missing: a checkpoint brings the tokenizer of '{name}' "
            'along'
        )
    return str(folder / TOKENIZER)


def read_model(folder: Path, make: Callable[[], Model]) -> Model:
    """Return the model that `make` makes, with the weights of the checkpoint.

    Raises:
        CheckpointError: the weights are not those of such a model; found out before it is made.
    """
    with torch.device('meta'):  # costs no memory, whatever the configuration says
        check_shapes(folder, make())
    model = make()
    model.load_state_dict(read_weights(folder))
    return model


def check_statistics(
    folder: Path, manifest: Manifest, held: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Compare the manifest's statistics with those that the model holds.

    Raises:
        CheckpointError: they differ.
    """
    for name, parts in held.items():
        for part, value in parts.items():
            stated = torch.tensor(manifest.statistics.get(name, {}).get(part, ()))
            if stated.shape != value.shape or not torch.allclose(stated, value.cpu(), rtol=1e-5):
                raise CheckpointError(
                    f"checkpoint '{folder}': statistics: {name} {part} in the "
                    'manifest is not what the weights hold'
                )


def as_lists(held: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, list[float]]]:
    """Return the model's statistics as a manifest holds them."""
    return {
        name: {part: value.tolist() for part, value in parts.items()}
        for name, parts in held.items()
    }
