"""Train the VLA policy on recorded frames."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
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
from vla_ros.training.batches import Batches, jitter
from vla_ros.training.config import TrainConfig
from vla_ros.training.episodes import DatasetInfo, Frames, read_frames, read_info
from vla_ros.training.objective import losses, run_model
from vla_ros.training.sentences import SentenceSampler

VALIDATION_SHARE = 0.02


def set_statistics(model: VlaModel, batches: Batches, frames: Frames) -> None:
    """Put the data's statistics into the model; the action's mean stays 0, so that rest is 0."""
    state = torch.from_numpy(batches.proprioception)
    model.proprioception_mean.copy_(state.mean(0))
    model.proprioception_std.copy_(state.std(0).clamp_min(1e-3))
    velocities = torch.from_numpy(frames.velocities_rad_s).flatten(0, -2)
    model.action_std.copy_(velocities.std(0).clamp_min(1e-3))


def train(folder: Path, output: Path, config: TrainConfig, command: str = '') -> VlaModel:
    """Train on the data set in `folder` and write a checkpoint to `output`.

    Raises:
        ConfigError: no data set there, or one recorded with other joints than the arm has.
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
    model_config = _model_config(info)
    tokenizer = build_tokenizer(model_config)
    assert isinstance(tokenizer, WordTokenizer)
    sampler = SentenceSampler(tokenizer, model_config.language_tokens, config.seed)
    held_back = int(len(frames) * (1 - VALIDATION_SHARE))
    batches = Batches(_rows(frames, slice(0, held_back)), embodiment, sampler, config)
    validation = Batches(_rows(frames, slice(held_back, None)), embodiment, sampler, config)
    model = VlaModel(model_config).to(device)
    set_statistics(model, batches, frames)
    output.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    _optimise(model, batches, validation, config, device, output / 'log.csv')
    training = {
        'command': command,
        'data': asdict(info),
        'frames': len(frames),
        'config': asdict(config),
        'minutes': round((time.monotonic() - started) / 60, 1),
    }
    save_vla(output, model, embodiment, training)
    return model


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


def _optimise(
    model: VlaModel,
    batches: Batches,
    validation: Batches,
    config: TrainConfig,
    device: torch.device,
    log: Path,
) -> None:
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{'params': decayed, 'weight_decay': config.weight_decay}, {'params': plain}]
    optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _schedule(config))
    columns = (TextColumn('train'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    text = TextColumn('{task.fields[text]}')
    with log.open('w', newline='', encoding='utf-8') as file, Progress(*columns, text) as progress:
        bar = progress.add_task('train', total=config.steps, text='')
        rows: csv.DictWriter[str] | None = None
        seen: list[dict[str, float]] = []
        for step in range(1, config.steps + 1):
            model.train()
            batch = batches.draw(device)
            terms = losses(
                model, run_model(model, batch, jitter(batch.images_BVHWC, config)), batch
            )
            optimiser.zero_grad(set_to_none=True)
            torch.stack(list(terms.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimiser.step()
            schedule.step()
            seen.append({name: float(term.detach()) for name, term in terms.items()})
            if step % 50 == 0 or step == config.steps:
                means = {name: float(np.mean([s[name] for s in seen])) for name in seen[0]}
                seen.clear()
                row = {'step': step, **means, **validate(model, validation, device)}
                if rows is None:
                    rows = csv.DictWriter(file, list(row))
                    rows.writeheader()
                rows.writerow(row)
                file.flush()
                text_now = ' '.join(f'{k} {v:.3f}' for k, v in row.items() if k != 'step')
                progress.update(bar, text=text_now)
            progress.advance(bar)


def _schedule(config: TrainConfig) -> Callable[[int], float]:
    def factor(step: int) -> float:
        warm = min(1.0, (step + 1) / config.warm_up_steps)
        return warm * 0.5 * (1 + float(np.cos(np.pi * min(1.0, step / config.steps))))

    return factor


@torch.inference_mode()
def validate(model: VlaModel, batches: Batches, device: torch.device) -> dict[str, float]:
    """Return errors on a batch of held-back frames: goal (mm), action (rad/s), refusals (%)."""
    model.eval()
    batch = batches.draw(device)
    prediction = run_model(model, batch, batch.images_BVHWC)
    asked = batch.asked_N >= 0
    velocities = prediction.actions_BKA * model.action_std + model.action_mean
    report = {
        'val_action_rad_s': float((velocities - batch.actions_NKA)[asked].abs().mean()),
        'val_grounded': float(((prediction.grounded_B > 0) == asked).float().mean()),
    }
    if prediction.target_B3 is not None:
        error = (prediction.target_B3 - batch.targets_N3)[asked].norm(dim=-1)
        report['val_goal_mm'] = float(error.median() * 1000)
    return report


def summary(output: Path) -> str:
    """Return one line on a finished training, for the terminal."""
    manifest = json.loads((output / 'manifest.json').read_text(encoding='utf-8'))
    training = manifest['training']
    return f'{training["frames"]} frames, {training["minutes"]} minutes → {output}'
