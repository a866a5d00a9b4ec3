"""A checkpoint as something to go on training with: its learner and its model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import CheckpointError
from vla_ros.paths import policies_dir
from vla_ros.policies.checkpoint import Manifest, check_embodiment, read_manifest
from vla_ros.policies.loading import kept_tokenizer, naming_misfits, read_config, read_model
from vla_ros.policies.rt1.config import Rt1Config
from vla_ros.policies.rt1.model import Rt1Model
from vla_ros.policies.vla.config import VlaConfig
from vla_ros.policies.vla.model import VlaModel
from vla_ros.training.learners.learner import Learner
from vla_ros.training.learners.rt1 import Rt1Learner
from vla_ros.training.learners.vla import VlaLearner


def restore(base: str, embodiment: Embodiment) -> tuple[Learner, nn.Module, Manifest]:
    """Return learner, model and manifest of a checkpoint, a folder or the name of a shipped one.

    Raises:
        CheckpointError: no checkpoint, a damaged one, one made for another arm, or one of a kind
            that cannot be trained further.
    """
    shipped = policies_dir() / base
    folder = shipped if (shipped / 'manifest.json').is_file() else Path(base)
    manifest = read_manifest(folder)
    check_embodiment(folder, manifest, embodiment)
    if manifest.kind not in RESTORE:
        raise CheckpointError(
            f"'{folder}' is of kind '{manifest.kind}'; to go on training with are: "
            f'{", ".join(sorted(RESTORE))}'
        )
    with naming_misfits(folder):
        learner, model = RESTORE[manifest.kind](folder, manifest)
    return learner, model, manifest


def _rt1(folder: Path, manifest: Manifest) -> tuple[Any, nn.Module]:
    config = _with_kept_tokenizer(folder, read_config(Rt1Config, folder, manifest))
    return Rt1Learner(config), read_model(folder, lambda: Rt1Model(config))


def _vla(folder: Path, manifest: Manifest) -> tuple[Any, nn.Module]:
    config = _with_kept_tokenizer(folder, read_config(VlaConfig, folder, manifest))
    return VlaLearner(config), read_model(folder, lambda: VlaModel(config))


def _with_kept_tokenizer(folder: Path, config: Any) -> Any:  # noqa: ANN401
    if config.language_config is None:
        return config
    return replace(config, language=kept_tokenizer(folder, config.language))


RESTORE: dict[str, Callable[[Path, Manifest], tuple[Any, nn.Module]]] = {'rt1': _rt1, 'vla': _vla}
"""Kind of model → its learner and its model, from a checkpoint whose manifest was read."""
