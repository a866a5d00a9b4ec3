"""What the cameras of the simulated world see: colour, depth, and where a point appears."""

# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from a compiled module, which pyright cannot see into.

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from vla_ros.errors import ConfigError, choose
from vla_ros.sim.drawing import cannot_draw
from vla_ros.types import DepthArray, FloatArray, ImageArray


class Views:
    """Draws a copy of the scene. To be used from one thread: an OpenGL context belongs to it.

    Args:
        model: whose cameras these are.
        sizes: camera name → (width, height) in pixels.
        shadows: draw shadows and smooth edges, about five times slower.
    """

    def __init__(
        self, model: mujoco.MjModel, sizes: Mapping[str, tuple[int, int]], *, shadows: bool
    ) -> None:
        for name in sizes:
            choose('camera', name, [model.camera(i).name for i in range(model.ncam)])
        self.sizes = dict(sizes)
        self._model = model
        self._shadows = shadows
        if not shadows:
            model.vis.quality.offsamples = 0
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}

    def renderer(self, camera: str) -> mujoco.Renderer:
        """Return what draws a camera, made when it is first asked for."""
        if camera not in self.sizes:
            raise ConfigError(f"no size is given for camera '{camera}'; have {list(self.sizes)}")
        width, height = self.sizes[camera]
        renderer = self._renderers.get((width, height))
        if renderer is None:
            try:
                renderer = mujoco.Renderer(self._model, height, width)
            except Exception as error:  # MuJoCo and OpenGL raise many kinds
                raise ConfigError(cannot_draw()) from error
            self._renderers[width, height] = renderer
        return renderer

    def colour(self, camera: str) -> ImageArray:
        """Return what a camera saw when its renderer was last updated, (H, W, 3) uint8 RGB."""
        renderer = self.renderer(camera)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            renderer.scene.flags[flag] = self._shadows
        return renderer.render()

    def depth(self, camera: str) -> DepthArray:
        """Return the distances along the optical axis then, (H, W) in metres."""
        renderer = self.renderer(camera)
        renderer.enable_depth_rendering()
        try:
            return renderer.render()
        finally:
            renderer.disable_depth_rendering()

    def project(
        self, data: mujoco.MjData, camera: str, point_m: FloatArray
    ) -> tuple[float, float]:
        """Return where a point of the base frame appears, as fractions (x, y) of the image.

        NaN where it is behind the camera.
        """
        width, height = self.sizes[camera]
        view, fovy_rad = data.camera(camera), self.fovy_rad(camera)
        in_camera = view.xmat.reshape(3, 3).T @ (point_m - view.xpos)
        if fovy_rad is None:
            scale = 2.0 / self._model.camera(camera).fovy[0]  # which is metres then
        elif in_camera[2] >= 0:
            return np.nan, np.nan
        else:
            scale = 1.0 / (np.tan(fovy_rad / 2) * -in_camera[2])
        return (
            float(0.5 + 0.5 * in_camera[0] * scale * height / width),
            float(0.5 - 0.5 * in_camera[1] * scale),
        )

    def fovy_rad(self, camera: str) -> float | None:
        """Return the vertical field of view; None where all rays are parallel."""
        of_model = self._model.camera(camera)
        if self._model.cam_projection[of_model.id] == mujoco.mjtProjection.mjPROJ_ORTHOGRAPHIC:
            return None
        return float(np.deg2rad(of_model.fovy[0]))

    def close(self) -> None:
        """Free the OpenGL contexts."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
