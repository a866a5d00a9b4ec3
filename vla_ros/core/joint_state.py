"""Joint positions merged by name from messages in any order, with the age of every joint."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vla_ros.types import FloatArray

NEVER_NS = -(10**18)


class JointStates:
    """The newest position of each joint of an arm and when it came.

    A message may hold some of the joints only, in any order, and joints of others. Receipt on the
    monotonic clock is what counts for the age; stamps only sort messages that overtook another.
    """

    def __init__(self, joints: Sequence[str]) -> None:
        """Wait for `joints`, in the order of the arm's YAML."""
        self._joints = tuple(joints)
        self._index = {joint: k for k, joint in enumerate(joints)}
        self.forget()

    def forget(self) -> None:
        """Wait for every joint anew."""
        count = len(self._joints)
        self.positions_rad: FloatArray = np.zeros(count)
        self._received_ns = [NEVER_NS] * count
        self._stamps_ns = [0] * count

    def forget_stamps(self) -> None:
        """Take the next messages whatever their stamps: the clock was set."""
        self._stamps_ns = [0] * len(self._joints)

    def update(
        self, names: Sequence[str], positions: Sequence[float], stamp_ns: int, mono_ns: int
    ) -> str:
        """Take over the positions of the arm's joints; return what is wrong, empty if nothing.

        A joint whose position is not finite is forgotten. A joint for which a newer stamp was
        seen is left alone; stamp 0 means none. A message without positions says nothing of them.
        """
        if len(names) != len(positions):
            if len(positions) and not self._index.keys().isdisjoint(names):
                return f'joint state has {len(names)} names and {len(positions)} positions'
            return ''
        problem = ''
        for name, position in zip(names, positions, strict=True):
            k = self._index.get(name)
            if k is None or 0 < stamp_ns < self._stamps_ns[k]:
                continue
            if not math.isfinite(position):
                self._received_ns[k] = NEVER_NS
                problem = f"position of joint '{name}' is {position}"
                continue
            self.positions_rad[k] = position
            self._received_ns[k] = mono_ns
            self._stamps_ns[k] = stamp_ns
        return problem

    def ages_s(self, mono_ns: int) -> float | FloatArray:
        """Return for how long the joints were not heard of: one age, or (7,) where they differ."""
        received_ns = self._received_ns
        if min(received_ns) == max(received_ns):
            return (mono_ns - received_ns[0]) * 1e-9
        return (mono_ns - np.array(received_ns)) * 1e-9

    def missing(self, mono_ns: int, timeout_s: float) -> list[str]:
        """Return the joints that were not heard of for longer than `timeout_s`."""
        since_ns = mono_ns - round(timeout_s * 1e9)
        if min(self._received_ns) >= since_ns:
            return []
        return [j for j, ns in zip(self._joints, self._received_ns, strict=True) if ns < since_ns]
