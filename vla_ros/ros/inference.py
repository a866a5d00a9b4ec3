"""One thread that owns a policy: warm-up, reset and every inference happen on it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from vla_ros.errors import ObservationError
from vla_ros.types import ActionChunk, Observation, Policy


@dataclass(frozen=True)
class Inference:
    """One answer of the policy and when it began and ended, on the node's clock."""

    chunk: ActionChunk
    start_ns: int
    end_ns: int


class InferenceThread(threading.Thread):
    """Infers from the newest observation only; older ones that wait are replaced.

    `forget` takes back what was asked: an answer that is still being computed is dropped.
    """

    def __init__(
        self,
        policy: Policy,
        warm_up: Observation,
        now_ns: Callable[[], int],
        on_inference: Callable[[Inference], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        """Prepare; `on_inference` and `on_error` are called on this thread."""
        super().__init__(name='inference', daemon=True)
        self._policy = policy
        self._warm_up = warm_up
        self._now_ns = now_ns
        self._on_inference = on_inference
        self._on_error = on_error
        self._changed = threading.Condition()
        self._waiting: Observation | None = None
        self._must_reset = False
        self._stopping = False
        self._generation = 0

    def offer(self, observation: Observation) -> None:
        """Ask for a chunk for this observation, instead of any that still waits."""
        with self._changed:
            self._waiting = observation
            self._changed.notify()

    def forget(self) -> None:
        """Drop what waits and what is being computed, and reset the policy."""
        with self._changed:
            self._waiting = None
            self._must_reset = True
            self._generation += 1
            self._changed.notify()

    def stop(self, timeout_s: float) -> bool:
        """End the thread; return whether it ended in time (an inference cannot be broken off)."""
        with self._changed:
            self._stopping = True
            self._generation += 1
            self._changed.notify()
        self.join(timeout_s)
        return not self.is_alive()

    def run(self) -> None:
        """Warm the policy up, then answer observations until `stop`."""
        self._guarded(self._warm)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._must_reset or self._stopping)
                if self._stopping:
                    return
                observation, self._waiting = self._waiting, None
                must_reset, self._must_reset = self._must_reset, False
                generation = self._generation
            if must_reset:
                self._guarded(self._policy.reset)
            if observation is not None:
                self._guarded(lambda o=observation, g=generation: self._infer(o, g))

    def _warm(self) -> None:
        with contextlib.suppress(ObservationError):  # a policy may refuse a blank image
            self._policy.infer(self._warm_up)
        self._policy.reset()

    def _infer(self, observation: Observation, generation: int) -> None:
        start_ns = self._now_ns()
        chunk = replace(self._policy.infer(observation), stamp_ns=observation.stamp_ns)
        inference = Inference(chunk, start_ns, self._now_ns())
        with self._changed:
            wanted = generation == self._generation
        if wanted:
            self._on_inference(inference)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Whatever a policy raises ends here: no chunk, and the guard brings the arm to rest."""
        try:
            work()
        except Exception as error:
            self._on_error(error)
