"""Would it do to look up what was done in the nearest frames, without any training?

Frames of few episodes are kept as the base sees them (what its head acts upon); of the nearest
ones, what the expert did is the answer (k nearest neighbours; Pari et al., The surprising
effectiveness of representation learning for visual imitation, 2021). Prints the error on the
episodes that `vla-ros adapt` holds out, to compare with tools/few_shot.py, which says how to make
base and data.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from vla_ros.core.embodiment import load_arm
from vla_ros.training.adapt import split
from vla_ros.training.restored import restore
from vla_ros.training.speech import Speech
from vla_ros.training.table import Table, load_table
from vla_ros.training.table_batches import TableBatches
from vla_ros.types import ARM_JOINTS

COUNTS, NEIGHBOURS = (5, 10, 50), (1, 5, 20)


def main() -> None:
    """Print one row a number of neighbours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--base', default='runs/few-shot-base')
    parser.add_argument('--data', type=Path, default=Path('datasets/push'))
    args = parser.parse_args()
    arm = load_arm('sim')
    learner, model, _ = restore(args.base, arm)
    model.eval()
    table, dataset = load_table(args.data, arm, learner.chunk_steps)

    def seen(part: Table, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, velocities, and which of those count, a row for each label."""
        batches = TableBatches(
            part, Speech(dataset.tasks, seed), images=1, sentences=1, refusals=0, frames=1, seed=0
        )
        rows = [
            (learner.predict(model, batch).features_BF, batch.actions_BKA, batch.valid_BK)
            for batch in batches.every(64)
        ]
        features, actions, valid = (torch.cat(column) for column in zip(*rows, strict=True))
        return features, actions[..., :ARM_JOINTS], valid

    found: dict[int, list[float]] = {k: [] for k in NEIGHBOURS}
    with torch.inference_mode():
        asked_NF, wanted_NKA, valid_NK = seen(split(table, dataset, COUNTS[0])[1], 1)
        for count in COUNTS:
            known_MF, actions_MKA, _ = seen(split(table, dataset, count)[0], 0)
            scale_F = known_MF.std(0).clamp_min(1e-3)
            apart_NM = torch.cdist(asked_NF / scale_F, known_MF / scale_F)
            for k, errors in found.items():
                nearest_Nk = apart_NM.topk(k, largest=False).indices
                off_NK = (actions_MKA[nearest_Nk].mean(1) - wanted_NKA).abs().mean(-1)
                errors.append(float(off_NK[valid_NK].mean()))
    print('rad/s after', ', '.join(map(str, COUNTS)), 'episodes')
    for k, errors in found.items():
        print(f'{k:3d} nearest:', ', '.join(f'{error:.3f}' for error in errors))


if __name__ == '__main__':
    main()
