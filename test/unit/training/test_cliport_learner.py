"""What CLIPort learns from: labels on their objects, and one scene learned by heart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vla_ros.errors import ConfigError
from vla_ros.policies.cliport.config import CliportConfig
from vla_ros.policies.cliport.height_map import HeightMap
from vla_ros.training.learners.cliport import (
    CliportLearner,
    Example,
    Scene,
    Scenes,
    example_from_points,
)
from vla_ros.training.scenes import augmented

CONFIG = CliportConfig(
    base_channels=4, rotations=4, crop_pixels=16, sentence_width=16, image_width=64,
    image_height=32, metres_per_pixel=0.015625, vocabulary=('put', 'red', 'in', 'blue'),
)  # fmt: skip


def scene() -> HeightMap:
    """Return a table with a red object at (10, 20) and a blue one at (20, 45)."""
    colours, heights = np.full((32, 64, 3), 90, np.uint8), np.zeros((32, 64), np.float32)
    for (row, column), colour in (((10, 20), (255, 0, 0)), ((20, 45), (0, 0, 255))):
        part = slice(row - 1, row + 2), slice(column - 1, column + 2)
        colours[part], heights[part] = colour, 0.05
    colours[10, 22:26], heights[10, 22:26] = (255, 90, 0), 0.05  # it has a handle: turns show
    return HeightMap(colours, heights)


def batch(*examples: Example) -> Scenes:
    return Scenes(tuple(Scene(example, example) for example in examples))


EXAMPLE = Example(scene(), 'put red in blue', 'put', (10, 20), (20, 45), np.pi / 2)


def test_augmentation_keeps_the_labels_on_the_objects() -> None:
    rng = np.random.default_rng(0)
    turned = []
    for _ in range(40):
        moved = augmented(EXAMPLE, rng)
        red, blue = (moved.seen.colours[pixel].astype(int) for pixel in (moved.pick, moved.place))
        assert red[0] > red[2] + 60
        assert blue[2] > blue[0] + 60
        assert moved.seen.heights_m[moved.pick] > 0.02
        way = np.subtract(moved.place, moved.pick)
        assert np.hypot(*way) == pytest.approx(np.hypot(10, 25), abs=1.5)
        turned.append(np.arctan2(way[0], way[1]))
        assert moved.turn_rad == EXAMPLE.turn_rad
    assert np.ptp(turned) > 1.0


def test_one_scene_is_learned_by_heart() -> None:
    torch.manual_seed(0)
    learner = CliportLearner(CONFIG)
    model = learner.build([EXAMPLE])
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-4)
    first = None
    for _ in range(60):
        terms = learner.losses(model, batch(EXAMPLE))
        loss = torch.stack(list(terms.values())).sum()
        first = first or loss.item()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    maps = model.inputs(
        torch.from_numpy(EXAMPLE.seen.colours)[None],
        torch.from_numpy(EXAMPLE.seen.heights_m)[None],
    )
    ids, mask = (torch.from_numpy(a) for a in learner.tokenize(['put red in blue']))
    said = model.encode_language(ids, mask)
    assert loss.item() < 0.2 * first
    assert learner.errors(model, batch(EXAMPLE)) == {'pick_mm': 0, 'place_mm': 0, 'right': 1}
    assert divmod(int(model.pick(maps, said).argmax()), 64) == EXAMPLE.pick
    place = np.unravel_index(int(model.place(maps, said, [EXAMPLE.pick]).argmax()), (4, 32, 64))
    assert tuple(map(int, place)) == (1, *EXAMPLE.place)  # a quarter turn of four


def test_a_pick_is_attention_alone() -> None:
    learner = CliportLearner(CONFIG)
    alone = Example(scene(), 'pick red', 'pick', (10, 20), (10, 20))
    model = learner.build([alone])
    terms = learner.losses(model, batch(alone))
    assert terms['place'].item() == 0
    torch.stack(list(terms.values())).sum().backward()
    assert model.transport.fuse_key.weight.grad is None


def test_a_turn_that_does_not_matter_is_summed_over() -> None:
    torch.manual_seed(0)
    learner = CliportLearner(CONFIG)
    model = learner.build([EXAMPLE])
    any_turn = learner.losses(model, batch(replace(EXAMPLE, turn_rad=None)))['place']
    each = [
        learner.losses(model, batch(replace(EXAMPLE, turn_rad=turn * np.pi / 2)))['place']
        for turn in range(4)
    ]
    together = -torch.stack([-term for term in each]).logsumexp(0)
    assert any_turn.item() == pytest.approx(together.item(), rel=1e-4)


def test_many_scenes_lose_what_each_loses() -> None:
    torch.manual_seed(0)
    learner = CliportLearner(CONFIG)
    model = learner.build([EXAMPLE])
    other = replace(EXAMPLE, instruction='put blue in red', pick=(20, 45), place=(10, 20))
    both = learner.losses(model, batch(EXAMPLE, other))
    single = [learner.losses(model, batch(example)) for example in (EXAMPLE, other)]
    for name, value in both.items():
        mean = sum(terms[name].item() for terms in single) / 2
        assert value.item() == pytest.approx(mean, rel=1e-4), name


def test_points_become_pixels_and_those_outside_no_example() -> None:
    geometry = CONFIG.geometry
    points = np.array([[0.5, 0.1, 0.02], [0.6, -0.2, 0.0]])
    found = example_from_points(geometry, scene(), 'put red in blue', 'put', points)
    assert found is not None
    back = geometry.point_m(np.array([found.pick, found.place], np.float64))
    assert np.abs(back - points[:, :2]).max() <= geometry.metres_per_pixel / 2 + 1e-9
    points[1, 1] = 3.0
    assert example_from_points(geometry, scene(), 'x', 'put', points) is None
    assert example_from_points(geometry, scene(), 'x', 'pick', points) is not None


def test_no_examples_and_labels_outside_are_refused() -> None:
    with pytest.raises(ConfigError, match='no demonstration'):
        CliportLearner(CONFIG).build([])
    with pytest.raises(ConfigError, match='place'):
        Example(scene(), 'x', 'put', (1, 1), (40, 1))
