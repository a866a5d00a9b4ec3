"""Demonstrations as CLIPort learns from them: read, turned, shifted, recoloured, said anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from vla_ros.core.embodiment import Embodiment
from vla_ros.data.reader import Dataset
from vla_ros.errors import ConfigError
from vla_ros.policies.cliport.config import CliportConfig
from vla_ros.policies.cliport.height_map import HeightMap, height_map
from vla_ros.policies.cliport.policy import calibration_of
from vla_ros.policies.cliport.rotation import sampled
from vla_ros.training.learners.cliport import Example, Scene, Scenes, example_from_points
from vla_ros.training.recolour import ALL, recoloured, renamed
from vla_ros.training.speech import Speech
from vla_ros.training.table import check_joints, check_rate
from vla_ros.types import FloatArray

TURN_STD_RAD = np.pi / 3
"""Of a scene in which the pick is looked for (the paper's)."""
PLACE_TURN_STD_RAD = 0.15
"""Of one in which the place is: where 'left' is, or 'next to', does not turn with the scene."""
SHIFT_SHARE = 1 / 6  # of the map's shorter side is the standard deviation of a shift
_TRIES = 50
_HOW = 'record demonstrations: vla-ros collect --demonstrations'


def load_examples(
    dataset: Dataset, embodiment: Embodiment, config: CliportConfig
) -> list[Example | None]:
    """Return the example of each episode, from its first frame; None where it is not in the map.

    Raises:
        ConfigError: the data set has no depth or no points, or is of another arm.
        DatasetError: it is damaged.
    """
    (camera,) = config.cameras
    image_of, depth_of = f'observation.images.{camera}', f'observation.depths.{camera}'
    _check(dataset, embodiment, (image_of, depth_of, 'label.primitive', 'label.points_m'))
    calibration = calibration_of(embodiment, camera)
    turns = 'label.turn_rad' in dataset.spec.features
    names = [depth_of, 'label.primitive', 'label.points_m', *(['label.turn_rad'] * turns)]
    found: list[Example | None] = []
    for episode in dataset.episodes:
        first = {k: v[0] for k, v in dataset.columns(names, episode.index).items()}
        depth_m = first[depth_of].reshape(first[depth_of].shape[:2]).astype(np.float32) / 1000
        image = dataset.images(image_of, episode.index)[0]
        turn = float(first['label.turn_rad']) if turns else np.nan
        points = first['label.points_m'].reshape(-1, 2, 3)[0].astype(np.float64)
        found.append(
            example_from_points(
                config.geometry, height_map(config.geometry, image, depth_m, calibration),
                episode.tasks[0], str(first['label.primitive']), points,
                turn if np.isfinite(turn) else None,
            )
        )  # fmt: skip
    return found


def _check(dataset: Dataset, embodiment: Embodiment, needed: Sequence[str]) -> None:
    features = dataset.spec.features
    if missing := [name for name in needed if name not in features]:
        raise ConfigError(
            f"'{dataset.folder}' has no {missing[0]}, which cliport learns from; {_HOW}"
        )
    check_rate(dataset, embodiment)
    if 'observation.state' in features:
        check_joints(dataset, 'observation.state', embodiment)


class SceneBatches:
    """Draws examples, each turned, shifted, lit and said in another way every time.

    Args:
        examples: to draw from.
        images: a batch and process.
        brightness: share by which brightness and contrast are changed.
        noise: standard deviation of what is added to colours, of 255.
        recolour: exchange colours in scene and sentence alike.
        seed: of everything that is drawn.
        share: (rank, ranks): each of several processes takes its part of the same batch.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        images: int,
        brightness: float = 0.0,
        noise: float = 0.0,
        recolour: bool = False,
        seed: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._examples, self._images, self._share = examples, images, share
        self._brightness, self._noise, self._recolour = brightness, noise, recolour
        self._speech = Speech([example.instruction for example in examples], seed)
        self._rng = np.random.default_rng([seed, 7])

    @property
    def generators(self) -> tuple[np.random.Generator, ...]:
        """Every source of random numbers that the next batch depends on."""
        return self._rng, self._speech.generator

    def draw(self) -> Scenes:
        """Return this process's part of the next batch."""
        rank, ranks = self._share
        rows = self._rng.integers(0, len(self._examples), self._images * ranks)
        return Scenes(tuple([self._scene(int(row)) for row in rows][rank::ranks]))

    def _scene(self, row: int) -> Scene:
        rng = self._rng
        example = replace(self._examples[row], instruction=self._speech.say(row))
        if self._recolour:
            example = in_other_colours(example, rng)
        pick, place = (
            augmented(example, rng, turn) for turn in (TURN_STD_RAD, PLACE_TURN_STD_RAD)
        )
        return Scene(self._lit(pick), self._lit(place))

    def _lit(self, example: Example) -> Example:
        colours = example.seen.colours.astype(np.float32)
        gain, offset = 1 + self._brightness * self._rng.uniform(-1, 1, 2)
        colours = (colours - 128) * gain + 128 * offset
        colours += self._noise * self._rng.standard_normal(colours.shape, np.float32)
        lit = colours.clip(0, 255).astype(np.uint8)
        return replace(example, seen=HeightMap(lit, example.seen.heights_m))


def in_other_colours(example: Example, rng: np.random.Generator) -> Example:
    """Exchange colours at random in what is seen and said."""
    colours, seen = ALL[rng.integers(len(ALL))], example.seen
    seen = replace(seen, colours=recoloured(seen.colours, colours))
    return replace(example, seen=seen, instruction=renamed(example.instruction, colours))


def augmented(
    example: Example, rng: np.random.Generator, turn_std_rad: float = TURN_STD_RAD
) -> Example:
    """Turn and shift a scene at random (SE(2)); draw again until pick and place stay in the map.

    A scene for which no draw does is returned as it is.
    """
    rows, columns = example.seen.heights_m.shape
    shift_std = SHIFT_SHARE * min(rows, columns)
    middle = np.array([rows - 1, columns - 1]) / 2
    for _ in range(_TRIES):
        turn = rng.normal(0.0, turn_std_rad)
        shift = rng.normal(0.0, shift_std, 2)
        moved = [
            np.round(_turned(np.array(pixel) - middle, turn) + middle + shift)
            for pixel in (example.pick, example.place)
        ]
        if all(((p >= 0) & (p < (rows, columns))).all() for p in moved):
            pick, place = ((int(p[0]), int(p[1])) for p in moved)
            seen = _moved(example.seen, turn, shift)
            return replace(example, seen=seen, pick=pick, place=place)
    return example


def _turned(offset: FloatArray, turn_rad: float) -> FloatArray:
    """Turn (..., 2) rows and columns counter-clockwise as the map is seen."""
    cos, sin = np.cos(turn_rad), np.sin(turn_rad)
    row, column = offset[..., 0], offset[..., 1]
    return np.stack([cos * row - sin * column, sin * row + cos * column], axis=-1)


def _moved(seen: HeightMap, turn_rad: float, shift: FloatArray) -> HeightMap:
    rows, columns = seen.heights_m.shape
    middle = np.array([rows - 1, columns - 1]) / 2
    grid = np.moveaxis(np.mgrid[:rows, :columns], 0, -1).astype(np.float64)
    source = _turned(grid - middle - shift, -turn_rad) + middle
    maps = np.concatenate([seen.colours.astype(np.float32), seen.heights_m[..., None]], axis=-1)
    at = torch.from_numpy(source).float()
    read = sampled(
        torch.from_numpy(maps).permute(2, 0, 1)[None], at[None, ..., 0], at[None, ..., 1]
    )[0]
    colours = read[:3].permute(1, 2, 0).round().numpy().astype(np.uint8)
    return HeightMap(np.ascontiguousarray(colours), read[3].numpy())
