"""What CLIPort learns: where demonstrations pick and where they place (its paper, section 3.3).

A demonstration gives one example: the height map before it, the tool where the fingers close
(for a push: the object), and the tool where they open. Cross-entropy over the pixels of the pick,
and over pixels and rotations of the place.

B scenes, N rotations, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

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
from vla_ros.types import FloatArray

Pixel: TypeAlias = tuple[int, int]
"""(row, column) of a height map."""
RIGHT_M = 0.03
"""A decision that is off by less is right."""
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
        turn_rad: of the object from pick to place; None where it does not matter.
    """

    seen: HeightMap
    instruction: str
    primitive: str
    pick: Pixel
    place: Pixel
    turn_rad: float | None = None

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
    turn_rad: float | None = None,
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


@dataclass(frozen=True)
class Scene:
    """An example as it is learned from: a scene to find the pick in, one to find the place in."""

    pick: Example
    place: Example


@dataclass(frozen=True)
class Scenes:
    """A batch."""

    scenes: tuple[Scene, ...]

    def to(self, device: torch.device) -> Scenes:
        """Return itself: the learner makes tensors where the model is."""
        return self


class CliportLearner:
    """Trains a CLIPort model."""

    kind = 'cliport'
    observation_horizon = 1

    def __init__(self, config: CliportConfig) -> None:
        self.config = config
        self.chunk_steps = config.chunk_steps
        self.tokenize = build_tokenizer(config)

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

    def losses(self, model: CliportModel, batch: Scenes) -> dict[str, Tensor]:
        """Return the terms of the loss, each a mean of cross-entropies; 0 without a place."""
        picks = [scene.pick for scene in batch.scenes]
        places = [scene.place for scene in batch.scenes if scene.place.primitive in PLACED]
        sentences = self._said(model, picks)
        device, columns = sentences.device, self.config.image_width
        primitives = torch.tensor([PRIMITIVES.index(p.primitive) for p in picks], device=device)
        pixels = torch.tensor([_flat(p.pick, columns) for p in picks], device=device)
        logits = model.pick(self._maps(model, picks), sentences).flatten(1)
        terms = {
            'primitive': functional.cross_entropy(model.primitive(sentences), primitives),
            'pick': functional.cross_entropy(logits, pixels),
            'place': logits.new_zeros(()),
        }
        if places:
            said, maps = self._said(model, places), self._maps(model, places)
            logits_BNHW = model.place(maps, said, [example.pick for example in places])
            terms['place'] = torch.stack(list(map(self._place, logits_BNHW, places))).mean()
        return terms

    def _place(self, logits_NHW: Tensor, example: Example) -> Tensor:
        """Return the cross-entropy of a place: over all rotations, or over what they sum up to."""
        count, at = len(logits_NHW), _flat(example.place, self.config.image_width)
        logits_NP = logits_NHW.flatten(1)
        if example.turn_rad is None:
            return logits_NP.flatten().logsumexp(0) - logits_NP[:, at].logsumexp(0)
        turn = round(example.turn_rad / (2 * np.pi) * count) % count
        return logits_NP.flatten().logsumexp(0) - logits_NP[turn, at]

    @torch.no_grad()
    def errors(self, model: CliportModel, batch: Scenes) -> dict[str, float]:
        """Return how far picks and places are off (mm), and the share of right decisions."""
        off: dict[str, list[float]] = {'pick': [], 'place': []}
        right: list[bool] = []
        for example in (scene.pick for scene in batch.scenes):
            maps, said = self._maps(model, [example]), self._said(model, [example])
            pick = _likeliest(model.pick(maps, said))
            wrong_m = [self._apart_m(pick, example.pick)]
            off['pick'].append(wrong_m[0])
            if example.primitive in PLACED:
                place = _likeliest(model.place(maps, said, [pick]))
                wrong_m.append(self._apart_m(place, example.place))
                off['place'].append(wrong_m[1])
            right.append(max(wrong_m) < RIGHT_M)
        means = {f'{name}_mm': 1000 * float(np.mean(v)) for name, v in off.items() if v}
        return {**means, 'right': float(np.mean(right))}

    def _apart_m(self, one: Pixel, other: Pixel) -> float:
        return self.config.metres_per_pixel * float(np.hypot(*np.subtract(one, other)))

    def _said(self, model: CliportModel, examples: Sequence[Example]) -> Tensor:
        ids, mask = self.tokenize([example.instruction for example in examples])
        device = model.height_mean.device
        return model.encode_language(
            torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
        )

    @staticmethod
    def _maps(model: CliportModel, examples: Sequence[Example]) -> Tensor:
        colours, heights = (
            torch.from_numpy(np.stack([getattr(e.seen, name) for e in examples]))
            for name in ('colours', 'heights_m')
        )
        device = model.height_mean.device
        return model.inputs(colours.to(device), heights.to(device))

    def save(
        self,
        model: CliportModel,
        folder: Path,
        embodiment: Embodiment,
        training: Mapping[str, Any],
    ) -> Manifest:
        """Write the model as a checkpoint."""
        return save_cliport(folder, model, embodiment, training)


def _flat(pixel: Pixel, columns: int) -> int:
    return pixel[0] * columns + pixel[1]


def _likeliest(logits: Tensor) -> Pixel:
    """Return the likeliest (row, column) of (…, H, W)."""
    rows, columns = logits.shape[-2:]
    row, column = divmod(int(logits.argmax()) % (rows * columns), columns)
    return row, column
