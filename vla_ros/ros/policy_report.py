"""What policy_node says about itself: the worst that is wrong, what it did and how fast."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vla_ros.ros import diagnostics
from vla_ros.ros.inference import Inference
from vla_ros.ros.instruction import MAX_HZ
from vla_ros.types import ARM_JOINTS

MIN_CONFIDENCE = 0.5
_SILENT_NS = 500_000_000


class PolicyReport:
    """What happened since the node was activated or told to forget.

    Attributes:
        refused: why the newest instruction was not taken, empty if it was.
        bad_input: what is malformed in the newest input, empty if nothing is.
        unusable: why the newest frame made no observation, empty if it did.
        joints_missing: joints of which there is no fresh state.
        depths_missing: topics from which no fresh depth image came.
    """

    def __init__(self, joints: Sequence[str]) -> None:
        """Begin with nothing heard of."""
        self.refused = self.bad_input = self.unusable = ''
        self.joints_missing = list(joints)
        self.depths_missing: list[str] = []
        self._error = ''
        self._frames_used = self._chunks_sent = 0
        self._last_frame_ns = time.monotonic_ns()
        self._newest: Any = None
        self._changing = threading.Lock()  # the inference thread reports, too
        self._to_inference = diagnostics.LatencyWindow()
        self._inference = diagnostics.LatencyWindow()
        self._to_chunk = diagnostics.LatencyWindow()

    def frame_used(self) -> None:
        """Count a frame that came in good order."""
        self._frames_used += 1
        self._last_frame_ns = time.monotonic_ns()

    def inferred(self, inference: Inference, now_ns: int) -> None:
        """Count a chunk that was published now."""
        chunk = inference.chunk
        with self._changing:
            self._error = ''
            self._newest = replace(chunk, velocities_rad_s=np.empty((0, ARM_JOINTS)))
            self._chunks_sent += 1
            self._to_inference.add_ns(inference.start_ns - chunk.stamp_ns)
            self._inference.add_ns(inference.end_ns - inference.start_ns)
            self._to_chunk.add_ns(now_ns - chunk.stamp_ns)

    def failed(self, error: Exception) -> str:
        """Keep an error of the inference; return it as text if it is another one than before."""
        text, before = f'inference failed: {error!r}', self._error
        self._error = text
        return '' if text == before else text

    def values(self) -> dict[str, object]:
        """Return what programs read."""
        with self._changing:
            newest = self._newest
            return {
                'confidence': f'{newest.confidence:.3f}' if newest else '',
                'note': newest.note if newest else '',
                'frames': self._frames_used,
                'chunks': self._chunks_sent,
                **self._to_inference.percentiles('stamp_to_inference'),
                **self._inference.percentiles('inference'),
                **self._to_chunk.percentiles('stamp_to_chunk'),
            }

    def worst(
        self, inactive: str, instruction: str, cameras_missing: Sequence[str], *, too_fast: bool
    ) -> tuple[bytes, str]:
        """Return level and one line: the worst that is wrong, or what the node does.

        Args:
            inactive: why the node is not active, empty if it is.
            instruction: what is followed.
            cameras_missing: cameras without a fresh frame.
            too_fast: instructions come faster than anyone can mean them.
        """
        newest = self._newest
        silent = time.monotonic_ns() - self._last_frame_ns > _SILENT_NS
        cameras = ', '.join(cameras_missing) or 'every camera at once'
        why_inactive = (inactive, self.bad_input or self.unusable)
        findings = (
            (inactive, diagnostics.WARN, '; '.join(filter(None, why_inactive))),
            (self._error, diagnostics.ERROR, self._error),
            (self.bad_input, diagnostics.ERROR, self.bad_input),
            (self.refused, diagnostics.WARN, self.refused),
            (
                too_fast,
                diagnostics.WARN,
                f'more than {MAX_HZ} instructions a second; the newest counts',
            ),
            (silent, diagnostics.WARN, self.unusable or f'no frame from {cameras}'),
            (
                self.depths_missing,
                diagnostics.WARN,
                f'no fresh depth image on {", ".join(self.depths_missing)}',
            ),
            (not instruction, diagnostics.OK, 'waiting for an instruction'),
            (
                self.joints_missing,
                diagnostics.WARN,
                f'no fresh state of {", ".join(self.joints_missing)}',
            ),
            (
                newest and newest.confidence < MIN_CONFIDENCE,
                diagnostics.WARN,
                (newest and newest.note) or 'the policy does not believe the instruction',
            ),
            (True, diagnostics.OK, 'following the instruction'),
        )
        return next((level, summary) for holds, level, summary in findings if holds)
