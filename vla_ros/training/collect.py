"""Record episodes of the scripted expert in the simulator, in parallel and resumable."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import joblib
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.core.limiter import Limiter
from vla_ros.errors import ConfigError, choose
from vla_ros.policies.preprocessing import scale_image
from vla_ros.sim.expert import ReachExpert
from vla_ros.sim.grammar import shipped_phrasings
from vla_ros.sim.scene import OBJECT_KINDS
from vla_ros.sim.tasks.drive import CONTROL_PERIOD_S
from vla_ros.sim.world import World
from vla_ros.training.episodes import (
    EPISODES_PER_SHARD,
    DatasetInfo,
    Frames,
    read_info,
    shard_path,
    write_info,
    write_shard,
)
from vla_ros.types import FloatArray

SCENES_TRIED = 100
OBJECTS = tuple(kind.name for kind in OBJECT_KINDS)


@dataclass(frozen=True)
class CollectConfig:
    """What is recorded. Times in seconds, velocities in rad/s.

    Attributes:
        leave_out: names of objects that are in no scene.
    """

    episodes: int = 2400
    first_seed: int = 0
    arm: str = 'sim'
    camera: str = 'front'
    image_width: int = 128
    image_height: int = 96
    chunk_steps: int = 8
    step_s: float = 0.1
    episode_steps: int = 36
    steps_per_frame: int = 2
    noise_rad_s: float = 0.15
    leave_out: tuple[str, ...] = ()
    workers: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot be recorded, held-out seeds above all."""
        if self.episodes < 1 or self.workers < 1:
            raise ConfigError('episodes and workers must be at least 1')
        for name in self.leave_out:
            choose('leave_out', name, OBJECTS)
        held_out = shipped_phrasings().held_out_first_seed
        if self.first_seed < 0 or self.first_seed + self.episodes > held_out:
            raise ConfigError(
                f'seeds {self.first_seed} to {self.first_seed + self.episodes} reach '
                f'into the held-out ones; stay within 0 and {held_out}'
            )

    def info(self, embodiment: Embodiment) -> DatasetInfo:
        """Return what is written beside the shards."""
        return DatasetInfo(
            'reach', embodiment.name, embodiment.joints, self.camera, self.image_width,
            self.image_height, self.chunk_steps, self.step_s, self.first_seed, self.episodes,
            leave_out=self.leave_out,
        )  # fmt: skip


