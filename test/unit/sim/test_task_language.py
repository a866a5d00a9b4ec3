"""Held-out phrasings stay held out, and sentences mean the goal they are drawn for."""

import numpy as np
import pytest

from vla_ros.sim.grammar import SHAPE_WORDS
from vla_ros.sim.scene import CONTAINERS, OBJECT_KINDS
from vla_ros.sim.tasks.goal import DIRECTIONS, Goal
from vla_ros.sim.tasks.language import (
    DIRECTION_PHRASES,
    FAMILIES,
    family_of,
    held_out_pairs,
    sample_sentence,
    sample_task_refusal,
    sentence,
    shipped_templates,
    task_vocabulary,
)

NAMES = [kind.name for kind in OBJECT_KINDS]
EXAMPLES = {
    'reach': Goal('reach', 'red cube'),
    'push': Goal('push', 'red cube', 'left'),
    'pick': Goal('pick', 'red cube'),
    'put_in': Goal('put', 'red cube', 'in blue bowl'),
    'put_next_to': Goal('put', 'red cube', 'next to green ball'),
}
NEEDED = {
    'reach': ['{object}'],
    'push': ['{object}', '{direction}'],
    'pick': ['{object}'],
    'put_in': ['{object}', '{container}'],
    'put_next_to': ['{object}', '{other}'],
}


@pytest.mark.parametrize('family', FAMILIES)
def test_held_out_phrasings_never_appear_in_training(family):
    templates, goal = shipped_templates()[family], EXAMPLES[family]
    assert templates.train and templates.held_out
    for text in (*templates.train, *templates.held_out):
        assert all(text.count(word) == 1 for word in NEEDED[family]), text
    frames = {t.split('{object}')[0] for t in templates.held_out} - {''}
    held_out = {sentence(goal, t) for t in templates.held_out}
    rng = np.random.default_rng(0)
    for _ in range(600):
        trained = sample_sentence(goal, rng)
        assert trained not in held_out
        assert not any(trained.startswith(frame) for frame in frames if len(frame.split()) > 1)


def test_all_families_have_examples_here():
    assert {family: family_of(goal) for family, goal in EXAMPLES.items()} == {
        family: family for family in FAMILIES
    }


def test_sentences_hold_the_words_of_their_goal():
    rng = np.random.default_rng(1)
    for _ in range(300):
        first, other = rng.choice(NAMES, 2, replace=False)
        goals = [
            Goal('push', first, str(rng.choice(list(DIRECTIONS)))),
            Goal('put', first, f'in {rng.choice(CONTAINERS)}'),
            Goal('put', first, f'next to {other}'),
        ]
        for goal in goals:
            text = sample_sentence(goal, rng, held_out=bool(rng.integers(2)))
            assert '{' not in text and '  ' not in text
            colour, shape = goal.object.split()
            assert colour in text and any(word in text for word in SHAPE_WORDS[shape])
            if goal.task == 'push':
                assert any(phrase in text for phrase in DIRECTION_PHRASES[goal.argument])
            else:
                assert goal.place.split()[0] in text


def test_directions_do_not_share_their_phrases():
    phrases = [p for phrases in DIRECTION_PHRASES.values() for p in phrases]
    assert set(DIRECTION_PHRASES) == set(DIRECTIONS) and len(set(phrases)) == len(phrases)


def test_the_vocabulary_holds_every_word_of_training():
    words, rng = set(task_vocabulary()), np.random.default_rng(2)
    for goal in EXAMPLES.values():
        for _ in range(200):
            assert set(sample_sentence(goal, rng).replace(',', '').split()) <= words


def test_refusals_are_answered_by_nothing_on_the_table():
    rng = np.random.default_rng(3)
    present, bowls = OBJECT_KINDS[:4], ['red bowl']
    answered = set()
    for kind in present:
        for _ in range(400):
            for task in (
                Goal('pick', kind.name),
                *(Goal('push', kind.name, d) for d in DIRECTIONS),
            ):
                answered.add(sample_sentence(task, rng))
    for _ in range(1500):
        assert sample_task_refusal(present, bowls, rng) not in answered


def test_held_out_pairs_leave_each_colour_and_each_shape_in_training():
    pairs = held_out_pairs()
    assert len(set(pairs)) == 3 and set(pairs) <= set(NAMES)
    left = [name.split() for name in NAMES if name not in pairs]
    assert {colour for colour, _ in left} == {k.colour for k in OBJECT_KINDS}
    assert {shape for _, shape in left} == {k.shape for k in OBJECT_KINDS}
