"""Make .venv and install vla_ros in it, with the standard library only.

    python3 tools/bootstrap.py ros,sim

Second runs find everything done and return at once. Where a ROS 2 installation is sourced
(ROS_DISTRO is set) its packages are used and none of ROS comes from PyPI. On a machine without an
NVIDIA GPU torch's CPU build is installed, never gigabytes of CUDA.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
PYTHON = VENV / 'bin' / 'python'
STAMP = VENV / 'vla_ros_installed.json'
TORCH = 'torch==2.13.0'  # the tested version
UV = 'uv>=0.6,<1'
PIP = 'pip>=24'
RENDERING_PACKAGES = 'libegl1 libopengl0 libgl1-mesa-dri'
RENDERING_PROBE = (
    'import vla_ros.sim, mujoco; '
    "m = mujoco.MjModel.from_xml_string('<mujoco><worldbody/></mujoco>'); "
    'mujoco.Renderer(m, 8, 8).close()'
)


def main() -> int:
    """Install what the extras in the first argument name; return the exit code."""
    if sys.version_info < (3, 10):  # noqa: UP036 - whatever python3 is on the user's machine
        return fail(f'Python 3.10 or newer is needed, this is {sys.version.split()[0]}')
    extras = {name for name in (sys.argv[1] if len(sys.argv) > 1 else '').split(',') if name}
    sourced_ros = os.environ.get('ROS_DISTRO', '')
    done = read_stamp()
    wanted = fingerprint(sourced_ros)
    if sourced_ros:
        extras.discard('ros')
    if done.get('fingerprint') == wanted and extras <= set(done.get('extras', [])):
        return 0
    extras = wanted_extras(extras, done, sourced_ros)
    started = time.monotonic()
    if (problem := install(extras, sourced_ros)) is not None:
        return fail(problem)
    if (
        'sim' in extras
        and subprocess.run([PYTHON, '-c', RENDERING_PROBE], capture_output=True).returncode
    ):
        return fail(f'the simulator cannot draw here; type: sudo apt install {RENDERING_PACKAGES}')
    STAMP.write_text(json.dumps({'fingerprint': wanted, 'extras': sorted(extras)}))
    say(f'installed in {time.monotonic() - started:.0f} s')
    return 0


def install(extras: set[str], sourced_ros: str) -> str | None:
    """Make the virtual environment and fill it; return what went wrong."""
    if not usable(VENV, sees_system=bool(sourced_ros)):
        say('making .venv')
        shutil.rmtree(VENV, ignore_errors=True)
        system = ['--system-site-packages'] if sourced_ros else []
        if run([sys.executable, '-m', 'venv', *system, VENV]):
            shutil.rmtree(VENV, ignore_errors=True)
            return f'no virtual environment; type: sudo apt install {venv_package()}'
    if run([*pip(), PIP]):
        return 'pip could not be updated; is there a network?'
    if (problem := install_torch()) is not None:
        return problem
    names = ','.join(sorted(extras))
    say(f'installing vla_ros[{names}]')
    if run([*pip(), '--editable', f'{ROOT}[{names}]']):
        return 'the installation failed; the lines above say why'
    return None


def wanted_extras(asked: set[str], done: dict, sourced_ros: str) -> set[str]:
    """Return the extras to install: those of before, too, and no ROS where one is sourced."""
    return (asked | set(done.get('extras', []))) - ({'ros'} if sourced_ros else set())


def usable(venv: Path, sees_system: bool) -> bool:
    """Return whether an environment works, and sees the system's packages just as it should.

    One that was made before ROS was sourced holds PyPI's ROS, which would hide the sourced one.
    """
    python, settings = venv / 'bin' / 'python', venv / 'pyvenv.cfg'
    if not settings.is_file() or run([python, '-m', 'pip', '--version'], quiet=True):
        return False
    text = settings.read_text().lower()
    return ('include-system-site-packages = true' in text) == sees_system


def install_torch() -> str | None:
    """Install torch unless it is there; without a GPU, its CPU build."""
    if run([PYTHON, '-c', 'import torch'], quiet=True) == 0:
        return None
    say('installing torch')
    failed = 'torch could not be installed; the lines above say why'
    if has_gpu() or not pulls_cuda(TORCH):
        return failed if run([*pip(), TORCH]) else None
    # uv knows where torch keeps its CPU builds
    if run([*pip(), UV]):
        return failed
    command = [VENV / 'bin' / 'uv', 'pip', 'install', '--quiet', '--python', PYTHON]
    return failed if run([*command, '--torch-backend', 'cpu', TORCH]) else None


def has_gpu() -> bool:
    """Return whether an NVIDIA GPU is in this machine."""
    return Path('/proc/driver/nvidia/gpus').exists() or shutil.which('nvidia-smi') is not None


def pulls_cuda(requirement: str) -> bool:
    """Ask pip, without installing, whether a requirement would bring CUDA packages."""
    command = [
        PYTHON,
        '-m',
        'pip',
        'install',
        '--dry-run',
        '--quiet',
        '--report',
        '-',
        requirement,
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        return True
    planned = json.loads(result.stdout)['install']
    names = [item['metadata']['name'].lower() for item in planned]
    return any(name.startswith(('nvidia', 'cuda', 'triton')) for name in names)


def pip() -> list[str | Path]:
    """Return the command that installs into the virtual environment."""
    return [PYTHON, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']


def run(command: list[str | Path], quiet: bool = False) -> int:
    """Run a command and return its exit code."""
    silent = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL} if quiet else {}
    calm = {**os.environ, 'PYTHONWARNINGS': 'ignore'}  # setuptools warns of editable installs
    try:
        return subprocess.run(command, check=False, env=calm, **silent).returncode
    except OSError:  # no such program, or a link that leads nowhere
        return 127


def venv_package() -> str:
    """Return the Debian package that makes `python3 -m venv` work."""
    return f'python3.{sys.version_info.minor}-venv'


def read_stamp() -> dict:
    """Return what was installed before."""
    try:
        return json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}


def fingerprint(sourced_ros: str) -> str:
    """Return what must not change for an installation to be good still."""
    parts = [sys.version, sourced_ros, str(ROOT)]
    parts += [(ROOT / name).read_text() for name in ('setup.py', 'pyproject.toml', 'package.xml')]
    parts.append(Path(__file__).read_text())
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()


def say(text: str) -> None:
    """Print one line of progress."""
    print(f'vla_ros: {text}', flush=True)


def fail(text: str) -> int:
    """Print what went wrong and return the exit code."""
    print(f'vla_ros: error: {text}', file=sys.stderr, flush=True)
    return 2


if __name__ == '__main__':
    sys.exit(main())
