"""The body: joints, limits, controllers and cameras of one arm, read from `config/arms/*.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from vla_ros.core.camera import CameraCalibration
from vla_ros.core.strict_yaml import build, read_mapping, typed
from vla_ros.errors import ConfigError, choose
from vla_ros.paths import config_dir
from vla_ros.types import ARM_JOINTS, FloatArray

OUTPUT_MODES = ('velocity', 'trajectory')
BRAKING_SHARE = 0.85  # of the acceleration limit is counted on for braking
LATEST_PERIODS = 1.5  # when the next tick of the guard comes at the latest, in periods
SLOWEST_ARM_S = 0.05  # an arm may follow this late, whatever its YAML says, and not hit a limit
_TOPIC = re.compile(r'/[A-Za-z_]\w*(/[A-Za-z_]\w*)*')


@dataclass(frozen=True)
class CameraConfig:
    """One camera: where its images arrive and what they are.

    Attributes:
        topic: sensor_msgs/Image, or CompressedImage where it ends with /compressed.
        width: of the images, in pixels.
        height: of the images.
        rate_hz: how often they come.
        depth_topic: of a depth camera: sensor_msgs/Image of the same view, 32FC1 in metres or
            16UC1 in millimetres; empty where depth is not measured.
        calibration: where the camera is and how it projects, which policies need that use depth.
    """

    topic: str
    width: int
    height: int
    rate_hz: float
    depth_topic: str = ''
    calibration: CameraCalibration | None = None


@dataclass(frozen=True)
class GripperConfig:
    """A parallel gripper, commanded by its opening: the distance between the finger tips.

    Attributes:
        joints: those of the fingers, whose positions in metres add up to the opening.
        topic: std_msgs/Float64MultiArray that holds the opening to go to, in metres.
        opening_max_m: fully open; closed is 0.
        speed_max_m_s: how fast the commanded opening may change.
    """

    joints: tuple[str, ...]
    topic: str
    opening_max_m: float
    speed_max_m_s: float


@dataclass(frozen=True)
class Kinematics:
    """Craig's modified Denavit-Hartenberg rows (a in m, d in m, alpha in rad) and the tool."""

    dh: FloatArray
    tool_offset_m: float


@dataclass(frozen=True)
class VelocityEnvelope:
    """Velocity limits that depend on position (Franka FR3, control parameters of the joints).

    upper(q) = min(v_max, max(0, -c + sqrt(k (q_upper - q)))), lower(q) alike from q_lower.
    """

    c: FloatArray
    k: FloatArray
    q_upper_rad: FloatArray
    q_lower_rad: FloatArray


