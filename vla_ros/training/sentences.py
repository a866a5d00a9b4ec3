"""Training sentences as tokens: each object asked for, some refusals, words nobody taught."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from vla_ros.policies.vla.tokenizer import WordTokenizer, pad, words_of
from vla_ros.sim.grammar import (
    NEGATING_WORDS,
    OBJECT_PHRASES,
    SHAPE_WORDS,
    UNKNOWN_COLOURS,
    UNKNOWN_SHAPES,
    sample_instruction,
    sample_refusal,
)
from vla_ros.sim.scene import COLOURS, OBJECT_KINDS, ObjectKind
from vla_ros.training.hues import Named

STRANGE_SENTENCE = 0.6  # share of sentences that get words nobody taught
STRANGE_WORD = 0.35  # share of their words that are exchanged
STRANGE_INSERTIONS = 5


class SentenceSampler:
    """Draws tokenised sentences.

    Words that carry no meaning for the task are exchanged for unknown ones, and unknown ones are
    put in between, so that the model learns to look for the object's name in any sentence.

    Args:
        tokenizer: makes tokens of them.
        length: most tokens of one.
        seed: of everything that is drawn.
        kinds: what may be named. What is in no scene of the data should not, else it would be
            learned to be refused.
    """

    def __init__(
        self,
        tokenizer: WordTokenizer,
        length: int,
        seed: int,
        kinds: Collection[ObjectKind] = OBJECT_KINDS,
    ) -> None:
        self._encode = tokenizer.encode
        self._first_word = tokenizer.first_word
        self._length = length
        self.kinds = tuple(kinds)
        self.generator = np.random.default_rng(seed)
        meaning = [*COLOURS, *UNKNOWN_COLOURS, *UNKNOWN_SHAPES, *NEGATING_WORDS]
        meaning += [word for words in SHAPE_WORDS.values() for word in words]
        meaning += [w for text in OBJECT_PHRASES for w in text.split() if '{' not in w]
        self._meaning = {token for word in meaning for token in tokenizer.encode(word)}

    def positive(self, kind: ObjectKind) -> list[int]:
        """Return the tokens of a sentence that asks for an object kind."""
        return self._strange(sample_instruction(kind, self.generator))

    def refusal(self, present: Collection[ObjectKind]) -> list[int]:
        """Return the tokens of a sentence that none of the object kinds on the table answers."""
        if self.generator.random() < 0.1:
            return self._noise(int(self.generator.integers(1, 9)))
        return self._strange(sample_refusal(tuple(present), self.generator, self.kinds))

    def batch(
        self,
        images: Sequence[Named],
        per_image: int,
        refusals: int,
        like: Sequence[Collection[ObjectKind]] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
        """Draw `per_image` sentences for each of B images.

        Args:
            images: what the objects of each are called.
            per_image: sentences.
            refusals: as many of them ask for what is not there.
            like: what may be taken for being there, if that is more.

        Returns:
            ids and mask, (B * per_image, L), and which object each asks for, (B * per_image,);
            -1 for the last `refusals` of each image.
        """
        rows: list[list[int]] = []
        asked: list[int] = []
        for image, named in enumerate(images):
            known = [k for k, kind in enumerate(named) if kind is not None]
            count = per_image - refusals
            chosen = self.generator.choice(known, count, replace=len(known) < count)
            present = tuple(kind for kind in named if kind is not None)
            rows += [self.positive(kind) for c in chosen if (kind := named[c]) is not None]
            rows += [
                self.refusal(present if like is None else like[image]) for _ in range(refusals)
            ]
            asked += [*chosen.tolist(), *[-1] * refusals]
        return *pad(rows), np.array(asked)

    def _noise(self, count: int) -> list[int]:
        return self.generator.integers(1, self._first_word, count).tolist()

    def _strange(self, sentence: str) -> list[int]:
        tokens = self._encode(' '.join(words_of(sentence)))
        rng = self.generator
        if rng.random() >= STRANGE_SENTENCE:
            return tokens
        tokens = [
            t if t in self._meaning or rng.random() >= STRANGE_WORD else self._noise(1)[0]
            for t in tokens
        ]
        for _ in range(rng.integers(STRANGE_INSERTIONS + 1)):
            place = int(rng.integers(len(tokens) + 1))
            inside = (
                0 < place < len(tokens) and {tokens[place - 1], tokens[place]} <= self._meaning
            )
            if not inside and len(tokens) < self._length:
                tokens[place:place] = self._noise(1)
        return tokens
