"""One training: a model, its optimiser and every random number, steppable and resumable."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vla_ros.errors import ConfigError
from vla_ros.policies.vla.model import VlaModel
from vla_ros.training.batches import Batches, jitter
from vla_ros.training.config import TrainConfig
from vla_ros.training.gate import JUDGED_BATCHES, OWN, STILL
from vla_ros.training.objective import losses, run_model


class Trainer:
    """Steps a model through batches; `save` and `load` carry a training over a kill -9.

    AdamW with a warm-up and a cosine to zero. On the CPU a training that was broken off and
    resumed ends with the same weights, to the bit, as one that was not.
    """

    def __init__(
        self,
        model: VlaModel,
        batches: Batches,
        validation: Batches,
        config: TrainConfig,
        settings: Mapping[str, object],
        device: torch.device,
    ) -> None:
        """Begin; `settings` are all that a training must share to be gone on with."""
        self.model = model
        self.steps_done = 0
        self.seconds = 0.0  # spent in all runs of this training so far
        self._batches = batches
        self._validation = validation
        self._config = config
        self._settings = dict(settings)
        self._device = device
        decayed = [p for p in model.parameters() if p.ndim >= 2]
        plain = [p for p in model.parameters() if p.ndim < 2]
        groups = [{'params': decayed, 'weight_decay': config.weight_decay}, {'params': plain}]
        self._optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=0.0)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, cosine(config.steps, config.warm_up_steps)
        )

    def step(self) -> dict[str, float]:
        """Take one optimiser step; return the terms of the loss."""
        self.model.train()
        batch = self._batches.draw(self._device)
        images = jitter(batch.images_BVHWC, self._config)
        terms = losses(self.model, run_model(self.model, batch, images), batch)
        self._optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._config.clip_norm)
        self._optimiser.step()
        self._schedule.step()
        self.steps_done += 1
        return {name: float(term.detach()) for name, term in terms.items()}

    def judge(self) -> dict[str, float]:
        """Return what the gate looks at, on several batches of held-back frames."""
        rows = [self.validate() for _ in range(JUDGED_BATCHES)]
        return {name: float(np.mean([r[f'val_{name}'] for r in rows])) for name in (OWN, STILL)}

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Return errors on a batch of held-back frames: goal (mm), action (rad/s), refusals.

        And the error of an arm that holds still.
        """
        self.model.eval()
        batch = self._validation.draw(self._device)
        prediction = run_model(self.model, batch, batch.images_BVHWC)
        asked = batch.asked_N >= 0
        velocities = prediction.actions_BKA * self.model.action_std + self.model.action_mean
        report = {
            f'val_{OWN}': float((velocities - batch.actions_NKA)[asked].abs().mean()),
            f'val_{STILL}': float(batch.actions_NKA[asked].abs().mean()),
            'val_grounded': float(((prediction.grounded_B > 0) == asked).float().mean()),
        }
        if prediction.targets_BD3 is not None:
            error = (prediction.targets_BD3[:, -1] - batch.targets_N3)[asked].norm(dim=-1)
            report['val_goal_mm'] = float(error.median() * 1000)
        return report

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on, in one piece or not at all."""
        draft = path.with_suffix('.draft')
        torch.save(
            {
                'settings': self._settings,
                'steps_done': self.steps_done,
                'seconds': self.seconds,
                'model': self.model.state_dict(),
                'optimiser': self._optimiser.state_dict(),
                'schedule': self._schedule.state_dict(),
                'torch_rng': torch.get_rng_state(),
                'numpy_rngs': [r.bit_generator.state for r in self._generators()],
            },
            draft,
        )
        os.replace(draft, path)

    def load(self, path: Path) -> None:
        """Go on where `save` was called.

        Raises:
            ConfigError: the file is damaged, or of a training with other settings.
        """
        try:
            state: dict[str, Any] = torch.load(path, self._device, weights_only=True)
            found: dict[str, object] = state['settings']
        except Exception as error:  # torch names no narrower one for a damaged file
            raise ConfigError(f"'{path}' cannot be resumed from; delete it: {error}") from error
        differences = [
            f'{name} {found.get(name)} there, {value} here'
            for name, value in self._settings.items()
            if found.get(name) != value
        ]
        if differences:
            raise ConfigError(
                f"'{path}' is of a training with other settings ({', '.join(differences)}); "
                'use those, choose another --output, or begin anew with --restart'
            )
        self.model.load_state_dict(state['model'])
        self._optimiser.load_state_dict(state['optimiser'])
        self._schedule.load_state_dict(state['schedule'])
        torch.set_rng_state(state['torch_rng'].cpu())
        for generator, saved in zip(self._generators(), state['numpy_rngs'], strict=True):
            generator.bit_generator.state = saved
        self.steps_done, self.seconds = state['steps_done'], state['seconds']

    def _generators(self) -> list[np.random.Generator]:
        return [*self._batches.generators, *self._validation.generators]


def cosine(steps: int, warm_up_steps: int) -> Callable[[int], float]:
    """Return step → share of the peak learning rate: a warm-up, then a cosine to zero."""

    def factor(step: int) -> float:
        warm = min(1.0, (step + 1) / warm_up_steps)
        return warm * 0.5 * (1 + float(np.cos(np.pi * min(1.0, step / steps))))

    return factor
