"""A wheel, and an install as colcon makes it, hold every file that ROS and we look for."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODES = ('policy_node', 'guard_node', 'sim_node')
SHARED = [
    'share/ament_index/resource_index/packages/vla_ros',
    'share/vla_ros/package.xml',
    'share/vla_ros/launch/bringup.launch.py',
    'share/vla_ros/config/guard.yaml',
    'share/vla_ros/config/fastdds.xml',
    'share/vla_ros/config/fastdds_loopback.xml',
    'share/vla_ros/config/fastdds_udp.xml',
    'share/vla_ros/config/arms/sim.yaml',
    *(f'lib/vla_ros/{name}' for name in (*NODES, 'vla-ros')),
]
IN_PACKAGE = [
    str(path.relative_to(ROOT))
    for pattern in ('**/*.py', 'sim/*.xml', 'sim/*.yaml', 'checkpoints/*/*')
    for path in sorted((ROOT / 'vla_ros').glob(pattern))
]


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
    """Copy what git would check out, so that building leaves nothing in the tree."""
    folder = tmp_path_factory.mktemp('sources') / 'vla_ros'
    ignored = shutil.ignore_patterns(
        '.git', '.venv', '__pycache__', 'build', '*.egg-info', 'datasets', 'runs', '.*_cache'
    )
    shutil.copytree(ROOT, folder, ignore=ignored)
    return folder


def run(*command, cwd, env=None):
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_a_policy_ships():
    checkpoint = 'vla_ros/checkpoints/vla-reach'
    files = {f'{checkpoint}/{n}' for n in ('config.json', 'manifest.json', 'model.safetensors')}
    assert files <= set(IN_PACKAGE)


@pytest.fixture(scope='module')
def wheel(sources, tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    run(sys.executable, '-m', 'build', '-w', '--no-isolation', '-o', folder, cwd=sources)
    return next(folder.glob('*.whl'))


def test_the_wheel_holds_every_file(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    data = f'{wheel.name.split("-py3")[0]}.data/data'
    missing = [name for name in IN_PACKAGE if name not in names]
    missing += [name for name in SHARED if f'{data}/{name}' not in names]
    assert missing == []


def check_install(prefix, env):
    missing = [name for name in SHARED if not (prefix / name).is_file()]
    assert missing == []
    for name in (*NODES, 'vla-ros'):
        executable = prefix / 'lib' / 'vla_ros' / name
        assert os.access(executable, os.X_OK), executable
        assert (prefix / 'bin' / name).is_file()
    shown = run(prefix / 'lib' / 'vla_ros' / 'vla-ros', '--help', cwd=prefix, env=env)
    assert 'Tell a 7-joint arm' in shown
    code = 'from vla_ros.paths import share_dir; print(share_dir())'
    assert run(sys.executable, '-c', code, cwd=prefix, env=env).strip() == str(
        prefix / 'share' / 'vla_ros'
    )


def environment(prefix):
    site = next(prefix.glob('lib/python3*/site-packages'))
    return {**os.environ, 'PYTHONPATH': str(site)}


def test_pip_install_puts_everything_in_its_place(wheel, tmp_path):
    run(
        sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--ignore-installed',
        '--prefix', tmp_path, wheel, cwd=tmp_path,
    )  # fmt: skip
    check_install(tmp_path, environment(tmp_path))


def test_colcon_installs_everything_in_its_place(sources, tmp_path):
    """Run the very command that colcon's ament_python build runs."""
    (tmp_path / 'lib').mkdir()
    run(
        sys.executable, '-W', 'ignore:setup.py install is deprecated', 'setup.py',
        'egg_info', '--egg-base', tmp_path,
        'build', '--build-base', tmp_path / 'build',
        'install', '--prefix', tmp_path, '--record', tmp_path / 'install.log',
        '--single-version-externally-managed',
        cwd=sources,
    )  # fmt: skip
    check_install(tmp_path, environment(tmp_path))
