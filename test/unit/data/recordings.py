"""Small data sets with every kind of feature."""

from pathlib import Path

import numpy as np

from vla_ros.data.features import Feature, Spec
from vla_ros.data.writer import DatasetWriter

FPS = 10
TASKS = ('reach the red cube', 'push the blue ball to the left')
HEIGHT, WIDTH = 24, 32


def spec(storage: str = 'image', **features: Feature) -> Spec:
    joints = tuple(f'joint{k}' for k in range(1, 8))
    return Spec(
        FPS,
        {
            'observation.state': Feature('float32', (8,), (*joints, 'gripper')),
            'action': Feature('float32', (8,), (*joints, 'gripper')),
            'observation.images.front': Feature(
                storage, (HEIGHT, WIDTH, 3), ('height', 'width', 'channels')
            ),
            'label.task_index': Feature('int64', (2,)),
            'label.action': Feature('float32', (2, 4, 8)),
            'label.grounded': Feature('bool', (2,)),
            'success': Feature('bool', (1,)),
            **features,
        },
        'sim',
    )


def columns(seed: int, length: int) -> dict[str, np.ndarray]:
    """Return an episode whose joints do what its actions say, under a drifting picture."""
    rng = np.random.default_rng(seed)
    action = rng.normal(0.0, 0.2, (length, 8)).astype(np.float32)
    action[:, 7] = 0.04
    state = np.full((length, 8), 0.04, np.float32)
    start = np.array([0.0, -0.4, 0.0, -2.2, 0.0, 1.8, 0.785])
    moved = np.cumsum(action[:, :7], axis=0) / FPS
    state[:, :7] = start + np.vstack([np.zeros((1, 7)), moved[:-1]])
    steps = np.linspace(0.0, 255.0, WIDTH)
    picture = np.broadcast_to(steps, (length, HEIGHT, WIDTH)) * 0.5
    picture = picture + 10.0 * np.arange(length)[:, None, None] + 5.0 * seed
    images = np.stack([picture, picture[:, ::-1], 255.0 - picture], axis=-1) % 256
    return {
        'observation.state': state,
        'action': action,
        'observation.images.front': images.astype(np.uint8),
        'label.task_index': np.array([TASKS] * length, dtype=object),
        'label.action': rng.normal(size=(length, 2, 4, 8)).astype(np.float32),
        'label.grounded': rng.random((length, 2)) < 0.5,
        'success': rng.random(length) < 0.5,
    }


def record(folder: Path, storage: str = 'image', lengths: tuple[int, ...] = (5, 7, 3)) -> Path:
    writer = DatasetWriter(folder, spec(storage))
    for key, length in enumerate(lengths):
        writer.save_episode(columns(key, length), TASKS[key % 2], key)
    writer.finalize()
    return folder
