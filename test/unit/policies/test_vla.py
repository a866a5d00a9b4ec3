"""The VLA model: shapes, masks, sizes, pretrained encoders, checkpoints that are what they say."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import CheckpointError, ConfigError, ObservationError
from vla_ros.policies.known_answer import TOLERANCE_RAD_S, answer
from vla_ros.policies.registry import load_policy
from vla_ros.policies.vla.config import MISSION, VlaConfig
from vla_ros.policies.vla.encoders import build_tokenizer
from vla_ros.policies.vla.loading import save_vla
from vla_ros.policies.vla.model import VlaModel
from vla_ros.policies.vla.policy import VlaPolicy
from vla_ros.policies.vla.tokenizer import WordTokenizer, words_of
from vla_ros.types import Observation

VOCABULARY = ('ball', 'blue', 'cube', 'reach', 'red', 'the')
ARM = load_arm('sim')


def inputs(model, batch=2, words=4):
    config = model.config
    size = (batch, len(config.cameras), config.image_height, config.image_width, 3)
    images = torch.randint(0, 256, size, dtype=torch.uint8)
    ids = torch.randint(1, 20, (batch, words))
    return images, ids, torch.ones(batch, words, dtype=torch.bool), torch.randn(batch, 10)


def predict(model, images, ids, mask, state):
    return model(model.encode_images(images), model.encode_language(ids, mask), mask, state)


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return VlaModel(VlaConfig(vocabulary=VOCABULARY)).eval()


def observation(instruction='reach the red cube', size=(240, 320)):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    return Observation({'front': image}, ARM.home_rad, instruction, stamp_ns=7)


def test_shapes(model):
    found = predict(model, *inputs(model))
    assert found.actions_BKA.shape == (2, 8, 7)
    assert found.grounded_B.shape == (2,)
    assert found.heat_BDVHW.shape == (2, 1, 1, 24, 32)
    assert found.targets_BD3.shape == (2, 1, 3)


def test_several_cameras():
    config = VlaConfig(vocabulary=VOCABULARY, cameras=('front', 'wrist'))
    two = VlaModel(config).eval()
    assert predict(two, *inputs(two)).actions_BKA.shape == (2, 8, 7)
    config = replace(config, points=2, point_views=2, turn=True)
    pointing = VlaModel(config).eval()
    found = predict(pointing, *inputs(pointing))
    assert found.heat_BDVHW.shape == (2, 2, 2, 24, 32)
    assert found.targets_BD3.shape == (2, 2, 3) and found.turn_B.shape == (2,)
    with pytest.raises(ConfigError, match='point_views: 2 of 1 cameras'):
        replace(config, cameras=('front',))


def test_padding_changes_nothing(model):
    images, ids, mask, state = inputs(model)
    with torch.inference_mode():
        short = predict(model, images, ids, mask, state)
        longer = torch.cat([ids, torch.zeros(2, 5, dtype=torch.long)], 1)
        padded = torch.cat([mask, torch.zeros(2, 5, dtype=torch.bool)], 1)
        long = predict(model, images, longer, padded, state)
    assert torch.allclose(short.actions_BKA, long.actions_BKA, atol=1e-5)
    assert torch.allclose(short.grounded_B, long.grounded_B, atol=1e-5)


def test_every_input_matters_and_every_parameter_learns(model):
    images, ids, mask, state = inputs(model)
    with torch.inference_mode():
        base = predict(model, images, ids, mask, state).actions_BKA
        assert not torch.allclose(base, predict(model, 255 - images, ids, mask, state).actions_BKA)
        assert not torch.allclose(base, predict(model, images, ids + 1, mask, state).actions_BKA)
        assert not torch.allclose(base, predict(model, images, ids, mask, state + 1).actions_BKA)
    found = predict(model, images, ids, mask, state)
    outputs = (found.actions_BKA, found.grounded_B, found.heat_BDVHW, found.targets_BD3)
    sum(o.square().sum() for o in outputs).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    model.zero_grad(set_to_none=True)
    assert silent == []


def test_the_missions_full_size():
    from transformers import BertConfig, ResNetConfig

    config = VlaConfig(
        **MISSION,
        vision_config=ResNetConfig().to_dict(),
        language_config=BertConfig().to_dict(),
    )
    full = VlaModel(config).eval()
    layers = full.fusion.layers
    assert len(layers) == 6 and layers[0].self_attn.num_heads == 8
    assert layers[0].linear1.in_features == 512
    widths = [layer.out_features for layer in full.head if isinstance(layer, torch.nn.Linear)]
    assert widths == [512, 256, 128, 7]
    assert sum(p.numel() for p in full.vision.parameters()) == pytest.approx(23.5e6, rel=0.01)
    assert sum(p.numel() for p in full.language.parameters()) == pytest.approx(109.5e6, rel=0.01)
    with torch.inference_mode():
        assert predict(full, *inputs(full, batch=1)).actions_BKA.shape == (1, 1, 7)


@pytest.fixture(scope='module')
def encoders(tmp_path_factory):
    """Save a tiny ResNet, a tiny BERT and its tokenizer, as their makers' files."""
    from transformers import BertConfig, BertModel, BertTokenizer, ResNetConfig, ResNetModel

    folder = tmp_path_factory.mktemp('encoders')
    sizes = {'embedding_size': 8, 'hidden_sizes': [8, 16], 'depths': [1, 1], 'layer_type': 'basic'}
    ResNetModel(ResNetConfig(**sizes)).save_pretrained(folder / 'resnet')
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *VOCABULARY]
    bert = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    BertModel(bert).save_pretrained(folder / 'bert')
    (folder / 'vocab.txt').write_text('\n'.join(words))
    BertTokenizer(str(folder / 'vocab.txt')).save_pretrained(folder / 'bert')
    return folder


