"""Something that is wrong with a data set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What is wrong, where, and what to do about it.

    Attributes:
        kind: files, counts, numbers, stamps, images, units, motion or statistics.
        found: what is wrong, with the bad values.
        remedy: what to do.
        episode: its number; None where it is the whole data set.
        frame: number of the first bad frame within the episode; None where it is all of it.
    """

    kind: str
    found: str
    remedy: str
    episode: int | None = None
    frame: int | None = None
