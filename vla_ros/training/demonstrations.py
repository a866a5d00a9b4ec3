"""Record demonstrations for CLIPort: the table as it was seen before, what was said, and where.

An episode is one demonstration and has one frame: what the camera that looks down saw while the
arm was drawn back, as it sees the table in service, and the points of pick and place. The scripted
expert then does it; what it fails at is not kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import joblib
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.data.features import Feature, Spec
from vla_ros.data.writer import DatasetWriter
from vla_ros.errors import ConfigError, check_at_least, choose
from vla_ros.policies.cliport.config import CliportConfig
from vla_ros.policies.cliport.mover import Mover
from vla_ros.policies.cliport.policy import calibration_of, look_point_m
from vla_ros.policies.cliport.waypoints import Waypoint
from vla_ros.sim.grammar import shipped_phrasings
from vla_ros.sim.tasks.env import TaskEnv, choose_goal
from vla_ros.sim.tasks.expert import Expert
from vla_ros.sim.tasks.goal import TASKS
from vla_ros.sim.tasks.goals import goals, points_m
from vla_ros.sim.tasks.language import sentence
from vla_ros.sim.world import World
from vla_ros.training.collect import there
from vla_ros.types import ARM_JOINTS, DepthArray, FloatArray

STEP_S = 0.1
DRAW_BACK_STEPS = 40
MM = 1000.0
MOST_MM = np.iinfo(np.uint16).max
MOST_FAILURES = 0.5
"""Share of failed demonstrations beyond which recording gives up."""
SCENES_WITHOUT = 10
"""So many times as many scenes are looked at where some must not hold what is left out."""


@dataclass(frozen=True)
class DemonstrationConfig:
    """What is demonstrated.

    Attributes:
        tasks: which, in turn.
        episodes: demonstrations that are kept, each of a scene of its own.
        camera: looks down on the table and measures depth.
        leave_out: names of objects and bowls that are in no scene.
    """

    tasks: tuple[str, ...] = TASKS
    episodes: int = 100
    first_seed: int = 0
    arm: str = 'sim'
    camera: str = 'top'
    leave_out: tuple[str, ...] = ()
    workers: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot be recorded."""
        for task in self.tasks:
            choose('task', task, TASKS)
        for name in ('episodes', 'workers'):
            check_at_least(name, getattr(self, name), 1)
        check_at_least('seed', self.first_seed, 0)
        if self.last_seed > shipped_phrasings().held_out_first_seed:
            raise ConfigError(
                f'seeds {self.first_seed} to {self.last_seed}, with room for demonstrations that '
                'fail, reach into the held-out ones; stay within 0 and '
                f'{shipped_phrasings().held_out_first_seed}'
            )

    @property
    def last_seed(self) -> int:
        """One after the last seed that may be tried."""
        scenes = SCENES_WITHOUT if self.leave_out else 1
        return self.first_seed + scenes * round(self.episodes / MOST_FAILURES)

    def spec(self, arm: Embodiment) -> Spec:
        """Return the features of the data set."""
        camera = arm.cameras[self.camera]
        size = camera.height, camera.width
        features = {
            f'observation.images.{self.camera}': Feature('image', (*size, 3)),
            f'observation.depths.{self.camera}': Feature('uint16', (*size, 1), ('millimetres',)),
            'observation.state': Feature('float32', (ARM_JOINTS + 1,), (*arm.joints, 'gripper')),
            'label.primitive': Feature('string', (1,)),
            'label.points_m': Feature('float32', (1, 2, 3)),
            'label.turn_rad': Feature('float32', (1,)),
        }
        return Spec(round(1 / STEP_S), features, arm.name)