def test_pretrained_encoders_by_name_and_without_their_files_afterwards(encoders, tmp_path):
    config = VlaConfig(
        vision=str(encoders / 'resnet'), language=str(encoders / 'bert'), width=32, layers=1,
        feedforward=32, head_hidden=(16,), key_points=False,
    )  # fmt: skip
    made = VlaModel(config).eval()
    from transformers import ResNetModel

    kept = ResNetModel.from_pretrained(encoders / 'resnet').state_dict()
    for name, value in made.vision.backbone.state_dict().items():
        assert torch.equal(value, kept[name]), name
    save_vla(tmp_path / 'checkpoint', made, ARM, {})
    for name in ('resnet', 'bert'):  # another machine: there is nothing but the checkpoint
        (encoders / name).rename(encoders / f'{name} elsewhere')
    loaded = load_policy(str(tmp_path / 'checkpoint'), ARM, 'cpu')
    assert loaded.infer(observation()).velocities_rad_s.shape == (8, 7)
    (tmp_path / 'checkpoint' / 'tokenizer').rename(tmp_path / 'tokenizer')
    with pytest.raises(CheckpointError, match=r"tokenizer' is missing"):
        load_policy(str(tmp_path / 'checkpoint'), ARM, 'cpu')


def test_an_encoder_that_is_nowhere_says_what_to_do(monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    with pytest.raises(CheckpointError, match="use 'small'"):
        VlaModel(VlaConfig(vision='nobody/nothing', vocabulary=VOCABULARY))


def test_tokenizer_keeps_the_name_of_the_object_in_a_long_sentence():
    tokenizer = build_tokenizer(VlaConfig(vocabulary=VOCABULARY))
    assert isinstance(tokenizer, WordTokenizer)
    long = ' '.join(f'strange{i}' for i in range(80)) + ' the RED, cube! ' + 'and so on ' * 30
    tokens = tokenizer.encode(long)
    assert len(tokens) <= 24
    red_cube = tokenizer.encode('red cube')
    assert red_cube == [t for t in tokens if t in red_cube]
    assert words_of("Don't  reach:the 'Red' cube") == ['dont', 'reach', 'the', 'red', 'cube']
    ids, mask = tokenizer(['', 'reach the red cube'])
    assert ids.shape == mask.shape == (2, 4) and mask.any(axis=1).all()


def test_a_word_is_known_whatever_its_ending():
    words = ('pick', 'place', 'placed', 'grab', 'block', 'towards', 'clear')
    tokenizer = WordTokenizer(words, 32, 24)
    for other, word in (
        ('picked', 'pick'), ('picking', 'pick'), ('grabbing', 'grab'), ('blocks', 'block'),
        ('placing', 'place'), ('placed', 'placed'), ('toward', 'towards'),
    ):  # fmt: skip
        assert tokenizer.encode(other) == tokenizer.encode(word), other
    assert tokenizer.encode('places') == tokenizer.encode('place')  # the first of two
    assert max(tokenizer.encode('ring apple unpicked clearly')) < tokenizer.first_word


@pytest.fixture
def checkpoint(tmp_path, model):
    save_vla(tmp_path / 'checkpoint', model, ARM, {'seed': 0})
    return tmp_path / 'checkpoint'


def test_a_reloaded_checkpoint_gives_identical_output(checkpoint):
    first = load_policy(str(checkpoint), ARM, 'cpu').infer(observation())
    second = load_policy(str(checkpoint), ARM, 'cpu').infer(observation())
    assert np.array_equal(first.velocities_rad_s, second.velocities_rad_s)
    assert first.stamp_ns == 7 and first.step_s == 0.1


def test_a_single_action_is_held_until_the_next_answer_comes():
    torch.manual_seed(0)
    config = VlaConfig(vocabulary=VOCABULARY, chunk_steps=1, key_points=False, head='mse')
    policy = VlaPolicy(VlaModel(config), ARM, torch.device('cpu'))
    velocities = policy.infer(observation()).velocities_rad_s
    assert policy.execution_horizon == 1 and velocities.shape == (3, 7)
    assert (velocities == velocities[0]).all()


def test_a_policy_that_sees_nothing_named_stays_and_says_so(tmp_path, model):
    with torch.no_grad():
        model.grounded[-1].bias -= 100
    save_vla(tmp_path / 'shy', model, ARM, {})
    with torch.no_grad():
        model.grounded[-1].bias += 100
    chunk = load_policy(str(tmp_path / 'shy'), ARM, 'cpu').infer(observation('reach the moon'))
    assert not chunk.velocities_rad_s.any()
    assert chunk.confidence < 0.5 and 'reach the moon' in chunk.note


def test_a_missing_camera_is_named(checkpoint):
    policy = load_policy(str(checkpoint), ARM, 'cpu')
    with pytest.raises(ObservationError, match="camera 'front'; have: wrist"):
        policy.infer(Observation({'wrist': np.zeros((96, 128, 3), np.uint8)}, ARM.home_rad, 'x'))


def damage(folder, name, change):
    path = folder / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda m: m.update(joints=m['joints'][:6]), 'joints'),
        (lambda m: m.update(units={'position': 'deg', 'velocity': 'deg/s'}), 'units'),
        (lambda m: m.update(weights_sha256='0' * 64), 'weights_sha256'),
        (lambda m: m.update(format=99), 'format'),
        (lambda m: m.update(kind='telepathy'), 'telepathy'),
        (lambda m: m.pop('joints'), 'joints'),
        (lambda m: m.update(surprise=1), 'surprise'),
        (lambda m: m.update(cameras={'left': [128, 96]}), "'left'"),
        (lambda m: m.update(cameras={'front': [1280, 960]}), '1280x960'),
        (lambda m: m['statistics']['action'].update(std=[1.0] * 6 + [2.0]), 'statistics'),
        (lambda m: m['statistics']['action'].update(std=float('nan')), 'statistics'),
        (lambda m: m.update(statistics='none'), 'statistics'),
        (lambda m: m.update(joints=7), 'joints'),
        (lambda m: m.update(cameras={'front': [128]}), 'no width and height'),
        (lambda m: m.update(rate_hz='10'), 'rate_hz'),
        (lambda m: m.update(rate_hz=float('nan')), 'rate_hz'),
        (lambda m: m.update(rate_hz=50.0), 'step_s'),
        (lambda m: m.update(known_answer=['a'] * 7), 'known_answer'),
        (lambda m: m.update(known_answer=[0.0] * 6), 'known_answer'),
        (lambda m: m.update(known_answer=[float('nan')] * 7), 'known_answer'),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_by_name(checkpoint, change, message):
    damage(checkpoint, 'manifest.json', change)
    with pytest.raises(CheckpointError, match=message):
        load_policy(str(checkpoint), ARM, 'cpu')


