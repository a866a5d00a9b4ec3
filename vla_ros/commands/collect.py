"""vla-ros collect."""

from __future__ import annotations

from pathlib import Path

from vla_ros.sim.tasks.goal import TASKS
from vla_ros.sim.tasks.language import held_out_pairs
from vla_ros.training.collect import CollectConfig, collect
from vla_ros.training.demonstrations import DemonstrationConfig, record_demonstrations
from vla_ros.training.record import RecordConfig, record

REACH = ('reach',)


def main(
    output: Path | None = None,
    tasks: str = ','.join(REACH),
    episodes: int | None = None,
    seed: int = CollectConfig.first_seed,
    arm: str = CollectConfig.arm,
    workers: int = CollectConfig.workers,
    hold_out_pairs: bool = False,
    demonstrations: bool = False,
    policy: str = '',
) -> int:
    """Record episodes of the scripted expert in the simulator.

    The expert does one thing and then another, with noise on what is executed; every frame is
    labelled for several goals. Recording goes on where it was interrupted. For the task reach
    alone the frames are labelled for all objects on the table, in a format of its own, which
    `vla-ros train` reads; for all others the data set has the LeRobot v3.0 layout.

    With --demonstrations an episode is one thing that the expert did successfully: one frame with
    what the camera top saw before, and where the expert picked and placed. CLIPort learns from it.

    Args:
        output: folder of the data set; datasets/reach, datasets/table or datasets/demonstrations.
        tasks: which of reach,push,pick,put, or all.
        episodes: how many to record; 2400 of reach (0.7 MB each), 1000 of others (0.7 MB each),
            100 demonstrations.
        seed: seed of the first episode; the others follow. Held-out seeds are refused.
        arm: name in config/arms, or a YAML file.
        workers: parallel processes.
        hold_out_pairs: only scenes without the colours and shapes that `vla-ros eval --suite
            held_out_pairs` asks for, to measure how a policy takes new combinations.
        demonstrations: record what CLIPort learns from.
        policy: folder of a policy that drives to three of four goals, while the expert labels what
            it gets into; go on training it with `vla-ros train --base`. Give new seeds.
    """
    names = TASKS if tasks == 'all' else tuple(name.strip() for name in tasks.split(','))
    leave_out = held_out_pairs() if hold_out_pairs else ()
    if demonstrations:
        return _demonstrations(
            DemonstrationConfig(
                tasks=names,
                episodes=DemonstrationConfig.episodes if episodes is None else episodes,
                first_seed=seed,
                arm=arm,
                workers=workers,
                leave_out=leave_out,
            ),
            output or Path('datasets/demonstrations'),
        )
    if names == REACH and not policy:
        config = CollectConfig(
            episodes=CollectConfig.episodes if episodes is None else episodes,
            first_seed=seed,
            arm=arm,
            workers=workers,
            leave_out=leave_out,
        )
        folder = output or Path('datasets/reach')
        shards = collect(config, folder)
        print(f'{config.episodes} episodes in {folder} ({shards} shards recorded now)')
        print(f'next: vla-ros train --data {folder}')
        return 0
    table = RecordConfig(
        tasks=names,
        episodes=RecordConfig.episodes if episodes is None else episodes,
        first_seed=seed,
        arm=arm,
        workers=workers,
        leave_out=leave_out,
        policy=policy,
    )
    folder = output or Path('datasets/table')
    recorded = record(table, folder)
    print(f'{table.episodes} episodes in {folder} ({recorded} recorded now)')
    print(f'next: vla-ros data view {folder}')
    return 0


def _demonstrations(config: DemonstrationConfig, folder: Path) -> int:
    recorded = record_demonstrations(config, folder)
    print(f'{config.episodes} demonstrations in {folder} ({recorded} recorded now)')
    print(f'next: vla-ros train --policy cliport --data {folder}')
    return 0
