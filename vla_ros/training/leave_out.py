"""Keep goals out of a training: a task that is to be learned later, new pairs of colour and shape.

N frames, M labels a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vla_ros.errors import ConfigError, choose
from vla_ros.sim.scene import THINGS
from vla_ros.sim.tasks.language import sentence
from vla_ros.training.speech import KNOWN, every_goal, names_of
from vla_ros.training.table import Table


def leave_out(table: Table, said: Sequence[str], names: Sequence[str]) -> Table:
    """Return a table that asks for no goal of these tasks, objects or bowls, and shows none.

    In each frame other labels take the place of theirs; a frame without others is never drawn,
    and neither is one with such an object or bowl in its scene, where the data say what is there:
    what is seen and never asked for teaches that it is never meant.

    Args:
        table: of all goals.
        said: the sentences that its labels are numbers of; one that names no goal of ours stays.
        names: some of `KNOWN`.

    Raises:
        ConfigError: an unknown name, or nothing is left.
    """
    if not names:
        return table
    for name in names:
        choose('leave_out', name, KNOWN)
    about = {sentence(goal): names_of(goal) for goal in every_goal()}
    kept = np.array([not about.get(text, set()) & set(names) for text in said])
    keeps_NM = kept[table.tasks_NM]
    counts_N = keeps_NM.sum(1)
    drawn = table.drawn[counts_N[table.drawn] > 0]
    if table.present_NX.shape[1]:
        shown_N = np.any(table.present_NX[:, np.isin(THINGS, names)], axis=1)
        drawn = drawn[~shown_N[drawn]]
    if not len(drawn):
        raise ConfigError(f'leave_out: {", ".join(names)}: the data ask for nothing else')
    first = np.argsort(~keeps_NM, axis=1, kind='stable')
    turns = np.arange(keeps_NM.shape[1]) % np.maximum(counts_N, 1)[:, None]
    which = np.take_along_axis(first, turns, axis=1)
    rows = np.arange(len(which))[:, None]
    labels = ('actions_NMKA', 'valid_NMK', 'tasks_NM', 'points_NM23', 'pixels_NMV22', 'turns_NM')
    return replace(table, drawn=drawn, **{n: getattr(table, n)[rows, which] for n in labels})
