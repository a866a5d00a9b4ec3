"""vla-ros train."""

from __future__ import annotations

import sys
from pathlib import Path

from vla_ros.training.config import TrainConfig
from vla_ros.training.train import summary, train


def main(
    data: Path = Path('datasets/reach'),
    output: Path = Path('runs/vla-reach'),
    steps: int = TrainConfig.steps,
    seed: int = TrainConfig.seed,
    device: str = TrainConfig.device,
    learning_rate: float = TrainConfig.learning_rate,
    batch_images: int = TrainConfig.batch_images,
    threads: int = TrainConfig.threads,
    restart: bool = False,
) -> int:
    """Train the VLA policy on recorded episodes and write a checkpoint.

    The same command again goes on with a training that was broken off.

    Args:
        data: folder that `vla-ros collect` wrote.
        output: folder of the checkpoint; log.csv in it grows while training runs.
        steps: optimiser steps.
        seed: seed of weights, batches and sentences.
        device: auto, cpu or cuda.
        learning_rate: peak of the cosine schedule.
        batch_images: images a step; each is trained with four sentences.
        threads: torch threads on the CPU; 0 leaves it to torch.
        restart: begin anew where a training was broken off.
    """
    config = TrainConfig(
        steps=steps,
        seed=seed,
        device=device,
        learning_rate=learning_rate,
        batch_images=batch_images,
        threads=threads,
    )
    command = ' '.join(['vla-ros', *sys.argv[1:]])
    train(data, output, config, command, restart=restart)
    print(summary(output))
    print(f'next: vla-ros eval --policy {output}')
    return 0