@pytest.mark.parametrize(
    'lie, message',
    [
        ({'width': 65536}, 'config.json makes it'),  # terabytes, if it were believed
        ({'width': 1 << 40}, 'width: 1099511627776 is not within'),
        ({'layers': 10**9}, 'layers'),
        ({'head_hidden': [1 << 16] * 2}, 'config.json makes it'),
        ({'head_hidden': 'wide'}, 'head_hidden'),
        ({'image_width': 4096}, 'cameras'),
        ({'cameras': ['front', 'front']}, 'view_positions'),
        ({'cameras': ['wrist']}, 'cameras'),
        ({'step_s': 5.0}, 'step_s'),
        ({'chunk_steps': 9}, 'config.json makes it'),
        ({'key_points': 'yes'}, 'key_points'),
        ({'dropout': -1.0}, 'dropout'),
        ({'vision': 'nobody/nothing'}, 'vision_config: missing'),
        ({'vocabulary': []}, 'vocabulary'),
        ({'surprise': 1}, 'surprise'),
    ],
)
def test_a_configuration_that_lies_is_refused_before_it_costs_memory(checkpoint, lie, message):
    damage(checkpoint, 'config.json', lambda c: c.update(lie))
    with pytest.raises(CheckpointError, match=message):
        load_policy(str(checkpoint), ARM, 'cpu')


@pytest.mark.parametrize('text', ['[' * 100_000, '[]', 'null', '{"a": "' + 'x' * 8_000_000 + '"}'])
def test_json_that_is_too_deep_too_long_or_no_object(checkpoint, text):
    (checkpoint / 'manifest.json').write_text(text)
    with pytest.raises(CheckpointError, match=r'manifest\.json'):
        load_policy(str(checkpoint), ARM, 'cpu')