@dataclass(frozen=True)
class Embodiment:
    """One arm. Arrays are (7,) in the order of `joints`; SI units.

    `position_min_rad` and `position_max_rad` are infinite for a continuous joint.
    """

    name: str
    description: str
    joints: tuple[str, ...]
    position_min_rad: FloatArray
    position_max_rad: FloatArray
    velocity_max_rad_s: FloatArray
    acceleration_max_rad_s2: FloatArray
    home_rad: FloatArray
    controllers: Mapping[str, str]
    cameras: Mapping[str, CameraConfig]
    joint_states_topic: str = '/joint_states'
    jerk_max_rad_s3: FloatArray | None = None
    velocity_envelope: VelocityEnvelope | None = None
    margin_rad: float = 0.03
    actuator_lag_s: float = 0.02
    guard_rate_hz: float = 100.0
    output: str = 'trajectory'
    gripper: GripperConfig | None = None
    kinematics: Kinematics | None = None
    source: Path = field(default=Path('<built in code>'))

    def __post_init__(self) -> None:
        """Refuse an arm that could not be driven safely, naming file, key and remedy."""
        self._check_joints()
        self._check_limits()
        self._check_stopping()
        if self.gripper:
            self._check_gripper(self.gripper)
        self._check_topics()

    def _fail(self, key: str, problem: str) -> NoReturn:
        raise ConfigError(f'{self.source}: {key}: {problem}')

    def _check_joints(self) -> None:
        if len(self.joints) != ARM_JOINTS or len(set(self.joints)) != ARM_JOINTS:
            self._fail('joints', f'{ARM_JOINTS} different names are needed, got {self.joints}')
        for key in _ARRAYS:
            if (value := getattr(self, key)) is not None:
                self._check_array(key, value)
        for key in ('c', 'k', 'q_upper_rad', 'q_lower_rad') if self.velocity_envelope else ():
            self._check_array(f'velocity_envelope: {key}', getattr(self.velocity_envelope, key))
        if self.kinematics and self.kinematics.dh.shape != (ARM_JOINTS, 3):
            self._fail('kinematics: dh', f'{ARM_JOINTS} rows of a, d and alpha are needed')

    def _check_array(self, key: str, value: FloatArray) -> None:
        if value.shape != (ARM_JOINTS,):
            self._fail(key, f'{ARM_JOINTS} numbers are needed, got {value.size}')
        if np.isnan(value).any():
            self._fail(key, 'a value is not a number')

    def _check_limits(self) -> None:
        low, high = self.position_min_rad, self.position_max_rad
        for key in ('velocity_max_rad_s', 'acceleration_max_rad_s2', 'jerk_max_rad_s3'):
            value = getattr(self, key)
            if value is not None and not ((value > 0) & np.isfinite(value)).all():
                self._fail(key, f'every limit must be positive and finite, got {value.tolist()}')
        if (low >= high).any():
            joint = self.joints[int(np.argmax(low >= high))]
            self._fail('position_min_rad', f'{joint} is not below its position_max_rad')
        if not ((low <= self.home_rad) & (self.home_rad <= high)).all():
            self._fail('home_rad', 'outside the position limits')
        if not 0 < self.margin_rad < float((high - low).min()) / 2:
            self._fail('margin_rad', f'{self.margin_rad} leaves no room between the limits')
        if not 0 <= self.actuator_lag_s <= 0.2:
            self._fail('actuator_lag_s', f'{self.actuator_lag_s} is not within 0 and 0.2')
        if not 20 <= self.guard_rate_hz <= 1000:
            self._fail('guard_rate_hz', f'{self.guard_rate_hz} is not within 20 and 1000')
        envelope = self.velocity_envelope
        if envelope and not (envelope.k > 0).all():
            self._fail('velocity_envelope: k', f'must be positive, got {envelope.k.tolist()}')

    def _check_stopping(self) -> None:
        """Refuse what the limiter (core/limiter.py) could not stop in time.

        A joint must be able to stop from full speed between its margins, a continuous one within
        a turn. And where the arm follows later than `actuator_lag_s` says, up to SLOWEST_ARM_S, it
        runs into the margin: by at most 1.5 a late², and 3.1 a late² where a lag below 0.02 s is
        claimed (found by simulating the limiter, held by test_embodiment.py).
        """
        speed, braking = self.velocity_max_rad_s, BRAKING_SHARE * self.acceleration_max_rad_s2
        delayed = braking * (LATEST_PERIODS / self.guard_rate_hz + self.actuator_lag_s)
        room = self.position_max_rad - self.position_min_rad - 2 * self.margin_rad
        room = np.where(np.isfinite(room), room, 2 * np.pi)
        slowest = np.sqrt(delayed**2 + 2 * braking * room) - delayed
        if (speed > slowest).any():
            k = int(np.argmax(speed / slowest))
            self._fail(
                'acceleration_max_rad_s2',
                f'{self.joints[k]} cannot stop from {speed[k]:g} rad/s within the {room[k]:.3g} '
                f'rad between its margins at {self.acceleration_max_rad_s2[k]:g} rad/s²; raise '
                f'it if the arm can do more, else lower velocity_max_rad_s to {slowest[k]:.2f}',
            )
        late_s = max(0.0, SLOWEST_ARM_S - self.actuator_lag_s)
        share = 1.5 if self.actuator_lag_s >= 0.02 else 3.1
        surprise = share * self.acceleration_max_rad_s2 * late_s**2
        surprise = np.minimum(surprise, speed * late_s)
        if (surprise > self.margin_rad).any():
            k = int(np.argmax(surprise))
            self._fail(
                'margin_rad',
                f'{self.joints[k]} at {self.acceleration_max_rad_s2[k]:g} rad/s² cannot stop '
                f'within {self.margin_rad:g} rad if the arm follows {SLOWEST_ARM_S:g} s late; '
                f'raise margin_rad to {surprise[k] + 5e-4:.3f}, lower acceleration_max_rad_s2, or '
                'measure actuator_lag_s',
            )

    def _check_gripper(self, gripper: GripperConfig) -> None:
        fingers = gripper.joints
        if not fingers or len({*self.joints, *fingers}) != ARM_JOINTS + len(fingers):
            self._fail(
                'gripper: joints', f"names that are not the arm's are needed, got {fingers}"
            )
        if not 0 < gripper.opening_max_m < 1:
            self._fail('gripper: opening_max_m', f'{gripper.opening_max_m} is no opening')
        if not 0 < gripper.speed_max_m_s <= 10:
            self._fail('gripper: speed_max_m_s', f'{gripper.speed_max_m_s} is not within 0 and 10')

    def _check_topics(self) -> None:
        for mode in (self.output, *self.controllers):
            choose(f'output mode in {self.source}', mode, OUTPUT_MODES)
        if self.output not in self.controllers:
            self._fail('output', f"no controller is named for output mode '{self.output}'")
        topics = {f'cameras.{name}: topic': c.topic for name, c in self.cameras.items()}
        topics |= {
            f'cameras.{name}: depth_topic': c.depth_topic
            for name, c in self.cameras.items()
            if c.depth_topic
        }
        topics['joint_states_topic'] = self.joint_states_topic
        if self.gripper:
            topics['gripper: topic'] = self.gripper.topic
        topics |= {f'controllers.{m}': f'/{name}' for m, name in self.controllers.items()}
        if not self.cameras:
            self._fail('cameras', 'at least one is needed')
        users: dict[str, str] = {}
        for key, topic in topics.items():
            if not _TOPIC.fullmatch(topic):
                name = topic[1:] if key.startswith('controllers') else topic
                self._fail(key, f"'{name}' is no valid name; letters, digits, _ and / make one")
            if topic in users:
                self._fail(key, f"'{topic}' is that of {users[topic]}, too")
            users[topic] = key
        for name, camera in self.cameras.items():
            for key, most in (('width', 8192), ('height', 8192), ('rate_hz', 1000.0)):
                if not 0 < getattr(camera, key) <= most:
                    value = getattr(camera, key)
                    self._fail(f'cameras.{name}: {key}', f'{value} is not within 1 and {most}')

    @property
    def gripper_joint(self) -> str:
        """The joint that stands for the gripper in a chunk; empty where there is no gripper."""
        return self.gripper.joints[0] if self.gripper else ''

    def velocity_topic(self) -> str:
        """Return the topic of the joint velocity controller."""
        return f'/{self.controllers["velocity"]}/commands'

    def trajectory_topic(self) -> str:
        """Return the topic of the joint trajectory controller."""
        return f'/{self.controllers["trajectory"]}/joint_trajectory'


_ARRAYS = (
    'position_min_rad',
    'position_max_rad',
    'velocity_max_rad_s',
    'acceleration_max_rad_s2',
    'jerk_max_rad_s3',
    'home_rad',
)


def available_arms() -> list[str]:
    """Return the names of the arms that ship with the package."""
    return sorted(path.stem for path in (config_dir() / 'arms').glob('*.yaml'))


def load_arm(name_or_path: str) -> Embodiment:
    """Load an arm by its name in `config/arms`, or from a YAML file of the user's own.

    Raises:
        ConfigError: an unknown name, or a file that could not be driven safely; says which key.
    """
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        choose('arm', name_or_path, available_arms())
        path = config_dir() / 'arms' / f'{name_or_path}.yaml'
    content = read_mapping(path, 'config/arms/sim.yaml')
    if 'source' in content:
        raise ConfigError(f"{path}: unknown key 'source'; it is the path of the file itself")
    values = typed(Embodiment, content, str(path)) | {'source': path}
    return build(Embodiment, values, str(path))
