"""What is said in training: each goal in many ways, refusals, words that nobody taught."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_ros.policies.vla.tokenizer import words_of
from vla_ros.sim.scene import CONTAINERS, OBJECT_KINDS
from vla_ros.sim.tasks.goal import DIRECTIONS, IN, NEXT_TO, TASKS, Goal
from vla_ros.sim.tasks.language import sample_sentence, sample_task_refusal, sentence

FILLERS = frozenset(
    ('please', 'can', 'could', 'you', 'i', 'want', 'would', 'like', 'now', 'the', 'a', 'robot',
     'just', 'kindly', 'so', 'then', 'and')
)  # fmt: skip
"""Words that mean nothing here, which may be exchanged for any."""
STRANGE_SENTENCE = 0.5  # share of sentences that get words nobody taught
STRANGE_WORD = 0.35  # share of their fillers that are exchanged
STRANGE_AROUND = 3  # most words that are put before or behind
NONSENSE = 0.1  # share of refusals that are made of such words only
_LETTERS = np.array(list('abcdefghijklmnopqrstuvwxyz'))


class Speech:
    """Says goals, by the sentences that a data set names them with.

    A sentence that names no goal of ours, as in a recording of the user's own, is said as it is.
    """

    def __init__(self, tasks: Sequence[str], seed: int) -> None:
        self._tasks = tasks
        self._goals = {sentence(goal): goal for goal in every_goal()}
        self.generator = np.random.default_rng(seed)

    def say(self, task: int) -> str:
        """Return one of many ways to ask for a task of the data set."""
        text = self._tasks[task]
        goal = self._goals.get(text)
        return self._strange(sample_sentence(goal, self.generator)) if goal else text

    def refuse(self, present_X: NDArray[np.bool_]) -> str:
        """Return a sentence that nothing on the table answers."""
        if self.generator.random() < NONSENSE:
            return ' '.join(self._word() for _ in range(self.generator.integers(1, 9)))
        kinds = len(OBJECT_KINDS)
        objects = [k for k, there in zip(OBJECT_KINDS, present_X[:kinds], strict=True) if there]
        bowls = [c for c, there in zip(CONTAINERS, present_X[kinds:], strict=True) if there]
        return self._strange(sample_task_refusal(objects, bowls, self.generator))

    def _strange(self, text: str) -> str:
        rng = self.generator
        if rng.random() >= STRANGE_SENTENCE:
            return text
        words = [
            self._word() if word in FILLERS and rng.random() < STRANGE_WORD else word
            for word in words_of(text)
        ]
        before, behind = rng.integers(0, STRANGE_AROUND + 1, 2)
        around = [[self._word() for _ in range(count)] for count in (before, behind)]
        return ' '.join([*around[0], *words, *around[1]])

    def _word(self) -> str:
        return ''.join(self.generator.choice(_LETTERS, self.generator.integers(3, 9)))


def every_goal() -> list[Goal]:
    """Return all goals that there can be in any scene."""
    names = [kind.name for kind in OBJECT_KINDS]
    arguments = {
        'reach': [''],
        'pick': [''],
        'push': list(DIRECTIONS),
        'put': [*(IN + bowl for bowl in CONTAINERS), *(NEXT_TO + name for name in names)],
    }
    return [
        Goal(task, name, argument)
        for task in TASKS
        for name in names
        for argument in arguments[task]
        if argument != NEXT_TO + name
    ]
