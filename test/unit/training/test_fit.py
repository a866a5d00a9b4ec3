"""Training of any learner: batches, resumed steps, many processes, and the gate at the end."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from tiny import Killed, TinyLearner, TinyModel, dies_as_it_saves, gradients, make_fit

from vla_ros.cli import main
from vla_ros.core.embodiment import load_arm
from vla_ros.data.features import Feature, Spec
from vla_ros.data.reader import open_dataset
from vla_ros.data.writer import DatasetWriter
from vla_ros.errors import ConfigError
from vla_ros.policies.registry import load_policy
from vla_ros.policies.rt1.policy import Rt1Policy
from vla_ros.policies.vla.policy import VlaPolicy
from vla_ros.sim.tasks.language import sentence
from vla_ros.training.driving import Driving
from vla_ros.training.fit import compiled_part
from vla_ros.training.fit_config import FitConfig
from vla_ros.training.fit_run import UNFINISHED
from vla_ros.training.log import UNDRAWN
from vla_ros.training.record import RecordConfig, record
from vla_ros.training.speech import Speech, every_goal
from vla_ros.training.table import load_table
from vla_ros.training.table_batches import TableBatches
from vla_ros.training.trainer import cosine

ARM = load_arm('sim')
SMALL = RecordConfig(
    episodes=4, episode_steps=6, labels=2, chunk_steps=2, image_width=64, image_height=48,
    cameras=('front',), workers=1,
)  # fmt: skip
PLAIN = FitConfig(steps=6, images=2, device='cpu', average=0.5)


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('data') / 'table'
    record(SMALL, folder)
    return folder


def batches(data: Path, **changes: object) -> TableBatches:
    table, dataset = load_table(data, ARM, 2)
    settings = {'images': 5, 'sentences': 3, 'refusals': 1, 'frames': 3, 'seed': 0} | changes
    return TableBatches(table, Speech(dataset.tasks, 0), **settings)


def test_a_batch_holds_what_was_recorded(data: Path) -> None:
    table, _ = load_table(data, ARM, 2)
    made = batches(data)
    rows, asked = np.array([0, 8, 23]), np.array([[1, 0], [0, 1], [1, 0]])
    batch = made.take(rows, asked, [['a', 'b', 'c']] * 3)
    assert batch.images_BTVHWC.shape == (9, 3, 1, 48, 64, 3)
    assert batch.sentences_per_image == 3
    assert batch.instructions == ('a', 'b', 'c') * 3
    assert batch.grounded_B.tolist() == [True, True, False] * 3
    # history goes back to the beginning of the episode, no further
    assert torch.equal(batch.state_BTP[0], torch.from_numpy(table.states_NP[[0, 0, 0]]))
    assert torch.equal(batch.state_BTP[3], torch.from_numpy(table.states_NP[[6, 7, 8]]))
    assert np.array_equal(batch.actions_BKA[0], table.actions_NMKA[0, 1])
    assert np.array_equal(batch.points_B23[4], table.points_NM23[8, 1])
    refused = ~batch.grounded_B
    assert not batch.actions_BKA[refused].any()
    assert batch.points_B23[refused].isnan().all() and batch.pixels_BV22[refused].isnan().all()


def test_shares_of_a_batch_make_the_whole(data: Path) -> None:
    whole = batches(data, images=4).draw()
    parts = [batches(data, images=2, share=(rank, 2)).draw() for rank in (0, 1)]
    mixed = [parts[i % 2].instructions[3 * (i // 2) : 3 * (i // 2) + 3] for i in range(4)]
    assert tuple(text for texts in mixed for text in texts) == whole.instructions


def test_every_goal_is_said_in_many_ways_that_name_it(data: Path) -> None:
    goals = every_goal()
    assert len(goals) == 12 + 12 + 48 + 48 + 132
    speech = Speech([sentence(goal) for goal in goals], seed=1)
    for index in (0, 20, 60, 100, 200):
        said = {speech.say(index) for _ in range(30)}
        assert len(said) > 15
        assert all(goals[index].object.split()[0] in text for text in said)
    assert Speech(['my own words'], 0).say(0) == 'my own words'


def test_a_recording_of_ones_own_is_labelled_with_what_follows(tmp_path: Path) -> None:
    joints = (*ARM.joints, 'gripper')
    features = {
        'observation.images.front': Feature('image', (48, 64, 3)),
        'observation.state': Feature('float32', (8,), joints),
        'action': Feature('float32', (8,), joints),
    }
    writer = DatasetWriter(tmp_path / 'own', Spec(10, features))
    for length in (3, 4):
        columns = {
            'observation.images.front': np.zeros((length, 48, 64, 3), np.uint8),
            'observation.state': np.zeros((length, 8), np.float32),
            'action': np.arange(8 * length, dtype=np.float32).reshape(length, 8),
        }
        writer.save_episode(columns, 'put the lid on')
    writer.finalize()
    table, _ = load_table(tmp_path / 'own', ARM, 2)
    assert table.valid_NMK[:, 0].tolist() == [[True, True]] * 2 + [[True, False]] + [
        [True, True]
    ] * 3 + [[True, False]]
    assert table.actions_NMKA[1, 0, :, 0].tolist() == [8.0, 16.0]
    assert table.actions_NMKA[2, 0, :, 0].tolist() == [16.0, 16.0]
    batch = batches(tmp_path / 'own').draw()  # nobody knows what is there: no refusals
    assert set(batch.instructions) == {'put the lid on'} and batch.grounded_B.all()


def test_data_of_other_joints_are_refused(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"arm 'fr3' has fr3_joint1"):
        load_table(data, load_arm('fr3'), 2)
    with pytest.raises(ConfigError, match='labelled for 2 steps, chunk_steps is 9'):
        load_table(data, ARM, 9)


def test_joints_that_nobody_named_are_refused(tmp_path: Path) -> None:
    joints = [*ARM.joints, 'gripper']
    for folder, names in (('none', None), ('motors', {'motors': joints})):
        features = {
            'observation.images.front': Feature('image', (48, 64, 3)),
            'observation.state': Feature('float32', (8,), joints),
            'action': Feature('float32', (8,), names),
        }
        writer = DatasetWriter(tmp_path / folder, Spec(10, features))
        columns = {
            'observation.images.front': np.zeros((3, 48, 64, 3), np.uint8),
            'observation.state': np.zeros((3, 8), np.float32),
            'action': np.zeros((3, 8), np.float32),
        }
        writer.save_episode(columns, 'put the lid on')
        writer.finalize()
    load_table(tmp_path / 'motors', ARM, 2)
    with pytest.raises(ConfigError, match=r'action names no joints; .* panda_joint1'):
        load_table(tmp_path / 'none', ARM, 2)


def test_a_resumed_training_ends_with_the_same_weights(data: Path, tmp_path: Path) -> None:
    whole, broken, resumed = (make_fit(data, PLAIN) for _ in range(3))
    for _ in range(6):
        whole.step()
    for _ in range(3):
        broken.step()
    whole.validate()
    broken.save(tmp_path / 'state.pt')
    resumed.load(tmp_path / 'state.pt')
    for _ in range(3):
        resumed.step()
    assert resumed.steps_done == 6
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_a_state_of_another_training_or_a_damaged_one_is_refused(
    data: Path, tmp_path: Path
) -> None:
    fit = make_fit(data, PLAIN)
    fit.save(tmp_path / 'state.pt')
    fit._settings = {'steps': 5}
    with pytest.raises(ConfigError, match='steps 9 there, 5 here'):
        fit.load(tmp_path / 'state.pt')
    (tmp_path / 'state.pt').write_bytes(b'nonsense')
    with pytest.raises(ConfigError, match='delete it'):
        fit.load(tmp_path / 'state.pt')


def test_accumulated_batches_make_the_gradients_of_one(data: Path) -> None:
    plain = {'brightness': 0.0, 'noise': 0.0, 'clip_norm': 1e9, 'device': 'cpu'}
    # two batches of two are other frames than one of four; so: the mean of their gradients
    accumulated = gradients(make_fit(data, FitConfig(images=2, accumulate=2, **plain)))
    fit = make_fit(data, FitConfig(images=2, learning_rate=1e-30, **plain))
    first, second = gradients(fit), gradients(fit)
    for name, value in accumulated.items():
        torch.testing.assert_close(value, (first[name] + second[name]) / 2)


def test_two_processes_make_the_gradients_of_one(data: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name('tiny.py')
    one, two = tmp_path / 'one.pt', tmp_path / 'two.pt'
    launcher = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    for words in ([script, data, one, 4], [*launcher, script, data, two, 2]):
        subprocess.run([sys.executable, *map(str, words)], check=True, timeout=120)
    alone, together = torch.load(one), torch.load(two)
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value)


def test_gradients_are_clipped_to_a_norm(data: Path) -> None:
    free, clipped = (
        gradients(make_fit(data, FitConfig(images=2, device='cpu', clip_norm=most)))
        for most in (1e9, 0.01)
    )
    norms = [float(torch.cat([g.flatten() for g in f.values()]).norm()) for f in (free, clipped)]
    assert norms[0] > 0.1 and norms[1] == pytest.approx(0.01, rel=1e-3)
    for name, value in free.items():
        torch.testing.assert_close(clipped[name], value * norms[1] / norms[0])


def test_the_averaged_weights_are_those_made_by_hand(data: Path, tmp_path: Path) -> None:
    config = FitConfig(images=2, device='cpu', learning_rate=0.05, warm_up_steps=1, average=0.75)
    fit, hand = make_fit(data, config), None
    for _ in range(4):
        fit.step()
        fit.save(tmp_path / 'state.pt')
        now = torch.load(tmp_path / 'state.pt')['model']
        hand = {n: 0.75 * hand[n] + 0.25 * now[n] for n in now} if hand else now
    for name, value in fit.model.state_dict().items():
        torch.testing.assert_close(value, hand[name])
        assert not torch.allclose(value, now[name], atol=1e-3)


def test_the_learning_rate_warms_up_and_ends_at_zero() -> None:
    share = cosine(1000, 100)
    assert share(0) == pytest.approx(0.01)
    assert share(500) == pytest.approx(0.5)
    assert share(1000) == pytest.approx(0.0, abs=1e-9)
    assert max(map(share, range(1000))) == share(99)


@pytest.fixture
def anew() -> Iterator[None]:
    """Let a training choose its precision: accelerate keeps one for all of a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures('anew')
