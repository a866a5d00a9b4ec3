"""Every HOLD and STOP once: counted, its reason kept, and said when it is news."""

from __future__ import annotations

import re

from vla_ros.core.guard_output import GuardOutput, State

QUIET_S = 1.0


class Incidents:
    """Follows the outputs of a guard.

    `/diagnostics` is written less often than a HOLD may last, so the newest reason is kept here.
    """

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self.holds = self.stops = 0
        self.last_reason = ''
        """Of the newest HOLD or STOP, also when it is over."""
        self._state, self._reason = State.INACTIVE, ''
        self._said, self._said_ns = '', 0

    def note(self, output: GuardOutput, mono_ns: int) -> bool:
        """Take over one output; return whether its reason belongs into the log now.

        A STOP always does, once. A HOLD does unless the same one was said within a second; what
        differs in its figures only is the same.
        """
        before = self._state, self._reason
        self._state, self._reason = output.state, output.reason
        if before == (output.state, output.reason):
            return False
        if output.state is State.HOLD and before[0] is not State.HOLD:
            self.holds += 1
        if output.state is State.STOP and before[0] is not State.STOP:
            self.stops += 1
        if not output.reason or output.reason == before[1]:
            return False
        self.last_reason = output.reason
        said = re.sub(r'\d+', '', output.reason)
        quiet = said == self._said and mono_ns - self._said_ns < round(QUIET_S * 1e9)
        if output.state is State.HOLD and quiet:
            return False
        self._said, self._said_ns = said, mono_ns
        return True
