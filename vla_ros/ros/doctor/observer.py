"""Listens to a graph for a while, and publishes nothing."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from rclpy.duration import Duration, Infinite
from rclpy.qos import HistoryPolicy, QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import String

from vla_ros.core.embodiment import CameraConfig, Embodiment
from vla_ros.errors import ObservationError
from vla_ros.ros import qos
from vla_ros.ros.conversion import image_reader, stamp_to_ns
from vla_ros.ros.doctor.camera_checks import COMPRESSED_TYPE, MESSAGE_TYPE
from vla_ros.ros.doctor.snapshot import (
    Endpoint,
    GraphSnapshot,
    ImageSample,
    JointSample,
    Stream,
)
from vla_ros.ros.session import Session

_FIND_S = 2.0
_ERROR = 2


class _Receipts:
    """When messages came, and their stamps."""

    def __init__(self) -> None:
        self.received_s: list[float] = []
        self.stamps_s: list[float] = []
        self.ages_s: list[float] = []

    def add(self, stamp_ns: int, now_ns: int) -> None:
        self.received_s.append(time.monotonic())
        self.stamps_s.append(stamp_ns / 1e9)
        self.ages_s.append((now_ns - stamp_ns) / 1e9)

    def clear(self) -> None:
        for values in (self.received_s, self.stamps_s, self.ages_s):
            values.clear()


class Observer:
    """Subscribes to what belongs to an arm."""

    def __init__(self, session: Session, arm: Embodiment) -> None:
        """Listen through the node of `session`."""
        self._session, self._node, self._arm = session, session.node, arm
        self._joints = _Receipts()
        self._order: tuple[str, ...] = ()
        self._positions: dict[str, float] = {}
        self._velocities: dict[str, float] = {}
        self._cameras = {name: _Receipts() for name in arm.cameras}
        self._images: dict[str, ImageSample] = {}
        self._urdf = ''
        node = self._node
        node.create_subscription(
            JointState, arm.joint_states_topic, self._on_joint_state, qos.SENSOR
        )
        node.create_subscription(String, qos.URDF_TOPIC, self._on_urdf, qos.LATCHED)
        for name, camera in arm.cameras.items():
            self._listen(name, camera)

    def _listen(self, name: str, camera: CameraConfig) -> None:
        kind, convert = image_reader(camera.topic)
        callback = functools.partial(self._on_image, name, convert)
        self._node.create_subscription(kind, camera.topic, callback, qos.SENSOR)

    def look(self, seconds: float) -> GraphSnapshot:
        """Find who is there, listen for `seconds`, and return what was seen."""
        self._session.spin_until(self._all_there, _FIND_S)
        for receipts in (self._joints, *self._cameras.values()):
            receipts.clear()
        start_s = time.monotonic()
        self._session.spin(seconds)
        seconds = time.monotonic() - start_s
        arm, node = self._arm, self._node
        topics = [c.topic for c in arm.cameras.values()]
        commands = [
            arm.velocity_topic() if mode == 'velocity' else arm.trajectory_topic()
            for mode in arm.controllers
        ]
        sample = JointSample(self._order, self._positions, self._velocities)
        return GraphSnapshot(
            joint_states=self._stream(arm.joint_states_topic, self._joints, seconds),
            joints=sample if self._joints.received_s else None,
            cameras={
                name: self._stream(arm.cameras[name].topic, receipts, seconds)
                for name, receipts in self._cameras.items()
            },
            images=self._images,
            image_topics=tuple(
                topic
                for topic, types in node.get_topic_names_and_types()
                if {MESSAGE_TYPE, COMPRESSED_TYPE} & set(types)
                and topic not in topics
                and node.count_publishers(topic)
            ),
            controllers={t: self._listeners(t) for t in commands},
            commanders={t: self._publishers(t, None) for t in commands},
            urdf=self._urdf,
            simulated_time=node.count_publishers(qos.CLOCK_TOPIC) > 0,
            problems={
                name: status.message
                for name, status in self._session.status.items()
                if status.level >= _ERROR
            },
        )

    def _all_there(self) -> bool:
        return all(len(r.received_s) > 1 for r in (self._joints, *self._cameras.values()))

    def _stream(self, topic: str, receipts: _Receipts, seconds: float) -> Stream:
        return Stream(
            topic,
            self._publishers(topic, qos.SENSOR),
            seconds,
            tuple(receipts.received_s),
            tuple(receipts.stamps_s),
            tuple(receipts.ages_s),
        )

    def _publishers(self, topic: str, ours: QoSProfile | None) -> tuple[Endpoint, ...]:
        found = self._node.get_publishers_info_by_topic(topic)
        return tuple(_endpoint(e, ours and (e.qos_profile, ours)) for e in found)

    def _listeners(self, topic: str) -> tuple[Endpoint, ...]:
        found = self._node.get_subscriptions_info_by_topic(topic)
        return tuple(_endpoint(e, (qos.COMMAND, e.qos_profile)) for e in found)

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def _on_joint_state(self, message: JointState) -> None:
        self._joints.add(stamp_to_ns(message.header.stamp), self._now_ns())
        names = list(message.name)
        if not self._order or not set(self._arm.joints) & set(self._order):
            self._order = tuple(names)
        self._positions.update(zip(names, message.position, strict=False))
        self._velocities.update(zip(names, message.velocity, strict=False))

    def _on_urdf(self, message: String) -> None:
        self._urdf = message.data

    def _on_image(self, name: str, convert: Callable[[Any], Any], message: Any) -> None:  # noqa: ANN401  two types
        self._cameras[name].add(stamp_to_ns(message.header.stamp), self._now_ns())
        encoding = message.format if isinstance(message, CompressedImage) else message.encoding
        try:
            height, width = convert(message).shape[:2]
        except ObservationError as error:
            self._images[name] = ImageSample(encoding[:32], 0, 0, str(error))
            return
        self._images[name] = ImageSample(encoding[:32], width, height)


def _spelled_out(profile: QoSProfile) -> QoSProfile:
    """Return a profile in which no deadline and no lease are infinite, as discovery has them."""
    unset = Duration()
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=profile.reliability,
        durability=profile.durability,
        liveliness=profile.liveliness,
        deadline=profile.deadline if profile.deadline != unset else Infinite,
        liveliness_lease_duration=profile.liveliness_lease_duration
        if profile.liveliness_lease_duration != unset
        else Infinite,
    )


def _endpoint(found: TopicEndpointInfo, pair: tuple[QoSProfile, QoSProfile] | None) -> Endpoint:
    """Return an endpoint; `pair` holds the profiles of its publisher and its subscription."""
    mismatch = ''
    if pair:
        compatibility, reason = qos_check_compatible(*map(_spelled_out, pair))
        if compatibility == QoSCompatibility.ERROR:
            mismatch = ' '.join(reason.split())
    return Endpoint(found.node_name, found.topic_type, mismatch)