def test_bfloat16_takes_nearly_the_same_step_on_the_cpu(data: Path) -> None:
    plain = gradients(make_fit(data, FitConfig(images=2, device='cpu')))
    AcceleratorState._reset_state(reset_partial_state=True)
    fit = make_fit(data, FitConfig(images=2, device='cpu', bf16=True))
    before = {name: value.clone() for name, value in fit.model.state_dict().items()}
    found = gradients(fit)
    for name, value in fit.model.state_dict().items():
        assert value.dtype == torch.float32 and not torch.equal(value, before[name])
    off = max(float((found[n] - plain[n]).norm() / plain[n].norm()) for n in plain)
    assert 0 < off < 0.2  # it is computed otherwise, and comes to nearly the same


def test_the_command_trains_and_the_gate_keeps_back_what_is_no_good(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / 'tiny.yaml'
    config.write_text(
        'images: 2\nsteps: 2\ndevice: cpu\nmodel: {width: 16, heads: 2, head_width: 8, layers: 1, '
        'frames: 2, image_width_factor: 0.25, image_depth_factor: 0.25, sentence_width: 16}\n'
    )
    output = tmp_path / 'rt1'
    words = ['--policy', 'rt1', '--data', str(data), '--output', str(output)]
    assert main(['train', str(config), *words]) == 2
    assert 'no checkpoint was written' in capsys.readouterr().err
    assert not (output / 'manifest.json').exists()
    assert main(['train', str(config), *words, '--force']) == 0
    training = json.loads((output / 'manifest.json').read_text())['training']
    assert training['forced'].startswith('no better: an arm that holds still is off by')
    assert training['held_out']['hold_still_rad_s'] < training['held_out']['action_rad_s']
    assert (output / 'log.png').stat().st_size > 5000
    with (output / 'log.csv').open() as file:
        (row,) = csv.DictReader(file)
    assert float(row['images_per_s']) > 0 and 0 <= float(row['loader_share']) < 1
    assert float(row['loader_images_per_s']) > 0
    assert isinstance(load_policy(str(output), ARM, 'cpu'), Rt1Policy)


def test_data_faster_than_the_cameras_of_the_arm_are_refused(data: Path) -> None:
    front = replace(ARM.cameras['front'], rate_hz=5.0)
    slow = replace(ARM, cameras={**ARM.cameras, 'front': front})
    with pytest.raises(ConfigError, match=r"10 frames a second; camera 'front' .* gives 5"):
        load_table(data, slow, 2)


def test_a_model_that_knows_tasks_by_number_is_told_the_sentences_of_the_data(
    data: Path, tmp_path: Path
) -> None:
    config = tmp_path / 'tiny.yaml'
    config.write_text(
        'policy: rt1\nimages: 2\nsteps: 2\ndevice: cpu\nmodel: {language: task_id, width: 16, '
        'heads: 2, head_width: 8, layers: 1, frames: 2, image_width_factor: 0.25, '
        'image_depth_factor: 0.25, sentence_width: 16}\n'
    )
    words = [str(config), '--data', str(data), '--output', str(tmp_path / 'rt1')]
    assert main(['train', *words, '--force']) == 0
    policy = load_policy(str(tmp_path / 'rt1'), ARM, 'cpu')
    assert policy._model.config.tasks == tuple(open_dataset(data).tasks)
    adapted = ['adapt', '--base', str(tmp_path / 'rt1'), '--data', str(data), '--force']
    assert main([*adapted, '--output', str(tmp_path / 'more'), '--steps', '1']) == 0


def tiny_vla(folder: Path, steps: int, more: str = '') -> Path:
    """Write how a tiny VLA model is trained without driving the arm; return the file."""
    config = folder / 'tiny.yaml'
    config.write_text(
        f'policy: vla\nimages: 1\nsentences: 2\nsteps: {steps}\ndrive_steps: 0\ndevice: cpu\n'
        f'model: {{width: 16, heads: 2, layers: 1, feedforward: 16, chunk_steps: 2, '
        f'key_points: false, offsets: false, turn: false}}\n{more}'
    )
    return config


def rows_of(log: Path) -> list[dict[str, str]]:
    with log.open(encoding='utf-8') as file:
        return list(csv.DictReader(file))


# g++ is no dependency of ours; that it is asked for where there is none is tested everywhere
@pytest.mark.skipif(not shutil.which('g++'), reason='torch compiles for CPUs by g++')
def test_a_compiled_image_encoder_takes_the_same_steps(data: Path, tmp_path: Path) -> None:
    words = ['--data', str(data), '--force', '--output']
    counts = torch._dynamo.utils.counters['stats']
    for compiled in ('false', 'true'):
        counts.clear()
        config = tiny_vla(tmp_path, 3, f'compile: {compiled}\n')
        assert main(['train', str(config), *words, str(tmp_path / compiled)]) == 0
        assert (counts['unique_graphs'] > 0) == (compiled == 'true')
    plain, compiled = (load_file(tmp_path / x / 'model.safetensors') for x in ('false', 'true'))
    assert plain.keys() == compiled.keys()
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, atol=1e-4, rtol=1e-3)


