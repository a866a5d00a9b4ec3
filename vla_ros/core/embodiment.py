"""The body: joints, limits, controllers and cameras of one arm, read from `config/arms/*.yaml`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml

from vla_ros.errors import ConfigError, choose
from vla_ros.paths import config_dir
from vla_ros.types import ARM_JOINTS, FloatArray

OUTPUT_MODES = ('velocity', 'trajectory')


@dataclass(frozen=True)
class CameraConfig:
    """One camera: where its images arrive and what they are."""

    topic: str
    width: int
    height: int
    rate_hz: float


@dataclass(frozen=True)
class GripperConfig:
    """A parallel gripper, commanded by its opening in metres."""

    joints: tuple[str, ...]
    topic: str
    opening_max_m: float


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
        if self.output not in self.controllers:
            self._fail('output', f"no controller is named for output mode '{self.output}'")
        for mode in (self.output, *self.controllers):
            choose(f'output mode in {self.source}', mode, OUTPUT_MODES)

    def _fail(self, key: str, problem: str) -> None:
        raise ConfigError(f'{self.source}: {key}: {problem}')

    def _check_joints(self) -> None:
        if len(self.joints) != ARM_JOINTS or len(set(self.joints)) != ARM_JOINTS:
            self._fail('joints', f'{ARM_JOINTS} different names are needed, got {self.joints}')
        for key in _ARRAYS:
            value = getattr(self, key)
            if value is None:
                continue
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
        if ((self.home_rad < low) | (self.home_rad > high)).any():
            self._fail('home_rad', 'outside the position limits')
        if not 0 < self.margin_rad < float((high - low).min()) / 2:
            self._fail('margin_rad', f'{self.margin_rad} leaves no room between the limits')
        if not 0 <= self.actuator_lag_s <= 0.2:
            self._fail('actuator_lag_s', f'{self.actuator_lag_s} is not within 0 and 0.2')
        if not 20 <= self.guard_rate_hz <= 1000:
            self._fail('guard_rate_hz', f'{self.guard_rate_hz} is not within 20 and 1000')

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
        ConfigError: unknown name, unknown key, wrong length, inverted or missing limits.
    """
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        choose('arm', name_or_path, available_arms())
        path = config_dir() / 'arms' / f'{name_or_path}.yaml'
    if not path.is_file():
        raise ConfigError(f"arm file '{path}' does not exist")
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise ConfigError(f'{path}: not valid YAML: {error}') from error
    if not isinstance(content, dict):
        raise ConfigError(f'{path}: a mapping of keys is needed, see config/arms/sim.yaml')
    return _embodiment(cast('dict[str, Any]', content), path)


def _embodiment(content: dict[str, Any], path: Path) -> Embodiment:
    values = dict(content)
    try:
        for key in _ARRAYS:
            if values.get(key) is not None:
                values[key] = np.array([_number(v) for v in values[key]], dtype=np.float64)
        values['joints'] = tuple(values.get('joints', ()))
        cameras = values.get('cameras', {})
        values['cameras'] = {
            name: build(CameraConfig, camera, f'{path}: cameras.{name}')
            for name, camera in cameras.items()
        }
        if values.get('gripper'):
            gripper = dict(values['gripper'], joints=tuple(values['gripper'].get('joints', ())))
            values['gripper'] = build(GripperConfig, gripper, f'{path}: gripper')
        for key, cls in (('kinematics', Kinematics), ('velocity_envelope', VelocityEnvelope)):
            if values.get(key):
                arrays = {k: _array_or_float(v) for k, v in values[key].items()}
                values[key] = build(cls, arrays, f'{path}: {key}')
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f'{path}: {error}') from error
    return build(Embodiment, values | {'source': path}, str(path))


def _number(value: float | str | None) -> float:
    """Read a number; YAML writes infinity as .inf, and 1e3 arrives as a string."""
    if value is None:
        return math.nan
    return float(value)


def _array_or_float(value: object) -> FloatArray | float:
    array = np.array(value, dtype=np.float64)
    return array if array.ndim else float(array)


def build(cls: type[Any], values: Mapping[str, object], where: str) -> Any:  # noqa: ANN401
    """Make a dataclass from a mapping; unknown and missing keys are errors that list the rest."""
    fields = dataclasses.fields(cls)
    known = {f.name for f in fields}
    needed = {
        f.name
        for f in fields
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    if unknown := sorted(set(values) - known):
        raise ConfigError(
            f"{where}: unknown key '{unknown[0]}'; known: {', '.join(sorted(known))}"
        )
    if missing := sorted(needed - set(values)):
        raise ConfigError(f"{where}: key '{missing[0]}' is missing")
    return cls(**values)
