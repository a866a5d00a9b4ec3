"""The simulated world without ROS: one arm, one table, objects, cameras."""

# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from a compiled module, which pyright cannot see into.

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import mujoco
import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import choose
from vla_ros.sim.layout import Pose, TableLayout, sample_layout, sample_table
from vla_ros.sim.scene import CONTAINERS, OBJECT_KINDS, SceneObject, build_model
from vla_ros.sim.surfaces import Surfaces
from vla_ros.sim.views import Views
from vla_ros.types import ARM_JOINTS, TASKS, DepthArray, FloatArray, ImageArray

HOVER_HEIGHT_M = 0.10  # a reach ends this far above the centre of the named object
_HOME_OPENING_M = 0.04
_PARKED_M = (-60.0, 0.0, 1.0)  # where objects wait that are not on the table: far behind
_IMAGINED_STEP_S = 0.01  # coarser than the model's own: what may come is cheap to look at


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
        self._views = Views(self.model, camera_sizes or _sizes_of(embodiment), shadows=shadows)
        self._kinds = ()
        self._bowls: tuple[str, ...] = ()  # their colours
        self._surfaces = Surfaces(self.model)
        self._fingers = tuple(
            set(np.flatnonzero(self.model.geom_bodyid == self.model.body(name).id).tolist())
            for name in ('left_finger', 'right_finger')
        )
        self._geom_of = {kind.name: self.model.geom(kind.name).id for kind in OBJECT_KINDS}
        self._imagined = mujoco.MjData(self.model)
        self.reset(0)

    def reset(self, seed: int, task: str = 'reach') -> None:
        """Put the arm at home, at rest, and objects on the table; the seed decides where.

        Args:
            seed: of the layout.
            task: reach puts four objects there; push, pick and put have scenes of another kind,
                with bowls among 3 to 5 objects and with surfaces made for handling them.

        Raises:
            ConfigError: there are no scenes for such a task.
        """
        choose('task', task, TASKS)
        if task == 'reach':
            layout = TableLayout(tuple(sample_layout(np.random.default_rng(seed))), ())
        else:
            layout = sample_table(np.random.default_rng([seed, 1]), task)
        with self._changing:
            self._surfaces.set(handling=task != 'reach')
            self._reset(layout)

    def _reset(self, layout: TableLayout) -> None:
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:ARM_JOINTS] = self.embodiment.home_rad
        self.data.qpos[ARM_JOINTS : ARM_JOINTS + 2] = _HOME_OPENING_M / 2
        self.command_gripper(_HOME_OPENING_M)
        self._kinds = tuple(kind for kind, _ in layout.objects)
        self._bowls = tuple(name.removesuffix(' bowl') for name, _ in layout.containers)
        placed = dict(layout.objects)
        for index, kind in enumerate(OBJECT_KINDS):
            body, joint = self.model.body(kind.name), self.data.joint(kind.name)
            pose = placed.get(kind)
            self.model.body_gravcomp[body.id] = 1.0 if pose is None else 0.0
            if pose is None:
                joint.qpos[:3] = np.add(_PARKED_M, (0.0, 0.15 * index, 0.0))
                continue
            joint.qpos[:3] = (pose.x_m, pose.y_m, kind.rest_height_m)
            joint.qpos[3:] = _yaw_wxyz(pose)
        self._place_containers(dict(layout.containers))
        mujoco.mj_forward(self.model, self.data)

    def _place_containers(self, placed: Mapping[str, Pose]) -> None:
        for index, name in enumerate(CONTAINERS):
            mocap = self.model.body(name).mocapid[0]
            pose = placed.get(name)
            if pose is None:
                self.data.mocap_pos[mocap] = np.add(_PARKED_M, (0.0, 0.3 * index, -0.5))
            else:
                self.data.mocap_pos[mocap] = (pose.x_m, pose.y_m, 0.0)
                self.data.mocap_quat[mocap] = _yaw_wxyz(pose)

    def command_velocity(self, velocities_rad_s: FloatArray) -> None:
        """Latch seven joint velocities; the drives follow them until the next command."""
        self.data.ctrl[:ARM_JOINTS] = velocities_rad_s

    @property
    def commanded_velocity_rad_s(self) -> FloatArray:
        """A copy of the seven joint velocities that are latched."""
        return self.data.ctrl[:ARM_JOINTS].copy()

    @property
    def commanded_opening_m(self) -> float:
        """The distance between the finger tips that is latched."""
        return float(self.data.ctrl[ARM_JOINTS:].sum())

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

    def set_object_position(self, name: str, position_m: FloatArray) -> None:
        """Place an object of this scene at rest, its centre in the base frame, for tests."""
        joint = self.data.joint(name)
        joint.qpos[:3], joint.qvel[:] = position_m, 0.0
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

    @property
    def containers(self) -> tuple[SceneObject, ...]:
        """The containers that are on the table; position of the middle of their foot."""
        return tuple(
            SceneObject(
                f'{colour} bowl', colour, 'bowl', self.data.body(f'{colour} bowl').xpos.copy()
            )
            for colour in self._bowls
        )

    def object_position_m(self, name: str) -> FloatArray:
        """Return the centre of an object or of a container's foot, in the base frame."""
        return self.data.body(name).xpos.copy()

    def object_rotation(self, name: str) -> FloatArray:
        """Return `rotation_object_to_base` (3, 3) of an object."""
        return self.data.body(name).xmat.reshape(3, 3).copy()

    @property
    def tool_rotation(self) -> FloatArray:
        """`rotation_tool_to_base` (3, 3): z points out of the gripper, fingers move along y."""
        return self.data.site('tool').xmat.reshape(3, 3).copy()

    @property
    def tool_jacobian(self) -> FloatArray:
        """d(position; rotation)/dq of the tool in the base frame, (6, 7)."""
        jacobian = np.empty((6, self.model.nv))
        site = self.model.site('tool').id
        mujoco.mj_jacSite(self.model, self.data, jacobian[:3], jacobian[3:], site)
        return jacobian[:, :ARM_JOINTS]

    @property
    def held(self) -> str:
        """Name of the object that both fingers touch; empty when there is none."""
        touched: tuple[set[int], set[int]] = (set(), set())
        for first, second in self.data.contact.geom.tolist():
            for finger, touches in zip(self._fingers, touched, strict=True):
                if first in finger:
                    touches.add(second)
                elif second in finger:
                    touches.add(first)
        both = touched[0] & touched[1]
        return next((k.name for k in self._kinds if self._geom_of[k.name] in both), '')

    @contextmanager
    def imagined(self) -> Iterator[None]:
        """Let the world go on from its state in coarser steps, and return to it at the end.

        For asking what would come of an action. No other thread may use the world meanwhile.
        """
        data, step_s = self.data, self.model.opt.timestep
        mujoco.mj_copyData(self._imagined, self.model, data)
        self.data, self.model.opt.timestep = self._imagined, _IMAGINED_STEP_S
        try:
            yield
        finally:
            self.data, self.model.opt.timestep = data, step_s

    def target_position_m(self, name: str) -> FloatArray:
        """Return the point over an object that a reach must end at, in the base frame.

        Raises:
            ConfigError: no such object is on the table.
        """
        choose('object on this table', name, [kind.name for kind in self._kinds])
        return np.add(self.data.body(name).xpos, (0.0, 0.0, HOVER_HEIGHT_M))

    def render(self, camera: str) -> ImageArray:
        """Return what a camera sees now, (H, W, 3) uint8 RGB, in a new buffer."""
        self.look(camera)
        return self.draw(camera)

    def look(self, camera: str) -> None:
        """Keep the scene as it is now for `draw`, which may come after the world has moved on."""
        renderer = self._views.renderer(camera)
        with self._changing:
            renderer.update_scene(self.data, camera)

    def draw(self, camera: str) -> ImageArray:
        """Return what the camera saw when it last looked, (H, W, 3) uint8 RGB, a new buffer."""
        return self._views.colour(camera)

    def render_depth(self, camera: str) -> DepthArray:
        """Return how far what a camera sees now is along its optical axis, (H, W) in metres."""
        self.look(camera)
        return self.draw_depth(camera)

    def draw_depth(self, camera: str) -> DepthArray:
        """Return how far what the camera saw when it last looked is, (H, W) in metres."""
        return self._views.depth(camera)

    def camera_size(self, camera: str) -> tuple[int, int]:
        """Return (width, height) in pixels of a camera's images."""
        return self._views.sizes[camera]

    def fovy_rad(self, camera: str) -> float | None:
        """Return the vertical field of view of a camera; None where all its rays are parallel."""
        return self._views.fovy_rad(camera)

    def project(self, camera: str, point_m: FloatArray) -> tuple[float, float]:
        """Return where a point appears, as fractions (x, y) of the image; NaN behind it."""
        return self._views.project(self.data, camera, point_m)

    def close(self) -> None:
        """Free the OpenGL contexts."""
        self._views.close()


def _yaw_wxyz(pose: Pose) -> tuple[float, float, float, float]:
    return (np.cos(pose.yaw_rad / 2), 0.0, 0.0, np.sin(pose.yaw_rad / 2))


def _sizes_of(embodiment: Embodiment) -> dict[str, tuple[int, int]]:
    return {name: (c.width, c.height) for name, c in embodiment.cameras.items()}
