"""The gate before a CLIPort model is written: it knows more than averages, and than its base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vla_ros.errors import ConfigError
from vla_ros.training.learners.cliport import PLACED, CliportLearner, Example

DECIDED = ('pick', 'place')


def middle(
    learner: CliportLearner, shown: Sequence[Example], held_back: Sequence[Example]
) -> dict[str, float]:
    """Return how far off (mm) the mean of all picks and the mean of all places are."""
    found: dict[str, float] = {}
    for name in DECIDED:
        known, asked = (
            np.array([getattr(e, name) for e in some if name == 'pick' or e.primitive in PLACED])
            for some in (shown, held_back)
        )
        if len(known) and len(asked):
            apart = np.linalg.norm(asked - known.mean(0), axis=1).mean()
            found[f'middle_{name}_mm'] = 1000 * learner.config.metres_per_pixel * float(apart)
    return found


def pass_scene_gate(training: dict[str, Any], *, force: bool) -> None:
    """Refuse a model that is no better than the middle, or than its base; mark it if forced.

    Args:
        training: what the manifest will say; `held_out` holds the model's own errors, those of the
            `middle`, and, if it has a base, that one's.
        force: let it pass all the same.

    Raises:
        ConfigError: it is refused.
    """
    judged = training['held_out']
    lost = [
        f'its {name}s are off by {judged[f"{name}_mm"]:.0f} mm, the middle of all {name}s by '
        f'{judged[f"middle_{name}_mm"]:.0f} mm'
        for name in DECIDED
        if f'middle_{name}_mm' in judged and not judged[f'{name}_mm'] < judged[f'middle_{name}_mm']
    ]
    if 'base_pick_mm' in judged:
        off, before = (
            sum(judged.get(f'{of}{name}_mm', 0.0) for name in DECIDED) for of in ('', 'base_')
        )
        if not off < before:
            lost.append(f'it is off by {off:.0f} mm in all, its base by {before:.0f} mm')
    if lost and not force:
        raise ConfigError(
            f'on demonstrations held back the model is no better: {" and ".join(lost)}. '
            'No checkpoint was written. Train longer, record more demonstrations, or write it '
            'all the same with --force'
        )
    if lost:
        training['forced'] = f'no better: {" and ".join(lost)}'
