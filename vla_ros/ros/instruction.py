"""What may be said to the arm."""

from __future__ import annotations

import unicodedata

from vla_ros.errors import ObservationError

MAX_BYTES = 512


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
        if unicodedata.category(character) in ('Cc', 'Cs'):  # control, surrogate
            raise ObservationError(
                f'instruction holds the character U+{ord(character):04X}, which cannot be printed'
            )
    return composed
