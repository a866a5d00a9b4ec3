"""CLIPort: what the architecture promises, its checkpoint, and how a policy begins anew."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import CheckpointError, ConfigError, ObservationError
from vla_ros.policies.cliport.blocks import stage
from vla_ros.policies.cliport.config import CLIPORT_PAPER, PRIMITIVES, CliportConfig
from vla_ros.policies.cliport.height_map import HeightMap
from vla_ros.policies.cliport.loading import save_cliport
from vla_ros.policies.cliport.model import CliportModel
from vla_ros.policies.cliport.policy import CliportPolicy
from vla_ros.policies.cliport.rotation import rotated_crops
from vla_ros.policies.cliport.streams import SpatialStream
from vla_ros.policies.cliport.waypoints import Decision
from vla_ros.policies.registry import load_policy
from vla_ros.sim.tasks.language import task_vocabulary
from vla_ros.training.restored import SCENE_KINDS, restore
from vla_ros.types import Observation

ARM = load_arm('sim')
PAGE = Path(__file__).resolve().parents[3] / 'docs' / 'models.md'
WORDS = ('put', 'pick', 'up', 'the', 'red', 'blue', 'cube', 'ball', 'in', 'bowl')
TINY = CliportConfig(
    base_channels=4, rotations=4, crop_pixels=16, sentence_width=16, vocabulary=WORDS,
    image_width=64, image_height=32, metres_per_pixel=0.015625,
)  # fmt: skip


def model(config: CliportConfig = TINY, seed: int = 0) -> CliportModel:
    torch.manual_seed(seed)
    return CliportModel(config).eval()


def scene(config: CliportConfig = TINY, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    size = config.image_height, config.image_width
    colours = torch.randint(0, 255, (1, *size, 3), generator=rng)
    return colours, 0.05 * torch.rand((1, *size), generator=rng)


def sentence(of: CliportModel, *ids: int) -> torch.Tensor:
    words = torch.tensor([ids])
    return of.encode_language(words, torch.ones_like(words, dtype=torch.bool))


def test_shapes_are_a_pixel_each_and_a_rotation() -> None:
    made = model()
    maps = made.inputs(*scene())
    assert maps.shape == (1, 6, 32, 64)
    torch.testing.assert_close(maps[:, 3], maps[:, 4])
    said = sentence(made, 40, 41)
    assert made.pick(maps, said).shape == (1, 32, 64)
    assert made.place(maps, said, [(0, 63)]).shape == (1, 4, 32, 64)


def test_no_batch_norm_anywhere() -> None:
    norms = nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d
    assert not [layer for layer in model().modules() if isinstance(layer, norms)]


def test_parameters_are_those_that_the_layers_say() -> None:
    with torch.device('meta'):
        first = stage(64, 64)
        spatial = SpatialStream(64, 1, skips=False)
        paper = CliportModel(
            CliportConfig(
                **CLIPORT_PAPER | {'semantic': 'small', 'language': 'small'}, vocabulary=WORDS
            )
        )
    block = 64 * 64 + 9 * 64 * 64 + 64 * 64
    assert _count(first) == 2 * block + 64 * 64  # one shortcut is a convolution
    assert _count(spatial) == _count_spatial(64)
    assert paper.transport.rotations == 36
    assert paper.transport.crop == 64
    assert len(paper.attention.streams.semantic.fusions) == 6
    assert [w.out_features for w in paper.attention.streams.semantic.words] == [1024, 512, 256]


def test_the_sizes_that_the_page_of_the_models_states() -> None:
    small = {'semantic': 'small', 'language': 'small'}
    with torch.device('meta'):
        paper = CliportModel(CliportConfig(**CLIPORT_PAPER | small, vocabulary=WORDS))
        default = CliportModel(CliportConfig(vocabulary=tuple(task_vocabulary())))
    found = re.search(r'parameters \| (\d+) M with small .* \| ([\d.]+) M ', PAGE.read_text())
    assert found
    assert f'{_count(paper) / 1e6:.0f}' == found[1]
    assert f'{_count(default) / 1e6:.1f}' == found[2]


def _count(layer: nn.Module) -> int:
    return sum(p.numel() for p in layer.parameters())


def _count_spatial(base: int) -> int:
    """Count by hand: a stage holds 22 c² and two 1x1 convolutions from what comes in."""

    def of_stage(before: int, width: int) -> int:
        return 2 * before * width + 10 * width**2 + 11 * width**2

    widths = [base << k for k in range(5)]
    stem = 6 * base * 9 + base
    encoder = of_stage(base, base) + sum(map(of_stage, widths[:-1], widths[1:]))
    decoder = sum(of_stage(width, width // 2) for width in widths)
    thin = base // 4
    ends = base // 2 * thin + 9 * thin**2 + thin + base // 2 + thin + 9 * thin**2 + thin
    return stem + encoder + decoder + ends


def test_attention_moves_with_what_it_sees() -> None:
    config = replace(TINY, image_width=1024)
    made = model(config)
    said = sentence(made, 40, 41)
    found = []
    with torch.inference_mode():
        for column in (480, 512):
            colours, heights = torch.full((1, 32, 1024, 3), 128), torch.zeros(1, 32, 1024)
            colours[:, 10:16, column : column + 6], heights[:, 10:16, column : column + 6] = (
                255,
                0.05,
            )
            found.append(made.pick(made.inputs(colours, heights), said)[0, :, 300:760])
    torch.testing.assert_close(found[1][:, 32:], found[0][:, :-32], rtol=1e-3, atol=1e-4)
    assert found[0].std() > 1e-3


def test_a_turned_surrounding_of_the_pick_turns_the_answer() -> None:
    made = model()
    transport, said = made.transport, sentence(made, 40, 41)
    maps = torch.randn(1, 6, 33, 33)
    with torch.inference_mode():
        kernels = transport.kernels(maps, made.encode, said, [(16, 16)])
        turned = transport.kernels(maps.rot90(1, (2, 3)), made.encode, said, [(16, 16)])
        torch.testing.assert_close(turned, kernels.roll(-1, 1), rtol=1e-3, atol=1e-4)
        key = torch.randn(1, 3, 48, 80)
        first, second = (transport.correlate(key, k) for k in (kernels, turned))
    rotation, place = divmod(int(first.argmax()), 32 * 64)
    assert divmod(int(second.argmax()), 32 * 64) == ((rotation - 1) % 4, place)


class Matching(CliportModel):
    """Picks at what is reddest, and places where the heights around the pick fit best."""

    def pick(self, maps_BCHW: torch.Tensor, sentence_BD: torch.Tensor) -> torch.Tensor:
        return 100 * maps_BCHW[:, 0]

    def place(
        self, maps_BCHW: torch.Tensor, sentence_BD: torch.Tensor, picks: list[tuple[int, int]]
    ) -> torch.Tensor:
        heights, crop = maps_BCHW[:, 3:4], self.config.crop_pixels
        crops = rotated_crops(heights[0], picks[0], self.config.rotations, crop)
        return self.transport.correlate(functional.pad(heights, (crop // 2,) * 4), crops[None])


@pytest.mark.parametrize('quarters', [0, 1, 2, 3])
def test_a_decision_turns_as_the_object_is_turned_in_the_base_frame(quarters: int) -> None:
    geometry, turn_rad = TINY.geometry, quarters * np.pi / 2
    corner = [(x, 0) for x in range(6)] + [(0, y) for y in range(1, 4)]  # an L, along x and y
    rotation = np.array([[np.cos(turn_rad), -np.sin(turn_rad)],
                         [np.sin(turn_rad), np.cos(turn_rad)]])  # fmt: skip
    pick, place = (20, 15), (14, 45)
    colours, heights = np.zeros((32, 64, 3), np.uint8), np.zeros((32, 64), np.float32)
    colours[pick] = 255, 0, 0
    for pixel, turned, height_m in ((pick, np.eye(2), 0.03), (place, rotation, 0.06)):
        begin = geometry.point_m(np.array(pixel, np.float64))
        points = begin + geometry.metres_per_pixel * np.array(corner) @ turned.T
        rows, columns = np.round(geometry.pixel(points)).astype(int).T
        heights[rows, columns] = height_m
    made = Matching(TINY)
    made.height_mean.zero_()
    with torch.no_grad():
        made.primitive.bias[PRIMITIVES.index('put')] += 100
    policy = CliportPolicy(made, ARM, torch.device('cpu'))
    decision = policy.decide(HeightMap(colours, heights), 'put it')
    assert (decision.primitive, decision.pick, decision.place) == ('put', pick, place)
    assert decision.turn_rad == pytest.approx(turn_rad)


def test_correlation_is_highest_where_the_kernel_lies() -> None:
    transport = model().transport
    key, kernel = torch.zeros(1, 3, 48, 80), torch.randn(1, 3, 16, 16)
    key[:, :, 20:36, 30:46] = kernel
    found = transport.correlate(key, kernel[None])
    assert divmod(int(found.argmax()), 64) == (20, 30)  # its middle, without the padding of 8


def test_the_words_matter() -> None:
    made = model()
    maps = made.inputs(*scene())
    said = sentence(made, 40, 41)
    (made.pick(maps, said).std() + made.place(maps, said, [(9, 9)]).std()).backward()
    grads = made.text.words.weight.grad  # type: ignore[union-attr]
    assert grads is not None
    assert grads[40].abs().max() > 0
    assert grads[41].abs().max() > 0
    assert not grads[39].any()
    other = sentence(made, 41, 40)
    assert not torch.allclose(made.pick(maps, said), made.pick(maps, other))


@pytest.mark.parametrize(
    'content',
    [
        {'model_type': 'clip', 'projection_dim': 16,
         'text_config': {'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 1,
                         'num_attention_heads': 2, 'vocab_size': 60},
         'vision_config': {'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 4,
                           'num_attention_heads': 2, 'image_size': 32, 'patch_size': 8}},
        {'model_type': 'resnet', 'embedding_size': 4, 'hidden_sizes': [4, 8, 12, 16],
         'depths': [1, 1, 1, 1], 'layer_type': 'basic'},
    ],
)  # fmt: skip
def test_pretrained_encoders_stay_as_they_are(content: dict) -> None:
    config = replace(TINY, semantic='some-model', semantic_config=content)
    if content['model_type'] == 'clip':
        config = replace(config, language='some-model', language_config=content)
    made = model(config).train()
    assert not made.semantic.training
    assert not any(p.requires_grad for p in made.semantic.parameters())
    maps = made.inputs(*scene())
    logits = made.pick(maps, sentence(made, 3, 4))
    assert logits.shape == (1, 32, 64)
    assert made.place(maps, sentence(made, 3, 4), [(5, 6)]).shape == (1, 4, 32, 64)
    logits.std().backward()
    assert made.attention.streams.semantic.words[0].weight.grad is not None


def test_a_checkpoint_brings_its_pretrained_words_along(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *WORDS]
    bert = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    source = tmp_path / 'bert'
    BertModel(bert).save_pretrained(source)
    (tmp_path / 'vocab.txt').write_text('\n'.join(words))
    BertTokenizer(str(tmp_path / 'vocab.txt')).save_pretrained(source)
    made = model(replace(TINY, language=str(source)))
    save_cliport(tmp_path / 'checkpoint', made, ARM, {})
    said = ['put the red cube in the blue bowl']
    want = CliportPolicy(made, ARM, torch.device('cpu')).tokenize(said)
    source.rename(tmp_path / 'elsewhere')  # another machine: there is nothing but the checkpoint
    loaded = load_policy(str(tmp_path / 'checkpoint'), ARM, 'cpu')
    assert isinstance(loaded, CliportPolicy)
    for one, other in zip(loaded.tokenize(said), want, strict=True):
        assert np.array_equal(one, other)
    learner, _, _ = restore(str(tmp_path / 'checkpoint'), ARM, SCENE_KINDS)
    assert np.array_equal(learner.tokenize(said)[0], want[0])
    (tmp_path / 'checkpoint' / 'tokenizer').rename(tmp_path / 'tokenizer')
    with pytest.raises(CheckpointError, match=r"tokenizer' is missing"):
        load_policy(str(tmp_path / 'checkpoint'), ARM, 'cpu')


def test_weights_that_are_nowhere_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='neither on this machine'):
        CliportModel(replace(TINY, semantic=str(tmp_path / 'nothing')))


@pytest.mark.parametrize(
    ('wrong', 'named'),
    [
        ({'image_width': 100}, 'image_width'),
        ({'crop_pixels': 10}, 'crop_pixels'),
        ({'rotations': 0}, 'rotations'),
        ({'metres_per_pixel': 0.0}, 'metres_per_pixel'),
        ({'cameras': ('top', 'front')}, 'cameras'),
        ({'vocabulary': ()}, 'vocabulary'),
        ({'map_far_m': float('nan')}, 'map_far_m'),
    ],
)
def test_what_cannot_be_built_is_refused(wrong: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        CliportConfig(**(asdict(TINY) | wrong))


def observation(instruction: str = 'put the red cube in the blue bowl', **more) -> Observation:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 255, (160, 320, 3), dtype=np.uint8)
    depth = (1.2 - 0.05 * rng.random((160, 320))).astype(np.float32)
    fields = {'images': {'top': image}, 'joint_positions_rad': ARM.home_rad, 'stamp_ns': 10**9,
              'gripper_opening_m': 0.04, 'depths_m': {'top': depth}}  # fmt: skip
    return Observation(instruction=instruction, **(fields | more))


def test_a_reloaded_checkpoint_answers_the_same(tmp_path: Path) -> None:
    made = model()
    before = CliportPolicy(made, ARM, torch.device('cpu'))
    save_cliport(tmp_path, made, ARM, {'command': 'test'})
    loaded = load_policy(str(tmp_path), ARM, 'cpu')
    assert isinstance(loaded, CliportPolicy)
    assert loaded.known_answer_off_rad_s is not None
    assert loaded.known_answer_off_rad_s < 1e-6
    seen = before.see(observation())
    assert loaded.decide(seen, 'put it') == before.decide(seen, 'put it')
    np.testing.assert_array_equal(
        loaded.predict(observation())[0], before.predict(observation())[0]
    )


def test_an_arm_without_a_calibrated_camera_is_told_what_to_give() -> None:
    camera = replace(ARM.cameras['top'], calibration=None)
    arm = replace(ARM, cameras={**ARM.cameras, 'top': camera})
    with pytest.raises(ConfigError, match='calibration'):
        CliportPolicy(model(), arm, torch.device('cpu'))


@pytest.mark.parametrize(
    ('missing', 'named'),
    [
        ({'gripper_opening_m': None}, 'gripper'),
        ({'images': {}}, 'no image of camera'),
        ({'depths_m': {}}, 'no depth image'),
    ],
)
def test_what_the_policy_needs_is_named_when_it_is_not_there(missing: dict, named: str) -> None:
    policy = CliportPolicy(model(), ARM, torch.device('cpu'))
    folded = np.array([0.0, -1.3, 0.0, -2.7, 0.0, 1.4, 0.785])
    with pytest.raises(ObservationError, match=named):
        policy.infer(observation(**({'joint_positions_rad': folded} | missing)))


class Told(CliportPolicy):
    """Is told its decision: what it does about it is tested, the network is untrained."""

    decided: Decision

    def decide(self, seen: HeightMap, instruction: str) -> Decision:
        return self.decided


def test_the_arm_draws_back_first_and_a_new_instruction_begins_anew() -> None:
    policy = Told(model(), ARM, torch.device('cpu'))
    chunk = policy.infer(observation())
    assert 'draws back' in chunk.note
    assert chunk.velocities_rad_s.any()
    assert policy.decision is None
    folded = np.array([0.0, -1.3, 0.0, -2.7, 0.0, 1.4, 0.785])
    decision = Decision('pick', (9, 30), (9, 30), 0.0, 1.0)
    policy.decided = decision
    policy.infer(observation(joint_positions_rad=folded))
    assert policy.decision is decision
    policy.infer(observation('pick up the ball'))
    assert policy.decision is None


def test_an_empty_instruction_and_a_flat_answer_are_rest() -> None:
    policy = Told(model(), ARM, torch.device('cpu'))
    assert not policy.infer(observation('')).velocities_rad_s.any()
    folded = np.array([0.0, -1.3, 0.0, -2.7, 0.0, 1.4, 0.785])
    doubt = Decision('pick', (9, 30), (9, 30), 0.0, 0.01)
    policy.decided = doubt
    chunk = policy.infer(observation(joint_positions_rad=folded))
    assert not chunk.velocities_rad_s.any()
    assert 'sees nothing' in chunk.note
