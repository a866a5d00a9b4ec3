"""Nodes that end when the process that started them does, even if that was killed with -9."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT_VARIABLE = 'VLA_ROS_PARENT_PID'
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent() -> None:
    """Ask Linux for a SIGINT when the parent that PARENT_VARIABLE names is gone.

    Without the variable, as under `ros2 run` and `ros2 launch`, nothing changes. The signal comes
    when the thread ends that started this process (man 2 prctl).
    """
    parent = os.environ.pop(PARENT_VARIABLE, '')
    if not parent or not sys.platform.startswith('linux'):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != int(parent):  # gone already
        os.kill(os.getpid(), signal.SIGINT)
