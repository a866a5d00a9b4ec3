"""Train the layers behind the trunk of a VLA model alone, on what the trunk has seen once.

The trunk (encoders, fusion, pointing) costs a thousand times what the layers behind it cost, which
turn places and joints into millimetres and velocities and have to be exact. So each frame goes
through the trunk once more, and the layers behind it then learn from what it said, in batches
that cost next to nothing. What it said is kept in a file beside the checkpoint: when the data set
has grown, only new frames go through the same trunk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vla_ros.policies.vla.model import BEHIND, Look, VlaModel
from vla_ros.training.fit import jittered
from vla_ros.training.fit_config import FitConfig
from vla_ros.training.table_batches import Batch, TableBatches
from vla_ros.training.trainer import cosine
from vla_ros.types import ARM_JOINTS

if TYPE_CHECKING:
    from vla_ros.training.learners.vla import VlaLearner

FRAMES_AT_ONCE = 32
SAMPLES = 512
LEARNING_RATE = 1e-3
NEAR_M = 0.06
LOOKED = 'looked.safetensors'
"""Beside a checkpoint: what its trunk said of the data."""
T = TypeVar('T')
Remembered = dict[str, Tensor]
"""Parts of a Look and of a Batch, a row a sentence."""
_KEPT = ('state_BTP', 'actions_BKA', 'valid_BK', 'points_B23', 'turns_B')


def polish(
    learner: VlaLearner,
    model: VlaModel,
    batches: TableBatches,
    config: FitConfig,
    folders: Sequence[Path],
) -> None:
    """Take `config.head_steps` steps of `SAMPLES` sentences each, AdamW with a cosine to zero.

    Half of them are of moments in which the tool is near a place: there everything is decided, and
    little of the time is spent there.

    Args:
        learner: knows the loss.
        model: changed in place; only the layers of `BEHIND`.
        batches: whose frames are seen once, each with all of its labels.
        config: of the training.
        folders: of the checkpoint to be, where what the trunk says is written, then of others
            beside which that may stand already, of a smaller data set.
    """
    torch.manual_seed(config.seed)
    trunk = _digest(model)
    files = [folder / LOOKED for folder in folders]
    known = next(filter(None, (_known(file, trunk, batches) for file in files)), {})
    remembered = remember(learner, model, batches, config, known)
    draft = files[0].with_suffix(f'.{os.getpid()}')
    save_file(remembered, draft, {'trunk': trunk})
    os.replace(draft, files[0])
    learnt = [p for n, p in model.named_parameters() if n.startswith(BEHIND)]
    optimiser = torch.optim.AdamW(learnt, LEARNING_RATE, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, cosine(config.head_steps, config.warm_up_steps)
    )
    device, near = model.action_mean.device, _near(remembered)
    model.train()
    for _ in _shown('polish', range(config.head_steps), config.head_steps):
        rows = torch.randint(0, len(remembered['action_BE']), (SAMPLES,))
        if len(near):
            rows[::2] = near[torch.randint(0, len(near), (SAMPLES // 2,))]
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
    learner: VlaLearner,
    model: VlaModel,
    batches: TableBatches,
    config: FitConfig,
    known: Remembered | None = None,
) -> Remembered:
    """Return what the trunk says of every frame and label, images changed as in training.

    What is `known` of the first frames is not asked again.
    """
    model.eval()
    device, rows = model.action_mean.device, [known] if known else []
    begin = len(known['state_BTP']) // batches.labels if known else 0
    count = batches.count(FRAMES_AT_ONCE, begin)
    for batch in _shown('look', batches.every(FRAMES_AT_ONCE, begin), count):
        seen = jittered(batch.to(device), config)
        look = learner.look(model, seen)
        parts = {f.name: getattr(look, f.name) for f in fields(Look)}
        parts |= {name: getattr(batch, name) for name in _KEPT}
        del parts['heat_BDVHW'], parts['proprioception_BP']
        # a part may be a view that would keep all tokens alive
        rows.append({n: part.cpu().clone() for n, part in parts.items() if part is not None})
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


def _near(remembered: Remembered) -> Tensor:
    """Return the rows in which the tool is near the object, or near where it has to end."""
    tool_B13 = remembered['state_BTP'][:, -1, None, ARM_JOINTS : ARM_JOINTS + 3]
    away_B2 = (remembered['points_B23'] - tool_B13).norm(dim=-1)
    return (away_B2.nan_to_num(torch.inf).amin(-1) < NEAR_M).nonzero().squeeze(-1)


def _known(path: Path, trunk: str, batches: TableBatches) -> Remembered:
    """Read what a trunk has said of the first frames; nothing if it or they are others."""
    try:
        with safe_open(path, 'pt') as file:
            if file.metadata().get('trunk') != trunk:
                return {}
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return {}
    states_NP, actions_NMKA = batches.answers
    count = len(found['state_BTP']) // batches.labels
    states = torch.from_numpy(states_NP[:count]).repeat_interleave(batches.labels, 0)
    actions = torch.from_numpy(actions_NMKA[:count]).flatten(0, 1)
    same = torch.equal(found['state_BTP'][:, -1], states)
    return found if same and torch.equal(found['actions_BKA'], actions) else {}


def _digest(model: VlaModel) -> str:
    """Return what tells one trunk from another."""
    digest = hashlib.sha256()
    for name, weights in model.state_dict().items():
        if not name.startswith(BEHIND):
            digest.update(weights.cpu().numpy().tobytes())
    return digest.hexdigest()


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
