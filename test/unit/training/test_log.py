"""The picture of a training's log: losses, errors, and how often the arm did what was said."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_ros.training.log import Log, draw_log


def picture(folder: Path, reached: list[float] | None) -> NDArray[np.uint8]:
    """Return the picture of a log of three rows, with the share of trials that were met."""
    log = Log(folder / 'log.csv')
    log.keep(0)
    for row in range(3):
        driven = {} if reached is None else {'success_reach': reached[row]}
        log.add({'step': 50 * row, 'action': 1 / (row + 1), 'val_action_rad_s': 0.3, **driven})
    draw_log(folder / 'log.csv', folder / 'log.png')
    return np.asarray(cv2.imread(str(folder / 'log.png')), np.uint8)


def test_how_often_the_arm_did_what_was_said_is_drawn_beside_the_errors(tmp_path: Path) -> None:
    without = picture(tmp_path, None)
    some, more = (picture(tmp_path, [0.0, 0.1, share]) for share in (0.2, 0.9))
    assert some.shape == more.shape == (len(without), without.shape[1] * 3 // 2, 3)
    left = without.shape[1]
    assert (some[:, :left] == more[:, :left]).all()  # losses and errors are the same
    assert (some[:, left:] != more[:, left:]).any()


def test_rows_at_which_nobody_drove_leave_the_curve_alone(tmp_path: Path) -> None:
    once = picture(tmp_path, [math.nan, math.nan, 0.5])
    twice, never = (picture(tmp_path, [math.nan, first, 0.5]) for first in (0.0, math.nan))
    assert (once == never).all() and (once != twice).any()
