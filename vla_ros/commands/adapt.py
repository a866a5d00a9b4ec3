"""vla-ros adapt."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

from vla_ros.policies.checkpoint import read_manifest
from vla_ros.training.adapt import FEW, Adaptation, adapt
from vla_ros.training.adapt_scenes import FEW_SCENES, adapt_scenes
from vla_ros.training.restored import SCENE_KINDS, folder_of


def main(
    base: str,
    data: Path,
    output: Path,
    method: Literal['full', 'head', 'lora', 'scratch'] = 'lora',
    episodes: int = 0,
    steps: int = FEW.steps,
    learning_rate: float = FEW.learning_rate,
    batch_images: int | None = None,
    rank: int = 8,
    seed: int = FEW.seed,
    device: str = FEW.device,
    threads: int = FEW.threads,
    arm: str = 'sim',
    force: bool = False,
    restart: bool = False,
) -> int:
    """Let a trained policy learn from a few episodes, and write the result as a checkpoint.

    The last fifth of the episodes is held out. If the result is no better there than the base, or
    than an arm that holds still (cliport: than the middle of all), no checkpoint is written. What
    was broken off goes on where its state was saved last.

    Args:
        base: folder of a checkpoint, or the name of a shipped policy.
        data: folder of a data set of the LeRobot layout, with the base's cameras and rate; for
            cliport of demonstrations.
        output: folder of the new checkpoint.
        method: lora trains low-rank matrices beside the dense layers, head the last layers, full
            everything; scratch a new model like the base, to see what the base is worth.
        episodes: how many to learn from; 0 means all that are not held out.
        steps: optimiser steps.
        learning_rate: peak of the cosine schedule.
        batch_images: images a step, 16, each with several sentences; scenes of cliport, 4.
        rank: of the matrices of lora.
        seed: of batches, sentences and new matrices.
        device: auto, cpu or cuda.
        threads: torch threads on the CPU; 0 leaves it to torch.
        arm: name in config/arms, or a YAML file; the data must be of its joints.
        force: write the result although it is no better, and mark it.
        restart: begin anew where an adaptation was broken off.
    """
    scenes = read_manifest(folder_of(base)).kind in SCENE_KINDS
    few = FEW_SCENES if scenes else FEW
    config = replace(
        few, steps=steps, learning_rate=learning_rate, seed=seed, device=device, threads=threads,
        images=few.images if batch_images is None else batch_images,
    )  # fmt: skip
    command = ' '.join(['vla-ros', *sys.argv[1:]])
    task = Adaptation(base, data, output, method, episodes, rank, arm, command, force, restart)
    if scenes:
        judged = adapt_scenes(task, config)['held_out']
        print(
            f'on held-out demonstrations {judged["right"]:.0%} decided rightly, picks off by '
            f'{judged["pick_mm"]:.0f} mm; by the base {judged["base_right"]:.0%}, '
            f'{judged["base_pick_mm"]:.0f} mm'
        )
    else:
        judged = adapt(task, config)['held_out']
        print(
            f'on held-out episodes off by {judged["action_rad_s"]:.3f} rad/s; the base by '
            f'{judged["base_action_rad_s"]:.3f}, holding still by {judged["hold_still_rad_s"]:.3f}'
        )
    print(f'next: vla-ros eval --task all --policy {output}')
    return 0
