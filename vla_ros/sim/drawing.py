"""What to say where the simulator cannot draw."""

from __future__ import annotations

import os

PACKAGES = 'libegl1 libopengl0 libgl1-mesa-dri'
"""Debian's packages that bring EGL and a driver that draws on the CPU."""


def cannot_draw() -> str:
    """Return one line on what is wrong and what to type."""
    chosen = os.environ.get('MUJOCO_GL', '')
    if chosen == 'egl':
        return f'the simulator cannot draw here; type: sudo apt install {PACKAGES}'
    return f"the simulator cannot draw with MUJOCO_GL='{chosen}'; unset it (then it is 'egl')"
