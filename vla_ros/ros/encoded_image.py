"""How large an encoded image says it is, read before anything is decoded.

A file of a few kilobytes may unfold into gigabytes; OpenCV's own bound is 2^30 pixels.
"""

from __future__ import annotations

_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG = b'\xff\xd8'
_FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15: ITU T.81, table B.1
_MAX_SEGMENTS = 500


def encoded_size(content: bytes | memoryview) -> tuple[int, int] | None:
    """Return width and height of a JPEG or PNG image, None if it is neither or damaged."""
    if content[:8] == _PNG:
        if len(content) < 24 or content[12:16] != b'IHDR':
            return None
        return _number(content[16:20]), _number(content[20:24])
    return _jpeg_size(content) if content[:2] == _JPEG else None


def _jpeg_size(content: bytes | memoryview) -> tuple[int, int] | None:
    """Walk from segment to segment to the frame header (ITU T.81, B.1.1 and B.2.2)."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        if at + 9 > len(content) or content[at] != 0xFF:
            return None
        marker = content[at + 1]
        if marker in _FRAME_MARKERS:
            return _number(content[at + 7 : at + 9]), _number(content[at + 5 : at + 7])
        at += 1 if marker == 0xFF else 2 + _number(content[at + 2 : at + 4])  # FF may be repeated
    return None


def _number(content: bytes | memoryview) -> int:
    return int.from_bytes(content, 'big')
