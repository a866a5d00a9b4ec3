"""Small policies and a probe that hears and says what a robot and an operator would."""

from __future__ import annotations

import array
import threading
import time
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from vla_ros.core.embodiment import load_arm
from vla_ros.ros import qos
from vla_ros.ros.conversion import (
    chunk_from_message,
    image_to_message,
    joint_state_to_message,
    ns_to_stamp,
)
from vla_ros.types import ActionChunk, ImageArray, Observation

ARM = load_arm('sim')


class ConstantPolicy:
    """Answers every observation with the same velocity; 'fail' raises, 'doubt' is not believed."""

    def __init__(self, cameras: tuple[str, ...] = ('front',), velocity_rad_s: float = 0.1) -> None:
        self.cameras = cameras
        self.velocity_rad_s = velocity_rad_s
        self.observations: list[Observation] = []
        self.threads: set[int] = set()
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def infer(self, observation: Observation) -> ActionChunk:
        self.threads.add(threading.get_ident())
        self.observations.append(observation)
        if observation.instruction == 'fail':
            raise RuntimeError('out of memory')
        if observation.instruction == 'doubt':
            return ActionChunk(
                np.zeros((8, 7)), 0.1, confidence=0.1, note='nothing like that here'
            )
        return ActionChunk(np.full((8, 7), self.velocity_rad_s), 0.1)


class Probe(Node):
    """A robot's driver and an operator in one: publishes inputs, keeps what nodes say."""

    def __init__(self, context: Context) -> None:
        super().__init__('probe', context=context)
        self.chunks: list[ActionChunk] = []
        self.status: dict[str, dict[str, str]] = {}
        self.images = {
            name: self.create_publisher(Image, camera.topic, qos.SENSOR)
            for name, camera in ARM.cameras.items()
        }
        self.joint_states = self.create_publisher(JointState, ARM.joint_states_topic, qos.SENSOR)
        self.instructions = self.create_publisher(String, qos.INSTRUCTION_TOPIC, qos.INSTRUCTION)
        self.create_subscription(JointTrajectory, qos.CHUNK_TOPIC, self._on_chunk, qos.COMMAND)
        self.create_subscription(
            DiagnosticArray, qos.DIAGNOSTICS_TOPIC, self._on_status, qos.DIAGNOSTICS
        )
        self.random = np.random.default_rng(0)
        self.opening_m: float | None = None  # of the gripper, which is silent by default

    def _on_chunk(self, message: JointTrajectory) -> None:
        self.chunks.append(chunk_from_message(message, ARM.joints, ARM.gripper_joint))

    def _on_status(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.status[status.name] = {v.key: v.value for v in status.values} | {
                'level': str(status.level[0]),
                'message': status.message,
            }

    def now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def picture(self) -> ImageArray:
        return self.random.integers(0, 256, (24, 32, 3), np.uint8)

    def send_state(self) -> None:
        joints, positions = ARM.joints, ARM.home_rad
        if self.opening_m is not None and ARM.gripper:
            fingers = ARM.gripper.joints
            joints += fingers
            positions = np.append(positions, [self.opening_m / len(fingers)] * len(fingers))
        stamp = self.get_clock().now().to_msg()
        self.joint_states.publish(
            joint_state_to_message(joints, positions, np.zeros(len(joints)), stamp)
        )

    def send_frame(
        self, camera: str = 'front', image: ImageArray | None = None, age_ns: int = 0
    ) -> int:
        """Send joint positions and a frame; return its stamp."""
        self.send_state()
        stamp_ns = self.now_ns() - age_ns
        picture = self.picture() if image is None else image
        self.images[camera].publish(image_to_message(picture, ns_to_stamp(stamp_ns), camera))
        return stamp_ns

    def say(self, text: str) -> None:
        self.instructions.publish(String(data=text))


def compressed_message(probe: Probe) -> CompressedImage:
    """Return a new picture as a PNG, stamped now."""
    _, encoded = cv2.imencode('.png', probe.picture())
    message = CompressedImage(format='png', data=array.array('B', encoded.tobytes()))
    message.header.stamp = probe.get_clock().now().to_msg()
    return message


class Rhythm:
    """Sends frames at a rate from within a spin's predicate, so that no test sleeps."""

    def __init__(self, send: Any, period_s: float = 0.03) -> None:
        self._send, self._period_s, self._next_s = send, period_s, 0.0

    def __call__(self) -> None:
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + self._period_s
            self._send()
