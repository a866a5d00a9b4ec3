"""How people ask for a goal: sentences for training, sentences held out, and what is no goal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from vla_ros.sim import grammar
from vla_ros.sim.grammar import UNKNOWN_COLOURS, UNKNOWN_SHAPES, sample_name, shipped_phrasings
from vla_ros.sim.scene import COLOURS, CONTAINERS, OBJECT_KINDS, ObjectKind
from vla_ros.sim.tasks.goal import DIRECTIONS, Goal

_T = TypeVar('_T')
FAMILIES = ('reach', 'push', 'pick', 'put_in', 'put_next_to')
"""Groups of goals that are asked for in the same words."""
DIRECTION_PHRASES = {
    'left': ('left', 'to the left', 'to your left', 'leftwards'),
    'right': ('right', 'to the right', 'to your right', 'rightwards'),
    'forward': ('forward', 'forwards', 'away from you', 'ahead'),
    'back': ('back', 'backwards', 'towards you', 'towards yourself'),
}
CONTAINER_PHRASES = ('{colour} bowl',) * 4 + ('bowl that is {colour}', '{colour} dish')
UNKNOWN_DIRECTIONS = ('up', 'sideways', 'around', 'somewhere', 'down')
UNKNOWN_CONTAINERS = ('basket', 'drawer', 'bin', 'bag', 'pot')
NEGATIONS = ('do not {rest}', 'dont {rest}', 'never {rest}', 'you must not {rest}')


@dataclass(frozen=True)
class Templates:
    """Phrasings of a family, for training and held out."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]


@cache
def shipped_templates() -> dict[str, Templates]:
    """Return family → phrasings, from `phrasings.yaml`."""
    content = _content()
    reach = shipped_phrasings()
    found = {'reach': Templates(reach.train, reach.held_out)}
    for family in FAMILIES[1:]:
        entry = content[family]
        found[family] = Templates(tuple(entry['train']), tuple(entry['held_out']))
    return found


@cache
def held_out_pairs() -> tuple[str, ...]:
    """Return the objects, by name, that experiments on new combinations leave out of training."""
    return tuple(_content()['held_out_pairs'])


def family_of(goal: Goal) -> str:
    """Return in which words a goal is asked for; one of `FAMILIES`."""
    if goal.task != 'put':
        return goal.task
    return 'put_in' if goal.inside else 'put_next_to'


def sentence(goal: Goal, template: str = '') -> str:
    """Ask for a goal in a phrasing, the first of its family by default, with plain names."""
    template = template or shipped_templates()[family_of(goal)].train[0]
    return _fill(template, goal.object, goal.argument, goal.place)


def sample_sentence(goal: Goal, rng: np.random.Generator, *, held_out: bool = False) -> str:
    """Ask for a goal in one of the many ways that people do; in held-out phrasings if so asked."""
    templates = shipped_templates()[family_of(goal)]
    template = _choice(templates.held_out if held_out else templates.train, rng)
    direction = DIRECTION_PHRASES.get(goal.argument)
    return _fill(
        template,
        sample_name(_kind(goal.object), rng),
        _choice(direction, rng) if direction else '',
        _sample_place(goal, rng),
    )


