"""What a demonstration leaves behind: frames of two cameras and one scene per instruction."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

import cv2
import numpy as np

from vla_ros.ros.rollout_record import Rollout
from vla_ros.types import FloatArray, ImageArray

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95]


@dataclass(frozen=True)
class Scene:
    """One instruction and how it ended."""

    rollout: Rollout
    target: str | None
    success: bool
    outcome: str


@dataclass
class Recording:
    """Frames (kept as JPEG, a tenth of the memory) and scenes, on the rollout client's clock."""

    scenes: list[Scene] = field(default_factory=list)
    _times_s: dict[str, list[float]] = field(default_factory=dict)
    _frames: dict[str, list[ImageArray]] = field(default_factory=dict)

    def add_frame(self, camera: str, time_s: float, image: ImageArray) -> None:
        """Keep a frame."""
        _, encoded = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _JPEG)
        self._times_s.setdefault(camera, []).append(time_s)
        self._frames.setdefault(camera, []).append(np.asarray(encoded, np.uint8))

    def frame(self, camera: str, time_s: float) -> ImageArray | None:
        """Return what a camera saw last at a time, or its first frame; None without any."""
        times_s = self._times_s.get(camera)
        if not times_s:
            return None
        index = max(0, bisect.bisect_right(times_s, time_s) - 1)
        bgr = cv2.imdecode(self._frames[camera][index], cv2.IMREAD_COLOR)
        assert bgr is not None  # we encoded it
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

    def commands(self) -> tuple[FloatArray, FloatArray]:
        """Return the commanded joint velocities of all scenes: times (N,), velocities (N, 7)."""
        times_s = [t for scene in self.scenes for t in scene.rollout.command_times_s]
        rows = [v for scene in self.scenes for v in scene.rollout.commands_rad_s]
        return np.array(times_s), np.array(rows).reshape(len(rows), 7)
