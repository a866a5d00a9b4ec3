"""A short visit to a running graph: one node of our own, its messages and its service calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_ros.errors import VlaRosError
from vla_ros.ros import qos
from vla_ros.ros.bringup import ENCLAVES, OPERATOR, environment

_ENCLAVE = f'{ENCLAVES}/{OPERATOR}'  # counts when ROS security is enabled
_SPIN_S = 0.02
_SERVICE_S = 5.0
_AGAIN_S = 1.0
_LISTENERS = 2  # policy and guard
_SETTLE_S = 2.0

START_HINT = "is the graph running, and on this ROS_DOMAIN_ID? 'vla-ros up' starts it"


@dataclass(frozen=True)
class Status:
    """The last diagnostics of one node: 0 OK, 1 WARN, 2 ERROR."""

    level: int
    message: str
    values: Mapping[str, str]
    received_s: float

    def number(self, key: str) -> float | None:
        """Return a value as a number, None where there is none yet."""
        try:
            return float(self.values[key])
        except (KeyError, ValueError):
            return None


class Session:
    """A node, its executor, and the newest diagnostics of everybody; a context manager."""

    def __init__(self, name: str = 'vla_ros_operator', domain_id: int | None = None) -> None:
        """Join the graph of `domain_id`, or of ROS_DOMAIN_ID."""
        os.environ.update(environment())  # DDS reads it; the same as that of the graph
        self.context = Context()
        self.context.init(args=['--ros-args', '--enclave', _ENCLAVE], domain_id=domain_id)
        self.node = Node(  # a visitor offers no services, and its enclave allows none
            name,
            context=self.context,
            use_global_arguments=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter('start_type_description_service', value=False)],
        )
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.status: dict[str, Status] = {}
        self._clients: dict[str, Client[Any, Any]] = {}
        self.node.create_subscription(
            DiagnosticArray, qos.DIAGNOSTICS_TOPIC, self._on_diagnostics, qos.DIAGNOSTICS
        )
        self._instructions = self.node.create_publisher(
            String, qos.INSTRUCTION_TOPIC, qos.INSTRUCTION
        )

    def __enter__(self) -> Session:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the graph."""
        self.close()

    def close(self) -> None:
        """Leave the graph."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()

    def spin_until(self, holds: Callable[[], object], timeout_s: float) -> bool:
        """Handle messages until `holds()` is true; return whether it became so in time."""
        end = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=_SPIN_S)
        return True

    def spin(self, duration_s: float) -> None:
        """Handle messages for a while."""
        self.spin_until(lambda: False, duration_s)

    def call(
        self,
        service_type: type[Any],
        name: str,
        request: object,
        timeout_s: float = _SERVICE_S,
        *,
        again: bool = False,
    ) -> Any:  # noqa: ANN401  the response type of the service
        """Call a service and return its response.

        A server that has not found its caller yet when it answers waits for 0.1 s, then drops the
        answer (rmw_fastrtps), and a caller cannot know whether it was found. With `again` the
        request is sent once a second until there is an answer: for one that may be carried out
        twice.

        Raises:
            VlaRosError: nobody answers in time.
        """
        if name not in self._clients:
            self._clients[name] = self.node.create_client(service_type, name)
        client = self._clients[name]
        if not self.spin_until(client.service_is_ready, timeout_s):
            raise VlaRosError(f'service {name} is not there; {START_HINT}')
        answers: list[Future[Any]] = []
        deadline_s = time.monotonic() + timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            answers.append(client.call_async(request))
            wait_s = min(_AGAIN_S, left_s) if again else left_s
            if self.spin_until(lambda: any(answer.done() for answer in answers), wait_s):
                return next(answer.result() for answer in answers if answer.done())
        raise VlaRosError(f'service {name} did not answer within {timeout_s:.0f} s')

    def trigger(self, name: str, timeout_s: float = _SERVICE_S) -> str:
        """Call a std_srvs/Trigger service and return its message.

        Raises:
            VlaRosError: nobody answers, or the answer is no.
        """
        response = self.call(Trigger, name, Trigger.Request(), timeout_s, again=True)
        if not response.success:
            raise VlaRosError(f'{name} refused: {response.message}')
        return str(response.message)

    def say(self, instruction: str, timeout_s: float = _SERVICE_S) -> int:
        """Publish an instruction; return how many nodes heard it, 0 when nobody listens.

        Waiting for the acknowledgement would take up to three seconds: that is how often Fast
        DDS asks for it.
        """
        count = self._instructions.get_subscription_count
        if not self.spin_until(count, timeout_s):
            return 0
        if not instruction.strip():  # stop: whoever listens is told at once, then all of them
            self._instructions.publish(String(data=instruction))
        self.spin_until(lambda: count() >= _LISTENERS, _SETTLE_S)  # they are found one by one
        self._instructions.publish(String(data=instruction))
        return count()

    def value(self, node: str, key: str, default: str = '') -> str:
        """Return one key of a node's newest diagnostics."""
        status = self.status.get(node)
        return status.values.get(key, default) if status else default

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.status[status.name] = _status(status)


def _status(status: DiagnosticStatus) -> Status:
    values = {item.key: item.value for item in status.values}
    return Status(status.level[0], status.message, values, time.monotonic())
