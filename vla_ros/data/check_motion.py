"""Checks of joints: units, limits, and whether the arm did what the actions say."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.data.finding import Finding
from vla_ros.types import ARM_JOINTS

OPENING_SLACK = 0.25  # fingers give when they are pushed
TOLERANCE = 1.05  # of a limit: measured values overshoot a little
MISMATCH = 0.5  # of the sum of squares that do not agree; noise as large as the motion gives 1/3
_MOVING_RAD = 1e-3  # a frame
_OFTEN = 0.2  # a share of frames; degrees are beyond limits in radians all the time
_DEGREES = 'multiply by pi/180: positions are in rad, velocities in rad/s'


def travelled_rad(
    state: np.ndarray | None, action: np.ndarray | None, length: int, fps: int
) -> np.ndarray:
    """Return (N,) how far the joint that moves most has moved by each frame."""
    if state is not None and state.ndim == 2:
        steps = np.abs(np.diff(state[:, :ARM_JOINTS], axis=0)).max(axis=1, initial=0.0)
    elif action is not None and action.ndim == 2:
        steps = np.abs(action[:-1, :ARM_JOINTS]).max(axis=1, initial=0.0) / fps
    else:
        steps = np.ones(length - 1)
    return np.concatenate([[0.0], np.cumsum(np.nan_to_num(steps))])


def check_units(
    state: np.ndarray | None, action: np.ndarray | None, arm: Embodiment, episode: int
) -> Iterator[Finding]:
    """Yield joints beyond the limits of an arm, which degrees would explain, or nothing.

    Args:
        state: (N, 7 or more), joint positions first, in rad; None where there is none.
        action: (N, 7 or 8), joint velocities in rad/s and the gripper's opening in m.
        arm: whose limits apply.
        episode: its number.
    """
    columns = (
        (state, 'observation.state', 'rad', arm.position_min_rad, arm.position_max_rad),
        (action, 'action', 'rad/s', -arm.velocity_max_rad_s, arm.velocity_max_rad_s),
    )
    for values, name, unit, low, high in columns:
        if values is None or values.ndim != 2 or values.shape[1] < ARM_JOINTS:
            continue
        joints = values[:, :ARM_JOINTS].astype(np.float64)
        slack = (TOLERANCE - 1.0) * np.where(np.isfinite(high - low), high - low, 0.0)
        over = (joints < low - slack) | (joints > high + slack)
        if over.any():
            frame, joint = (int(k) for k in np.argwhere(over)[0])
            limits = f'{low[joint]:.3g} to {high[joint]:.3g} {unit}'
            scaled = np.radians(joints)
            fits = not ((scaled < low - slack) | (scaled > high + slack)).any()
            degrees = fits and bool(over.any(axis=1).mean() > _OFTEN)
            yield Finding(
                'units' if degrees else 'motion',
                f"'{name}' of {arm.joints[joint]} is {joints[frame, joint]:.3g}, beyond {limits}"
                + ('; it looks like degrees' if degrees else ''),
                _DEGREES if degrees else f"is this arm '{arm.name}'? name yours with --arm",
                episode,
                frame,
            )
        if arm.gripper and values.shape[1] == ARM_JOINTS + 1:
            yield from _check_opening(name, values[:, ARM_JOINTS], arm, episode)


def _check_opening(
    name: str, opening: np.ndarray, arm: Embodiment, episode: int
) -> Iterator[Finding]:
    most = arm.gripper.opening_max_m if arm.gripper else np.inf
    over = (opening > (1 + OPENING_SLACK) * most) | (opening < -OPENING_SLACK * most)
    if over.any():
        frame = int(np.argmax(over))
        yield Finding(
            'units',
            f"'{name}' has an opening of {opening[frame]:.3g}, beyond 0 to {most:g} m",
            'openings are distances between the finger tips in metres, not shares or millimetres',
            episode,
            frame,
        )


def check_motion(
    state: np.ndarray, action: np.ndarray, fps: int, episode: int
) -> Iterator[Finding]:
    """Yield an episode whose actions, times the period, are not how the joints moved.

    Args:
        state: (N, 7 or more), joint positions first, in rad.
        action: (N, 7 or more), joint velocities first, in rad/s.
        fps: frames a second.
        episode: its number.
    """
    if state.ndim != 2 or action.ndim != 2 or len(state) < 4:
        return
    if min(state.shape[1], action.shape[1]) < ARM_JOINTS:
        return
    position, velocity = (v[:, :ARM_JOINTS].astype(np.float64) for v in (state, action))
    moved, said = np.diff(position, axis=0), velocity[:-1] / fps
    if not (np.isfinite(moved).all() and np.isfinite(said).all()):
        return  # told by check_numbers
    rest = len(moved) * ARM_JOINTS * _MOVING_RAD**2
    if (moved**2).sum() + (said**2).sum() < rest:
        return
    if disagreement(moved, said) > MISMATCH:
        worst = np.abs(moved - said)
        frame, joint = (int(k) for k in np.unravel_index(np.argmax(worst), worst.shape))
        yield Finding(
            'motion',
            f'joint {joint + 1} moved by {moved[frame, joint]:.3g} rad where the action says '
            f'{said[frame, joint]:.3g} rad',
            _explain(position, velocity, fps),
            episode,
            frame,
        )


def disagreement(moved: np.ndarray, said: np.ndarray) -> float:
    """Return 0 where both are the same, 1 where they have nothing in common, 2 for opposites."""
    both = float((moved**2).sum() + (said**2).sum())
    return float(((moved - said) ** 2).sum()) / both if both else 0.0


def _explain(position: np.ndarray, velocity: np.ndarray, fps: int) -> str:
    """Return the mistake that would make the actions fit."""
    moved, said = np.diff(position, axis=0), velocity[:-1] / fps
    tries = {
        'the actions are absolute positions; store (next - position) * fps': (
            velocity[:-1] - position[:-1],
            moved,
        ),
        'the actions are differences of positions; multiply by fps': (velocity[:-1], moved),
        'the actions are in degrees; multiply by pi/180': (np.radians(said), moved),
        'the positions are in degrees; multiply by pi/180': (said, np.radians(moved)),
        'the signs of the actions are the wrong way round': (-said, moved),
        'the actions are a frame late; store each with the frame before': (said[1:], moved[:-1]),
        'the actions are a frame early; store each with the frame after': (said[:-1], moved[1:]),
    }
    fits = {text: disagreement(a, b) for text, (a, b) in tries.items() if len(a)}
    best = min(fits, key=lambda text: fits[text])
    if fits[best] < MISMATCH / 2:
        return best
    return (
        'the arm did not do what the actions say: was it stopped or limited? are joints swapped?'
    )
