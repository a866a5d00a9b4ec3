"""The parts that a VLA model can be made of: heads, encoders by name, no proprioception."""

import math

import pytest
import torch

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import CheckpointError, ConfigError
from vla_ros.policies.registry import load_policy
from vla_ros.policies.vla.config import HEADS, VlaConfig
from vla_ros.policies.vla.encoders import build_tokenizer
from vla_ros.policies.vla.heads import FlowHead, build_head
from vla_ros.policies.vla.key_points import POINT_WIDTH, KeyPoint, certainty
from vla_ros.policies.vla.loading import save_vla
from vla_ros.policies.vla.model import VlaModel
from vla_ros.policies.vla.policy import VlaPolicy
from vla_ros.types import Observation

ARM = load_arm('sim')
SMALL = {'vocabulary': ('red',), 'width': 32, 'heads': 2, 'layers': 1, 'feedforward': 32}
CHUNK = {'chunk_steps': 3, 'head_hidden': (64,), 'bins': 64}


@pytest.mark.parametrize('name', HEADS)
def test_a_head_learns_the_chunk_that_belongs_to_its_features(name):
    torch.manual_seed(0)
    head = build_head(8, VlaConfig(**SMALL, **CHUNK, head=name))
    features, actions = torch.randn(4, 8), 2 * torch.rand(4, 3, 7) - 1
    optimiser = torch.optim.Adam(head.parameters(), 3e-3)
    for _ in range(1500 if name == 'flow' else 400):
        off = head.off(features, actions)
        assert off.shape == (4, 3)
        optimiser.zero_grad()
        off.mean().backward()
        optimiser.step()
    with torch.no_grad():
        assert (head(features) - actions).abs().mean() < (0.25 if name == 'flow' else 0.03)
        assert torch.equal(head(features), head(features))


def test_the_flow_of_one_answer_is_a_straight_line():
    """Where the data know one chunk only, each step of Euler ends on it (Lipman et al., 2022)."""
    head = FlowHead(2, VlaConfig(**SMALL, **CHUNK, flow_steps=4))
    answer = torch.randn(1, 3, 7)
    head._flow = lambda features, chunk, time: (answer - chunk) / (1 - time[:, None, None])
    torch.testing.assert_close(head(torch.zeros(1, 2)), answer)


def test_an_unknown_head_or_tuning_is_answered_by_the_known_ones():
    with pytest.raises(ConfigError, match='binned, flow, l1, mse'):
        VlaConfig(**SMALL, head='l3')
    with pytest.raises(ConfigError, match='frozen, full, lora'):
        VlaConfig(**SMALL, vision_tuning='some')


def test_whether_it_is_there_may_be_read_off_how_surely_it_points_alone():
    heat = torch.zeros(1, 2, 1, 3, 4)  # two places; of the second one cell stands out
    heat[0, 1, 0, 1, 2] = 50.0
    match = torch.cat([torch.full((1, POINT_WIDTH), 0.5), torch.full((1, POINT_WIDTH), -0.25)], 1)
    expected = [[0.0, 0.5 * POINT_WIDTH, 50.0 * 11 / 12, -0.25 * POINT_WIDTH]]
    torch.testing.assert_close(certainty(heat, match), torch.tensor(expected))
    model = VlaModel(VlaConfig(**SMALL, evidence='attention')).eval()
    images = torch.randint(0, 256, (1, 1, 96, 128, 3), dtype=torch.uint8)
    ids = torch.ones(1, 2, dtype=torch.long)
    words = model.encode_language(ids, ids.bool())
    found = model(model.encode_images(images), words, ids.bool(), torch.randn(1, 10))
    assert model.grounded.weight.shape == (1, 2) and found.grounded_B.shape == (1,)
    with pytest.raises(ConfigError, match='attention, features'):
        VlaConfig(**SMALL, evidence='none')
    with pytest.raises(ConfigError, match='no attention without key_points'):
        VlaConfig(**SMALL, evidence='attention', key_points=False)


def test_sharper_scores_point_at_the_likelier_of_two():
    fine = torch.full((1, 1, 2, 3, 5), -20.0)
    fine[0, 0, 0, 1, 0], fine[0, 0, 0, 1, 4] = 3.0, 2.0  # at the left edge, and at the right one
    found = []
    for sharpness in (1.0, 8.0):
        config = VlaConfig(vocabulary=('cube',), sharpness=sharpness)
        pointer = KeyPoint(2, (3, 5), config)
        for parameter in pointer.parameters():
            parameter.detach().zero_()
        pointer.key.weight.detach()[0, 0] = 1.0  # scores are what the first map holds
        pointer.query.bias.detach()[0] = pointer.query.out_features**0.5
        tokens, action = torch.zeros(1, 15, config.width), torch.zeros(1, config.width)
        heat, seen, _ = pointer(fine, tokens, action)
        torch.testing.assert_close(heat[0, 0, 0], fine[0, 0, 0])
        found.append((seen[0, 0].item() + 2) / 4)
    share = 1 / (1 + math.exp(-1))
    assert found[0] == pytest.approx(0.1 * share + 0.9 * (1 - share), abs=1e-4)
    assert found[1] == pytest.approx(0.1, abs=1e-3)
    with pytest.raises(ConfigError, match=r'sharpness: 0\.5 is not within'):
        VlaConfig(vocabulary=('cube',), sharpness=0.5)