def collect(config: CollectConfig, folder: Path) -> int:
    """Record what is missing in `folder`; returns the number of shards recorded now.

    Raises:
        ConfigError: the folder holds a data set that was recorded with other settings.
    """
    info = config.info(load_arm(config.arm))
    if folder.is_file():
        raise ConfigError(f"--output '{folder}' is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / 'info.json').is_file() and (found := read_info(folder)) != info:
        raise ConfigError(f"'{folder}' holds another data set ({found}); choose another --output")
    write_info(folder, info)
    seeds = range(config.first_seed, config.first_seed + config.episodes)
    shards = [seeds[i : i + EPISODES_PER_SHARD] for i in range(0, len(seeds), EPISODES_PER_SHARD)]
    missing = [i for i in range(len(shards)) if not shard_path(folder, i).is_file()]
    columns = (TextColumn('collect'), BarColumn(), MofNCompleteColumn(), TextColumn('episodes'))
    with Progress(*columns, TimeRemainingColumn()) as progress:
        done = len(seeds) - sum(len(shards[i]) for i in missing)
        bar = progress.add_task('collect', total=len(seeds), completed=done)
        jobs = (
            joblib.delayed(_record_shard)(config, shards[i], shard_path(folder, i))
            for i in missing
        )
        parallel = joblib.Parallel(n_jobs=config.workers, return_as='generator_unordered')
        for recorded in cast('Iterable[int]', parallel(jobs)):
            progress.advance(bar, recorded)
    return len(missing)


def _record_shard(config: CollectConfig, seeds: range, path: Path) -> int:
    world = _world(config)
    write_shard(path, record_episodes(world, config, seeds))
    return len(seeds)


_worlds: dict[CollectConfig, World] = {}  # one a worker process: an OpenGL context is dear


def _world(config: CollectConfig) -> World:
    if config not in _worlds:
        _worlds[config] = World(load_arm(config.arm))
    return _worlds[config]


def record_episodes(world: World, config: CollectConfig, seeds: range) -> Frames:
    """Record one episode a seed."""
    expert = ReachExpert(world.embodiment)
    rows = [row for seed in seeds for row in _episode(world, expert, config, seed)]
    images, positions, kinds, targets, pixels, chunks = (
        np.stack(column) for column in zip(*rows, strict=True)
    )
    return Frames(
        images,
        positions.astype(np.float32),
        kinds,
        targets.astype(np.float32),
        pixels.astype(np.float32),
        chunks.astype(np.float32),
    )


def _episode(
    world: World, expert: ReachExpert, config: CollectConfig, seed: int
) -> list[tuple[np.ndarray, ...]]:
    """Drive to one object, then to another, with noise on the velocity that is executed."""
    rng = np.random.default_rng([seed, 1])
    lay(world, seed, rng, config.leave_out)
    world.set_joint_positions(start_pose(expert, world.embodiment, rng))
    limiter = Limiter(world.embodiment, CONTROL_PERIOD_S)
    names = [o.name for o in world.objects]
    first, second = rng.choice(len(names), size=2, replace=False)
    switch = int(rng.integers(8, 24))
    noise = np.zeros(7)
    rows: list[tuple[np.ndarray, ...]] = []
    for step in range(config.episode_steps):
        targets = np.stack([world.target_position_m(name) for name in names])
        position = world.joint_positions_rad
        if step % config.steps_per_frame == 0:
            chunks = expert.chunk(position, targets, config.chunk_steps, config.step_s)
            rows.append(_frame(world, config, position, targets, chunks))
        goal = targets[first if step < switch else second]
        noise = 0.7 * noise + rng.normal(0.0, config.noise_rad_s * 0.71, 7)
        velocity = expert.velocity(position, goal) + noise
        for _ in range(round(config.step_s / CONTROL_PERIOD_S)):
            limited = limiter.step(velocity, world.joint_positions_rad, 0.0)
            world.command_velocity(limited.velocity)
            world.step(CONTROL_PERIOD_S)
    return rows


def there(world: World) -> set[str]:
    """Return the names of all that is on the table."""
    return {thing.name for thing in (*world.objects, *world.containers)}


def lay(
    world: World,
    seed: int,
    rng: np.random.Generator,
    leave_out: Collection[str],
    task: str = 'reach',
    useful: Callable[[], object] = lambda: True,
) -> None:
    """Lay the scene of a seed; another one where something is in it that is left out.

    What is seen and never asked for teaches that it is never meant.

    Args:
        world: in which it is laid.
        seed: of the scene.
        rng: draws further seeds.
        leave_out: names of objects and bowls.
        task: whose scenes.
        useful: whether the scene that has been laid is of use.

    Raises:
        ConfigError: no scene is found.
    """
    for _ in range(SCENES_TRIED):
        world.reset(seed, task)
        if not there(world) & set(leave_out) and useful():
            return
        seed = int(rng.integers(shipped_phrasings().held_out_first_seed))
    raise ConfigError(f'in none of {SCENES_TRIED} scenes anything can be done that is asked for')


def start_pose(expert: ReachExpert, arm: Embodiment, rng: np.random.Generator) -> FloatArray:
    """Return home, a little disturbed, or a pose with the tool anywhere over the table."""
    position = arm.home_rad + rng.normal(0.0, 0.05, 7)
    if rng.random() < 0.5:
        goal = rng.uniform((0.28, -0.40, 0.16), (0.72, 0.40, 0.50))
        for _ in range(30):
            position = position + 0.1 * expert.velocity(position, goal)
    return np.clip(position, arm.position_min_rad + 0.05, arm.position_max_rad - 0.05)


def _frame(
    world: World,
    config: CollectConfig,
    position: FloatArray,
    targets: FloatArray,
    chunks: FloatArray,
) -> tuple[np.ndarray, ...]:
    image = scale_image(world.render(config.camera), config.image_width, config.image_height)
    objects = world.objects
    kinds = np.array([OBJECTS.index(o.name) for o in objects])
    pixels = np.array([world.project(config.camera, o.position_m) for o in objects])
    return image, position, kinds, targets, pixels, chunks
