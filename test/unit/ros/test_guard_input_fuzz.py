"""10^4 malformed messages through conversion and guard: no crash, no motion, no memory."""

from __future__ import annotations

import resource

import numpy as np
from builtin_interfaces.msg import Duration, Time
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_ros.core.embodiment import load_arm
from vla_ros.core.guard import Guard
from vla_ros.errors import ObservationError
from vla_ros.ros.conversion import chunk_from_message, stamp_to_ns

ARM = load_arm('sim')
NASTY = (np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 0.0, 0.3)
SECONDS = (-(2**31), -1, 0, 1, 2**31 - 1)
NANOSECONDS = (0, 1, 50_000_000, 2**32 - 1)
TEXTS = ('', ' ', 'x' * 100_000, '\x00\x1b[2J', '\u202e', 'reach the red cube', '\n' * 9, '🤖')
PERIOD_NS = 10_000_000


class Fuzz:
    """Messages that a subscription could hand over, each wrong in another way."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def pick(self, values: tuple) -> object:
        return values[self._random.integers(len(values))]

    def numbers(self) -> list[float]:
        count = (
            self._random.integers(7, 9)
            if self._random.random() < 0.7
            else self._random.integers(40)
        )
        return self._random.choice(NASTY, count).tolist()

    def names(self) -> list[str]:
        joints = list(ARM.joints)
        kind = self._random.integers(7)
        if kind == 0:
            joints = joints[: self._random.integers(0, 7)]
        elif kind == 1:
            joints[self._random.integers(7)] = str(self.pick(TEXTS))
        elif kind == 2:
            joints = [joints[0]] * self._random.integers(0, 20)
        elif kind == 3:
            self._random.shuffle(joints)
        elif kind == 4:
            joints.insert(self._random.integers(8), ARM.gripper_joint)
        return joints

    def chunk(self) -> JointTrajectory:
        points = [
            JointTrajectoryPoint(
                velocities=self.numbers(),
                positions=self.numbers(),
                time_from_start=Duration(sec=self.pick(SECONDS), nanosec=self.pick(NANOSECONDS)),
            )
            for _ in range(self._random.integers(0, 4))
        ]
        stamp = Time(sec=self.pick(SECONDS), nanosec=self.pick(NANOSECONDS))
        return JointTrajectory(header=Header(stamp=stamp), joint_names=self.names(), points=points)


def test_malformed_chunks_joint_states_and_instructions() -> None:
    fuzz, guard = Fuzz(0), Guard(ARM)
    now_ns = 10**15
    wrong = 0

    def abuse(count: int) -> None:
        nonlocal now_ns, wrong
        for k in range(count):
            now_ns += PERIOD_NS
            if k % 5 == 0:  # an honest driver and an operator who never gives up
                guard.stop('')
                guard.on_joint_state(ARM.joints, ARM.home_rad.tolist(), 0, now_ns)
                guard.rearm(now_ns, now_ns)
                guard.activate(now_ns, now_ns)
            message = fuzz.chunk()
            problem = ''
            try:
                chunk = chunk_from_message(message, ARM.joints, ARM.gripper_joint)
                guard.on_chunk(chunk, now_ns, now_ns)
            except ObservationError as error:
                problem = str(error)
                guard.on_bad_chunk(problem)
                wrong += 1
            assert len(problem) < 2000, 'a message floods the log'
            stamp_ns = stamp_to_ns(message.header.stamp)
            guard.on_joint_state(fuzz.names(), fuzz.numbers(), stamp_ns, now_ns)
            guard.on_instruction(str(fuzz.pick(TEXTS)))
            output = guard.tick(now_ns, now_ns)
            assert not output.velocity.any()
            assert output.opening_m is None

    abuse(1000)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    abuse(10_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 10_000
    assert 5_000 < wrong < 11_000, 'all of one kind'
