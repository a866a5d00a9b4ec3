"""One finding of the doctor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What was looked at and what was found.

    Attributes:
        name: what was looked at.
        ok: True is good, False is not, None cannot be told.
        found: one line for people.
        remedy: what to do when it is not good.
        fatal: the arm cannot or must not be driven like this.
    """

    name: str
    ok: bool | None
    found: str
    remedy: str = ''
    fatal: bool = False


def good(name: str, found: str) -> Check:
    """Return a check that is good."""
    return Check(name, True, found)


def unknown(name: str, found: str) -> Check:
    """Return a check that cannot be told."""
    return Check(name, None, found)


def bad(name: str, found: str, remedy: str) -> Check:
    """Return a check that is not good, with which the arm can still be driven."""
    return Check(name, False, found, remedy)


def fatal(name: str, found: str, remedy: str) -> Check:
    """Return a check with which the arm cannot or must not be driven."""
    return Check(name, False, found, remedy, fatal=True)


def exit_code(checks: list[Check]) -> int:
    """Return 1 if anything is not good, 0 otherwise: what cannot be told is no failure."""
    return int(any(check.ok is False for check in checks))
