"""vla-ros train."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from vla_ros.core.strict_yaml import build, read_mapping, typed
from vla_ros.errors import ConfigError
from vla_ros.training.config import TrainConfig

if TYPE_CHECKING:
    from vla_ros.training.fit_config import FitConfig
    from vla_ros.training.fit_run import Run

SCENES_OF = 'cliport'
"""The kind of model that learns from demonstrations, one scene each."""
LAYOUT = Path('meta/info.json')
"""What every data set of the LeRobot layout holds."""


@dataclass(frozen=True)
class Recipe:
    """What a file says of a training beside its settings."""

    data: str = 'datasets/reach'
    output: str = ''
    policy: str = 'vla'
    arm: str = 'sim'


def main(
    config: Annotated[
        Path | None, tyro.conf.Positional, tyro.conf.arg(metavar='[CONFIG.yaml]')
    ] = None,
    data: Path | None = None,
    output: Path | None = None,
    policy: str | None = None,
    steps: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    learning_rate: float | None = None,
    batch_images: int | None = None,
    threads: int | None = None,
    hues: float | None = None,
    arm: str | None = None,
    base: str = '',
    restart: bool = False,
    force: bool = False,
) -> int:
    """Train a policy on recorded episodes and write a checkpoint.

    The same command again goes on with a training that was broken off, and under
    `accelerate launch` or `torchrun` it runs on many processes. On a data set of the LeRobot
    layout any kind of policy is trained, and written only if it is better than holding still on
    frames held back; on that of `vla-ros collect` for reach alone, the vla policy that ships.

    Args:
        config: YAML file with data, output, policy, arm, settings of the training, and under
            `model` of the model; what is given here wins. docs/training.md lists them.
        data: folder of the data set; datasets/reach by default.
        output: folder of the checkpoint; log.csv in it grows while training runs. By default
            runs/<policy>-<name of the data>.
        policy: kind of model, vla by default; another name is answered with those there are.
        steps: optimiser steps; 2200 on recordings of reach alone, 3000 of cliport, else 4000.
        seed: seed of weights, batches and sentences.
        device: auto, cpu or cuda.
        learning_rate: peak of the cosine schedule.
        batch_images: images a step, 32, each with several sentences; scenes of cliport, 2.
        threads: torch threads on the CPU; 0 leaves it to torch.
        hues: share of images whose hues are turned, and what is in them named by its new colours,
            so that a colour is learned for itself; for recordings of reach alone.
        arm: name in config/arms, or a YAML file, sim by default; the data must be of its joints.
        base: a checkpoint to go on with instead of a new model, such as one that drove while more
            was recorded (`vla-ros collect --policy`); what is written must be better than it.
        restart: begin anew where a training was broken off.
        force: write the checkpoint although it is no better than its base or than holding still
            (cliport: than the middle of all picks and places), and mark it.
    """
    recipe, settings, model = read_settings(config)
    said = {'data': data, 'output': output, 'policy': policy, 'arm': arm}
    recipe = replace(recipe, **{k: str(v) for k, v in said.items() if v is not None})
    where = Path(recipe.data)
    folder = Path(recipe.output or f'runs/{recipe.policy}-{where.name}')
    given = {
        'steps': steps, 'seed': seed, 'device': device, 'learning_rate': learning_rate,
        'batch_images': batch_images, 'threads': threads, 'hues': hues,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    if (where / LAYOUT).is_file():
        if hues is not None:
            raise ConfigError(
                f"hues: '{where}' is no recording of vla-ros collect for reach alone"
            )
        from vla_ros.training.fit_config import FitConfig
        from vla_ros.training.fit_run import Run

        given = {'images' if name == 'batch_images' else name: v for name, v in given.items()}
        run = Run(where, folder, recipe.policy, model, recipe.arm, _command(), base, force)
        if recipe.policy == SCENES_OF:
            return _fit_scenes(run, settings | given, restart)
        return _fit(run, replace(FitConfig(), **{**settings, **given}), restart)
    if recipe.policy != 'vla' or config is not None or base:
        what = '--demonstrations' if recipe.policy == SCENES_OF else '--tasks all'
        raise ConfigError(
            f"'{where}' is no data set of the LeRobot layout, so policy is 'vla' and there is no "
            f'config and no base; record one with: vla-ros collect {what}'
        )
    from vla_ros.training.train import summary, train

    settings = replace(TrainConfig(), **given)
    train(where, folder, settings, _command(), restart=restart, force=force)
    print(summary(folder))
    print(f'next: vla-ros eval --policy {folder}')
    return 0


def _fit(run: Run, config: FitConfig, restart: bool) -> int:
    from vla_ros.training.fit_run import fit_table

    training = fit_table(run, config, restart=restart)
    judged = training['held_out']
    print(
        f'{training["frames"]} frames, {training["minutes"]} minutes; on frames held back off by '
        f'{judged["action_rad_s"]:.3f} rad/s, holding still by {judged["hold_still_rad_s"]:.3f}'
    )
    print(f'next: vla-ros eval --task all --policy {run.output}')
    return 0


def _fit_scenes(run: Run, given: dict[str, Any], restart: bool) -> int:
    from vla_ros.training.fit_scenes import SCENES, fit_scenes

    training = fit_scenes(run, replace(SCENES, **given), restart=restart)
    judged = training['held_out']
    print(
        f'{training["demonstrations"]} demonstrations, {training["minutes"]} minutes; of those '
        f'held back {judged["right"]:.0%} decided rightly, picks off by {judged["pick_mm"]:.0f} mm'
    )
    print(f'next: vla-ros eval --task all --policy {run.output}')
    return 0


def read_settings(path: Path | None) -> tuple[Recipe, dict[str, Any], dict[str, Any]]:
    """Return what a YAML file says: recipe, settings of the training, and of the model.

    Raises:
        ConfigError: no such file, an unknown key, or a value that cannot be.
    """
    from vla_ros.training.fit_config import FitConfig

    if path is None:
        return Recipe(), {}, {}
    ours = [field.name for field in fields(Recipe)]
    known = [*ours, *(field.name for field in fields(FitConfig)), 'model']
    content, where = read_mapping(path, f'the fields {", ".join(known)}'), str(path)
    model = content.pop('model', {})
    if not isinstance(model, dict):
        raise ConfigError(f'{path}: model: a mapping of keys is needed, got {model!r}')
    recipe = typed(Recipe, {k: content.pop(k) for k in ours if k in content}, where)
    settings = typed(FitConfig, content, where)
    build(FitConfig, settings, where)  # refuses what cannot be, and says where it stands
    return build(Recipe, recipe, where), settings, model


def _command() -> str:
    return ' '.join(['vla-ros', *sys.argv[1:]])
