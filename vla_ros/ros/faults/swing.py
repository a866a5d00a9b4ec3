"""A policy_node that swings the arm at full speed, and that misbehaves when it is told to.

The instruction says how: what reaches the policy is what an operator says to any policy.
"""

from __future__ import annotations

import signal
import sys
import threading
import time

import numpy as np

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.ros.node_main import run_node
from vla_ros.ros.policy_node import PolicyNode
from vla_ros.types import ARM_JOINTS, ActionChunk, FloatArray, Observation

ARM = 'sim'
JOINT = 0
AMPLITUDE_RAD = 1.9
RESTING_RAD = 0.01  # between two observations
FAULT_PREFIX = 'fault began at '
STEPS, STEP_S = 8, 0.1

SWING = 'swing'
EXCEPTION = 'swing, then raise an exception'
ENDLESS = 'swing, then compute for ever'
OUT_OF_MEMORY = 'swing, then run out of memory'
THREAD_DEATH = 'swing, then end the inference thread'
NOT_FINITE = 'swing, then answer with nan'
SLOW = 'swing, then think for seconds: '
"""To be followed by a number."""


def say_fault() -> None:
    """Print when a fault began, on the monotonic clock that all processes share."""
    print(f'{FAULT_PREFIX}{time.monotonic_ns()}', flush=True)


class SwingPolicy:
    """Turns the first joint back and forth around home, always at its full speed.

    Args:
        arm: whose first joint swings.
        release: ends an inference that is endless or slow.
    """

    cameras: tuple[str, ...] = ('front',)

    def __init__(self, arm: Embodiment, release: threading.Event) -> None:
        self._home_rad = float(arm.home_rad[JOINT])
        self._speed_rad_s = float(arm.velocity_max_rad_s[JOINT])
        self._release = release
        self._direction = 1.0
        self._away_rad = 0.0
        self._fault = SWING

    def reset(self) -> None:
        """Remember nothing: every rest ends in the direction of home, where there is room."""

    def infer(self, observation: Observation) -> ActionChunk:
        """Return the way to the next turning point, or misbehave as the instruction says."""
        fault = observation.instruction
        if fault != SWING and fault != self._fault:
            self._release.clear()
            say_fault()
        self._fault = fault
        velocities = np.zeros((STEPS, ARM_JOINTS))
        velocities[:, JOINT] = self._turn(observation.joint_positions_rad) * self._speed_rad_s
        self._misbehave(fault, velocities)
        return ActionChunk(velocities, STEP_S, observation.stamp_ns)

    def _turn(self, positions_rad: FloatArray) -> float:
        away_rad = float(positions_rad[JOINT]) - self._home_rad
        rests = abs(away_rad - self._away_rad) < RESTING_RAD
        self._away_rad = away_rad
        if rests or away_rad * self._direction > AMPLITUDE_RAD:
            self._direction = -1.0 if away_rad > 0 else 1.0
        return self._direction

    def _misbehave(self, fault: str, velocities: FloatArray) -> None:
        if fault == EXCEPTION:
            raise RuntimeError('raised on purpose')
        if fault == OUT_OF_MEMORY:
            np.empty(1 << 58)  # numpy's own MemoryError: no machine has that much
        if fault == THREAD_DEATH:
            raise SystemExit
        if fault == NOT_FINITE:
            velocities[:] = np.nan
        if fault == ENDLESS:
            while not self._release.is_set():  # busy: it takes a core, too
                pass
        if fault.startswith(SLOW):
            self._release.wait(float(fault.removeprefix(SLOW)))


def main() -> int:
    """Run policy_node with the swinging policy as a process; SIGUSR1 ends an endless inference."""
    release = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: release.set())
    return run_node(lambda: PolicyNode(policy=SwingPolicy(load_arm(ARM), release)))


if __name__ == '__main__':
    sys.exit(main())
