"""What CLIPort learns: where demonstrations pick and where they place (its paper, section 3.3).

A demonstration gives one example: the height map before it, the tool where the fingers close
(for a push: the object), and the tool where they open. Cross-entropy over the pixels of the pick,
and over pixels and rotations of the place. A batch is one scene, turned and shifted at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import ConfigError, choose
from vla_ros.policies.checkpoint import Manifest
from vla_ros.policies.cliport.config import PRIMITIVES, CliportConfig
from vla_ros.policies.cliport.height_map import HeightMap, MapGeometry
from vla_ros.policies.cliport.language import build_tokenizer
from vla_ros.policies.cliport.loading import save_cliport
from vla_ros.policies.cliport.model import CliportModel
from vla_ros.policies.cliport.rotation import sampled
from vla_ros.types import FloatArray

LEARNING_RATE = 1e-4
TURN_STD_RAD = np.pi / 3
SHIFT_SHARE = 1 / 6  # of the map's shorter side is the standard deviation of a shift
_TRIES = 50
PLACED = ('push', 'put')
"""Primitives that need a place; reach and pick are attention alone."""


@dataclass(frozen=True)
class Example:
    """One demonstration.

    Attributes:
        seen: height map before it.
        instruction: what was asked for.
        primitive: one of `PRIMITIVES`.
        pick: (row, column) in the map.
        place: (row, column); that of the pick where nothing is placed.
        turn_rad: of the object from pick to place.
    """

    seen: HeightMap
    instruction: str
    primitive: str
    pick: tuple[int, int]
    place: tuple[int, int]
    turn_rad: float = 0.0

    def __post_init__(self) -> None:
        """Refuse labels that are not in the map."""
        choose('primitive', self.primitive, PRIMITIVES)
        rows, columns = self.seen.heights_m.shape
        for name in ('pick', 'place'):
            row, column = getattr(self, name)
            if not (0 <= row < rows and 0 <= column < columns):
                raise ConfigError(f'{name}: ({row}, {column}) is not in the {rows}x{columns} map')


def example_from_points(
    geometry: MapGeometry,
    seen: HeightMap,
    instruction: str,
    primitive: str,
    points_m: FloatArray,
    turn_rad: float = 0.0,
) -> Example | None:
    """Return the example of a demonstration that picks and places at two points, (2, 3).

    None where one of them, which counts, lies outside the map.
    """
    pixels = np.round(geometry.pixel(points_m))
    needed = pixels if primitive in PLACED else pixels[:1]
    if not all(geometry.holds(pixel) for pixel in needed):
        return None
    pick, place = (tuple(int(v) for v in pixel) for pixel in (needed[0], needed[-1]))
    return Example(seen, instruction, primitive, pick, place, turn_rad)  # type: ignore[arg-type]


def augmented(example: Example, rng: np.random.Generator) -> Example:
    """Turn and shift a scene at random (SE(2)); draw again until pick and place stay in the map.

    A scene for which no draw does is returned as it is.
    """
    rows, columns = example.seen.heights_m.shape
    shift_std = SHIFT_SHARE * min(rows, columns)
    middle = np.array([rows - 1, columns - 1]) / 2
    for _ in range(_TRIES):
        turn = rng.normal(0.0, TURN_STD_RAD)
        shift = rng.normal(0.0, shift_std, 2)
        moved = [
            np.round(_turned(np.array(pixel) - middle, turn) + middle + shift)
            for pixel in (example.pick, example.place)
        ]
        if all(((p >= 0) & (p < (rows, columns))).all() for p in moved):
            pick, place = ((int(p[0]), int(p[1])) for p in moved)
            seen = _moved(example.seen, turn, shift)
            return Example(
                seen, example.instruction, example.primitive, pick, place, example.turn_rad
            )
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


class CliportLearner:
    """Trains a CLIPort model, one scene a step."""

    kind = 'cliport'

    def __init__(self, config: CliportConfig) -> None:
        self.config = config
        self._tokenize = build_tokenizer(config)

    def build(self, examples: Sequence[Example]) -> CliportModel:
        """Return a new model that normalises heights by those of the examples.

        Raises:
            ConfigError: no examples.
            CheckpointError: pretrained weights that are nowhere.
        """
        if not examples:
            raise ConfigError('no demonstration picks and places within the map; record some')
        model = CliportModel(self.config)
        heights = np.stack([example.seen.heights_m for example in examples])
        model.height_mean.fill_(float(heights.mean()))
        model.height_std.fill_(max(float(heights.std()), 1e-3))
        return model

    def losses(self, model: CliportModel, example: Example) -> dict[str, Tensor]:
        """Return the terms of the loss, each a cross-entropy."""
        device = model.height_mean.device
        ids, mask = (torch.from_numpy(a).to(device) for a in self._tokenize([example.instruction]))
        sentence = model.encode_language(ids, mask)
        colours = torch.from_numpy(example.seen.colours).to(device).unsqueeze(0)
        heights = torch.from_numpy(example.seen.heights_m).to(device).unsqueeze(0)
        maps = model.inputs(colours, heights)
        columns = self.config.image_width
        primitive = torch.tensor([PRIMITIVES.index(example.primitive)], device=device)
        terms = {
            'primitive': functional.cross_entropy(model.primitive(sentence), primitive),
            'pick': _entropy(model.pick(maps, sentence), _flat(example.pick, columns)),
        }
        if example.primitive in PLACED:
            logits_NHW = model.place(maps, sentence, example.pick)
            count = len(logits_NHW)
            turn = round(example.turn_rad / (2 * np.pi) * count) % count
            at = turn * logits_NHW[0].numel() + _flat(example.place, columns)
            terms['place'] = _entropy(logits_NHW[None], at)
        return terms

    def optimiser(self, model: CliportModel) -> torch.optim.Optimizer:
        """Return Adam over what is trained."""
        trained = [p for p in model.parameters() if p.requires_grad]
        return torch.optim.Adam(trained, lr=LEARNING_RATE)

    def save(
        self,
        model: CliportModel,
        folder: Path,
        embodiment: Embodiment,
        training: Mapping[str, Any],
    ) -> Manifest:
        """Write the model as a checkpoint."""
        return save_cliport(folder, model, embodiment, training)


def _flat(pixel: tuple[int, int], columns: int) -> int:
    return pixel[0] * columns + pixel[1]


def _entropy(logits: Tensor, index: int) -> Tensor:
    target = torch.tensor([index], device=logits.device)
    return functional.cross_entropy(logits.flatten(1), target)
