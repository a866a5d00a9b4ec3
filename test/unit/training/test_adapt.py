"""A trained policy learns from a few episodes: what changes, what does not, and the gate."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import Killed, dies_as_it_saves

from vla_ros.cli import main
from vla_ros.core.embodiment import load_arm
from vla_ros.data.reader import open_dataset
from vla_ros.errors import CheckpointError, ConfigError
from vla_ros.policies.checkpoint import read_manifest
from vla_ros.policies.registry import load_policy
from vla_ros.policies.rt1.config import Rt1Config
from vla_ros.policies.rt1.model import Rt1Model
from vla_ros.policies.vla.config import VlaConfig
from vla_ros.policies.vla.model import VlaModel
from vla_ros.training.adapt import split
from vla_ros.training.adapters import HEADS, Adapted, dense_layers
from vla_ros.training.fit_run import UNFINISHED
from vla_ros.training.gate import check_fits, pass_gate
from vla_ros.training.learners.kinds import make_learner
from vla_ros.training.learners.learner import Ranges
from vla_ros.training.learners.rt1 import Rt1Learner
from vla_ros.training.record import RecordConfig, record
from vla_ros.training.restored import restore
from vla_ros.training.table import load_table
from vla_ros.types import Observation

ARM = load_arm('sim')
RECORDED = RecordConfig(
    episodes=4, episode_steps=5, labels=2, chunk_steps=1, image_width=64, image_height=48,
    cameras=('front',), workers=1,
)  # fmt: skip
TINY = Rt1Config(
    image_width=64, image_height=48, image_width_factor=0.25, image_depth_factor=0.25,
    image_stages=4, frames=2, image_tokens=2, width=32, heads=2, head_width=16, layers=1,
    token_hidden=16, sentence_width=16, vocabulary=('cube', 'red'), gripper=True, state_size=11,
)  # fmt: skip


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('adapt') / 'few'
    record(RECORDED, folder)
    return folder


@pytest.fixture(scope='module')
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('adapt') / 'base'
    torch.manual_seed(0)
    learner = Rt1Learner(TINY)
    zeros, ones = np.zeros(11), np.ones(11)
    ranges = Ranges(zeros, ones, -ones[:8], ones[:8], zeros[:8], ones[:8])
    learner.save(learner.build(ranges), folder, ARM, {'seed': 0})
    return folder


def models() -> list[tuple[str, torch.nn.Module]]:
    torch.manual_seed(0)
    vla = VlaConfig(width=32, heads=2, layers=1, feedforward=32, vocabulary=('cube',))
    return [('rt1', Rt1Model(TINY)), ('vla', VlaModel(vla))]


def test_low_rank_matrices_change_nothing_at_first_and_are_merged_in_the_end() -> None:
    for kind, model in models():
        before = {name: value.clone() for name, value in model.state_dict().items()}
        whole = sum(p.numel() for p in model.parameters())
        adapted = Adapted(model, kind, 'lora', rank=2)
        assert 0 < adapted.trained < whole / 4
        for name, parameter in model.named_parameters():
            assert parameter.requires_grad == ('lora_' in name)
            if 'lora_B' in name:
                assert not parameter.any()  # B is zero: the product, too
                parameter.data.normal_()
        after = adapted.merged().state_dict()
        assert after.keys() == before.keys()
        changed = {n for n, value in after.items() if not torch.equal(value, before[n])}
        assert changed == {f'{name}.weight' for name in dense_layers(models_of(kind))}


def models_of(kind: str) -> torch.nn.Module:
    return dict(models())[kind]


def test_the_merged_model_says_what_the_adapted_one_said() -> None:
    _, model = models()[0]
    adapted = Adapted(model, 'rt1', 'lora', rank=2)
    for name, parameter in model.named_parameters():
        if 'lora_B' in name:
            parameter.data.normal_(std=0.1)
    tokens = torch.randn(1, TINY.frames, model.context_tokens, TINY.width)
    with torch.no_grad():
        said = model.eval()(tokens).actions_BTKAX
        merged = adapted.merged()(tokens).actions_BTKAX
    torch.testing.assert_close(said, merged, atol=1e-4, rtol=1e-4)


def test_a_head_learns_alone_and_batch_norms_keep_what_they_know() -> None:
    for kind, model in models():
        Adapted(model, kind, 'head')
        trained = {n for n, p in model.named_parameters() if p.requires_grad}
        assert trained and not any(name.startswith(('vision', 'language')) for name in trained)
        model.train()
        norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert not any(norm.training for norm in norms)
    with pytest.raises(ConfigError, match='use lora or full'):
        Adapted(torch.nn.Linear(1, 1), 'other', 'head')


@pytest.mark.parametrize('method', ['lora', 'head', 'full', 'scratch'])
def test_the_command_writes_a_policy_that_is_better_than_its_base(
    data: Path, base: Path, tmp_path: Path, method: str
) -> None:
    output = tmp_path / method
    line = f'adapt --base {base} --data {data} --output {output} --method {method} --steps 12'
    line += ' --batch-images 2 --learning-rate 0.01 --device cpu'
    assert main(line.split()) in (0, 2)
    if not (output / 'manifest.json').exists():
        assert main([*line.split(), '--force']) == 0
    training = json.loads((output / 'manifest.json').read_text())['training']
    assert training['method'] == method and training['base']['name'] == str(base)
    judged = training['held_out']
    better = judged['action_rad_s'] < min(judged['base_action_rad_s'], judged['hold_still_rad_s'])
    assert better != ('forced' in training)
    image = torch.zeros(48, 64, 3, dtype=torch.uint8).numpy()
    policy = load_policy(str(output), ARM, 'cpu')
    seen = Observation({'front': image}, ARM.home_rad, 'red cube', gripper_opening_m=0.04)
    assert policy.infer(seen).velocities_rad_s.shape[1] == 7
    before, after = (restore(str(f), ARM)[1].state_dict() for f in (base, output))
    assert any(not torch.equal(value, after[name]) for name, value in before.items())


@pytest.fixture(scope='module')
def vla_base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a VLA model that drives every joint at about 1 rad/s, which no one should."""
    folder = tmp_path_factory.mktemp('adapt') / 'vla'
    torch.manual_seed(0)
    size = {'width': 16, 'heads': 2, 'layers': 1, 'feedforward': 16, 'chunk_steps': 1}
    learner = make_learner('vla', open_dataset(data), size)
    zeros, ones = np.zeros(11), np.ones(11)
    ranges = Ranges(zeros, ones, -ones[:8], ones[:8], ones[:8], 0.01 * ones[:8])
    learner.save(learner.build(ranges), folder, ARM, {'seed': 0})
    return folder


