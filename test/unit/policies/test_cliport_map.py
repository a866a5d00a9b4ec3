"""The table from above: points to pixels and back, whatever the camera."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.core.camera import CameraCalibration
from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ConfigError, ObservationError
from vla_ros.policies.cliport.height_map import MapGeometry, height_map

GEOMETRY = MapGeometry(80, 160, 0.75, 0.5, 0.00625)
DOWN_WXYZ = np.array([0.0, 0.5**0.5, -(0.5**0.5), 0.0])


def pinhole() -> CameraCalibration:
    """Look at the table from the front, tilted, as a camera on a stand does."""
    tilt = np.deg2rad(25.0)
    # the camera looks down, then is tilted about its own x axis
    w, x, y, z = DOWN_WXYZ
    a, b = np.cos(tilt / 2), np.sin(tilt / 2)
    turned = np.array([w * a - x * b, w * b + x * a, y * a + z * b, z * a - y * b])
    position = np.array([0.05, 0.02, 1.1])
    return CameraCalibration(640, 480, position, turned, focal_px=np.array([460.0, 462.0]))


CAMERAS = {'pinhole': pinhole(), 'parallel rays': load_arm('sim').cameras['top'].calibration}


def view(camera: CameraCalibration, cube_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw a red cube of 5 cm on a grey table, and its depth, by asking where each ray ends."""
    origins, directions = camera.rays_to_base(camera.width, camera.height)
    depth = -origins[:, 2] / directions[:, 2]
    colours = np.full((len(depth), 3), 120, np.uint8)
    for height in np.linspace(0.0, 0.05, 21):
        along = (height - origins[:, 2]) / directions[:, 2]
        points = origins + along[:, None] * directions
        hit = (np.abs(points[:, :2] - cube_m) <= 0.025).all(axis=1)
        depth[hit], colours[hit] = along[hit], (255, 0, 0)
    size = camera.height, camera.width
    return colours.reshape(*size, 3), depth.reshape(size).astype(np.float32)


def test_a_point_is_found_again_within_a_pixel() -> None:
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(0.26, 0.74, 200), rng.uniform(-0.49, 0.49, 200)])
    pixels = np.round(GEOMETRY.pixel(points))
    assert np.abs(GEOMETRY.point_m(pixels) - points).max() <= GEOMETRY.metres_per_pixel / 2 + 1e-9
    assert all(GEOMETRY.holds(pixel) for pixel in pixels)
    np.testing.assert_allclose(GEOMETRY.pixel(GEOMETRY.point_m(pixels)), pixels, atol=1e-9)


@pytest.mark.parametrize('name', CAMERAS)
def test_rays_and_projection_agree(name: str) -> None:
    camera = CAMERAS[name]
    assert camera is not None
    origins, directions = camera.rays_to_base(camera.width, camera.height)
    points = (origins + 0.9 * directions).reshape(camera.height, camera.width, 3)
    found = camera.project(points)
    np.testing.assert_allclose(found[30, 50], (50.5, 30.5), atol=1e-6)
    np.testing.assert_allclose(found[7, 111], (111.5, 7.5), atol=1e-6)


@pytest.mark.parametrize('name', CAMERAS)
@pytest.mark.parametrize('cube', [(0.45, 0.1), (0.6, -0.2)])
def test_a_cube_is_where_it_stands_in_its_colour_and_height(
    name: str, cube: tuple[float, float]
) -> None:
    camera = CAMERAS[name]
    assert camera is not None
    image, depth = view(camera, np.array(cube))
    seen = height_map(GEOMETRY, image, depth, camera)
    red = (seen.colours[..., 0] > 200) & (seen.heights_m > 0.04)
    middle = GEOMETRY.point_m(np.argwhere(red).mean(axis=0))
    assert np.abs(middle - cube).max() < GEOMETRY.metres_per_pixel
    assert 40 <= red.sum() <= 100  # 8 x 8 pixels
    assert seen.heights_m.max() == pytest.approx(0.05, abs=0.003)


@pytest.mark.parametrize('unknown', [np.nan, 0.0, np.inf, -1.0])
def test_unknown_depth_is_the_table_and_never_a_number_that_is_none(unknown: float) -> None:
    camera = CAMERAS['parallel rays']
    assert camera is not None
    image, depth = view(camera, np.array((0.45, 0.1)))
    holes = depth.copy()
    holes[::3] = unknown
    seen = height_map(GEOMETRY, image, holes, camera)
    assert np.isfinite(seen.heights_m).all()
    assert seen.heights_m.max() == pytest.approx(0.05, abs=0.003)
    nothing = height_map(GEOMETRY, image, np.full_like(depth, unknown), camera)
    assert not nothing.heights_m.any()
    assert (nothing.colours[20:60, 20:140] > 0).any(axis=-1).all()


def test_what_is_no_depth_image_is_refused() -> None:
    camera = CAMERAS['parallel rays']
    assert camera is not None
    image = np.zeros((160, 320, 3), np.uint8)
    with pytest.raises(ObservationError, match='depth image of shape'):
        height_map(GEOMETRY, image, np.zeros((160, 320, 1), np.float32), camera)
    with pytest.raises(ObservationError, match='image of shape'):
        height_map(GEOMETRY, image[..., 0], np.zeros((160, 320), np.float32), camera)


@pytest.mark.parametrize(
    ('wrong', 'named'),
    [
        ({'orientation_wxyz': np.array([1.0, 1.0, 0.0, 0.0])}, 'orientation_wxyz'),
        ({'position_m': np.array([0.0, np.nan, 0.0])}, 'position_m'),
        ({'focal_px': None}, 'focal_px'),
        ({'focal_px': np.array([0.0, 400.0])}, 'positive'),
        ({'width': 0}, 'width'),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(wrong: dict, named: str) -> None:
    right = {
        'width': 640,
        'height': 480,
        'position_m': np.zeros(3),
        'orientation_wxyz': DOWN_WXYZ,
        'focal_px': np.array([400.0, 400.0]),
    }
    with pytest.raises(ConfigError, match=named):
        CameraCalibration(**(right | wrong))
