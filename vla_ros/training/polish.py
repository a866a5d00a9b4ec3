"""Train the layers behind the trunk of a VLA model alone, on what the trunk has seen once.

The trunk (encoders, fusion, pointing) costs a thousand times what the layers behind it cost, which
turn places and joints into millimetres and velocities and have to be exact. So each frame goes
through the trunk once more, and the layers behind it then learn from what it said, in batches
that cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from vla_ros.policies.vla.model import BEHIND, Look, VlaModel
from vla_ros.training.fit import jittered
from vla_ros.training.fit_config import FitConfig
from vla_ros.training.table_batches import Batch, TableBatches
from vla_ros.training.trainer import cosine

if TYPE_CHECKING:
    from vla_ros.training.learners.vla import VlaLearner

FRAMES_AT_ONCE = 32
SAMPLES = 512
LEARNING_RATE = 1e-3
T = TypeVar('T')
Remembered = dict[str, Tensor]
"""Parts of a Look and of a Batch, a row a sentence."""
_KEPT = ('state_BTP', 'actions_BKA', 'valid_BK', 'points_B23', 'turns_B')


def polish(learner: VlaLearner, model: VlaModel, batches: TableBatches, config: FitConfig) -> None:
    """Take `config.head_steps` steps of `SAMPLES` sentences each, AdamW with a cosine to zero.

    Args:
        learner: knows the loss.
        model: changed in place; only the layers of `BEHIND`.
        batches: whose frames are seen once, each with all of its labels.
        config: of the training.
    """
    torch.manual_seed(config.seed)
    remembered = remember(learner, model, batches, config)
    learnt = [p for n, p in model.named_parameters() if n.startswith(BEHIND)]
    optimiser = torch.optim.AdamW(learnt, LEARNING_RATE, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, cosine(config.head_steps, config.warm_up_steps)
    )
    device = model.action_mean.device
    model.train()
    for _ in _shown('polish', range(config.head_steps), config.head_steps):
        rows = torch.randint(0, len(remembered['action_BE']), (SAMPLES,))
        chosen = {name: part[rows].to(device) for name, part in remembered.items()}
        look, batch = _parts(chosen)
        terms = learner.terms(model, model.act(look), batch)
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(learnt, config.clip_norm)
        optimiser.step()
        schedule.step()


@torch.inference_mode()
def remember(
    learner: VlaLearner, model: VlaModel, batches: TableBatches, config: FitConfig
) -> Remembered:
    """Return what the trunk says of every frame and label, images changed as in training."""
    model.eval()
    device, rows = model.action_mean.device, []
    for batch in _shown('look', batches.every(FRAMES_AT_ONCE), batches.count(FRAMES_AT_ONCE)):
        seen = jittered(batch.to(device), config)
        look = learner.look(model, seen)
        parts = {f.name: getattr(look, f.name) for f in fields(Look)}
        parts |= {name: getattr(batch, name) for name in _KEPT}
        del parts['heat_BDVHW'], parts['proprioception_BP']
        # a part may be a view that would keep all tokens alive
        rows.append({n: part.cpu().clone() for n, part in parts.items() if part is not None})
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


def _parts(remembered: Remembered) -> tuple[Look, Batch]:
    """Return rows as the trunk and the loss know them; no image, no sentence, no place in them."""
    of_batch = {name: remembered[name] for name in _KEPT}
    of_look = {name: part for name, part in remembered.items() if name not in _KEPT}
    turns_B, nothing = of_batch['turns_B'], torch.empty(0)
    batch = Batch(
        images_BTVHWC=nothing,
        instructions=(),
        grounded_B=torch.ones_like(turns_B, dtype=torch.bool),
        pixels_BV22=nothing,
        sentences_per_image=1,
        **of_batch,
    )
    return Look(proprioception_BP=of_batch['state_BTP'][:, -1], **of_look), batch


def _shown(title: str, items: Iterable[T], count: int) -> Iterator[T]:
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        yield from progress.track(items, total=count, description='')
