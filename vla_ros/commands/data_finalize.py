"""vla-ros data finalize."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def main(folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='FOLDER')]) -> int:
    """Make a data set of what a killed recording has left; whole episodes are never lost.

    Args:
        folder: what was recorded into, such as datasets/mine.
    """
    from vla_ros.data.writer import finalize

    print(f'{finalize(folder)} episodes in {folder}')
    return 0
