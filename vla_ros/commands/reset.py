"""vla-ros reset."""

from __future__ import annotations

from typing import Literal


def main(seed: int = 0, task: Literal['reach', 'push', 'pick', 'put'] = 'reach') -> int:
    """Put the simulated arm at home and objects on the table.

    Args:
        seed: decides which objects, and where.
        task: kind of scene: for reaching four objects, for push, pick and put 3 to 5 objects to
            handle, and bowls among them.
    """
    from vla_ros.ros import operator

    for name, (x, y, _) in operator.reset(seed, task).items():
        print(f'{name:16s} x {x:+.2f} m   y {y:+.2f} m')
    return 0
