"""vla-ros doctor."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vla_ros.commands.json_file import JsonFile, check_json_file, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vla_ros.ros.doctor.check import Check

_SIGNS = {True: ('✓', 'green'), False: ('✗', 'red'), None: ('–', 'dim')}


def main(
    arm: str = 'sim',
    policy: str = 'vla-reach',
    output: str = '',
    seconds: float = 2.0,
    device: str = 'auto',
    json_file: JsonFile = None,
) -> int:
    """Find out what would go wrong: looks at this machine and at the running graph.

    Says what to do for each ✗; a – cannot be told. The exit code is 1 if there is a ✗.

    Args:
        arm: name in config/arms, or a YAML file of your own.
        policy: shipped policy, 'hold', or a checkpoint folder.
        output: velocity or trajectory; empty takes the arm's own.
        seconds: how long to listen to the graph.
        device: auto, cpu or cuda.
        json_file: write the findings to this file as JSON.
    """
    from vla_ros.core.embodiment import load_arm
    from vla_ros.ros.doctor.check import exit_code
    from vla_ros.ros.doctor.examine import examine

    check_json_file(json_file)
    console = Console()
    with console.status('looking at this machine and listening to the graph'):
        checks = examine(load_arm(arm), policy, output, seconds, device)
    console.print(table(checks))
    write_json(json_file, [asdict(check) for check in checks])
    return exit_code(checks)


def table(checks: Sequence[Check]) -> Table:
    """Return the findings as a table, with the remedy below what is not good."""
    shown = Table(show_header=False, box=None, pad_edge=False)
    for check in checks:
        sign, colour = _SIGNS[check.ok]
        found = Text(check.found, 'dim' if check.ok is None else '')
        if check.ok is False:
            found.append(f'\n→ {check.remedy}', 'yellow')
        shown.add_row(Text(sign, colour), Text(check.name, 'bold' if check.fatal else ''), found)
    return shown
