"""The opening of the gripper: finite, within its range, never faster than it may, never let go."""

from __future__ import annotations

import numpy as np
import pytest
from arm_bench import Bench
from hypothesis import given
from hypothesis import strategies as st
from plant import NASTY

from vla_ros.core.embodiment import load_arm
from vla_ros.core.gripper import Fingers, GripperLimiter
from vla_ros.core.guard import NO_FINGERS, State
from vla_ros.types import ActionChunk

ARM = load_arm('sim')
GRIPPER = ARM.gripper
assert GRIPPER
MOST_M, SPEED_M_S = GRIPPER.opening_max_m, GRIPPER.speed_max_m_s


class GripperBench(Bench):
    """A bench whose arm has fingers, which hold an object when `object_m` is given."""

    def __init__(self, opening_m: float = 0.04) -> None:
        super().__init__(ARM)
        self.opening_m, self.object_m = opening_m, 0.0
        self.heard = True

    def measure(self, **changes) -> None:
        if changes or not self.heard:
            return super().measure(**changes)
        fingers = [self.opening_m / 2] * 2
        names = [*ARM.joints, *GRIPPER.joints]
        return super().measure(names=names, positions=[*self.position.tolist(), *fingers])

    def grip(self, *openings_m: float, speed: float = 0.0, **changes) -> None:
        given = {'stamp_ns': self.stamp_ns, 'step_s': 0.1} | changes
        rows = np.full((len(openings_m), 7), speed)
        chunk = ActionChunk(rows, gripper_openings_m=np.array(openings_m), **given)
        self.guard.on_chunk(chunk, self.stamp_ns, self.mono_ns)

    def openings(self, duration_s: float) -> list[float]:
        """Tick with a gripper that follows; return what was commanded."""
        commanded = []
        for _ in range(round(duration_s * ARM.guard_rate_hz)):
            if (opening_m := self.tick().opening_m) is not None:
                commanded.append(opening_m)
                self.opening_m = max(opening_m, self.object_m)
        return commanded


@pytest.fixture
def bench() -> GripperBench:
    bench = GripperBench().active()
    bench.tick()
    return bench


def test_it_starts_from_the_measured_opening_and_keeps_its_speed(bench: GripperBench) -> None:
    bench.grip(0.0, 0.0)
    commanded = bench.openings(0.1)
    assert commanded[0] == pytest.approx(0.04 - 0.01 * SPEED_M_S)
    assert np.diff(commanded).min() >= -0.01 * SPEED_M_S - 1e-12
    assert commanded[-1] == 0.0


def test_steps_of_a_chunk_are_followed_one_after_the_other(bench: GripperBench) -> None:
    bench.grip(0.08, 0.02)
    commanded = bench.openings(0.2)
    assert max(commanded) == pytest.approx(0.08)
    assert commanded[8] == pytest.approx(0.08)  # the first step lasts 0.1 s
    assert bench.openings(0.1) == []  # past its end nothing is commanded: the gripper stays


def test_a_chunk_without_openings_leaves_the_gripper(bench: GripperBench) -> None:
    bench.chunk(0.2)
    assert bench.openings(0.1) == []
    assert bench.outputs[-1].state is State.MOVING


def test_closing_is_moving_while_the_arm_rests(bench: GripperBench) -> None:
    bench.grip(0.0, 0.0)
    assert bench.tick().state is State.MOVING


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, -0.001, MOST_M + 0.001, 1e308])
def test_an_opening_that_cannot_be_makes_the_whole_chunk_bad(bench: GripperBench, bad) -> None:
    for count in range(3):
        bench.grip(0.0, bad, speed=0.2)
        output = bench.tick()
        assert output.opening_m is None
        assert not output.velocity.any()
        assert output.state is (State.STOP if count == 2 else State.HOLD)
        assert '0 to 0.08 are possible' in output.reason


@pytest.mark.parametrize('nearly', [-1e-7, np.float64(np.float32(0.08))])
def test_what_rounding_costs_is_forgiven_and_not_commanded(bench: GripperBench, nearly) -> None:
    bench.grip(nearly, nearly)
    commanded = bench.openings(0.2)
    assert commanded[-1] == min(max(nearly, 0.0), MOST_M)


def test_openings_in_another_number_than_steps_are_refused(bench: GripperBench) -> None:
    chunk = ActionChunk(np.zeros((3, 7)), 0.1, bench.stamp_ns, gripper_openings_m=np.zeros(2))
    bench.guard.on_chunk(chunk, bench.stamp_ns, bench.mono_ns)
    assert 'shape (2,), not (3,)' in bench.tick().reason


def test_an_arm_without_a_gripper_refuses_openings() -> None:
    bench = Bench(load_arm('fr3')).active()
    bench.tick()
    chunk = ActionChunk(np.zeros((3, 7)), 0.1, bench.stamp_ns, gripper_openings_m=np.zeros(3))
    bench.guard.on_chunk(chunk, bench.stamp_ns, bench.mono_ns)
    output = bench.tick()
    assert output.state is State.HOLD
    assert output.reason == 'chunk refused: it commands a gripper, and the arm has none'


