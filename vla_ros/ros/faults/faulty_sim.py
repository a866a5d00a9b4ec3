"""sim_node whose sensors and clock fail when they are told to; the arm itself stays as it is."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from typing import Any

from rclpy.publisher import Publisher
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from vla_ros.ros import qos
from vla_ros.ros.conversion import NANOSECONDS
from vla_ros.ros.faults.swing import say_fault
from vla_ros.ros.node_main import run_node
from vla_ros.ros.sim_node import SimNode

FAULT_TOPIC = '/sim/fault'

HEALTHY = 'healthy'
CAMERA_SILENT = 'cameras fall silent'
CAMERA_FROZEN = 'cameras repeat their pixels with new stamps'
CAMERA_ENCODING = 'cameras send an unknown encoding'
JOINTS_SILENT = 'joint states fall silent'
JOINTS_NOT_FINITE = 'joint states are nan'
CLOCK_PAUSED = 'clock pauses'
CLOCK_FORWARD = 'clock jumps 10 s forward'
CLOCK_BACK = 'clock jumps 10 s back'
CLOCK_RESET = 'clock starts again from zero'

_START_NS = 1000 * NANOSECONDS  # room for jumps back
_JUMPS_NS = {CLOCK_FORWARD: 10 * NANOSECONDS, CLOCK_BACK: -10 * NANOSECONDS}
_DARK = (CAMERA_SILENT, CLOCK_FORWARD, CLOCK_BACK, CLOCK_RESET)
"""After a jump the cameras wait: else the next chunk would end the HOLD before it is seen."""


class FaultySim(SimNode):
    """A SimNode that spoils what it publishes, by the newest word on FAULT_TOPIC."""

    def __init__(self, **node_arguments: Any) -> None:  # noqa: ANN401  rclpy's own
        """Start healthy; `node_arguments` are those of `rclpy.node.Node`."""
        self._fault = HEALTHY
        self._offset_ns = _START_NS
        self._paused_ns: int | None = None
        self._pixels: dict[str, array[int]] = {}
        super().__init__(**node_arguments)
        self.create_subscription(String, FAULT_TOPIC, self._on_fault, qos.INSTRUCTION)

    def now_ns(self) -> int:
        """Return simulated time, less regular than the one of SimNode; or the node's."""
        if not self.get_parameter('publish_clock').value:
            return super().now_ns()
        return self._offset_ns + super().now_ns() if self._paused_ns is None else self._paused_ns

    def create_publisher(self, msg_type: Any, topic: str, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        """Return a publisher whose images or joint states pass through the fault."""
        publisher = super().create_publisher(msg_type, topic, *rest, **more)
        spoil = {Image: self._spoil_image, JointState: self._spoil_joint_state}.get(msg_type)
        return _Spoiling(publisher, spoil) if spoil else publisher

    def _on_fault(self, message: String) -> None:
        fault = message.data
        if self._paused_ns is not None:  # time goes on from where it stood
            self._offset_ns += self._paused_ns - (self._offset_ns + super().now_ns())
            self._paused_ns = None
        if fault == CLOCK_PAUSED:
            self._paused_ns = self.now_ns()
        self._offset_ns += _JUMPS_NS.get(fault, 0)
        if fault == CLOCK_RESET:
            self._offset_ns = -super().now_ns()
        self._fault = fault
        say_fault()

    def _spoil_image(self, image: Image) -> Image | None:
        if self._fault in _DARK:
            return None
        if self._fault == CAMERA_ENCODING:
            image.encoding = 'yuv422'
        if self._fault == CAMERA_FROZEN:
            image.data = self._pixels.get(image.header.frame_id, image.data)
        self._pixels[image.header.frame_id] = image.data
        return image

    def _spoil_joint_state(self, state: JointState) -> JointState | None:
        if self._fault == JOINTS_SILENT:
            return None
        if self._fault == JOINTS_NOT_FINITE:
            state.position = [float('nan')] * len(state.position)
        return state


class _Spoiling:
    """A publisher that publishes what a function makes of a message, or nothing."""

    def __init__(self, publisher: Publisher[Any], spoil: Callable[[Any], Any]) -> None:
        self._publisher, self._spoil = publisher, spoil
        self.get_subscription_count = publisher.get_subscription_count

    def publish(self, message: Any) -> None:  # noqa: ANN401  any message type
        """Publish the message as the fault leaves it."""
        spoilt = self._spoil(message)
        if spoilt is not None:
            self._publisher.publish(spoilt)


def main() -> int:
    """Run it as a process."""
    return run_node(FaultySim)


if __name__ == '__main__':
    sys.exit(main())
