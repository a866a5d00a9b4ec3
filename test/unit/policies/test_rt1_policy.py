"""RT-1 in service: frames encoded once, actions held, checkpoints that are what they say."""

import json
import shutil

import numpy as np
import pytest
import torch

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import CheckpointError, ObservationError
from vla_ros.policies.known_answer import TOLERANCE_RAD_S, answer
from vla_ros.policies.preprocessing import observed_state, scale_image
from vla_ros.policies.registry import load_policy
from vla_ros.policies.rt1.config import Rt1Config
from vla_ros.policies.rt1.history import Frame, History
from vla_ros.policies.rt1.language import build_sentence_tokenizer
from vla_ros.policies.rt1.loading import save_rt1
from vla_ros.policies.rt1.model import STAYS, Rt1Model
from vla_ros.policies.rt1.policy import Rt1Policy
from vla_ros.types import Observation

ARM = load_arm('sim')
TINY = {
    'image_width': 64, 'image_height': 48, 'image_width_factor': 0.25, 'image_stages': 4,
    'frames': 3, 'image_tokens': 2, 'width': 32, 'heads': 2, 'head_width': 16, 'layers': 2,
    'token_hidden': 16, 'sentence_width': 16, 'vocabulary': ('blue', 'cube', 'reach', 'red'),
}  # fmt: skip
STEP_NS = 100_000_000
CPU = torch.device('cpu')


def made(**changes):
    torch.manual_seed(0)
    model = Rt1Model(Rt1Config(**{**TINY, **changes}))
    for film in model.vision.films:
        torch.nn.init.normal_(film.scale.weight, std=0.3)
    moving(model)
    return model


def moving(model, logit=5.0):
    """Make the model believe every instruction."""
    with torch.no_grad():
        model.transformer.output.bias[STAYS] = -logit


def observation(index=0, instruction='reach the red cube', **changes):
    rng = np.random.default_rng(index)
    image = rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)
    joints = ARM.home_rad + 0.01 * index
    return Observation({'front': image}, joints, instruction, stamp_ns=index * STEP_NS, **changes)


class Counting(Rt1Model):
    """Counts the frames that it encodes."""

    encoded = 0

    def encode_frames(self, images_NVHWC, sentence_ND, state_NP):
        self.encoded += len(images_NVHWC)
        return super().encode_frames(images_NVHWC, sentence_ND, state_NP)


def counting(**changes):
    model = made(**changes)
    model.__class__ = Counting
    return model


def test_cached_tokens_give_what_encoding_all_frames_gives():
    model = counting()
    policy = Rt1Policy(model, ARM, CPU)
    for index in range(5):
        found = policy.predict(observation(index))
    assert model.encoded == 5  # each frame once
    assert np.allclose(found[0], uncached(model, [observation(i) for i in (2, 3, 4)]), atol=1e-5)


@torch.inference_mode()
def uncached(model, observations):
    """Return the velocities for frames that are encoded all at once, oldest first."""
    tokenize = build_sentence_tokenizer(model.config)
    ids, mask = (torch.from_numpy(a) for a in tokenize([observations[-1].instruction]))
    images = [scale_image(o.images['front'], 64, 48)[None] for o in observations]
    states = [observed_state(ARM, o, 10) for o in observations]
    tokens, _ = model.encode_frames(
        torch.from_numpy(np.stack(images)),
        model.encode_language(ids, mask).expand(len(images), -1),
        torch.from_numpy(np.stack(states)).float(),
    )
    weights = model(tokens[None]).actions_BTKAX[0, -1].softmax(-1)
    return model.bins.mean(weights).numpy()


def test_history_matters_and_reset_forgets_it():
    policy = Rt1Policy(made(), ARM, CPU)
    first, _ = policy.predict(observation(4))
    policy.reset()
    for index in range(5):
        later, _ = policy.predict(observation(index))
    assert not np.allclose(first, later, atol=1e-4)
    policy.reset()
    assert np.array_equal(policy.predict(observation(4))[0], first)


def test_another_instruction_encodes_the_last_frames_again():
    model = counting()
    policy = Rt1Policy(model, ARM, CPU)
    for index in range(4):
        policy.predict(observation(index))
    changed, _ = policy.predict(observation(4, 'reach the blue cube'))
    assert model.encoded == 4 + 3
    again = [observation(i, 'reach the blue cube') for i in (2, 3, 4)]
    assert np.allclose(changed, uncached(model, again), atol=1e-5)


