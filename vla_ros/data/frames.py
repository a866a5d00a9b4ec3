"""Images of a data set in memory: as PNG where they lie so, decoded when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vla_ros.data.images import decode_png
from vla_ros.data.reader import Dataset
from vla_ros.types import ImageArray

_Part: TypeAlias = 'Sequence[bytes] | ImageArray'
"""Images of one camera: of each its PNG bytes, or all of a video, decoded."""


class Frames:
    """Images of all cameras, frame by frame.

    A PNG of a simulated camera takes a seventh of its image, and decoding the few of a batch
    costs next to nothing; so a data set need not fit into memory decoded, once a process.
    """

    def __init__(self, parts: dict[str, _Part], size: tuple[int, int]) -> None:
        """Take images by camera, all of one size (height, width)."""
        self._parts, self._size = parts, size

    @classmethod
    def of(cls, dataset: Dataset) -> Frames:
        """Read those of a data set, all of whose cameras have one size.

        Raises:
            DatasetError: damaged files.
        """
        cameras, features = dataset.spec.cameras, dataset.spec.features
        parts: dict[str, _Part] = {
            camera: dataset.images(camera)
            if features[camera].dtype == 'video'
            else dataset.packed_images(camera)
            for camera in cameras
        }
        return cls(parts, features[cameras[0]].height_and_width)

    def __len__(self) -> int:
        """How many frames there are."""
        return len(next(iter(self._parts.values())))

    def __getitem__(self, rows: slice) -> Frames:
        """Return consecutive frames, without decoding any."""
        return Frames({camera: part[rows] for camera, part in self._parts.items()}, self._size)

    def digest(self) -> bytes:
        """Return what tells these images from others."""
        found = hashlib.sha256()
        for part in self._parts.values():
            for image in part:
                found.update(image)
        return found.digest()

    def take(self, rows: NDArray[np.int64]) -> ImageArray:
        """Decode frames (…), each once: (…, V, H, W, 3) uint8 RGB.

        Raises:
            DatasetError: a damaged image, or one of another size.
        """
        wanted, where = np.unique(rows, return_inverse=True)
        out = np.empty((len(wanted), len(self._parts), *self._size, 3), np.uint8)
        for view, (camera, part) in enumerate(self._parts.items()):
            if isinstance(part, np.ndarray):
                out[:, view] = part[wanted]
            else:
                decode_png(camera, [part[row] for row in wanted], out[:, view])
        return out[where.reshape(rows.shape)]
