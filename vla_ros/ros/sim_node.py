"""The simulated robot behind the topics of a real one: arm, gripper, controllers and cameras.

Physics and joint states run on one thread at 100 Hz, drawing on another: OpenGL works without
the interpreter's lock, so a camera frame does not delay a joint state. Physics is one period
ahead: each tick publishes the state of its instant, then computes that of the next with the
command that is latched, as an arm does that reads its command once a period. A frame of the next
instant is drawn meanwhile; a real camera draws nothing.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Header
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ObservationError
from vla_ros.ros import diagnostics, qos
from vla_ros.ros.conversion import NANOSECONDS, joint_state_to_message, ns_to_stamp, stamp_to_ns
from vla_ros.ros.memory import reuse_large_blocks
from vla_ros.ros.node_main import run_node
from vla_ros.ros.parameters import read_parameters, refuse_unknown_parameters
from vla_ros.ros.scene_messages import pose_at, scene_json, scene_markers
from vla_ros.ros.sim_cameras import SimCameras
from vla_ros.ros.sim_config import SimConfig, why_not
from vla_ros.ros.trajectory_player import TrajectoryPlayer
from vla_ros.sim.tasks.goals import goals, start_of, succeeded
from vla_ros.sim.tasks.language import sentence
from vla_ros.sim.world import World
from vla_ros.types import ARM_JOINTS, FloatArray

PERIOD_S = 0.01
_PERIOD_NS = 10_000_000
_BACKLOG_S = 0.1  # later than this, simulated time is given up instead of caught up with
_RATE_WINDOW_S = 2.0
_SLOW = 0.95


class SimNode(Node):
    """One MuJoCo world behind the topics of an arm's driver, controllers and cameras."""

    def __init__(self, **node_arguments: Any) -> None:  # noqa: ANN401 - rclpy's own
        """Build the world and start it; `node_arguments` are those of `rclpy.node.Node`."""
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []  # a node that is half made is destroyed, too
        super().__init__(
            qos.SIM_NODE, automatically_declare_parameters_from_overrides=True, **node_arguments
        )
        self._config = read_parameters(self, SimConfig)
        refuse_unknown_parameters(self, SimConfig)
        self._arm = load_arm(self._config.arm)
        cameras = self._config.cameras(self._arm)
        sizes = {name: (camera.width, camera.height) for name, camera in cameras.items()}
        self._world = World(self._arm, camera_sizes=sizes)
        self._reset_world(self._config.seed, self._config.task)

        self.changing = threading.Lock()
        self._latched = np.zeros(ARM_JOINTS)
        self._player = TrajectoryPlayer(self._arm.joints, self._arm.velocity_max_rad_s)
        self._time_ns = 0
        self.instant = self.now_ns(), time.monotonic()
        self._step_ms = 0.0
        self._progress: deque[tuple[float, int]] = deque()
        self._failure: BaseException | None = None
        self._make_bridge()
        self._cameras = SimCameras(self, self._world, self, cameras, self._stopping)
        physics = threading.Thread(target=self._run_physics, name='physics', daemon=True)
        self._threads = [physics, self._cameras]
        for thread in self._threads:
            thread.start()

    def destroy_node(self) -> None:
        """Stop both threads, then destroy the node."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        super().destroy_node()

    def _make_bridge(self) -> None:
        arm = self._arm
        self._joint_states = self.create_publisher(JointState, arm.joint_states_topic, qos.SENSOR)
        self._tool = self.create_publisher(PoseStamped, qos.SIM_TOOL_TOPIC, qos.SENSOR)
        self._objects = self.create_publisher(MarkerArray, qos.SIM_OBJECTS_TOPIC, qos.LATCHED)
        self._status = self.create_publisher(
            diagnostics.DiagnosticArray, qos.DIAGNOSTICS_TOPIC, qos.DIAGNOSTICS
        )
        self._clock_topic = (
            self.create_publisher(Clock, qos.CLOCK_TOPIC, qos.SENSOR)
            if self._config.publish_clock
            else None
        )
        self.create_subscription(
            Float64MultiArray, arm.velocity_topic(), self._on_velocity, qos.COMMAND
        )
        self.create_subscription(
            JointTrajectory, arm.trajectory_topic(), self._on_trajectory, qos.COMMAND
        )
        if arm.gripper:
            self.create_subscription(
                Float64MultiArray, arm.gripper.topic, self._on_gripper, qos.COMMAND
            )
        self.create_service(Trigger, qos.SIM_RESET_SERVICE, self._on_reset)
        self.add_on_set_parameters_callback(self._on_parameters)
        self.create_timer(1 / qos.DIAGNOSTICS_RATE_HZ, self._publish_status)
        self.create_timer(1.0, self._publish_objects)
        self._publish_objects()

    def now_ns(self) -> int:
        """Return the time that messages are stamped with: the node's, or simulated time."""
        return self._time_ns if self._config.publish_clock else self.get_clock().now().nanoseconds

    def _on_velocity(self, message: Float64MultiArray) -> None:
        """Latch a command as forward_command_controller does: until the next one, for ever."""
        command = np.asarray(message.data, np.float64)
        if command.shape != (ARM_JOINTS,) or not np.isfinite(command).all():
            self.get_logger().error(
                f'velocity command {command.tolist()[:16]} dropped: {ARM_JOINTS} finite numbers '
                'are needed (said once)',
                once=True,
            )
            return
        with self.changing:
            self._player.clear()
            self._latched = command

    def _on_trajectory(self, message: JointTrajectory) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        with self.changing:
            now_s = self._time_ns / NANOSECONDS
            start_s = now_s + (stamp_ns - self.now_ns()) / NANOSECONDS if stamp_ns else now_s
            try:
                self._player.start(
                    message,
                    start_s,
                    now_s,
                    self._world.joint_positions_rad,
                    self._world.joint_velocities_rad_s,
                )
            except ObservationError as error:
                self.get_logger().error(f'trajectory dropped: {error}', throttle_duration_sec=5.0)

    def _on_gripper(self, message: Float64MultiArray) -> None:
        opening = np.asarray(message.data, np.float64)
        if opening.shape != (1,) or not np.isfinite(opening).all():
            self.get_logger().error('gripper command dropped: 1 finite number needed', once=True)
            return
        with self.changing:
            self._world.command_gripper(float(opening[0]))

    def _on_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        for parameter in parameters:
            if reason := why_not(parameter.name, parameter.value):
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        seed, task = (self.get_parameter(name).value for name in ('seed', 'task'))
        with self.changing:
            self._player.clear()
            self._latched = np.zeros(ARM_JOINTS)
            self._reset_world(seed, task)
            response.message = scene_json(self._world, seed, task)
        self._publish_objects()
        response.success = True
        return response

    def _reset_world(self, seed: int, task: str) -> None:
        self._world.reset(seed, task)
        self._seed, self._task = seed, task
        self._goals, self._start = goals(self._world), start_of(self._world)

    def _met(self) -> str:
        """Return the goals that made sense after the last reset and are met now, as sentences."""
        with self.changing:
            world, start = self._world, self._start
            return ', '.join(sentence(g) for g in self._goals if succeeded(world, g, start))

    def _run_physics(self) -> None:
        try:
            self._cameras.warm.wait()  # else the first joint states would be followed by a gap
            deadline = time.monotonic()
            while not self._stopping.is_set():
                self._tick()
                deadline += PERIOD_S
                delay = deadline - time.monotonic()
                if delay > 0:
                    time.sleep(delay)
                elif delay < -_BACKLOG_S:
                    deadline = time.monotonic()
        except BaseException as error:
            self._failure = error

    def _tick(self) -> None:
        with self.changing:
            stamp = ns_to_stamp(self.now_ns())
            positions, velocities = self._measured()
            tool = self._world.tool_position_m
        if self._clock_topic:
            self._clock_topic.publish(Clock(clock=stamp))
        joints = self._arm.joints + (self._arm.gripper.joints if self._arm.gripper else ())
        self._joint_states.publish(joint_state_to_message(joints, positions, velocities, stamp))
        header = Header(stamp=stamp, frame_id=qos.BASE_FRAME)
        self._tool.publish(PoseStamped(header=header, pose=pose_at(tool)))
        self._step()
        self._cameras.on_step()

    def _step(self) -> None:
        """Compute the state at the end of this period, which begins now."""
        start_s = time.monotonic()
        with self.changing:
            self.instant = self.now_ns() + _PERIOD_NS, start_s + PERIOD_S
            self._world.command_velocity(self._command())
            self._world.step(PERIOD_S)
            self._time_ns += _PERIOD_NS
        self._step_ms = (time.monotonic() - start_s) * 1e3

    def _command(self) -> FloatArray:
        if not self._player.active:
            return self._latched
        return self._player.velocity(
            self._time_ns / NANOSECONDS + PERIOD_S, self._world.joint_positions_rad
        )

    def _measured(self) -> tuple[FloatArray, FloatArray]:
        """Return positions and velocities of the arm's joints, then of the fingers if any."""
        positions, velocities = (
            self._world.joint_positions_rad,
            self._world.joint_velocities_rad_s,
        )
        if self._arm.gripper is None:
            return positions, velocities
        fingers = len(self._arm.gripper.joints)
        finger_m = self._world.gripper_opening_m / fingers
        return (
            np.concatenate([positions, np.full(fingers, finger_m)]),
            np.concatenate([velocities, np.zeros(fingers)]),
        )

    def _publish_objects(self) -> None:
        with self.changing:
            markers = scene_markers(self._world, ns_to_stamp(self.now_ns()))
        self._objects.publish(markers)

    def _publish_status(self) -> None:
        if failure := self._failure or self._cameras.failure:
            raise failure
        factor = self._real_time_factor()
        slow = factor < _SLOW
        values = {
            'real_time_factor': f'{factor:.3f}',
            'seed': self._seed,
            'task': self._task,
            'met': self._met(),
            'render_ms': f'{self._cameras.render_ms:.2f}',
            'physics': f'{self._step_ms:.2f} ms for {PERIOD_S * 1e3:.0f} ms',
            'arm': self._arm.name,
        }
        summary = 'slower than real time: close other programs' if slow else 'in real time'
        level = diagnostics.WARN if slow else diagnostics.OK
        self._status.publish(
            diagnostics.status_message(
                qos.SIM_NODE, ns_to_stamp(self.now_ns()), level, summary, values
            )
        )

    def _real_time_factor(self) -> float:
        """Return simulated over real time in the last two seconds."""
        now_s = time.monotonic()
        self._progress.append((now_s, self._time_ns))
        while now_s - self._progress[0][0] > _RATE_WINDOW_S:
            self._progress.popleft()
        then_s, then_ns = self._progress[0]
        if now_s - then_s < _RATE_WINDOW_S / 4:
            return 1.0
        return (self._time_ns - then_ns) / NANOSECONDS / (now_s - then_s)


def main() -> int:
    """Run sim_node as a process."""
    reuse_large_blocks()
    return run_node(SimNode)


if __name__ == '__main__':
    sys.exit(main())
