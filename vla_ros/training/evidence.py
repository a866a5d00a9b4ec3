"""Tell anew whether something is there: by how sharply a trained model points, and no more.

In a training it is told by what was said and seen, which makes the trunk look for what is named.
But then a pair of colour and shape is refused because nobody ever said it, although the model
finds it. How sharply it points is alike for all pairs. And of two things that may be meant it
points at the likelier afterwards, not between them, by a higher sharpness.

N sentences.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from vla_ros.policies.vla.key_points import concentration
from vla_ros.policies.vla.model import VlaModel
from vla_ros.training.batches import Batches, jitter
from vla_ros.training.config import TrainConfig
from vla_ros.training.objective import run_model

BATCHES, STEPS, SENTENCES = 80, 800, 512
LEARNING_RATE = 2e-3
SHARPNESS = 2.0


def by_attention(model: VlaModel, batches: Batches, config: TrainConfig) -> VlaModel:
    """Return a model that points more sharply, and refuses by how sharply it would have pointed.

    Args:
        model: trained.
        batches: images and sentences to learn it from.
        config: of the training.
    """
    torch.manual_seed(config.seed)
    device = model.action_mean.device
    judging = VlaModel(replace(model.config, evidence='attention', sharpness=SHARPNESS)).to(device)
    kept = {k: v for k, v in model.state_dict().items() if not k.startswith('grounded')}
    judging.load_state_dict(kept, strict=False)
    seen_NF, there_N = _remember(model.eval(), batches, config, device)
    optimiser = torch.optim.AdamW(judging.grounded.parameters(), LEARNING_RATE)
    for _ in range(STEPS):
        rows = torch.randint(0, len(there_N), (SENTENCES,))
        logits = judging.grounded(seen_NF[rows]).squeeze(-1)
        loss = functional.binary_cross_entropy_with_logits(logits, there_N[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return judging


@torch.no_grad()
def _remember(
    model: VlaModel, batches: Batches, config: TrainConfig, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return how sharply the model points for many sentences, and whether it is there."""
    seen, there = [], []
    for _ in range(BATCHES):
        batch = batches.draw(device)
        heat_NDVHW = run_model(model, batch, jitter(batch.images_BVHWC, config)).heat_BDVHW
        assert heat_NDVHW is not None
        seen.append(concentration(heat_NDVHW))
        there.append((batch.asked_N >= 0).float())
    return torch.cat(seen), torch.cat(there)
