"""Recording is resumable and refuses held-out seeds; training learns; figures are right."""

import itertools
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ConfigError
from vla_ros.policies.checkpoint import read_manifest
from vla_ros.policies.registry import load_policy
from vla_ros.policies.vla.config import VlaConfig
from vla_ros.policies.vla.encoders import build_tokenizer
from vla_ros.policies.vla.model import VlaModel
from vla_ros.sim.grammar import SHAPE_WORDS, shipped_phrasings, vocabulary
from vla_ros.sim.scene import OBJECT_KINDS
from vla_ros.training.batches import Batches
from vla_ros.training.collect import CollectConfig, collect
from vla_ros.training.config import TrainConfig
from vla_ros.training.episodes import read_frames, read_info, shard_path
from vla_ros.training.figures import wilson_95
from vla_ros.training.objective import losses, place_weights, run_model
from vla_ros.training.sentences import SentenceSampler
from vla_ros.training.train import UNFINISHED, set_statistics, train

SMALL = CollectConfig(episodes=2, episode_steps=8, workers=1)


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp('reach')
    collect(SMALL, folder)
    return folder


def sampler(length=24, **more):
    config = VlaConfig(vocabulary=tuple(vocabulary()))
    return SentenceSampler(build_tokenizer(config), length, seed=0, **more)


def test_frames_are_labelled_for_every_object(recorded):
    frames = read_frames(recorded)
    assert len(frames) == 8
    assert frames.images.shape == (8, 96, 128, 3)
    assert frames.velocities_rad_s.shape == (8, 4, 8, 7)
    arm = load_arm('sim')
    assert (np.abs(frames.velocities_rad_s) <= arm.velocity_max_rad_s).all()
    assert (frames.pixels >= 0).all() and (frames.pixels <= 1).all()


def test_recording_goes_on_where_it_stopped_and_is_reproducible(recorded, tmp_path):
    before = shard_path(recorded, 0).read_bytes()
    assert collect(SMALL, recorded) == 0
    collect(SMALL, tmp_path)
    again = read_frames(tmp_path)
    first = read_frames(recorded)
    assert np.array_equal(first.velocities_rad_s, again.velocities_rad_s)
    assert np.array_equal(first.images, again.images)
    assert shard_path(recorded, 0).read_bytes() == before


def test_what_is_left_out_is_in_no_scene_and_never_named(tmp_path):
    names = tuple(kind.name for kind in OBJECT_KINDS[:3])
    collect(replace(SMALL, leave_out=names), tmp_path)
    assert read_info(tmp_path).leave_out == names
    frames = read_frames(tmp_path)
    assert frames.kinds.min() >= 3
    encode = build_tokenizer(VlaConfig(vocabulary=tuple(vocabulary()))).encode
    left_out = {tuple(encode(name)) for name in names}

    def named(speaker):
        rows = [speaker.refusal([OBJECT_KINDS[k] for k in frames.kinds[0]]) for _ in range(300)]
        return left_out & {pair for row in rows for pair in itertools.pairwise(row)}

    assert named(sampler())
    assert not named(sampler(kinds=[OBJECT_KINDS[k] for k in np.unique(frames.kinds)]))
    with pytest.raises(ConfigError, match='blue moon'):
        CollectConfig(leave_out=('blue moon',))


def test_a_folder_of_another_recording_is_left_alone(recorded):
    with pytest.raises(ConfigError, match='another data set'):
        collect(CollectConfig(episodes=3, workers=1), recorded)


def test_half_a_recording_is_not_trained_on(recorded, tmp_path):
    (tmp_path / 'shard-00000.npz').write_bytes(shard_path(recorded, 0).read_bytes())
    info = json.loads((recorded / 'info.json').read_text()) | {'episodes': 60}
    (tmp_path / 'info.json').write_text(json.dumps(info))
    with pytest.raises(ConfigError, match=r'1 of 3 shards.*vla-ros collect'):
        train(tmp_path, tmp_path / 'run', TrainConfig(steps=1))


def test_held_out_seeds_are_never_recorded():
    first = shipped_phrasings().held_out_first_seed
    with pytest.raises(ConfigError, match='held-out'):
        CollectConfig(episodes=10, first_seed=first - 5)
    CollectConfig(episodes=10, first_seed=first - 10)


def test_missing_and_damaged_data_are_named(tmp_path, recorded):
    with pytest.raises(ConfigError, match='vla-ros collect'):
        read_info(tmp_path)
    shard_path(tmp_path, 0).write_bytes(shard_path(recorded, 0).read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r'shard-00000\.npz: damaged'):
        read_frames(tmp_path)


def test_one_batch_overfits(recorded):
    torch.manual_seed(0)
    frames = read_frames(recorded)
    config = TrainConfig(batch_images=4, sentences_per_image=3)
    model = VlaModel(VlaConfig(vocabulary=tuple(vocabulary())))
    batches = Batches(frames, load_arm('sim'), sampler(), config)
    set_statistics(model, batches, frames)
    batch = batches.take(np.arange(4), torch.device('cpu'))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    history = []
    for _ in range(60):
        terms = losses(model, run_model(model, batch, batch.images_BVHWC), batch)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        history.append({name: float(term.detach()) for name, term in terms.items()})
    for name in ('action', 'grounded', 'target'):
        assert history[-1][name] < 0.5 * history[0][name], name


