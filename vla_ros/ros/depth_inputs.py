"""The newest usable depth image of every depth camera that a policy reads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import ConfigError, ObservationError
from vla_ros.ros import qos
from vla_ros.ros.conversion import depth_from_message, stamp_to_ns
from vla_ros.ros.inputs import MAX_FRAME_AGE_NS
from vla_ros.ros.joint_inputs import from_the_future
from vla_ros.types import DepthArray, Policy


class DepthInputs:
    """Keeps one depth image per camera; a policy names its cameras in `depth_cameras`.

    Args:
        node: subscribes.
        policy: to be served.
        arm: has the topics.
        now_ns: the node's clock.
        refuse: told what is wrong with a message.

    Raises:
        ConfigError: the arm has no such depth camera.
    """

    def __init__(
        self,
        node: Node,
        policy: Policy,
        arm: Embodiment,
        now_ns: Callable[[], int],
        refuse: Callable[[str], None],
    ) -> None:
        self._now_ns, self._refuse = now_ns, refuse
        self._newest: dict[str, tuple[DepthArray, int]] = {}
        self._topics: dict[str, str] = {}
        for name in getattr(policy, 'depth_cameras', ()):
            camera = arm.cameras.get(name)
            if camera is None or not camera.depth_topic:
                raise ConfigError(
                    f"the policy needs the depth of camera '{name}'; give it a depth_topic and a "
                    f'calibration in {arm.source}, as camera top in config/arms/sim.yaml has them'
                )
            self._topics[name] = camera.depth_topic
        self._node = node
        self._subscriptions: list[Subscription[Image]] = [
            node.create_subscription(
                Image, topic, functools.partial(self._on_depth, name), qos.SENSOR
            )
            for name, topic in self._topics.items()
        ]

    def missing(self) -> list[str]:
        """Return the topics from which no fresh depth image came."""
        now_ns = self._now_ns()
        return [
            topic
            for name, topic in self._topics.items()
            if name not in self._newest or now_ns - self._newest[name][1] > MAX_FRAME_AGE_NS
        ]

    def newest(self) -> Mapping[str, DepthArray]:
        """Return the depth images that are there, (H, W) in metres."""
        return {name: depth for name, (depth, _) in self._newest.items()}

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._newest.clear()

    def _on_depth(self, name: str, message: Image) -> None:
        try:
            depth_m = depth_from_message(message)
        except ObservationError as error:
            self._refuse(f'depth of camera {name}: {error}')
            return
        stamp_ns, now_ns = stamp_to_ns(message.header.stamp), self._now_ns()
        if from_the_future(stamp_ns, now_ns) or now_ns - stamp_ns > MAX_FRAME_AGE_NS:
            return
        self._newest[name] = depth_m, stamp_ns