@pytest.mark.parametrize('fault', ['stop', 'silence', 'bad chunk', 'NaN', 'deactivate'])
def test_no_fault_lets_go_of_what_is_held(bench: GripperBench, fault: str) -> None:
    """An object of 3 cm keeps the fingers apart; they press on it until a chunk opens them."""
    bench.object_m = 0.03
    bench.grip(0.01, 0.01, 0.01)
    assert bench.openings(0.1)[-1] == pytest.approx(0.01)
    if fault == 'stop':
        bench.guard.stop('test')
    elif fault == 'bad chunk':
        bench.grip(np.nan)
    elif fault == 'NaN':
        bench.measure(positions=[float('nan')] * 7)
    elif fault == 'deactivate':
        bench.guard.deactivate()
    assert bench.openings(2.0 if fault == 'silence' else 0.5)[10:] == []
    if fault == 'deactivate':
        bench.guard.activate(bench.stamp_ns, bench.mono_ns)
    elif bench.outputs[-1].state is State.STOP:
        bench.rearm()
    assert bench.openings(0.2) == [], 'nothing moves before a chunk says so'
    bench.tick()
    bench.grip(0.01, 0.01)
    assert bench.openings(0.1)[:1] == [pytest.approx(0.01)], 'it would be loosened'
    bench.grip(0.08, 0.08)
    assert bench.openings(0.02)[0] <= bench.object_m + 0.01 * SPEED_M_S + 1e-12


def test_after_rearming_it_opens_from_where_somebody_has_moved_it(bench: GripperBench) -> None:
    bench.grip(0.0, 0.0)
    bench.openings(0.2)
    bench.guard.stop('test')
    bench.opening_m = 0.06  # by hand, or by a new scene
    bench.tick()
    bench.rearm()
    bench.tick()
    bench.grip(0.07, 0.07)
    assert bench.openings(0.02)[0] == pytest.approx(0.06 + 0.01 * SPEED_M_S)


def test_without_states_of_the_fingers_only_a_chunk_for_the_gripper_holds() -> None:
    bench = GripperBench()
    bench.heard = False
    bench.active()
    bench.tick()
    bench.chunk(0.2)
    assert bench.tick().state is State.MOVING
    bench.tick()
    bench.grip(0.0, 0.0, speed=0.2)
    output = bench.tick()
    assert (output.state, output.reason) == (State.HOLD, NO_FINGERS)
    bench.heard = True
    assert bench.tick().opening_m == pytest.approx(0.04 - 0.01 * SPEED_M_S)


def test_fingers_that_fall_silent_later_do_not_matter(bench: GripperBench) -> None:
    bench.grip(*[0.0] * 8)
    bench.tick()
    bench.heard = False
    commanded = bench.openings(0.12)
    assert len(commanded) == 12
    assert commanded[-1] == 0.0


def test_fingers_add_up_and_age_and_stay_within_the_range() -> None:
    fingers = Fingers(GRIPPER)
    assert fingers.opening_m(0, 0.1) is None
    assert fingers.missing(0, 0.1) == list(GRIPPER.joints)
    fingers.update(['other', *GRIPPER.joints], [9.0, 0.01, 0.02], 0, 0)
    assert fingers.opening_m(50_000_000, 0.1) == pytest.approx(0.03)
    assert fingers.opening_m(150_000_000, 0.1) is None
    fingers.update(GRIPPER.joints, [-0.01, -0.01], 0, 0)
    assert fingers.opening_m(0, 0.1) == 0.0
    assert 'is nan' in fingers.update(GRIPPER.joints, [np.nan, 0.0], 0, 0)
    assert fingers.opening_m(0, 0.1) is None


@given(
    st.lists(
        st.tuples(
            st.floats(-1.0, 1.0) | st.sampled_from((5e-324, -5e-324, 1e308, -1e308)),
            st.none() | st.floats(0.0, MOST_M),
            st.floats(0.0, 10.0),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_the_limiter_alone_keeps_range_and_speed(steps) -> None:
    limiter, before_m = GripperLimiter(GRIPPER, 0.01), None
    for wanted_m, measured_m, elapsed_s, begins in steps:
        if begins:
            limiter.begin()
        from_m = {before_m, measured_m} if begins or before_m is None else {before_m}
        opening_m = limiter.step(wanted_m, measured_m, elapsed_s)
        if opening_m is None:
            assert from_m == {None}
            continue
        assert 0.0 <= opening_m <= MOST_M
        reach_m = SPEED_M_S * min(elapsed_s, 0.02) + 1e-12
        assert min(abs(opening_m - m) for m in from_m if m is not None) <= reach_m
        before_m = opening_m


@given(st.integers(0, 2**32 - 1))
def test_whatever_comes_the_opening_keeps_range_and_speed(seed: int) -> None:
    """Chunks, joint states, stops, silence and late ticks, many of them nasty."""
    generator = np.random.default_rng(seed)
    bench = GripperBench(generator.uniform(0.0, MOST_M))
    bench.active()
    before_m, begins, commanded = None, True, 0
    for _ in range(400):
        bench.period_ns = round(1e7 * generator.uniform(0.1, 3.0))
        if generator.random() < 0.3:
            steps = generator.integers(1, 5)
            openings_m = generator.uniform(0.0, MOST_M, steps)
            if generator.random() < 0.2:
                openings_m[generator.integers(steps)] = generator.choice([*NASTY, -0.1, 0.09])
            bench.grip(*openings_m, step_s=float(generator.choice([0.02, 0.1])))
        if generator.random() < 0.05:
            bench.opening_m = generator.choice([*NASTY, 0.0, 0.03, 0.5])
        if generator.random() < 0.02:
            bench.guard.stop('test')
        bench.heard = generator.random() < 0.9
        if bench.guard.reason and generator.random() < 0.3 and bench.guard.at_rest:
            Bench.measure(bench)
            bench.rearm()
            begins = True
        opening_m = bench.tick().opening_m
        if opening_m is None:
            continue
        assert np.isfinite(opening_m)
        assert 0.0 <= opening_m <= MOST_M
        if not begins:
            reach_m = SPEED_M_S * bench.period_ns * 1e-9 + 1e-12
            assert abs(opening_m - before_m) <= reach_m
        before_m, begins, commanded = opening_m, False, commanded + 1
    assert commanded > 20
