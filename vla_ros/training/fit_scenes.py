"""`vla-ros train --policy cliport`: from demonstrations to a checkpoint."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any, cast

import torch
from torch import nn

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.data.reader import Dataset, open_dataset
from vla_ros.errors import ConfigError
from vla_ros.policies.cliport.language import WordEncoder
from vla_ros.policies.cliport.model import CliportModel
from vla_ros.training.driving import Driving
from vla_ros.training.fit import Fit, make_accelerator
from vla_ros.training.fit_config import FitConfig
from vla_ros.training.fit_run import UNFINISHED, Run, take_steps, write_checkpoint
from vla_ros.training.learners.cliport import CliportLearner, Example, Scene, Scenes
from vla_ros.training.learners.kinds import make_learner
from vla_ros.training.learners.words import teach_words
from vla_ros.training.recolour import every_renaming
from vla_ros.training.restored import SCENE_KINDS, restore
from vla_ros.training.scene_gate import middle, pass_scene_gate
from vla_ros.training.scenes import SceneBatches, load_examples
from vla_ros.training.speech import Speech

VALIDATION_SHARE = 0.1
REPORTED = 16
"""Demonstrations held back that a row of the log is about; in the end all are."""
SCENES = FitConfig(steps=3000, images=2, average=0.99, brightness=0.1, drive_steps=0)
"""How it is trained unless something else is said."""


def fit_scenes(run: Run, config: FitConfig, *, restart: bool = False) -> dict[str, Any]:
    """Train CLIPort and write its checkpoint; return what the manifest says of the training.

    The last tenth of the demonstrations, at least one, is held back. A training that was broken
    off goes on where its state was saved last, unless `restart`.

    Raises:
        CheckpointError: a base of another kind, or a damaged one.
        ConfigError: data without depth or points, unknown settings, an unfinished training with
            other settings, or a model that is no better than its base or than the middle of all
            demonstrations.
        DatasetError: no data set, or a damaged one.
    """
    if config.leave_out:
        raise ConfigError("leave_out: policy 'cliport' takes none; record what it is to learn")
    embodiment = load_arm(run.arm)
    accelerator = make_accelerator(config)
    dataset = open_dataset(run.data)
    learner, base = _beginning(run, embodiment, dataset)
    inside = examples_of(dataset, embodiment, learner)
    kept_back = max(1, round(VALIDATION_SHARE * len(inside)))
    shown, held_back = inside[:-kept_back], inside[-kept_back:]
    batches = SceneBatches(
        shown, images=config.images, brightness=config.brightness, noise=config.noise,
        recolour=config.recolour, seed=config.seed,
        share=(accelerator.process_index, accelerator.num_processes),
    )  # fmt: skip
    settings = {name: value for name, value in asdict(config).items() if 'drive' not in name}
    settings |= {
        'data': str(run.data), 'kind': run.kind, 'demonstrations': len(shown), 'base': run.base,
    }  # fmt: skip
    resumed = (run.output / UNFINISHED).is_file() and not restart
    model = deepcopy(base) or new_model(learner, shown, config, taught=resumed)
    if isinstance(model.text, WordEncoder):
        model.text.requires_grad_(False)
    fit = SceneFit(learner, model, batches, held_back, config, settings, accelerator)
    run.output.mkdir(parents=True, exist_ok=True)
    episodes = config.drive_episodes if config.drive_steps else 0
    driving = Driving(learner, embodiment, dataset.tasks, episodes)
    show = accelerator.is_main_process
    take_steps(fit, config, run.output, restart=restart, show=show, driving=driving)
    judged = fit.rated(shown, held_back, base)
    training = {
        'command': run.command,
        'data': str(run.data),
        'base': run.base,
        'demonstrations': len(shown),
        'config': asdict(config),
        'minutes': round(fit.seconds / 60, 1),
        'held_out': {name: round(value, 5) for name, value in judged.items()},
    }
    if accelerator.is_main_process:
        pass_scene_gate(training, force=run.force)
        write_checkpoint(run, learner, fit, training, embodiment)
    return training


def _beginning(
    run: Run, embodiment: Embodiment, dataset: Dataset
) -> tuple[Any, CliportModel | None]:
    """Return the learner, and the model of the base; None where there is none."""
    if run.base and run.model:
        raise ConfigError(f"model: policy 'cliport' goes on with {run.base} as it is")
    if not run.base:
        return make_learner(run.kind, dataset, run.model), None
    learner, base, _ = restore(run.base, embodiment, SCENE_KINDS)
    return learner, cast('CliportModel', base)


def new_model(
    learner: CliportLearner, shown: list[Example], config: FitConfig, *, taught: bool
) -> CliportModel:
    """Return a new model, whose small sentence encoder knows the words, or will be given them."""
    torch.manual_seed(config.seed)
    model = learner.build(shown)
    if isinstance(model.text, WordEncoder) and not taught:
        said = {example.instruction for example in shown}
        plain = every_renaming(said) if config.recolour else sorted(said)
        share = teach_words(model.text, learner.tokenize, plain, config.seed)
        print(f'words first: {share:.0%} of sentences are understood')
    return model


def examples_of(
    dataset: Dataset, embodiment: Embodiment, learner: CliportLearner
) -> list[Example]:
    """Return the demonstrations that can be learned from: those within the map.

    Raises:
        ConfigError: fewer than two of them, no depth or no points in the data, or another arm.
        DatasetError: they are damaged.
    """
    examples = load_examples(dataset, embodiment, learner.config)
    inside = [example for example in examples if example is not None]
    if len(inside) < 2:
        raise ConfigError(
            f"'{dataset.folder}': {len(inside)} of {len(examples)} demonstrations pick and place "
            'within the map; at least 2 are needed'
        )
    return inside


class SceneFit(Fit):
    """A training on scenes: judged by where picks and places are."""

    def __init__(
        self, learner: Any, model: Any, batches: Any, held_back: list[Example],  # noqa: ANN401
        *more: Any,  # noqa: ANN401
    ) -> None:  # fmt: skip
        drawn: Any = SceneBatches(held_back, images=1)
        super().__init__(learner, model, batches, drawn, *more)
        self._held_back = held_back
        self._scene_learner: Any = learner

    def prepared(self, batch: Scenes, part: int) -> Scenes:
        """Return the batch as it is: it was changed when it was drawn."""
        return batch

    def validate(self, batches: int = 1, model: nn.Module | None = None) -> dict[str, float]:
        """Return the errors on some of the demonstrations held back, the same every time."""
        return self.judge(self._held_back[:REPORTED], model)

    def rated(
        self, shown: list[Example], held_back: list[Example], base: CliportModel | None
    ) -> dict[str, float]:
        """Return the errors on demonstrations held back, those of the middle, and of a base."""
        found = self.judge(held_back) | middle(self._scene_learner, shown, held_back)
        if base is not None:
            before = self.judge(held_back, base.to(self.device))
            found |= {f'base_{name}': value for name, value in before.items()}
        return found

    def judge(self, examples: list[Example], model: nn.Module | None = None) -> dict[str, float]:
        """Return the errors on examples, asked for in phrasings of training.

        Of the model that is trained, or of another one.
        """
        judged = (model or self.model).eval()
        speech = Speech([example.instruction for example in examples], 0)
        said = [replace(e, instruction=speech.say(k)) for k, e in enumerate(examples)]
        batch = Scenes(tuple(Scene(example, example) for example in said))
        return self._scene_learner.errors(judged, batch)
