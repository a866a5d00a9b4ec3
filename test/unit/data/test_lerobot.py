"""The real lerobot reads what we write, and we read what it writes.

It runs in .venv-lerobot, which tools/lerobot_env.py makes on first use (12 s, about 75 MB).
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import recordings

from vla_ros.data.features import feature_to_json
from vla_ros.data.reader import open_dataset
from vla_ros.data.writer import DatasetWriter

ROOT = Path(__file__).resolve().parents[3]
SIDE = Path(__file__).with_name('lerobot_side.py')
CAMERA = 'observation.images.front'
LENGTHS = (5, 7, 3)
CODEC_MEAN, CODEC_WORST = 5.0, 40  # levels of 256; lerobot's own coding is coarser than ours
BOTH = pytest.mark.parametrize('storage', ['image', 'video'])


def episode_of(seed: int, length: int) -> dict[str, np.ndarray]:
    """Return an episode without words in its columns, which lerobot does not take."""
    columns = recordings.columns(seed, length)
    columns['label.task_index'] = np.arange(2 * length).reshape(length, 2) % 2
    return columns


def record(folder: Path, storage: str) -> Path:
    writer = DatasetWriter(folder, recordings.spec(storage))
    for key, length in enumerate(LENGTHS):
        writer.save_episode(episode_of(key, length), recordings.TASKS[key % 2], key)
    writer.finalize()
    return folder


def save_npz(path: Path, storage: str, lengths: tuple[int, ...]) -> Path:
    features = {n: feature_to_json(f) for n, f in recordings.spec(storage).features.items()}
    arrays = {'features': np.array(json.dumps(features)), 'count': np.array(len(lengths))}
    for k, length in enumerate(lengths):
        arrays[f'{k}/task'] = np.array([recordings.TASKS[k % 2]] * length)
        arrays |= {f'{k}/{name}': values for name, values in episode_of(k, length).items()}
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope='module')
def lerobot(tmp_path_factory) -> Path:
    """Let lerobot write, read and append, all in one process: its import takes seconds."""
    made = subprocess.run(
        [sys.executable, ROOT / 'tools' / 'lerobot_env.py'], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    folder = tmp_path_factory.mktemp('lerobot')
    commands = []
    for storage in ('image', 'video'):
        npz = save_npz(folder / f'{storage}.npz', storage, LENGTHS)
        more = save_npz(folder / f'{storage}_more.npz', storage, (4,))
        ours, theirs = record(folder / f'ours_{storage}', storage), folder / f'theirs_{storage}'
        record(folder / f'grown_{storage}', storage)
        commands += [
            ['read', str(ours), str(folder / f'ours_{storage}.npz')],
            ['write', str(theirs), str(npz), 'libsvtav1'],
            ['read', str(theirs), str(folder / f'theirs_{storage}.npz')],
            ['append', str(folder / f'grown_{storage}'), str(more)],
            ['read', str(folder / f'grown_{storage}'), str(folder / f'grown_{storage}.npz')],
        ]
    ran = subprocess.run(
        [made.stdout.strip(), SIDE],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        cwd=folder,
        env={
            'PATH': '/usr/bin:/bin',
            'HOME': str(folder),
            'HF_HOME': str(folder / 'hf'),
            'HF_HUB_OFFLINE': '1',
            'HF_DATASETS_OFFLINE': '1',
            'OMP_NUM_THREADS': '1',
        },
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return folder


def frames_of(array: np.ndarray) -> np.ndarray:
    """Return images as lerobot gives them, (N, 3, H, W) from 0 to 1, as bytes."""
    return np.round(array.transpose(0, 2, 3, 1) * 255).astype(np.uint8)


def assert_close(found: np.ndarray, wanted: np.ndarray, lossless: bool) -> None:
    wrong = np.abs(found.astype(int) - wanted)
    assert wrong.max() <= (0 if lossless else CODEC_WORST)
    assert wrong.mean() <= (0 if lossless else CODEC_MEAN)


@BOTH
def test_lerobot_reads_what_we_write(lerobot, storage):
    read = np.load(lerobot / f'ours_{storage}.npz')
    assert read['lengths'].tolist() == list(LENGTHS)
    wanted = [episode_of(k, length) for k, length in enumerate(LENGTHS)]
    for name in wanted[0]:
        values = np.concatenate([episode[name] for episode in wanted])
        if name == CAMERA:
            found = frames_of(read[f'frame/{name}'])
            assert_close(found, values, storage == 'image')
            ours = open_dataset(lerobot / f'ours_{storage}').images(CAMERA)
            # Another release of the same decoder: a level of rounding.
            assert np.abs(found.astype(int) - ours).max() <= (0 if storage == 'image' else 2)
        else:
            assert np.array_equal(read[f'frame/{name}'], values), name
    tasks = [recordings.TASKS[k % 2] for k, length in enumerate(LENGTHS) for _ in range(length)]
    assert read['frame/task'].tolist() == tasks


@BOTH
def test_we_read_what_lerobot_writes(lerobot, storage):
    dataset = open_dataset(lerobot / f'theirs_{storage}')
    read = np.load(lerobot / f'theirs_{storage}.npz')
    for name in recordings.spec().features:
        found = read[f'frame/{name}']
        if name == CAMERA:
            wrong = np.abs(frames_of(found).astype(int) - dataset.images(CAMERA))
            assert wrong.max() <= (0 if storage == 'image' else 2)
            values = np.concatenate([episode_of(k, n)[name] for k, n in enumerate(LENGTHS)])
            assert_close(dataset.images(CAMERA), values, storage == 'image')
            assert np.array_equal(dataset.images(CAMERA)[5:12], dataset.images(CAMERA, 1))
        else:
            assert np.array_equal(dataset.column(name), found), name
    named = np.array(dataset.tasks)[dataset.column('task_index')]
    assert named.tolist() == read['frame/task'].tolist()


@BOTH
def test_statistics_are_those_of_lerobot(lerobot, storage):
    ours = open_dataset(lerobot / f'ours_{storage}').statistics()
    theirs = open_dataset(lerobot / f'theirs_{storage}').statistics()
    assert set(ours) == set(theirs)
    for name, entries in theirs.items():
        assert set(ours[name]) == set(entries)
        for key, numbers in entries.items():
            if name == CAMERA and key == 'std':
                continue  # lerobot squares bytes, which overflow
            assert ours[name][key].shape == numbers.shape, (name, key)
            coarse = name == CAMERA and storage == 'video'
            atol = 0.02 if coarse else 2e-3 if key == 'std' else 1e-4
            assert np.allclose(ours[name][key], numbers, rtol=1e-4, atol=atol), (name, key)


@BOTH
def test_lerobot_goes_on_with_our_recording_and_we_with_its(lerobot, storage):
    grown = open_dataset(lerobot / f'grown_{storage}')
    assert [episode.length for episode in grown.episodes] == [*LENGTHS, 4]
    read = np.load(lerobot / f'grown_{storage}.npz')
    assert np.array_equal(read['frame/action'], grown.column('action'))
    theirs = lerobot / f'theirs_{storage}'
    writer = DatasetWriter(theirs, open_dataset(theirs).spec)
    writer.save_episode(episode_of(3, 4), recordings.TASKS[0])
    assert writer.finalize() == 4
    both = open_dataset(theirs)
    assert np.array_equal(both.column('action', 3), episode_of(3, 4)['action'])
    assert_close(both.images(CAMERA, 3), episode_of(3, 4)[CAMERA], storage == 'image')
    assert both.images(CAMERA).shape == (19, recordings.HEIGHT, recordings.WIDTH, 3)