def test_tensors_that_are_declared_huge_are_not_made(checkpoint):
    path = checkpoint / 'model.safetensors'
    content = path.read_bytes()
    size = int.from_bytes(content[:8], 'little')
    header = json.loads(content[8 : 8 + size])
    header['action_std']['shape'] = [1 << 40]
    start = header['action_std']['data_offsets'][0]
    header['action_std']['data_offsets'] = [start, start + (1 << 42)]
    reseal(checkpoint, header, content[8 + size :])
    with pytest.raises(CheckpointError, match='no safetensors file'):
        load_policy(str(checkpoint), ARM, 'cpu')
    path.write_bytes((1 << 60).to_bytes(8, 'little') + b'{}')
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    damage(checkpoint, 'manifest.json', lambda m: m.update(weights_sha256=sha256))
    with pytest.raises(CheckpointError, match='no safetensors file'):
        load_policy(str(checkpoint), ARM, 'cpu')


def reseal(folder, header, tensors):
    """Write weights with another header, and the hash that belongs to them."""
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, 'little') + text + tensors
    (folder / 'model.safetensors').write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    damage(folder, 'manifest.json', lambda m: m.update(weights_sha256=sha256))


def test_weights_that_are_not_numbers_do_not_give_the_known_answer(checkpoint):
    weights = safetensors.torch.load_file(checkpoint / 'model.safetensors')
    weights['head.0.weight'][:] = float('nan')
    safetensors.torch.save_file(weights, checkpoint / 'model.safetensors')
    sha256 = hashlib.sha256((checkpoint / 'model.safetensors').read_bytes()).hexdigest()
    damage(checkpoint, 'manifest.json', lambda m: m.update(weights_sha256=sha256))
    with pytest.raises(CheckpointError, match='known_answer'):
        load_policy(str(checkpoint), ARM, 'cpu')


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors', 'manifest.json'])
def test_a_missing_or_truncated_file_is_named(checkpoint, name):
    content = (checkpoint / name).read_bytes()
    (checkpoint / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=name):
        load_policy(str(checkpoint), ARM, 'cpu')
    (checkpoint / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_policy(str(checkpoint), ARM, 'cpu')


def test_a_pickle_in_place_of_the_weights_never_runs(checkpoint, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / 'ran'), 'w')

    content = pickle.dumps(Evil())
    (checkpoint / 'model.safetensors').write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    damage(checkpoint, 'manifest.json', lambda m: m.update(weights_sha256=sha256))
    with pytest.raises(CheckpointError, match='no safetensors file'):
        load_policy(str(checkpoint), ARM, 'cpu')
    assert not (tmp_path / 'ran').exists()


def test_unknown_policies_and_devices_name_the_known_ones(checkpoint):
    with pytest.raises(CheckpointError, match='neither a folder nor one of: hold'):
        load_policy('nonsense', ARM, 'cpu')
    with pytest.raises(CheckpointError, match='does not exist'):
        load_policy('/nowhere/at/all', ARM, 'cpu')
    with pytest.raises(ConfigError, match='auto, cpu, cuda'):
        load_policy(str(checkpoint), ARM, 'tpu')
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match='not available'):
            load_policy(str(checkpoint), ARM, 'cuda')


def test_hold_never_moves():
    chunk = load_policy('hold', ARM, 'cpu').infer(observation())
    assert not chunk.velocities_rad_s.any()


def test_the_known_answer_is_checked(model, tmp_path):
    save_vla(tmp_path, model, ARM, {})
    manifest = json.loads((tmp_path / 'manifest.json').read_text())
    assert np.abs(manifest['known_answer']).max() > 0
    load_policy(str(tmp_path), ARM, 'cpu')
    manifest['known_answer'][3] += 0.05
    (tmp_path / 'manifest.json').write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r'known_answer.*normalisation'):
        load_policy(str(tmp_path), ARM, 'cpu')
    del manifest['known_answer']
    (tmp_path / 'manifest.json').write_text(json.dumps(manifest))
    load_policy(str(tmp_path), ARM, 'cpu')


def test_normalisation_that_is_left_out_gives_another_answer(model, tmp_path):
    save_vla(tmp_path, model, ARM, {})
    manifest = json.loads((tmp_path / 'manifest.json').read_text())
    policy = load_policy(str(tmp_path), ARM, 'cpu')
    policy._model.action_std.fill_(1.0)
    policy._model.action_mean.fill_(0.5)
    off = np.abs(answer(policy, ARM) - manifest['known_answer']).max()
    assert off > TOLERANCE_RAD_S['cpu']