@pytest.mark.parametrize('method', ['lora', 'head'])
def test_the_command_adapts_what_the_method_says_of_a_vla_policy(
    data: Path, vla_base: Path, tmp_path: Path, method: str
) -> None:
    line = f'adapt --base {vla_base} --data {data} --output {tmp_path / "new"} --method {method}'
    line += ' --steps 3 --batch-images 2 --learning-rate 0.01 --device cpu --force'
    assert main(line.split()) == 0
    training = json.loads((tmp_path / 'new' / 'manifest.json').read_text())['training']
    assert training['method'] == method and training['base']['name'] == str(vla_base)
    base, new = (restore(str(f), ARM)[1] for f in (vla_base, tmp_path / 'new'))
    before, after = base.state_dict(), new.state_dict()
    assert after.keys() == before.keys()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    dense = {f'{name}.weight' for name in dense_layers(base)}
    if method == 'lora':
        assert changed <= dense and any(name.startswith('fusion') for name in changed)
    else:
        assert 'head.0.bias' in changed and all(re.match(HEADS['vla'], n) for n in changed)
    image = np.zeros((48, 64, 3), np.uint8)
    seen = Observation({'front': image}, ARM.home_rad, 'red cube', gripper_opening_m=0.04)
    policy = load_policy(str(tmp_path / 'new'), ARM, 'cpu')
    assert policy.infer(seen).velocities_rad_s.shape[1] == 7


