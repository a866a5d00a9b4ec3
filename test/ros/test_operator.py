"""An operator in front of an empty room is told so."""

from __future__ import annotations

import threading
import time

import pytest
from ros_graph import free_domain_id
from std_msgs.msg import String

from vla_ros.commands import rearm, reset, say, stop, watch
from vla_ros.errors import VlaRosError
from vla_ros.ros import operator, qos
from vla_ros.ros.local_graph import local_graph
from vla_ros.ros.session import Session


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', str(free_domain_id()))


def test_say_without_a_listener_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert say.main('reach the red cube', timeout_s=0.3) == 1
    assert 'nobody listened within 0.3 s' in capsys.readouterr().err


def test_stop_is_said_to_the_first_who_listens_at_once() -> None:
    heard: list[float] = []
    with Session('listener') as listener, Session() as session:

        def note(message: String) -> None:
            del message
            heard.append(time.monotonic())

        listener.node.create_subscription(String, qos.INSTRUCTION_TOPIC, note, qos.INSTRUCTION)
        listening = threading.Thread(target=listener.spin_until, args=(lambda: heard, 10.0))
        listening.start()
        assert session.say('') == 1
        said_s = time.monotonic()
        listening.join()
    assert heard[0] < said_s - 1.0  # `say` went on to look for the second one


@pytest.mark.parametrize('text', ['x' * 600, 'reach\x07'])
def test_say_refuses_what_the_policy_would_refuse(text: str) -> None:
    with pytest.raises(VlaRosError, match='instruction'):
        say.main(text)


@pytest.mark.parametrize('service', ['/vla/stop', '/vla/rearm'])
def test_a_service_that_is_not_there_is_named(service: str) -> None:
    with (
        Session() as session,
        pytest.raises(VlaRosError, match=f"service {service} is not there.*'vla-ros up'"),
    ):
        session.trigger(service, timeout_s=0.3)


def test_watch_without_nodes_says_what_to_do() -> None:
    with pytest.raises(VlaRosError, match=r"no node says anything.*'vla-ros up'"):
        operator.watch(lambda _: None, timeout_s=0.3)


def test_a_graph_that_cannot_start_says_why() -> None:
    with pytest.raises(VlaRosError, match="unknown argument 'polcy'"), local_graph({'polcy': 'x'}):
        raise AssertionError('not reached')


def test_commands_have_help_for_each_argument() -> None:
    for command in (say, stop, rearm, reset, watch):
        assert command.main.__doc__
