"""vla-ros stop."""

from __future__ import annotations


def main() -> int:
    """Stop the arm at once, until `vla-ros rearm`."""
    from vla_ros.ros import operator

    print(operator.stop() or 'stopped')
    return 0
