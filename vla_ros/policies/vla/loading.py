"""Save a VLA model as a checkpoint, and make a policy from one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vla_ros.core.embodiment import Embodiment
from vla_ros.policies.checkpoint import Manifest, check_embodiment, save_checkpoint
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
from vla_ros.policies.vla.config import SMALL, VlaConfig
from vla_ros.policies.vla.model import VlaModel
from vla_ros.policies.vla.policy import VlaPolicy

ENCODERS = ('vision', 'language')


def save_vla(
    folder: Path, model: VlaModel, embodiment: Embodiment, training: Mapping[str, Any]
) -> Manifest:
    """Write a model as a checkpoint for an arm; `training` says what made it."""
    config = _with_encoder_configs(model)
    policy = VlaPolicy(model.cpu(), embodiment, torch.device('cpu'))
    keep_tokenizer(folder, policy.tokenize)
    return save_checkpoint(
        folder,
        config,
        model.state_dict(),
        kind='vla',
        joints=embodiment.joints,
        rate_hz=1.0 / config.step_s,
        cameras=policy.camera_sizes,
        statistics=as_lists(_statistics(model)),
        training=training,
        known_answer=tuple(answer(policy, embodiment).tolist()),
    )


def _with_encoder_configs(model: VlaModel) -> VlaConfig:
    """Keep the encoders' own configurations, so that loading asks for no pretrained weights."""
    config = model.config
    for part in ENCODERS:
        if getattr(config, part) != SMALL:
            content = getattr(model, part).backbone.config.to_dict()
            config = replace(config, **{f'{part}_config': content})
    return config


def load_vla(
    folder: Path, manifest: Manifest, embodiment: Embodiment, device: torch.device
) -> VlaPolicy:
    """Make a policy from a checkpoint whose manifest was read.

    Raises:
        CheckpointError: made for another arm, or configuration, weights and manifest disagree.
    """
    check_embodiment(folder, manifest, embodiment)
    with naming_misfits(folder):
        config = read_config(VlaConfig, folder, manifest)
        for part in ENCODERS:
            if (name := getattr(config, part)) != SMALL:
                content = getattr(config, f'{part}_config')
                require_encoder_config(folder, f'{part}_config', name, content)
        if config.language != SMALL:
            config = replace(config, language=kept_tokenizer(folder, config.language))
        model = read_model(folder, lambda: VlaModel(config))
    check_statistics(folder, manifest, _statistics(model))
    policy = VlaPolicy(model, embodiment, device)
    policy.known_answer_off_rad_s = check_known_answer(folder, policy, manifest, embodiment)
    return policy


def _statistics(model: VlaModel) -> dict[str, dict[str, Tensor]]:
    """Return the buffers that inputs and outputs are normalised with."""
    return {
        name: {part: getattr(model, f'{name}_{part}') for part in ('mean', 'std')}
        for name in ('proprioception', 'action')
    }