def stamps(history, *steps):
    for step in steps:
        history.add(Frame(round(step * STEP_NS), torch.zeros(1), torch.zeros(1)))
    return [frame.stamp_ns / STEP_NS for frame in history.window()]


def test_frames_are_a_step_apart_whatever_the_rate_of_the_camera():
    assert stamps(History(3, 0.1), *np.arange(0, 1.01, 1 / 3)) == pytest.approx(
        [0, 0, 1], abs=0.01
    )
    assert stamps(History(3, 0.1), *np.arange(0, 4.01, 1 / 3)) == pytest.approx(
        [2, 3, 4], abs=0.01
    )
    assert stamps(History(3, 0.1), 0.04, 1.0, 1.93, 3.05) == [1.0, 1.93, 3.05]


def test_the_first_frame_stands_in_and_old_ones_are_dropped():
    history = History(3, 0.1)
    assert stamps(history, 5) == [5, 5, 5]
    assert stamps(history, 6) == [5, 5, 6]
    assert stamps(history, 50) == [50, 50, 50]
    assert stamps(history, 50) == [50, 50, 50]  # the same frame again
    assert stamps(history, 1) == [1, 1, 1]  # the clock was reset
    for step in range(2, 200):
        stamps(history, step)
    assert len(history) <= 4


def test_an_action_is_held_until_the_next_answer_can_be_there():
    chunk = Rt1Policy(made(), ARM, CPU).infer(observation(3))
    assert chunk.velocities_rad_s.shape == (3, 7) and chunk.step_s == 0.1
    assert (chunk.velocities_rad_s == chunk.velocities_rad_s[0]).all()
    assert np.abs(chunk.velocities_rad_s).max() > 0
    assert chunk.stamp_ns == 3 * STEP_NS and chunk.gripper_openings_m is None
    several = Rt1Policy(made(chunk_steps=4, hold_steps=1), ARM, CPU)
    rows = several.infer(observation()).velocities_rad_s
    assert rows.shape == (5, 7) and np.array_equal(rows[3], rows[4])
    assert not np.array_equal(rows[2], rows[3]) and several.execution_horizon == 4


def test_the_gripper_is_the_last_dimension():
    model = made(gripper=True, state_size=11)
    model.bins.low_A[7], model.bins.high_A[7] = 0.0, 0.08
    policy = Rt1Policy(model, ARM, CPU)
    chunk = policy.infer(observation(gripper_opening_m=0.04))
    assert chunk.gripper_openings_m.shape == (3,)
    assert (chunk.gripper_openings_m >= 0).all() and (chunk.gripper_openings_m <= 0.08).all()
    with pytest.raises(ObservationError, match='gripper opening'):
        policy.infer(observation())


def test_what_is_not_believed_is_not_driven():
    model = made()
    moving(model, -50.0)
    policy = Rt1Policy(model, ARM, CPU)
    chunk = policy.infer(observation(0, 'reach the moon'))
    assert not chunk.velocities_rad_s.any() and chunk.velocities_rad_s.shape == (3, 7)
    assert chunk.confidence < 0.5 and 'reach the moon' in chunk.note
    moving(model, 50.0)
    assert Rt1Policy(model, ARM, CPU).infer(observation(0, '  ')).confidence == 0.0


def test_a_task_that_nobody_taught_leaves_the_arm_where_it_is():
    policy = Rt1Policy(made(language='task_id', tasks=('push the cube', 'reach it')), ARM, CPU)
    assert policy.infer(observation(0, 'Reach it!')).velocities_rad_s.any()
    chunk = policy.infer(observation(1, 'sing'))
    assert not chunk.velocities_rad_s.any() and chunk.confidence == 0.0
    assert "'sing'" in chunk.note and 'push the cube' in chunk.note


def test_a_missing_camera_is_named():
    with pytest.raises(ObservationError, match="camera 'front'; have: wrist"):
        Rt1Policy(made(), ARM, CPU).infer(
            Observation({'wrist': np.zeros((48, 64, 3), np.uint8)}, ARM.home_rad, 'x')
        )


@pytest.fixture
def checkpoint(tmp_path):
    save_rt1(tmp_path / 'checkpoint', made(), ARM, {'seed': 0})
    return tmp_path / 'checkpoint'