def test_an_adaptation_that_was_killed_goes_on_and_ends_with_the_same_weights(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    line = f'adapt --base {base} --data {data} --steps 24 --batch-images 2 --device cpu --force'
    words = [*line.split(), '--threads', '1', '--output']
    assert main([*words, str(whole)]) == 0
    with monkeypatch.context() as patched, pytest.raises(Killed):
        dies_as_it_saves(patched)
        main([*words, str(broken)])
    assert main([*words, str(broken), '--rank', '2']) == 2
    assert 'rank 8 there, 2 here' in capsys.readouterr().err
    assert main([*words, str(broken)]) == 0
    assert 'going on after step 20' in capsys.readouterr().out
    weights = [(folder / 'model.safetensors').read_bytes() for folder in (whole, broken)]
    assert weights[0] == weights[1]
    assert len(list(broken.glob('*tfevents*'))) == 2  # what stands in them another test says
    assert not (broken / UNFINISHED).exists() and (broken / 'log.png').is_file()


def test_data_that_grew_after_a_refusal_are_not_taken_for_those_that_were_learned_from(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, output = tmp_path / 'few', tmp_path / 'new'
    record(replace(RECORDED, episodes=3), data)
    line = f'adapt --base {base} --data {data} --output {output} --steps 1 --learning-rate 1e-9'
    words = [*line.split(), '--batch-images', '2', '--device', 'cpu']
    assert main(words) == 2
    assert 'no checkpoint was written' in capsys.readouterr().err
    shutil.rmtree(data)
    record(RECORDED, data)
    assert main([*words, '--force']) == 2
    assert 'begin anew with --restart' in capsys.readouterr().err
    assert main([*words, '--force', '--restart']) == 0


@pytest.mark.parametrize('command', ['adapt', 'train'])
def test_a_result_that_learned_nothing_is_refused_and_not_written(
    data: Path, vla_base: Path, tmp_path: Path, command: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / 'undriven.yaml').write_text('drive_steps: 0\n')
    words = [f'{tmp_path / "undriven.yaml"}'] if command == 'train' else []
    line = f'--base {vla_base} --data {data} --output {tmp_path / "new"} --steps 1'
    line += ' --learning-rate 1e-9 --batch-images 2 --device cpu'
    assert main([command, *words, *line.split()]) == 2
    said = capsys.readouterr().err
    assert 'holds still is off by' in said and 'no checkpoint was written' in said
    assert (tmp_path / 'new' / 'log.csv').is_file()
    for name in ('manifest.json', 'model.safetensors'):
        assert not (tmp_path / 'new' / name).exists()


def test_the_gate_names_whom_the_result_does_not_beat() -> None:
    held_out = {'action_rad_s': 0.2, 'base_action_rad_s': 0.3, 'hold_still_rad_s': 0.25}
    good = {'held_out': held_out}
    pass_gate(good, force=False)
    assert 'forced' not in good
    bad = {'held_out': {**held_out, 'base_action_rad_s': 0.2}}
    with pytest.raises(ConfigError, match=r'its base is off by 0.200: no checkpoint'):
        pass_gate(bad, force=False)
    pass_gate(bad, force=True)
    assert 'its base' in bad['forced'] and 'still' not in bad['forced']
    nothing = {'held_out': {**held_out, 'action_rad_s': float('nan')}}
    with pytest.raises(ConfigError, match='holds still'):
        pass_gate(nothing, force=False)


def test_what_is_held_out_is_never_learned_from(data: Path) -> None:
    table, dataset = load_table(data, ARM, 1)
    assert [len(part) for part in split(table, dataset, 0)] == [15, 5]
    assert [len(part) for part in split(table, dataset, 2)] == [10, 5]
    with pytest.raises(ConfigError, match='has 4 episodes'):
        split(table, dataset, 4)


def test_data_and_bases_that_do_not_fit_are_refused(
    data: Path, base: Path, tmp_path: Path
) -> None:
    manifest, dataset = read_manifest(base), open_dataset(data)
    check_fits(dataset, manifest)
    with pytest.raises(ConfigError, match='wrist'):
        check_fits(dataset, replace(manifest, cameras={'wrist': (64, 48)}))
    with pytest.raises(ConfigError, match='10 frames a second, the base takes 3'):
        check_fits(dataset, replace(manifest, rate_hz=3.0))
    with pytest.raises(CheckpointError, match='does not exist'):
        restore(str(tmp_path / 'nowhere'), ARM)
