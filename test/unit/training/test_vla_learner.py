"""The VLA model learns what it is shown, and only that."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ConfigError
from vla_ros.policies.registry import load_policy
from vla_ros.policies.vla.config import HEADS, VlaConfig
from vla_ros.policies.vla.key_points import shares
from vla_ros.training.adapters import dense_layers
from vla_ros.training.learners.learner import Ranges
from vla_ros.training.learners.vla import VlaLearner
from vla_ros.training.restored import restore, take_over
from vla_ros.training.table_batches import Batch
from vla_ros.types import Observation

ARM = load_arm('sim')
TINY = {
    'cameras': ('front', 'wrist'), 'image_width': 64, 'image_height': 48, 'width': 32, 'heads': 2,
    'feedforward': 64, 'layers': 1, 'head_hidden': (64,), 'chunk_steps': 2, 'gripper': True,
    'points': 2, 'point_views': 2, 'turn': True, 'offsets': True, 'proprioception_size': 11,
    'vocabulary': ('blue', 'cube', 'reach', 'red'), 'dropout': 0.0,
}  # fmt: skip
RANGES = Ranges(
    np.zeros(11), np.ones(11), -np.ones(8), np.ones(8),
    np.array([0.0] * 7 + [0.04]), np.array([0.5] * 7 + [0.02]),
)  # fmt: skip


def batch() -> Batch:
    """Two images of two sentences each; the last names nothing in view."""
    generator = torch.Generator().manual_seed(0)
    rand = lambda *size: torch.rand(*size, generator=generator)  # noqa: E731
    images = (255 * rand(2, 1, 2, 48, 64, 3)).byte().repeat_interleave(2, 0)
    return Batch(
        images,
        ('reach the red cube', 'the blue cube', 'red', 'the moon'),
        rand(2, 1, 11).repeat_interleave(2, 0),
        torch.cat([2 * rand(4, 2, 7) - 1, 0.08 * rand(4, 2, 1)], dim=-1),
        torch.ones(4, 2, dtype=torch.bool),
        torch.tensor([True, True, True, False]),
        0.1 + 0.5 * rand(4, 2, 3),
        0.1 + 0.8 * rand(4, 2, 2, 2),
        rand(4) - 0.5,
        2,
    )


def learner_and_model(**changes):
    torch.manual_seed(0)
    learner = VlaLearner(VlaConfig(**{**TINY, **changes}))
    return learner, learner.build(RANGES)


def test_one_batch_overfits_is_served_and_gone_on_with(tmp_path):
    learner, model = learner_and_model()
    one = batch()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    history = []
    for _ in range(250):
        terms = learner.losses(model.train(), one)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        history.append({name: float(term.detach()) for name, term in terms.items()})
    assert set(history[0]) == {'action', 'grounded', 'heat', 'target', 'turn', 'offset'}
    for name in ('action', 'grounded', 'target', 'turn', 'offset'):
        assert history[-1][name] < 0.15 * history[0][name]
    assert history[-1]['heat'] < 0.6 * history[0]['heat']  # of four cells each at best
    found = learner.errors(model.train(), one)  # two images: their own statistics
    assert found['action_rad_s'] < 0.06 and found['grounded_wrong'] == 0 and found['goal_mm'] < 20
    learner.save(model, tmp_path, ARM, {'seed': 0})
    policy = load_policy(str(tmp_path), ARM, 'cpu')
    views = dict(zip(TINY['cameras'], one.images_BTVHWC[0, -1].numpy(), strict=True))
    seen = Observation(views, ARM.home_rad, 'reach the red cube', gripper_opening_m=0.04)
    chunk = policy.infer(seen)
    assert chunk.velocities_rad_s.shape[1] == 7
    assert chunk.gripper_openings_m is None or len(chunk.gripper_openings_m) == 2
    again, restored, _ = restore(str(tmp_path), ARM)
    want, got = (kind.losses(m.eval(), one) for kind, m in ((learner, model), (again, restored)))
    assert want == got


def test_every_sentence_of_an_image_is_answered_as_if_it_were_alone():
    learner, model = learner_and_model()
    one, model = batch(), model.eval()
    together = learner.predict(model, one)
    alone = learner.predict(model, replace(one, sentences_per_image=1))
    torch.testing.assert_close(together.actions_BKA, alone.actions_BKA, atol=1e-5, rtol=1e-4)


def test_actions_and_places_that_do_not_count_teach_nothing():
    learner, model = learner_and_model()
    one, model = batch(), model.eval()
    actions, points, pixels = (
        t.clone() for t in (one.actions_BKA, one.points_B23, one.pixels_BV22)
    )
    valid = one.valid_BK.clone()
    valid[1, 1] = False
    points[0, 1] = pixels[0, :, 1] = float('nan')
    some = replace(one, valid_BK=valid, points_B23=points, pixels_BV22=pixels)
    before = learner.losses(model, some)
    actions[3] += 7  # names nothing
    actions[1, 1] += 7  # after the episode's end
    after = learner.losses(model, replace(some, actions_BKA=actions))
    assert before == after
    assert all(term.isfinite() for term in before.values())
    nothing = replace(
        one,
        points_B23=torch.full_like(points, torch.nan),
        pixels_BV22=pixels * torch.nan,
        turns_B=one.turns_B * torch.nan,
    )
    terms = learner.losses(model, nothing)
    assert not any(terms[name] for name in ('heat', 'target', 'turn', 'offset'))
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert np.isnan(learner.errors(model, nothing)['goal_mm'])


def test_what_is_near_is_told_more_exactly_than_what_is_far():
    near, far = torch.tensor([0.005, 0.0, 0.0]), torch.tensor([0.3, 0.0, 0.0])
    millimetre = torch.tensor([0.001, 0.0, 0.0])
    change = [(shares(way + millimetre) - shares(way)).norm() for way in (near, far)]
    assert change[0] > 100 * change[1] > 0
    assert shares(torch.zeros(3)).eq(0).all() and shares(far).norm() < 1


def test_a_model_takes_over_what_fits_of_another():
    _, base = learner_and_model(offsets=False)
    torch.manual_seed(1)
    learner = VlaLearner(VlaConfig(**TINY))
    model = learner.build(RANGES)
    new = take_over(model, base)
    assert new and all(name.startswith('offset.') for name in new)
    one = batch()
    ours, theirs = (learner.predict(m.eval(), one) for m in (model, base))
    torch.testing.assert_close(ours.actions_BKA, theirs.actions_BKA)  # what is new has no say yet
    learner.losses(model.train(), one)['action'].backward()
    assert model.offset.correction[-1].weight.grad is not None


def test_of_one_point_it_is_where_the_tool_has_to_end():
    learner, model = learner_and_model(points=1)
    one, model = batch(), model.eval()
    elsewhere = one.points_B23.clone()
    elsewhere[:, 0] += 1.0
    same = learner.losses(model, replace(one, points_B23=elsewhere))
    assert same == learner.losses(model, one)


@pytest.mark.parametrize('head', HEADS)
def test_every_head_is_trained_and_served(head, tmp_path):
    learner, model = learner_and_model(head=head, bins=16, chunk_steps=2)
    one = batch()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    before = learner.errors(model.train(), one)['action_rad_s']
    for _ in range(80):
        terms = learner.losses(model.train(), one)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
    assert learner.errors(model.train(), one)['action_rad_s'] < 0.8 * before
    learner.save(model, tmp_path, ARM, {})
    assert load_policy(str(tmp_path), ARM, 'cpu').known_answer_off_rad_s == 0.0


def test_bins_hold_rest_and_the_whole_range():
    _, model = learner_and_model(head='binned')
    bins = model.head.bins
    low, high = (edge * model.action_std + model.action_mean for edge in (bins.low_A, bins.high_A))
    torch.testing.assert_close(low, torch.tensor([-1.0] * 7 + [-1.0]))
    torch.testing.assert_close(high, torch.tensor([1.0] * 7 + [1.0]))
    rest = bins.decode(bins.encode(-model.action_mean / model.action_std))
    assert not rest[:7].any()


@pytest.mark.parametrize('how', ['frozen', 'lora'])
def test_an_encoder_is_tuned_as_the_configuration_says(how, tmp_path):
    learner, model = learner_and_model(language_tuning=how, vision_tuning='frozen')
    one, optimiser = batch(), torch.optim.Adam(model.parameters(), 3e-3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(3):
        optimiser.zero_grad()
        torch.stack(list(learner.losses(model.train(), one).values())).sum().backward()
        optimiser.step()
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert any(name.startswith('fusion') for name in changed)
    touched = {name for name in changed if name.startswith(('vision', 'language'))}
    assert all('lora_' in name for name in touched) and bool(touched) == (how == 'lora')
    want = learner.predict(model.eval(), one).actions_BKA
    learner.save(model, tmp_path, ARM, {})
    _, plain, _ = restore(str(tmp_path), ARM)
    got = learner.predict(plain.eval(), one).actions_BKA
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope='module')
def encoders(tmp_path_factory):
    """Save a tiny ViT, and a tiny BERT with its tokenizer, as their makers' files."""
    from transformers import BertConfig, BertModel, BertTokenizer, ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp('encoders')
    sizes = {
        'hidden_size': 16, 'num_hidden_layers': 1, 'num_attention_heads': 2,
        'intermediate_size': 32,
    }  # fmt: skip
    torch.manual_seed(0)
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *TINY['vocabulary']]
    (folder / 'vocab.txt').write_text('\n'.join(words))
    ViTModel(ViTConfig(**sizes, patch_size=16, image_size=32)).save_pretrained(folder / 'vit')
    BertModel(BertConfig(**sizes, vocab_size=len(words))).save_pretrained(folder / 'bert')
    BertTokenizer(str(folder / 'vocab.txt')).save_pretrained(folder / 'bert')
    return {'vision': str(folder / 'vit'), 'language': str(folder / 'bert')}


