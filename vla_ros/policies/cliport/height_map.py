"""The table from above: colours and heights on a grid, made from a calibrated depth camera.

Row 0 is far from the robot's base and column 0 is to its left, as who stands behind it sees the
table: rows go along -x, columns along -y of the base frame, and angles in the map are those in the
base frame, counter-clockwise. Pixels are (row, column); a whole number is the pixel's middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_ros.core.embodiment import CameraCalibration
from vla_ros.errors import ObservationError
from vla_ros.types import DepthArray, FloatArray, ImageArray

LOWEST_M, HIGHEST_M = -0.05, 0.28
"""Points beyond are none of the table's: a depth camera's mistakes, or the arm."""


@dataclass(frozen=True)
class MapGeometry:
    """Which part of the table a map shows.

    Attributes:
        rows: along -x.
        columns: along -y.
        far_m: x of the upper edge.
        left_m: y of the left edge.
        metres_per_pixel: of the grid.
    """

    rows: int
    columns: int
    far_m: float
    left_m: float
    metres_per_pixel: float

    def pixel(self, point_m: FloatArray) -> FloatArray:
        """Return (row, column), (..., 2), of points (..., 2 or 3) in the base frame."""
        row = (self.far_m - point_m[..., 0]) / self.metres_per_pixel - 0.5
        column = (self.left_m - point_m[..., 1]) / self.metres_per_pixel - 0.5
        return np.stack([row, column], axis=-1)

    def point_m(self, pixel: FloatArray) -> FloatArray:
        """Return x and y, (..., 2), of pixels (..., 2)."""
        x = self.far_m - (pixel[..., 0] + 0.5) * self.metres_per_pixel
        y = self.left_m - (pixel[..., 1] + 0.5) * self.metres_per_pixel
        return np.stack([x, y], axis=-1)

    def holds(self, pixel: FloatArray) -> bool:
        """Tell whether a pixel (2,) is in the map."""
        row, column = np.round(pixel)
        return bool(0 <= row < self.rows and 0 <= column < self.columns)

    @property
    def near_m(self) -> float:
        """The x of the lower edge, nearest to the base."""
        return self.far_m - self.rows * self.metres_per_pixel


@dataclass(frozen=True)
class HeightMap:
    """What is on the table.

    Attributes:
        colours: (H, W, 3) uint8, RGB; black where nothing is known.
        heights_m: (H, W) float32, over the base's plane; 0 where nothing is known.
    """

    colours: ImageArray
    heights_m: NDArray[np.float32]


def height_map(
    geometry: MapGeometry,
    image: ImageArray,
    depth_m: DepthArray | None,
    calibration: CameraCalibration,
) -> HeightMap:
    """Look down on the points that a camera sees; the highest of a pixel counts.

    A depth that is not positive or not finite is unknown: such a place shows the colour that lies
    behind it on the table, unless a known point is there. Pixels that no ray meets are filled from
    their neighbours. An image and a depth image of different sizes show the same view.

    Args:
        geometry: of the map.
        image: (H, W, 3) uint8, RGB.
        depth_m: (H, W) along the optical axis in metres; None knows nothing.
        calibration: of the camera, for its full size; scaled to the image's.

    Raises:
        ObservationError: no such image or depth image.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ObservationError(f'image of shape {image.shape}; (H, W, 3) uint8 is needed')
    if depth_m is None:
        depth_m = np.zeros(image.shape[:2], np.float32)
    if depth_m.ndim != 2 or not depth_m.size:
        raise ObservationError(f'depth image of shape {depth_m.shape}; (H, W) is needed')
    rows, columns = depth_m.shape
    if image.shape[:2] != depth_m.shape:
        resized = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
        image = np.asarray(resized, np.uint8)
    points, known = _points(depth_m, calibration)
    pixel = np.round(geometry.pixel(points)).astype(np.int64)
    inside = (points[:, 2] > LOWEST_M) & (points[:, 2] < HIGHEST_M)
    inside &= ((pixel >= 0) & (pixel < (geometry.rows, geometry.columns))).all(axis=1)
    order = np.flatnonzero(inside)
    order = order[np.lexsort((points[order, 2], known[order]))]  # the last written stays
    at_row, at_column = pixel[order, 0], pixel[order, 1]
    colours = np.zeros((geometry.rows, geometry.columns, 3), np.uint8)
    heights = np.zeros((geometry.rows, geometry.columns), np.float32)
    filled = np.zeros((geometry.rows, geometry.columns), np.uint8)
    colours[at_row, at_column] = image.reshape(-1, 3)[order]
    heights[at_row, at_column] = points[order, 2]
    filled[at_row, at_column] = 1
    return _without_holes(HeightMap(colours, heights), filled)


def _points(
    depth_m: DepthArray, calibration: CameraCalibration
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the points of all pixels in the base frame, (N, 3), and whether they are known."""
    rows, columns = depth_m.shape
    origins, directions = calibration.rays_to_base(columns, rows)
    depth = depth_m.reshape(-1).astype(np.float64)
    known = np.isfinite(depth) & (depth > 0)
    with np.errstate(divide='ignore', invalid='ignore'):
        to_table = -origins[:, 2] / directions[:, 2]
    along = np.where(known, depth, to_table)
    along = np.where(np.isfinite(along) & (along > 0), along, -1e3)  # behind: never inside
    points = origins + along[:, None] * directions
    points[(along < 0) & ~known, 2] = np.inf
    return points, known


def _without_holes(seen: HeightMap, filled: NDArray[np.uint8]) -> HeightMap:
    """Fill pixels that nothing fell into from the highest of their neighbours."""
    if filled.all():
        return seen
    kernel = np.ones((3, 3), np.uint8)
    heights = np.where(filled, seen.heights_m, np.float32(-1e3))
    grown = np.asarray(cv2.dilate(heights, kernel))
    colours = np.asarray(cv2.dilate(seen.colours, kernel))
    fill = (filled == 0) & (grown > -1e2)
    return HeightMap(
        np.where(fill[..., None], colours, seen.colours),
        np.where(fill, grown, seen.heights_m).astype(np.float32),
    )
