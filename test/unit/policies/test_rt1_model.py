"""RT-1 is what its paper and google-research/robotics_transformer say it is."""

import pytest
import torch
from torch import nn

from vla_ros.errors import CheckpointError, ConfigError
from vla_ros.policies.bins import ActionBins
from vla_ros.policies.rt1.config import RT1_PAPER, Rt1Config
from vla_ros.policies.rt1.efficientnet import (
    FilmEfficientNet,
    Scale,
    map_size,
    scale_channels,
)
from vla_ros.policies.rt1.film import Film
from vla_ros.policies.rt1.language import build_sentence_tokenizer
from vla_ros.policies.rt1.model import Rt1Model, build_rt1
from vla_ros.policies.rt1.pretrained import load_pretrained
from vla_ros.policies.rt1.token_learner import TokenLearner
from vla_ros.policies.rt1.transformer import Transformer, attention_mask

TINY = {
    'image_width': 64, 'image_height': 48, 'image_width_factor': 0.25, 'image_stages': 4,
    'frames': 3, 'image_tokens': 2, 'width': 32, 'heads': 2, 'head_width': 16, 'layers': 2,
    'token_hidden': 16, 'sentence_width': 16, 'vocabulary': ('blue', 'cube', 'reach', 'red'),
}  # fmt: skip


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return shaken(Rt1Model(Rt1Config(**TINY))).eval()


def shaken(model):
    """Move FiLM off its identity, so that the sentence matters."""
    for module in model.modules():
        if isinstance(module, Film):
            nn.init.normal_(module.scale.weight, std=0.3)
            nn.init.normal_(module.shift.weight, std=0.3)
    return model


def frames_of(model, count=3):
    config = model.config
    size = (count, len(config.cameras), config.image_height, config.image_width, 3)
    images = torch.randint(0, 256, size, dtype=torch.uint8)
    sentence = torch.randn(1, config.sentence_width).expand(count, -1)
    return images, sentence, torch.randn(count, config.state_size)


def test_the_size_of_the_paper():
    config = Rt1Config(**{**RT1_PAPER, 'language': 'task_id', 'tasks': ('any',)})
    with torch.device('meta'):
        paper = Rt1Model(config)
    assert len(paper.vision.blocks) == len(paper.vision.films) == 26
    assert config.map_rows_columns == (9, 9)  # 81 places
    assert paper.vision.width == 1536
    without_film = parameters(paper.vision) - parameters(paper.vision.films)
    assert without_film == 10_696_232  # trainable ones of Keras' EfficientNetB3 without its top
    assert paper.context_tokens == 8
    assert parameters(paper.token_learner) == 34_376  # 34 k, section 5.1
    assert parameters(paper.transformer) == pytest.approx(19e6, rel=0.03)
    tokenizer = paper.vision, paper.image_to_places, paper.places_film
    assert sum(map(parameters, tokenizer)) == pytest.approx(16e6, rel=0.03)
    assert parameters(paper) == 35_111_328
    layer = paper.transformer.layers[0]
    assert layer.attention.heads == 8
    assert layer.attention.query_key_value.out_features == 3 * 8 * 128
    assert (layer.dense.in_features, layer.dense.out_features) == (512, 512)
    assert len(paper.transformer.layers) == 8 and paper.transformer.output.out_features == 256
    assert config.frames == 6 and config.bins == 256


def test_widths_and_depths_of_efficientnet():
    from transformers import EfficientNetConfig, EfficientNetModel

    for width, depth in ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4)):  # B0 to B3
        config = EfficientNetConfig(
            width_coefficient=width,
            depth_coefficient=depth,
            hidden_dim=scale_channels(1280, width),
        )
        with torch.device('meta'):
            theirs, ours = EfficientNetModel(config), FilmEfficientNet(Scale(width, depth), 8)
        assert parameters(ours) - parameters(ours.films) == parameters(theirs)


@pytest.fixture(scope='module')
def efficientnet(tmp_path_factory):
    """Save a narrow EfficientNet as its makers' file."""
    from transformers import EfficientNetConfig, EfficientNetModel

    folder = tmp_path_factory.mktemp('efficientnet')
    torch.manual_seed(1)
    config = EfficientNetConfig(
        width_coefficient=0.25, depth_coefficient=0.5, hidden_dim=scale_channels(1280, 0.25)
    )
    theirs = EfficientNetModel(config).eval()
    for name, buffer in theirs.named_buffers():
        if name.endswith(('running_mean', 'running_var')):
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    theirs.save_pretrained(folder)
    return folder, theirs


