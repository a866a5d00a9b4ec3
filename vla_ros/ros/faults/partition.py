"""A network namespace for the policy, whose cable to the rest of the graph can be pulled.

`python -m vla_ros.ros.faults.partition` is the swinging policy inside it. Linux and root only.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from vla_ros.errors import VlaRosError
from vla_ros.paths import config_dir
from vla_ros.ros.bringup import UDP_PROFILE, profile_variable

NAMESPACE = f'vla_ros_{os.getpid()}'
_ENTER = 'VLA_ROS_FAULTS_NETNS'
_OUTSIDE, _INSIDE = '10.231.77.1', '10.231.77.2'
_CLONE_NEWNET = 0x40000000


class NotPossibleError(VlaRosError):
    """This machine cannot inject a fault; the message says why."""


@contextmanager
def namespace() -> Iterator[None]:
    """Make the namespace and its cable, and let DDS use no shared memory, which no cable cuts.

    Raises:
        NotPossibleError: not root, no iproute2, or a kernel without it.
    """
    settings = {
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_STATIC_PEERS': f'{_OUTSIDE};{_INSIDE}',
        profile_variable(): str(config_dir() / UDP_PROFILE),
        _ENTER: NAMESPACE,
    }
    before = {name: os.environ.get(name) for name in settings}
    try:
        _make_cable()
        os.environ.update(settings)
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        subprocess.run(['ip', 'netns', 'del', NAMESPACE], capture_output=True, check=False)


def connect(connected: bool) -> None:
    """Plug the cable in, or pull it."""
    _ip('-n', NAMESPACE, 'link', 'set', 'policy', 'up' if connected else 'down')


def _make_cable() -> None:
    try:
        _ip('netns', 'add', NAMESPACE)
        cable = f'v{os.getpid()}'
        peer = ('peer', 'name', 'policy', 'netns', NAMESPACE)
        _ip('link', 'add', cable, 'type', 'veth', *peer)
        _ip('addr', 'add', f'{_OUTSIDE}/30', 'dev', cable)
        _ip('link', 'set', cable, 'up')
        _ip('-n', NAMESPACE, 'addr', 'add', f'{_INSIDE}/30', 'dev', 'policy')
        _ip('-n', NAMESPACE, 'link', 'set', 'lo', 'up')
        connect(True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, 'stderr', '') or str(error)
        raise NotPossibleError(f'not possible on this machine: {said.strip()}') from error


def _ip(*words: str) -> None:
    subprocess.run(['ip', *words], check=True, capture_output=True, text=True)


def _enter() -> None:
    """Move this process, before it has any thread, into the namespace."""
    handle = os.open(f'/run/netns/{os.environ[_ENTER]}', os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), 'setns')
    os.close(handle)


def main() -> int:
    """Run the swinging policy at the other end of the cable."""
    _enter()
    from vla_ros.ros.faults.swing import main as swing

    return swing()


if __name__ == '__main__':
    sys.exit(main())
