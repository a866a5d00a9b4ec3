"""Start a node: Ctrl-C while its imports still load ends it at once, and without a traceback.

rclpy, torch and mujoco take a second or more to load. `run_node`, whose handlers bring the arm to
rest, cannot be imported before rclpy; until it is there, nothing moves and nothing is to be tidied
up. `python -m vla_ros.ros.start MODULE ...` does as `python -m MODULE ...` does.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from functools import partial
from importlib import import_module
from types import FrameType


def _end_at_once(number: int, frame: FrameType | None) -> None:
    del number, frame
    os._exit(0)  # an exception may end in the middle of any import, which may catch it


def _end_at_once_when_asked() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end_at_once)


def _run(name: str) -> int:
    """Run the node of that name as a process; return its exit code."""
    _end_at_once_when_asked()
    return import_module(f'vla_ros.ros.{name}').main()


policy_node = partial(_run, 'policy_node')
guard_node = partial(_run, 'guard_node')
sim_node = partial(_run, 'sim_node')


if __name__ == '__main__':
    _end_at_once_when_asked()
    runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)
