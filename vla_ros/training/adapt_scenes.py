"""`vla-ros adapt` of CLIPort: a trained model learns from a few demonstrations."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch

from vla_ros.core.embodiment import load_arm
from vla_ros.data.reader import open_dataset
from vla_ros.training.adapt import FEW, Adaptation, learn, shares, write_adapted
from vla_ros.training.adapters import Adapted
from vla_ros.training.fit import make_accelerator
from vla_ros.training.fit_config import FitConfig
from vla_ros.training.fit_scenes import SceneFit, examples_of, new_model
from vla_ros.training.restored import SCENE_KINDS, restore
from vla_ros.training.scene_gate import pass_scene_gate
from vla_ros.training.scenes import SceneBatches

if TYPE_CHECKING:
    from vla_ros.policies.cliport.model import CliportModel

FEW_SCENES = replace(FEW, images=4, brightness=0.1)
"""How it is trained unless something else is said."""


def adapt_scenes(task: Adaptation, config: FitConfig = FEW_SCENES) -> dict[str, Any]:
    """Adapt CLIPort and write a checkpoint; return what its manifest says of the training.

    Unlike in a training, the small sentence encoder learns, too (but for the method head): the
    words of a new task are new to it. Frozen encoders stay the base's, whatever the method.

    Raises:
        CheckpointError: a base of another kind, or a damaged one.
        ConfigError: data that do not fit the base, or a result that is no better.
        DatasetError: no data set, or a damaged one.
    """
    embodiment = load_arm(task.arm)
    learner, restored, manifest = restore(task.base, embodiment, SCENE_KINDS)
    base = cast('CliportModel', restored)
    dataset = open_dataset(task.data)
    inside = examples_of(dataset, embodiment, learner)
    count, begin = shares(len(inside), task.episodes, task.data)
    shown, held_out = inside[:count], inside[begin:]
    batches = SceneBatches(
        shown, images=config.images, brightness=config.brightness, noise=config.noise,
        seed=config.seed,
    )  # fmt: skip
    torch.manual_seed(config.seed)
    model = deepcopy(base)
    if task.method == 'scratch':
        model = new_model(learner, shown, config, taught=False)
        _keep_frozen(model, base)
    adapted = Adapted(model, manifest.kind, task.method, task.rank)
    settings = task.settings(config, manifest, len(shown))
    fit = SceneFit(learner, model, batches, held_out, config, settings, make_accelerator(config))
    training = learn(task, adapted, fit, config, manifest)
    training |= {'demonstrations': len(shown), 'held_out': fit.rated(shown, held_out, base)}
    pass_scene_gate(training, force=task.force)
    write_adapted(learner, adapted, fit, task.output, embodiment, training)
    return training


def _keep_frozen(model: CliportModel, base: CliportModel) -> None:
    """Give a new model the encoders that its base has from elsewhere: it could not learn them."""
    for new, known in ((model.text, base.text), (model.semantic, base.semantic)):
        if not any(parameter.requires_grad for parameter in known.parameters()):
            new.load_state_dict(known.state_dict())
