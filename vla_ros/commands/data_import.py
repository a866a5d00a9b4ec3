"""vla-ros data import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def main(
    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='SOURCE')],
    output: Path = Path('datasets/imported'),
    fps: int | None = None,
    arm: str | None = None,
    storage: str = 'image',
) -> int:
    """Import episodes that a JSON file describes: image files, instructions and actions.

    The file holds {"fps": 10, "episodes": [{"instruction": "reach the red cube", "steps":
    [{"image": "000.png", "action": [7 joint velocities in rad/s, and 1 opening in m if there is
    a gripper], "joint_positions": [7 in rad, may be left out]}, ...]}, ...]}. A JSONL file
    holds one episode a line. Importing goes on where it was interrupted.

    Args:
        source: the JSON or JSONL file; paths of images count from its folder.
        output: folder of the data set.
        fps: steps a second, where the file does not say.
        arm: name of the arm, for the names and limits of its joints.
        storage: image (PNG, lossless) or video (H.264, small).
    """
    from vla_ros.data.import_json import import_json

    print(f'{import_json(source, output, fps, arm, storage)} episodes in {output}')
    print(f'next: vla-ros data check {output}')
    return 0