def sample_task_refusal(
    present: Sequence[ObjectKind],
    containers: Sequence[str],
    rng: np.random.Generator,
    unsaid: Collection[str] = (),
) -> str:
    """Return a training sentence that nothing on the table answers.

    As `grammar.sample_refusal`, and of all tasks: an object, a bowl or another object that is not
    there, one that does not exist, a direction that means nothing, or a negation.

    Args:
        present: objects on the table.
        containers: bowls on it.
        rng: decides everything.
        unsaid: tasks, objects and bowls that are not named: who never asks for them must not
            teach that they are refused.
    """
    family = _choice([f for f in FAMILIES if f.split('_')[0] not in unsaid] or FAMILIES, rng)
    kinds = tuple(kind for kind in OBJECT_KINDS if kind.name not in unsaid) or OBJECT_KINDS
    bowls = [name for name in CONTAINERS if name not in unsaid] or list(CONTAINERS)
    if family == 'reach':
        return grammar.sample_refusal(tuple(present), rng, kinds)
    template = _choice(shipped_templates()[family].train, rng)
    there = [sample_name(kind, rng) for kind in present if kind in kinds]
    there = there or [sample_name(_choice(kinds, rng), rng)]
    named = _choice(there, rng)
    direction = _choice(DIRECTION_PHRASES[_choice(tuple(DIRECTIONS), rng)], rng)
    absent = [kind for kind in kinds if kind not in present]
    missing = [name for name in bowls if name not in containers]
    known = [name for name in containers if name in bowls]
    place = _choice(known or bowls, rng) if family == 'put_in' else _choice(there, rng)
    match rng.integers(4):
        case 0:  # another argument than there is, where there is one
            if family == 'push':
                return _fill(template, named, _choice(UNKNOWN_DIRECTIONS, rng), '')
            if family == 'put_in':
                return _fill(template, named, '', _absent_bowl(missing, rng))
            if family == 'put_next_to':
                return _fill(template, named, '', _absent_object(absent, rng))
            return _fill(template, _absent_object(absent, rng), '', '')
        case 1:
            negated = _fill(template, named, direction, place)
            return _choice(NEGATIONS, rng).format(rest=negated)
        case _:
            return _fill(template, _absent_object(absent, rng), direction, place)


def task_vocabulary() -> list[str]:
    """Return every word that a training sentence of any task can hold, sorted."""
    texts = [text for family in shipped_templates().values() for text in family.train]
    texts += [*NEGATIONS, *CONTAINER_PHRASES]
    texts += [text for phrases in DIRECTION_PHRASES.values() for text in phrases]
    words = {word for text in texts for word in text.split() if '{' not in word}
    words.update(grammar.vocabulary(), UNKNOWN_DIRECTIONS, UNKNOWN_CONTAINERS)
    return sorted(words)


def _content() -> dict[str, Any]:
    path = Path(grammar.__file__).with_name('phrasings.yaml')
    return yaml.safe_load(path.read_text('utf-8'))


def _fill(template: str, name: str, direction: str, place: str) -> str:
    words = {'{object}': name, '{direction}': direction, '{container}': place, '{other}': place}
    for placeholder, word in words.items():
        template = template.replace(placeholder, word)
    return template


def _sample_place(goal: Goal, rng: np.random.Generator) -> str:
    if not goal.place:
        return ''
    if goal.inside:
        return _name_bowl(goal.place, rng)
    return sample_name(_kind(goal.place), rng)


def _name_bowl(name: str, rng: np.random.Generator) -> str:
    return _choice(CONTAINER_PHRASES, rng).format(colour=name.split()[0])


def _absent_bowl(absent: Sequence[str], rng: np.random.Generator) -> str:
    if not absent or rng.random() < 0.3:
        return f'{_choice(tuple(COLOURS), rng)} {_choice(UNKNOWN_CONTAINERS, rng)}'
    return _name_bowl(_choice(absent, rng), rng)


def _absent_object(absent: Sequence[ObjectKind], rng: np.random.Generator) -> str:
    match rng.integers(4 if absent else 2):
        case 0:
            return f'{_choice(UNKNOWN_COLOURS, rng)} {_choice(("cube", "ball", "cylinder"), rng)}'
        case 1:
            return f'{_choice(tuple(COLOURS), rng)} {_choice(UNKNOWN_SHAPES, rng)}'
        case _:
            return sample_name(_choice(absent, rng), rng)


def _kind(name: str) -> ObjectKind:
    return next(kind for kind in OBJECT_KINDS if kind.name == name)


def _choice(options: Sequence[_T], rng: np.random.Generator) -> _T:
    return options[int(rng.integers(len(options)))]
