"""Tell anew whether something is there: by how surely a trained model points, and no more.

In a training it is told by what was said and seen, which makes the trunk look for what is named.
But then a pair of colour and shape is refused because nobody ever said it, although the model
finds it. How surely it points is less for such pairs than for known ones, and more than for what
is not there. A line that is learned between known and absent runs anywhere through them; so this
one is drawn where few of the absent pass. And of two things that may be meant it points at the
likelier afterwards, not between them, by a higher sharpness.

N sentences, F signs.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from vla_ros.policies.vla.model import VlaModel
from vla_ros.training.batches import Batches, jitter
from vla_ros.training.config import TrainConfig
from vla_ros.training.objective import run_model

BATCHES = 120
TAKEN_FOR_THERE = 0.05
"""Share of sentences that name what is not there, and are believed."""
SHARPNESS = 2.0


def by_attention(model: VlaModel, batches: Batches, config: TrainConfig) -> VlaModel:
    """Return a model that points more sharply, and refuses by how surely it does.

    Args:
        model: trained.
        batches: images and sentences to learn it from.
        config: of the training.
    """
    torch.manual_seed(config.seed)
    judging = VlaModel(replace(model.config, evidence='attention', sharpness=SHARPNESS))
    judging.to(model.action_mean.device)
    kept = {k: v for k, v in model.state_dict().items() if not k.startswith('grounded')}
    judging.load_state_dict(kept, strict=False)
    assert isinstance(judging.grounded, nn.Linear)
    draw_line(judging.grounded, *_remember(judging.eval(), batches, config))
    return judging


def draw_line(grounded: nn.Linear, seen_NF: Tensor, there_N: Tensor) -> None:
    """Let all signs of being sure count alike, and put the line where few of the absent pass."""
    with torch.no_grad():
        grounded.weight.copy_(1 / (seen_NF.std(0, keepdim=True) + 1e-6))
        grounded.bias.zero_()
        grounded.bias -= grounded(seen_NF[there_N == 0]).quantile(1 - TAKEN_FOR_THERE)


@torch.no_grad()
def _remember(model: VlaModel, batches: Batches, config: TrainConfig) -> tuple[Tensor, Tensor]:
    """Return how surely the model points for many sentences, and whether it is there."""
    seen: list[Tensor] = []
    there: list[Tensor] = []
    hook = model.grounded.register_forward_hook(lambda _, told, __: seen.append(told[0]))
    for _ in range(BATCHES):
        batch = batches.draw(model.action_mean.device)
        run_model(model, batch, jitter(batch.images_BVHWC, config))
        there.append((batch.asked_N >= 0).float())
    hook.remove()
    return torch.cat(seen), torch.cat(there)
