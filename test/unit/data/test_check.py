"""Each mistake in a data set is found, with its place; a sound one has none."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recordings

from vla_ros.cli import main
from vla_ros.data.check import check_dataset
from vla_ros.data.writer import DatasetWriter

CAMERA = 'observation.images.front'


def record(folder, storage='image', **changes):
    """Record two episodes of 12 frames; the second is as `changes` say."""
    writer = DatasetWriter(folder, recordings.spec(storage))
    for key in range(2):
        columns = recordings.columns(key, 12)
        if key:
            columns |= {n: change(columns[n]) for n, change in changes.items() if n in columns}
            if 'timestamp' in changes:
                columns['timestamp'] = changes['timestamp'](np.arange(12) / recordings.FPS)
        writer.save_episode(columns, recordings.TASKS[key], key)
    writer.finalize()
    return folder


def put(frame, value):
    def change(values):
        values = values.copy()
        values[frame] = value
        return values

    return change


def arm_only(function):
    return lambda v: np.concatenate([function(v[:, :7]), v[:, 7:]], axis=1).astype(np.float32)


def frozen(images):
    images = images.copy()
    images[3:] = images[3]
    return images


CASES = {
    'nothing': ({}, None),
    'NaN': ({'action': put(4, np.nan)}, ('numbers', 4, 'nan')),
    'infinity': ({'label.action': put(5, np.inf)}, ('numbers', 5, 'inf')),
    'frozen camera': ({CAMERA: frozen}, ('images', 3, 'frozen')),
    'dark camera': ({CAMERA: put(6, 0)}, ('images', 6, 'one colour')),
    'stamp twice': ({'timestamp': put(5, 0.4)}, ('stamps', 5, 'same stamp')),
    'stamp back': ({'timestamp': put(5, 0.2)}, ('stamps', 5, 'earlier')),
    'gap': ({'timestamp': lambda t: t + (t > 0.55)}, ('stamps', 6, 'a step that is not')),
    'positions in degrees': (
        {'observation.state': arm_only(np.degrees)},
        ('units', 0, 'looks like degrees'),
    ),
    'speeds in degrees': ({'action': arm_only(np.degrees)}, ('units', None, 'degrees')),
    'beyond the limits': ({'action': put((4, 2), 3.0)}, ('motion', 4, 'beyond')),
    'openings in mm': ({'action': put((slice(None), 7), 40.0)}, ('units', 0, 'opening')),
    'wrong signs': ({'action': arm_only(np.negative)}, ('motion', None, 'wrong way round')),
    'a frame late': (
        {'action': arm_only(lambda a: np.roll(a, 1, axis=0))},
        ('motion', None, 'a frame late'),
    ),
    'differences': (
        {'action': arm_only(lambda a: a / recordings.FPS)},
        ('motion', None, 'multiply by fps'),
    ),
}


@pytest.mark.parametrize('name', CASES)
def test_mistakes_are_found_with_their_place(tmp_path, name):
    changes, expected = CASES[name]
    findings = list(check_dataset(record(tmp_path / 'a', **changes)))
    if expected is None:
        assert not findings
        return
    kind, frame, text = expected
    assert all(finding.episode in (1, None) for finding in findings)
    assert any(
        finding.kind == kind
        and frame in (None, finding.frame)
        and text in f'{finding.found} {finding.remedy}'
        for finding in findings
    ), findings


def test_a_frozen_video_is_found_and_a_good_one_is_not(tmp_path):
    assert not list(check_dataset(record(tmp_path / 'good', 'video')))
    findings = list(check_dataset(record(tmp_path / 'bad', 'video', **{CAMERA: frozen})))
    assert [(f.kind, f.episode) for f in findings] == [('images', 1)]


def test_a_still_picture_of_an_arm_at_rest_is_no_mistake(tmp_path):
    still = {
        CAMERA: lambda v: np.broadcast_to(v[:1], v.shape).copy(),
        'action': arm_only(np.zeros_like),
        'observation.state': lambda v: np.broadcast_to(v[:1], v.shape).copy(),
    }
    assert not list(check_dataset(record(tmp_path / 'a', **still)))


def test_noise_as_large_as_a_third_of_the_motion_is_no_mismatch(tmp_path):
    noise = np.random.default_rng(3).normal(0.0, 0.07, (12, 7))
    change = {'action': arm_only(lambda a: a + noise)}
    assert not list(check_dataset(record(tmp_path / 'a', **change)))


def rewrite(path, change):
    table = pq.read_table(path)
    pq.write_table(change(table), path)


def set_column(name, row, value):
    def change(table):
        values = table[name].to_pylist()
        values[row] = value
        k = table.schema.get_field_index(name)
        return table.set_column(k, name, pa.array(values, table.schema.field(name).type))

    return change


@pytest.mark.parametrize(
    'name, row, value, text',
    [
        ('frame_index', 14, 3, "'frame_index' is 3, not 2"),
        ('index', 14, 3, "'index' is 3, not 14"),
        ('episode_index', 14, 0, "'episode_index' is 0, not 1"),
        ('task_index', 14, 7, "'task_index' is 7, but there are 2 tasks"),
        (CAMERA, 14, {'bytes': b'\x89PNG broken', 'path': None}, 'image 2 is damaged'),
        (CAMERA, 14, {'bytes': None, 'path': 'x.png'}, 'without image bytes'),
        ('action', 14, None, 'empty cells'),
    ],
)
def test_columns_that_were_mixed_up_are_found(tmp_path, name, row, value, text):
    folder = record(tmp_path / 'a')
    rewrite(folder / 'data/chunk-000/file-000.parquet', set_column(name, row, value))
    findings = [f.found for f in check_dataset(folder)]
    assert any(text in found for found in findings), findings


def test_stray_files_wrong_counts_and_stale_statistics_are_found(tmp_path):
    folder = record(tmp_path / 'a')
    data = folder / 'data/chunk-000/file-000.parquet'
    data.with_name('file-007.parquet').write_bytes(data.read_bytes())
    for name, change in (
        ('info', lambda v: v.update(total_tasks=9)),
        ('stats', lambda v: v['action'].update(max=[9.0] * 8)),
    ):
        path = folder / f'meta/{name}.json'
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))
    found = ' '.join(f.found for f in check_dataset(folder))
    assert 'belongs to no episode' in found
    assert 'says 9 tasks' in found
    assert "max of 'action'" in found


def test_the_command_says_where_and_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '120')
    good, bad = record(tmp_path / 'good'), record(tmp_path / 'bad', action=put(4, np.nan))
    assert main(['data', 'check', str(good)]) == 0
    assert 'nothing is wrong' in capsys.readouterr().out
    assert main(['data', 'check', str(bad), '--json', str(tmp_path / 'found.json')]) == 1
    assert "'action' [0] is nan" in capsys.readouterr().out
    (finding, *_) = json.loads((tmp_path / 'found.json').read_text())
    assert (finding['kind'], finding['episode'], finding['frame']) == ('numbers', 1, 4)
    assert main(['data', 'check', str(good), '--arm', 'nonsense']) == 2
    assert main(['data', 'check', str(tmp_path / 'nowhere')]) == 1
