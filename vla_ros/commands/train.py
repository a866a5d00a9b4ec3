"""vla-ros train."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.core.strict_yaml import build, read_mapping, typed
from vla_ros.errors import ConfigError
from vla_ros.training.config import TrainConfig

if TYPE_CHECKING:
    from vla_ros.training.fit_config import FitConfig

LAYOUT = Path('meta/info.json')
"""What every data set of the LeRobot layout holds."""


def main(
    data: Path = Path('datasets/reach'),
    output: Path | None = None,
    policy: str = 'vla',
    config: Path | None = None,
    steps: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    learning_rate: float | None = None,
    batch_images: int | None = None,
    threads: int | None = None,
    arm: str = 'sim',
    restart: bool = False,
    force: bool = False,
) -> int:
    """Train a policy on recorded episodes and write a checkpoint.

    The same command again goes on with a training that was broken off, and under
    `accelerate launch` or `torchrun` it runs on many processes. On a data set of the LeRobot
    layout any kind of policy is trained, and written only if it is better than holding still on
    frames held back; on that of `vla-ros collect` for reach alone, the vla policy that ships.

    Args:
        data: folder of the data set.
        output: folder of the checkpoint; log.csv in it grows while training runs. By default
            runs/<policy>-<name of the data>.
        policy: kind of model; another name is answered with those that this data can train.
        config: YAML file with settings of the training, and under `model` of the model; what is
            given here wins.
        steps: optimiser steps; 2200 on recordings of reach alone, else 4000.
        seed: seed of weights, batches and sentences.
        device: auto, cpu or cuda.
        learning_rate: peak of the cosine schedule.
        batch_images: images a step, 32; each is trained with several sentences.
        threads: torch threads on the CPU; 0 leaves it to torch.
        arm: name in config/arms, or a YAML file; the data must be of its joints.
        restart: begin anew where a training was broken off.
        force: write the checkpoint although it is no better than holding still, and mark it.
    """
    folder = output or Path('runs') / f'{policy}-{data.name}'
    given = {
        'steps': steps, 'seed': seed, 'device': device, 'learning_rate': learning_rate,
        'batch_images': batch_images, 'threads': threads,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    if (data / LAYOUT).is_file():
        return _fit(data, folder, policy, config, given, arm, restart, force)
    if policy != 'vla' or config is not None:
        raise ConfigError(
            f"'{data}' is no data set of the LeRobot layout, so policy is 'vla' and there is no "
            'config; record one with: vla-ros collect --tasks all'
        )
    from vla_ros.training.train import summary, train

    train(data, folder, replace(TrainConfig(), **given), _command(), restart=restart)
    print(summary(folder))
    print(f'next: vla-ros eval --policy {folder}')
    return 0


def _fit(
    data: Path,
    output: Path,
    policy: str,
    config: Path | None,
    given: dict[str, Any],
    arm: str,
    restart: bool,
    force: bool,
) -> int:
    from vla_ros.training.fit_run import Run, fit_table

    settings, model = read_settings(config)
    given = {'images' if name == 'batch_images' else name: v for name, v in given.items()}
    run = Run(data, output, policy, model, arm, _command(), force)
    training = fit_table(run, replace(settings, **given), restart=restart)
    judged = training['held_out']
    print(
        f'{training["frames"]} frames, {training["minutes"]} minutes; on frames held back off by '
        f'{judged["action_rad_s"]:.3f} rad/s, holding still by {judged["hold_still_rad_s"]:.3f}'
    )
    print(f'next: vla-ros eval --task all --policy {output}')
    return 0


def read_settings(path: Path | None) -> tuple[FitConfig, dict[str, Any]]:
    """Return the settings of the training and of the model in a YAML file, or the defaults.

    Raises:
        ConfigError: no such file, an unknown key, or a value that cannot be.
    """
    from vla_ros.training.fit_config import FitConfig

    if path is None:
        return FitConfig(), {}
    content = read_mapping(path, f'the fields {", ".join(f.name for f in fields(FitConfig))}')
    model = content.pop('model', {})
    if not isinstance(model, dict):
        raise ConfigError(f'{path}: model: a mapping of keys is needed, got {model!r}')
    return build(FitConfig, typed(FitConfig, content, str(path)), str(path)), model


def _command() -> str:
    return ' '.join(['vla-ros', *sys.argv[1:]])