@pytest.mark.parametrize('how', ['frozen', 'lora'])
def test_encoders_of_transformers_are_tuned_and_saved_as_plain_weights(how, encoders, tmp_path):
    tuning = {'vision_tuning': how, 'language_tuning': how, 'lora_rank': 2}
    learner, model = learner_and_model(**encoders, **tuning)
    _, plain = learner_and_model(**encoders)
    makers, one = plain.state_dict(), batch()
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    for _ in range(2):
        optimiser.zero_grad()
        torch.stack(list(learner.losses(model.train(), one).values())).sum().backward()
        optimiser.step()
    found = {name for name, p in model.named_parameters() if p.grad is not None}
    assert any(name.startswith('fusion') for name in found)
    for part in ('vision', 'language'):
        reached = {name for name in found if name.startswith(part)}
        assert all('lora_' in name for name in reached) and bool(reached) == (how == 'lora')
    if how == 'frozen':  # nor is anything dropped out
        assert not any(m.training for m in (*model.vision.modules(), *model.language.modules()))
    want = learner.predict(model.eval(), one).actions_BKA
    learner.save(model, tmp_path, ARM, {})
    saved = load_file(tmp_path / 'model.safetensors')
    assert saved.keys() == makers.keys()
    changed = {name for name, value in saved.items() if not torch.equal(value, makers[name])}
    dense = {f'{name}.weight' for name in dense_layers(plain)}
    for part in ('vision', 'language'):
        touched = {name for name in changed if name.startswith(part)}
        assert touched <= dense and bool(touched) == (how == 'lora')
    _, restored, _ = restore(str(tmp_path), ARM)
    got = learner.predict(restored.eval(), one).actions_BKA
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


def test_low_rank_matrices_need_dense_layers():
    with pytest.raises(ConfigError, match='no dense layers'):
        learner_and_model(vision_tuning='lora')


def test_statistics_of_another_size_are_refused():
    learner = VlaLearner(VlaConfig(**{**TINY, 'proprioception_size': 10}))
    with pytest.raises(ConfigError, match=r'states of 11 .* proprioception_size is 10'):
        learner.build(RANGES)
