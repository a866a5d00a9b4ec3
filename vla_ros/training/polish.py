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
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
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
CLOSE_M = 0.06
HELD_M = 0.02
LOOKED = 'looked.safetensors'
"""Beside a checkpoint: what its trunk said of the data."""
T = TypeVar('T')
Remembered = dict[str, Tensor]
"""Parts of a Look and of a Batch, a row a sentence."""


def polish(
    learner: VlaLearner,
    model: VlaModel,
    batches: TableBatches,
    config: FitConfig,
    folders: Sequence[Path] = (),
) -> None:
    """Take `config.head_steps` steps of `SAMPLES` sentences each, AdamW with a cosine to zero.

    Half of them are of moments in which something is decided: see `decisive`.

    Args:
        learner: knows the loss.
        model: changed in place; only the layers of `BEHIND`.
        batches: whose frames are seen once, each with all of its labels.
        config: of the training.
        folders: beside which checkpoints there may be what the trunk said before; in the first
            one all that it says is written.
    """
    remembered = remember(learner, model, batches, config, folders)
    asked = batches.answers()
    torch.manual_seed(config.seed)
    learnt = [p for n, p in model.named_parameters() if n.startswith(BEHIND)]
    optimiser = torch.optim.AdamW(learnt, LEARNING_RATE, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, cosine(config.head_steps, config.warm_up_steps)
    )
    device, chosen = model.action_mean.device, decisive(asked)
    model.train()
    for _ in _shown('polish', range(config.head_steps), config.head_steps):
        rows = torch.randint(0, len(asked.turns_B), (SAMPLES,))
        if len(chosen):
            rows[::2] = chosen[torch.randint(0, len(chosen), (SAMPLES // 2,))]
        batch = asked.rows(rows).to(device)
        parts = {name: part[rows].to(device) for name, part in remembered.items()}
        look = Look(proprioception_BP=batch.state_BTP[:, -1], **parts)
        terms = learner.terms(model, model.act(look), batch)
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(learnt, config.clip_norm)
        optimiser.step()
        schedule.step()


def decisive(batch: Batch) -> Tensor:
    """Return the rows in which the tool is near its goal, or near an object it does not hold.

    There everything is decided, and little of the time is spent there.
    """
    state_BP = batch.state_BTP[:, -1]
    tool_B13 = state_BP[:, None, ARM_JOINTS : ARM_JOINTS + 3]
    away_B2 = (batch.points_B23 - tool_B13).norm(dim=-1).nan_to_num(torch.inf)
    near_B2 = away_B2 < CLOSE_M
    if state_BP.shape[1] > ARM_JOINTS + 3:
        opening_B = state_BP[:, -1]
        held_B = (away_B2[:, 0] < HELD_M) & (opening_B < 0.9 * opening_B.max())
        near_B2[:, 0] &= ~held_B
    return near_B2.any(-1).nonzero().squeeze(-1)


@torch.inference_mode()
def remember(
    learner: VlaLearner,
    model: VlaModel,
    batches: TableBatches,
    config: FitConfig,
    folders: Sequence[Path] = (),
) -> Remembered:
    """Return what the trunk says of every frame and label, images changed as in training.

    What it said of the first frames, and of the same words, is read from the folders.
    """
    torch.manual_seed(config.seed)
    model.eval()
    known = next(filter(None, (_known(f, model, batches, config) for f in folders)), {})
    begin = len(known['action_BE']) // batches.labels if known else 0
    device, rows = model.action_mean.device, [known] if known else []
    count = batches.count(FRAMES_AT_ONCE, begin)
    for batch in _shown('look', batches.every(FRAMES_AT_ONCE, begin), count):
        look = learner.look(model, jittered(batch.to(device), config))
        parts = {f.name: getattr(look, f.name) for f in fields(Look)}
        del parts['heat_BDVHW'], parts['proprioception_BP']
        # a part may be a view that would keep all tokens alive
        rows.append({n: part.cpu().clone() for n, part in parts.items() if part is not None})
    if not count:
        return known
    remembered = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    if folders:
        draft = folders[0] / f'{LOOKED}.draft'
        said = _digest(model, batches, config, batches.count(1))
        save_file(remembered, draft, {'said': said})
        os.replace(draft, folders[0] / LOOKED)
    return remembered


def _known(folder: Path, model: VlaModel, batches: TableBatches, config: FitConfig) -> Remembered:
    """Read what a trunk has said of the first frames; nothing if it, they or words are others."""
    try:
        with safe_open(folder / LOOKED, 'pt') as file:
            said = (file.metadata() or {}).get('said')
        found = load_file(folder / LOOKED)
    except (OSError, SafetensorError):
        return {}
    count = len(found.get('action_BE', ())) // batches.labels
    return found if said == _digest(model, batches, config, count) else {}


def _digest(model: VlaModel, batches: TableBatches, config: FitConfig, frames: int) -> str:
    """Return what tells one trunk, seeing and hearing these frames, from another."""
    digest = hashlib.sha256(batches.digest(frames))
    settings = [asdict(model.config), config.brightness, config.noise, config.seed]
    digest.update(repr(settings).encode())
    for name, weights in model.state_dict().items():
        if not name.startswith(BEHIND):
            digest.update(weights.cpu().numpy().tobytes())
    return digest.hexdigest()


def _shown(title: str, items: Iterable[T], count: int) -> Iterator[T]:
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        yield from progress.track(items, total=count, description='')
