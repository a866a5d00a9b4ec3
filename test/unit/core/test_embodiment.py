"""The arms that ship, and YAML files that no arm should be driven by."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from plant import Plant

from vla_ros.core.embodiment import Embodiment, available_arms, load_arm
from vla_ros.core.guard_config import GuardConfig
from vla_ros.core.limiter import Limiter
from vla_ros.errors import ConfigError
from vla_ros.paths import config_dir

ARMS = ('fr3', 'gen3', 'iiwa14', 'iiwa7', 'panda', 'sim', 'xarm7')


def test_these_arms_ship() -> None:
    assert available_arms() == sorted(ARMS)


@pytest.mark.parametrize('name', ARMS)
def test_shipped_arm(name: str) -> None:
    arm = load_arm(name)
    assert arm.name == name
    assert arm.trajectory_topic().endswith('/joint_trajectory')
    assert arm.cameras['front'].topic == '/camera/front/image_raw'
    room = np.minimum(arm.position_max_rad - arm.home_rad, arm.home_rad - arm.position_min_rad)
    assert (room > 2 * arm.margin_rad).all(), 'home is next to a limit'
    if name != 'sim':  # a real arm: fail-safe controller, images of a usual camera
        assert arm.output == 'trajectory'
        assert (arm.cameras['front'].width, arm.cameras['front'].height) == (640, 480)


def test_limits_are_those_of_the_sources() -> None:
    assert load_arm('panda').velocity_max_rad_s.tolist() == [2.175] * 4 + [2.61] * 3
    assert load_arm('xarm7').position_min_rad[3] == -0.19198
    assert load_arm('iiwa14').velocity_max_rad_s[3] == 1.3090
    assert np.isinf(load_arm('gen3').position_max_rad[[0, 2, 4, 6]]).all()


def test_limits_of_fr3_that_depend_on_position_never_undercut_its_rectangle() -> None:
    arm = load_arm('fr3')
    envelope = arm.velocity_envelope
    assert envelope is not None
    q = arm.position_max_rad - arm.margin_rad
    upper = -envelope.c + np.sqrt(envelope.k * (envelope.q_upper_rad - q))
    assert (upper >= arm.velocity_max_rad_s - 0.01).all()


def broken(tmp_path: Path, **changes: Any) -> str:
    content = yaml.safe_load((config_dir() / 'arms' / 'sim.yaml').read_text())
    for key, value in changes.items():
        content.pop(key) if value is REMOVED else content.update({key: value})
    path = tmp_path / 'mine.yaml'
    path.write_text(yaml.safe_dump(content))
    return str(path)


REMOVED = object()
EACH = {'c': [0.1] * 7, 'k': [9.0] * 7, 'q_upper_rad': [3.0] * 7, 'q_lower_rad': [-3.0] * 7}
CAMERA = {'topic': '/camera/front/image_raw', 'width': 640, 'height': 480, 'rate_hz': 30.0}
GRIPPER = {
    'joints': ['a'],
    'topic': '/gripper/commands',
    'opening_max_m': 0.08,
    'speed_max_m_s': 0.1,
}
PROBLEMS: list[tuple[dict[str, Any], str]] = [
    ({'name': 7}, "name: a text is needed, got '7'"),
    ({'name': REMOVED}, "key 'name' is missing"),
    ({'description': ''}, 'description: a text is needed'),
    ({'source': 'x'}, "unknown key 'source'"),
    ({'velocity_max': [1.0] * 7}, "unknown key 'velocity_max'; known: acceleration_max"),
    ({'joints': ['a', 'b']}, 'joints: 7 different names are needed'),
    ({'joints': ['a'] * 7}, 'joints: 7 different names are needed'),
    ({'joints': 'abcdefg'}, "joints: a list is needed, got 'abcdefg'"),
    ({'joints': list(range(7))}, "joints: a text is needed, got '0'"),
    ({'position_min_rad': [0.0] * 6}, 'position_min_rad: 7 numbers are needed, got 6'),
    ({'position_min_rad': [math.nan] * 7}, 'position_min_rad: a value is not a number'),
    ({'position_max_rad': [-3.5] * 7}, 'panda_joint1 is not below its position_max_rad'),
    ({'position_max_rad': 'wide'}, "position_max_rad: a list of numbers is needed, got 'wide'"),
    ({'velocity_max_rad_s': [1.0] * 6}, 'velocity_max_rad_s: 7 numbers are needed, got 6'),
    ({'velocity_max_rad_s': [0.0] * 7}, 'velocity_max_rad_s: every limit must be positive'),
    ({'velocity_max_rad_s': [True] * 7}, "velocity_max_rad_s: a number is needed, got 'True'"),
    ({'velocity_max_rad_s': ['1e3'] * 7}, 'without quotes, in YAML 1e3 is 1.0e+3'),
    ({'velocity_max_rad_s': [None] * 7}, "velocity_max_rad_s: a number is needed, got 'None'"),
    ({'velocity_max_rad_s': [[1.0], [2.0, 3.0]]}, 'rows of one length is needed'),
    ({'velocity_max_rad_s': [[1.0]] * 7}, 'velocity_max_rad_s: 7 numbers are needed'),
    ({'acceleration_max_rad_s2': REMOVED}, "key 'acceleration_max_rad_s2' is missing"),
    ({'acceleration_max_rad_s2': [-1.0] * 7}, 'acceleration_max_rad_s2: every limit must be'),
    ({'acceleration_max_rad_s2': [0.9] * 7}, 'panda_joint6 cannot stop from 2.61 rad/s'),
    ({'acceleration_max_rad_s2': [0.9] * 7}, 'raise it if the arm can do more, else lower'),
    ({'acceleration_max_rad_s2': [90.0] * 7}, 'margin_rad: panda_joint5 at 90 rad/s² cannot stop'),
    ({'acceleration_max_rad_s2': [90.0] * 7}, 'raise margin_rad to 0.0'),
    ({'jerk_max_rad_s3': [math.inf] * 7}, 'jerk_max_rad_s3: every limit must be positive'),
    ({'home_rad': [3.0] * 7}, 'home_rad: outside the position limits'),
    ({'margin_rad': 2.0}, 'margin_rad: 2.0 leaves no room'),
    ({'margin_rad': 0}, 'margin_rad: 0.0 leaves no room'),
    ({'margin_rad': '0.05'}, 'margin_rad: a number without quotes'),
    ({'margin_rad': 0.01}, 'margin_rad: panda_joint6 at 20 rad/s² cannot stop within 0.01 rad'),
    ({'actuator_lag_s': 0.3}, 'actuator_lag_s: 0.3 is not within 0 and 0.2'),
    ({'actuator_lag_s': math.nan}, 'actuator_lag_s: nan is not within'),
    ({'guard_rate_hz': 5.0}, 'guard_rate_hz: 5.0 is not within'),
    ({'guard_rate_hz': True}, "guard_rate_hz: a number is needed, got 'True'"),
    ({'output': 'steam'}, "unknown output mode in {file} 'steam'; choose one of: trajectory"),
    ({'output': 'velocity', 'controllers': {'trajectory': 'x'}}, 'no controller is named'),
    ({'controllers': ['a', 'b']}, 'controllers: a mapping of keys is needed'),
    ({'controllers': {'velocity': 3}}, "controllers.velocity: a text is needed, got '3'"),
    ({'controllers': {'velocity': '/x'}}, "controllers.velocity: '/x' is no valid name"),
    ({'controllers': {'velocity': 'x', 'trajectory': 'x'}}, "'/x' is that of controllers.tra"),
    ({'controllers': {'velocity': 'x', 'effort': 'y'}}, "unknown output mode in {file} 'effort'"),
    ({'joint_states_topic': 'joint_states'}, "joint_states_topic: 'joint_states' is no valid"),
    ({'cameras': {}}, 'cameras: at least one is needed'),
    ({'cameras': {'front': '/camera'}}, 'cameras.front: a mapping of keys is needed'),
    ({'cameras': {'front': {'topic': '/a'}}}, "cameras.front: key 'height' is missing"),
    ({'cameras': {'front': CAMERA | {'size': 1}}}, "cameras.front: unknown key 'size'; known: ca"),
    ({'cameras': {'front': CAMERA | {'width': 0}}}, 'cameras.front: width: 0 is not within 1'),
    ({'cameras': {'front': CAMERA | {'height': 4.5}}}, 'height: a whole number is needed, got'),
    ({'cameras': {'front': CAMERA | {'rate_hz': -1.0}}}, 'cameras.front: rate_hz: -1.0 is not'),
    ({'cameras': {'front': CAMERA | {'topic': 'a b'}}}, "cameras.front: topic: 'a b' is no valid"),
    ({'cameras': {'a': CAMERA, 'b': CAMERA}}, 'is that of cameras.a: topic, too'),
    ({'gripper': 'yes'}, 'gripper: a mapping of keys is needed'),
    ({'gripper': GRIPPER | {'opening_max_m': 8.0}}, 'gripper: opening_max_m: 8.0 is no opening'),
    ({'gripper': GRIPPER | {'speed_max_m_s': 0.0}}, 'gripper: speed_max_m_s: 0.0 is not within'),
    ({'gripper': GRIPPER | {'joints': 'a'}}, 'gripper: joints: a list is needed'),
    ({'gripper': GRIPPER | {'joints': []}}, "gripper: joints: names that are not the arm's"),
    ({'gripper': GRIPPER | {'joints': ['panda_joint1']}}, 'gripper: joints: names that are not'),
    ({'gripper': GRIPPER | {'topic': '/joint_states'}}, "'/joint_states' is that of joint_states"),
    ({'kinematics': {'dh': [[0.0] * 3] * 6, 'tool_offset_m': 0.1}}, 'kinematics: dh: 7 rows'),
    ({'kinematics': {'dh': [[0.0] * 3] * 7}}, "kinematics: key 'tool_offset_m' is missing"),
    ({'velocity_envelope': EACH | {'k': [0.0] * 7}}, 'velocity_envelope: k: must be positive'),
    ({'velocity_envelope': EACH | {'c': [0.0]}}, 'velocity_envelope: c: 7 numbers are needed'),
    ({'velocity_envelope': {'c': [0.0] * 7}}, "velocity_envelope: key 'k' is missing"),
]


@pytest.mark.parametrize(('changes', 'problem'), PROBLEMS, ids=[p for _, p in PROBLEMS])
def test_bad_arm_files_are_refused_by_file_and_key(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    path = broken(tmp_path, **changes)
    with pytest.raises(ConfigError) as error:
        load_arm(path)
    assert problem.replace('{file}', path) in str(error.value)
    assert path in str(error.value)


def test_every_key_of_an_arm_has_a_bad_value_above() -> None:
    keys = {key for changes, _ in PROBLEMS for key in changes}
    assert keys >= set(Embodiment.__dataclass_fields__)


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('name: a\nname: b\n', "key 'name' stands twice (line 2)"),
        ('controllers:\n  velocity: a\n  velocity: b\n', "key 'velocity' stands twice (line 3)"),
        ('cameras:\n  a: {topic: /a}\n  a: {topic: /b}\n', "key 'a' stands twice (line 3)"),
        ('cameras: {1: x}\n', 'key 1 is not text (line 1)'),
        ('- a\n', 'a mapping of keys is needed, see config/arms/sim.yaml'),
        ('name: [\n', 'not valid YAML'),
        ('!!python/object/apply:os.system ["true"]\n', 'not valid YAML'),
    ],
)
def test_yaml_is_read_strictly(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / 'mine.yaml'
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(problem)):
        load_arm(str(path))
    with pytest.raises(ConfigError, match='does not exist'):
        load_arm(str(tmp_path / 'other.yaml'))


@given(
    period_s=st.sampled_from((0.005, 0.01, 0.02)),
    lag_s=st.sampled_from((0.0, 0.01, 0.02, 0.03)),
    acceleration=st.floats(0.5, 30.0),
    speed=st.floats(0.3, 6.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_arm_that_loads_stops_within_its_margin_however_late_it_follows(
    period_s: float, lag_s: float, acceleration: float, speed: float, seed: int
) -> None:
    """Whatever limits somebody writes: where the file is accepted, 50 ms of lag hit no limit."""

    def arm(margin_rad: float, speed: float) -> Embodiment:
        return dataclasses.replace(
            load_arm('iiwa7'),
            acceleration_max_rad_s2=np.full(7, acceleration),
            velocity_max_rad_s=np.full(7, speed),
            margin_rad=margin_rad,
            actuator_lag_s=lag_s,
            guard_rate_hz=1 / period_s,
        )

    def advice(margin_rad: float, speed: float) -> str:
        try:
            arm(margin_rad, speed)
        except ConfigError as error:
            return str(error)
        return ''

    margin_rad = 0.001
    if lower := re.search(r'lower velocity_max_rad_s to (\S+)', advice(0.5, speed)):
        speed = float(lower[1]) - 0.01
    if higher := re.search(r'raise margin_rad to ([\d.]+)', advice(margin_rad, speed)):
        margin_rad = float(higher[1])
    tight = arm(margin_rad, speed)
    generator = np.random.default_rng(seed)
    limiter, plant = Limiter(tight, period_s), Plant(generator.uniform(-1.5, 1.5, 7), 0.05)
    wish = np.where(generator.random(7) < 0.5, -1, 1) * speed
    for k in range(round(6 / period_s)):
        wish = -wish if k == round(3 / period_s) else wish
        age_s = generator.uniform(0, 0.03)
        plant.command(limiter.step(wish, plant.measured(age_s), age_s, period_s).velocity)
        plant.advance(period_s)
        assert plant.overshoot(tight, margin=False) <= 1e-9


def test_unknown_arm_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown arm 'spider'; choose one of: fr3, gen3"):
        load_arm('spider')


def test_guard_yaml_holds_the_defaults() -> None:
    content = yaml.safe_load((config_dir() / 'guard.yaml').read_text())
    values = content['guard_node']['ros__parameters']
    assert GuardConfig(**values) == GuardConfig()
    assert set(values) == set(GuardConfig.__dataclass_fields__)
