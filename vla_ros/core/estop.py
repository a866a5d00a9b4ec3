"""An emergency stop button that says again and again whether it is pressed."""

from __future__ import annotations

from vla_ros.core.joint_state import NEVER_NS

PRESSED = 'the e-stop is pressed'


class EStop:
    """Remembers whether the button is pressed, and when it was heard of.

    A button that is required counts as pressed until it is heard, and when it falls silent.
    """

    def __init__(self) -> None:
        """Not pressed, never heard of."""
        self._pressed = False
        self._heard_ns = NEVER_NS

    def hear(self, pressed: bool, mono_ns: int) -> None:
        """Take over what the button says."""
        self._pressed, self._heard_ns = pressed, mono_ns

    def fault(self, mono_ns: int, required: bool, timeout_s: float) -> str:
        """Return why the arm must not move, empty when it may."""
        if self._pressed:
            return PRESSED
        if required and mono_ns - self._heard_ns > round(timeout_s * 1e9):
            return f'the e-stop that is required has not been heard for {timeout_s:g} s'
        return ''
