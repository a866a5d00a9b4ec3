"""The arms that ship, and YAML files that no arm should be driven by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from vla_ros.core.embodiment import available_arms, load_arm
from vla_ros.core.guard_config import GuardConfig
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
    content = yaml.safe_load((config_dir() / 'arms' / 'panda.yaml').read_text())
    for key, value in changes.items():
        content.pop(key) if value is None else content.update({key: value})
    path = tmp_path / 'mine.yaml'
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize(
    ('changes', 'problem'),
    [
        ({'joints': ['a', 'b']}, 'joints: 7 different names are needed'),
        ({'velocity_max_rad_s': [1.0] * 6}, 'velocity_max_rad_s: 7 numbers are needed, got 6'),
        ({'velocity_max_rad_s': [0.0] * 7}, 'velocity_max_rad_s: every limit must be positive'),
        ({'acceleration_max_rad_s2': None}, "key 'acceleration_max_rad_s2' is missing"),
        ({'position_max_rad': [-3.0] * 7}, 'is not below its position_max_rad'),
        ({'home_rad': [3.0] * 7}, 'home_rad: outside the position limits'),
        ({'margin_rad': 2.0}, 'margin_rad: 2.0 leaves no room'),
        ({'guard_rate_hz': 5.0}, 'guard_rate_hz: 5.0 is not within'),
        ({'velocity_max': [1.0] * 7}, "unknown key 'velocity_max'; known: acceleration_max"),
        ({'output': 'velocity', 'controllers': {'trajectory': 'x'}}, 'no controller is named'),
    ],
)
def test_bad_arm_files_are_refused_by_key(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load_arm(broken(tmp_path, **changes))
    assert problem in str(error.value)


def test_unknown_arm_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown arm 'spider'; choose one of: fr3, gen3"):
        load_arm('spider')


def test_guard_yaml_holds_the_defaults() -> None:
    content = yaml.safe_load((config_dir() / 'guard.yaml').read_text())
    values = content['guard_node']['ros__parameters']
    assert GuardConfig(**values) == GuardConfig()
    assert set(values) == set(GuardConfig.__dataclass_fields__)
