"""The next batch is made while a step is computed."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from vla_ros.training.table_batches import Batch, TableBatches

State = list[dict[str, Any]]


class Prefetch:
    """Draws one batch ahead, on a thread; its state is that of the batches that were given out."""

    def __init__(self, batches: TableBatches) -> None:
        self._batches = batches
        self._thread = ThreadPoolExecutor(1, 'batches')
        self.drawn, self.drawing_seconds = 0, 0.0
        self._given: State = self._now()
        self._ahead: Future[tuple[Batch, State]] | None = None

    def next(self) -> Batch:
        """Return the next batch."""
        ahead = self._ahead or self._thread.submit(self._draw)
        batch, self._given = ahead.result()
        self._ahead = self._thread.submit(self._draw)
        return batch

    def state(self) -> State:
        """Return what the next batch depends on."""
        return self._given

    def restore(self, state: State) -> None:
        """Go on from a state."""
        if self._ahead is not None:
            self._ahead.result()
            self._ahead = None
        for generator, kept in zip(self._batches.generators, state, strict=True):
            generator.bit_generator.state = kept
        self._given = state

    def _draw(self) -> tuple[Batch, State]:
        started = time.monotonic()
        batch = self._batches.draw()
        self.drawing_seconds += time.monotonic() - started
        self.drawn += 1
        return batch, self._now()

    def _now(self) -> State:
        return [dict(generator.bit_generator.state) for generator in self._batches.generators]
