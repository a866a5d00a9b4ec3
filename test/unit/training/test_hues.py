"""Hues are turned, what is seen has the names of its new colours, what is left out is not seen."""

from __future__ import annotations

import colorsys
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from vla_ros.core.embodiment import load_arm
from vla_ros.policies.vla.config import VlaConfig
from vla_ros.policies.vla.encoders import build_tokenizer
from vla_ros.policies.vla.model import VlaModel
from vla_ros.policies.vla.tokenizer import WordTokenizer
from vla_ros.sim.grammar import vocabulary
from vla_ros.sim.scene import COLOURS, OBJECT_KINDS, ObjectKind
from vla_ros.sim.world import World
from vla_ros.training.batches import Batches
from vla_ros.training.collect import CollectConfig, record_episodes
from vla_ros.training.config import TrainConfig
from vla_ros.training.episodes import Frames
from vla_ros.training.evidence import TAKEN_FOR_THERE, by_attention, draw_line
from vla_ros.training.hues import EVERY, LIKE_DEG, NAMED_DEG, SAME_DEG, draw_turn, names, turned
from vla_ros.training.objective import run_model
from vla_ros.training.sentences import SentenceSampler

ARM = load_arm('sim')
LEFT_OUT = {ObjectKind('red', 'ball'), ObjectKind('green', 'cube')}


def apart(one: float, other: float) -> float:
    return abs((one - other + 180) % 360 - 180)


def hue_deg(rgb: np.ndarray) -> float:
    return 360 * colorsys.rgb_to_hsv(*(rgb / 255))[0]


@pytest.fixture(scope='module')
def world() -> World:
    made = World(ARM)
    made.reset(3)
    return made


def test_the_colours_of_the_simulator_have_their_hues() -> None:
    for name, rgb in COLOURS.items():
        assert apart(hue_deg(255 * np.array(rgb)), NAMED_DEG[name]) < 2
    hues = sorted(NAMED_DEG.values())
    assert min(np.diff([*hues, 360])) > SAME_DEG  # nothing has two names


def test_an_image_is_turned_as_far_as_is_said_and_the_table_is_not(world: World) -> None:
    image = world.render('top')
    changed = turned(image, 100.0)
    rows, columns = image.shape[:2]
    places = [world.project('top', thing.position_m) for thing in world.objects]
    shown = [at for x, y in places if np.ptp(image[at := (int(y * rows), int(x * columns))]) > 60]
    assert len(shown) >= 3  # the arm hides the others
    for at in shown:
        assert apart(hue_deg(changed[at]), hue_deg(image[at]) + 100) < 4
    pale = np.ptp(image.astype(int), axis=-1) < 0.4 * image.max(-1)
    assert np.array_equal(changed[pale], image[pale]) and pale.mean() > 0.5


def test_things_are_called_by_the_colours_that_they_have_now() -> None:
    kinds = [ObjectKind('red', 'cube'), ObjectKind('green', 'ball'), ObjectKind('yellow', 'cube')]
    assert names(kinds, 0.0) == tuple(kinds)
    assert names(kinds, 176.0) == (ObjectKind('cyan', 'cube'), None, ObjectKind('blue', 'cube'))


def test_no_turn_shows_what_is_left_out_or_like_it() -> None:
    rng = np.random.default_rng(0)
    shown = [kind for kind in OBJECT_KINDS if kind not in LEFT_OUT]
    called = set()
    for _ in range(400):
        kinds = [shown[k] for k in rng.choice(len(shown), 4, replace=False)]
        by = draw_turn(kinds, LEFT_OUT, rng)
        called.update(name for name in names(kinds, by) if name)
        for kind in kinds:
            for other in LEFT_OUT:
                if kind.shape == other.shape:
                    hue = NAMED_DEG[kind.colour] + by
                    assert apart(hue, NAMED_DEG[other.colour]) >= LIKE_DEG
    assert len(called) > 15 and called <= set(EVERY) - LEFT_OUT


class Plain:
    """Words as their own tokens; nothing is exchanged for strange words."""

    first_word = 10

    def __init__(self) -> None:
        self.words: list[str] = []

    def encode(self, text: str) -> list[int]:
        for word in text.split():
            if word not in self.words:
                self.words.append(word)
        return [self.first_word + self.words.index(word) for word in text.split()]

    def decode(self, tokens: list[int]) -> set[str]:
        return {self.words[t - self.first_word] for t in tokens if t >= self.first_word}


