"""What the real lerobot does with data sets; run by the interpreter of .venv-lerobot.

python lerobot_side.py < commands.json      [["read", folder, out.npz], …]
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

# torchvision's compiled part belongs to another torch: what its import needs is declared here.
operators = torch.library.Library('torchvision', 'DEF')
for name in ('nms', 'qnms'):
    operators.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')

from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402

SENTENCES = ('label.task_index',)  # lerobot has no words for these


def opened(folder):
    return LeRobotDataset('local/test', root=folder, video_backend='pyav')


def read(folder, out):
    """Write every frame as lerobot gives it, and what it says of the whole."""
    dataset = opened(folder)
    frames = [dataset[k] for k in range(len(dataset))]
    arrays = {
        f'frame/{name}': np.stack([np.asarray(frame[name]) for frame in frames])
        for name in frames[0]
    }
    for name, entries in dataset.meta.stats.items():
        arrays |= {f'stats/{name}/{key}': values for key, values in entries.items()}
    arrays['lengths'] = np.array([row['length'] for row in dataset.meta.episodes])
    arrays['episodes'] = np.array(dataset.num_episodes)
    np.savez(out, **arrays)


def write(folder, source, out_codec='h264'):
    """Record the episodes of an npz file with lerobot."""
    episodes = np.load(source, allow_pickle=True)
    features = json.loads(str(episodes['features']))
    for feature in features.values():
        feature['shape'] = tuple(feature['shape'])
    dataset = LeRobotDataset.create(
        'local/test', 10, features, root=folder, robot_type='sim', vcodec=out_codec
    )
    save(dataset, episodes, features)


def append(folder, source):
    """Go on recording a data set that is there."""
    episodes = np.load(source, allow_pickle=True)
    save(opened(folder), episodes, json.loads(str(episodes['features'])))


def save(dataset, episodes, features):
    for k in range(int(episodes['count'])):
        tasks = episodes[f'{k}/task']
        for row, task in enumerate(tasks):
            frame = {name: episodes[f'{k}/{name}'][row] for name in features}
            frame = {
                name: np.array([value]) if features[name]['shape'] in ((1,), [1]) else value
                for name, value in frame.items()
            }
            dataset.add_frame({**frame, 'task': str(task)})
        dataset.save_episode(parallel_encoding=False)
    dataset.finalize()


if __name__ == '__main__':
    for verb, *arguments in json.load(sys.stdin):
        {'read': read, 'write': write, 'append': append}[verb](
            *[Path(a) if '/' in a else a for a in arguments]
        )
