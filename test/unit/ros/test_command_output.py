"""A plan to rest as a message that is used again and again."""

from __future__ import annotations

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from trajectory_msgs.msg import JointTrajectory

from vla_ros.core.embodiment import available_arms, load_arm
from vla_ros.core.short_trajectory import MOST_POINTS, TrajectoryPlanner
from vla_ros.ros.command_output import TrajectoryMessage


@pytest.mark.parametrize('arm', map(load_arm, available_arms()), ids=available_arms())
def test_the_message_says_what_the_plan_says_and_nothing_of_the_plan_before(arm) -> None:
    generator = np.random.default_rng(0)
    planner, message = TrajectoryPlanner(arm, 0.01), TrajectoryMessage(arm.joints)
    counts = set()
    for k in range(40):
        speed = generator.uniform(-1, 1, 7) * arm.velocity_max_rad_s
        speed[generator.random(7) < 0.3] = 0.0
        if k % 10 == 9:
            speed[:] = 0.0
        plan = planner.plan(speed, arm.home_rad, 0.01)
        assert plan is not None
        # Published is what is serialised.
        sent = deserialize_message(serialize_message(message.of(plan)), JointTrajectory)
        counts.add(len(sent.points))
        assert sent.joint_names == list(arm.joints)
        assert len(sent.points) == len(plan.times_s) <= MOST_POINTS
        after = [p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in sent.points]
        np.testing.assert_allclose(after, plan.times_s, atol=1e-8)
        np.testing.assert_array_equal([p.positions for p in sent.points], plan.positions_rad)
        np.testing.assert_array_equal([p.velocities for p in sent.points], plan.velocities_rad_s)
    assert len(counts) > 3, 'plans of several lengths'
