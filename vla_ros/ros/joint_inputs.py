"""Joint states as policy_node hears them: of the arm, and of its gripper if it has one."""

from __future__ import annotations

from sensor_msgs.msg import JointState

from vla_ros.core.embodiment import Embodiment
from vla_ros.core.gripper import Fingers
from vla_ros.core.joint_state import JointStates
from vla_ros.ros.conversion import stamp_to_ns
from vla_ros.types import FloatArray

MAX_JOINT_AGE_S = 0.1
MAX_FUTURE_NS = 50_000_000


class JointInputs:
    """The newest position of every joint; ages are by receipt on the monotonic clock."""

    def __init__(self, arm: Embodiment) -> None:
        """Wait for every joint."""
        self._joints = JointStates(arm.joints)
        self._fingers = Fingers(arm.gripper) if arm.gripper else None
        self._now_ns = 0

    def update(self, message: JointState, now_ns: int, mono_ns: int) -> str:
        """Take over a message; return what is wrong with it, empty if nothing.

        Args:
            message: joints of anybody, in any order.
            now_ns: the node's clock, which is set back when simulated time is reset.
            mono_ns: the monotonic clock.
        """
        if now_ns < self._now_ns:  # simulated time was reset: old stamps mean nothing
            self._joints.forget_stamps()
            if self._fingers:
                self._fingers.forget_stamps()
        self._now_ns = now_ns
        stamp_ns = stamp_to_ns(message.header.stamp)
        if problem := from_the_future(stamp_ns, now_ns):
            return f'joint state {problem}'
        names, positions = list(message.name), message.position
        problem = self._joints.update(names, positions, stamp_ns, mono_ns)
        if self._fingers:
            problem = problem or self._fingers.update(names, positions, stamp_ns, mono_ns)
        return problem

    def missing(self, mono_ns: int, *, fingers: bool = False) -> list[str]:
        """Return the joints, and the `fingers` if wanted, without a fresh state."""
        missing = self._joints.missing(mono_ns, MAX_JOINT_AGE_S)
        if fingers and self._fingers:
            missing = [*missing, *self._fingers.missing(mono_ns, MAX_JOINT_AGE_S)]
        return missing

    def positions_rad(self) -> FloatArray:
        """Return a copy of the positions (7,) as they came last."""
        return self._joints.positions_rad.copy()

    def opening_m(self, mono_ns: int) -> float | None:
        """Return the gripper's opening; None without one, or without fresh states of it."""
        return self._fingers.opening_m(mono_ns, MAX_JOINT_AGE_S) if self._fingers else None


def from_the_future(stamp_ns: int, now_ns: int) -> str:
    """Say that a stamp is ahead of the clock; empty if it is not. What comes later looks old."""
    ahead_ns = stamp_ns - now_ns
    return f'stamped {ahead_ns / 1e9:.3f} s in the future' if ahead_ns > MAX_FUTURE_NS else ''
