"""Where a depth camera is and how it projects: which point of the base frame a pixel shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.errors import ConfigError
from vla_ros.types import FloatArray

Rays = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class CameraCalibration:
    """Pose and projection of a camera without distortion, for images of its full size.

    The optical frame is that of ROS (REP 103): z into the scene, x to the right, y down.

    Attributes:
        width: of the images that it was calibrated for, in pixels.
        height: of these.
        position_m: (3,) of the optical frame in the base frame.
        orientation_wxyz: (4,) quaternion, rotation of the optical frame to the base frame.
        focal_px: (2,) focal lengths fx, fy of a pinhole camera, in pixels.
        metres_per_pixel: instead, of a camera whose rays are parallel.
        centre_px: (2,) cx, cy, where the optical axis meets the image; its middle by default.
    """

    width: int
    height: int
    position_m: FloatArray
    orientation_wxyz: FloatArray
    focal_px: FloatArray | None = None
    metres_per_pixel: float | None = None
    centre_px: FloatArray | None = None

    def __post_init__(self) -> None:
        """Refuse what is no pose or no projection."""
        if min(self.width, self.height) < 1:
            raise ConfigError(f'width and height: {self.width}x{self.height} is no size')
        sizes = {'position_m': 3, 'orientation_wxyz': 4, 'focal_px': 2, 'centre_px': 2}
        for key, size in sizes.items():
            value = getattr(self, key)
            if value is not None and (value.shape != (size,) or not np.isfinite(value).all()):
                raise ConfigError(f'{key}: {size} finite numbers are needed, got {value.tolist()}')
        if abs(float(np.linalg.norm(self.orientation_wxyz)) - 1.0) > 1e-3:
            raise ConfigError(
                f'orientation_wxyz: {self.orientation_wxyz.tolist()} is not of length 1'
            )
        if (self.focal_px is None) == (self.metres_per_pixel is None):
            raise ConfigError(
                'focal_px: give it for a pinhole camera, or metres_per_pixel for one whose rays '
                'are parallel, and not both'
            )
        scale = self.metres_per_pixel if self.focal_px is None else float(self.focal_px.min())
        if scale is None or not 0 < scale < np.inf:
            raise ConfigError('focal_px or metres_per_pixel must be positive')

    @property
    def rotation_optical_to_base(self) -> FloatArray:
        """The orientation as a matrix, (3, 3)."""
        w, x, y, z = self.orientation_wxyz / np.linalg.norm(self.orientation_wxyz)
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )

    def rays_to_base(self, columns: int, rows: int) -> Rays:
        """Return the rays of an image's pixels in the base frame: origins and directions.

        A point at depth d (along the optical axis, m) is `origin + d * direction`.

        Args:
            columns: of the image, which may be a scaled one.
            rows: of the image.

        Returns:
            two arrays (rows * columns, 3), row after row.
        """
        x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
        centre = self.centre_px
        if centre is None:
            centre = np.array([self.width / 2, self.height / 2])
        aside = np.stack(
            [x * self.width / columns - centre[0], y * self.height / rows - centre[1]], axis=-1
        ).reshape(-1, 2)
        rotation = self.rotation_optical_to_base
        across, ahead = rotation[:, :2], rotation[:, 2]
        if self.focal_px is not None:
            directions = (aside / self.focal_px) @ across.T + ahead
            return np.broadcast_to(self.position_m, directions.shape), directions
        assert self.metres_per_pixel is not None
        origins = self.position_m + self.metres_per_pixel * aside @ across.T
        return origins, np.broadcast_to(ahead, origins.shape)

    def project(self, point_m: FloatArray) -> FloatArray:
        """Return where points (..., 3) of the base frame appear, (..., 2): x, y in pixels.

        The middle of the first pixel is (0.5, 0.5).
        """
        in_camera = (point_m - self.position_m) @ self.rotation_optical_to_base
        centre = self.centre_px
        if centre is None:
            centre = np.array([self.width / 2, self.height / 2])
        if self.focal_px is not None:
            return centre + self.focal_px * in_camera[..., :2] / in_camera[..., 2:]
        assert self.metres_per_pixel is not None
        return centre + in_camera[..., :2] / self.metres_per_pixel
