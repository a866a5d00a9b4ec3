"""Run one node as a process: signals, errors and a shutdown that leaves the arm at rest."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from vla_ros.errors import ConfigError, VlaRosError
from vla_ros.ros.lifecycle import ManagedNode
from vla_ros.ros.parent import end_with_parent

N = TypeVar('N', bound=Node)

USAGE_ERROR = 2
_WAKE_UP_S = 0.1


def run_node(
    factory: Callable[[], N], *, on_shutdown: Callable[[N, Executor], None] | None = None
) -> int:
    """Spin the node that `factory` makes until SIGINT or SIGTERM; return the exit code.

    rclpy's own handlers would shut the context down before anyone could publish a last command.
    Here the first signal ends the spinning, then `on_shutdown` runs while everything still works
    (it may spin the executor that it is handed), and only then is the context shut down. Later
    signals are ignored: they would cut the ramp to rest short.

    Args:
        factory: makes the node, after `rclpy.init`.
        on_shutdown: brings the robot to a safe state; by default an active lifecycle node is
            deactivated.

    Returns:
        0 after a signal; 2 after a VlaRosError, which is printed as one line.
    """
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    end_with_parent()
    try:
        _init()
        return _spin(factory, on_shutdown or _deactivate, stopping)
    except VlaRosError as error:
        print_error(error)
        return USAGE_ERROR
    finally:
        rclpy.try_shutdown()
        for number in (signal.SIGINT, signal.SIGTERM):  # a second one would kill the interpreter
            signal.signal(number, signal.SIG_IGN)  # while it ends, and look like a crash


def print_error(error: Exception) -> None:
    """Print one red line on stderr."""
    from rich.console import Console

    Console(stderr=True).print(f'error: {error}', style='red', markup=False, soft_wrap=True)


def _init() -> None:
    if 'HOME' not in os.environ:  # rcl writes its log below it and aborts without
        os.environ.setdefault('ROS_LOG_DIR', str(Path(tempfile.gettempdir()) / 'ros_log'))
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # rclpy raises private types for a bad --ros-args
        reason = str(error).splitlines()[0]
        raise ConfigError(f'the arguments after --ros-args cannot be used: {reason}') from error


def _spin(
    factory: Callable[[], N],
    on_shutdown: Callable[[N, Executor], None],
    stopping: threading.Event,
) -> int:
    executor = SingleThreadedExecutor()
    node: N | None = None
    try:
        try:
            node = factory()
        except ParameterException as error:
            raise ConfigError(str(error)) from error
        executor.add_node(node)
        while not stopping.is_set():
            executor.spin_once(timeout_sec=_WAKE_UP_S)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        if node is not None:
            if rclpy.ok():
                on_shutdown(node, executor)
            executor.remove_node(node)
            node.destroy_node()
        executor.shutdown()
    return 0


def _deactivate(node: Node, executor: Executor) -> None:
    del executor
    if isinstance(node, ManagedNode) and node.active:
        node.trigger_deactivate()
