"""A checkpoint as something to go on training with: its learner and its model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import CheckpointError
from vla_ros.paths import policies_dir
from vla_ros.policies.checkpoint import Manifest, check_embodiment, read_manifest
from vla_ros.policies.cliport.config import CliportConfig
from vla_ros.policies.cliport.model import CliportModel
from vla_ros.policies.loading import kept_tokenizer, naming_misfits, read_config, read_model
from vla_ros.policies.rt1.config import Rt1Config
from vla_ros.policies.rt1.model import Rt1Model
from vla_ros.policies.vla.config import VlaConfig
from vla_ros.policies.vla.model import VlaModel
from vla_ros.training.learners.cliport import CliportLearner
from vla_ros.training.learners.rt1 import Rt1Learner
from vla_ros.training.learners.vla import VlaLearner

FRAME_KINDS, SCENE_KINDS = ('rt1', 'vla'), ('cliport',)
"""Kinds that learn from frames, and from demonstrations of one scene each."""


def restore(
    base: str, embodiment: Embodiment, kinds: Sequence[str] = FRAME_KINDS
) -> tuple[Any, nn.Module, Manifest]:
    """Return learner, model and manifest of a checkpoint, a folder or the name of a shipped one.

    Raises:
        CheckpointError: no checkpoint, a damaged one, one made for another arm, or one of a kind
            that cannot be trained further.
    """
    folder = folder_of(base)
    manifest = read_manifest(folder)
    check_embodiment(folder, manifest, embodiment)
    if manifest.kind not in kinds:
        raise CheckpointError(
            f"'{folder}' is of kind '{manifest.kind}', and what learns from such data is: "
            f'{", ".join(kinds)} (cliport: from demonstrations, with --policy cliport)'
        )
    with naming_misfits(folder):
        learner, model = RESTORE[manifest.kind](folder, manifest)
    return learner, model, manifest


def folder_of(base: str) -> Path:
    """Return the folder of a checkpoint, that of a shipped one if there is one of the name."""
    shipped = policies_dir() / base
    return shipped if (shipped / 'manifest.json').is_file() else Path(base)


def take_over(model: nn.Module, base: nn.Module) -> list[str]:
    """Give a model the weights of another as far as they fit; return the names of what is new.

    Where a layer has more inputs than the base's, those that are new begin without a say.
    """
    known, new, taken = base.state_dict(), [], {}
    for name, mine in model.state_dict().items():
        theirs = known.get(name)
        if theirs is not None and theirs.shape == mine.shape:
            taken[name] = theirs
        elif theirs is not None and _wider(mine, theirs):
            taken[name] = torch.zeros_like(mine)
            taken[name][:, : theirs.shape[1]] = theirs
        else:
            new.append(name)
    model.load_state_dict(taken, strict=False)
    return new


def _wider(mine: Tensor, theirs: Tensor) -> bool:
    if not mine.ndim == theirs.ndim == 2:
        return False
    return len(mine) == len(theirs) and mine.shape[1] > theirs.shape[1]


def _rt1(folder: Path, manifest: Manifest) -> tuple[Any, nn.Module]:
    config = _with_kept_tokenizer(folder, read_config(Rt1Config, folder, manifest))
    return Rt1Learner(config), read_model(folder, lambda: Rt1Model(config))


def _vla(folder: Path, manifest: Manifest) -> tuple[Any, nn.Module]:
    config = _with_kept_tokenizer(folder, read_config(VlaConfig, folder, manifest))
    return VlaLearner(config), read_model(folder, lambda: VlaModel(config))


def _cliport(folder: Path, manifest: Manifest) -> tuple[Any, nn.Module]:
    config = _with_kept_tokenizer(folder, read_config(CliportConfig, folder, manifest))
    return CliportLearner(config), read_model(folder, lambda: CliportModel(config))


def _with_kept_tokenizer(folder: Path, config: Any) -> Any:  # noqa: ANN401
    if config.language_config is None:
        return config
    return replace(config, language=kept_tokenizer(folder, config.language))


RESTORE: dict[str, Callable[[Path, Manifest], tuple[Any, nn.Module]]] = {
    'cliport': _cliport,
    'rt1': _rt1,
    'vla': _vla,
}
"""Kind of model → its learner and its model, from a checkpoint whose manifest was read."""
