"""What is recorded is read again, whoever recorded it and however often it was broken off."""

import json
import multiprocessing
import shutil

import numpy as np
import pytest
import recordings
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros.data import finishing
from vla_ros.data.columns import to_arrow, to_numpy
from vla_ros.data.features import Feature, Spec
from vla_ros.data.reader import open_dataset
from vla_ros.data.writer import DatasetWriter
from vla_ros.errors import DatasetError

CAMERA = 'observation.images.front'
LENGTHS = (5, 7, 3)
CODEC_MEAN, CODEC_WORST = 4.0, 24  # levels of 256 that yuv420p and the codec may cost


@pytest.mark.parametrize('storage', ['image', 'video'])
def test_what_is_recorded_is_read(tmp_path, storage):
    dataset = open_dataset(recordings.record(tmp_path / 'a', storage, LENGTHS))
    assert [episode.length for episode in dataset.episodes] == list(LENGTHS)
    assert dataset.spec.fps == recordings.FPS and dataset.spec.robot_type == 'sim'
    tasks = np.array(dataset.tasks, dtype=object)
    everything = dataset.images(CAMERA)
    for k, episode in enumerate(dataset.episodes):
        for name, wanted in recordings.columns(k, episode.length).items():
            if name == CAMERA:
                found = dataset.images(CAMERA, k)
                assert np.array_equal(everything[episode.first : episode.end], found)
                wrong = np.abs(found.astype(int) - wanted)
                assert wrong.max() <= (0 if storage == 'image' else CODEC_WORST)
                assert wrong.mean() <= (0 if storage == 'image' else CODEC_MEAN)
            elif name == 'label.task_index':
                assert (tasks[dataset.column(name, k)] == wanted).all()
            else:
                found = dataset.column(name, k)
                assert found.dtype == wanted.dtype and np.array_equal(found, wanted)
        assert set(tasks[dataset.column('task_index', k)]) == set(episode.tasks)
    assert np.array_equal(dataset.column('index'), np.arange(sum(LENGTHS)))
    assert np.allclose(dataset.column('timestamp', 1), np.arange(LENGTHS[1]) / recordings.FPS)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(['float32', 'float64', 'int64', 'uint8', 'bool', 'string']),
    st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple),
    st.integers(0, 5),
    st.integers(0, 2),
)
def test_columns_of_every_shape_come_back(dtype, shape, frames, skipped):
    feature = Feature(dtype, shape)
    values = np.random.default_rng(0).integers(0, 2, (frames, *shape))
    values = values.astype(str).astype(object) if dtype == 'string' else values.astype(dtype)
    column = to_arrow(feature, values).slice(skipped)
    found = to_numpy('x', feature, column)
    assert np.array_equal(found, values[skipped:].reshape(found.shape))


def test_frame_by_frame_is_episode_by_episode(tmp_path):
    recordings.record(tmp_path / 'whole', lengths=(5,))
    writer = DatasetWriter(tmp_path / 'frames', recordings.spec())
    values = recordings.columns(0, 5)
    for k in range(5):
        writer.add_frame({name: column[k] for name, column in values.items()}, recordings.TASKS[0])
    assert writer.save_episode() == 0
    with pytest.raises(DatasetError, match='at least one frame'):
        writer.save_episode()
    writer.finalize()
    assert contents(tmp_path / 'frames') == contents(tmp_path / 'whole')


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def work(folder, keys):
    writer = DatasetWriter(folder, recordings.spec('video'))
    for key in keys:
        writer.save_episode(recordings.columns(key, LENGTHS[key]), recordings.TASKS[key % 2], key)


def test_many_processes_record_what_one_does(tmp_path):
    one = recordings.record(tmp_path / 'one', 'video', LENGTHS)
    many = tmp_path / 'many'
    context = multiprocessing.get_context('fork')
    processes = [context.Process(target=work, args=(many, keys)) for keys in ((2, 0), (1,))]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert DatasetWriter(many, recordings.spec('video')).finalize() == 3
    assert contents(many) == contents(one)


class Killed(BaseException):
    """Stands for kill -9: nothing cleans up behind it."""


@pytest.mark.parametrize('step', range(9))
def test_finalizing_can_be_broken_off_anywhere(tmp_path, monkeypatch, step):
    one = recordings.record(tmp_path / 'one', lengths=LENGTHS)
    folder = tmp_path / 'broken'
    recordings.record(folder, lengths=LENGTHS[:1])
    writer = DatasetWriter(folder, recordings.spec())
    for key in (1, 2):
        writer.save_episode(recordings.columns(key, LENGTHS[key]), recordings.TASKS[key % 2], key)
    calls = 0

    def fragile(function):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls > step:
                raise Killed
            return function(*arguments, **options)

        return call

    path = type(folder)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(path, 'replace', fragile(path.replace))
        patched.setattr(path, 'rename', fragile(path.rename))
        patched.setattr(shutil, 'rmtree', fragile(shutil.rmtree))
        writer.finalize()
        raise Killed
    assert finishing.finished_keys(folder) in ([0], [0, 1, 2])
    again = DatasetWriter(folder, recordings.spec())
    assert again.keys == {0, 1, 2}
    assert again.finalize() == 3
    ours, wanted = open_dataset(folder), open_dataset(one)
    assert not (folder / 'staging').exists()
    for name in ('action', 'index', 'task_index', 'label.task_index'):
        assert np.array_equal(ours.column(name), wanted.column(name))
    assert np.array_equal(ours.images(CAMERA), wanted.images(CAMERA))
    assert ours.tasks == wanted.tasks
    for name, entries in wanted.statistics().items():
        for key, numbers in entries.items():
            assert np.allclose(ours.statistics()[name][key], numbers), (name, key)