def test_batches_ask_for_what_is_seen_and_refuse_what_is_not(world: World) -> None:
    frames = record_episodes(world, CollectConfig(episodes=2, episode_steps=4), range(2))
    assert isinstance(frames, Frames)
    tokenizer = Plain()
    kinds = [kind for kind in EVERY if kind not in LEFT_OUT]
    sampler = SentenceSampler(tokenizer, 24, 0, kinds)
    config = TrainConfig(batch_images=8, hues=1.0, device='cpu')
    batches = Batches(frames, ARM, sampler, config)
    images, called, like = batches._seen(np.arange(len(frames)))
    assert like is not None
    assert not np.array_equal(images, frames.images)
    for named, alike in zip(called, like, strict=True):
        known = [name for name in named if name]
        assert known and set(known) <= set(alike)
    ids, _, asked = sampler.batch(called, 4, 1, like)
    for row, (tokens, which) in enumerate(zip(ids.tolist(), asked, strict=True)):
        kind = called[row // 4][which] if which >= 0 else None
        said = tokenizer.decode(tokens)
        if kind is not None:
            assert kind.colour in said
        assert not any({k.colour, k.shape} <= said for k in LEFT_OUT)


DRAWS = """
from vla_ros.policies.vla.tokenizer import WordTokenizer
from vla_ros.sim.grammar import vocabulary
from vla_ros.sim.scene import OBJECT_KINDS
from vla_ros.training.hues import EVERY, like, names
from vla_ros.training.sentences import SentenceSampler
sampler = SentenceSampler(WordTokenizer(vocabulary(), 32, 24), 24, 0, EVERY)
kinds, turns = OBJECT_KINDS[:4], range(0, 360, 10)
images, alike = ([f(kinds, turn) for turn in turns] for f in (names, like))
seen = [k for k, image in enumerate(images) if any(image)]
ids, _, asked = sampler.batch([images[k] for k in seen], 4, 3, [alike[k] for k in seen])
print(ids.tolist(), asked.tolist())
"""


def test_every_process_draws_the_same_sentences() -> None:
    said = [
        subprocess.run(
            [sys.executable, '-c', DRAWS], check=True, capture_output=True, text=True,
            env={**os.environ, 'PYTHONHASHSEED': seed},
        ).stdout
        for seed in ('1', '2')
    ]  # fmt: skip
    assert said[0] == said[1] and len(said[0]) > 1000


def test_what_refuses_is_learned_anew_and_where_it_points_stays(world: World) -> None:
    torch.manual_seed(0)
    frames = record_episodes(world, CollectConfig(episodes=2, episode_steps=4), range(2))
    config = VlaConfig(vocabulary=tuple(vocabulary()), width=32, heads=2, layers=1, feedforward=32)
    tokenizer = build_tokenizer(config)
    assert isinstance(tokenizer, WordTokenizer)
    settings = TrainConfig(batch_images=2, hues=0.5, device='cpu')
    batches = Batches(frames, ARM, SentenceSampler(tokenizer, 24, 0, EVERY), settings)
    model = VlaModel(config)
    judging = by_attention(model, batches, settings)
    assert judging.config.evidence == 'attention' and judging.config.sharpness > 1
    for name, weights in judging.state_dict().items():
        if not name.startswith('grounded'):
            assert torch.equal(weights, model.state_dict()[name]), name
    batch = batches.draw(torch.device('cpu'))
    found = [run_model(m.eval(), batch, batch.images_BVHWC) for m in (model, judging)]
    assert torch.equal(found[0].heat_BDVHW, found[1].heat_BDVHW)


def test_the_line_lets_few_of_the_absent_pass_and_signs_count_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    signs = torch.randn(4000, 2, generator=generator) * torch.tensor([0.1, 20.0])
    there = torch.rand(4000, generator=generator) < 0.75
    signs[there] += torch.tensor([0.4, 80.0])
    grounded = nn.Linear(2, 1)
    draw_line(grounded, signs, there.float())
    passed = grounded(signs).squeeze(-1) > 0
    assert float(passed[~there].float().mean()) == pytest.approx(TAKEN_FOR_THERE, abs=0.002)
    assert passed[there].float().mean() > 0.99
    weight = grounded.weight.detach()[0] * torch.tensor([0.1, 20.0])
    assert float(weight[0]) == pytest.approx(float(weight[1]), rel=0.1)
