"""Kind of model → its learner, for the cameras, sizes and rate of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from vla_ros.core.strict_yaml import build, typed
from vla_ros.data.reader import Dataset
from vla_ros.errors import ConfigError, choose
from vla_ros.policies import plugins
from vla_ros.policies.cliport.config import CliportConfig
from vla_ros.policies.preprocessing import PROPRIOCEPTION_SIZE
from vla_ros.policies.rt1.config import TASK_ID, Rt1Config
from vla_ros.policies.vla.config import VlaConfig
from vla_ros.sim.tasks.language import task_vocabulary
from vla_ros.training.learners.cliport import CliportLearner
from vla_ros.training.learners.learner import Learner
from vla_ros.training.learners.rt1 import Rt1Learner
from vla_ros.training.learners.vla import VlaLearner
from vla_ros.training.table import CAMERA, TURNS
from vla_ros.types import ARM_JOINTS

Settings = Mapping[str, Any]


def make_learner(kind: str, dataset: Dataset, settings: Settings | None = None) -> Learner:
    """Return the learner of a new model that fits a data set.

    Args:
        kind: one of KINDS, or of an installed package.
        dataset: says cameras, sizes, rate, and whether there is a gripper.
        settings: fields of the model's configuration that are to differ from the defaults.

    Raises:
        ConfigError: an unknown kind or field, or a value that cannot be.
    """
    others = plugins.installed(plugins.LEARNERS)
    choose('policy', kind, {*KINDS, *others})
    make = KINDS[kind] if kind in KINDS else others[kind].load()
    return make(_shared(dataset), dataset, dict(settings or {}))


def _shared(dataset: Dataset) -> dict[str, Any]:
    """Return what the data say about a model of any kind."""
    features = dataset.spec.features
    sizes = {features[camera].height_and_width for camera in dataset.spec.cameras}
    if len(sizes) > 1:
        raise ConfigError(
            f"'{dataset.folder}': its cameras have images of {len(sizes)} sizes; a policy wants "
            'one for all'
        )
    height, width = sizes.pop()
    return {
        'cameras': tuple(name.removeprefix(CAMERA) for name in dataset.spec.cameras),
        'image_width': width,
        'image_height': height,
        'step_s': 1.0 / dataset.spec.fps,
        'gripper': 'action' in features and features['action'].shape[0] > ARM_JOINTS,
        'vocabulary': tuple(task_vocabulary()),
    }


def _rt1(shared: Settings, dataset: Dataset, settings: Settings) -> Learner:
    state = dataset.spec.features['observation.state'].shape[0]
    found: dict[str, Any] = {'state_size': PROPRIOCEPTION_SIZE + (state > ARM_JOINTS)}
    if settings.get('language') == TASK_ID:
        found['tasks'] = tuple(dataset.tasks)
    return Rt1Learner(configured(Rt1Config, {**shared, **found}, settings))


def _vla(shared: Settings, dataset: Dataset, settings: Settings) -> Learner:
    state = dataset.spec.features['observation.state'].shape[0]
    labelled = 'label.points_m' in dataset.spec.features
    found = {
        'proprioception_size': PROPRIOCEPTION_SIZE + (state > ARM_JOINTS),
        'key_points': labelled,
        'points': 2 if labelled else 1,
        'point_views': len(dataset.spec.cameras) if labelled else 1,
        'turn': TURNS in dataset.spec.features,
        'offsets': labelled,
    }
    return VlaLearner(configured(VlaConfig, {**shared, **found}, settings))


def _cliport(shared: Settings, dataset: Dataset, settings: Settings) -> Any:  # noqa: ANN401
    """Return the learner of a model that turns what it places only if the data know of turns."""
    known = {name: shared[name] for name in ('vocabulary', 'step_s')}
    turns = 'label.turn_rad' in dataset.spec.features
    if not turns or not np.isfinite(dataset.column('label.turn_rad')).any():
        known['rotations'] = 1
    return CliportLearner(configured(CliportConfig, known, settings))


def configured(kind: type[Any], shared: Settings, settings: Settings) -> Any:  # noqa: ANN401
    """Return a configuration: what the data say of its fields, and what the user says.

    Raises:
        ConfigError: the user names an unknown field, or a value that cannot be.
    """
    where = f'model of kind {kind.__name__}'
    known = {field.name: shared[field.name] for field in fields(kind) if field.name in shared}
    return build(kind, {**known, **typed(kind, settings, where)}, where)


MakeLearner = Callable[[Settings, Dataset, Settings], Learner]
"""What the data say of a model of any kind, the data, and what the user says of the model."""
KINDS: dict[str, MakeLearner] = {'cliport': _cliport, 'rt1': _rt1, 'vla': _vla}