def record_demonstrations(config: DemonstrationConfig, folder: Path) -> int:
    """Record what is missing in `folder`; return how many demonstrations were recorded now.

    Seeds are tried in order until so many demonstrations succeeded, whatever was interrupted.

    Raises:
        ConfigError: an arm without such a camera, demonstrations fail more often than not, or too
            few scenes are without what is left out.
        DatasetError: the folder holds a data set of other features, or other files.
    """
    arm = load_arm(config.arm)
    calibration_of(arm, config.camera)
    writer = DatasetWriter(folder, config.spec(arm))
    begun = len(writer.keys)
    seeds = iter([s for s in range(config.first_seed, config.last_seed) if s not in writer.keys])
    columns = (TextColumn('collect'), BarColumn(), MofNCompleteColumn(), TextColumn('episodes'))
    parallel = joblib.Parallel(n_jobs=config.workers, return_as='generator_unordered')
    with Progress(*columns, TimeRemainingColumn()) as progress:
        bar = progress.add_task('', total=config.episodes, completed=begun)
        while missing := max(0, config.episodes - len(writer.keys)):
            chosen = list(islice(seeds, missing))
            if not chosen:
                raise ConfigError(
                    f'only {len(writer.keys)} of {config.last_seed - config.first_seed} '
                    f'demonstrations of {", ".join(config.tasks)} succeeded'
                )
            jobs = (joblib.delayed(_record_one)(config, folder, seed) for seed in chosen)
            for kept in cast('Iterable[bool]', parallel(jobs)):
                progress.advance(bar, kept)
    writer.finalize()
    return len(writer.keys) - begun


_demonstrators: dict[DemonstrationConfig, Demonstrator] = {}  # one a worker: OpenGL is dear


def _record_one(config: DemonstrationConfig, folder: Path, seed: int) -> bool:
    if config not in _demonstrators:
        _demonstrators[config] = Demonstrator(config)
    shown = _demonstrators[config].demonstration(seed)
    if shown is None:
        return False
    columns, task = shown
    DatasetWriter(folder, config.spec(load_arm(config.arm))).save_episode(columns, task, seed)
    return True


class Demonstrator:
    """A world and the expert that acts in it."""

    def __init__(self, config: DemonstrationConfig) -> None:
        self._config = config
        self._world = World(load_arm(config.arm))
        self._expert = Expert(self._world.embodiment)
        self._drawn_back_rad = drawn_back_rad(self._world.embodiment)

    def demonstration(self, seed: int) -> tuple[dict[str, np.ndarray], str] | None:
        """Return the columns of one demonstration and what was asked for.

        None where the scene of the seed has nothing to ask for, or something that is left out, or
        the expert fails.
        """
        config, world = self._config, self._world
        task = config.tasks[seed % len(config.tasks)]
        env = TaskEnv(world, task, step_s=STEP_S, cameras=())
        world.reset(seed, task)
        found = [goal for goal in goals(world) if goal.task == task]
        if not found or there(world) & set(config.leave_out):
            return None
        goal = choose_goal(found, np.random.default_rng([seed, 3]))
        env.reset(seed=seed, options={'goal': goal})
        world.set_joint_positions(self._drawn_back_rad)
        state = np.append(world.joint_positions_rad, world.gripper_opening_m)
        frame = {
            f'observation.images.{config.camera}': world.render(config.camera),
            f'observation.depths.{config.camera}': to_mm(world.render_depth(config.camera)),
            'observation.state': state.astype(np.float32),
            'label.primitive': task,
            'label.points_m': points_m(world, goal)[None].astype(np.float32),
            'label.turn_rad': np.float32(np.nan),  # no goal says how an object has to be turned
        }
        while not env.over:
            env.drive(np.append(*self._expert.action(world, goal)))
        if not env.report()['success']:
            return None
        return {name: np.array([value]) for name, value in frame.items()}, sentence(goal)


def drawn_back_rad(arm: Embodiment) -> FloatArray:
    """Return the joint positions, (7,), at which the arm does not hide the table in service."""
    mover, position = Mover(arm), arm.home_rad
    geometry = CliportConfig(vocabulary=('any',)).geometry
    mover.start([Waypoint(look_point_m(geometry), 0.0, tolerance_m=0.002)], 0.0)
    for step in range(DRAW_BACK_STEPS):
        velocities, _ = mover.chunk(position, 0.0, STEP_S * step, 1, STEP_S)
        position = position + STEP_S * velocities[0]
    return position


def to_mm(depth_m: DepthArray) -> np.ndarray:
    """Return a depth image as whole millimetres, (H, W, 1) uint16; 0 is unknown."""
    known = np.isfinite(depth_m) & (depth_m > 0) & (depth_m * MM <= MOST_MM)
    return np.where(known, np.round(depth_m * MM), 0).astype(np.uint16)[..., None]