def test_weights_by_name_give_the_same_map_as_theirs(efficientnet):
    folder, theirs = efficientnet
    ours = FilmEfficientNet(Scale(0.25, 0.5), 8).eval()
    load_pretrained(ours, str(folder))
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        wanted = theirs(images).last_hidden_state
        found = ours(images, torch.randn(2, 8))  # FiLM is the identity at first
    assert wanted.shape == (2, 320, map_size(64, 7), map_size(96, 7))
    assert torch.allclose(found, wanted, atol=1e-4 * float(wanted.abs().max()))


def test_weights_that_do_not_fit_or_are_nowhere(efficientnet, tmp_path, monkeypatch):
    folder, _ = efficientnet
    with pytest.raises(CheckpointError, match=r'depth 0\.5: set image_width_factor'):
        load_pretrained(FilmEfficientNet(Scale(0.5, 0.5), 8), str(folder))
    from transformers import BertConfig, BertModel

    bert = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9)
    BertModel(bert).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match='is of type bert; use an EfficientNet'):
        load_pretrained(FilmEfficientNet(Scale(0.25, 0.5), 8), str(tmp_path))
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    with pytest.raises(CheckpointError, match=r"neither on this machine nor.*use 'small'"):
        build_rt1(Rt1Config(**{**TINY, 'vision': 'nobody/nothing'}))


def test_film_is_the_identity_at_first_and_scales_and_shifts_later():
    film = Film(4, 3)
    maps, sentence = torch.randn(2, 4, 5, 6), torch.randn(2, 3)
    assert torch.equal(film(maps, sentence), maps)
    nn.init.constant_(film.scale.bias, 1.0)
    nn.init.constant_(film.shift.bias, 0.5)
    assert torch.allclose(film(maps, sentence), 2 * maps + 0.5)


def test_a_new_model_does_not_hear_the_sentence_and_learns_to(model):
    new = Rt1Model(model.config).eval()
    images, _, state = frames_of(new)
    one, other = torch.randn(2, 3, 16)
    with torch.inference_mode():
        assert torch.equal(
            new.encode_frames(images, one, state)[0], new.encode_frames(images, other, state)[0]
        )
    new.encode_frames(images, one, state)[0].square().sum().backward()
    assert all(film.scale.weight.grad.abs().sum() > 0 for film in new.vision.films)


def test_token_learner_weighs_the_places():
    learner = TokenLearner(8, 16, 3)
    places = torch.randn(2, 20, 8, requires_grad=True)
    tokens, logits = learner(places)
    weights = logits.softmax(-1)
    assert tokens.shape == (2, 3, 8) and logits.shape == (2, 3, 20)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 3))
    assert torch.allclose(tokens, weights @ places, atol=1e-6)  # of what was not normalised
    first = learner.maps[0](nn.functional.layer_norm(places, (8,), eps=1e-6))
    tanh_gelu = (
        0.5 * first * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (first + 0.044715 * first**3)))
    )
    assert torch.allclose(logits, learner.maps[2](tanh_gelu).transpose(1, 2), atol=1e-5)
    constant = learner(torch.ones(1, 20, 8))[0]
    assert torch.allclose(constant, torch.ones(1, 3, 8), atol=1e-6)  # a mean of equals
    tokens.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learner.maps.parameters())
    assert places.grad is not None and torch.isfinite(places.grad).all()


def test_the_mask_of_the_reference():
    """Two frames of two context and two action tokens, written out."""
    wanted = torch.tensor([
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 1, 0, 0],
    ])  # fmt: skip
    assert torch.equal(attention_mask(2, 2, 2).int(), wanted.int())


def test_the_mask_as_the_reference_makes_it():
    """_generate_masks of transformer_network.py, for six frames of 8 + 11 tokens."""
    size, frame, context = 6 * 19, 19, 8
    wanted = torch.ones(size, size).tril()
    for i in range(size):
        for j in range(size):
            action_i = -1 if i % frame < context else i // frame
            action_j = -1 if j % frame < context else j // frame
            if (
                action_i != -1
                and action_j != -1
                and (action_j < action_i or (action_j == action_i and j <= i))
            ):
                wanted[i, j] -= 1
    assert torch.equal(attention_mask(6, 8, 11).float(), wanted)


