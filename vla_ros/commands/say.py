"""vla-ros say."""

from __future__ import annotations

import sys
from typing import Annotated

import tyro


def main(
    instruction: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='INSTRUCTION')],
    timeout_s: float = 5.0,
) -> int:
    """Tell the arm what to do.

    Args:
        instruction: the goal in words, such as "reach the red cube"; "" means stop.
        timeout_s: how long to wait for somebody who listens.
    """
    from vla_ros.ros import operator

    listeners = operator.say(instruction, timeout_s)
    if not listeners:
        print(
            f'nobody listened within {timeout_s:g} s; {operator.START_HINT}',
            file=sys.stderr,
        )
        return 1
    print(f"said '{instruction}'" if instruction.strip() else 'said stop', end=' ')
    print(f'to {listeners} listener{"s" if listeners > 1 else ""}')
    if not instruction.strip():
        print("the arm stays stopped until 'vla-ros rearm' and a new instruction")
    return 0
