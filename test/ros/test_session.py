"""Service calls of a visitor whose answers get lost."""

from __future__ import annotations

import threading

import pytest
from rclpy.context import Context
from rclpy.node import Node
from ros_graph import Graph
from std_srvs.srv import Trigger

from vla_ros.errors import VlaRosError
from vla_ros.ros.session import Session

SERVICE = '/vla/stop'


class AnswerLostError(Exception):
    """What ends a service callback without an answer."""


class Forgetful(Node):
    """Does what it is asked to, but the first answers get lost."""

    def __init__(self, context: Context, lost: int) -> None:
        super().__init__('forgetful', context=context)
        self.asked, self._lost = 0, lost
        self.create_service(Trigger, SERVICE, self._on_call)

    def _on_call(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        del request
        self.asked += 1
        if self.asked <= self._lost:
            raise AnswerLostError
        response.success, response.message = True, f'asked {self.asked} times'
        return response


def call(graph: Graph, lost: int, *, again: bool) -> tuple[Forgetful, list[object]]:
    """Return a server and what its caller got: a response, or an error."""
    server = Forgetful(graph.context, lost)
    graph.executor.add_node(server)
    got: list[object] = []

    def ask() -> None:
        with Session(domain_id=graph.context.get_domain_id()) as session:
            try:
                got.append(session.call(Trigger, SERVICE, Trigger.Request(), 1.5, again=again))
            except VlaRosError as error:
                got.append(error)

    caller = threading.Thread(target=ask, daemon=True)
    caller.start()
    while caller.is_alive():
        try:
            graph.spin_until(lambda: not caller.is_alive())
        except AnswerLostError:
            continue
    return server, got


def test_a_request_is_sent_again_when_its_answer_gets_lost(graph: Graph) -> None:
    server, (response,) = call(graph, 1, again=True)
    assert isinstance(response, Trigger.Response), response
    assert response.message == 'asked 2 times'
    assert server.asked == 2


@pytest.mark.parametrize(('again', 'asked'), [(True, 2), (False, 1)])
def test_a_server_that_never_answers_is_named(graph: Graph, again: bool, asked: int) -> None:
    server, (error,) = call(graph, 9, again=again)
    assert isinstance(error, VlaRosError)
    assert f'service {SERVICE} did not answer within' in str(error)
    assert server.asked == asked
