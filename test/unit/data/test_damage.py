"""Whatever happens to its files, a data set is refused in one line, never by a traceback."""

import shutil

import numpy as np
import pytest
import recordings

from vla_ros.data.check import check_dataset
from vla_ros.data.reader import open_dataset
from vla_ros.errors import VlaRosError

CUTS, FLIPS = 12, 12


@pytest.fixture(scope='module', params=['image', 'video'])
def sound(request, tmp_path_factory):
    return recordings.record(tmp_path_factory.mktemp(request.param) / 'a', request.param)


def read_all(folder):
    """Read everything; the only errors are ours, of one line."""
    try:
        dataset = open_dataset(folder)
        dataset.statistics()
        dataset.columns([n for n, f in dataset.spec.all_features.items() if not f.is_image])
        for camera in dataset.spec.cameras:
            dataset.images(camera)
            dataset.images(camera, 1)
    except VlaRosError as error:
        message = str(error)
    else:
        return ''
    assert message and '\n' not in message
    return message


def files_of(folder):
    return sorted(path for path in folder.rglob('*') if path.is_file())


def damaged(sound, tmp_path, change):
    """Yield a copy of the data set for each of its files, with that one changed."""
    for path in files_of(sound):
        if path.name == 'vla_ros.json':
            continue  # read by the writer alone
        folder = tmp_path / 'copy'
        shutil.copytree(sound, folder)
        victim = folder / path.relative_to(sound)
        change(victim)
        yield victim, folder
        shutil.rmtree(folder)


def test_missing_files_are_named(sound, tmp_path):
    for victim, folder in damaged(sound, tmp_path, lambda path: path.unlink()):
        message = read_all(folder)
        assert message, victim
        assert list(check_dataset(folder)), victim


def test_files_that_are_cut_off_are_named(sound, tmp_path):
    rng = np.random.default_rng(0)
    for share in [0.0, *rng.random(CUTS)]:

        def cut(path, share=share):
            content = path.read_bytes()
            path.write_bytes(content[: int(share * len(content))])

        for victim, folder in damaged(sound, tmp_path, cut):
            assert read_all(folder), f'{victim} cut to {share:.2f} was read'
            assert list(check_dataset(folder))


def test_files_with_wrong_bytes_cause_no_traceback(sound, tmp_path):
    rng = np.random.default_rng(1)
    for _ in range(FLIPS):

        def flip(path):
            content = bytearray(path.read_bytes())
            for position in rng.integers(0, len(content), 4):
                content[position] = rng.integers(256)
            path.write_bytes(content)

        for _, folder in damaged(sound, tmp_path, flip):
            read_all(folder)
            list(check_dataset(folder))


@pytest.mark.parametrize(
    'text', ['', 'null', '[]', '{}', '7', '[' * 9000, '{"action": 1}', '\x00']
)
def test_json_files_with_anything_in_them(sound, tmp_path, text):
    for name in ('info', 'stats'):
        folder = tmp_path / name
        shutil.copytree(sound, folder)
        (folder / f'meta/{name}.json').write_text(text)
        message = read_all(folder)
        assert message or (name, text) == ('stats', '{}')
        assert list(check_dataset(folder))


def test_what_is_no_data_set_says_so(tmp_path):
    with pytest.raises(VlaRosError, match='is no data set of the LeRobot'):
        open_dataset(tmp_path)
    with pytest.raises(VlaRosError, match='is no data set of the LeRobot'):
        open_dataset(tmp_path / 'nowhere')
