"""vla-ros reset."""

from __future__ import annotations


def main(seed: int = 0) -> int:
    """Put the simulated arm at home and four objects on the table.

    Args:
        seed: decides which objects, and where.
    """
    from vla_ros.ros import operator

    for name, (x, y, _) in operator.reset(seed).items():
        print(f'{name:16s} x {x:+.2f} m   y {y:+.2f} m')
    return 0