@torch.inference_mode()
def test_shapes(model):
    tokens, looks = model.encode_frames(*frames_of(model))
    assert tokens.shape == (3, 3, 32)  # two image tokens and the state
    assert looks.shape == (3, 1, 2, 3, 4)  # 48x64 pixels at stride 16
    assert model.config.map_rows_columns == (3, 4)
    found = model(tokens.unsqueeze(0))
    assert found.actions_BTKAX.shape == (1, 3, 1, 7, 256)
    assert found.modes_BT2.shape == (1, 3, 2)
    several = Rt1Config(
        **{
            **TINY,
            'cameras': ('front', 'wrist'),
            'gripper': True,
            'chunk_steps': 2,
            'state_size': 11,
        }
    )
    two = Rt1Model(several).eval()
    tokens, looks = two.encode_frames(*frames_of(two))
    assert tokens.shape == (3, 5, 32) and looks.shape == (3, 2, 2, 3, 4)
    assert two(tokens.unsqueeze(0)).actions_BTKAX.shape == (1, 3, 2, 8, 256)
    assert len(two.transformer.mask_SS) == 3 * (2 * 2 + 1 + 1 + 2 * 8)


@torch.inference_mode()
def test_a_later_frame_never_changes_an_earlier_answer(model):
    tokens = torch.randn(1, 3, 3, 32)
    before = model(tokens)
    for frame in range(3):
        changed = tokens.clone()
        changed[:, frame] += 1
        after = model(changed)
        same = (before.actions_BTKAX == after.actions_BTKAX).flatten(2).all(-1)[0]
        assert same[:frame].all() and not same[frame:].any()
        assert torch.equal(before.modes_BT2[:, :frame], after.modes_BT2[:, :frame])


@torch.inference_mode()
def test_one_pass_says_what_the_loop_over_dimensions_says(model):
    """The reference predicts dimension after dimension, feeding back what it has, as zeros."""
    transformer, context, actions = model.transformer, model.context_tokens, model.action_tokens
    tokens = torch.randn(1, 3, 3, 32)
    one_pass = model(tokens)
    embedding = nn.Embedding(256, 32)

    def loop(zeroed):
        chosen, logits = torch.zeros(1, 3, actions, dtype=torch.long), []
        for k in range(actions):
            fed = embedding(chosen) * (0.0 if zeroed else 1.0)
            out = transformer(torch.cat([tokens, fed], 2).flatten(1, 2)).unflatten(1, (3, -1))
            logits.append(out[:, -1, context - 1 + k])
            chosen[:, -1, k] = logits[-1].argmax(-1)
        return torch.stack(logits, 1)[:, 1:]

    wanted = one_pass.actions_BTKAX[:, -1].flatten(1, 2)
    assert torch.allclose(loop(zeroed=True), wanted, atol=1e-6)
    assert not torch.allclose(loop(zeroed=False), wanted, atol=1e-3)  # so it takes the zeros


def test_attention_is_that_of_pytorch():
    torch.manual_seed(0)
    own = Transformer(
        attention_mask(2, 3, 2), width=8, layers=1, heads=2, head_width=4, dropout=0.0, bins=5
    )
    attention = own.layers[0].attention
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(attention.query_key_value.weight)
        theirs.in_proj_bias.copy_(attention.query_key_value.bias)
        theirs.out_proj.load_state_dict(attention.output.state_dict())
        tokens = torch.randn(3, 10, 8)
        wanted = theirs(tokens, tokens, tokens, attn_mask=~own.mask_SS, need_weights=False)[0]
        assert torch.allclose(attention(tokens, own.mask_SS), wanted, atol=1e-6)
        layer = own.layers[0]
        middle = tokens + attention(layer.attention_norm(tokens), own.mask_SS)
        wanted = middle + layer.dense(layer.dense_norm(middle))  # no activation
        assert torch.allclose(layer(tokens, own.mask_SS), wanted)


