"""Save a VLA model as a checkpoint, and make a policy from one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from vla_ros.core.embodiment import Embodiment
from vla_ros.core.strict_yaml import build, typed
from vla_ros.errors import CheckpointError, VlaRosError
from vla_ros.policies.checkpoint import (
    CONFIG,
    MANIFEST,
    WEIGHTS,
    Manifest,
    check_embodiment,
    check_shapes,
    read_json,
    read_weights,
    save_checkpoint,
)
from vla_ros.policies.known_answer import answer, check_known_answer
from vla_ros.policies.vla.config import SMALL, VlaConfig
from vla_ros.policies.vla.model import VlaModel
from vla_ros.policies.vla.policy import VlaPolicy

STATISTICS = ('proprioception', 'action')


def save_vla(
    folder: Path, model: VlaModel, embodiment: Embodiment, training: Mapping[str, Any]
) -> Manifest:
    """Write a model as a checkpoint for an arm; `training` says what made it."""
    config = _with_encoder_configs(model)
    statistics = {
        name: {part: getattr(model, f'{name}_{part}').tolist() for part in ('mean', 'std')}
        for name in STATISTICS
    }
    policy = VlaPolicy(model.cpu(), embodiment, torch.device('cpu'))
    return save_checkpoint(
        folder,
        config,
        model.state_dict(),
        kind='vla',
        joints=embodiment.joints,
        rate_hz=1.0 / config.step_s,
        cameras=policy.camera_sizes,
        statistics=statistics,
        training=training,
        known_answer=tuple(answer(policy, embodiment).tolist()),
    )


def _with_encoder_configs(model: VlaModel) -> VlaConfig:
    """Keep the encoders' own configurations, so that loading asks for no pretrained weights."""
    config = model.config
    for part in ('vision', 'language'):
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
    try:
        config = _read_config(folder, manifest)
        with torch.device('meta'):  # costs no memory, whatever the configuration says
            check_shapes(folder, VlaModel(config))
        model = VlaModel(config)
        model.load_state_dict(read_weights(folder))
    except CheckpointError:
        raise
    except (VlaRosError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"checkpoint '{folder}' does not fit its {CONFIG}: {error}"
        ) from error
    _check_statistics(folder, model, manifest)
    policy = VlaPolicy(model, embodiment, device)
    policy.known_answer_off_rad_s = check_known_answer(folder, policy, manifest, embodiment)
    return policy


def _read_config(folder: Path, manifest: Manifest) -> VlaConfig:
    """Read the configuration; it must say what the manifest says, and download nothing."""
    where = str(folder / CONFIG)
    config: VlaConfig = build(
        VlaConfig, typed(VlaConfig, read_json(folder / CONFIG), where), where
    )
    size = config.image_width, config.image_height
    if dict(manifest.cameras) != dict.fromkeys(config.cameras, size):
        raise CheckpointError(f'{where}: cameras: not those of {MANIFEST}, or of another size')
    if not math.isclose(config.step_s * manifest.rate_hz, 1.0, rel_tol=1e-6):
        raise CheckpointError(
            f'{where}: step_s: {config.step_s}; {MANIFEST} says {manifest.rate_hz} steps a second'
        )
    for part in ('vision', 'language'):
        if getattr(config, part) != SMALL and getattr(config, f'{part}_config') is None:
            raise CheckpointError(
                f'{where}: {part}_config: missing; a checkpoint brings the configuration of '
                f"'{getattr(config, part)}' along, its weights are in {WEIGHTS}"
            )
    return config


def _check_statistics(folder: Path, model: VlaModel, manifest: Manifest) -> None:
    for name in STATISTICS:
        for part in ('mean', 'std'):
            stated = torch.tensor(manifest.statistics.get(name, {}).get(part, ()))
            held = getattr(model, f'{name}_{part}')
            if stated.shape != held.shape or not torch.allclose(stated, held.cpu(), rtol=1e-5):
                raise CheckpointError(
                    f"checkpoint '{folder}': statistics: {name} {part} in the "
                    'manifest is not what the weights hold'
                )
