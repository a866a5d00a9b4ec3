"""A learner of a model that is tiny and has no batch norm, and a training of it by itself.

python tiny.py DATA OUTPUT IMAGES      one step; writes the gradients to OUTPUT
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vla_ros.core.embodiment import load_arm
from vla_ros.training.fit import Fit, make_accelerator
from vla_ros.training.fit_config import FitConfig
from vla_ros.training.learners.learner import Ranges, shared_mean
from vla_ros.training.speech import Speech
from vla_ros.training.table import load_table
from vla_ros.training.table_batches import Batch, TableBatches

STEPS = 2


class TinyModel(nn.Module):
    """Mean colour of the newest image and the state, to a chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(14, 16), nn.Tanh(), nn.Linear(16, STEPS * 8))

    def forward(self, batch: Batch) -> Tensor:
        colour = batch.images_BTVHWC[:, -1, 0].float().mean((1, 2)) / 255
        return self.head(torch.cat([colour, batch.state_BTP[:, -1]], dim=1)).unflatten(1, (-1, 8))


class TinyLearner:
    kind = 'tiny'
    observation_horizon = 2
    chunk_steps = STEPS

    def build(self, ranges: Ranges) -> TinyModel:
        torch.manual_seed(0)
        return TinyModel()

    def losses(self, model: TinyModel, batch: Batch) -> dict[str, Tensor]:
        off_B = (model(batch) - batch.actions_BKA).abs().mean((1, 2))
        forth_B = batch.grounded_B & (batch.actions_BKA[:, 0, 0] > 0)
        return {
            'action': shared_mean(off_B, batch.grounded_B),
            'forth': shared_mean(off_B, forth_B),  # of more here than there
        }

    def errors(self, model: TinyModel, batch: Batch) -> dict[str, float]:
        return {'action_rad_s': float(self.losses(model, batch)['action'])}

    def save(self, *arguments: Any) -> None:
        raise NotImplementedError


def make_fit(data: Path, config: FitConfig) -> Fit:
    """Return a training of the tiny model."""
    accelerator, learner = make_accelerator(config), TinyLearner()
    table, dataset = load_table(data, load_arm('sim'), STEPS)
    share = accelerator.process_index, accelerator.num_processes
    batches, validation = (
        TableBatches(
            table, Speech(dataset.tasks, seed), images=config.images, sentences=3, refusals=1,
            frames=2, seed=seed, share=share,
        )
        for seed in (0, 1)
    )  # fmt: skip
    model = learner.build(None)
    return Fit(learner, model, batches, validation, config, {'steps': 9}, accelerator)


class Killed(BaseException):
    """What `dies_as_it_saves` ends a training with."""


def dies_as_it_saves(patch: pytest.MonkeyPatch) -> None:
    """End every training right after it has written its state, as kill -9 may."""

    def save_and_die(fit: Fit, path: Path) -> None:
        save(fit, path)
        raise Killed

    save = Fit.save
    patch.setattr(Fit, 'save', save_and_die)


def gradients(fit: Fit) -> dict[str, Tensor]:
    """Take a step; return the gradients that it was taken along."""
    fit.step()
    return {name: p.grad.clone() for name, p in fit.model.named_parameters()}


if __name__ == '__main__':
    plain = FitConfig(
        images=int(sys.argv[3]), brightness=0.0, noise=0.0, clip_norm=1e9, device='cpu'
    )
    made = make_fit(Path(sys.argv[1]), plain)
    found = gradients(made)
    if made._accelerator.is_main_process:
        torch.save(found, sys.argv[2])
