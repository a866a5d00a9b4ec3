"""Training CLIPort on demonstrations: losses fall, it goes on to the bit, the gate, refusals."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vla_ros.cli import main
from vla_ros.core.embodiment import load_arm
from vla_ros.data.features import Feature, Spec
from vla_ros.data.reader import open_dataset
from vla_ros.data.writer import DatasetWriter
from vla_ros.errors import ConfigError
from vla_ros.policies.checkpoint import read_manifest
from vla_ros.policies.cliport.config import CliportConfig
from vla_ros.policies.cliport.model import CliportModel
from vla_ros.policies.cliport.policy import CliportPolicy
from vla_ros.policies.registry import load_policy
from vla_ros.sim.scene import COLOURS
from vla_ros.sim.tasks.language import sample_sentence, sentence, task_vocabulary
from vla_ros.training.adapt_scenes import _keep_frozen
from vla_ros.training.adapters import dense_layers
from vla_ros.training.demonstrations import DemonstrationConfig, record_demonstrations
from vla_ros.training.fit import make_accelerator
from vla_ros.training.fit_config import FitConfig
from vla_ros.training.fit_scenes import SceneFit
from vla_ros.training.learners.cliport import CliportLearner
from vla_ros.training.learners.words import teach_words
from vla_ros.training.restored import SCENE_KINDS, restore
from vla_ros.training.scene_gate import pass_scene_gate
from vla_ros.training.scenes import SceneBatches, load_examples
from vla_ros.training.speech import every_goal

ARM = load_arm('sim')
SMALL = {
    'base_channels': 2, 'image_width': 64, 'image_height': 32, 'metres_per_pixel': 0.015625,
    'crop_pixels': 16, 'sentence_width': 16, 'rotations': 1,
}  # fmt: skip
CONFIG = CliportConfig(**SMALL, vocabulary=tuple(task_vocabulary()))
PLAIN = FitConfig(steps=6, images=2, device='cpu', average=0.5)


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('data') / 'few'
    record_demonstrations(
        DemonstrationConfig(tasks=('put', 'pick'), episodes=6, workers=1), folder
    )
    return folder


def make_fit(data: Path, config: FitConfig) -> SceneFit:
    learner = CliportLearner(CONFIG)
    examples = [e for e in load_examples(open_dataset(data), ARM, CONFIG) if e is not None]
    torch.manual_seed(0)
    model = learner.build(examples)
    batches = SceneBatches(examples[:4], images=config.images, noise=config.noise)
    accelerator = make_accelerator(config)
    return SceneFit(learner, model, batches, examples[4:], config, {'a': 1}, accelerator)


def test_losses_fall(data: Path) -> None:
    fit = make_fit(data, FitConfig(steps=60, images=2, learning_rate=3e-3, warm_up_steps=5))
    rows = [fit.step() for _ in range(60)]
    for name in ('pick', 'place'):
        seen = [row[name] for row in rows if row[name] > 0]
        assert np.mean(seen[-10:]) < np.mean(seen[:5]) - 0.5, name


def test_scenes_and_sentences_are_recoloured_alike(data: Path) -> None:
    config = CliportConfig(vocabulary=tuple(task_vocabulary()))
    examples = [e for e in load_examples(open_dataset(data), ARM, config) if e is not None]
    named = []
    for scene in SceneBatches(examples, images=100, recolour=True).draw().scenes:
        place = scene.pick.seen.colours[scene.pick.pick].astype(float)
        near = {name: np.dot(place, c) / np.linalg.norm(c) for name, c in COLOURS.items()}
        (first, *_) = [word for word in scene.pick.instruction.split() if word in COLOURS]
        named.append(first)
        assert max(near, key=lambda name: near[name]) == first
    assert set(named) == set(COLOURS)


def test_a_resumed_training_ends_with_the_same_weights(data: Path, tmp_path: Path) -> None:
    whole, broken, resumed = (make_fit(data, PLAIN) for _ in range(3))
    for _ in range(6):
        whole.step()
    for _ in range(3):
        broken.step()
    broken.save(tmp_path / 'state.pt')
    resumed.load(tmp_path / 'state.pt')
    for _ in range(3):
        resumed.step()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_the_words_are_understood_in_phrasings_that_were_not_taught() -> None:
    torch.manual_seed(0)
    learner = CliportLearner(CliportConfig(vocabulary=tuple(task_vocabulary())))
    model = CliportModel(learner.config)
    goals = [goal for goal in every_goal() if goal.task in ('pick', 'push')]
    before = model.text.weight.weight.clone()
    share = teach_words(model.text, learner.tokenize, [sentence(g) for g in goals], 0)
    assert share > 0.8
    assert not torch.equal(model.text.weight.weight, before)
    rng = np.random.default_rng(0)
    said = [sample_sentence(g, rng, held_out=True) for g in goals]
    vectors = model.encode_language(*map(torch.from_numpy, learner.tokenize(said)))
    plain = model.encode_language(
        *map(torch.from_numpy, learner.tokenize([sentence(g) for g in goals]))
    )
    nearest = torch.cdist(vectors, plain).argmin(1)
    assert (nearest == torch.arange(len(goals))).float().mean() > 0.7


def test_the_command_trains_resumes_and_serves(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / 'tiny.yaml'
    model = ''.join(f'  {name}: {value}\n' for name, value in SMALL.items())
    settings = 'drive_steps: 0\ndevice: cpu\nrecolour: true'
    recipe.write_text(f'policy: cliport\n{settings}\nmodel:\n{model}')
    output = tmp_path / 'run'
    words = ['train', str(recipe), '--data', str(data), '--output', str(output), '--steps', '2']
    assert main(words) == 2
    assert 'no better: its picks are off' in capsys.readouterr().err
    assert main([*words, '--force']) == 0
    assert 'going on after step 2' in capsys.readouterr().out
    assert isinstance(load_policy(str(output), ARM), CliportPolicy)
    with (output / 'log.csv').open() as file:
        (row,) = csv.DictReader(file)
    assert {'step', 'primitive', 'pick', 'place', 'val_right'} <= row.keys()
    assert (output / 'log.png').is_file()


@pytest.fixture(scope='module')
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('base') / 'run'
    learner = CliportLearner(CONFIG)
    torch.manual_seed(0)
    examples = load_examples(open_dataset(data), ARM, CONFIG)
    model = learner.build([example for example in examples if example is not None])
    learner.save(model, folder, ARM, {})
    return folder


def test_a_base_goes_on_and_the_result_must_be_better(
    data: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ['train', '--data', str(data), '--policy', 'cliport', '--base', str(base)]
    words += ['--output', str(tmp_path / 'on'), '--device', 'cpu', '--learning-rate', '1e-9']
    words += ['--steps', '1']
    assert main(words) == 2
    assert 'its base by' in capsys.readouterr().err  # hardly changed, so no better
    assert main([*words, '--force']) == 0
    training = read_manifest(tmp_path / 'on').training
    assert training['base'] == str(base) and 'its base by' in training['forced']
    before, after = (restore(str(f), ARM, SCENE_KINDS)[1] for f in (base, tmp_path / 'on'))
    for name, value in before.state_dict().items():
        torch.testing.assert_close(value, after.state_dict()[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize('method', ['lora', 'head', 'full', 'scratch'])
def test_it_adapts_to_a_few_demonstrations(
    data: Path, base: Path, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / method
    line = f'adapt --base {base} --data {data} --output {output} --method {method} --steps 3'
    line += ' --episodes 3 --batch-images 1 --learning-rate 0.01 --device cpu --force'
    assert main(line.split()) == 0
    assert 'decided rightly, picks off by' in capsys.readouterr().out
    assert isinstance(load_policy(str(output), ARM), CliportPolicy)
    training = read_manifest(output).training
    assert training['demonstrations'] == 3 and training['method'] == method
    before, after = (restore(str(f), ARM, SCENE_KINDS)[1].state_dict() for f in (base, output))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert 'primitive.weight' in changed
    assert ('text.words.weight' in changed) == (method in ('full', 'scratch'))
    assert any(n.startswith('text.encoder') for n in changed) == (method != 'head')
    if method == 'head':
        parts = ('primitive.', 'attention.', 'transport.')
        assert all(name.startswith(parts) for name in changed)
        assert 'transport.fuse_key.weight' in changed
        assert 'attention.streams.semantic.head.weight' in changed


def test_what_is_frozen_is_neither_adapted_nor_made_anew() -> None:
    base, anew = CliportModel(CONFIG), CliportModel(CONFIG)
    base.text.requires_grad_(False)
    assert not any(name.startswith('text.') for name in dense_layers(base))
    _keep_frozen(anew, base)
    for name, value in base.state_dict().items():
        same = torch.equal(value, anew.state_dict()[name])
        if name in ('text.words.weight', 'primitive.weight'):
            assert same == name.startswith('text.'), name


@pytest.mark.parametrize(
    'off, says',
    [
        ({'pick_mm': 30.0}, 'its picks are off by 30 mm, the middle of all picks by 20 mm'),
        ({'base_place_mm': 5.0}, 'it is off by 20 mm in all, its base by 20 mm'),
        ({'place_mm': float('nan')}, 'its places are off by nan mm'),
    ],
)
def test_the_gate_names_whom_a_model_does_not_beat(off: dict[str, float], says: str) -> None:
    good = {
        'pick_mm': 10.0, 'place_mm': 10.0, 'middle_pick_mm': 20.0, 'middle_place_mm': 20.0,
        'base_pick_mm': 15.0, 'base_place_mm': 15.0,
    }  # fmt: skip
    training: dict[str, Any] = {'held_out': good}
    pass_scene_gate(training, force=False)
    assert 'forced' not in training
    training = {'held_out': good | off}
    with pytest.raises(ConfigError, match=says):
        pass_scene_gate(training, force=False)
    pass_scene_gate(training, force=True)
    assert says in training['forced']


def test_bases_of_frames_and_of_scenes_are_not_taken_for_each_other(
    data: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ['train', '--data', str(data), '--output', str(tmp_path / 'run')]
    for policy, name, says in (
        ('vla', str(base), "is of kind 'cliport'"),
        ('cliport', 'vla-table', "is of kind 'vla'"),
    ):
        assert main([*words, '--policy', policy, '--base', name]) == 2
        assert says in capsys.readouterr().err
    sized = tmp_path / 'sized.yaml'
    sized.write_text('policy: cliport\nmodel: {base_channels: 4}\n')
    assert main([words[0], str(sized), *words[1:], '--base', str(base)]) == 2
    assert 'as it is' in capsys.readouterr().err
    few = ['adapt', '--base', str(base), '--data', str(data), '--output', str(tmp_path / 'few')]
    assert main([*few, '--episodes', '6']) == 2
    assert '6 episodes' in capsys.readouterr().err


def test_data_without_depth_and_other_policies_on_demonstrations_are_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = Spec(10, {'observation.images.top': Feature('image', (16, 32, 3))}, 'sim')
    writer = DatasetWriter(tmp_path / 'flat', spec)
    writer.save_episode({'observation.images.top': np.zeros((1, 16, 32, 3), np.uint8)}, 'go')
    writer.finalize()
    output = str(tmp_path / 'run')
    for folder, policy, says in (
        (tmp_path / 'flat', 'cliport', 'no observation.depths.top'),
        (data, 'vla', 'action is not there'),
    ):
        words = ['train', '--data', str(folder), '--policy', policy, '--output', output]
        assert main(words) == 2
        assert says in capsys.readouterr().err


def test_data_of_another_arm_are_refused(data: Path) -> None:
    with pytest.raises(ConfigError, match='panda_joint1'):
        load_examples(open_dataset(data), load_arm('xarm7'), CONFIG)
