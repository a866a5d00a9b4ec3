"""Turn the hues of an image, and call what is in it by its new colours.

Four colours of three shapes are too few to learn that a colour is one thing and a shape another:
each pair can be known by heart. Turned hues give every shape many colours, eight of which have a
name, so that a pair that was left out is found by what its two words mean.

B images, O objects.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import cv2
import numpy as np

from vla_ros.sim.scene import OBJECT_KINDS, ObjectKind
from vla_ros.training.recolour import SATURATED
from vla_ros.types import ImageArray

NAMED_DEG = {
    'red': 0, 'orange': 22, 'yellow': 46, 'green': 130, 'cyan': 180, 'blue': 222, 'purple': 272,
    'pink': 322,
}  # fmt: skip
"""Hues with a name; those of the simulator's four colours are theirs."""
SAME_DEG = 12
"""What is as near to a named hue is called so."""
LIKE_DEG = 35
"""What is as near may be taken for it: then neither is asked for the other, nor is it refused."""
EVERY = tuple(ObjectKind(colour, k.shape) for colour in NAMED_DEG for k in OBJECT_KINDS[:3])
"""All colours with a name, of all shapes."""
_TRIES = 50

Named = tuple[ObjectKind | None, ...]
"""What the objects of an image are called; None for what has no name."""


def turned(image_HWC: ImageArray, by_deg: float) -> ImageArray:
    """Return an RGB image in which the hue of all that has a colour is turned."""
    hsv = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2HSV)
    other = hsv.copy()
    other[..., 0] = (hsv[..., 0].astype(np.float32) + by_deg / 2).round() % 180
    coloured = hsv[..., 1:2] > SATURATED
    return np.where(coloured, cv2.cvtColor(other, cv2.COLOR_HSV2RGB), image_HWC).astype(np.uint8)


def draw_turn(
    kinds: Sequence[ObjectKind], left_out: Collection[ObjectKind], rng: np.random.Generator
) -> float:
    """Return by how many degrees to turn: something has a name then, and nothing is left out.

    Nor like something that is. Zero where no draw does.
    """
    for _ in range(_TRIES):
        by_deg = float(rng.uniform(0, 360))
        alike = like(kinds, by_deg)
        if any(names(kinds, by_deg)) and not set(alike) & set(left_out):
            return by_deg
    return 0.0


def names(kinds: Sequence[ObjectKind], by_deg: float) -> Named:
    """Return what objects are called after their hues were turned."""
    found = []
    for kind in kinds:
        near = [c for c in NAMED_DEG if _apart(kind.colour, by_deg, c) <= SAME_DEG]
        found.append(ObjectKind(near[0], kind.shape) if near else None)
    return tuple(found)


def like(kinds: Sequence[ObjectKind], by_deg: float) -> tuple[ObjectKind, ...]:
    """Return all that objects may be taken for after their hues were turned.

    In the same order in every process, unlike a set: sentences are drawn from it.
    """
    found = (
        ObjectKind(colour, kind.shape)
        for kind in kinds
        for colour in NAMED_DEG
        if _apart(kind.colour, by_deg, colour) < LIKE_DEG
    )
    return tuple(dict.fromkeys(found))


def _apart(colour: str, by_deg: float, other: str) -> float:
    apart = abs(NAMED_DEG[colour] + by_deg - NAMED_DEG[other]) % 360
    return min(apart, 360 - apart)
