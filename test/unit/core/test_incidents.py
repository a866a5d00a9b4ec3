"""Every HOLD and STOP is said once, kept, and does not flood the log."""

from __future__ import annotations

import numpy as np

from vla_ros.core.guard_output import GuardOutput, State
from vla_ros.core.incidents import Incidents

MS = 1_000_000


def output(state: State, reason: str = '') -> GuardOutput:
    return GuardOutput(np.zeros(7), state, reason, 1.0, 0.01)


def test_a_hold_of_one_tick_is_kept_and_said() -> None:
    incidents = Incidents()
    assert not incidents.note(output(State.MOVING), 0)
    assert incidents.note(output(State.HOLD, 'held up'), 10 * MS)
    assert not incidents.note(output(State.MOVING), 20 * MS)
    assert (incidents.holds, incidents.stops, incidents.last_reason) == (1, 0, 'held up')


def test_a_stop_is_said_once_each_time() -> None:
    incidents = Incidents()
    for k in range(3):
        assert incidents.note(output(State.STOP, 'e-stop'), 100 * k * MS)
        for tick in range(5):
            assert not incidents.note(output(State.STOP, 'e-stop'), (100 * k + tick) * MS)
        assert not incidents.note(output(State.READY), (100 * k + 50) * MS)
    assert incidents.stops == 3


def test_a_stop_while_inactive_is_said_then_and_not_again() -> None:
    incidents = Incidents()
    assert incidents.note(output(State.INACTIVE, 'e-stop'), 0)
    assert not incidents.note(output(State.STOP, 'e-stop'), 10 * MS)


def test_holds_that_differ_in_figures_only_are_throttled_and_others_are_not() -> None:
    incidents = Incidents()
    said = 0
    for k in range(200):  # two seconds, a new figure every second tick
        said += incidents.note(output(State.HOLD, f'held up for 0.{k} s'), 20 * k * MS)
        incidents.note(output(State.MOVING), (20 * k + 10) * MS)
    assert said == 4
    assert incidents.holds == 200
    assert incidents.note(output(State.HOLD, 'no chunk'), 4000 * MS)
    assert incidents.note(output(State.HOLD, 'clock jumped'), 4010 * MS)
