"""Sentences to token ids: by words for the small encoder, by `transformers` for the others."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import snowballstemmer
from numpy.typing import NDArray

PADDING = 0


class Tokenizer(Protocol):
    """Sentences → token ids and a mask of what is no padding, both (B, L)."""

    def __call__(self, sentences: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Tokenise a batch, padded to its longest sentence."""
        ...


def words_of(sentence: str) -> list[str]:
    """Return lower-case words; apostrophes join ("don't" is dont), other signs separate."""
    text = unicodedata.normalize('NFKC', sentence).lower()
    return re.findall(r'\w+', text.replace("'", '').replace('\u2019', ''))


class WordTokenizer:
    """One id a word, whatever its ending; others share a few ids by their hash.

    "picked" and "picking" are "pick" where the vocabulary knows nothing better (stems: Porter,
    Snowball, 2001); "clearly" is not "clear", which negates. Ids: 0 padding, then the unknown
    words, then the vocabulary.
    """

    def __init__(self, vocabulary: Sequence[str], unknown_words: int, length: int) -> None:
        self.first_word = 1 + unknown_words
        self._ids = {word: self.first_word + i for i, word in enumerate(vocabulary)}
        self._stem: Callable[[str], str] = snowballstemmer.stemmer('english').stemWord
        self._stems = {self._stem(word): word for word in reversed(vocabulary)}
        self._unknown_words = unknown_words
        self._length = length

    def encode(self, sentence: str) -> list[int]:
        """Return the ids of one sentence.

        A sentence that is too long loses its unknown words first: they carry no meaning for the
        model, and the object may be named at the very end.
        """
        ids = [self._id(word) for word in words_of(sentence)]
        excess = len(ids) - self._length
        kept: list[int] = []
        for token in ids:
            if excess > 0 and token < self.first_word:
                excess -= 1
                continue
            kept.append(token)
        return kept[-self._length :]

    def _id(self, word: str) -> int:
        known = self._ids.get(word)
        if known is None and not word.endswith('ly'):
            known = self._ids.get(self._stems.get(self._stem(word), ''))
        return known or 1 + zlib.crc32(word.encode()) % self._unknown_words

    def __call__(self, sentences: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Tokenise a batch, padded to its longest sentence."""
        return pad([self.encode(sentence) for sentence in sentences])


def pad(rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return ids and mask, both (B, L); a row without a token counts one padding as a token."""
    length = max(1, *(len(row) for row in rows)) if rows else 1
    ids = np.full((len(rows), length), PADDING, dtype=np.int64)
    mask = np.zeros((len(rows), length), dtype=np.bool_)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : max(1, len(row))] = True
    return ids, mask
