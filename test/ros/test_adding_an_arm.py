"""docs/adding-an-arm.md does what it says: the arm in it loads, is guarded, and is moved."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ConfigError
from vla_ros.ros.bench_guard import measure_node
from vla_ros.ros.bringup import node_specs

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'adding-an-arm.md'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    text = re.search(r'```yaml\n(.*?)```', PAGE.read_text(encoding='utf-8'), re.DOTALL)
    assert text
    path = tmp_path / 'rizon4.yaml'
    path.write_text(text[1], encoding='utf-8')
    return path


def test_the_first_try_is_refused_with_the_message_on_the_page(file: Path) -> None:
    published = '[2.0944, 2.0944, 2.4435, 2.4435, 4.8869, 4.8869, 4.8869]'
    text = file.read_text(encoding='utf-8')
    text = re.sub(r'velocity_max_rad_s: .*', f'velocity_max_rad_s: {published}', text)
    file.write_text(text, encoding='utf-8')
    with pytest.raises(ConfigError) as error:
        load_arm(str(file))
    assert str(error.value).replace(f'{file.parent}/', '') in PAGE.read_text(encoding='utf-8')


def test_every_key_of_an_arm_is_on_the_page() -> None:
    page = PAGE.read_text(encoding='utf-8')
    keys = set(load_arm('sim').__dataclass_fields__) - {'source'}
    assert [key for key in keys if key not in page] == []


def test_bringup_takes_the_path(file: Path) -> None:
    specs = {spec.name: spec for spec in node_specs({'arm': str(file)})}
    assert sorted(specs) == ['guard_node', 'policy_node']
    assert specs['guard_node'].parameters['arm'] == str(file)


def test_guard_node_moves_the_arm_of_the_page(file: Path) -> None:
    """The process starts by itself, sees the stand-in's joint states and reaches `moving`."""
    ticks = measure_node(str(file), 'trajectory', 0.5)
    assert 0 < ticks.median_us < 1e5
    assert math.isnan(measure_node(str(file), 'velocity', 0.5).median_us)  # it has none
