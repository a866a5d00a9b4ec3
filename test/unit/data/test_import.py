"""Episodes of the simple JSON form become a data set; what is wrong with them is one line."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import recordings
from PIL import Image

from vla_ros.cli import main
from vla_ros.data.features import Feature, Spec
from vla_ros.data.import_json import import_json
from vla_ros.data.json_episodes import FILE_KEYS, STEP_KEYS
from vla_ros.data.reader import open_dataset
from vla_ros.data.writer import DatasetWriter
from vla_ros.errors import VlaRosError

CAMERA = 'observation.images.front'


def described(folder, lengths=(4, 3)):
    """Write images, and return what describes two episodes of them."""
    episodes = []
    for k, length in enumerate(lengths):
        columns = recordings.columns(k, length)
        steps = []
        for row in range(length):
            name = f'{k}_{row}.png'
            cv2.imwrite(str(folder / name), columns[CAMERA][row][..., ::-1])
            steps.append(
                {
                    'image': name,
                    'action': columns['action'][row].tolist(),
                    'joint_positions': columns['observation.state'][row, :7].tolist(),
                    'gripper_opening_m': float(columns['observation.state'][row, 7]),
                }
            )
        episodes.append({'instruction': recordings.TASKS[k], 'steps': steps})
    return {'fps': recordings.FPS, 'robot_type': 'sim', 'episodes': episodes}


@pytest.mark.parametrize('form', ['json', 'jsonl'])
def test_what_is_described_is_imported(tmp_path, form, capsys):
    value = described(tmp_path)
    source, output = tmp_path / f'episodes.{form}', tmp_path / 'dataset'
    options = []
    if form == 'json':
        source.write_text(json.dumps(value))
    else:
        source.write_text('\n'.join(json.dumps(e) for e in value['episodes']) + '\n')
        options = ['--fps', '10', '--arm', 'sim']
    assert main(['data', 'import', str(source), '--output', str(output), *options]) == 0
    assert '2 episodes' in capsys.readouterr().out
    dataset = open_dataset(output)
    assert dataset.tasks == recordings.TASKS
    assert dataset.spec.features['action'].names[0] == 'panda_joint1'
    for k, length in enumerate((4, 3)):
        wanted = recordings.columns(k, length)
        assert np.array_equal(dataset.images(CAMERA, k), wanted[CAMERA])
        for name in ('action', 'observation.state'):
            assert np.allclose(dataset.column(name, k), wanted[name], atol=1e-7)
    assert main(['data', 'check', str(output)]) == 0


def test_the_example_in_the_documentation_imports(tmp_path):
    page = (Path(__file__).resolve().parents[3] / 'docs' / 'data.md').read_text()
    (tmp_path / 'frames').mkdir()
    cv2.imwrite(str(tmp_path / 'frames' / '000.png'), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / 'e.json').write_text(page.split('```json')[1].split('```')[0])
    assert import_json(tmp_path / 'e.json', tmp_path / 'd', None, None, 'image') == 1
    assert all(f'`{key}`' in page for key in (*FILE_KEYS, 'instruction', *STEP_KEYS))


def test_importing_goes_on_where_it_was_broken_off(tmp_path):
    value = described(tmp_path)
    source, output = tmp_path / 'episodes.json', tmp_path / 'dataset'
    source.write_text(json.dumps(value))
    broken = tmp_path / value['episodes'][1]['steps'][0]['image']
    image = broken.read_bytes()
    broken.write_bytes(image[:40])
    with pytest.raises(VlaRosError, match='damaged'):
        import_json(source, output, None, None, 'image')
    broken.write_bytes(image)
    assert import_json(source, output, None, None, 'image') == 2
    assert [e.length for e in open_dataset(output).episodes] == [4, 3]


def test_many_cameras_and_instructions_within_an_episode(tmp_path):
    value = described(tmp_path, (3,))
    for step in value['episodes'][0]['steps']:
        step['images'] = {'front': step['image'], 'wrist': step.pop('image')}
    value['episodes'][0]['steps'][2]['instruction'] = 'stop'
    (tmp_path / 'e.json').write_text(json.dumps(value))
    import_json(tmp_path / 'e.json', tmp_path / 'd', None, None, 'video')
    dataset = open_dataset(tmp_path / 'd')
    assert dataset.spec.cameras == (CAMERA, 'observation.images.wrist')
    assert dataset.episodes[0].tasks == (recordings.TASKS[0], 'stop')
    assert np.array_equal(dataset.column('task_index'), [0, 0, 1])


def change(keys, value):
    def apply(content):
        *path, last = keys
        for key in path:
            content = content[key]
        if value is None:
            del content[last]
        else:
            content[last] = value

    return apply


STEP = ('episodes', 1, 'steps', 2)


@pytest.mark.parametrize(
    'keys, value, message',
    [
        (('fps',), None, 'add --fps'),
        (('fps',), 'fast', "fps 'fast' is not a whole number"),
        (('fps',), 0, 'fps 0 is not'),
        (('episodes',), [], 'at least one'),
        (('episodes', 1), 7, 'episode 1 is no object'),
        (('episodes', 1, 'steps'), [], "a list 'steps'"),
        (('episodes', 1, 'instruction'), None, 'episode 1, step 0: no instruction'),
        (('episodes', 1, 'name'), 'x', "unknown key 'name'; known: instruction, steps"),
        ((*STEP, 'action'), [0.0] * 6, 'action has 6 values; 7 or 8 numbers'),
        ((*STEP, 'action'), [0.0] * 6 + ['x'], "action holds 'x'"),
        ((*STEP, 'action'), [0.0] * 6 + [float('nan')], 'action holds nan'),
        ((*STEP, 'action'), [0.0] * 7, 'but episode 1 has'),
        ((*STEP, 'image'), None, 'no image'),
        ((*STEP, 'image'), 'nowhere.png', 'nowhere.png: missing'),
        ((*STEP, 'image'), 'episodes.json', 'no image, or a damaged one'),
        ((*STEP, 'image'), 'small.png', 'small.png is 2x2, those before are 32x24'),
        ((*STEP, 'joint_positions'), None, 'gripper_opening_m needs joint_positions'),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, capsys, keys, value, message):
    content = described(tmp_path)
    cv2.imwrite(str(tmp_path / 'small.png'), np.zeros((2, 2, 3), np.uint8))
    change(keys, value)(content)
    source = tmp_path / 'episodes.json'
    source.write_text(json.dumps(content))
    assert main(['data', 'import', str(source), '--output', str(tmp_path / 'd')]) == 2
    shown = capsys.readouterr().err
    assert message in shown and 'Traceback' not in shown and shown.count('\n') == 1


@pytest.mark.parametrize('text', ['', '{', '[' * 5000, '7', '\xff', '{"episodes": 3}'])
def test_what_is_no_json_is_one_line(tmp_path, capsys, text):
    (tmp_path / 'e.json').write_bytes(text.encode('latin-1'))
    assert main(['data', 'import', str(tmp_path / 'e.json'), '--output', str(tmp_path / 'd')]) == 2
    assert 'Traceback' not in capsys.readouterr().err


@pytest.mark.parametrize('storage', ['image', 'video'])
def test_info_and_view_show_what_is_there(tmp_path, capsys, monkeypatch, storage):
    monkeypatch.setenv('COLUMNS', '150')
    folder = recordings.record(tmp_path / 'a', storage)
    assert main(['data', 'info', str(folder)]) == 0
    shown = capsys.readouterr().out
    assert '3 episodes, 15 frames at 10 frames/s' in shown
    assert all(task in shown for task in recordings.TASKS)
    assert 'joint1' in shown and '2 x 4 x 8' in shown
    sheet = tmp_path / 'sheet.png'
    view = ['data', 'view', str(folder), '--output', str(sheet)]
    assert main([*view, '--episodes', '2', '--frames', '3']) == 0
    with Image.open(sheet) as image:
        width, height = image.size
        assert height == 2 * (24 + 164) and width == 3 * (4 + round(160 * 32 / 24))
        colours = len(image.convert('RGB').getcolors(2**24))
    assert colours > 200
    assert main([*view, '--first', '9']) == 2
    assert 'no episode 9' in capsys.readouterr().err
    assert main([*view, '--camera', 'x']) == 2


def one_feature(folder, texts, length=5):
    """Record an episode for each text; all that differs between two such data sets is the text."""
    features = {name: recordings.spec().features[name] for name in (CAMERA, 'action')}
    writer = DatasetWriter(folder, Spec(recordings.FPS, features, 'sim'))
    for k, text in enumerate(texts):
        columns = recordings.columns(k, length)
        writer.save_episode({name: columns[name] for name in features}, text, k)
    writer.finalize()
    return folder


def test_another_text_changes_its_caption_and_nothing_else_of_a_contact_sheet(tmp_path):
    first, second = (
        one_feature(tmp_path / text.split()[0], ['reach the red cube', text, 'stop'])
        for text in ('pick up the red cube', 'drop the blue ball')
    )
    sheets = []
    for folder in (first, second):
        sheet = folder.with_suffix('.png')
        assert main(['data', 'view', str(folder), '--output', str(sheet)]) == 0
        with Image.open(sheet) as image:
            sheets.append(np.asarray(image.convert('RGB')))
    rows, columns = np.nonzero((sheets[0] != sheets[1]).any(axis=-1))
    caption, tile, gap = 24, 160, 4
    block = caption + tile + gap
    assert len(sheets[0]) == 3 * block
    assert block <= rows.min() and rows.max() < block + caption  # of the second episode
    assert len(set(rows)) > 8 and columns.max() - columns.min() > 60  # letters, not a speck


def test_info_prints_quantiles_of_the_data(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '150')
    rng, length = np.random.default_rng(0), 300
    features = {'action': Feature('float32', (2,), ('even', 'steep'))}
    writer = DatasetWriter(tmp_path / 'a', Spec(recordings.FPS, features))
    action = np.stack([np.arange(length) / 10, 2.0 ** -np.arange(length)], axis=-1)
    action = rng.permutation(action).astype(np.float32)
    writer.save_episode({'action': action}, 'reach')
    writer.finalize()
    assert main(['data', 'info', str(tmp_path / 'a')]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    names = next(words for words in lines if 'q99' in words)
    for k, name in enumerate(('even', 'steep')):
        (row,) = (words for words in lines if words[:1] == [name] and len(words) == 8)
        shown = dict(zip(names, map(float, row[1:]), strict=True))
        ranked = np.sort(action[:, k])
        for quantile, share in (('q01', 0.01), ('q50', 0.5), ('q99', 0.99)):
            rank = round(share * length)
            low, high = ranked[rank - 1], ranked[rank]  # as many are below as the share says
            assert low - 0.001 <= shown[quantile] <= high + 0.001, (name, quantile)
        assert shown['max'] == pytest.approx(ranked[-1], abs=0.001)


def test_a_killed_recording_is_finalized_by_command(tmp_path, capsys):
    writer = DatasetWriter(tmp_path / 'a', recordings.spec())
    writer.save_episode(recordings.columns(0, 4), 'reach')
    assert main(['data', 'finalize', str(tmp_path / 'a')]) == 0
    assert '1 episodes' in capsys.readouterr().out
    assert len(open_dataset(tmp_path / 'a')) == 4
    assert main(['data', 'finalize', str(tmp_path / 'a')]) == 0
    assert main(['data', 'finalize', str(tmp_path / 'nowhere')]) == 2
    assert 'nothing was recorded' in capsys.readouterr().err
