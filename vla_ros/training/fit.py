"""Train any learner's model: steps, over any number of processes, and a state to resume from.

`accelerate launch`, `torchrun` or plain python: each process draws the same global batch and takes
its own part, so that many processes make the gradients of one.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vla_ros.errors import ConfigError
from vla_ros.training.fit_config import FitConfig
from vla_ros.training.learners.learner import Learner
from vla_ros.training.prefetch import Prefetch
from vla_ros.training.table_batches import Batch, TableBatches
from vla_ros.training.trainer import cosine


class Objective(nn.Module):
    """A model and what it learns, as one module, so that DDP sees the gradients of all."""

    def __init__(self, learner: Learner, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._learner = learner

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the loss."""
        return self._learner.losses(self.model, batch)


class Fit:
    """One training. On the CPU a resumed one ends with the same weights, to the bit.

    Args:
        learner: of the model's kind.
        model: to be trained; moved to where the accelerator says.
        batches: to train on.
        validation: frames held back.
        config: how.
        settings: everything that a training must share to be gone on with.
        accelerator: the processes and devices.
    """

    def __init__(
        self,
        learner: Learner,
        model: nn.Module,
        batches: TableBatches,
        validation: TableBatches,
        config: FitConfig,
        settings: dict[str, object],
        accelerator: Accelerator,
    ) -> None:
        self.steps_done = 0
        self.seconds = self.loading_seconds = 0.0
        self._learner, self._config, self._settings = learner, config, settings
        self._accelerator = accelerator
        self._batches = Prefetch(batches)
        self._validation = validation
        decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
        plain = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
        groups = [{'params': decayed, 'weight_decay': config.weight_decay}, {'params': plain}]
        optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=0.0)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, cosine(max(1, config.steps), config.warm_up_steps)
        )
        self._averaged = None
        if config.average:
            keep = get_ema_multi_avg_fn(config.average)
            self._averaged = AveragedModel(model, multi_avg_fn=keep, use_buffers=True)
            self._averaged.to(accelerator.device)
        if accelerator.num_processes > 1 and accelerator.device.type == 'cuda':
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # there is none for CPUs
        self._module, self._optimiser = accelerator.prepare(Objective(learner, model), optimiser)
        self._objective: Objective = accelerator.unwrap_model(self._module)
        if config.compile:
            compiled_part(self._objective.model, learner.kind).compile()

    @property
    def model(self) -> nn.Module:
        """The model to judge and to write: the averaged one where there is one."""
        return self._averaged.module if self._averaged is not None else self._objective.model

    @property
    def device(self) -> torch.device:
        """Where batches go."""
        return self._accelerator.device

    @property
    def validation_generators(self) -> tuple[np.random.Generator, ...]:
        """Every source of random numbers that the next frames to judge by depend on."""
        return self._validation.generators

    def step(self) -> dict[str, float]:
        """Take one optimiser step; return the terms of the loss."""
        config, accelerator = self._config, self._accelerator
        started = time.monotonic()
        self._module.train()
        self._optimiser.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        for part in range(config.accumulate):
            before = time.monotonic()
            batch = self._batches.next()
            self.loading_seconds += time.monotonic() - before
            last = part == config.accumulate - 1
            with nullcontext() if last else accelerator.no_sync(self._module):
                terms = self._module(self.prepared(batch, part))
                accelerator.backward(torch.stack(list(terms.values())).sum() / config.accumulate)
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + float(term.detach()) / config.accumulate
        accelerator.clip_grad_norm_(self._module.parameters(), config.clip_norm)
        self._optimiser.step()
        self._schedule.step()
        if self._averaged is not None:
            self._averaged.update_parameters(self._objective.model)
        self.steps_done += 1
        self.seconds += time.monotonic() - started
        return sums

    def rates(self) -> dict[str, float]:
        """Return images a second, of all processes: of the steps, and what the loader could give.

        And the share of the time that the model waited for data.
        """
        images = self._config.images * self._accelerator.num_processes
        return {
            'images_per_s': images * self._config.accumulate * self.steps_done / self.seconds,
            'loader_images_per_s': images * self._batches.drawn / self._batches.drawing_seconds,
            'loader_share': self.loading_seconds / self.seconds,
        }

    def prepared(self, batch: Batch, part: int) -> Batch:
        """Return the batch on the device, images jittered: random by step and process alone."""
        rank = self._accelerator.process_index
        seed = np.random.SeedSequence([self._config.seed, self.steps_done, part, rank])
        torch.manual_seed(int(seed.generate_state(1)[0]))
        return jittered(batch.to(self._accelerator.device), self._config)

    @torch.inference_mode()
    def validate(self, batches: int = 1, model: nn.Module | None = None) -> dict[str, float]:
        """Return the errors on frames held back, and those of an arm that holds still.

        Of the model that is trained, or of another of its kind.
        """
        judged = (model or self.model).eval()
        found: list[dict[str, float]] = []
        for _ in range(batches):
            batch = self._validation.draw().to(self.device)
            found.append(self._learner.errors(judged, batch) | hold_still(batch))
        return {name: float(np.mean([row[name] for row in found])) for name in found[0]}

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on, in one piece or not at all."""
        if not self._accelerator.is_main_process:
            return
        draft = path.with_suffix('.draft')
        state = {
            'settings': self._settings,
            'steps_done': self.steps_done,
            'seconds': self.seconds,
            'loading_seconds': self.loading_seconds,
            'model': self._objective.model.state_dict(),
            'averaged': self._averaged.state_dict() if self._averaged is not None else {},
            'optimiser': self._optimiser.state_dict(),
            'schedule': self._schedule.state_dict(),
            'batches': self._batches.state(),
            'validation': [g.bit_generator.state for g in self._validation.generators],
        }
        torch.save(state, draft)
        os.replace(draft, path)

    def load(self, path: Path) -> None:
        """Go on where `save` was called.

        Raises:
            ConfigError: the file is damaged, or of a training with other settings.
        """
        try:
            device = self._accelerator.device
            state: dict[str, Any] = torch.load(path, device, weights_only=True)
            found: dict[str, object] = state['settings']
        except Exception as error:  # torch names no narrower one for a damaged file
            raise ConfigError(f"'{path}' cannot be resumed from; delete it: {error}") from error
        if differences := [
            f'{name} {found.get(name)} there, {value} here'
            for name, value in self._settings.items()
            if found.get(name) != value
        ]:
            raise ConfigError(
                f"'{path}' is of a training with other settings ({', '.join(differences)}); "
                'use those, choose another --output, or begin anew with --restart'
            )
        self._objective.model.load_state_dict(state['model'])
        if self._averaged is not None:
            self._averaged.load_state_dict(state['averaged'])
        self._optimiser.load_state_dict(state['optimiser'])
        self._schedule.load_state_dict(state['schedule'])
        self._batches.restore(state['batches'])
        for generator, kept in zip(self._validation.generators, state['validation'], strict=True):
            generator.bit_generator.state = kept
        self.steps_done, self.seconds = state['steps_done'], state['seconds']
        self.loading_seconds = state['loading_seconds']


def make_accelerator(config: FitConfig) -> Accelerator:
    """Return the processes and devices that this training runs on, as the launcher says.

    Raises:
        ConfigError: CUDA is asked for where there is none, or to compile without a compiler.
    """
    if config.device == 'cuda' and not torch.cuda.is_available():
        raise ConfigError("device 'cuda' is not available here; use 'cpu' or 'auto'")
    compiler = os.environ.get('CXX', 'g++')
    if config.compile and not shutil.which(compiler):
        raise ConfigError(
            f"compile: torch needs a compiler, and there is no '{compiler}'; sudo apt install "
            'g++, or leave compile out'
        )
    if config.threads:
        torch.set_num_threads(config.threads)
    cpu = config.device == 'cpu' or not torch.cuda.is_available()
    precision = 'bf16' if config.bf16 else 'no'
    # a batch without any known place leaves the layers that point without a gradient
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=cpu, mixed_precision=precision, kwargs_handlers=[unused])


def compiled_part(model: nn.Module, kind: str) -> nn.Module:
    """Return the part of a model that torch may compile: its image encoder.

    It takes most of the time, and its shapes never change; those of sentences always do.

    Raises:
        ConfigError: a model of that kind has none.
    """
    vision = getattr(model, 'vision', None)
    if not isinstance(vision, nn.Module):
        raise ConfigError(f"compile: kind '{kind}' has no image encoder to compile; leave it out")
    return vision


def jittered(batch: Batch, config: FitConfig) -> Batch:
    """Change brightness and contrast of each image a little, and add noise.

    The sentences of an image get the same one.
    """
    images = batch.images_BTVHWC[:: batch.sentences_per_image].float()
    shape = (len(images), *[1] * (images.ndim - 1))
    gain = 1 + config.brightness * (2 * torch.rand(shape, device=images.device) - 1)
    offset = 128 * config.brightness * (2 * torch.rand(shape, device=images.device) - 1)
    images = (images - 128) * gain + 128 + offset
    images = (images + config.noise * torch.randn_like(images)).clamp_(0, 255)
    images = images.repeat_interleave(batch.sentences_per_image, 0)
    return replace(batch, images_BTVHWC=images)


def hold_still(batch: Batch) -> dict[str, float]:
    """Return the mean error of velocities (rad/s) of an arm that never moves."""
    counts = batch.valid_BK & batch.grounded_B[:, None]
    speed = batch.actions_BKA[..., :7].abs().mean(-1)
    return {'hold_still_rad_s': float((speed * counts).sum() / counts.sum().clamp_min(1))}
