"""The emergency stop button: pressed, released, silent, and never heard."""

from __future__ import annotations

import pytest
from arm_bench import Bench

from vla_ros.core.estop import PRESSED
from vla_ros.core.guard import State
from vla_ros.core.guard_config import GuardConfig
from vla_ros.errors import ObservationError

REQUIRED = GuardConfig(estop_required=True)


def press(bench: Bench, pressed: bool) -> None:
    bench.guard.on_estop(pressed, bench.mono_ns)


def at_rest(bench: Bench) -> None:
    while bench.tick().velocity.any():
        pass


def test_pressed_and_released_twenty_times_without_motion_in_between() -> None:
    bench = Bench().active()
    for _ in range(20):
        assert bench.run(0.1, policy=True).velocity.any()
        press(bench, True)
        at_rest(bench)
        bench.outputs.clear()
        bench.run(0.3, policy=True)
        with pytest.raises(ObservationError, match=PRESSED):
            bench.rearm()
        press(bench, False)
        assert bench.run(0.5, policy=True).state is State.STOP
        assert bench.outputs[-1].reason == PRESSED
        assert not any(output.velocity.any() for output in bench.outputs)
        bench.rearm()
        assert bench.run(0.05).state is State.READY  # the chunks of before are gone


def test_pressed_while_inactive_forbids_activation_and_must_be_rearmed() -> None:
    bench = Bench()
    press(bench, True)
    with pytest.raises(ObservationError, match=PRESSED):
        bench.active()
    with pytest.raises(ObservationError, match=PRESSED):
        bench.rearm()
    press(bench, False)
    bench.active()
    assert bench.run(0.2, policy=True).state is State.STOP
    bench.rearm()
    assert bench.run(0.2, policy=True).state is State.MOVING


def test_required_button_must_be_heard_before_activation() -> None:
    bench = Bench(config=REQUIRED)
    with pytest.raises(ObservationError, match=r'e-stop that is required .* for 0\.5 s'):
        bench.active()
    press(bench, False)
    bench.active()


def test_required_button_that_falls_silent_stops() -> None:
    bench = Bench(config=REQUIRED)
    press(bench, False)
    bench.active()
    for _ in range(5):
        assert bench.run(0.4, policy=True).state is State.MOVING
        press(bench, False)
    assert bench.run(0.51, policy=True).state is State.STOP
    assert 'not been heard for 0.5 s' in bench.outputs[-1].reason
    at_rest(bench)
    with pytest.raises(ObservationError, match='not been heard'):
        bench.rearm()
    press(bench, False)
    assert bench.run(0.3, policy=True).state is State.STOP
    bench.rearm()
    assert bench.run(0.2, policy=True).state is State.MOVING


def test_a_button_that_nobody_requires_may_be_silent() -> None:
    bench = Bench().active()
    press(bench, False)
    assert bench.run(5.0, policy=True).state is State.MOVING
