"""Instructions: phrasings with an `{object}` in them, names of objects, and what means nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from vla_ros.errors import ConfigError
from vla_ros.sim.scene import COLOURS, OBJECT_KINDS, SHAPES, ObjectKind

PLACEHOLDER = '{object}'
SHAPE_WORDS = {
    'cube': ('cube', 'block', 'box'),
    'ball': ('ball', 'sphere'),
    'cylinder': ('cylinder', 'tube', 'tin'),
}
OBJECT_PHRASES = ('{colour} {shape}',) * 6 + (
    '{colour} colored {shape}',
    '{shape} that is {colour}',
    '{shape} which is {colour}',
    '{shape} of {colour} color',
)
NEGATIONS = (
    'do not {rest}',
    'dont {rest}',
    'never {rest}',
    'avoid the {object}',
    'stay away from the {object}',
    'do not touch the {object}',
    'not the {object}',
    'keep clear of the {object}',
)
NEGATING_WORDS = ('do', 'not', 'dont', 'never', 'avoid', 'stay', 'away', 'keep', 'clear')
"""What makes negations of them."""
UNKNOWN_COLOURS = ('purple', 'orange', 'black', 'white', 'pink', 'brown', 'grey', 'cyan')
UNKNOWN_SHAPES = ('banana', 'cup', 'apple', 'pyramid', 'bottle', 'book', 'ring', 'cone', 'mug')


@dataclass(frozen=True)
class Phrasings:
    """Phrasings for training, phrasings held out, and the first seed that is held out."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    held_out_first_seed: int


@cache
def shipped_phrasings() -> Phrasings:
    """Read `phrasings.yaml`, the one place of what is trained on and what is held out."""
    content = yaml.safe_load(Path(__file__).with_name('phrasings.yaml').read_text('utf-8'))
    return Phrasings(
        tuple(content['train']), tuple(content['held_out']), int(content['held_out_first_seed'])
    )


def load_phrasings(path: Path) -> tuple[str, ...]:
    """Read a user's phrasings: one template with `{object}` a line; `#` starts a comment.

    Raises:
        ConfigError: no such file, no template in it, or a line without `{object}`.
    """
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"phrasings file '{path}' cannot be read: {error}") from error
    templates = tuple(line.strip() for line in lines if line.strip() and line.strip()[0] != '#')
    if not templates:
        raise ConfigError(f"phrasings file '{path}' holds no template; write one a line")
    for template in templates:
        if PLACEHOLDER not in template:
            raise ConfigError(
                f"{path}: '{template}' has no {PLACEHOLDER}; write it where the "
                'name of the object belongs, as in "go to the {object}"'
            )
    return templates


def vocabulary() -> list[str]:
    """Return every word that a training sentence can hold, sorted."""
    texts = [*shipped_phrasings().train, *NEGATIONS, *OBJECT_PHRASES]
    words = {word for text in texts for word in text.split() if '{' not in word}
    words.update(COLOURS, *SHAPE_WORDS.values(), UNKNOWN_COLOURS, UNKNOWN_SHAPES)
    return sorted(words)


def phrase(template: str, name: str) -> str:
    """Put the name of an object into a phrasing."""
    return template.replace(PLACEHOLDER, name)


def sample_name(kind: ObjectKind, rng: np.random.Generator) -> str:
    """Name an object in one of the many ways that people do."""
    form = OBJECT_PHRASES[rng.integers(len(OBJECT_PHRASES))]
    words = SHAPE_WORDS[kind.shape]
    return form.format(colour=kind.colour, shape=words[rng.integers(len(words))])


def sample_instruction(kind: ObjectKind, rng: np.random.Generator) -> str:
    """Return a training sentence that asks for an object."""
    train = shipped_phrasings().train
    return phrase(train[rng.integers(len(train))], sample_name(kind, rng))


def sample_refusal(
    present: tuple[ObjectKind, ...],
    rng: np.random.Generator,
    kinds: tuple[ObjectKind, ...] = OBJECT_KINDS,
) -> str:
    """Return a training sentence that no object on the table answers.

    An object that is not there, a colour or a shape that does not exist, half a name, a sentence
    about nothing, or a negation. No object but those of `kinds` is named.
    """
    train = shipped_phrasings().train
    template = train[rng.integers(len(train))]
    absent = [kind for kind in kinds if kind not in present]
    present = tuple(kind for kind in present if kind in kinds) or kinds
    match rng.integers(0 if absent else 4, 8):
        case 0 | 1 | 2 | 3:
            return phrase(template, sample_name(absent[rng.integers(len(absent))], rng))
        case 4:
            shape = rng.choice([w for words in SHAPE_WORDS.values() for w in words])
            known = {kind.colour for kind in kinds}
            unknown = [colour for colour in UNKNOWN_COLOURS if colour not in known]
            return phrase(template, f'{rng.choice(unknown)} {shape}')
        case 5:
            return phrase(template, f'{rng.choice([*COLOURS])} {rng.choice(UNKNOWN_SHAPES)}')
        case 6:
            half = rng.choice(['', *COLOURS, *SHAPES])
            return phrase(template, half).strip() or 'hello'
        case _:
            named = present[rng.integers(len(present))]
            name = sample_name(named, rng)
            negation = NEGATIONS[rng.integers(len(NEGATIONS))]
            return negation.format(rest=phrase(template, name), object=name)
