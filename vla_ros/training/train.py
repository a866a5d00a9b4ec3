"""Train the VLA policy on recorded frames."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import functional

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.errors import ConfigError
from vla_ros.policies.preprocessing import proprioception
from vla_ros.policies.registry import choose_device
from vla_ros.policies.vla.config import VlaConfig
from vla_ros.policies.vla.encoders import build_tokenizer
from vla_ros.policies.vla.loading import save_vla
from vla_ros.policies.vla.model import Prediction, VlaModel
from vla_ros.policies.vla.tokenizer import WordTokenizer
from vla_ros.sim.grammar import vocabulary
from vla_ros.training.episodes import DatasetInfo, Frames, read_frames, read_info
from vla_ros.training.sentences import SentenceSampler

GOAL_SCALE_M = 0.1
HEAT_WEIGHT = 0.2
VALIDATION_SHARE = 0.02


@dataclass(frozen=True)
class TrainConfig:
    """How it is trained; AdamW with a warm-up and a cosine to zero."""

    steps: int = 2200
    batch_images: int = 32
    sentences_per_image: int = 4
    refusals_per_image: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up_steps: int = 100
    clip_norm: float = 1.0
    seed: int = 0
    device: str = 'auto'
    threads: int = 0
    brightness: float = 0.25
    noise: float = 4.0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if not 0 <= self.refusals_per_image < self.sentences_per_image <= 5:
            raise ConfigError('sentences_per_image is 1 to 5, refusals_per_image less than that')
        if self.steps < 1 or self.batch_images < 1:
            raise ConfigError('steps and batch_images must be at least 1')


@dataclass(frozen=True)
class Batch:
    """B images with M sentences each; sentence i belongs to image i // M."""

    images_BVHWC: Tensor
    ids_NL: Tensor
    mask_NL: Tensor
    proprioception_NP: Tensor
    asked_N: Tensor
    actions_NKA: Tensor
    targets_N3: Tensor
    pixels_N2: Tensor


class Batches:
    """Draws batches from frames that lie in memory."""

    def __init__(
        self, frames: Frames, embodiment: Embodiment, sampler: SentenceSampler, config: TrainConfig
    ) -> None:
        self._frames = frames
        self._sampler = sampler
        self._config = config
        self._rng = np.random.default_rng(config.seed + 1)
        self.proprioception = proprioception(
            embodiment, frames.joint_positions_rad.astype(np.float64)
        ).astype(np.float32)

    def draw(self, device: torch.device) -> Batch:
        """Return a random batch."""
        rows = self._rng.integers(0, len(self._frames), self._config.batch_images)
        return self.take(rows, device)

    def take(self, rows: NDArray[np.int64], device: torch.device) -> Batch:
        """Return the frames of the given rows with fresh sentences."""
        frames, config = self._frames, self._config
        per_image = config.sentences_per_image
        ids, mask, asked = self._sampler.batch(
            frames.kinds[rows], per_image, config.refusals_per_image
        )
        owner = np.repeat(rows, per_image)
        which = np.maximum(asked, 0)
        arrays = (
            frames.images[rows][:, None],
            ids,
            mask,
            self.proprioception[owner],
            asked,
            frames.velocities_rad_s[owner, which],
            frames.targets_m[owner, which],
            frames.pixels[owner, which],
        )
        return Batch(*(torch.from_numpy(array).to(device) for array in arrays))


def jitter(images_BVHWC: Tensor, config: TrainConfig) -> Tensor:
    """Change brightness and contrast of each image a little, and add noise."""
    images = images_BVHWC.float()
    shape = (len(images), 1, 1, 1, 1)
    gain = 1 + config.brightness * (2 * torch.rand(shape, device=images.device) - 1)
    offset = 128 * config.brightness * (2 * torch.rand(shape, device=images.device) - 1)
    images = (images - 128) * gain + 128 + offset
    return (images + config.noise * torch.randn_like(images)).clamp_(0, 255)


def run_model(model: VlaModel, batch: Batch, images_BVHWC: Tensor) -> Prediction:
    """Encode images once and answer all their sentences."""
    repeat = len(batch.ids_NL) // len(images_BVHWC)
    fine, tokens = model.encode_images(images_BVHWC)
    encoded = fine.repeat_interleave(repeat, 0), tokens.repeat_interleave(repeat, 0)
    words_NLE = model.encode_language(batch.ids_NL, batch.mask_NL)
    return model(encoded, words_NLE, batch.mask_NL, batch.proprioception_NP)


def losses(model: VlaModel, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
    """Return the terms of the loss: action (L1), grounded (BCE), heat (CE) and target (L1)."""
    asked = batch.asked_N >= 0
    actions = (batch.actions_NKA - model.action_mean) / model.action_std
    terms = {
        'action': (prediction.actions_BKA - actions)[asked].abs().mean(),
        'grounded': functional.binary_cross_entropy_with_logits(
            prediction.grounded_B, asked.float()
        ),
    }
    if prediction.heat_BHW is not None and prediction.target_B3 is not None:
        heat_BHW = prediction.heat_BHW[asked]
        place = place_weights(batch.pixels_N2[asked], *heat_BHW.shape[1:])
        terms['heat'] = HEAT_WEIGHT * functional.cross_entropy(heat_BHW.flatten(1), place)
        error = (prediction.target_B3 - batch.targets_N3)[asked].abs().mean()
        terms['target'] = error / GOAL_SCALE_M
    return terms


def place_weights(pixels_N2: Tensor, rows: int, columns: int) -> Tensor:
    """Spread places (fractions of the image) over their four nearest cells, (N, rows·columns)."""
    x = (pixels_N2[:, :1] * columns - 0.5).clamp(0, columns - 1)
    y = (pixels_N2[:, 1:] * rows - 0.5).clamp(0, rows - 1)
    along_x = (1 - (x - torch.arange(columns, device=x.device)).abs()).clamp_min(0)
    along_y = (1 - (y - torch.arange(rows, device=y.device)).abs()).clamp_min(0)
    return (along_y.unsqueeze(2) * along_x.unsqueeze(1)).flatten(1)


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
