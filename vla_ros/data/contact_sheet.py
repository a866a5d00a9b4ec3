"""A picture of a data set: a row of frames for each episode, under what was to be done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vla_ros.data.episodes import Episode
from vla_ros.data.reader import Dataset
from vla_ros.errors import DatasetError, check_at_least
from vla_ros.types import ImageArray

TILE_PX = 160  # height of a frame
_CAPTION_PX, _GAP_PX = 24, 4
_DARK, _LIGHT, _GREY = (24, 28, 38), (240, 242, 246), (150, 158, 172)
_FONT = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'


def contact_sheet(
    dataset: Dataset, cameras: Sequence[str], episodes: Sequence[int], frames: int
) -> Image.Image:
    """Draw frames, evenly spaced from the first to the last, of some episodes.

    Args:
        dataset: of which.
        cameras: a row of frames for each.
        episodes: their numbers.
        frames: how many of each episode.

    Raises:
        DatasetError: there are no cameras, or no such episode, or something is damaged.
    """
    check_at_least('frames', frames, 1)
    if not cameras:
        raise DatasetError(f'{dataset.folder} has no cameras; there is nothing to look at')
    blocks = [_block(dataset, cameras, number, frames) for number in episodes]
    width = max(block.shape[1] for block in blocks)
    padded = [np.full((b.shape[0], width, 3), _DARK, np.uint8) for b in blocks]
    for block, out in zip(blocks, padded, strict=True):
        out[:, : block.shape[1]] = block
    sheet = Image.fromarray(np.concatenate(padded))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(str(_FONT), 14)
    top = 0
    for number, block in zip(episodes, blocks, strict=True):
        _caption(draw, font, dataset, dataset.episodes[number], top, width)
        top += block.shape[0]
    return sheet


def spread(count: int, chosen: int) -> list[int]:
    """Return up to `chosen` numbers below `count`, evenly spaced from the first to the last."""
    return sorted(set(np.linspace(0, count - 1, min(chosen, count)).round().astype(int).tolist()))


def _caption(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    dataset: Dataset,
    episode: Episode,
    top: int,
    width: int,
) -> None:
    seconds = f'{episode.length / dataset.spec.fps:.1f} s'
    label = f'{episode.index}  ·  {seconds}  ·  '
    draw.text((_GAP_PX, top + 4), label, _GREY, font)
    left = _GAP_PX + draw.textlength(label, font)
    text = ' | '.join(episode.tasks)
    while text and left + draw.textlength(text, font) > width - _GAP_PX:
        text = f'{text[:-2]}…'
    draw.text((left, top + 4), text, _LIGHT, font)


def _block(dataset: Dataset, cameras: Sequence[str], number: int, frames: int) -> ImageArray:
    """Return the rows of frames of one episode, below room for the caption."""
    rows = []
    for camera in cameras:
        images = dataset.images(camera, number)
        tiles = [_tile(images[k]) for k in spread(len(images), frames)]
        gap = np.full((TILE_PX, _GAP_PX, 3), _DARK, np.uint8)
        rows.append(np.concatenate([part for tile in tiles for part in (gap, tile)], axis=1))
    width = max(row.shape[1] for row in rows)
    block = np.full((_CAPTION_PX + len(rows) * (TILE_PX + _GAP_PX), width, 3), _DARK, np.uint8)
    for k, row in enumerate(rows):
        top = _CAPTION_PX + k * (TILE_PX + _GAP_PX)
        block[top : top + TILE_PX, : row.shape[1]] = row
    return block


def _tile(image: ImageArray) -> ImageArray:
    height, width = image.shape[:2]
    size = (max(1, round(width * TILE_PX / height)), TILE_PX)
    method = cv2.INTER_AREA if height > TILE_PX else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)