def test_a_reloaded_checkpoint_gives_identical_output(checkpoint):
    own = Rt1Policy(made(), ARM, CPU)
    loaded = load_policy(str(checkpoint), ARM, 'cpu')
    for index in range(4):
        wanted, found = own.infer(observation(index)), loaded.infer(observation(index))
        assert np.array_equal(wanted.velocities_rad_s, found.velocities_rad_s)
        assert wanted.confidence == found.confidence
    assert loaded.camera_sizes == {'front': (64, 48)}


def test_every_kind_of_language_comes_back(tmp_path):
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'red', 'cube']
    bert = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    BertModel(bert).save_pretrained(tmp_path / 'bert')
    (tmp_path / 'vocab.txt').write_text('\n'.join(words))
    BertTokenizer(str(tmp_path / 'vocab.txt')).save_pretrained(tmp_path / 'bert')
    for name, changes in (
        ('by_task', {'language': 'task_id', 'tasks': ('reach it',)}),
        ('by_bert', {'language': str(tmp_path / 'bert')}),
    ):
        model = made(**changes)
        save_rt1(tmp_path / name, model, ARM, {})
        wanted = Rt1Policy(model, ARM, CPU).infer(observation(0, 'reach it'))
        if name == 'by_bert':
            shutil.rmtree(tmp_path / 'bert')  # needed no more
        loaded = load_policy(str(tmp_path / name), ARM, 'cpu')
        found = loaded.infer(observation(0, 'reach it'))
        assert np.array_equal(wanted.velocities_rad_s, found.velocities_rad_s)
    config = json.loads((tmp_path / 'by_bert' / 'config.json').read_text())
    assert config['language_config']['model_type'] == 'bert'


def damage(folder, name, change):
    path = folder / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_known_answer_shows_that_actions_are_unbinned(tmp_path):
    model = made()
    with torch.no_grad():
        model.transformer.output.weight *= 10  # as sure of itself as a trained one
    save_rt1(tmp_path, model, ARM, {})
    manifest = json.loads((tmp_path / 'manifest.json').read_text())
    assert manifest['kind'] == 'rt1' and np.abs(manifest['known_answer']).max() > 0.05
    assert load_policy(str(tmp_path), ARM, 'cpu').known_answer_off_rad_s < 1e-4
    model.bins.high_A *= 2
    off = np.abs(answer(Rt1Policy(model, ARM, CPU), ARM) - manifest['known_answer']).max()
    assert off > TOLERANCE_RAD_S['cpu']
    damage(tmp_path, 'manifest.json', lambda m: m.update(known_answer=[1.0] * 7))
    with pytest.raises(CheckpointError, match=r'known_answer.*normalisation'):
        load_policy(str(tmp_path), ARM, 'cpu')


@pytest.mark.parametrize(
    'name, change, message',
    [
        ('manifest.json', lambda m: m.update(joints=m['joints'][:6]), 'joints'),
        ('manifest.json', lambda m: m.update(rate_hz=50.0), 'step_s'),
        ('manifest.json', lambda m: m['statistics']['action'].update(low=[0.0] * 7), 'action low'),
        ('manifest.json', lambda m: m['statistics'].pop('state'), 'state mean'),
        ('manifest.json', lambda m: m.update(cameras={'front': [128, 96]}), 'cameras'),
        ('config.json', lambda c: c.update(width=65536), r'config\.json makes it'),
        ('config.json', lambda c: c.update(image_width_factor=0.5), r'config\.json makes it'),
        ('config.json', lambda c: c.update(layers=10**9), 'layers'),
        ('config.json', lambda c: c.update(frames=7), r'config\.json makes it'),
        ('config.json', lambda c: c.update(gripper=True), r'config\.json makes it'),
        ('config.json', lambda c: c.update(bins='many'), 'bins'),
        ('config.json', lambda c: c.update(language='nobody/nothing'), 'language_config: missing'),
        ('config.json', lambda c: c.update(surprise=1), 'surprise'),
    ],
)
def test_files_that_lie_are_refused_by_name(checkpoint, name, change, message):
    damage(checkpoint, name, change)
    with pytest.raises(CheckpointError, match=message):
        load_policy(str(checkpoint), ARM, 'cpu')
