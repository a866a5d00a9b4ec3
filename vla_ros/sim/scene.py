"""Build the MuJoCo model: the arm of `scene.xml` with an embodiment's limits, and the objects."""

# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from a compiled module, which pyright cannot see into.

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import ConfigError
from vla_ros.types import FloatArray

COLOURS = {
    'red': (0.83, 0.13, 0.12),
    'green': (0.16, 0.60, 0.23),
    'blue': (0.12, 0.32, 0.82),
    'yellow': (0.95, 0.76, 0.08),
}
SHAPES = {
    'cube': (mujoco.mjtGeom.mjGEOM_BOX, (0.026, 0.026, 0.026)),
    'ball': (mujoco.mjtGeom.mjGEOM_SPHERE, (0.030, 0.0, 0.0)),
    'cylinder': (mujoco.mjtGeom.mjGEOM_CYLINDER, (0.024, 0.036, 0.0)),
}
CONTAINERS = tuple(f'{colour} bowl' for colour in COLOURS)
BOWL_HEIGHT_M = 0.036
BOWL_RADIUS_M = 0.064  # inside, at the rim
_BOWL_FLOOR_RADIUS_M = 0.044
_BOWL_FLOOR_M = 0.005
_BOWL_SIDES = 8
TORQUE_MAX_NM = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)
# The velocity servo: the arm follows a command with a time constant of 10 to 20 ms. Gain x time
# step stays below a joint's inertia, so that a drive at its torque limit does not chatter.
SERVO_GAIN_NMS_RAD = (60.0, 60.0, 40.0, 40.0, 10.0, 10.0, 8.0)
FINGER_GAIN_N_M = 800.0


@dataclass(frozen=True)
class ObjectKind:
    """One colour of one shape; there is at most one of each on the table."""

    colour: str
    shape: str

    @property
    def name(self) -> str:
        """The two words that name it, such as 'red cube'."""
        return f'{self.colour} {self.shape}'

    @property
    def rest_height_m(self) -> float:
        """Height of its centre when it lies on the table."""
        size = SHAPES[self.shape][1]
        return size[1] if self.shape == 'cylinder' else size[0]


@dataclass(frozen=True)
class SceneObject:
    """An object or a container on the table; position of its centre in the base frame."""

    name: str
    colour: str
    shape: str
    position_m: FloatArray


OBJECT_KINDS = tuple(ObjectKind(c, s) for c, s in itertools.product(COLOURS, SHAPES))
THINGS = (*(kind.name for kind in OBJECT_KINDS), *CONTAINERS)
"""All that there may be on a table, by name."""


def build_model(embodiment: Embodiment) -> mujoco.MjModel:
    """Compile the scene for an arm with the kinematics of `scene.xml`.

    Raises:
        ConfigError: the embodiment has no kinematics, so it cannot be simulated here.
    """
    if embodiment.kinematics is None:
        raise ConfigError(f"arm '{embodiment.name}' cannot be simulated; use arm 'sim'")
    spec = mujoco.MjSpec.from_file(str(Path(__file__).with_name('scene.xml')))
    _add_arm_drives(spec, embodiment)
    _add_gripper_drive(spec)
    for kind in OBJECT_KINDS:
        _add_object(spec, kind)
    for colour in COLOURS:
        _add_bowl(spec, colour)
    return spec.compile()


def _add_arm_drives(spec: mujoco.MjSpec, embodiment: Embodiment) -> None:
    for index, name in enumerate(embodiment.joints):
        joint = spec.joint(f'joint{index + 1}')
        joint.range = [embodiment.position_min_rad[index], embodiment.position_max_rad[index]]
        joint.name = name
        drive = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        drive.set_to_velocity(kv=SERVO_GAIN_NMS_RAD[index])
        drive.forcerange = [-TORQUE_MAX_NM[index], TORQUE_MAX_NM[index]]


def _add_gripper_drive(spec: mujoco.MjSpec) -> None:
    for name in ('left_finger', 'right_finger'):
        drive = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        drive.set_to_position(kp=FINGER_GAIN_N_M)
        drive.forcerange = [-70.0, 70.0]


def _add_object(spec: mujoco.MjSpec, kind: ObjectKind) -> None:
    """Add a free body; gravity reaches it only while it is on the table (`World.reset`)."""
    body = spec.worldbody.add_body(name=kind.name, gravcomp=1.0)
    body.add_freejoint(name=kind.name)
    geom_type, size = SHAPES[kind.shape]
    geom = body.add_geom(spec.find_default('object'), type=geom_type, size=np.array(size))
    geom.name = kind.name
    geom.rgba = [*COLOURS[kind.colour], 1.0]


def _add_bowl(spec: mujoco.MjSpec, colour: str) -> None:
    """Add an eight-sided bowl that nothing can move; `World.reset` places it."""
    body = spec.worldbody.add_body(name=f'{colour} bowl', mocap=True)
    surface = {'conaffinity': 3, 'friction': [0.8, 0.005, 0.0001], 'rgba': [*COLOURS[colour], 1.0]}
    body.add_geom(
        name=f'{colour} bowl',
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[_BOWL_FLOOR_RADIUS_M + 0.004, _BOWL_FLOOR_M / 2, 0.0],
        pos=[0.0, 0.0, _BOWL_FLOOR_M / 2],
        **surface,
    )
    flare = np.arctan2(BOWL_RADIUS_M - _BOWL_FLOOR_RADIUS_M, BOWL_HEIGHT_M)
    middle = (BOWL_RADIUS_M + _BOWL_FLOOR_RADIUS_M) / 2
    width = (BOWL_RADIUS_M + 0.004) * np.tan(np.pi / _BOWL_SIDES)
    for side in range(_BOWL_SIDES):
        angle = 2 * np.pi * side / _BOWL_SIDES
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[0.003, width, BOWL_HEIGHT_M / (2 * np.cos(flare))],
            pos=[middle * np.cos(angle), middle * np.sin(angle), BOWL_HEIGHT_M / 2],
            quat=_turned(angle, flare),
            **surface,
        )


def _turned(yaw_rad: float, pitch_rad: float) -> list[float]:
    """Return the quaternion (wxyz) of a pitch about y, then a yaw about z."""
    cy, sy = np.cos(yaw_rad / 2), np.sin(yaw_rad / 2)
    cp, sp = np.cos(pitch_rad / 2), np.sin(pitch_rad / 2)
    return [cy * cp, -sy * sp, cy * sp, sy * cp]
