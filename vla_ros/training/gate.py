"""The gate before a model is written: better than its base, and than holding still."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from vla_ros.data.reader import Dataset
from vla_ros.errors import ConfigError
from vla_ros.policies.checkpoint import Manifest
from vla_ros.training.table import CAMERA

if TYPE_CHECKING:
    from vla_ros.training.fit import Fit

JUDGED_BATCHES = 8
BASE, STILL, OWN = 'base_action_rad_s', 'hold_still_rad_s', 'action_rad_s'


def check_fits(dataset: Dataset, manifest: Manifest) -> None:
    """Refuse data that the base could not have been trained on.

    Raises:
        ConfigError: other cameras, another size of images, or another rate; says which.
    """
    features, where = dataset.spec.features, f"'{dataset.folder}'"
    have = {
        name.removeprefix(CAMERA): features[name].height_and_width[::-1]
        for name in dataset.spec.cameras
    }
    wanted = {name: tuple(size) for name, size in manifest.cameras.items()}
    if have != wanted:
        raise ConfigError(f'{where} has cameras {have}; the base was trained with {wanted}')
    if abs(dataset.spec.fps - manifest.rate_hz) > 1e-3:
        raise ConfigError(
            f'{where} has {dataset.spec.fps} frames a second, the base takes '
            f'{manifest.rate_hz:g} steps a second; record at the rate of the base'
        )


def judge(fit: Fit, base: nn.Module | None) -> dict[str, float]:
    """Return the errors of what was trained and of its base, on the same frames held back."""
    before = [g.bit_generator.state for g in fit.validation_generators]
    found = fit.validate(JUDGED_BATCHES)
    if base is not None:
        for generator, state in zip(fit.validation_generators, before, strict=True):
            generator.bit_generator.state = state
        found[BASE] = fit.validate(JUDGED_BATCHES, base)[OWN]
    return found


def pass_gate(training: dict[str, Any], *, force: bool) -> None:
    """Mark a model that is no better than its base or than holding still, if it is forced.

    Args:
        training: what the manifest will say; `held_out` holds the errors of `judge`.
        force: let it pass all the same.

    Raises:
        ConfigError: it is no better, and not forced.
    """
    judged = training['held_out']
    rivals = {'its base': judged.get(BASE), 'an arm that holds still': judged[STILL]}
    lost = [
        f'{name} is off by {rival:.3f}'
        for name, rival in rivals.items()
        if rival is not None and not judged[OWN] < rival
    ]
    if lost and not force:
        raise ConfigError(
            f'on frames held back the policy is off by {judged[OWN]:.3f} rad/s, '
            f'{" and ".join(lost)}: no checkpoint was written. Take more episodes or steps, look '
            'at the data with vla-ros data check, or write it all the same with --force'
        )
    if lost:
        training['forced'] = f'no better: {" and ".join(lost)}'
