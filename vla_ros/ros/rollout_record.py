"""What was seen in one episode through the graph, and when it counts as done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vla_ros.types import FloatArray

REACHED_M = 0.03
AT_REST_M_S = 0.01
AT_REST_S = 0.5


@dataclass(frozen=True)
class Update:
    """What happens at one moment of a rollout."""

    elapsed_s: float
    distances_m: Mapping[str, float]
    tool_speed_m_s: float
    joint_speed_rad_s: float
    limit_ratio: float | None
    latency_ms: float | None
    guard_state: str
    reason: str
    confidence: float | None
    note: str


@dataclass
class Rollout:
    """Everything that was seen in one episode; times in seconds since the client started."""

    instruction: str
    start_s: float
    end_s: float = 0.0
    command_times_s: list[float] = field(default_factory=list)
    commands_rad_s: list[FloatArray] = field(default_factory=list)
    tool_times_s: list[float] = field(default_factory=list)
    tool_positions_m: list[FloatArray] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)

    def commands_every(self, period_s: float) -> list[FloatArray]:
        """Return the command (rad/s) that held at each multiple of a period, from the first on."""
        if not self.command_times_s:
            return []
        times_s = np.array(self.command_times_s)
        ticks_s = np.arange(times_s[0], times_s[-1], period_s)
        newest = np.searchsorted(times_s, ticks_s, side='right') - 1
        return [self.commands_rad_s[k] for k in newest]

    @property
    def distances_m(self) -> Mapping[str, float]:
        """Final distance of the tool from the point over each object."""
        return self.updates[-1].distances_m

    @property
    def note(self) -> str:
        """What the policy had to say last."""
        return self.updates[-1].note

    @property
    def believed(self) -> bool:
        """Whether the policy took the instruction for one that it can follow."""
        confidence = self.updates[-1].confidence
        return confidence is None or confidence >= 0.5

    def reached(self, target: str) -> bool:
        """Return whether the tool ended over an object."""
        return self.distances_m[target] < REACHED_M


class Settled:
    """Whether the tool has come to rest over an object, for `RosRollout.run`'s `on_update`."""

    def __init__(self, target: str) -> None:
        """Wait for the tool to rest over `target`."""
        self._target = target
        self._since_s: float | None = None

    def __call__(self, update: Update) -> bool:
        """Return whether the tool has rested there for half a second."""
        near = update.distances_m.get(self._target, np.inf) < REACHED_M
        if not near or update.tool_speed_m_s > AT_REST_M_S:
            self._since_s = None
            return False
        if self._since_s is None:
            self._since_s = update.elapsed_s
        return update.elapsed_s - self._since_s >= AT_REST_S