def test_bins_are_those_of_the_paper_and_come_back():
    bins = ActionBins(2, 256)
    bins.low_A.copy_(torch.tensor([-2.0, 0.0]))
    bins.high_A.copy_(torch.tensor([2.0, 0.08]))
    x = torch.rand(500, 2) * torch.tensor([4.0, 0.08]) + bins.low_A
    wanted = (255 * (x - bins.low_A) / (bins.high_A - bins.low_A)).int()
    assert (bins.encode(x) - wanted).abs().max() <= 1 and (
        bins.encode(x) == wanted
    ).float().mean() > 0.99
    width = (bins.high_A - bins.low_A) / 255
    assert ((bins.decode(bins.encode(x)) - x).abs() <= 0.5 * width + 1e-6).all()
    every = torch.arange(255)[:, None].expand(-1, 2)
    assert torch.equal(bins.encode(bins.decode(every)), every)
    assert torch.equal(bins.decode(torch.tensor([255, 255])), bins.high_A)
    assert bins.decode(bins.encode(torch.zeros(2)))[0] == 0.0  # rest is rest, exactly
    assert torch.equal(
        bins.encode(torch.tensor([[-9.0, -9.0], [9.0, 9.0]])), torch.tensor([[0, 0], [255, 255]])
    )
    certain = nn.functional.one_hot(bins.encode(x), 256).float()
    assert torch.allclose(bins.mean(certain), bins.decode(bins.encode(x)), atol=1e-6)


def test_sentences_and_tasks(model):
    ids, mask = (
        torch.from_numpy(a)
        for a in build_sentence_tokenizer(model.config)(['reach the red cube', 'red'])
    )
    with torch.inference_mode():
        sentences = model.encode_language(ids, mask)
        alone = model.encode_language(ids[1:, :1], mask[1:, :1])
    assert sentences.shape == (2, 16)
    assert torch.allclose(sentences[1:], alone, atol=1e-6)  # padding is no word
    tasks = Rt1Config(**{**TINY, 'language': 'task_id', 'tasks': ('Push it.', 'reach the cube')})
    by_task = Rt1Model(tasks)
    ids, mask = (
        torch.from_numpy(a)
        for a in build_sentence_tokenizer(tasks)(['Reach the cube!', 'push it'])
    )
    assert ids.flatten().tolist() == [1, 0]
    found = by_task.encode_language(ids, mask)
    assert torch.equal(found, by_task.language.tasks.weight[[1, 0]])


def test_a_pretrained_sentence_encoder_is_averaged_and_never_trained(tmp_path):
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'red', 'cube']
    bert = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    theirs = BertModel(bert).eval()
    theirs.save_pretrained(tmp_path)
    (tmp_path / 'vocab.txt').write_text('\n'.join(words))
    BertTokenizer(str(tmp_path / 'vocab.txt')).save_pretrained(tmp_path)
    config = Rt1Config(**{**TINY, 'language': str(tmp_path)})
    by_bert = Rt1Model(config).train()
    ids, mask = (
        torch.from_numpy(a) for a in build_sentence_tokenizer(config)(['red cube', 'red'])
    )
    found = by_bert.encode_language(ids, mask)
    words_BLE = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    mean = torch.stack([words_BLE[0].mean(0), words_BLE[1, :3].mean(0)])
    assert torch.allclose(found, by_bert.language.projection(mean), atol=1e-5)
    found.sum().backward()
    assert by_bert.language.projection.weight.grad is not None
    assert all(p.grad is None for p in by_bert.language.words.parameters())


@pytest.mark.parametrize(
    'values, message',
    [
        ({'frames': 0}, 'frames: 0'),
        ({'image_stages': 8}, 'image_stages: 8 is not within 1 and 7'),
        ({'image_width_factor': 0.0}, 'image_width_factor'),
        ({'image_height': 8}, '64x8 is too small'),
        ({'dropout': 1.0}, 'dropout'),
        ({'hold_steps': -1}, 'hold_steps'),
        ({'state_size': 3}, 'state_size'),
        ({'bins': 1}, 'the paper has 256'),
        ({'vocabulary': ()}, 'vocabulary'),
        ({'language': 'task_id'}, 'tasks'),
        ({'language': 'task_id', 'tasks': ('a', 'a')}, 'each of them once'),
        ({'cameras': ()}, 'cameras'),
        ({'step_s': 0.0}, 'step_s'),
    ],
)
def test_what_cannot_be_built_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        Rt1Config(**{**TINY, **values})
