"""vla-ros rearm."""

from __future__ import annotations


def main() -> int:
    """Let the arm move again after a stop."""
    from vla_ros.ros import operator

    print(operator.rearm() or 're-armed')
    return 0
