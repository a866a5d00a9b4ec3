"""What is said in training: each goal in many ways, refusals, words that nobody taught."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vla_ros.policies.vla.tokenizer import words_of
from vla_ros.sim.grammar import (
    NEGATING_WORDS,
    OBJECT_PHRASES,
    SHAPE_WORDS,
    UNKNOWN_COLOURS,
    UNKNOWN_SHAPES,
)
from vla_ros.sim.scene import COLOURS, CONTAINERS, OBJECT_KINDS, THINGS
from vla_ros.sim.tasks.goal import DIRECTIONS, IN, NEXT_TO, TASKS, Goal
from vla_ros.sim.tasks.language import (
    CONTAINER_PHRASES,
    DIRECTION_PHRASES,
    UNKNOWN_CONTAINERS,
    UNKNOWN_DIRECTIONS,
    sample_sentence,
    sample_task_refusal,
    sentence,
    task_vocabulary,
)

PICKING = frozenset(('pick', 'lift', 'raise', 'grasp', 'grab', 'take', 'hold', 'up', 'off'))
PUSHING = frozenset(('push', 'shove', 'slide', 'shift', 'nudge'))
NEGATING = frozenset((*NEGATING_WORDS, 'must'))
STRANGE_SENTENCE = 0.6  # share of sentences that get words nobody taught
STRANGE_WORD = 0.35  # share of their words without a meaning that are exchanged
STRANGE_AROUND = 3  # most words that are put before the first name, or behind it
KNOWN_WORD = 0.5  # share of words put in that other sentences know, and mean nothing here
WAY_WORD = 0.6  # before the first name: share of those that tell directions behind it
NONSENSE = 0.1  # share of refusals that are made of such words only
KNOWN = (*TASKS, *THINGS)
"""What goals are made of: tasks, objects, bowls."""
_LETTERS = np.array(list('abcdefghijklmnopqrstuvwxyz'))


class Speech:
    """Says goals, by the sentences that a data set names them with.

    A sentence that names no goal of ours, as in a recording of the user's own, is said as it is.
    What is never asked for is never refused either: else it would be learned to be refused.

    Args:
        tasks: sentences of the data set.
        seed: of everything that is drawn.
        left_out: tasks, objects and bowls that are asked for in none of those that count.
        verbatim: say each task in its own words, for a model that knows no others.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        seed: int,
        left_out: Collection[str] = (),
        *,
        verbatim: bool = False,
    ) -> None:
        self._tasks, self._left_out, self._verbatim = tasks, left_out, verbatim
        self._goals = {sentence(goal): goal for goal in every_goal()}
        asked = [names_of(self._goals[text]) for text in tasks if text in self._goals]
        asked = [names for names in asked if not names & set(left_out)]
        self._unsaid = frozenset(KNOWN).difference(*asked) if asked else frozenset()
        self.generator = np.random.default_rng(seed)

    def sample(self) -> list[str]:
        """Return a sentence for each task, the same ones as long as they are said alike."""
        another = Speech(self._tasks, 0, self._left_out, verbatim=self._verbatim)
        return [another.say(task) for task in range(len(self._tasks))]

    def say(self, task: int) -> str:
        """Return one of many ways to ask for a task of the data set."""
        text = self._tasks[task]
        goal = self._goals.get(text)
        if goal is None or self._verbatim:
            return text
        kept = {'pick': PICKING, 'push': _ways()}.get(goal.task, frozenset())
        return self._strange(sample_sentence(goal, self.generator), kept, goal.task != 'push')

    def refuse(self, present_X: NDArray[np.bool_]) -> str:
        """Return a sentence that nothing on the table answers."""
        if self.generator.random() < NONSENSE:
            return ' '.join(self._word() for _ in range(self.generator.integers(1, 9)))
        kinds = len(OBJECT_KINDS)
        objects = [k for k, there in zip(OBJECT_KINDS, present_X[:kinds], strict=True) if there]
        bowls = [c for c, there in zip(CONTAINERS, present_X[kinds:], strict=True) if there]
        text = sample_task_refusal(objects, bowls, self.generator, self._unsaid)
        return self._strange(
            text, PICKING | PUSHING | _ways(), ways=not PUSHING & set(text.split())
        )

    def _strange(self, text: str, kept: frozenset[str], ways: bool) -> str:
        """Exchange and add words so that the meaning stays, which is in names and `kept` words.

        A verb that nobody taught does not make another task of "... the red cube to the left".

        Args:
            text: what is said.
            kept: words that mean the task.
            ways: whether a direction before the first name means nothing, as in "right above".
        """
        rng = self.generator
        words = words_of(text)
        if rng.random() >= STRANGE_SENTENCE:
            return ' '.join(words)
        kept = kept | _names() | NEGATING
        first = next((i for i, word in enumerate(words) if word in _names()), len(words))
        words = [
            self._idle(ways and i < first)
            if word not in kept and rng.random() < STRANGE_WORD
            else word
            for i, word in enumerate(words)
        ]
        before, behind = rng.integers(0, STRANGE_AROUND + 1, 2)
        for _ in range(before):
            words.insert(int(rng.integers(first + 1)), self._idle(ways, 'is', 'that'))
            first += 1
        return ' '.join([*words, *(self._idle(ways=False) for _ in range(behind))])

    def _idle(self, ways: bool, *besides: str) -> str:
        """Return a word that changes no meaning: strange, or known from other sentences.

        Args:
            ways: whether it may be one of those that tell directions.
            besides: more words that are known and mean nothing where it is put.
        """
        rng = self.generator
        if rng.random() >= KNOWN_WORD:
            return self._word()
        if ways and rng.random() < WAY_WORD:
            return str(rng.choice(sorted(_ways())))
        return str(rng.choice(sorted({*_loose(), *besides})))

    def _word(self) -> str:
        return ''.join(self.generator.choice(_LETTERS, self.generator.integers(3, 9)))


@cache
def _names() -> frozenset[str]:
    """Return the words that names are made of."""
    shapes = [word for words in SHAPE_WORDS.values() for word in words]
    forms = ' '.join((*OBJECT_PHRASES, *CONTAINER_PHRASES)).split()
    named = [word for word in forms if '{' not in word]
    return frozenset(
        (*named, *shapes, *COLOURS, *UNKNOWN_COLOURS, *UNKNOWN_SHAPES, *UNKNOWN_CONTAINERS)
    )


@cache
def _ways() -> frozenset[str]:
    """Return the words that directions are made of, but for those with another meaning."""
    phrases = [text for texts in DIRECTION_PHRASES.values() for text in texts]
    words = {word for text in (*phrases, *UNKNOWN_DIRECTIONS) for word in text.split()}
    return frozenset(words - {'to', 'the', 'you', 'your'} - PICKING - NEGATING)


@cache
def _loose() -> frozenset[str]:
    """Return known words that mean nothing beside a name: no verb of a task, no direction."""
    meaning = _names() | _ways() | PICKING | PUSHING | NEGATING
    return frozenset(task_vocabulary()) - meaning


def names_of(goal: Goal) -> set[str]:
    """Return its task, its object and its place."""
    return {goal.task, goal.object, goal.place} - {''}


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
