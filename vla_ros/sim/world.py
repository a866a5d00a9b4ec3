"""The simulated world without ROS: one arm, one table, objects, cameras."""

# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from a compiled module, which pyright cannot see into.

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import ConfigError, choose
from vla_ros.sim.layout import sample_layout
from vla_ros.sim.scene import OBJECT_KINDS, build_model
from vla_ros.types import ARM_JOINTS, FloatArray, ImageArray

HOVER_HEIGHT_M = 0.10  # a reach ends this far above the centre of the named object
_HOME_OPENING_M = 0.04
_PARKED_M = (-60.0, 0.0, 1.0)  # where objects wait that are not on the table: far behind


@dataclass(frozen=True)
class SceneObject:
    """An object on the table; position of its centre in the base frame."""

    name: str
    colour: str
    shape: str
    position_m: FloatArray


class World:
    """MuJoCo model and state. Commands are latched, as a real velocity controller latches them.

    `render` must always be called from one thread: an OpenGL context belongs to a thread. Another
    thread may reset and step meanwhile: drawing works on a copy of the scene.

    Args:
        embodiment: an arm with the kinematics of the simulated one.
        camera_sizes: camera name → (width, height) in pixels; the arm's YAML by default.
        shadows: draw shadows and smooth edges, about five times slower, for people to look at.
    """

    def __init__(
        self,
        embodiment: Embodiment,
        *,
        camera_sizes: Mapping[str, tuple[int, int]] | None = None,
        shadows: bool = False,
    ) -> None:
        self.embodiment = embodiment
        self.model = build_model(embodiment)
        self.data = mujoco.MjData(self.model)
        self._changing = threading.Lock()
        self._shadows = shadows
        if not shadows:
            self.model.vis.quality.offsamples = 0
        self._sizes = dict(camera_sizes or _sizes_of(embodiment))
        for name in self._sizes:
            choose('camera', name, [self.model.camera(i).name for i in range(self.model.ncam)])
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}
        self._kinds = ()
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Put the arm at home, at rest, and four objects on the table; the seed decides where."""
        with self._changing:
            self._reset(seed)

    def _reset(self, seed: int) -> None:
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:ARM_JOINTS] = self.embodiment.home_rad
        self.data.qpos[ARM_JOINTS : ARM_JOINTS + 2] = _HOME_OPENING_M / 2
        self.command_gripper(_HOME_OPENING_M)
        layout = sample_layout(np.random.default_rng(seed))
        self._kinds = tuple(kind for kind, _ in layout)
        placed = dict(layout)
        for index, kind in enumerate(OBJECT_KINDS):
            body, joint = self.model.body(kind.name), self.data.joint(kind.name)
            pose = placed.get(kind)
            self.model.body_gravcomp[body.id] = 1.0 if pose is None else 0.0
            if pose is None:
                joint.qpos[:3] = np.add(_PARKED_M, (0.0, 0.15 * index, 0.0))
                continue
            joint.qpos[:3] = (pose.x_m, pose.y_m, kind.rest_height_m)
            joint.qpos[3:] = (np.cos(pose.yaw_rad / 2), 0.0, 0.0, np.sin(pose.yaw_rad / 2))
        mujoco.mj_forward(self.model, self.data)

    def command_velocity(self, velocities_rad_s: FloatArray) -> None:
        """Latch seven joint velocities; the drives follow them until the next command."""
        self.data.ctrl[:ARM_JOINTS] = velocities_rad_s

    def command_gripper(self, opening_m: float) -> None:
        """Latch the distance between the finger tips."""
        self.data.ctrl[ARM_JOINTS:] = np.clip(opening_m / 2, 0.0, 0.04)

    def step(self, duration_s: float) -> None:
        """Advance physics by a multiple of the model's time step (5 ms)."""
        steps = round(duration_s / self.model.opt.timestep)
        with self._changing:
            mujoco.mj_step(self.model, self.data, nstep=steps)

    def set_joint_positions(self, positions_rad: FloatArray) -> None:
        """Place the arm at rest at the given joint positions, for replays and for tests."""
        self.data.qpos[:ARM_JOINTS] = positions_rad
        self.data.qvel[:ARM_JOINTS] = 0.0
        mujoco.mj_forward(self.model, self.data)

    @property
    def time_s(self) -> float:
        """Simulated time since the last reset."""
        return float(self.data.time)

    @property
    def joint_positions_rad(self) -> FloatArray:
        """A copy of the seven joint positions."""
        return self.data.qpos[:ARM_JOINTS].copy()

    @property
    def joint_velocities_rad_s(self) -> FloatArray:
        """A copy of the seven joint velocities."""
        return self.data.qvel[:ARM_JOINTS].copy()

    @property
    def gripper_opening_m(self) -> float:
        """Distance between the finger tips."""
        return float(self.data.qpos[ARM_JOINTS] + self.data.qpos[ARM_JOINTS + 1])

    @property
    def tool_position_m(self) -> FloatArray:
        """Point between the finger tips, in the base frame."""
        return self.data.site('tool').xpos.copy()

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        """The objects that are on the table in this scene, in the order of their placing."""
        return tuple(
            SceneObject(k.name, k.colour, k.shape, self.data.body(k.name).xpos.copy())
            for k in self._kinds
        )

    def target_position_m(self, name: str) -> FloatArray:
        """Return the point over an object that a reach must end at, in the base frame.

        Raises:
            ConfigError: no such object is on the table.
        """
        choose('object on this table', name, [kind.name for kind in self._kinds])
        return np.add(self.data.body(name).xpos, (0.0, 0.0, HOVER_HEIGHT_M))

    def render(self, camera: str) -> ImageArray:
        """Return what a camera sees now, (H, W, 3) uint8 RGB, in a new buffer."""
        if camera not in self._sizes:
            raise ConfigError(f"no size is given for camera '{camera}'; have {list(self._sizes)}")
        width, height = self._sizes[camera]
        renderer = self._renderers.get((width, height))
        if renderer is None:
            renderer = mujoco.Renderer(self.model, height, width)
            self._renderers[width, height] = renderer
        with self._changing:
            renderer.update_scene(self.data, camera)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            renderer.scene.flags[flag] = self._shadows
        return renderer.render()

    def camera_size(self, camera: str) -> tuple[int, int]:
        """Return (width, height) in pixels of a camera's images."""
        return self._sizes[camera]

    def project(self, camera: str, point_m: FloatArray) -> tuple[float, float]:
        """Return where a point of the base frame appears, as fractions (x, y) of the image."""
        width, height = self._sizes[camera]
        view = self.data.camera(camera)
        in_camera = view.xmat.reshape(3, 3).T @ (point_m - view.xpos)
        fovy = np.deg2rad(self.model.camera(camera).fovy[0])
        scale = 1.0 / (np.tan(fovy / 2) * -in_camera[2])
        return (
            float(0.5 + 0.5 * in_camera[0] * scale * height / width),
            float(0.5 - 0.5 * in_camera[1] * scale),
        )

    def close(self) -> None:
        """Free the OpenGL contexts."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()


def _sizes_of(embodiment: Embodiment) -> dict[str, tuple[int, int]]:
    return {name: (c.width, c.height) for name, c in embodiment.cameras.items()}
