"""The e-stop button in front of a real guard_node: it stops, and only /vla/rearm starts again."""

from __future__ import annotations

import numpy as np
from fakes import Rhythm
from guard_bench import Bench
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_graph import Graph
from std_msgs.msg import Bool, String

from vla_ros.core.estop import PRESSED
from vla_ros.ros import qos

TOPIC = '/estop'


class Button:
    """An e-stop button that says ten times a second whether it is pressed."""

    def __init__(self, bench: Bench, profile: QoSProfile = qos.INSTRUCTION) -> None:
        self.pressed = False
        self.publisher = bench.probe.create_publisher(Bool, TOPIC, profile)
        self.say = Rhythm(lambda: self.publisher.publish(Bool(data=self.pressed)), 0.1)
        self._think = bench.think

    def __call__(self) -> None:
        """Say it, while the policy goes on."""
        self.say()
        self._think()


def test_twenty_times_pressed_and_released_without_motion_in_between(graph: Graph) -> None:
    bench = Bench(graph, estop_topic=TOPIC)
    button = Button(bench)
    said: list[str] = []
    bench.probe.create_subscription(
        String, qos.INSTRUCTION_TOPIC, lambda m: said.append(m.data), qos.INSTRUCTION
    )
    for cycle in range(20):
        assert bench.until(lambda: bench.speed() > 0.1, button), (cycle, bench.status())
        button.pressed = True
        assert bench.becomes('stop', button)
        assert bench.status()['reason'] == PRESSED
        assert bench.until(bench.rests, button)
        refused = bench.call(qos.REARM_SERVICE)
        assert not refused.success
        assert refused.message == PRESSED
        button.pressed = False
        heard = len(bench.arm.velocities)
        assert bench.until(lambda heard=heard: len(bench.arm.velocities) > heard + 30, button)
        assert not np.any(bench.arm.velocities[heard:]), 'released, and it moved'
        assert bench.until(lambda: bench.call(qos.REARM_SERVICE).success, button)
    assert said == [''] * 20, 'each press resets the policy'
    assert int(bench.status()['stops']) >= 19


def test_required_button_must_be_there_and_must_stay(graph: Graph) -> None:
    bench = Bench(graph, activate=False, estop_topic=TOPIC, estop_required=True)
    bench.guard.trigger_configure()
    assert bench.until(lambda: bench.guard.trigger_activate() and 'e-stop' in bench.guard.problem)
    assert not bench.guard.active
    button = Button(bench)
    assert bench.until(bench._activated, button.say)
    assert bench.until(lambda: bench.speed() > 0.25, button)
    bench.probe.destroy_publisher(button.publisher)
    assert bench.becomes('stop', bench.think)
    assert 'has not been heard for 0.5 s' in bench.status()['reason']
    assert bench.until(bench.rests, bench.think)
    assert 'has not been heard' in bench.call(qos.REARM_SERVICE).message
    button = Button(bench)
    button.say()
    assert bench.until(lambda: bench.call(qos.REARM_SERVICE).success, button)
    assert bench.until(lambda: bench.speed() > 0.25, button)


def test_a_button_that_cannot_be_heard_stops(graph: Graph) -> None:
    bench = Bench(graph, estop_topic=TOPIC)
    bench.gets_moving()
    Button(bench, QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    assert bench.becomes('stop', bench.think)
    assert 'on /estop cannot be heard' in bench.status()['reason']
