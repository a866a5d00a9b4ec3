"""Batches for any kind of model, drawn from a table of frames.

B sentences, T frames of history, V views, K chunk steps, A action, P state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_ros.errors import ConfigError
from vla_ros.training.speech import Speech
from vla_ros.training.table import Table


@dataclass(frozen=True)
class Batch:
    """What every learner is given, SI units.

    Attributes:
        images_BTVHWC: uint8 RGB, T frames one step apart, the newest last.
        instructions: B sentences.
        state_BTP: see Table.
        actions_BKA: what follows the newest frame; zeros where the instruction is refused.
        valid_BK: whether the episode goes on for so long.
        grounded_B: whether the instruction names something that can be done.
        points_B23: where the object is and where it has to end; NaN where unknown.
        pixels_BV22: where those appear in the newest images; NaN where out of view or unknown.
        turns_B: by how much the tool has to turn, rad; NaN where it does not matter or is unknown.
        sentences_per_image: m; rows i·m to i·m + m - 1 share an image.
    """

    images_BTVHWC: Tensor
    instructions: tuple[str, ...]
    state_BTP: Tensor
    actions_BKA: Tensor
    valid_BK: Tensor
    grounded_B: Tensor
    points_B23: Tensor
    pixels_BV22: Tensor
    turns_B: Tensor
    sentences_per_image: int

    def rows(self, rows: Tensor) -> Batch:
        """Return some rows of a batch of one sentence an image, as if nothing was said."""
        found = {f.name: getattr(self, f.name) for f in fields(Batch)}
        return replace(
            self,
            **{n: v[rows] for n, v in found.items() if isinstance(v, Tensor)},
            instructions=(),
        )

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on a device."""
        return replace(self, **{n: v.to(device) for n, v in self._tensors().items()})

    def _tensors(self) -> dict[str, Tensor]:
        found = {f.name: getattr(self, f.name) for f in fields(Batch)}
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}


