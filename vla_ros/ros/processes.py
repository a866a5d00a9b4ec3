"""The nodes of a bringup as processes of ours, where `ros2 launch` does not exist.

They must be started by a thread that lives as long as they should (see `parent`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import yaml

from vla_ros.errors import VlaRosError
from vla_ros.ros.bringup import NodeSpec, environment
from vla_ros.ros.parent import PARENT_VARIABLE

STOP_TIMEOUT_S = 2.0  # for all of them
_ROBOT_STOP_S = 0.5  # of it for the robot; the others have what is left before
LAST_TO_STOP = 'sim_node'  # the robot stays until everything that drives it has ended
TAIL_LINES = 12


class NodeProcesses:
    """Starts the nodes on entering and ends them on leaving, the robot last; a context manager.

    Args:
        specs: what to start.
        on_line: called with node name and each line that it prints, from a thread of its own.
        extra_environment: added to the user's environment and the bringup's.
    """

    def __init__(
        self,
        specs: Sequence[NodeSpec],
        on_line: Callable[[str, str], None] = lambda name, line: None,
        extra_environment: Mapping[str, str] | None = None,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._on_line = on_line
        self._extra_environment = {
            **(extra_environment or {}), PARENT_VARIABLE: str(os.getpid())
        }  # fmt: skip
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._tails: dict[str, list[str]] = {}
        self._readers: dict[str, threading.Thread] = {}
        self._folder = tempfile.TemporaryDirectory(prefix='vla_ros_')

    def __enter__(self) -> NodeProcesses:
        """Start every node."""
        for spec in self._specs.values():
            self._start(spec)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every node and wait for it."""
        self.stop()

    def _start(self, spec: NodeSpec) -> None:
        files = [*spec.parameter_files, Path(self._folder.name) / f'{spec.name}.yaml']
        parameters = {spec.name: {'ros__parameters': dict(spec.parameters)}}
        files[-1].write_text(yaml.safe_dump(parameters), encoding='utf-8')
        arguments = [word for file in files for word in ('--params-file', str(file))]
        environ = {**os.environ, **environment(shared_memory=spec.shared_memory)}
        module = spec.module or f'vla_ros.ros.{spec.name}'
        process = subprocess.Popen(
            [
                *(sys.executable, '-m', 'vla_ros.ros.start', module),
                *('--ros-args', *spec.ros_arguments, *arguments),
            ],
            env=environ | self._extra_environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            start_new_session=True,  # Ctrl-C reaches us alone: we end them in order
        )
        self._processes[spec.name] = process
        self._tails[spec.name] = []
        reader = threading.Thread(target=self._read, args=(spec.name, process), daemon=True)
        reader.start()
        self._readers[spec.name] = reader

    def _read(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            tail = self._tails[name]
            tail.append(line.rstrip())
            del tail[:-TAIL_LINES]
            self._on_line(name, line.rstrip())

    def ended(self) -> str | None:
        """Return the name of a node that has ended by itself, None while all run."""
        return next((n for n, p in self._processes.items() if p.poll() is not None), None)

    def check(self) -> None:
        """Raise a VlaRosError with its last words when a node has ended."""
        name = self.ended()
        if name is None:
            return
        self._readers[name].join(timeout=1.0)
        last_words = '\n'.join(self._tails[name])
        code = self._processes[name].returncode
        raise VlaRosError(f'{name} ended with exit code {code}:\n{last_words}'.rstrip(':\n'))

    def pid(self, name: str) -> int:
        """Return the process id of a node."""
        return self._processes[name].pid

    def send_signal(self, name: str, number: int) -> None:
        """Send a signal to a node."""
        self._processes[name].send_signal(number)

    def exit_code(self, name: str) -> int | None:
        """Return the exit code of a node, None while it runs."""
        return self._processes[name].poll()

    def restart(self, name: str) -> None:
        """Start a node again, after killing what is left of it."""
        process = self._processes[name]
        process.kill()
        process.wait()
        self._readers[name].join(timeout=1.0)
        self._start(self._specs[name])

    def stop(self) -> None:
        """Ask every node to end, the robot after the others; kill what does not in time.

        Signals wait meanwhile: an impatient second Ctrl-C would leave processes behind.
        """
        waiting = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
        try:
            self._stop()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _stop(self) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT_S
        drivers = [p for n, p in self._processes.items() if n != LAST_TO_STOP]
        robot = [p for n, p in self._processes.items() if n == LAST_TO_STOP]
        _end(drivers, deadline - _ROBOT_STOP_S if robot else deadline)
        _end(robot, deadline)
        for reader in self._readers.values():
            reader.join(timeout=1.0)
        self._folder.cleanup()


def _end(processes: Sequence[subprocess.Popen[str]], deadline_s: float) -> None:
    """Ask processes to end, and kill what has not by then."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    for process in processes:
        try:
            process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
