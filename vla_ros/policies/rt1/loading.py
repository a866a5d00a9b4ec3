"""Save an RT-1 model as a checkpoint, and make a policy from one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vla_ros.core.embodiment import Embodiment
from vla_ros.policies.checkpoint import Manifest, check_embodiment, save_checkpoint
from vla_ros.policies.known_answer import INSTRUCTION, answer, check_known_answer
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
from vla_ros.policies.rt1.config import SMALL, TASK_ID, Rt1Config
from vla_ros.policies.rt1.language import SentenceEncoder
from vla_ros.policies.rt1.model import Rt1Model
from vla_ros.policies.rt1.policy import Rt1Policy

KIND = 'rt1'


def save_rt1(
    folder: Path, model: Rt1Model, embodiment: Embodiment, training: Mapping[str, Any]
) -> Manifest:
    """Write a model as a checkpoint for an arm; `training` says what made it."""
    config = model.config
    if isinstance(model.language, SentenceEncoder):  # so that loading asks for no weights
        config = replace(config, language_config=model.language.encoder_config())
    policy = Rt1Policy(model.cpu(), embodiment, torch.device('cpu'))
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
        known_answer=tuple(answer(policy, embodiment, _instruction(config)).tolist()),
    )


def load_rt1(
    folder: Path, manifest: Manifest, embodiment: Embodiment, device: torch.device
) -> Rt1Policy:
    """Make a policy from a checkpoint whose manifest was read.

    Raises:
        CheckpointError: made for another arm, or configuration, weights and manifest disagree.
    """
    check_embodiment(folder, manifest, embodiment)
    with naming_misfits(folder):
        config = read_config(Rt1Config, folder, manifest)
        if config.language not in (SMALL, TASK_ID):
            content = config.language_config
            require_encoder_config(folder, 'language_config', config.language, content)
            config = replace(config, language=kept_tokenizer(folder, config.language))
        model = read_model(folder, lambda: Rt1Model(config))
    check_statistics(folder, manifest, _statistics(model))
    policy = Rt1Policy(model, embodiment, device)
    policy.known_answer_off_rad_s = check_known_answer(
        folder, policy, manifest, embodiment, _instruction(config)
    )
    return policy


def _instruction(config: Rt1Config) -> str:
    """Return a sentence that the model understands."""
    return config.tasks[0] if config.language == TASK_ID else INSTRUCTION


def _statistics(model: Rt1Model) -> dict[str, dict[str, Tensor]]:
    """Return the buffers that inputs are normalised and actions are binned with."""
    return {
        'state': {'mean': model.state_mean, 'std': model.state_std},
        'action': {'low': model.bins.low_A, 'high': model.bins.high_A},
    }
