"""A guard on a bench: hands it times, joint states and chunks, and moves the arm."""

from __future__ import annotations

from typing import Any

import numpy as np

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.core.guard import Guard, GuardOutput
from vla_ros.core.guard_config import GuardConfig
from vla_ros.types import ActionChunk, FloatArray

EPOCH_NS = 1_700_000_000_000_000_000


class Bench:
    """Time, an arm that follows, and what an operator and a policy would do."""

    def __init__(self, arm: Embodiment | None = None, config: GuardConfig | None = None) -> None:
        self.arm = arm or load_arm('sim')
        self.guard = Guard(self.arm, config)
        self.stamp_ns, self.mono_ns = EPOCH_NS, 5_000_000_000
        self.period_ns = round(1e9 / self.arm.guard_rate_hz)
        self.position = self.arm.home_rad.copy()
        self.outputs: list[GuardOutput] = []

    def active(self) -> Bench:
        self.measure()
        self.guard.activate(self.stamp_ns, self.mono_ns)
        return self

    def measure(self, **changes: Any) -> None:
        """Hand over a joint state; `changes` replace joint names, positions or the stamp."""
        given = {'names': self.arm.joints, 'positions': self.position.tolist()}
        given |= {'stamp_ns': self.stamp_ns} | changes
        self.guard.on_joint_state(mono_ns=self.mono_ns, **given)

    def chunk(
        self, speed: float | FloatArray = 0.2, steps: int = 8, **changes: Any
    ) -> ActionChunk:
        """Hand over a chunk that answers an observation of now."""
        given = {'stamp_ns': self.stamp_ns, 'step_s': 0.1} | changes
        rows = np.broadcast_to(np.asarray(speed, np.float64), (steps, 7)).copy()
        chunk = ActionChunk(
            changes.pop('velocities_rad_s', rows), given['step_s'], given['stamp_ns']
        )
        self.guard.on_chunk(chunk, self.stamp_ns, self.mono_ns)
        return chunk

    def tick(self, *, measured: bool = True, stamp_step_ns: int | None = None) -> GuardOutput:
        """Let one period pass."""
        self.mono_ns += self.period_ns
        self.stamp_ns += self.period_ns if stamp_step_ns is None else stamp_step_ns
        if self.outputs:
            self.position = self.position + self.outputs[-1].velocity * self.period_ns * 1e-9
        if measured:
            self.measure()
        self.outputs.append(self.guard.tick(self.stamp_ns, self.mono_ns))
        return self.outputs[-1]

    def run(self, duration_s: float, *, policy: bool = False, **how: Any) -> GuardOutput:
        """Let time pass, with a new chunk every 50 ms if there is a `policy`."""
        ticks = max(1, round(duration_s * self.arm.guard_rate_hz))
        for k in range(ticks):
            output = self.tick(**how)
            if policy and k % 5 == 0:
                self.chunk()
        return output

    def rearm(self) -> None:
        self.guard.rearm(self.stamp_ns, self.mono_ns)
