"""Whatever is said in training, and with whatever words around it, means what it is said for."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.policies.vla.tokenizer import words_of
from vla_ros.sim.grammar import UNKNOWN_COLOURS, UNKNOWN_SHAPES
from vla_ros.sim.scene import COLOURS
from vla_ros.sim.tasks.goal import IN, Goal
from vla_ros.sim.tasks.language import (
    UNKNOWN_DIRECTIONS,
    sentence,
    shipped_templates,
    task_vocabulary,
)
from vla_ros.training.speech import NEGATING, PICKING, PUSHING, Speech, every_goal

SIDES = {'left', 'leftwards', 'right', 'rightwards', 'forward', 'forwards', 'back', 'backwards'}
OBJECT = 'red cube'
SHAPES = {'cube', 'block', 'box'}


def said(goal: Goal, times: int = 400) -> list[list[str]]:
    speech = Speech([sentence(goal)], 0)
    return [words_of(speech.say(0)) for _ in range(times)]


def name_at(words: list[str]) -> int:
    return min(i for i, word in enumerate(words) if word == 'red' or word in SHAPES)


@pytest.mark.parametrize('goal', [g for g in every_goal() if g.object == OBJECT][:12], ids=str)
def test_names_are_kept_and_nothing_is_negated(goal: Goal) -> None:
    for words in said(goal, 50):
        assert 'red' in words and SHAPES & set(words)
        assert not NEGATING & set(words) - {'away'}, words


def test_verbs_that_mean_nothing_by_themselves_are_exchanged_and_words_are_added() -> None:
    every = said(Goal('reach', OBJECT, ''))
    known = set(task_vocabulary())
    assert sum(bool(set(words) - known) for words in every) > 100  # words nobody taught
    templates = shipped_templates()['reach'].train
    plain = {' '.join(words_of(text.format(object=OBJECT))) for text in templates}
    assert sum(' '.join(words) in plain for words in every) > 20  # some stay as they are


def test_no_sentence_to_reach_can_be_taken_for_another_task() -> None:
    other = set(COLOURS) - {'red'} | {'bowl', 'dish'}
    shipped = {word for text in shipped_templates()['reach'].train for word in text.split()}
    for words in said(Goal('reach', OBJECT, '')):
        assert not (PICKING | PUSHING) & set(words) - shipped, words
        assert not SIDES & set(words[name_at(words) :]), words
        assert not other & set(words), words


def test_words_of_directions_stand_before_a_name_unless_they_are_meant() -> None:
    every = said(Goal('reach', OBJECT, ''))
    assert sum('towards' in words[: name_at(words)] for words in every) > 5
    for words in said(Goal('push', OBJECT, 'left')):
        assert not {'towards', 'right', 'back'} & set(words), words


def test_what_means_the_task_stays() -> None:
    for words in said(Goal('pick', OBJECT, '')):
        assert PICKING & set(words), words
    for words in said(Goal('push', OBJECT, 'left')):
        assert {'left', 'leftwards'} & set(words) and not {'right', 'back'} & set(words), words
    for words in said(Goal('put', OBJECT, IN + 'blue bowl')):
        assert {'bowl', 'dish'} & set(words), words
        assert words.index('red') < words.index('blue'), words


def test_every_kind_of_refusal_keeps_what_makes_it_one() -> None:
    speech = Speech([], 0)
    present = np.arange(16) < 5
    refused = [set(words_of(speech.refuse(present))) for _ in range(800)]
    for telling in (NEGATING, set(UNKNOWN_COLOURS), set(UNKNOWN_SHAPES), set(UNKNOWN_DIRECTIONS)):
        assert sum(bool(telling & words) for words in refused) > 20, telling


def test_a_sentence_of_the_users_own_is_said_as_it_is() -> None:
    assert Speech(['Fold the towel!'], 0).say(0) == 'Fold the towel!'
