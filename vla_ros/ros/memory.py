"""Keep the memory of images from going back to the system between two frames."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h
_LARGEST_BLOCK, _KEPT = 32 << 20, 256 << 20


def reuse_large_blocks() -> bool:
    """Let malloc serve blocks of up to 32 MiB from memory that was freed before.

    By default glibc maps each large block anew and unmaps it when it is freed, so that every image
    of 640x480 costs hundreds of page faults, several times on its way (docs/measurements.md).

    Returns:
        Whether the C library took it; others than glibc are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK) and mallopt(_M_TRIM_THRESHOLD, _KEPT))
