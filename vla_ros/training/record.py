"""Record rollouts of all tasks into a data set, in parallel and resumable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import joblib
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.data.features import Feature, Spec
from vla_ros.data.writer import DatasetWriter
from vla_ros.errors import ConfigError, check_at_least, choose
from vla_ros.sim.grammar import shipped_phrasings
from vla_ros.sim.scene import THINGS
from vla_ros.sim.tasks.goal import TASKS
from vla_ros.training.recorder import Recorder
from vla_ros.types import ARM_JOINTS


@dataclass(frozen=True)
class RecordConfig:
    """What is recorded.

    Attributes:
        cameras: what is seen; the front camera sees about 1 cm a pixel, which is too coarse to
            grasp by (docs/tasks.md).
        labels: goals that each frame is labelled for, the one driven to first.
        episode_steps: short, because what is new in a scene is soon seen.
        noise_rad_s: most that is added to a velocity (standard deviation), correlated in time;
            less, or nothing, for two of three goals.
        leave_out: names of objects that are in no scene.
        policy: folder of a policy that drives to most goals instead of the expert, which labels
            what it gets into; empty for none.
    """

    tasks: tuple[str, ...] = TASKS
    episodes: int = 1000
    first_seed: int = 0
    arm: str = 'sim'
    cameras: tuple[str, ...] = ('front', 'wrist')
    image_width: int = 128
    image_height: int = 96
    labels: int = 3
    chunk_steps: int = 8
    step_s: float = 0.1
    episode_steps: int = 40
    noise_rad_s: float = 0.10
    leave_out: tuple[str, ...] = ()
    policy: str = ''
    workers: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot be recorded, held-out seeds above all."""
        for task in self.tasks:
            choose('task', task, TASKS)
        for name in ('episodes', 'labels', 'chunk_steps', 'episode_steps', 'workers'):
            check_at_least(name, getattr(self, name), 1)
        held_out = shipped_phrasings().held_out_first_seed
        last = self.first_seed + self.episodes
        if self.first_seed < 0 or last > held_out:
            raise ConfigError(
                f'seeds {self.first_seed} to {last} reach into the held-out ones; stay within 0 '
                f'and {held_out}'
            )

    def spec(self, arm: Embodiment) -> Spec:
        """Return the features of the data set."""
        action = ARM_JOINTS + 1
        joints = (*arm.joints, 'gripper')
        labels, steps, views = self.labels, self.chunk_steps, len(self.cameras)
        image = Feature('image', (self.image_height, self.image_width, 3))
        features = {
            **{f'observation.images.{camera}': image for camera in self.cameras},
            'observation.state': Feature('float32', (action,), joints),
            'action': Feature('float32', (action,), joints),
            'scene.present': Feature('bool', (len(THINGS),), THINGS),
            'label.task_index': Feature('int64', (labels,)),
            'label.action': Feature('float32', (labels, steps, action)),
            'label.points_m': Feature('float32', (labels, 2, 3)),
            'label.pixels': Feature('float32', (labels, views, 2, 2)),
            'label.turn_rad': Feature('float32', (labels,)),
        }
        return Spec(round(1 / self.step_s), features, arm.name)


def record(config: RecordConfig, folder: Path) -> int:
    """Record what is missing in `folder`; return how many episodes were recorded now.

    Raises:
        CheckpointError: no such policy to drive, or one of another arm.
        ConfigError: a policy that needs other cameras than are recorded.
        DatasetError: the folder holds a data set of other features, or other files.
    """
    if config.policy:
        Recorder(config)  # what is wrong with the policy is said here, not in a worker
    writer = DatasetWriter(folder, config.spec(load_arm(config.arm)))
    seeds = range(config.first_seed, config.first_seed + config.episodes)
    missing = [seed for seed in seeds if seed not in writer.keys]
    columns = (TextColumn('collect'), BarColumn(), MofNCompleteColumn(), TextColumn('episodes'))
    with Progress(*columns, TimeRemainingColumn()) as progress:
        bar = progress.add_task('', total=len(seeds), completed=len(seeds) - len(missing))
        jobs = (joblib.delayed(_record_one)(config, folder, seed) for seed in missing)
        parallel = joblib.Parallel(n_jobs=config.workers, return_as='generator_unordered')
        for _ in cast('Iterable[None]', parallel(jobs)):
            progress.advance(bar)
    writer.finalize()
    return len(missing)


_recorders: dict[RecordConfig, Recorder] = {}  # one a worker process: an OpenGL context is dear


def _record_one(config: RecordConfig, folder: Path, seed: int) -> None:
    if config not in _recorders:
        torch.set_num_threads(1)
        _recorders[config] = Recorder(config)
    columns, tasks = _recorders[config].episode(seed)
    writer = DatasetWriter(folder, config.spec(load_arm(config.arm)))
    writer.save_episode(columns, tasks, key=seed)