def test_without_proprioception_the_joints_change_nothing(tmp_path):
    torch.manual_seed(0)
    model = VlaModel(VlaConfig(**SMALL, proprioception_size=0)).eval()
    save_vla(tmp_path, model, ARM, {})
    policy = load_policy(str(tmp_path), ARM, 'cpu')
    image = torch.randint(0, 255, (96, 128, 3), dtype=torch.uint8).numpy()
    here = policy.predict(Observation({'front': image}, ARM.home_rad, 'red'))
    there = policy.predict(Observation({'front': image}, ARM.home_rad + 0.3, 'red'))
    dark = policy.predict(Observation({'front': image // 2}, ARM.home_rad, 'red'))
    assert (here[0] == there[0]).all() and (here[0] != dark[0]).any()


TINY = {
    'hidden_size': 16, 'num_hidden_layers': 1, 'num_attention_heads': 2, 'intermediate_size': 32,
}  # fmt: skip
PATCHES = {'patch_size': 16, 'image_size': 32}


def backbones():
    import transformers as t

    clip = {'vision_config': TINY | PATCHES, 'text_config': TINY | {'vocab_size': 50}}
    return {
        'vit': (t.ViTModel, t.ViTConfig(**TINY, **PATCHES)),
        'dinov2': (t.Dinov2Model, t.Dinov2Config(**TINY, **PATCHES)),
        'clip': (t.CLIPModel, t.CLIPConfig(**clip)),
        'siglip': (t.SiglipModel, t.SiglipConfig(**clip)),
    }


@pytest.mark.parametrize('name', ['vit', 'dinov2', 'clip', 'siglip'])
def test_transformers_see_by_name_and_without_their_files_afterwards(name, tmp_path):
    torch.manual_seed(0)
    kind, config = backbones()[name]
    kind(config).save_pretrained(tmp_path / name)
    model = VlaModel(VlaConfig(**SMALL, vision=str(tmp_path / name))).eval()
    assert model._map_size() == (96 // 16, 128 // 16)
    mean = {'dinov2': 0.485, 'clip': 0.481, 'siglip': 0.5, 'vit': 0.5}[name]
    assert float(model.image_mean[0]) == pytest.approx(255 * mean, rel=1e-3)
    # a patch's token is where the patch is
    images = torch.zeros(2, 3, 96, 128)
    images[1, :, 16:32, 48:64] = 3.0
    moved = model.vision(images)[0].diff(dim=0)[0].norm(dim=0)
    assert divmod(int(moved.argmax()), moved.shape[1]) == (1, 3)
    save_vla(tmp_path / 'made', model, ARM, {})
    (tmp_path / name).rename(tmp_path / 'elsewhere')
    policy = load_policy(str(tmp_path / 'made'), ARM, 'cpu')
    assert policy.known_answer_off_rad_s == 0.0


def test_the_text_half_of_clip_is_a_language_encoder():
    kind, config = backbones()['clip']
    content = kind(config).text_model.config.to_dict()
    named = {'language': 'clip', 'language_config': content, 'vocabulary': ()}
    model = VlaModel(VlaConfig(**SMALL | named)).eval()
    ids, mask = torch.tensor([[3, 4, 5], [3, 4, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]]).bool()
    words = model.encode_language(ids, mask)
    assert words.shape == (2, 3, 32)
    torch.testing.assert_close(words[0, :2], words[1, :2])  # it is causal


def test_clip_reads_by_its_own_tokenizer_and_without_its_files_afterwards(tmp_path):
    from transformers import CLIPTokenizer

    torch.manual_seed(0)
    letters = ['r', 'e', 'd</w>', 'b', 'l', 'u', 'e</w>']
    pieces = ['<|startoftext|>', '<|endoftext|>', *letters, 're', 'red</w>']
    ids = {piece: number for number, piece in enumerate(pieces)}
    kind, content = backbones()['clip']
    for part in (kind(content), CLIPTokenizer(ids, [('r', 'e'), ('re', 'd</w>')])):
        part.save_pretrained(tmp_path / 'clip')
    config = VlaConfig(**SMALL | {'vocabulary': ()}, language=str(tmp_path / 'clip'))
    model = VlaModel(config).eval()
    kept = kind.from_pretrained(tmp_path / 'clip').text_model.state_dict()
    weights = model.language.backbone.state_dict()
    assert weights.keys() == kept.keys()
    assert all(torch.equal(value, kept[name]) for name, value in weights.items())
    tokens, mask = build_tokenizer(config)(['red', 'Blue'])
    blue = [ids[piece] for piece in ('b', 'l', 'u', 'e</w>')]
    assert tokens.tolist() == [[0, ids['red</w>'], 1, 1, 1, 1], [0, *blue, 1]]
    assert mask.sum(axis=1).tolist() == [3, 6]
    image = torch.randint(0, 255, (96, 128, 3), dtype=torch.uint8).numpy()
    seen = [Observation({'front': image}, ARM.home_rad, text) for text in ('red', 'blue')]
    before = [*map(VlaPolicy(model, ARM, torch.device('cpu')).predict, seen)]
    assert (before[0][0] != before[1][0]).any()
    save_vla(tmp_path / 'made', model, ARM, {})
    (tmp_path / 'clip').rename(tmp_path / 'elsewhere')
    after = [*map(load_policy(str(tmp_path / 'made'), ARM, 'cpu').predict, seen)]
    for (was, sure), (now, as_sure) in zip(before, after, strict=True):
        assert (was == now).all() and sure == as_sure


def test_the_text_half_of_siglip_is_refused(tmp_path):
    kind, config = backbones()['siglip']
    kind(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r'siglip_text_model.*BERT-like encoder, or CLIP'):
        VlaModel(VlaConfig(**SMALL, language=str(tmp_path)))


def test_an_encoder_without_a_map_is_refused(tmp_path):
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(**TINY, vocab_size=9)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="'bert' has no map of features"):
        VlaModel(VlaConfig(**SMALL, vision=str(tmp_path)))
