"""The guard as a process of its own: it alone commands the arm, whatever becomes of the policy."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vla_ros.core.embodiment import OUTPUT_MODES, load_arm
from vla_ros.core.guard import Guard, GuardOutput, State
from vla_ros.core.guard_config import GuardConfig
from vla_ros.core.incidents import Incidents
from vla_ros.errors import ConfigError, ObservationError, choose
from vla_ros.ros import diagnostics, qos
from vla_ros.ros.command_output import RESTING_MESSAGES, GripperOutput, make_output
from vla_ros.ros.conversion import chunk_from_message, stamp_to_ns
from vla_ros.ros.joint_inputs import from_the_future
from vla_ros.ros.lifecycle import ManagedNode
from vla_ros.ros.node_main import run_node
from vla_ros.ros.parameters import read_parameters, refuse_unknown_parameters, with_changes

_LEVELS = {
    State.INACTIVE: diagnostics.WARN,
    State.READY: diagnostics.OK,
    State.MOVING: diagnostics.OK,
    State.HOLD: diagnostics.WARN,
    State.STOP: diagnostics.ERROR,
}
LATCHING = (
    "output 'velocity': the controller repeats the last command for ever. Use one that stops by "
    "itself when commands end (a command time-out of 0.1 s or less), or output 'trajectory'"
)
PRIORITY = -10
"""What guard_node adds to its niceness; without the right to (`ulimit -e`) it stays as it is."""
_TICKS = 1000  # of which the percentiles on /diagnostics are


@dataclass(frozen=True)
class GuardNodeConfig:
    """Parameters of guard_node beside those of GuardConfig.

    Attributes:
        arm: name in config/arms or YAML file.
        output: velocity or trajectory; empty takes the arm's own.
        autostart: configure and activate without being told to.
        estop_topic: std_msgs/Bool of an emergency stop button, true while pressed; empty for none.
    """

    arm: str = 'sim'
    output: str = ''
    autostart: bool = False
    estop_topic: str = ''

    def __post_init__(self) -> None:
        """Refuse an output mode that does not exist."""
        if self.output:
            choose('output', self.output, OUTPUT_MODES)


class GuardNode(ManagedNode):
    """Lifecycle node around a Guard: messages in, one command every tick."""

    def __init__(self, **node_arguments: Any) -> None:  # noqa: ANN401  rclpy's own
        """Read the parameters; `node_arguments` are those of `rclpy.lifecycle.LifecycleNode`."""
        super().__init__(
            qos.GUARD_NODE, automatically_declare_parameters_from_overrides=True, **node_arguments
        )
        config = read_parameters(self, GuardNodeConfig)
        guard_config = read_parameters(self, GuardConfig)
        refuse_unknown_parameters(self, GuardNodeConfig, GuardConfig)
        self._estop_topic, self._pressed = config.estop_topic, False
        self._check_estop(guard_config)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._arm = arm = load_arm(config.arm)
        self._mode = config.output or arm.output
        self._guard = Guard(arm, guard_config)
        self._output = make_output(self, arm, self._mode)
        self._gripper = GripperOutput(self, arm.gripper.topic) if arm.gripper else None
        self._period_s = 1.0 / arm.guard_rate_hz
        self._tick_times = diagnostics.LatencyWindow(_TICKS)
        self._periods = diagnostics.LatencyWindow(_TICKS)
        self._incidents = Incidents()
        self._ratio, self._limited = 1.0, 0
        self._last = self._guard.tick(self._now_ns(), time.monotonic_ns())
        self._make_bridge()
        if self._mode == 'velocity':
            self.get_logger().warning(LATCHING)
        if config.autostart:
            self.start_by_itself()

    def _make_bridge(self) -> None:
        self.create_subscription(
            JointState, self._arm.joint_states_topic, self._on_joint_state, qos.SENSOR
        )
        self.create_subscription(JointTrajectory, qos.CHUNK_TOPIC, self._on_chunk, qos.COMMAND)
        self.create_subscription(
            String, qos.INSTRUCTION_TOPIC, self._on_instruction, qos.INSTRUCTION
        )
        if self._estop_topic:
            self._instructions = self.create_publisher(
                String, qos.INSTRUCTION_TOPIC, qos.INSTRUCTION
            )
            self.create_subscription(
                Bool,
                self._estop_topic,
                self._on_estop,
                qos.INSTRUCTION,
                event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_deaf),
            )
        self.create_service(Trigger, qos.STOP_SERVICE, self._on_stop)
        self.create_service(Trigger, qos.REARM_SERVICE, self._on_rearm)
        self._status = self.create_publisher(
            diagnostics.DiagnosticArray, qos.DIAGNOSTICS_TOPIC, qos.DIAGNOSTICS
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(self._period_s, self._on_timer, clock=steady)
        self.create_timer(1 / qos.DIAGNOSTICS_RATE_HZ, self._on_status_timer, clock=steady)

    def activate(self) -> None:
        """Allow the arm to move; raises ObservationError while something it needs is missing."""
        if rival := self._rival():
            raise ObservationError(rival)
        if not self._output.listeners():
            raise ObservationError(f'no controller listens on {self._output.topic}')
        self._guard.activate(self._now_ns(), time.monotonic_ns())

    def deactivate(self) -> None:
        """Brake to rest and say so several times, before the publisher falls silent."""
        self._guard.deactivate()
        rests = 0
        while rests < RESTING_MESSAGES:
            output = self._tick()
            rests = 0 if output.velocity.any() else rests + 1
            time.sleep(self._period_s)

    def _on_timer(self) -> None:
        """One tick; while inactive nothing is published."""
        start_ns = time.perf_counter_ns()
        if self.active:
            self._tick()
            self._tick_times.add_ns(time.perf_counter_ns() - start_ns)
        else:
            mono_ns = time.monotonic_ns()
            self._note(self._guard.tick(self._now_ns(), mono_ns), mono_ns)

    def _tick(self) -> GuardOutput:
        mono_ns = time.monotonic_ns()
        self._guard.on_controller(self._output.listeners() > 0)
        output = self._guard.tick(self._now_ns(), mono_ns)
        self._output.send(output, self._guard.positions(mono_ns))
        if self._gripper:
            self._gripper.send(output)
        self._note(output, mono_ns)
        self._ratio = min(self._ratio, output.ratio)
        self._limited += output.ratio < 1.0
        self._periods.add_ns(round(output.elapsed_s * 1e9))
        return output

    def _note(self, output: GuardOutput, mono_ns: int) -> None:
        self._last = output
        if not self._incidents.note(output, mono_ns):
            return
        if output.state is State.HOLD:
            self.get_logger().warning(f'HOLD: {output.reason}')
        else:
            self.get_logger().error(f'STOP: {output.reason}; re-arm with {qos.REARM_SERVICE}')

    def _on_joint_state(self, message: JointState) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        if problem := from_the_future(stamp_ns, self._now_ns()):
            self.get_logger().error(f'joint state {problem}', throttle_duration_sec=5.0)
            return
        self._guard.on_joint_state(
            list(message.name), message.position, stamp_ns, time.monotonic_ns()
        )

    def _on_chunk(self, message: JointTrajectory) -> None:
        try:
            chunk = chunk_from_message(message, self._arm.joints, self._arm.gripper_joint)
        except ObservationError as error:
            self._guard.on_bad_chunk(str(error))
            return
        self._guard.on_chunk(chunk, self._now_ns(), time.monotonic_ns())

    def _on_instruction(self, message: String) -> None:
        self._guard.on_instruction(message.data)

    def _on_estop(self, message: Bool) -> None:
        """Stop; the empty instruction resets the policy, which then waits for a new one."""
        if message.data and not self._pressed:
            self._instructions.publish(String())
        self._pressed = message.data
        self._guard.on_estop(message.data, time.monotonic_ns())

    def _on_deaf(self, event: object) -> None:
        del event
        self._guard.stop(
            f'the publisher on {self._estop_topic} cannot be heard; it must be reliable'
        )

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        del request
        self._guard.stop(f'{qos.STOP_SERVICE} was called')
        response.success, response.message = True, 'stopped; the arm stays until it is re-armed'
        return response

    def _on_rearm(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        del request
        try:
            if rival := self._rival():
                raise ObservationError(rival)
            self._guard.rearm(self._now_ns(), time.monotonic_ns())
        except ObservationError as error:
            response.success, response.message = False, str(error)
            return response
        response.success = True
        response.message = 're-armed' if self.active else 're-armed; the guard is not active yet'
        return response

    def _rival(self) -> str:
        """Return who else commands the arm or its gripper, empty if nobody."""
        for output in filter(None, (self._output, self._gripper)):
            if (others := self.count_publishers(output.topic) - 1) > 0:
                return f'{others} other publisher(s) on {output.topic}'
        return ''

    def _on_status_timer(self) -> None:
        """Look at who else is on the command topic, then say how things are."""
        if self.active and (rival := self._rival()):
            self._guard.stop(rival)
        now = self.get_clock().now()
        age_s = self._guard.chunk_age_s(now.nanoseconds)
        state = self._last.state
        reason = self._last.reason if self.active else self.problem or self._last.reason
        values = {
            'state': state.value,
            'reason': reason,
            'last_reason': self._incidents.last_reason,
            'holds': self._incidents.holds,
            'stops': self._incidents.stops,
            'limited': self._limited,
            'limit_ratio': f'{self._ratio:.3f}',
            'chunk_age_ms': '' if age_s is None else f'{1000 * age_s:.1f}',
            **self._tick_times.percentiles('tick'),
            **self._periods.percentiles('period'),
            'output': self._mode,
            'warning': LATCHING if self._mode == 'velocity' else '',
            'arm': self._arm.name,
        }
        self._ratio = 1.0
        summary = f'{state.value}: {reason}' if reason else state.value
        message = diagnostics.status_message(
            qos.GUARD_NODE, now.to_msg(), _LEVELS[state], summary, values
        )
        self._status.publish(message)

    def _on_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        """Check all of them, then take all or none: limits only tighten while active."""
        try:
            wanted = with_changes(self._guard.config, parameters)
            self._check_estop(wanted)
            self._guard.adopt(wanted)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _check_estop(self, config: GuardConfig) -> None:
        if config.estop_required and not self._estop_topic:
            raise ConfigError(
                'estop_required is true, but estop_topic is empty; name the std_msgs/Bool topic '
                'on which the button says true while it is pressed'
            )

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds


def main() -> int:
    """Run guard_node as a process, before others where the system allows it."""
    with contextlib.suppress(PermissionError):
        os.nice(PRIORITY)  # before DDS starts its threads, which inherit it
    return run_node(GuardNode)


if __name__ == '__main__':
    sys.exit(main())
