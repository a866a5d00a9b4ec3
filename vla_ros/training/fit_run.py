"""`vla-ros train` on a data set of the LeRobot layout: from a folder to a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.data.reader import Dataset, open_dataset
from vla_ros.errors import ConfigError
from vla_ros.training.driving import Driving
from vla_ros.training.fit import Fit, make_accelerator
from vla_ros.training.fit_config import FitConfig
from vla_ros.training.gate import check_fits, judge, pass_gate
from vla_ros.training.learners.kinds import make_learner
from vla_ros.training.learners.learner import Learner, Ranges, verbatim
from vla_ros.training.learners.vla import VlaLearner
from vla_ros.training.leave_out import leave_out
from vla_ros.training.log import Log, draw_log
from vla_ros.training.polish import polish
from vla_ros.training.restored import folder_of, restore, take_over
from vla_ros.training.speech import Speech
from vla_ros.training.table import Table, load_table
from vla_ros.training.table_batches import TableBatches
from vla_ros.types import ARM_JOINTS

if TYPE_CHECKING:
    from vla_ros.policies.vla.model import VlaModel

VALIDATION_SHARE = 0.04
REPORT_STEPS = 50
UNFINISHED, LOG, PLOT = 'unfinished.pt', 'log.csv', 'log.png'


@dataclass(frozen=True)
class Run:
    """What is trained on what.

    Attributes:
        data: folder of the data set.
        output: folder of the checkpoint.
        kind: of the model.
        model: fields of its configuration that differ from the defaults.
        arm: name in config/arms, or a YAML file; the data must be of its joints.
        command: what was typed, for the manifest.
        base: checkpoint to begin with instead of a new model; what is written must be better. With
            fields in `model` the model is a new one of those, which takes over what fits.
        force: write the checkpoint although it is no better, and mark it.
    """

    data: Path
    output: Path
    kind: str = 'vla'
    model: Mapping[str, Any] = field(default_factory=dict)
    arm: str = 'sim'
    command: str = ''
    base: str = ''
    force: bool = False


def fit_table(run: Run, config: FitConfig, *, restart: bool = False) -> dict[str, Any]:
    """Train a model and write its checkpoint; return what the manifest says of the training.

    A training that was broken off goes on where its state was saved last, unless `restart`.

    Raises:
        ConfigError: data of other joints, unknown settings, an unfinished training with other
            settings, or a model that is no better than holding still or than its base.
        CheckpointError: a base that cannot be trained further.
        DatasetError: no data set, or a damaged one.
    """
    embodiment = load_arm(run.arm)
    accelerator = make_accelerator(config)
    learner, base = _beginning(run, embodiment)
    if config.head_steps and not isinstance(learner, VlaLearner):
        raise ConfigError(f"head_steps: {config.head_steps}; kind '{learner.kind}' takes none")
    if config.recolour:
        raise ConfigError(f"recolour: kind '{learner.kind}' takes none; cliport does")
    table, dataset = load_table(run.data, embodiment, learner.chunk_steps)
    table = leave_out(table, dataset.tasks, config.leave_out)
    begin = _validation_begin(dataset)
    batches, validation = (
        TableBatches(
            part,
            Speech(
                dataset.tasks, config.seed + k, config.leave_out, verbatim=verbatim(learner)
            ),
            images=config.images, sentences=config.sentences,
            refusals=0 if verbatim(learner) else config.refusals,
            frames=learner.observation_horizon, seed=config.seed + k,
            share=(accelerator.process_index, accelerator.num_processes),
        )
        for k, part in enumerate((table.rows(0, begin), table.rows(begin, len(table))))
    )  # fmt: skip
    settings = {name: value for name, value in asdict(config).items() if 'drive' not in name}
    settings |= {
        'data': str(run.data), 'kind': run.kind, 'frames': len(table), 'base': run.base,
    }  # fmt: skip
    torch.manual_seed(config.seed)
    model = base
    if base is None or run.model:
        model = learner.build(ranges_of(table.rows(0, begin)))
    if base is not None and model is not base:
        take_over(model, base)
    fit = Fit(learner, model, batches, validation, config, settings, accelerator)
    run.output.mkdir(parents=True, exist_ok=True)
    episodes = config.drive_episodes if config.drive_steps and not verbatim(learner) else 0
    driving = Driving(learner, embodiment, dataset.tasks, episodes)
    show = accelerator.is_main_process
    take_steps(fit, config, run.output, restart=restart, show=show, driving=driving)
    if config.head_steps and isinstance(learner, VlaLearner):
        folders = [run.output, *([folder_of(run.base)] if run.base else [])]
        folders = folders if accelerator.is_main_process else []
        polish(learner, cast('VlaModel', fit.model), batches, config, folders)
    base = restore(run.base, embodiment)[1].to(fit.device) if run.base else None
    judged = judge(fit, base)
    training = {
        'command': run.command,
        'data': str(run.data),
        'base': run.base,
        'frames': len(table.drawn),
        'config': asdict(config),
        'minutes': round(fit.seconds / 60, 1),
        'held_out': {name: round(value, 5) for name, value in judged.items()},
    }
    if accelerator.is_main_process:
        pass_gate(training, force=run.force)
        write_checkpoint(run, learner, fit, training, embodiment)
    return training


def ranges_of(table: Table) -> Ranges:
    """Return the statistics that a model normalises with."""
    actions = table.actions_NMKA[table.valid_NMK]
    mean = actions.mean(0, dtype=np.float64)
    mean[:ARM_JOINTS] = 0.0  # rest is rest
    spread = np.sqrt(((actions - mean) ** 2).mean(0, dtype=np.float64))
    states = table.states_NP
    return Ranges(
        states.mean(0, dtype=np.float64),
        states.std(0, dtype=np.float64),
        actions.min(0).astype(np.float64),
        actions.max(0).astype(np.float64),
        mean,
        spread,
    )


def _beginning(run: Run, embodiment: Embodiment) -> tuple[Learner, Any]:
    """Return the learner, and the model of the base; None where there is none."""
    dataset = open_dataset(run.data)
    if not run.base:
        return make_learner(run.kind, dataset, run.model), None
    learner, model, manifest = restore(run.base, embodiment)
    check_fits(dataset, manifest)
    if run.model:
        learner = make_learner(manifest.kind, dataset, run.model)
    return learner, model


def _validation_begin(dataset: Dataset) -> int:
    """Return the row from which frames are held back: the last episodes."""
    count = len(dataset.episodes)
    if count < 2:
        raise ConfigError(f"'{dataset.folder}' has {count} episode; at least 2 are needed")
    held_back = max(1, round(VALIDATION_SHARE * count))
    return dataset.episodes[count - held_back].first


def write_checkpoint(
    run: Run,
    learner: Any,  # noqa: ANN401  of a kind of its own
    fit: Fit,
    training: dict[str, Any],
    embodiment: Embodiment,
) -> None:
    """Write the checkpoint and the picture of the log; nothing is left to resume."""
    learner.save(fit.model, run.output, embodiment, training)
    if fit.steps_done:
        draw_log(run.output / LOG, run.output / PLOT)
    (run.output / UNFINISHED).unlink(missing_ok=True)


def take_steps(
    fit: Fit,
    config: FitConfig,
    output: Path,
    *,
    restart: bool,
    show: bool,
    driving: Driving | None = None,
    title: str = 'train',
    report_steps: int = REPORT_STEPS,
) -> None:
    """Take the steps that are left, with a progress bar, a log and a state to resume from.

    Args:
        fit: what takes them.
        config: of it.
        output: folder of the log and the state.
        restart: do not go on where a training was broken off.
        show: write and print; of several processes one does.
        driving: drives the simulated arm now and then.
        title: before the progress bar.
        report_steps: between two rows of the log.
    """
    unfinished, log = output / UNFINISHED, Log(output / LOG)
    if unfinished.is_file() and not restart:
        fit.load(unfinished)
        print(f'going on after step {fit.steps_done}, where {unfinished} was saved')
    curves = None
    if show:
        log.keep(fit.steps_done)
        curves = SummaryWriter(str(output), purge_step=fit.steps_done + 1)
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    started, begun = time.monotonic(), fit.steps_done
    seen: list[dict[str, float]] = []
    with Progress(*columns, TextColumn('{task.fields[text]}'), disable=not show) as progress:
        bar = progress.add_task('', total=config.steps, completed=fit.steps_done, text='')
        while fit.steps_done < config.steps:
            seen.append(fit.step())
            progress.update(bar, completed=fit.steps_done)
            if fit.steps_done % report_steps and fit.steps_done < config.steps:
                continue
            row = {name: float(np.mean([s[name] for s in seen])) for name in seen[0]}
            row |= {f'val_{name}': value for name, value in fit.validate().items()}
            row['steps_per_s'] = (fit.steps_done - begun) / (time.monotonic() - started)
            row |= fit.rates()
            seen.clear()
            if driving:
                row |= driving.unknown
            turn = config.drive_steps and fit.steps_done % config.drive_steps < report_steps
            if driving and show and (fit.steps_done == config.steps or turn):
                progress.update(bar, text='driving the simulated arm')
                row |= driving.rates(fit.model)
            if curves is not None:
                log.add({'step': fit.steps_done, **row})
                for name, value in row.items():
                    curves.add_scalar(name, value, fit.steps_done)
                curves.flush()
            fit.save(unfinished)  # after its row: who goes on from it makes no row before it
            progress.update(bar, text=' '.join(f'{k} {v:.3f}' for k, v in row.items()))