def test_an_episode_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    writer = DatasetWriter(tmp_path, recordings.spec('video'))
    path = type(tmp_path)
    with monkeypatch.context() as patched, pytest.raises(Killed):

        def replace(source, target):
            if target.suffix == '.parquet':
                raise Killed
            return source.rename(target)

        patched.setattr(path, 'replace', replace)
        writer.save_episode(recordings.columns(0, 4), 'reach', 0)
    assert not writer.keys
    writer.save_episode(recordings.columns(0, 4), 'reach', 0)
    writer.finalize()
    assert len(open_dataset(tmp_path)) == 4


def test_big_data_sets_go_into_several_files(tmp_path, monkeypatch):
    one = open_dataset(recordings.record(tmp_path / 'one', 'video', LENGTHS))
    monkeypatch.setattr('vla_ros.data.layout.DATA_FILE_MB', 1e-3)
    monkeypatch.setattr('vla_ros.data.layout.VIDEO_FILE_MB', 1e-3)
    monkeypatch.setattr('vla_ros.data.layout.FILES_A_CHUNK', 2)
    many = open_dataset(recordings.record(tmp_path / 'many', 'video', LENGTHS))
    places = [(0, 0), (0, 1), (1, 0)]
    assert [episode.place for episode in many.episodes] == places
    assert [episode.videos[CAMERA].place for episode in many.episodes] == places
    assert np.array_equal(one.column('action'), many.column('action'))
    assert np.array_equal(one.images(CAMERA), many.images(CAMERA))
    assert np.array_equal(one.column('label.action', 2), many.column('label.action', 2))


@pytest.mark.parametrize(
    'change, message',
    [
        ({'action': np.zeros((5, 7), np.float32)}, "'action' is of shape"),
        ({'action': np.zeros((5, 8))}, 'is of dtype float64, not float32'),
        ({'action': None}, "feature 'action' is missing"),
        ({'speed': np.zeros(5)}, "unknown feature 'speed'"),
        ({CAMERA: np.zeros((5, 24, 32, 4), np.uint8)}, 'is of shape'),
        ({CAMERA: np.zeros((5, 24, 32, 3))}, 'not uint8'),
    ],
)
def test_episodes_that_do_not_fit_are_refused(tmp_path, change, message):
    writer = DatasetWriter(tmp_path, recordings.spec())
    values = {**recordings.columns(0, 5), **change}
    with pytest.raises(DatasetError, match=message):
        writer.save_episode({k: v for k, v in values.items() if v is not None}, 'reach')
    assert not writer.keys


def test_another_specification_needs_another_folder(tmp_path):
    recordings.record(tmp_path / 'a')
    other = Spec(20, recordings.spec().features, 'sim')
    with pytest.raises(DatasetError, match="'fps' is 10 there and 20 here"):
        DatasetWriter(tmp_path / 'a', other)
    with pytest.raises(DatasetError, match="'depth' is None there"):
        DatasetWriter(tmp_path / 'a', recordings.spec(depth=Feature('float32', (1,))))
    (tmp_path / 'b').mkdir()
    (tmp_path / 'b' / 'thesis.tex').write_text('')
    with pytest.raises(DatasetError, match='no data set'):
        DatasetWriter(tmp_path / 'b', recordings.spec())


def test_an_unfinished_recording_says_what_to_do(tmp_path):
    writer = DatasetWriter(tmp_path, recordings.spec())
    with pytest.raises(DatasetError, match='no episodes'):
        writer.finalize()
    writer.save_episode(recordings.columns(0, 4), 'reach')
    with pytest.raises(DatasetError, match='vla-ros data finalize'):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match='key 0 is taken'):
        writer.save_episode(recordings.columns(0, 4), 'reach', 0)


def test_no_path_leads_out_of_the_folder(tmp_path):
    folder = recordings.record(tmp_path / 'a')
    info = json.loads((folder / 'meta/info.json').read_text())
    info['data_path'] = '../{chunk_index}{file_index}'
    (folder / 'meta/info.json').write_text(json.dumps(info))
    with pytest.raises(DatasetError, match='leads out of the data set'):
        open_dataset(folder).column('action')
