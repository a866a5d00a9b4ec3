"""One episode through the running graph: reset, say, record, judge."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Image
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import ObservationError, VlaRosError
from vla_ros.ros import qos
from vla_ros.ros.conversion import image_from_message
from vla_ros.ros.operator import reset_scene
from vla_ros.ros.rollout_record import Rollout, Update
from vla_ros.ros.session import START_HINT, Session
from vla_ros.types import ARM_JOINTS, FloatArray, ImageArray

_UPDATE_S = 0.1
_READY_S = 60.0
_REARM_S = 5.0
_SPEED_WINDOW_S = 0.2
_NEW_SCENE_S = 0.2  # until every camera has seen it

OnFrame = Callable[[str, float, ImageArray], None]
"""Called with camera, seconds since the start of the client, and a view of the image."""


class RosRollout:
    """A client of the running graph, which it drives by topics and services only.

    Args:
        arm: whose controller topics are recorded.
        cameras: names of the cameras whose frames go to `on_frame`.
        on_frame: called for every frame.
        domain_id: domain of the graph, ROS_DOMAIN_ID by default.
    """

    def __init__(
        self,
        arm: Embodiment,
        *,
        cameras: Sequence[str] = (),
        on_frame: OnFrame | None = None,
        domain_id: int | None = None,
    ) -> None:
        self.session = Session('vla_ros_rollout', domain_id)
        self._arm = arm
        self._began = time.monotonic()
        self._on_frame = on_frame
        self._targets_m: dict[str, FloatArray] = {}
        self._tool: deque[tuple[float, FloatArray]] = deque(maxlen=100)
        self._command = np.zeros(ARM_JOINTS)
        self._rollout: Rollout | None = None
        self._subscribe(cameras)

    def _subscribe(self, cameras: Sequence[str]) -> None:
        node = self.session.node
        node.create_subscription(PoseStamped, qos.SIM_TOOL_TOPIC, self._on_tool, qos.SENSOR)
        node.create_subscription(MarkerArray, qos.SIM_OBJECTS_TOPIC, self._on_objects, qos.LATCHED)
        node.create_subscription(
            Float64MultiArray, self._arm.velocity_topic(), self._on_velocity, qos.COMMAND
        )
        node.create_subscription(
            JointTrajectory, self._arm.trajectory_topic(), self._on_trajectory, qos.COMMAND
        )
        for name in cameras:
            topic = self._arm.cameras[name].topic
            node.create_subscription(Image, topic, partial(self._on_image, name), qos.SENSOR)

    def now_s(self) -> float:
        """Return the seconds since this client started."""
        return time.monotonic() - self._began

    def close(self) -> None:
        """Leave the graph; the arm stays where it is."""
        self.session.close()

    def wait_until_ready(
        self,
        timeout_s: float = _READY_S,
        on_wait: Callable[[str], None] | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        """Wait until all three nodes work.

        Args:
            timeout_s: how long.
            on_wait: told what is still missing, whenever that changes.
            check: called all the while; may raise, such as when a process has ended.

        Raises:
            VlaRosError: something is still missing after `timeout_s`.
        """
        missing = ''

        def ready() -> bool:
            nonlocal missing
            if check:
                check()
            if (now_missing := self._missing()) != missing:
                missing = now_missing
                if on_wait:
                    on_wait(missing)
            return not missing

        if not self.session.spin_until(ready, timeout_s):
            raise VlaRosError(f'after {timeout_s:.0f} s {missing}; {START_HINT}')

    def _missing(self) -> str:
        status = self.session.status
        for name in (qos.SIM_NODE, qos.POLICY_NODE, qos.GUARD_NODE):
            if name not in status:
                return f'{name} has not spoken'
        if self.session.value(qos.GUARD_NODE, 'state') == 'inactive':
            return f'{qos.GUARD_NODE}: {status[qos.GUARD_NODE].message}'
        if self.session.value(qos.POLICY_NODE, 'frames', '0') == '0':
            return f'{qos.POLICY_NODE}: {status[qos.POLICY_NODE].message}'
        if not self._targets_m or not self._tool:
            return f'{qos.SIM_NODE} has not shown its scene'
        return ''

    def reset(self, seed: int, task: str = 'reach') -> dict[str, FloatArray]:
        """Stop the arm, put it at home before other objects, re-arm; return object → target point.

        Raises:
            VlaRosError: a node does not answer, or the guard refuses to be re-armed.
        """
        self.halt()
        objects = reset_scene(self.session, seed, task)['objects']
        self._targets_m = {name: np.array(place['target_m']) for name, place in objects.items()}
        self._tool.clear()
        self.session.spin_until(lambda: self._tool, _REARM_S)
        self.session.spin(_NEW_SCENE_S)
        self.rearm()
        return dict(self._targets_m)

    def halt(self) -> None:
        """Stop the arm and take the instruction back, and see to it that both nodes know."""
        self.session.trigger(qos.STOP_SERVICE)
        self.session.say('')
        if not self.session.spin_until(
            lambda: not self.session.value(qos.POLICY_NODE, 'instruction'), _REARM_S
        ):
            raise VlaRosError(f'{qos.POLICY_NODE} does not let go of its instruction')

    def listen(self) -> None:
        """Wait until sim_node and guard_node have said again how things are.

        Raises:
            VlaRosError: one of them is silent.
        """
        nodes, status = (qos.SIM_NODE, qos.GUARD_NODE), self.session.status
        for name in nodes:
            status.pop(name, None)
        if not self.session.spin_until(lambda: all(name in status for name in nodes), _REARM_S):
            silent = ', '.join(name for name in nodes if name not in status)
            raise VlaRosError(f'no diagnostics of {silent} for {_REARM_S:.0f} s; {START_HINT}')

    def limited(self) -> int:
        """Return how many commands the guard has had to limit, as it said last."""
        return int(self.session.value(qos.GUARD_NODE, 'limited'))

    def met(self) -> tuple[str, ...]:
        """Return the sentences of what is met in the scene, as sim_node said last."""
        return tuple(self.session.value(qos.SIM_NODE, 'met').split(', '))

    def rearm(self) -> None:
        """Let the arm move again; a guard that waits for fresh joint states is asked again."""
        end = time.monotonic() + _REARM_S
        while True:
            try:
                self.session.trigger(qos.REARM_SERVICE)
                return
            except VlaRosError:
                if time.monotonic() > end:
                    raise
                self.session.spin(_UPDATE_S)

    def run(
        self,
        instruction: str,
        timeout_s: float,
        on_update: Callable[[Update], bool | None] | None = None,
    ) -> Rollout:
        """Say an instruction and record until the time is up or `on_update` returns True."""
        rollout = self._rollout = Rollout(instruction, self.now_s())
        if not self.session.say(instruction):
            raise VlaRosError(f'nobody listens to {qos.INSTRUCTION_TOPIC}; {START_HINT}')
        start_s = self.now_s()
        while (elapsed_s := self.now_s() - start_s) < timeout_s:
            self.session.spin(min(_UPDATE_S, timeout_s - elapsed_s))
            rollout.updates.append(self._update(self.now_s() - start_s, instruction))
            if on_update and on_update(rollout.updates[-1]):
                break
        rollout.end_s = self.now_s()
        self._rollout = None
        return rollout

    def _update(self, elapsed_s: float, instruction: str) -> Update:
        session = self.session
        guard, policy = session.status.get(qos.GUARD_NODE), session.status.get(qos.POLICY_NODE)
        answered = policy is not None and policy.values.get('instruction') == instruction
        return Update(
            elapsed_s=elapsed_s,
            distances_m=self.distances_m(),
            tool_speed_m_s=self._tool_speed(),
            joint_speed_rad_s=float(np.abs(self._command).max()),
            limit_ratio=guard.number('limit_ratio') if guard else None,
            latency_ms=policy.number('stamp_to_chunk_p50_ms') if policy else None,
            guard_state=guard.values.get('state', '') if guard else '',
            reason=guard.values.get('reason', '') if guard else '',
            confidence=policy.number('confidence') if policy and answered else None,
            note=policy.values.get('note', '') if policy and answered else '',
        )

    def distances_m(self) -> dict[str, float]:
        """Return the distance of the tool from the point over each object."""
        if not self._tool:
            return {}
        tool = self._tool[-1][1]
        return {n: float(np.linalg.norm(tool - p)) for n, p in self._targets_m.items()}

    def _tool_speed(self) -> float:
        """Return the speed of the tool over the last moments, infinite before it is known."""
        if not self._tool:
            return np.inf
        end_s, end = self._tool[-1]
        for time_s, position in reversed(self._tool):
            if end_s - time_s >= _SPEED_WINDOW_S:
                return float(np.linalg.norm(end - position)) / (end_s - time_s)
        return np.inf

    def _on_tool(self, message: PoseStamped) -> None:
        point = message.pose.position
        now_s, position = self.now_s(), np.array([point.x, point.y, point.z])
        self._tool.append((now_s, position))
        if self._rollout:
            self._rollout.tool_times_s.append(now_s)
            self._rollout.tool_positions_m.append(position)

    def _on_objects(self, message: MarkerArray) -> None:
        prefix = qos.TARGET_NAMESPACE
        self._targets_m = {
            marker.ns.removeprefix(prefix): np.array([point.x, point.y, point.z])
            for marker in message.markers
            if marker.ns.startswith(prefix)
            for point in [marker.pose.position]
        }

    def _on_velocity(self, message: Float64MultiArray) -> None:
        self._keep_command(np.array(message.data))

    def _on_trajectory(self, message: JointTrajectory) -> None:
        for point in list(message.points)[:1]:
            self._keep_command(np.array(point.velocities))

    def _keep_command(self, command: FloatArray) -> None:
        if command.shape != (ARM_JOINTS,):
            return
        self._command = command
        if self._rollout:
            self._rollout.command_times_s.append(self.now_s())
            self._rollout.commands_rad_s.append(command)

    def _on_image(self, camera: str, message: Image) -> None:
        if self._on_frame is None:
            return
        try:
            self._on_frame(camera, self.now_s(), image_from_message(message))
        except ObservationError as error:
            self.session.node.get_logger().error(str(error), throttle_duration_sec=5.0)