def test_what_cannot_be_compiled_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="compile: kind 'tiny' has no image encoder"):
        compiled_part(TinyModel(), 'tiny')
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(ConfigError, match=r"compile: .*'no-such-compiler'.*apt install g\+\+"):
        make_fit(data, replace(PLAIN, compile=True))


def test_the_command_writes_the_curves_of_its_log_for_tensorboard(
    data: Path, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    output = tmp_path / 'vla'
    words = ['train', str(tiny_vla(tmp_path, 2)), '--data', str(data), '--output', str(output)]
    assert main([*words, '--force']) == 0
    events = EventAccumulator(str(output)).Reload()
    (row,) = rows_of(output / 'log.csv')
    step = int(row.pop('step'))
    assert {'action', 'val_action_rad_s'} <= row.keys() == set(events.Tags()['scalars'])
    for name, value in row.items():
        (found,) = events.Scalars(name)
        assert found.step == step == 2
        assert found.value == pytest.approx(float(value), nan_ok=True)


def test_a_command_that_was_killed_goes_on_and_ends_with_the_same_weights(
    data: Path, tmp_path: Path
) -> None:
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    config = str(tiny_vla(tmp_path, 80, 'average: 0.9\nthreads: 1\n'))
    command = [sys.executable, '-m', 'vla_ros.cli', 'train', config, '--data', str(data)]
    command += ['--force', '--output']
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    first = subprocess.Popen([*command, str(broken)], stdout=subprocess.DEVNULL)
    while not (broken / UNFINISHED).is_file():
        assert first.poll() is None, 'the training ended before it was killed'
        time.sleep(0.002)
    first.kill()
    first.wait()
    assert not (broken / 'manifest.json').exists()
    again = subprocess.run([*command, str(broken)], check=True, capture_output=True)
    assert b'going on after step 50' in again.stdout
    weights = [(folder / 'model.safetensors').read_bytes() for folder in (whole, broken)]
    assert weights[0] == weights[1]
    logs = [rows_of(folder / 'log.csv') for folder in (whole, broken)]
    for row in (*logs[0], *logs[1]):
        for name in UNDRAWN - {'step'}:  # another run takes other times
            del row[name]
    assert logs[0] == logs[1] and [row['step'] for row in logs[0]] == ['50', '80']
    assert not (broken / UNFINISHED).exists()


def test_a_training_killed_as_its_state_is_written_has_logged_what_led_to_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / 'broken'
    dies_as_it_saves(monkeypatch)
    words = ['train', str(tiny_vla(tmp_path, 2)), '--data', str(data), '--output', str(output)]
    with pytest.raises(Killed):
        main([*words, '--force'])
    assert (output / UNFINISHED).is_file()
    assert [row['step'] for row in rows_of(output / 'log.csv')] == ['2']


def test_two_processes_write_one_checkpoint_and_one_log(data: Path, tmp_path: Path) -> None:
    output = tmp_path / 'vla'
    launcher = ['torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    words = ['-m', 'vla_ros.cli', 'train', str(tiny_vla(tmp_path, 2)), '--data', str(data)]
    subprocess.run(
        [sys.executable, '-m', *launcher, *words, '--output', str(output), '--force'],
        check=True, capture_output=True,
    )  # fmt: skip
    assert [row['step'] for row in rows_of(output / 'log.csv')] == ['2']
    assert len(list(output.rglob('*manifest*'))) == len(list(output.glob('*tfevents*'))) == 1
    assert not (output / UNFINISHED).exists()
    assert isinstance(load_policy(str(output), ARM, 'cpu'), VlaPolicy)


def test_without_a_name_the_vla_policy_is_trained(data: Path, tmp_path: Path) -> None:
    config = tmp_path / 'tiny.yaml'
    config.write_text('images: 2\nsteps: 2\nmodel: {width: 16, heads: 2, chunk_steps: 2}\n')
    words = [str(config), '--data', str(data), '--output', str(tmp_path / 'vla')]
    assert main(['train', *words, '--force']) == 0
    assert isinstance(load_policy(str(tmp_path / 'vla'), ARM, 'cpu'), VlaPolicy)


def test_a_training_goes_on_from_a_checkpoint_which_it_must_beat(
    data: Path, tmp_path: Path
) -> None:
    config = tmp_path / 'tiny.yaml'
    config.write_text(
        'images: 2\nsteps: 2\nlearning_rate: 1.0e-9\ndrive_steps: 0\n'
        'model: {width: 16, heads: 2, chunk_steps: 2}\n'
    )
    base, output = tmp_path / 'base', tmp_path / 'further'
    words = ['--data', str(data), '--output']
    assert main(['train', str(config), *words, str(base), '--force']) == 0
    further = [*words, str(output), '--base', str(base), '--force']
    config.write_text('images: 2\nsteps: 1\nlearning_rate: 1.0e-9\ndrive_steps: 0\n')
    assert main(['train', str(config), *further]) == 0
    training = json.loads((output / 'manifest.json').read_text())['training']
    held_out = training['held_out']
    assert held_out['action_rad_s'] == pytest.approx(held_out['base_action_rad_s'], rel=0.02)
    assert training['base'] == str(base)
    weights = [load_policy(str(f), ARM, 'cpu')._model.state_dict() for f in (base, output)]
    assert all(
        torch.allclose(weights[0][name], weights[1][name], atol=1e-6)
        for name in weights[0]
        if 'head' in name
    )


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('stpes: 3', "unknown key 'stpes'"),
        ('steps: many', 'steps: a whole number'),
        ('model: {width: 0}', 'width'),
        ('refusals: 9', 'refusals: 9 is not less than sentences'),
        ('model: {fork: 1}', "unknown key 'fork'"),
        ('data: 3', 'data: a text'),
    ],
)
def test_a_wrong_setting_is_named(
    data: Path, tmp_path: Path, text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'wrong.yaml').write_text(text + '\n')
    words = [str(tmp_path / 'wrong.yaml'), '--data', str(data), '--policy', 'rt1']
    assert main(['train', *words, '--output', str(tmp_path / 'out')]) == 2
    assert says in capsys.readouterr().err


