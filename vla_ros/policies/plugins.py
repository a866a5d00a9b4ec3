"""Kinds of policies that other installed packages bring along, by their entry points.

`vla_ros.policies` names what loads a checkpoint (`registry.Loader`), `vla_ros.learners` what makes
a new model trainable (`training.learners.kinds.MakeLearner`); docs/adding-a-policy.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

LOADERS, LEARNERS = 'vla_ros.policies', 'vla_ros.learners'


def installed(group: str) -> Mapping[str, EntryPoint]:
    """Return kind of policy → entry point; nothing is imported yet."""
    return {point.name: point for point in entry_points(group=group)}
