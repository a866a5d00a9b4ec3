"""Record rollouts of the experts of all tasks, each frame labelled for several goals.

One goal after the other is driven to, with noise on what is executed, so that the states that a
policy gets into by its own errors are in the data, and labelled with what is right there. The
experts are functions of the state, so that each frame can be labelled for goals nobody drove to,
too: one image teaches several instructions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import joblib
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.data.features import Feature, Spec
from vla_ros.data.writer import DatasetWriter
from vla_ros.errors import ConfigError, check_at_least, choose
from vla_ros.policies.preprocessing import scale_image
from vla_ros.sim.expert import ReachExpert
from vla_ros.sim.grammar import shipped_phrasings
from vla_ros.sim.scene import CONTAINERS, OBJECT_KINDS
from vla_ros.sim.tasks.drive import Drive
from vla_ros.sim.tasks.env import choose_goal
from vla_ros.sim.tasks.expert import Expert
from vla_ros.sim.tasks.goal import TASKS, Goal
from vla_ros.sim.tasks.goals import goals, points_m, start_of, succeeded
from vla_ros.sim.tasks.labels import Labeller
from vla_ros.sim.tasks.language import sentence
from vla_ros.sim.world import World
from vla_ros.training.collect import start_pose
from vla_ros.types import ARM_JOINTS, FloatArray

THINGS = (*(kind.name for kind in OBJECT_KINDS), *CONTAINERS)
"""What `scene.present` tells of, in this order."""
NOISE_KEPT = 0.7  # from one step to the next
LINGER_STEPS = 5  # at a goal that is met, before the next one
PATIENCE_STEPS = 110
CHANGE_OF_MIND = 0.015  # a step


@dataclass(frozen=True)
class RecordConfig:
    """What is recorded.

    Attributes:
        cameras: what is seen; the front camera sees about 1 cm a pixel, which is too coarse to
            grasp by (docs/tasks.md).
        labels: goals that each frame is labelled for, the one driven to first.
        noise_rad_s: standard deviation of what is added to each velocity; correlated in time.
        leave_out: names of objects that are never asked for.
    """

    tasks: tuple[str, ...] = TASKS
    episodes: int = 1200
    first_seed: int = 0
    arm: str = 'sim'
    cameras: tuple[str, ...] = ('front', 'wrist')
    image_width: int = 128
    image_height: int = 96
    labels: int = 3
    chunk_steps: int = 8
    step_s: float = 0.1
    episode_steps: int = 80
    noise_rad_s: float = 0.10
    leave_out: tuple[str, ...] = ()
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
        labels, steps = self.labels, self.chunk_steps
        image = Feature('image', (self.image_height, self.image_width, 3))
        features = {
            **{f'observation.images.{camera}': image for camera in self.cameras},
            'observation.state': Feature('float32', (action,), joints),
            'action': Feature('float32', (action,), joints),
            'scene.present': Feature('bool', (len(THINGS),), THINGS),
            'label.task_index': Feature('int64', (labels,)),
            'label.action': Feature('float32', (labels, steps, action)),
            'label.points_m': Feature('float32', (labels, 2, 3)),
            'label.pixels': Feature('float32', (labels, 2, 2)),
        }
        return Spec(round(1 / self.step_s), features, arm.name)


def record(config: RecordConfig, folder: Path) -> int:
    """Record what is missing in `folder`; return how many episodes were recorded now.

    Raises:
        DatasetError: the folder holds a data set of other features, or other files.
    """
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
        _recorders[config] = Recorder(config)
    columns, tasks = _recorders[config].episode(seed)
    writer = DatasetWriter(folder, config.spec(load_arm(config.arm)))
    writer.save_episode(columns, tasks, key=seed)


class Recorder:
    """A world and the experts that act in it."""

    def __init__(self, config: RecordConfig) -> None:
        self._config = config
        self._world = World(load_arm(config.arm))
        self._expert = Expert(self._world.embodiment)
        self._reach = ReachExpert(self._world.embodiment)
        self._drive = Drive(self._world.embodiment)
        self._labeller = Labeller(self._world)

    def episode(self, seed: int) -> tuple[dict[str, np.ndarray], list[str]]:
        """Return the columns of one episode, and what was driven to in each frame."""
        config, world = self._config, self._world
        rng = np.random.default_rng([seed, 2])
        world.reset(seed, config.tasks[seed % len(config.tasks)])
        world.set_joint_positions(start_pose(self._reach, world.embodiment, rng))
        world.command_gripper(float(rng.choice((0.0, 0.04, 0.08))))
        self._drive.start(world)
        rows: list[dict[str, object]] = []
        tasks: list[str] = []
        noise = np.zeros(ARM_JOINTS)
        plan = _Plan(self, rng)
        for _ in range(config.episode_steps):
            goal = plan.goal()
            velocity, opening_m = self._expert.action(world, goal)
            rows.append(self._frame(goal, np.append(velocity, opening_m), rng))
            tasks.append(sentence(goal))
            fresh = rng.normal(0.0, config.noise_rad_s, ARM_JOINTS)
            noise = NOISE_KEPT * noise + (1 - NOISE_KEPT**2) ** 0.5 * fresh
            self._drive.run(world, np.append(velocity + noise, opening_m), config.step_s)
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}, tasks

    def choices(self, rng: np.random.Generator, but: Goal | None = None) -> list[Goal]:
        """Return one goal of each task that makes sense now, in random order."""
        config = self._config
        found = [
            g
            for g in goals(self._world)
            if g.task in config.tasks and g.object not in config.leave_out and g != but
        ]
        by_task = [[g for g in found if g.task == task] for task in config.tasks]
        chosen = [choose_goal(those, rng) for those in by_task if those]
        return [chosen[i] for i in rng.permutation(len(chosen))]

    @property
    def world(self) -> World:
        """The world that is recorded."""
        return self._world

    def _frame(
        self, goal: Goal, action: FloatArray, rng: np.random.Generator
    ) -> dict[str, object]:
        config, world = self._config, self._world
        asked = [goal, *self.choices(rng, but=goal)]
        asked = [asked[i % len(asked)] for i in range(config.labels)]
        present = {thing.name for thing in (*world.objects, *world.containers)}
        points = np.stack([points_m(world, g) for g in asked])
        size = config.image_width, config.image_height
        images = {
            f'observation.images.{camera}': scale_image(world.render(camera), *size)
            for camera in config.cameras
        }
        state = np.append(world.joint_positions_rad, world.gripper_opening_m)
        return {
            **images,
            'observation.state': state.astype(np.float32),
            'action': action.astype(np.float32),
            'scene.present': np.array([name in present for name in THINGS]),
            'label.task_index': [sentence(g) for g in asked],
            'label.action': np.stack(
                [self._labeller.chunk(g, config.chunk_steps, config.step_s) for g in asked]
            ).astype(np.float32),
            'label.points_m': points.astype(np.float32),
            'label.pixels': np.array(
                [[world.project(config.cameras[0], p) for p in pair] for pair in points],
                np.float32,
            ),
        }


class _Plan:
    """What is driven to: a goal until it is met, or takes too long, or the mind changes."""

    def __init__(self, recorder: Recorder, rng: np.random.Generator) -> None:
        self._recorder, self._rng = recorder, rng
        self._goal: Goal | None = None
        self._start: dict[str, FloatArray] = {}
        self._steps = self._met = 0

    def goal(self) -> Goal:
        """Return the goal of this step."""
        world = self._recorder.world
        self._steps += 1
        if self._goal and succeeded(world, self._goal, self._start):
            self._met += 1
        over = self._met > LINGER_STEPS or self._steps > PATIENCE_STEPS
        if self._goal is None or over or self._rng.random() < CHANGE_OF_MIND:
            choices = self._recorder.choices(self._rng, but=self._goal)
            if choices:
                self._goal, self._start = choices[0], start_of(world)
                self._steps = self._met = 0
        assert self._goal is not None  # objects can always be reached
        return self._goal