def test_the_arm_is_driven_while_the_policy_is_trained(data: Path, tmp_path: Path) -> None:
    config = tmp_path / 'tiny.yaml'
    config.write_text(
        'images: 2\nsteps: 2\ndrive_episodes: 1\nmodel: {width: 16, heads: 2, chunk_steps: 2}\n'
    )
    words = [str(config), '--data', str(data), '--output', str(tmp_path / 'vla')]
    assert main(['train', *words, '--force']) == 0
    with (tmp_path / 'vla' / 'log.csv').open(encoding='utf-8') as file:
        (row,) = csv.DictReader(file)
    asked = {text.split()[0] for text in open_dataset(data).tasks}
    driven = {name.removeprefix('success_'): float(row[name]) for name in row if 'success' in name}
    assert driven.keys() == asked
    assert set(driven.values()) <= {0.0, 1.0}


def test_an_arm_whose_data_ask_for_something_else_is_not_driven(data: Path) -> None:
    assert Driving(TinyLearner(), ARM, ['fold the towel'], 3).rates(None) == {}
    assert Driving(TinyLearner(), load_arm('fr3'), ['reach the red cube'], 3).tasks == ()
    some = Driving(TinyLearner(), ARM, ['reach the red cube', 'fold the towel'], 3)
    assert list(some.unknown) == ['success_reach'] and np.isnan(some.unknown['success_reach'])


def test_tasks_are_read(data: Path) -> None:
    assert {text.split()[0] for text in open_dataset(data).tasks} <= {
        'reach', 'push', 'pick', 'put'
    }  # fmt: skip