def test_training_writes_a_checkpoint_that_serves(recorded, tmp_path):
    config = TrainConfig(steps=2, batch_images=2, device='cpu')
    train(recorded, tmp_path, config, command='test', force=True)
    assert load_policy(str(tmp_path), load_arm('sim'), 'cpu').cameras == ('front',)
    assert (tmp_path / 'log.csv').read_text().count('\n') == 2


def test_a_policy_that_is_no_better_than_holding_still_is_not_written(recorded, tmp_path):
    config = TrainConfig(steps=1, batch_images=1, device='cpu', learning_rate=1e-9)
    with pytest.raises(ConfigError, match=r'an arm that holds still is off by .*--force'):
        train(recorded, tmp_path, config)
    assert not (tmp_path / 'manifest.json').exists()
    train(recorded, tmp_path, config, force=True)
    training = read_manifest(tmp_path).training
    assert training['held_out']['action_rad_s'] >= training['held_out']['hold_still_rad_s']
    assert training['forced'].startswith('no better: an arm that holds still')


def test_training_killed_and_resumed_ends_with_the_same_weights(recorded, tmp_path):
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    words = [sys.executable, '-m', 'vla_ros.cli', 'train', '--data', str(recorded)]
    words += ['--steps', '60', '--batch-images', '1', '--threads', '1', '--device', 'cpu']
    words.append('--force')
    subprocess.run([*words, '--output', str(whole)], check=True, capture_output=True)
    first = subprocess.Popen([*words, '--output', str(broken)], stdout=subprocess.DEVNULL)
    while not (broken / UNFINISHED).is_file():
        assert first.poll() is None, 'the training ended before it was killed'
    first.kill()
    first.wait()
    again = subprocess.run([*words, '--output', str(broken)], check=True, capture_output=True)
    assert b'going on after step 50' in again.stdout
    for name in ('model.safetensors', 'log.csv'):
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
    assert not (broken / UNFINISHED).exists()


def test_another_training_is_not_resumed(recorded, tmp_path):
    config = TrainConfig(steps=2, batch_images=1, device='cpu')
    (tmp_path / UNFINISHED).write_bytes(b'no state')
    with pytest.raises(ConfigError, match='delete it'):
        train(recorded, tmp_path, config)
    torch.save({'settings': {'seed': 5}}, tmp_path / UNFINISHED)
    with pytest.raises(ConfigError, match=r'seed 5 there, 0 here.*--restart'):
        train(recorded, tmp_path, config)
    train(recorded, tmp_path, config, restart=True, force=True)


def test_held_out_phrasings_never_reach_training():
    words = set(vocabulary())
    held_out = {w for text in shipped_phrasings().held_out for w in text.split()}
    trained = {w for text in shipped_phrasings().train for w in text.split()}
    assert not {'navigate', 'steer', 'manipulator', 'fingertips', 'destination'} & words
    assert held_out - trained, 'held-out phrasings must bring words that training lacks'


def test_sentences_keep_the_name_they_ask_for():
    made = sampler()
    tokenizer = build_tokenizer(VlaConfig(vocabulary=tuple(vocabulary())))
    rng = np.random.default_rng(0)
    for _ in range(300):
        index = int(rng.integers(12))
        kind = OBJECT_KINDS[index]
        tokens = made.positive(OBJECT_KINDS[index])
        assert len(tokens) <= 24
        assert tokenizer.encode(kind.colour)[0] in tokens
        assert {t for w in SHAPE_WORDS[kind.shape] for t in tokenizer.encode(w)} & set(tokens)


def test_batches_of_sentences_say_which_object_they_ask_for():
    ids, mask, asked = sampler().batch([OBJECT_KINDS[:4], OBJECT_KINDS[4:8]], 4, 1)
    assert ids.shape == mask.shape and len(ids) == 8
    assert asked.reshape(2, 4)[:, -1].tolist() == [-1, -1]
    assert all(len(set(row[:3])) == 3 and min(row[:3]) >= 0 for row in asked.reshape(2, 4))


def test_places_are_spread_over_cells_so_that_their_mean_is_exact():
    places = torch.rand(50, 2) * 0.8 + 0.1
    weights = place_weights(places, 24, 32).unflatten(1, (24, 32))
    assert torch.allclose(weights.sum((1, 2)), torch.ones(50))
    x = (weights.sum(1) * (torch.arange(32) + 0.5) / 32).sum(1)
    y = (weights.sum(2) * (torch.arange(24) + 0.5) / 24).sum(1)
    assert torch.allclose(torch.stack([x, y], 1), places, atol=1e-6)


def test_wilson_interval_of_the_textbook():
    low, high = wilson_95(81, 263)  # Newcombe, Two-sided confidence intervals, 1998, table I
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson_95(0, 10)[0] == 0.0
    assert wilson_95(10, 10)[1] == pytest.approx(1.0)


@pytest.mark.parametrize('values', [{'steps': 0}, {'sentences_per_image': 9}])
def test_training_that_cannot_be_is_refused(values):
    with pytest.raises(ConfigError):
        TrainConfig(**values)
