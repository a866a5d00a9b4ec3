"""A data set in memory, as training draws from it: frames and what is to be done in each.

N frames, V cameras, M labels a frame, K chunk steps, A action, P state, X things that may be
there.
Data that bring no labels, such as recordings of a real arm, are labelled with what follows: the
chunk of a frame is its episode's next actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.embodiment import Embodiment
from vla_ros.data.frames import Frames
from vla_ros.data.reader import Dataset, open_dataset
from vla_ros.errors import ConfigError
from vla_ros.policies.preprocessing import proprioception
from vla_ros.types import ARM_JOINTS

CAMERA = 'observation.images.'
TURNS = 'label.turn_rad'
LABEL_COLUMNS = ('label.task_index', 'label.action', 'label.points_m', 'label.pixels')


@dataclass(frozen=True)
class Table:
    """Frames one behind the other.

    Attributes:
        frames: images of all cameras.
        states_NP: joint positions (rad), tool position (m), opening (m) where there is a gripper.
        actions_NMKA: velocities (rad/s), and the opening (m) where there is a gripper.
        valid_NMK: whether the episode goes on for so long.
        tasks_NM: number of the sentence that each label answers.
        points_NM23: where the object is and where it has to end, base frame; NaN where unknown.
        pixels_NMV22: where those appear in the views, fractions (x, y) of the image; NaN where
            they are out of it or unknown.
        turns_NM: by how much the tool has to turn about the base's z axis, rad; NaN where any yaw
            will do or it is unknown.
        present_NX: which things are on the table; X is 0 where nobody knows.
        first_N: row of the first frame of the frame's episode.
        drawn: rows that are learned from; all of them unless something is left out.
    """

    frames: Frames
    states_NP: NDArray[np.float32]
    actions_NMKA: NDArray[np.float32]
    valid_NMK: NDArray[np.bool_]
    tasks_NM: NDArray[np.int64]
    points_NM23: NDArray[np.float32]
    pixels_NMV22: NDArray[np.float32]
    turns_NM: NDArray[np.float32]
    present_NX: NDArray[np.bool_]
    first_N: NDArray[np.int64]
    drawn: NDArray[np.int64]

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.frames)

    def rows(self, begin: int, end: int) -> Table:
        """Return the frames from `begin`, where an episode begins, to `end`, without a copy."""
        parts = {f.name: getattr(self, f.name)[begin:end] for f in fields(Table)}
        parts['first_N'] = parts['first_N'] - begin
        parts['drawn'] = self.drawn[(self.drawn >= begin) & (self.drawn < end)] - begin
        return Table(**parts)


def load_table(folder: Path, embodiment: Embodiment, chunk_steps: int) -> tuple[Table, Dataset]:
    """Read a data set into memory, and refuse one that is not of this arm.

    Raises:
        DatasetError: no data set, or a damaged one.
        ConfigError: other joints than the arm has, no action or no camera, or chunks that are too
            long for its labels.
    """
    dataset = open_dataset(folder)
    check_arm(dataset, embodiment)
    state = dataset.column('observation.state')
    opening = state[:, ARM_JOINTS] if state.shape[1] > ARM_JOINTS else None
    states = proprioception(embodiment, state[:, :ARM_JOINTS].astype(np.float64), opening)
    first = np.concatenate([np.full(e.length, e.first) for e in dataset.episodes])
    labels = _labels(dataset, chunk_steps, first)
    present = np.zeros((len(dataset), 0), np.bool_)
    if 'scene.present' in dataset.spec.features:
        present = dataset.column('scene.present')
    table = Table(
        frames=Frames.of(dataset),
        states_NP=states.astype(np.float32),
        present_NX=present,
        first_N=first,
        drawn=np.arange(len(dataset)),
        **labels,
    )
    return table, dataset


def check_joints(dataset: Dataset, name: str, embodiment: Embodiment) -> None:
    """Refuse a state or an action of other joints, or of joints that nobody named.

    Raises:
        ConfigError: says which joints it is of, and which the arm has.
    """
    names = dataset.spec.features[name].names
    arm = f"arm '{embodiment.name}' has {', '.join(embodiment.joints)}"
    if isinstance(names, Mapping) and len(names) == 1:  # {'motors': [...]} of some recorders
        (names,) = names.values()
    if not isinstance(names, list | tuple):
        raise ConfigError(
            f"'{dataset.folder}': {name} names no joints; write them into its names in "
            f'meta/info.json, in the order of the numbers: {arm}'
        )
    if tuple(names[:ARM_JOINTS]) != embodiment.joints:
        raise ConfigError(
            f"'{dataset.folder}': {name} is of joints {', '.join(map(str, names))}; {arm}"
        )


def check_rate(dataset: Dataset, embodiment: Embodiment) -> None:
    """Refuse data with more frames a second than the arm's cameras give.

    Raises:
        ConfigError: says of which camera.
    """
    for name in dataset.spec.cameras:
        camera = embodiment.cameras.get(name.removeprefix(CAMERA))
        if camera is not None and dataset.spec.fps > camera.rate_hz:
            raise ConfigError(
                f"'{dataset.folder}' has {dataset.spec.fps} frames a second; camera "
                f"'{name.removeprefix(CAMERA)}' of arm '{embodiment.name}' gives "
                f'{camera.rate_hz:g}: record at its rate, or below'
            )


def check_arm(dataset: Dataset, embodiment: Embodiment) -> None:
    """Refuse data of other joints, or faster than the arm's cameras.

    The names of the state say which joints they are of.

    Raises:
        ConfigError: says what differs.
    """
    features = dataset.spec.features
    if not dataset.spec.cameras:
        raise ConfigError(f"'{dataset.folder}' has no camera; a policy needs at least one")
    check_rate(dataset, embodiment)
    for name in ('observation.state', 'action'):
        feature = features.get(name)
        if feature is None or feature.shape not in ((ARM_JOINTS,), (ARM_JOINTS + 1,)):
            shape = feature.shape if feature else 'not there'
            raise ConfigError(
                f"'{dataset.folder}': {name} is {shape}; it must be {ARM_JOINTS} joints, and the "
                "gripper's opening where there is one"
            )
        check_joints(dataset, name, embodiment)


def _labels(dataset: Dataset, chunk_steps: int, first: NDArray[np.int64]) -> dict[str, Any]:
    """Return actions, valid, tasks, points, pixels and turns; see Table."""
    if all(name in dataset.spec.features for name in LABEL_COLUMNS):
        turned = TURNS in dataset.spec.features
        columns = dataset.columns((*LABEL_COLUMNS, TURNS) if turned else LABEL_COLUMNS)
        actions = columns['label.action']
        if actions.shape[2] < chunk_steps:
            raise ConfigError(
                f"'{dataset.folder}' is labelled for {actions.shape[2]} steps, chunk_steps is "
                f'{chunk_steps}; record it with longer chunks'
            )
        actions = actions[:, :, :chunk_steps]
        valid = np.ones(actions.shape[:3], np.bool_)
        turns = columns.get(TURNS, np.full(actions.shape[:2], np.nan, np.float32))
        return {
            'actions_NMKA': actions,
            'valid_NMK': valid,
            'tasks_NM': columns['label.task_index'].reshape(len(actions), -1),
            'points_NM23': columns['label.points_m'],
            'pixels_NMV22': columns['label.pixels'],
            'turns_NM': turns.reshape(len(actions), -1),
        }
    action, tasks = dataset.column('action'), dataset.column('task_index')
    ends = np.append(np.flatnonzero(np.diff(first)) + 1, len(first))
    end = ends[np.searchsorted(ends, np.arange(len(first)), side='right')]
    following = np.arange(len(first))[:, None] + np.arange(chunk_steps)
    valid = following < end[:, None]
    actions = action[np.minimum(following, end[:, None] - 1)]
    unknown = np.full((len(first), 1, 2, 3), np.nan, np.float32)
    return {
        'actions_NMKA': actions[:, None],
        'valid_NMK': valid[:, None],
        'tasks_NM': tasks[:, None],
        'points_NM23': unknown,
        'pixels_NMV22': unknown[:, :, None, :, :2],
        'turns_NM': unknown[..., 0, 0],
    }


def sentences_of(dataset: Dataset) -> Sequence[str]:
    """Return the sentences that `tasks_NM` numbers."""
    return dataset.tasks
