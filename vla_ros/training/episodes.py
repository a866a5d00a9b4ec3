"""Recorded reach episodes: what a frame holds, and the shards that frames are stored in.

Each frame is labelled for every object on the table, so that one image trains four instructions.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_ros.errors import ConfigError

EPISODES_PER_SHARD = 25
FORMAT = 1


@dataclass(frozen=True)
class DatasetInfo:
    """What a data set was recorded with; training refuses one that does not fit the arm."""

    task: str
    arm: str
    joints: tuple[str, ...]
    camera: str
    image_width: int
    image_height: int
    chunk_steps: int
    step_s: float
    first_seed: int
    episodes: int
    format: int = FORMAT
    leave_out: tuple[str, ...] = ()

    @property
    def shards(self) -> int:
        """How many files a complete recording has."""
        return math.ceil(self.episodes / EPISODES_PER_SHARD)


@dataclass(frozen=True)
class Frames:
    """N frames; O objects are on the table in each, in the order of `kinds`.

    Attributes:
        images: (N, H, W, 3) uint8 RGB, scaled to what a policy sees.
        joint_positions_rad: (N, 7).
        kinds: (N, O) index into `sim.scene.OBJECT_KINDS`.
        targets_m: (N, O, 3) the points over the objects, base frame.
        pixels: (N, O, 2) where those objects appear, as fractions (x, y) of the image.
        velocities_rad_s: (N, O, K, 7) the expert's chunk for each of the objects.
    """

    images: NDArray[np.uint8]
    joint_positions_rad: NDArray[np.float32]
    kinds: NDArray[np.int64]
    targets_m: NDArray[np.float32]
    pixels: NDArray[np.float32]
    velocities_rad_s: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.images)


def join(parts: Sequence[Frames]) -> Frames:
    """Put frames one behind the other."""
    return Frames(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Frames)))


def shard_path(folder: Path, index: int) -> Path:
    """Return where the shard of that number lies."""
    return folder / f'shard-{index:05d}.npz'


def write_shard(path: Path, frames: Frames) -> None:
    """Write a shard whole or not at all, so that an interrupted recording can go on."""
    partial = path.with_suffix('.partial')
    with partial.open('wb') as file:
        np.savez(file, **{f.name: getattr(frames, f.name) for f in fields(Frames)})
    os.replace(partial, path)


def write_info(folder: Path, info: DatasetInfo) -> None:
    """Write `info.json`."""
    (folder / 'info.json').write_text(json.dumps(asdict(info), indent=2) + '\n', encoding='utf-8')


def read_info(folder: Path) -> DatasetInfo:
    """Read `info.json`.

    Raises:
        ConfigError: no data set there, or one of another format.
    """
    path = folder / 'info.json'
    if not path.is_file():
        raise ConfigError(
            f"no data set in '{folder}'; record one with: vla-ros collect --output {folder}"
        )
    content = json.loads(path.read_text(encoding='utf-8'))
    if content.get('format') != FORMAT:
        raise ConfigError(f'{path}: format {content.get("format")}, this version reads {FORMAT}')
    for name in ('joints', 'leave_out'):
        content[name] = tuple(content.get(name, ()))
    return DatasetInfo(**content)


def read_frames(folder: Path) -> Frames:
    """Read all shards of a data set into memory.

    Raises:
        ConfigError: no shard there, or one that is damaged.
    """
    shards: list[Frames] = []
    for path in sorted(folder.glob('shard-*.npz')):
        try:
            with np.load(path, allow_pickle=False) as arrays:
                shards.append(Frames(**{f.name: arrays[f.name] for f in fields(Frames)}))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ConfigError(f'{path}: damaged ({error}); delete it and collect again') from error
    if not shards:
        raise ConfigError(
            f"no shard in '{folder}'; record with: vla-ros collect --output {folder}"
        )
    return join(shards)
