"""Errors that a user, a robot or a file can cause.

Each message names the bad value, lists the valid ones and says what to do next; the command line
prints it without a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable


class VlaRosError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(VlaRosError):
    """A configuration file, parameter or argument holds a value that cannot be used."""


class CheckpointError(VlaRosError):
    """A checkpoint is missing, damaged or made for another arm."""


class DatasetError(VlaRosError):
    """A data set is missing, damaged, not finished, or not what was asked for."""


class ObservationError(VlaRosError):
    """An image or a joint state cannot be used as it is."""


def choose(what: str, value: str, valid: Iterable[str]) -> str:
    """Return `value` if it is one of `valid`, else raise a ConfigError that lists them."""
    names = sorted(valid)
    if value not in names:
        raise ConfigError(f"unknown {what} '{value}'; choose one of: {', '.join(names)}")
    return value


def check_at_least(what: str, value: float, least: float) -> None:
    """Raise a ConfigError that names the value if it is smaller than `least`, or no number."""
    if not value >= least:
        raise ConfigError(f'{what}: {value} is not at least {least:g}')
