"""The frames that an action is read from: the newest one and those a step apart before it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Frame:
    """One observation.

    Attributes:
        stamp_ns: when it was made.
        images_VHWC: uint8 RGB, scaled.
        state_P: SI units.
        tokens_CE: what the image encoder made of it for the sentence in force; None before that.
    """

    stamp_ns: int
    images_VHWC: Tensor
    state_P: Tensor
    tokens_CE: Tensor | None = None


class History:
    """Keeps frames for as long as one of the next actions may be read from them.

    Training shows frames that are one step apart, whatever the rate of the camera: so the frames
    are chosen by their stamps. Before an episode is old enough its first frame stands in.
    """

    def __init__(self, frames: int, step_s: float) -> None:
        """Begin without a frame."""
        self._count = frames
        self._step_ns = round(step_s * 1e9)
        self._frames: list[Frame] = []

    def __len__(self) -> int:
        """Return how many frames are kept."""
        return len(self._frames)

    def clear(self) -> None:
        """Forget every frame."""
        self._frames.clear()

    def forget_tokens(self) -> None:
        """Keep the frames, which have to be encoded again."""
        for frame in self._frames:
            frame.tokens_CE = None

    def add(self, frame: Frame) -> None:
        """Take the newest frame; one older than the last means that the clock was reset."""
        if self._frames and frame.stamp_ns <= self._frames[-1].stamp_ns:
            same = frame.stamp_ns == self._frames[-1].stamp_ns
            self._frames = self._frames[:-1] if same else []
        oldest_ns = frame.stamp_ns - self._count * self._step_ns
        self._frames = [f for f in self._frames if f.stamp_ns >= oldest_ns] + [frame]

    def window(self) -> list[Frame]:
        """Return the newest frame and its predecessors, oldest first; one may stand repeatedly."""
        newest_ns = self._frames[-1].stamp_ns
        wanted = (newest_ns - k * self._step_ns for k in reversed(range(self._count)))
        return [min(self._frames, key=lambda f: abs(f.stamp_ns - at)) for at in wanted]


def missing(window: list[Frame]) -> list[Frame]:
    """Return the frames of a window that have no tokens yet, each once."""
    return list({id(frame): frame for frame in window if frame.tokens_CE is None}.values())


def tokens_of(window: list[Frame]) -> Tensor:
    """Return the tokens of encoded frames, (T, C, E)."""
    return torch.stack([frame.tokens_CE for frame in window if frame.tokens_CE is not None])
