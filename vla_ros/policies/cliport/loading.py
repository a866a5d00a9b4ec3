"""Save a CLIPort model as a checkpoint, and make a policy from one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vla_ros.core.embodiment import Embodiment
from vla_ros.policies.checkpoint import Manifest, check_embodiment, save_checkpoint
from vla_ros.policies.cliport.config import SMALL, CliportConfig
from vla_ros.policies.cliport.language import FrozenText
from vla_ros.policies.cliport.model import CliportModel
from vla_ros.policies.cliport.policy import CliportPolicy
from vla_ros.policies.cliport.semantic_encoders import FrozenSemantic
from vla_ros.policies.known_answer import answer, check_known_answer
from vla_ros.policies.loading import (
    as_lists,
    check_statistics,
    keep_tokenizer,
    kept_tokenizer,
    naming_misfits,
    read_config,
    read_model,
    require_encoder_config,
)

KIND = 'cliport'


def save_cliport(
    folder: Path, model: CliportModel, embodiment: Embodiment, training: Mapping[str, Any]
) -> Manifest:
    """Write a model as a checkpoint for an arm; `training` says what made it."""
    config = model.config
    if isinstance(model.text, FrozenText):  # so that loading asks for no weights
        config = replace(config, language_config=model.text.full_config)
    if isinstance(model.semantic, FrozenSemantic):
        config = replace(config, semantic_config=model.semantic.full_config)
    policy = CliportPolicy(model.cpu(), embodiment, torch.device('cpu'))
    keep_tokenizer(folder, policy.tokenize)
    return save_checkpoint(
        folder,
        config,
        model.state_dict(),
        kind=KIND,
        joints=embodiment.joints,
        rate_hz=1.0 / config.step_s,
        cameras=policy.camera_sizes,
        statistics=as_lists(_statistics(model)),
        training=training,
        known_answer=tuple(answer(policy, embodiment).tolist()),
    )


def load_cliport(
    folder: Path, manifest: Manifest, embodiment: Embodiment, device: torch.device
) -> CliportPolicy:
    """Make a policy from a checkpoint whose manifest was read.

    Raises:
        CheckpointError: made for another arm, or configuration, weights and manifest disagree.
    """
    check_embodiment(folder, manifest, embodiment)
    with naming_misfits(folder):
        config = read_config(CliportConfig, folder, manifest)
        if config.language != SMALL:
            require_encoder_config(
                folder, 'language_config', config.language, config.language_config
            )
            config = replace(config, language=kept_tokenizer(folder, config.language))
        if config.semantic != SMALL:
            require_encoder_config(
                folder, 'semantic_config', config.semantic, config.semantic_config
            )
        model = read_model(folder, lambda: CliportModel(config))
    check_statistics(folder, manifest, _statistics(model))
    policy = CliportPolicy(model, embodiment, device)
    policy.known_answer_off_rad_s = check_known_answer(folder, policy, manifest, embodiment)
    return policy


def _statistics(model: CliportModel) -> dict[str, dict[str, Tensor]]:
    """Return the buffers that heights are normalised with."""
    return {'height': {'mean': model.height_mean, 'std': model.height_std}}
