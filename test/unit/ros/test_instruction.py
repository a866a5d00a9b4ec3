"""What may be said, and what is refused."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.errors import ObservationError
from vla_ros.ros.instruction import MAX_BYTES, clean_instruction


def test_words_come_back_composed_and_without_spaces_around_them() -> None:
    assert clean_instruction('  reach the cafe\u0301 cup ') == 'reach the café cup'


@pytest.mark.parametrize('text', ['', '   ', '\u00a0'])
def test_nothing_said_is_empty(text: str) -> None:
    assert clean_instruction(text) == ''


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('a' * 513, '513 bytes'),
        ('é' * 257, '514 bytes'),
        ('a' * 1_000_000, '1000000 characters'),
        ('reach\x00', 'U\\+0000'),
        ('reach\nthe cube', 'U\\+000A'),
        ('\x1b[31mred', 'U\\+001B'),
    ],
)
def test_absurd_instructions_are_refused(text: str, says: str) -> None:
    with pytest.raises(ObservationError, match=says):
        clean_instruction(text)


@given(st.text())
def test_what_is_accepted_is_short_composed_and_stays_as_it_is(text: str) -> None:
    try:
        cleaned = clean_instruction(text)
    except ObservationError:
        return
    assert len(cleaned.encode()) <= MAX_BYTES
    assert unicodedata.is_normalized('NFC', cleaned)
    assert clean_instruction(cleaned) == cleaned
