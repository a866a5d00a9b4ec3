"""What a node says about itself five times a second, and the latencies that it has seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

OK = DiagnosticStatus.OK
WARN = DiagnosticStatus.WARN
ERROR = DiagnosticStatus.ERROR

PERCENTILES = (50, 95, 99)
WINDOW = 200


class LatencyWindow:
    """The newest durations of one kind, in milliseconds."""

    def __init__(self, size: int = WINDOW) -> None:
        """Remember `size` durations."""
        self._values_ms: deque[float] = deque(maxlen=size)

    def add_ns(self, duration_ns: int) -> None:
        """Add a duration in nanoseconds."""
        self._values_ms.append(duration_ns / 1e6)

    def __len__(self) -> int:
        """Return how many durations are remembered."""
        return len(self._values_ms)

    def percentiles(self, name: str) -> dict[str, str]:
        """Return `<name>_p50_ms`, `_p95_ms` and `_p99_ms` as text, empty before the first."""
        if not self._values_ms:
            return {f'{name}_p{p}_ms': '' for p in PERCENTILES}
        values = np.percentile(list(self._values_ms), PERCENTILES)
        return {f'{name}_p{p}_ms': f'{v:.2f}' for p, v in zip(PERCENTILES, values, strict=True)}


def status_message(
    name: str, stamp: Time, level: bytes, summary: str, values: Mapping[str, object]
) -> DiagnosticArray:
    """Return the diagnostics of one node: level, one line for people, keys for programs."""
    status = DiagnosticStatus(
        level=level,
        name=name,
        message=summary,
        hardware_id='vla_ros',
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )
    return DiagnosticArray(header=Header(stamp=stamp), status=[status])