class TableBatches:
    """Draws batches without end; the same ones for the same seed.

    Args:
        table: what is drawn from.
        speech: says the goals; its random numbers belong to the state, too.
        images: a batch.
        sentences: for each image; `refusals` of them name nothing that can be done, if it is
            known what is there.
        frames: of history, T; before an episode's beginning its first frame is repeated.
        share: (rank, ranks): each of several processes takes its part of the same global batch.

    Raises:
        ConfigError: a table of which nothing may be drawn.
    """

    def __init__(
        self,
        table: Table,
        speech: Speech,
        *,
        images: int,
        sentences: int,
        refusals: int,
        frames: int,
        seed: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        if not len(table.drawn):
            raise ConfigError(
                'leave_out: the episodes to train on, or those held back, ask for no more'
            )
        self._table, self._speech = table, speech
        self._images, self._frames, self._share = images, frames, share
        known = table.present_NX.shape[1] > 0
        self._refusals = refusals if known else 0
        self._asked = min(sentences - self._refusals, self.labels)
        self._rng = np.random.default_rng([seed, 7])

    @property
    def generators(self) -> tuple[np.random.Generator, ...]:
        """Every source of random numbers that the next batch depends on."""
        return self._rng, self._speech.generator

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches without end."""
        while True:
            yield self.draw()

    def draw(self) -> Batch:
        """Return this process's part of the next batch."""
        rank, ranks = self._share
        drawn = self._table.drawn
        rows = drawn[self._rng.integers(0, len(drawn), self._images * ranks)]
        asked = np.stack([self._rng.permutation(self.labels)[: self._asked] for _ in rows])
        spoken = [
            self._say(row, labels) + self._refuse(row)
            for row, labels in zip(rows, asked, strict=True)
        ]
        mine = slice(rank, None, ranks)
        return self.take(rows[mine], asked[mine], spoken[mine])

    @property
    def labels(self) -> int:
        """M: how many goals each frame is labelled for."""
        return self._table.tasks_NM.shape[1]

    def answers(self) -> Batch:
        """Return all labels of all frames, as `every` yields them, without an image or a word."""
        drawn, labels = self._table.drawn, np.arange(self.labels)
        owner, which = np.repeat(drawn, self.labels), np.tile(labels, len(drawn))
        grounded = np.ones(len(owner), np.bool_)
        nothing = torch.empty(len(owner), 0)
        return Batch(
            images_BTVHWC=nothing,
            instructions=(),
            sentences_per_image=1,
            **self._labels(owner, which, grounded) | {'pixels_BV22': nothing},
        )

    def digest(self, count: int) -> bytes:
        """Return what tells the first frames, and what is said of them, from others."""
        table, drawn = self._table, self._table.drawn[:count]
        found = hashlib.sha256(table.frames[: int(drawn[-1]) + 1 if count else 0].digest())
        for part in (drawn, table.states_NP[drawn], table.tasks_NM[drawn]):
            found.update(np.ascontiguousarray(part).tobytes())
        found.update('\n'.join(self._speech.sample()).encode())
        return found.digest()

    def count(self, frames: int, begin: int = 0) -> int:
        """Return how many batches `every` yields."""
        return -(-(len(self._table.drawn) - begin) // frames)

    def every(self, frames: int, begin: int = 0) -> Iterator[Batch]:
        """Yield each frame once, so many in a batch, with all of its labels and no refusal.

        The first `begin` frames are passed over.
        """
        labels = np.arange(self.labels)
        drawn = self._table.drawn[begin:]
        for first in range(0, len(drawn), frames):
            rows = drawn[first : first + frames]
            spoken = [self._say(row, labels) for row in rows.tolist()]
            yield self.take(rows, np.tile(labels, (len(rows), 1)), spoken)

    def take(
        self, rows: NDArray[np.int64], asked: NDArray[np.int64], spoken: list[list[str]]
    ) -> Batch:
        """Return a batch of these frames, labels (per frame) and sentences (per frame).

        Sentences beyond the labels name nothing that can be done.
        """
        per_image, named = len(spoken[0]), asked.shape[1]
        owner = np.repeat(rows, per_image)
        refused = np.zeros((len(rows), per_image - named), np.int64)
        which = np.concatenate([asked, refused], axis=1).reshape(-1)
        grounded = np.tile(np.arange(per_image) < named, len(rows))
        labels = self._labels(owner, which, grounded)
        return Batch(
            images_BTVHWC=torch.from_numpy(self._table.frames.take(self._history(owner))),
            instructions=tuple(text for texts in spoken for text in texts),
            sentences_per_image=per_image,
            **labels,
        )

    def _history(self, owner: NDArray[np.int64]) -> NDArray[np.int64]:
        back = np.arange(self._frames - 1, -1, -1)
        return np.maximum(owner[:, None] - back, self._table.first_N[owner][:, None])

    def _labels(
        self, owner: NDArray[np.int64], which: NDArray[np.int64], grounded: NDArray[np.bool_]
    ) -> dict[str, Tensor]:
        """Return what a batch says of labels of frames, but for images and words."""
        table = self._table
        actions = table.actions_NMKA[owner, which] * grounded[:, None, None]
        arrays = {
            'state_BTP': table.states_NP[self._history(owner)],
            'actions_BKA': actions.astype(np.float32),
            'valid_BK': table.valid_NMK[owner, which],
            'grounded_B': grounded,
            'points_B23': _known(table.points_NM23[owner, which], grounded),
            'pixels_BV22': _known(table.pixels_NMV22[owner, which], grounded),
            'turns_B': _known(table.turns_NM[owner, which], grounded),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _say(self, row: int, labels: NDArray[np.int64]) -> list[str]:
        return [self._speech.say(self._table.tasks_NM[row, label]) for label in labels]

    def _refuse(self, row: int) -> list[str]:
        present = self._table.present_NX[row]
        return [self._speech.refuse(present) for _ in range(self._refusals)]


def _known(values: NDArray[np.float32], grounded: NDArray[np.bool_]) -> NDArray[np.float32]:
    shape = (-1,) + (1,) * (values.ndim - 1)
    return np.where(grounded.reshape(shape), values, np.nan).astype(np.float32)
