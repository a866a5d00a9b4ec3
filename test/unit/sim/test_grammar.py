"""What is held out is held out, and sentences mean what they are labelled with."""

import numpy as np
import pytest

from vla_ros.errors import ConfigError
from vla_ros.sim.episodes import Reached, judge, plan_episodes
from vla_ros.sim.grammar import (
    PLACEHOLDER,
    SHAPE_WORDS,
    load_phrasings,
    phrase,
    sample_instruction,
    sample_refusal,
    shipped_phrasings,
)
from vla_ros.sim.layout import SEPARATION_M, sample_layout
from vla_ros.sim.scene import COLOURS, OBJECT_KINDS


def test_held_out_phrasings_are_not_trained_on():
    shipped = shipped_phrasings()
    assert shipped.train and shipped.held_out
    assert not set(shipped.train) & set(shipped.held_out)
    assert all(PLACEHOLDER in text for text in (*shipped.train, *shipped.held_out))
    rng = np.random.default_rng(0)
    frames = {text.split(PLACEHOLDER)[0].strip() for text in shipped.held_out} - {''}
    for _ in range(3000):
        sentence = sample_instruction(OBJECT_KINDS[rng.integers(12)], rng)
        assert not any(sentence.startswith(start) for start in frames), sentence


def test_evaluation_scenes_are_held_out_for_every_seed():
    first = shipped_phrasings().held_out_first_seed
    for seed in (0, 1, 99999):
        assert min(e.seed for e in plan_episodes(50, seed, ['reach {object}'])) >= first


def test_episodes_name_an_object_that_is_on_the_table():
    for episode in plan_episodes(100, 3, shipped_phrasings().held_out):
        layout = sample_layout(np.random.default_rng(episode.seed))
        assert episode.target in {kind.name for kind, _ in layout}
        assert episode.target in episode.instruction


@pytest.mark.parametrize('count, seed', [(0, 0), (10_001, 0), (5, -1), (5, 100_000)])
def test_episode_counts_and_seeds_out_of_range_are_refused(count, seed):
    with pytest.raises(ConfigError, match='is not within'):
        plan_episodes(count, seed, ['{object}'])


def test_instructions_name_colour_and_shape_of_the_object():
    rng = np.random.default_rng(1)
    for _ in range(500):
        kind = OBJECT_KINDS[rng.integers(12)]
        words = sample_instruction(kind, rng).split()
        assert kind.colour in words and set(words) & set(SHAPE_WORDS[kind.shape])


def test_refusals_ask_for_nothing_that_is_there_unless_they_negate():
    rng = np.random.default_rng(2)
    present = tuple(kind for kind, _ in sample_layout(rng))
    negating = {'not', 'dont', 'never', 'avoid', 'away', 'clear'}
    for _ in range(2000):
        words = set(sample_refusal(present, rng).split())
        named = [k for k in present if k.colour in words and words & set(SHAPE_WORDS[k.shape])]
        assert not named or words & negating


def test_phrasings_of_the_user(tmp_path):
    path = tmp_path / 'mine.txt'
    path.write_text('# mine\n\n  dash to the {object}\n')
    assert load_phrasings(path) == ('dash to the {object}',)
    assert phrase('dash to the {object}', 'red cube') == 'dash to the red cube'


@pytest.mark.parametrize('text, message', [('', 'no template'), ('go home\n', 'has no {object}')])
def test_phrasings_that_cannot_be_used_say_why(tmp_path, text, message):
    path = tmp_path / 'mine.txt'
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_phrasings(path)
    with pytest.raises(ConfigError, match='cannot be read'):
        load_phrasings(tmp_path / 'nowhere.txt')


def test_layouts_keep_their_distance():
    for seed in range(50):
        layout = sample_layout(np.random.default_rng(seed))
        places = np.array([(pose.x_m, pose.y_m) for _, pose in layout])
        apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.eye(4)
        assert apart.min() >= SEPARATION_M
        assert len({kind for kind, _ in layout}) == 4
        assert all(kind.colour in COLOURS for kind, _ in layout)


def test_judging():
    assert judge('red cube', {'red cube': 0.02, 'other': 0.2}) == Reached(0.02, True, False)
    assert judge('red cube', {'red cube': 0.2, 'other': 0.01}) == Reached(0.2, False, True)
    assert judge('red cube', {'red cube': 0.2, 'other': 0.3}) == Reached(0.2, False, False)
    assert judge('red cube', {'red cube': 0.02, 'other': 0.01}) == Reached(0.02, True, False)
