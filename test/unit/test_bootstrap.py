"""tools/bootstrap.py, which has only the standard library."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vla_ros.sim.drawing import PACKAGES

FILE = Path(__file__).resolve().parents[2] / 'tools' / 'bootstrap.py'


@pytest.fixture
def bootstrap(tmp_path: Path) -> ModuleType:
    """The script, as if the project lay in `tmp_path`."""
    spec = importlib.util.spec_from_file_location('bootstrap', FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ROOT, module.VENV = tmp_path, tmp_path / '.venv'
    module.PYTHON = module.VENV / 'bin' / 'python'
    module.STAMP = module.VENV / 'vla_ros_installed.json'
    for name in ('setup.py', 'pyproject.toml', 'package.xml'):
        (tmp_path / name).write_text(name)
    return module


@pytest.fixture(scope='module')
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('venvs') / 'venv'
    subprocess.run([sys.executable, '-m', 'venv', folder], check=True)
    return folder


def test_an_environment_that_works_is_kept(bootstrap: ModuleType, venv: Path) -> None:
    assert bootstrap.usable(venv, sees_system=False)


def test_one_made_before_ros_was_sourced_is_made_anew(bootstrap: ModuleType, venv: Path) -> None:
    assert not bootstrap.usable(venv, sees_system=True)


def test_half_an_environment_is_none(bootstrap: ModuleType, tmp_path: Path) -> None:
    half = tmp_path / 'half'  # what is left where python3-venv is missing: no pip
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', half], check=True)
    assert not bootstrap.usable(half, sees_system=False)
    dangling = tmp_path / 'dangling'
    (dangling / 'bin').mkdir(parents=True)
    (dangling / 'pyvenv.cfg').write_text('include-system-site-packages = false')
    (dangling / 'bin' / 'python').symlink_to('/nowhere/python')
    assert not bootstrap.usable(dangling, sees_system=False)
    assert not bootstrap.usable(tmp_path / 'nothing', sees_system=False)


def test_a_failed_start_leaves_nothing_and_names_the_package(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'executable', '/bin/false')
    problem = bootstrap.install({'ros'}, '')
    assert f'python3.{sys.version_info.minor}-venv' in problem
    assert not bootstrap.VENV.exists()


def test_the_second_run_does_nothing(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('ROS_DISTRO', raising=False)
    bootstrap.VENV.mkdir()
    done = {'fingerprint': bootstrap.fingerprint(''), 'extras': ['ros', 'sim']}
    bootstrap.STAMP.write_text(json.dumps(done))
    monkeypatch.setattr(sys, 'argv', ['bootstrap.py', 'sim'])
    assert bootstrap.main() == 0
    monkeypatch.setattr(sys, 'executable', '/bin/false')  # whatever is more would have to install
    monkeypatch.setattr(sys, 'argv', ['bootstrap.py', 'sim,dev'])
    assert bootstrap.main() == 2


def test_the_fingerprint_changes_with_ros_and_with_what_is_to_install(
    bootstrap: ModuleType,
) -> None:
    before = bootstrap.fingerprint('')
    assert bootstrap.fingerprint('jazzy') != before
    (bootstrap.ROOT / 'setup.py').write_text('other')
    assert bootstrap.fingerprint('') != before


def test_ros_is_never_installed_beside_a_sourced_one(bootstrap: ModuleType) -> None:
    before = {'extras': ['ros', 'sim']}
    assert bootstrap.wanted_extras({'dev', 'ros'}, before, 'jazzy') == {'dev', 'sim'}
    assert bootstrap.wanted_extras({'dev'}, before, '') == {'dev', 'ros', 'sim'}


def test_it_names_the_same_packages_for_drawing_as_the_simulator(bootstrap: ModuleType) -> None:
    assert bootstrap.RENDERING_PACKAGES == PACKAGES
