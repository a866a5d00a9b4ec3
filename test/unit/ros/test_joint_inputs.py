"""Joint states of the arm and of its fingers, by name, by age, and through resets of the clock."""

from __future__ import annotations

import numpy as np
import pytest
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from vla_ros.core.embodiment import load_arm
from vla_ros.ros.conversion import ns_to_stamp
from vla_ros.ros.joint_inputs import JointInputs

ARM = load_arm('sim')
assert ARM.gripper
FINGERS = ARM.gripper.joints
MS = 1_000_000
MONO_NS = 77_000 * MS


def state(stamp_ms: int, value: float, names: tuple[str, ...] = ARM.joints) -> JointState:
    header = Header(stamp=ns_to_stamp(stamp_ms * MS))
    return JointState(header=header, name=names, position=[value] * len(names))


@pytest.fixture
def inputs() -> JointInputs:
    return JointInputs(ARM)


def test_joint_states_are_taken_again_after_simulated_time_was_reset(inputs: JointInputs) -> None:
    everything = (*ARM.joints, *FINGERS)
    assert inputs.update(state(90_000, 0.01, everything), 90_000 * MS, MONO_NS) == ''
    later_ns = MONO_NS + 300 * MS
    assert inputs.update(state(20, 0.02, everything), 20 * MS, later_ns) == ''
    assert inputs.missing(later_ns, fingers=True) == []
    np.testing.assert_array_equal(inputs.positions_rad(), np.full(7, 0.02))
    assert inputs.opening_m(later_ns) == pytest.approx(0.04)


def test_while_the_clock_runs_on_an_older_stamp_is_one_that_was_overtaken(
    inputs: JointInputs,
) -> None:
    inputs.update(state(90_000, 0.01), 90_000 * MS, MONO_NS)
    assert inputs.update(state(89_990, 0.02), 90_001 * MS, MONO_NS + 300 * MS) == ''
    np.testing.assert_array_equal(inputs.positions_rad(), np.full(7, 0.01))
    assert inputs.missing(MONO_NS + 300 * MS) == list(ARM.joints)


def test_silent_fingers_are_missed_only_by_who_asks_for_them(inputs: JointInputs) -> None:
    inputs.update(state(0, 0.01), 10 * MS, MONO_NS)
    assert inputs.missing(MONO_NS) == []
    assert inputs.missing(MONO_NS, fingers=True) == list(FINGERS)
    assert inputs.opening_m(MONO_NS) is None
    inputs.update(state(0, 0.01, FINGERS), 20 * MS, MONO_NS)
    assert inputs.missing(MONO_NS, fingers=True) == []
    assert inputs.opening_m(MONO_NS) == pytest.approx(0.02)
    assert inputs.opening_m(MONO_NS + 150 * MS) is None


def test_what_is_wrong_with_a_message_is_said(inputs: JointInputs) -> None:
    assert 'in the future' in inputs.update(state(200, 0.0), 100 * MS, MONO_NS)
    assert "'panda_joint1' is nan" in inputs.update(
        state(0, float('nan'), ARM.joints[:1]), 0, MONO_NS
    )
    assert "'panda_finger_joint2' is inf" in inputs.update(
        state(0, float('inf'), FINGERS[1:]), 0, MONO_NS
    )


def test_an_arm_without_a_gripper_has_no_opening() -> None:
    inputs = JointInputs(load_arm('fr3'))
    inputs.update(state(0, 0.01, load_arm('fr3').joints), 0, MONO_NS)
    assert inputs.missing(MONO_NS, fingers=True) == []
    assert inputs.opening_m(MONO_NS) is None
