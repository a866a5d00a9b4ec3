"""vla-ros data view."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def main(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='FOLDER')],
    output: Path = Path('contact_sheet.png'),
    episodes: int = 8,
    frames: int = 8,
    first: int | None = None,
    camera: tuple[str, ...] = (),
) -> int:
    """Draw a contact sheet: frames of some episodes, under what was to be done in them.

    Args:
        folder: the data set, such as datasets/mine.
        output: PNG file to write.
        episodes: how many episodes, evenly spaced over the data set.
        frames: how many frames of each, from its first to its last.
        first: number of an episode to begin with; the following ones come next.
        camera: which cameras, such as observation.images.front; all by default.
    """
    from vla_ros.data.contact_sheet import contact_sheet, spread
    from vla_ros.data.reader import open_dataset
    from vla_ros.errors import check_at_least

    check_at_least('episodes', episodes, 1)
    dataset = open_dataset(folder)
    total = len(dataset.episodes)
    chosen = spread(total, episodes)
    if first is not None:
        chosen = list(range(first, max(first + 1, min(first + episodes, total))))
    contact_sheet(dataset, camera or dataset.spec.cameras, chosen, frames).save(output)
    print(f'{len(chosen)} of {total} episodes in {output}')
    return 0
