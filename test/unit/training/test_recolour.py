"""Colours are exchanged in what is seen and said alike."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.core.embodiment import load_arm
from vla_ros.sim.scene import COLOURS
from vla_ros.sim.world import World
from vla_ros.training.recolour import ALL, every_renaming, recoloured, renamed

SWAPPED = {'red': 'blue', 'green': 'green', 'blue': 'red', 'yellow': 'yellow'}
SAME = {name: name for name in COLOURS}


@pytest.fixture(scope='module')
def world() -> World:
    made = World(load_arm('sim'))
    made.reset(3)
    return made


def shown(world: World, image: np.ndarray) -> dict[str, np.ndarray]:
    """Return the pixel at the middle of each object."""
    rows, columns = image.shape[:2]
    found = {}
    for thing in world.objects:
        x, y = world.project('top', thing.position_m)
        found[thing.colour] = image[int(y * rows), int(x * columns)].astype(int)
    return found


def looks(pixel: np.ndarray) -> str:
    """Return the colour that a pixel is nearest to, whatever the light."""
    names = {
        name: np.dot(pixel, value) / np.linalg.norm(value) / np.linalg.norm(pixel)
        for name, value in COLOURS.items()
    }
    return max(names, key=lambda name: names[name])


def test_objects_take_each_others_colours_and_the_table_keeps_its_own(world: World) -> None:
    image = world.render('top')
    for colours in ALL:
        changed = recoloured(image, colours)
        assert changed.dtype == np.uint8 and changed.shape == image.shape
        after = shown(world, changed)
        for colour, pixel in shown(world, image).items():
            assert looks(pixel) == colour
            assert looks(after[colour]) == colours[colour]
    pale = np.ptp(image.astype(int), axis=-1) < 0.4 * image.max(-1)
    assert pale.mean() > 0.5
    assert np.array_equal(recoloured(image, SWAPPED)[pale], image[pale])


def test_the_same_colours_change_next_to_nothing_and_a_swap_undoes_itself(world: World) -> None:
    image = world.render('top').astype(int)
    assert np.abs(recoloured(image.astype(np.uint8), SAME).astype(int) - image).max() <= 8
    twice = recoloured(recoloured(image.astype(np.uint8), SWAPPED), SWAPPED)
    assert np.abs(twice.astype(int) - image).mean() < 1


def test_sentences_are_renamed_word_by_word() -> None:
    assert renamed('put the red cube in the blue bowl', SWAPPED) == (
        'put the blue cube in the red bowl'
    )
    assert renamed('hired green', SWAPPED) == 'hired green'
    assert len(ALL) == 24 and SAME in ALL
    assert every_renaming(['reach the red cube', 'reach the blue cube']) == [
        f'reach the {colour} cube' for colour in sorted(COLOURS)
    ]
