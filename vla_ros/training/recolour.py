"""Exchange colours in an image and in what is said of it: few demonstrations show many colours.

What is asked for is the same but for its colour, so where it is stays right: a sentence learned
with a red cube is learned with cubes of all colours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import permutations

import cv2
import numpy as np

from vla_ros.sim.scene import COLOURS
from vla_ros.types import ImageArray

SATURATED = 110
"""Of 255: what is paler has no colour that anything is named by, such as a table."""
HUES = 180
"""In a turn, as OpenCV counts them."""
ALL = tuple(dict(zip(COLOURS, other, strict=True)) for other in permutations(COLOURS))
"""Every way to exchange them, colour to colour."""
_PALETTE = cv2.cvtColor(
    (255 * np.array([[*COLOURS.values()]])).astype(np.uint8), cv2.COLOR_RGB2HSV
)
PALETTE_N3 = np.asarray(_PALETTE, np.float32)[0]
"""Hue, saturation and value of each of `COLOURS`."""


def recoloured(image_HWC: ImageArray, colours: Mapping[str, str]) -> ImageArray:
    """Return an RGB image in which what has one of our colours has another, shades and all.

    Args:
        image_HWC: uint8.
        colours: of each of `COLOURS`, which takes its place.
    """
    hsv = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2HSV).astype(np.float32)
    apart = np.abs(hsv[..., :1] - PALETTE_N3[:, 0])
    nearest = np.minimum(apart, HUES - apart).argmin(-1)
    order = [*COLOURS]
    new = PALETTE_N3[[order.index(colours[name]) for name in order]]
    hue = hsv[..., 0] + (new[:, 0] - PALETTE_N3[:, 0])[nearest]
    others = hsv[..., 1:] * (new / PALETTE_N3.clip(1))[nearest][..., 1:]
    turned = np.dstack([hue % HUES, others.clip(0, 255)]).astype(np.uint8)
    coloured = hsv[..., 1:2] > SATURATED
    return np.where(coloured, cv2.cvtColor(turned, cv2.COLOR_HSV2RGB), image_HWC).astype(np.uint8)


def renamed(text: str, colours: Mapping[str, str]) -> str:
    """Return a sentence of whose words each colour is exchanged."""
    return ' '.join(colours.get(word, word) for word in text.split())


def every_renaming(texts: Collection[str]) -> list[str]:
    """Return sentences in all colours, sorted."""
    return sorted({renamed(text, colours) for text in texts for colours in ALL})
