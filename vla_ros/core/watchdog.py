"""Small watchers that are told the time and never read a clock."""

from __future__ import annotations

from collections import deque


class Watchdog:
    """Barks when it was not fed for too long; sleeps until it is fed first."""

    def __init__(self) -> None:
        """Sleep."""
        self._fed_ns: int | None = None

    def feed(self, mono_ns: int) -> None:
        """Wait for the whole time-out again."""
        self._fed_ns = mono_ns

    def sleep(self) -> None:
        """Do not bark until fed again."""
        self._fed_ns = None

    def barks(self, mono_ns: int, timeout_s: float) -> bool:
        """Return whether it was fed more than `timeout_s` ago."""
        return self._fed_ns is not None and mono_ns - self._fed_ns > round(timeout_s * 1e9)


class ClockWatch:
    """Compares the node's clock, which may be set, simulated or paused, with the monotonic one."""

    def __init__(self) -> None:
        """Know nothing of either clock."""
        self._last: tuple[int, int] | None = None
        self._moved_ns = 0

    def check(self, stamp_ns: int, mono_ns: int, jump_s: float) -> str:
        """Return what the node's clock did since the last call, empty when it ran as it should.

        A difference of more than `jump_s` is a jump.
        """
        jump_ns = round(jump_s * 1e9)
        last, self._last = self._last, (stamp_ns, mono_ns)
        if last is None or stamp_ns > last[0]:
            self._moved_ns = mono_ns
        if last is None:
            return ''
        passed_ns, true_ns = stamp_ns - last[0], mono_ns - last[1]
        if passed_ns < 0 or passed_ns - true_ns > jump_ns:
            return f'the clock jumped by {(passed_ns - true_ns) / 1e9:+.3f} s'
        if mono_ns - self._moved_ns > jump_ns:
            return 'the clock stands still'
        return ''


class ShareInWindow:
    """Counts how many of the ticks of the last seconds were bad."""

    def __init__(self, period_s: float) -> None:
        """Count ticks that come every `period_s`."""
        self._period_s = period_s
        self._bad_ns: deque[int] = deque()

    def clear(self) -> None:
        """Forget what was counted."""
        self._bad_ns.clear()

    def too_many(self, bad: bool, mono_ns: int, share: float, window_s: float) -> bool:
        """Count one tick; return whether more than `share` of those in `window_s` were bad."""
        if bad:
            self._bad_ns.append(mono_ns)
        while self._bad_ns and mono_ns - self._bad_ns[0] > round(window_s * 1e9):
            self._bad_ns.popleft()
        return len(self._bad_ns) > share * window_s / self._period_s
