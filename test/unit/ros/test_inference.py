"""The inference thread: newest only, forgetting, and errors that end on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from vla_ros.errors import ObservationError
from vla_ros.ros.inference import Inference, InferenceThread
from vla_ros.types import ActionChunk, Observation

DEADLINE_S = 10.0


class StepPolicy:
    """Answers when it is let; fails on the instruction 'fail'."""

    cameras = ('front',)

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.threads: set[int] = set()
        self.seen: list[str] = []
        self.resets = 0

    def reset(self) -> None:
        self.threads.add(threading.get_ident())
        self.resets += 1

    def infer(self, observation: Observation) -> ActionChunk:
        self.threads.add(threading.get_ident())
        self.seen.append(observation.instruction)
        if observation.instruction == 'warm up':
            raise ObservationError('blank image')
        self.begun.release()
        assert self.may_end.acquire(timeout=DEADLINE_S)
        if observation.instruction == 'fail':
            raise RuntimeError('out of memory')
        return ActionChunk(np.zeros((1, 7)), 0.1, note=observation.instruction)


class Bench:
    """The thread, and what came out of it."""

    def __init__(self) -> None:
        self.policy = StepPolicy()
        self.answers: list[Inference] = []
        self.errors: list[Exception] = []
        self.came = threading.Semaphore(0)
        self.thread = InferenceThread(
            self.policy, self.observation('warm up'), lambda: 5, self.answer, self.error
        )
        self.thread.start()

    @staticmethod
    def observation(instruction: str, stamp_ns: int = 1) -> Observation:
        return Observation({}, np.zeros(7), instruction, stamp_ns)

    def answer(self, inference: Inference) -> None:
        self.answers.append(inference)
        self.came.release()

    def error(self, error: Exception) -> None:
        self.errors.append(error)
        self.came.release()

    def begin(self, instruction: str, stamp_ns: int = 1) -> None:
        self.thread.offer(self.observation(instruction, stamp_ns))
        assert self.policy.begun.acquire(timeout=DEADLINE_S)

    def wait(self) -> None:
        self.policy.may_end.release()
        assert self.came.acquire(timeout=DEADLINE_S)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.policy.may_end.release()
    assert bench.thread.stop(DEADLINE_S)


def test_only_the_newest_waiting_observation_is_answered(bench: Bench) -> None:
    bench.begin('first', 11)
    bench.thread.offer(bench.observation('second', 12))
    bench.thread.offer(bench.observation('third', 13))
    bench.wait()
    bench.wait()
    assert [a.chunk.note for a in bench.answers] == ['first', 'third']
    assert [a.chunk.stamp_ns for a in bench.answers] == [11, 13]
    assert bench.policy.seen == ['warm up', 'first', 'third']


def test_one_thread_warms_up_infers_and_resets(bench: Bench) -> None:
    bench.begin('first')
    bench.wait()
    assert bench.policy.threads == {bench.thread.ident}
    assert bench.policy.resets == 1


def test_forgetting_drops_the_answer_that_is_being_computed(bench: Bench) -> None:
    bench.begin('old')
    bench.thread.forget()
    bench.policy.may_end.release()
    bench.begin('new')
    bench.wait()
    assert [a.chunk.note for a in bench.answers] == ['new']
    assert bench.policy.resets == 2


def test_an_exception_is_reported_and_the_thread_lives_on(bench: Bench) -> None:
    bench.begin('fail')
    bench.wait()
    assert [str(e) for e in bench.errors] == ['out of memory']
    assert not bench.answers
    bench.begin('next')
    bench.wait()
    assert len(bench.answers) == 1
