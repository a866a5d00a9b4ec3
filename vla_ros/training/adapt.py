"""`vla-ros adapt`: a trained policy learns from a few episodes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.data.reader import Dataset, open_dataset
from vla_ros.errors import ConfigError, check_at_least, choose
from vla_ros.policies.checkpoint import Manifest
from vla_ros.training.adapters import METHODS, Adapted
from vla_ros.training.fit import Fit, make_accelerator
from vla_ros.training.fit_config import FitConfig
from vla_ros.training.fit_run import LOG, PLOT, UNFINISHED, ranges_of, take_steps
from vla_ros.training.gate import check_fits, judge, pass_gate
from vla_ros.training.learners.learner import Learner, verbatim
from vla_ros.training.log import draw_log
from vla_ros.training.restored import restore
from vla_ros.training.speech import Speech
from vla_ros.training.table import Table, load_table
from vla_ros.training.table_batches import TableBatches

REPORT_STEPS = 20
HELD_OUT_SHARE = 0.2
FEW = FitConfig(steps=300, images=16, refusals=1, learning_rate=3e-4, warm_up_steps=20)
"""How it is trained unless something else is said."""


@dataclass(frozen=True)
class Adaptation:
    """What learns from what.

    Attributes:
        base: folder of a checkpoint, or the name of a shipped one.
        data: folder of a data set of the LeRobot layout, of the base's arm, cameras and rate.
        output: folder of the new checkpoint.
        method: full, head or lora, see `Adapted`; scratch is a new model like the base, which
            shows what the base is worth.
        episodes: how many of the first ones to learn from; 0 means all that are not held out.
        rank: of the matrices of lora.
        arm: name in config/arms, or a YAML file.
        command: what was typed, for the manifest.
        force: write the checkpoint although it is no better, and mark it.
        restart: begin anew where an adaptation was broken off.
    """

    base: str
    data: Path
    output: Path
    method: str = 'lora'
    episodes: int = 0
    rank: int = 8
    arm: str = 'sim'
    command: str = ''
    force: bool = False
    restart: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        choose('method', self.method, METHODS)
        check_at_least('episodes', self.episodes, 0)
        check_at_least('rank', self.rank, 1)

    def settings(self, config: FitConfig, base: Manifest, shown: int) -> dict[str, object]:
        """Return what an adaptation must share with one that was broken off to go on with it.

        `shown` is how much there is to learn from: data may have grown in between.
        """
        mine: dict[str, object] = {
            'base': self.base, 'base_sha256': base.weights_sha256, 'data': str(self.data),
            'shown': shown, 'method': self.method, 'episodes': self.episodes, 'rank': self.rank,
        }  # fmt: skip
        return asdict(config) | mine


def adapt(task: Adaptation, config: FitConfig = FEW) -> dict[str, Any]:
    """Adapt a policy and write a checkpoint; return what its manifest says of the training.

    The last fifth of the episodes, at least one, is held out: on those the new policy must be
    better than the base, and than holding still, or it is not written.

    Raises:
        CheckpointError: a base that cannot be trained further.
        ConfigError: data that do not fit the base, or a result that is no better.
        DatasetError: no data set, or a damaged one.
    """
    embodiment = load_arm(task.arm)
    learner, model, manifest = restore(task.base, embodiment)
    check_fits(open_dataset(task.data), manifest)
    table, dataset = load_table(task.data, embodiment, learner.chunk_steps)
    shown, held_out = split(table, dataset, task.episodes)
    batches, validation = (
        TableBatches(
            part, Speech(dataset.tasks, config.seed + k, verbatim=verbatim(learner)),
            images=config.images, sentences=config.sentences,
            refusals=0 if verbatim(learner) else config.refusals,
            frames=learner.observation_horizon, seed=config.seed + k,
        )
        for k, part in enumerate((shown, held_out))
    )  # fmt: skip
    torch.manual_seed(config.seed)
    if task.method == 'scratch':
        model = learner.build(ranges_of(shown))
    adapted = Adapted(model, manifest.kind, task.method, task.rank)
    settings = task.settings(config, manifest, len(shown))
    fit = Fit(
        learner,
        model,
        batches,
        validation,
        config,
        settings,
        make_accelerator(config),
    )
    training = learn(task, adapted, fit, config, manifest)
    base = restore(task.base, embodiment)[1]
    training |= {'frames': len(shown), 'held_out': judge(fit, base.to(fit.device))}
    pass_gate(training, force=task.force)
    write_adapted(learner, adapted, fit, task.output, embodiment, training)
    return training


def split(table: Table, dataset: Dataset, episodes: int) -> tuple[Table, Table]:
    """Return the frames to learn from and those that are held out: the last episodes.

    Raises:
        ConfigError: fewer episodes than asked for and one to hold out.
    """
    shown, begin = shares(len(dataset.episodes), episodes, dataset.folder)
    held_out = table.rows(dataset.episodes[begin].first, len(table))
    return table.rows(0, dataset.episodes[shown - 1].end), held_out


def shares(count: int, episodes: int, folder: Path) -> tuple[int, int]:
    """Return how many episodes are learned from, and the first one that is held out.

    Raises:
        ConfigError: fewer than `episodes` and one to hold out.
    """
    kept_back = max(1, round(HELD_OUT_SHARE * count))
    shown = episodes or count - kept_back
    if shown < 1 or shown >= count:
        raise ConfigError(
            f"'{folder}' has {count} episodes; {max(1, shown)} to learn from and at least "
            'one to hold out are needed'
        )
    return shown, max(shown, count - kept_back)


def write_adapted(
    learner: Learner,
    adapted: Adapted,
    fit: Fit,
    output: Path,
    embodiment: Embodiment,
    training: dict[str, Any],
) -> None:
    """Write the checkpoint, adapters merged, and the picture of the log; no state is left."""
    if fit.model is not adapted.model:
        adapted.model.load_state_dict(fit.model.state_dict())  # the averaged weights
    model = adapted.merged().requires_grad_(True)
    learner.save(model, output, embodiment, training)
    draw_log(output / LOG, output / PLOT)
    (output / UNFINISHED).unlink(missing_ok=True)


def learn(
    task: Adaptation, adapted: Adapted, fit: Fit, config: FitConfig, manifest: Manifest
) -> dict[str, Any]:
    """Take all steps; return what the new manifest says of them, the base's given."""
    task.output.mkdir(parents=True, exist_ok=True)
    take_steps(
        fit, config, task.output, restart=task.restart, show=True, title='adapt',
        report_steps=REPORT_STEPS,
    )  # fmt: skip
    return {
        'command': task.command,
        'base': {'name': task.base, 'weights_sha256': manifest.weights_sha256},
        'data': str(task.data),
        'method': task.method,
        'trained_numbers': adapted.trained,
        'config': asdict(config),
        'minutes': round(fit.seconds / 60, 1),
    }
