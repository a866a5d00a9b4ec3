"""Checks of single frames: numbers, stamps, counters and images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from vla_ros.data.episodes import Episode
from vla_ros.data.features import names_tasks
from vla_ros.data.finding import Finding
from vla_ros.types import ImageArray

MAY_BE_UNKNOWN = ('label.points_m', 'label.pixels', 'label.turn_rad')  # NaN says so
FROZEN_FRAMES = 5  # so many equal images in a row are a frozen camera
FROZEN_RAD = 0.05  # while some joint moves by so much
# A codec does not repeat an image to the bit. Levels of 256, on average and in any one pixel: h264
# makes of a still image up to 1.1 and 36; an arm that moves changes one pixel by 75 and more.
CODEC_MEAN, CODEC_MOST = 2.0, 48
_GAP = 1.5  # periods
_CUT = 'leave the episode out, or record it again'


def check_numbers(columns: Mapping[str, np.ndarray], episode: Episode) -> Iterator[Finding]:
    """Yield columns with values that are not finite."""
    for name, values in columns.items():
        if values.dtype.kind != 'f' or name in MAY_BE_UNKNOWN:
            continue
        bad = ~np.isfinite(values.reshape(len(values), -1))
        if bad.any():
            frames = np.flatnonzero(bad.any(axis=1))
            frame = int(frames[0])
            column = int(np.argmax(bad[frame]))
            value = values.reshape(len(values), -1)[frame, column]
            yield Finding(
                'numbers',
                f"'{name}' [{column}] is {value} ({len(frames)} of {len(values)} frames)",
                f'{_CUT}; find what publishes {value}',
                episode.index,
                frame,
            )


def check_stamps(stamps_s: np.ndarray, fps: int, episode: int) -> Iterator[Finding]:
    """Yield the first stamp that repeats, goes back or leaves a gap."""
    steps = np.diff(stamps_s.astype(np.float64))
    period = 1.0 / fps
    kinds = (
        (steps == 0.0, 'the same stamp as the frame before', 'remove the double frame'),
        (steps < 0.0, 'an earlier stamp than the frame before', 'sort the frames by time'),
        (
            (steps > 0.0) & (np.abs(steps - period) > (_GAP - 1.0) * period),
            f'a step that is not the {period:.4g} s of {fps} frames/s',
            'resample the recording at one rate, or correct fps in meta/info.json',
        ),
    )
    for bad, what, remedy in kinds:
        if bad.any():
            frame = int(np.argmax(bad)) + 1
            seconds = f'{stamps_s[frame - 1]:.4f} s, then {stamps_s[frame]:.4f} s'
            found = f'{what}: {seconds} ({int(bad.sum())} frames)'
            yield Finding('stamps', found, remedy, episode, frame)


def check_counts(
    columns: Mapping[str, np.ndarray], episode: Episode, tasks: int
) -> Iterator[Finding]:
    """Yield counters that do not count, and tasks that do not exist."""
    frames = np.arange(episode.length)
    wanted = {
        'frame_index': frames,
        'index': episode.first + frames,
        'episode_index': np.full(episode.length, episode.index),
    }
    for name, right in wanted.items():
        wrong = columns[name] != right
        if wrong.any():
            k = int(np.argmax(wrong))
            yield Finding(
                'counts',
                f"'{name}' is {columns[name][k]}, not {right[k]}",
                'the file was mixed up with that of another data set; copy it again',
                episode.index,
                k,
            )
    for name, values in columns.items():
        if names_tasks(name) and values.dtype.kind in 'iu':
            wrong = ((values < 0) | (values >= tasks)).reshape(len(values), -1)
            if wrong.any():
                k = int(np.argmax(wrong.any(axis=1)))
                task = values.reshape(len(values), -1)[k, int(np.argmax(wrong[k]))]
                yield Finding(
                    'counts',
                    f"'{name}' is {task}, but there are {tasks} tasks",
                    'add the missing task to meta/tasks.parquet',
                    episode.index,
                    k,
                )


def check_images(
    camera: str, images: ImageArray, travelled_rad: np.ndarray, lossless: bool, episode: int
) -> Iterator[Finding]:
    """Yield a camera that stands still while the arm moves, or that sees nothing at all.

    Args:
        camera: its name.
        images: (N, H, W, 3).
        travelled_rad: (N,) how far the arm has moved by each frame, not decreasing.
        lossless: whether equal images are equal to the bit.
        episode: its number.
    """
    flat = images.reshape(len(images), -1)
    empty = flat.max(axis=1) == flat.min(axis=1)
    if empty.any():
        frame = int(np.argmax(empty))
        yield Finding(
            'images',
            f"'{camera}' shows one colour, {images[frame, 0, 0].tolist()} "
            f'({int(empty.sum())} of {len(images)} frames)',
            f'uncover the camera or mend its driver; {_CUT}',
            episode,
            frame,
        )
    starts, ends = _runs(flat, lossless)
    frozen = (ends - starts + 1 >= FROZEN_FRAMES) & (
        travelled_rad[ends] - travelled_rad[starts] > FROZEN_RAD
    )
    if frozen.any():
        first = int(np.argmax(frozen))
        yield Finding(
            'images',
            f"'{camera}' is frozen: {ends[first] - starts[first] + 1} equal images while the arm "
            'moves',
            f'mend the camera or its driver; {_CUT}',
            episode,
            int(starts[first]),
        )


def _runs(flat: np.ndarray, lossless: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return first and last frame of each run of images that show what its first one shows."""
    starts = [0]
    for k in range(1, len(flat)):
        if not _same(flat[starts[-1]], flat[k], lossless):
            starts.append(k)
    return np.array(starts), np.array([*starts[1:], len(flat)]) - 1


def _same(one: np.ndarray, other: np.ndarray, lossless: bool) -> bool:
    if lossless:
        return np.array_equal(one, other)
    off = np.abs(one.astype(np.int16) - other)
    return bool(off.max() <= CODEC_MOST and off.mean() <= CODEC_MEAN)
