"""Camera images, joint states and an instruction in, action chunks out."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import cv2
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ObservationError, choose
from vla_ros.ros import diagnostics, qos
from vla_ros.ros.conversion import chunk_to_message, image_reader, stamp_to_ns
from vla_ros.ros.depth_inputs import DepthInputs
from vla_ros.ros.inference import Inference, InferenceThread
from vla_ros.ros.inputs import Frames, blank_observation, check_inputs, reads_gripper
from vla_ros.ros.instruction import InstructionRate, clean_instruction
from vla_ros.ros.joint_inputs import JointInputs
from vla_ros.ros.lifecycle import ManagedNode
from vla_ros.ros.memory import reuse_large_blocks
from vla_ros.ros.node_main import run_node
from vla_ros.ros.parameters import read_parameters, refuse_changes, refuse_unknown_parameters
from vla_ros.ros.policy_config import PolicyConfig
from vla_ros.ros.policy_report import PolicyReport
from vla_ros.types import DepthArray, ImageArray, Observation, Policy

_STOP_TIMEOUT_S = 1.0


class PolicyNode(ManagedNode):
    """Serves one policy: newest frame only, one inference thread, no chunk without fresh input."""

    def __init__(self, *, policy: Policy | None = None, **node_arguments: Any) -> None:  # noqa: ANN401 - rclpy's own
        """Read the parameters; `policy` replaces the checkpoint that they name.

        `node_arguments` are those of `rclpy.lifecycle.LifecycleNode`.
        """
        self._worker: InferenceThread | None = None  # a node that is half made is destroyed, too
        self._left_behind: InferenceThread | None = None
        super().__init__(
            qos.POLICY_NODE, automatically_declare_parameters_from_overrides=True, **node_arguments
        )
        self._config = read_parameters(self, PolicyConfig)
        refuse_unknown_parameters(self, PolicyConfig)
        refuse_changes(self)
        self._arm = load_arm(self._config.arm)
        self._given = policy
        self._policy: Policy | None = policy
        self._camera_subscriptions: list[Subscription[Any]] = []
        self._instruction = ''
        self._frames = Frames(())
        self._depths: DepthInputs | None = None
        self._joints = JointInputs(self._arm)
        self._heard = InstructionRate()
        self._report = PolicyReport(self._arm.joints)
        self._chunks = self.create_lifecycle_publisher(
            JointTrajectory, qos.CHUNK_TOPIC, qos.COMMAND
        )
        self._status = self.create_publisher(
            diagnostics.DiagnosticArray, qos.DIAGNOSTICS_TOPIC, qos.DIAGNOSTICS
        )
        self.create_subscription(
            String, qos.INSTRUCTION_TOPIC, self._on_instruction, qos.INSTRUCTION
        )
        self.create_subscription(
            JointState, self._arm.joint_states_topic, self._on_joint_state, qos.SENSOR
        )
        self.create_timer(1 / qos.DIAGNOSTICS_RATE_HZ, self._publish_status)
        if self._config.autostart:
            self.start_by_itself()

    def configure(self) -> None:
        """Load the policy and subscribe to the cameras that it reads."""
        if self._given is None:
            os.environ.setdefault('OMP_NUM_THREADS', str(self._config.threads))  # torch reads it
            from vla_ros.policies.registry import load_policy

            self._policy = load_policy(self._config.policy, self._arm, self._config.device)
        cv2.setNumThreads(self._config.threads)
        assert self._policy is not None
        # A policy that looks at nothing is asked at the rate of the arm's first camera.
        cameras = self._policy.cameras or tuple(self._arm.cameras)[:1]
        self._frames = Frames(cameras)
        for camera in cameras:
            choose(f"camera of arm '{self._arm.name}'", camera, self._arm.cameras)
            topic = self._arm.cameras[camera].topic
            message_type, convert = image_reader(topic)
            callback = functools.partial(self._on_image, camera, convert)
            self._camera_subscriptions.append(
                self.create_subscription(message_type, topic, callback, qos.SENSOR)
            )
        self._depths = DepthInputs(self, self._policy, self._arm, self._now_ns, self._refuse)

    def activate(self) -> None:
        """Start the inference thread, with the initial instruction if there is one.

        Raises:
            ObservationError: what the policy needs does not arrive, or cannot be used.
        """
        assert self._policy is not None
        if self._left_behind and self._left_behind.is_alive():
            raise ObservationError(
                'an inference of before still runs; wait for its end, or restart policy_node'
            )
        mono_ns = time.monotonic_ns()
        check_inputs(self._policy, self._arm, self._frames, self._joints, self._now_ns(), mono_ns)
        self._report = PolicyReport(self._arm.joints)
        self._instruction = clean_instruction(self._config.instruction)
        blank = blank_observation(self._policy, self._arm, self._config.instruction or 'warm up')
        self._worker = InferenceThread(
            self._policy, blank, self._now_ns, self._on_inference, self._on_error
        )
        self._worker.start()

    def deactivate(self) -> None:
        """Stop inferring; the guard brings the arm to rest when no chunk comes."""
        self._instruction = ''
        if self._worker and not self._worker.stop(_STOP_TIMEOUT_S):
            self.get_logger().error('an inference still runs and is left behind')
            self._left_behind = self._worker
        self._worker = None

    def cleanup(self) -> None:
        """Unsubscribe from the cameras and let go of the policy."""
        for subscription in self._camera_subscriptions:
            self.destroy_subscription(subscription)
        self._camera_subscriptions.clear()
        if self._depths:
            self._depths.close()
        self._depths = None
        self._policy = self._given

    def destroy_node(self) -> None:
        """End the inference thread, then destroy the node."""
        if self._worker:
            self._worker.stop(_STOP_TIMEOUT_S)
        super().destroy_node()

    def _on_instruction(self, message: String) -> None:
        self._heard.note(time.monotonic())
        try:
            instruction = clean_instruction(message.data)
        except ObservationError as error:
            self._report.refused = str(error)
            self.get_logger().warning(f'refused: {error}', throttle_duration_sec=1.0)
            return
        self._report.refused = ''
        if not self.active or self._worker is None:
            return
        if not instruction:
            self._report = PolicyReport(self._arm.joints)
            self._worker.forget()
        self._instruction = instruction

    def _on_joint_state(self, message: JointState) -> None:
        if problem := self._joints.update(message, self._now_ns(), time.monotonic_ns()):
            self._refuse(problem)

    def _on_image(
        self,
        camera: str,
        convert: Callable[[Any], ImageArray],
        message: Image | CompressedImage,
    ) -> None:
        try:
            image = convert(message)
        except ObservationError as error:
            self._refuse(f'camera {camera}: {error}')
            return
        self._report.bad_input = ''
        now_ns = self._now_ns()
        reason = self._frames.offer(camera, image, stamp_to_ns(message.header.stamp), now_ns)
        self._report.unusable = f'frame of camera {camera} not used: {reason}' if reason else ''
        if not reason:
            self._report.frame_used()
            self._observe(now_ns)

    def _newest_depths(self) -> Mapping[str, DepthArray]:
        return self._depths.newest() if self._depths else {}

    def _refuse(self, problem: str) -> None:
        self._report.bad_input = problem
        self.get_logger().error(problem, throttle_duration_sec=5.0)

    def _observe(self, now_ns: int) -> None:
        """Hand an observation to the inference thread once every part of it is there."""
        taken, mono_ns = self._frames.take(now_ns), time.monotonic_ns()
        fingers = self._policy is not None and reads_gripper(self._policy)
        joints_missing = self._report.joints_missing = self._joints.missing(
            mono_ns, fingers=fingers
        )
        self._report.depths_missing = self._depths.missing() if self._depths else []
        if self._report.depths_missing:
            return
        if not taken or joints_missing or not self._instruction or self._worker is None:
            return
        images, stamp_ns = taken
        positions, opening_m = self._joints.positions_rad(), self._joints.opening_m(mono_ns)
        self._worker.offer(
            Observation(
                images, positions, self._instruction, stamp_ns, opening_m, self._newest_depths()
            )
        )

    def _on_inference(self, inference: Inference) -> None:
        chunk = inference.chunk
        self._chunks.publish(chunk_to_message(chunk, self._arm.joints, self._arm.gripper_joint))
        self._report.inferred(inference, self._now_ns())

    def _on_error(self, error: Exception) -> None:
        if text := self._report.failed(error):
            self.get_logger().error(text)

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _publish_status(self) -> None:
        report, given = self._report, type(self._given).__name__
        level, summary = report.worst(
            '' if self.active else self.problem or 'inactive',
            self._instruction,
            self._frames.missing(self._now_ns()),
            too_fast=self._heard.too_fast(time.monotonic()),
        )
        values = {
            'instruction': self._instruction,
            'policy': self._config.policy if self._given is None else given,
            'device': getattr(self._policy, 'device', self._config.device),
            **report.values(),
        }
        stamp = self.get_clock().now().to_msg()
        self._status.publish(
            diagnostics.status_message(qos.POLICY_NODE, stamp, level, summary, values)
        )


def main() -> int:
    """Run policy_node as a process."""
    reuse_large_blocks()
    return run_node(PolicyNode)


if __name__ == '__main__':
    sys.exit(main())
