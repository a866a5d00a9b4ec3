"""What may be said to the arm."""

from __future__ import annotations

import unicodedata
from collections import deque

from vla_ros.errors import ObservationError

MAX_BYTES = 512
MAX_HZ = 5
_UNPRINTABLE = ('Cc', 'Cs', 'Zl', 'Zp')  # control, surrogate, line and paragraph separator


def clean_instruction(text: str) -> str:
    """Return an instruction in Unicode's composed form (NFC), without spaces around it.

    An empty result means stop.

    Raises:
        ObservationError: longer than 512 bytes in UTF-8, or holding control characters.
    """
    if len(text) > 4 * MAX_BYTES:  # do not normalise a megabyte to find out that it is too long
        raise ObservationError(
            f'instruction has {len(text)} characters; {MAX_BYTES} bytes at most'
        )
    composed = unicodedata.normalize('NFC', text).strip()
    size = len(composed.encode('utf-8', errors='replace'))
    if size > MAX_BYTES:
        raise ObservationError(f'instruction has {size} bytes; {MAX_BYTES} at most')
    for character in composed:
        if unicodedata.category(character) in _UNPRINTABLE:
            raise ObservationError(
                f'instruction holds the character U+{ord(character):04X}, which cannot be printed'
            )
    return composed


class InstructionRate:
    """Whether somebody talks too fast. The newest instruction counts all the same."""

    def __init__(self) -> None:
        """Remember as many instructions as may come within a second, and one."""
        self._heard_s: deque[float] = deque(maxlen=MAX_HZ + 1)

    def note(self, now_s: float) -> None:
        """Take note of an instruction that came at `now_s`."""
        self._heard_s.append(now_s)

    def too_fast(self, now_s: float) -> bool:
        """Return whether more than MAX_HZ came within the last second."""
        return len(self._heard_s) > MAX_HZ and now_s - self._heard_s[0] < 1.0
