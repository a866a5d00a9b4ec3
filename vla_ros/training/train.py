"""Train the VLA policy on recorded frames."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ConfigError
from vla_ros.policies.registry import choose_device
from vla_ros.policies.vla.config import VlaConfig
from vla_ros.policies.vla.encoders import build_tokenizer
from vla_ros.policies.vla.loading import save_vla
from vla_ros.policies.vla.model import VlaModel
from vla_ros.policies.vla.tokenizer import WordTokenizer
from vla_ros.sim.grammar import vocabulary
from vla_ros.sim.scene import OBJECT_KINDS, ObjectKind
from vla_ros.training.batches import Batches
from vla_ros.training.config import TrainConfig
from vla_ros.training.episodes import DatasetInfo, Frames, read_frames, read_info
from vla_ros.training.evidence import by_attention
from vla_ros.training.gate import pass_gate
from vla_ros.training.hues import EVERY
from vla_ros.training.log import Log
from vla_ros.training.sentences import SentenceSampler
from vla_ros.training.trainer import Trainer

VALIDATION_SHARE = 0.02
REPORT_STEPS = 50
UNFINISHED = 'unfinished.pt'


def set_statistics(model: VlaModel, batches: Batches, frames: Frames) -> None:
    """Put the data's statistics into the model; the action's mean stays 0, so that rest is 0."""
    state = torch.from_numpy(batches.proprioception)
    model.proprioception_mean.copy_(state.mean(0))
    model.proprioception_std.copy_(state.std(0).clamp_min(1e-3))
    velocities = torch.from_numpy(frames.velocities_rad_s).flatten(0, -2)
    model.action_std.copy_(velocities.std(0).clamp_min(1e-3))


def train(
    folder: Path,
    output: Path,
    config: TrainConfig,
    command: str = '',
    *,
    restart: bool = False,
    force: bool = False,
) -> VlaModel:
    """Train on the data set in `folder` and write a checkpoint to `output`.

    A training that was broken off there goes on where its state was saved last, unless `restart`.

    Raises:
        ConfigError: no data set there, one recorded with other joints than the arm has, an
            unfinished training with other settings in `output`, or a model that is no better than
            an arm that holds still, unless `force`.
    """
    info = read_info(folder)
    embodiment = load_arm(info.arm)
    if info.joints != embodiment.joints:
        raise ConfigError(
            f"data set '{folder}' has joints {info.joints}; arm '{info.arm}' has "
            f'{embodiment.joints}'
        )
    device = choose_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    frames = read_frames(folder)
    if (recorded := len(list(folder.glob('shard-*.npz')))) < info.shards:
        raise ConfigError(
            f"'{folder}' holds {recorded} of {info.shards} shards: recording was broken off; "
            f'go on with: vla-ros collect --output {folder} --episodes {info.episodes}'
        )
    model_config = _model_config(info)
    tokenizer = build_tokenizer(model_config)
    assert isinstance(tokenizer, WordTokenizer)
    kinds = _named(frames, config)
    sampler = SentenceSampler(tokenizer, model_config.language_tokens, config.seed, kinds)
    held_back = int(len(frames) * (1 - VALIDATION_SHARE))
    batches = Batches(_rows(frames, slice(0, held_back)), embodiment, sampler, config)
    validation = Batches(_rows(frames, slice(held_back, None)), embodiment, sampler, config)
    model = VlaModel(model_config).to(device)
    set_statistics(model, batches, frames)
    output.mkdir(parents=True, exist_ok=True)
    settings = {**asdict(info), **asdict(config)}
    trainer = Trainer(model, batches, validation, config, settings, device)
    _run(trainer, config, output, restart)
    if config.hues:
        trainer.model = by_attention(model, batches, config)
    training = {
        'command': command,
        'data': asdict(info),
        'frames': len(frames),
        'config': asdict(config),
        'minutes': round(trainer.seconds / 60, 1),
        'held_out': {name: round(value, 5) for name, value in trainer.judge().items()},
    }
    pass_gate(training, force=force)
    save_vla(output, trainer.model, embodiment, training)
    (output / UNFINISHED).unlink(missing_ok=True)
    return trainer.model


def _named(frames: Frames, config: TrainConfig) -> list[ObjectKind]:
    """Return what sentences may name: what the data hold, and in what colours it is shown."""
    recorded = [OBJECT_KINDS[k] for k in np.unique(frames.kinds)]
    if not config.hues:
        return recorded
    left_out = set(OBJECT_KINDS).difference(recorded)
    return [kind for kind in EVERY if kind not in left_out]


def _model_config(info: DatasetInfo) -> VlaConfig:
    return VlaConfig(
        cameras=(info.camera,),
        image_width=info.image_width,
        image_height=info.image_height,
        chunk_steps=info.chunk_steps,
        step_s=info.step_s,
        vocabulary=tuple(vocabulary()),
    )


def _rows(frames: Frames, rows: slice) -> Frames:
    return Frames(*(getattr(frames, name)[rows] for name in frames.__dataclass_fields__))


def _run(trainer: Trainer, config: TrainConfig, output: Path, restart: bool) -> None:
    """Take the steps that are left, with a progress bar, a log and a state to resume from."""
    unfinished, log = output / UNFINISHED, Log(output / 'log.csv')
    if unfinished.is_file() and not restart:
        trainer.load(unfinished)
        print(f'going on after step {trainer.steps_done}, where {unfinished} was saved')
    log.keep(trainer.steps_done)
    columns = (TextColumn('train'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    started = time.monotonic() - trainer.seconds
    seen: list[dict[str, float]] = []
    with Progress(*columns, TextColumn('{task.fields[text]}')) as progress:
        bar = progress.add_task('train', total=config.steps, completed=trainer.steps_done, text='')
        while trainer.steps_done < config.steps:
            seen.append(trainer.step())
            trainer.seconds = time.monotonic() - started
            progress.update(bar, completed=trainer.steps_done)
            if trainer.steps_done % REPORT_STEPS and trainer.steps_done < config.steps:
                continue
            means = {name: float(np.mean([s[name] for s in seen])) for name in seen[0]}
            seen.clear()
            row = {**means, **trainer.validate()}
            log.add({'step': trainer.steps_done, **row})
            trainer.save(unfinished)
            progress.update(bar, text=' '.join(f'{k} {v:.3f}' for k, v in row.items()))


def summary(output: Path) -> str:
    """Return one line on a finished training, for the terminal."""
    manifest = json.loads((output / 'manifest.json').read_text(encoding='utf-8'))
    training = manifest['training']
    return f'{training["frames"]} frames, {training["minutes"]} minutes → {output}'
