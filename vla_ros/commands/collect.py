"""vla-ros collect."""

from __future__ import annotations

from pathlib import Path

from vla_ros.training.collect import CollectConfig, collect


def main(
    output: Path = Path('datasets/reach'),
    episodes: int = CollectConfig.episodes,
    seed: int = CollectConfig.first_seed,
    arm: str = CollectConfig.arm,
    workers: int = CollectConfig.workers,
) -> int:
    """Record episodes of the scripted expert in the simulator.

    The expert drives to one object and then to another, with noise on what is executed; every
    frame is labelled for all objects on the table. Recording goes on where it was interrupted.

    Args:
        output: folder of the data set; about 0.7 MB an episode.
        episodes: how many to record.
        seed: seed of the first episode; the others follow. Held-out seeds are refused.
        arm: name in config/arms, or a YAML file.
        workers: parallel processes.
    """
    config = CollectConfig(episodes=episodes, first_seed=seed, arm=arm, workers=workers)
    recorded = collect(config, output)
    print(f'{episodes} episodes in {output} ({recorded} shards recorded now)')
    print(f'next: vla-ros train --data {output}')
    return 0
