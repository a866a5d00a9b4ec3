"""How any kind of model is trained on a table of frames."""

from __future__ import annotations

from dataclasses import dataclass

from vla_ros.errors import ConfigError, check_at_least


@dataclass(frozen=True)
class FitConfig:
    """AdamW with a warm-up and a cosine to zero, on one CPU or on many GPUs.

    Attributes:
        steps: optimiser steps.
        images: a step and process, with `sentences` each, of which `refusals` name nothing that
            can be done.
        accumulate: batches whose gradients make one step.
        average: decay of the exponential moving average of the weights, which is what is judged
            and written; 0 for none.
        bf16: compute in bfloat16, for GPUs; on CPUs it is far slower.
        device: auto, cpu or cuda.
        threads: torch threads on the CPU; 0 leaves it to torch.
        brightness: share by which brightness and contrast of images are changed.
        noise: standard deviation of what is added to them, of 255.
        drive_steps: after so many steps the policy drives the simulated arm, where the data are of
            its tasks; 0 for never.
        drive_episodes: of each task, every time.
        head_steps: after all steps so many more for the layers behind the trunk alone, which cost
            next to nothing (`training.polish`; kind vla only). What the trunk said is kept beside
            the checkpoint.
        leave_out: tasks, objects and bowls of the simulator that are never asked for, although the
            data do, nor named to be refused, nor on the table, to see how a policy takes what is
            new to it.
        recolour: exchange colours in each scene and its sentence alike (`training.recolour`; kind
            cliport only). Not for data that keep pairs of colour and shape out: it makes them.
        compile: let torch compile the image encoder of vla and rt1; for long trainings.
    """

    steps: int = 4000
    images: int = 32
    sentences: int = 4
    refusals: int = 1
    accumulate: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up_steps: int = 100
    clip_norm: float = 1.0
    average: float = 0.0
    bf16: bool = False
    seed: int = 0
    device: str = 'auto'
    threads: int = 0
    brightness: float = 0.25
    noise: float = 4.0
    recolour: bool = False
    compile: bool = False
    head_steps: int = 0
    drive_steps: int = 1000
    drive_episodes: int = 10
    leave_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        for name in ('images', 'accumulate', 'warm_up_steps'):
            check_at_least(name, getattr(self, name), 1)
        check_at_least('steps', self.steps, 0 if self.head_steps else 1)
        not_negative = (
            'seed', 'threads', 'refusals', 'brightness', 'noise', 'weight_decay', 'head_steps',
            'drive_steps', 'drive_episodes',
        )  # fmt: skip
        for name in not_negative:
            check_at_least(name, getattr(self, name), 0)
        if self.refusals >= self.sentences:
            raise ConfigError(
                f'refusals: {self.refusals} is not less than sentences, {self.sentences}'
            )
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f'learning_rate: {self.learning_rate} is not within 0 and 1')
        if not 0 <= self.average < 1:
            raise ConfigError(f'average: {self.average} is not within 0 and 1')
