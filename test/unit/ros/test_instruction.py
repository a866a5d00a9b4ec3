"""What may be said, and what is refused."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.errors import ObservationError
from vla_ros.ros.instruction import MAX_BYTES, MAX_HZ, InstructionRate, clean_instruction


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
        ('reach\u2028the cube', 'U\\+2028'),
        ('reach\ud800', 'U\\+D800'),
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


def test_more_than_five_a_second_is_too_fast() -> None:
    rate = InstructionRate()
    for k in range(20):
        rate.note(1.01 * k / MAX_HZ)
        assert not rate.too_fast(1.01 * k / MAX_HZ)
    for k in range(6):
        rate.note(10.0 + 0.1 * k)
    assert rate.too_fast(10.5)
    assert not rate.too_fast(11.0)
