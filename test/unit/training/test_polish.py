"""The layers behind the trunk learn alone, from what the trunk says once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vla_ros.cli import main
from vla_ros.core.embodiment import load_arm
from vla_ros.policies.registry import load_policy
from vla_ros.policies.vla.model import BEHIND
from vla_ros.training.fit_config import FitConfig
from vla_ros.training.fit_run import ranges_of
from vla_ros.training.learners.kinds import make_learner
from vla_ros.training.polish import LOOKED, polish, remember
from vla_ros.training.record import RecordConfig, record
from vla_ros.training.speech import Speech
from vla_ros.training.table import load_table
from vla_ros.training.table_batches import TableBatches

ARM = load_arm('sim')
SMALL = RecordConfig(episodes=3, episode_steps=4, image_width=64, image_height=48, workers=1)
MODEL = {'width': 16, 'heads': 2, 'feedforward': 16, 'layers': 1, 'head_hidden': [16]}
PLAIN = FitConfig(head_steps=60, warm_up_steps=5, brightness=0.0, noise=0.0, device='cpu')


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('data') / 'table'
    record(SMALL, folder)
    return folder


@pytest.fixture
def made(data: Path):
    torch.manual_seed(0)
    table, dataset = load_table(data, ARM, 8)
    learner = make_learner('vla', dataset, MODEL)
    batches = TableBatches(
        table, Speech(['fold it'] * len(dataset.tasks), 0), images=2, sentences=4, refusals=1,
        frames=1, seed=0,
    )  # fmt: skip
    return learner, learner.build(ranges_of(table)), batches


def test_what_the_trunk_says_of_every_frame_is_remembered(made) -> None:
    learner, model, batches = made
    assert [len(b.turns_B) for b in batches.every(5)] == [15, 15, 6] and batches.count(5) == 3
    assert all(b.grounded_B.all() for b in batches.every(5))
    remembered = remember(learner, model, batches, PLAIN)
    assert len(remembered['action_BE']) == 36
    with torch.inference_mode():
        whole = [learner.look(model, batch).action_BE for batch in batches.every(5)]
    torch.testing.assert_close(remembered['action_BE'], torch.cat(whole), atol=1e-5, rtol=1e-4)


def loss(learner, model, batch) -> float:
    with torch.inference_mode():
        terms = learner.terms(model, learner.predict(model.eval(), batch), batch)
    return sum(float(term) for name, term in terms.items() if name != 'heat')


def test_only_the_layers_behind_the_trunk_learn(made, tmp_path: Path) -> None:
    learner, model, batches = made
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (batch,) = list(batches.every(12))
    lost = [loss(learner, model, batch)]
    polish(learner, model, batches, PLAIN, [tmp_path])
    lost.append(loss(learner, model, batch))
    assert lost[1] < 0.8 * lost[0]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith(BEHIND), name


def test_only_new_frames_go_through_a_trunk_that_has_not_changed(
    made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, model, batches = made
    looked: list[int] = []
    look = type(learner).look

    def counted(self, model, batch):
        looked.append(len(batch.turns_B) // batches.labels)
        return look(self, model, batch)

    monkeypatch.setattr(type(learner), 'look', counted)
    first, second, third = (tmp_path / name for name in ('first', 'second', 'third'))
    for folder in (first, second, third):
        folder.mkdir()
    less = TableBatches(
        batches._table.rows(0, 8), batches._speech, images=2, sentences=4, refusals=1, frames=1,
        seed=0,
    )  # fmt: skip
    polish(learner, model, less, PLAIN, [first])
    assert sum(looked) == 8
    polish(learner, model, batches, PLAIN, [second, first])  # only layers behind it changed
    assert sum(looked) == 12
    polish(learner, model, batches, PLAIN, [second])
    assert sum(looked) == 12
    table = batches._table
    monkeypatch.setattr(
        batches, '_table', replace(table, actions_NMKA=table.actions_NMKA + 1.0)
    )  # labelled anew
    polish(learner, model, batches, PLAIN, [second])
    assert sum(looked) == 24
    with torch.no_grad():
        model.action_token += 1.0
    polish(learner, model, batches, PLAIN, [third, second])
    assert sum(looked) == 36
    (second / LOOKED).write_bytes(b'damaged')
    polish(learner, model, batches, PLAIN, [second])
    assert sum(looked) == 48


def test_the_command_polishes_a_base(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, base = tmp_path / 'tiny.yaml', tmp_path / 'base'
    config.write_text(
        'images: 2\nsteps: 1\nhead_steps: 2\ndrive_steps: 0\n'
        'model: {width: 16, heads: 2, head_hidden: [16]}\n'
    )
    words = ['--data', str(data), '--force', '--output']
    assert main(['train', str(config), *words, str(base)]) == 0
    config.write_text('images: 2\nsteps: 0\nhead_steps: 20\ndrive_steps: 0\n')
    output = tmp_path / 'polished'
    assert main(['train', str(config), *words, str(output), '--base', str(base)]) == 0
    assert load_policy(str(output), ARM, 'cpu').cameras == ('front', 'wrist')
    config.write_text('images: 2\nsteps: 0\n')
    assert main(['train', str(config), *words, str(output), '--restart']) == 2
    assert 'steps: 0 is not at least 1' in capsys.readouterr().err
    config.write_text('images: 2\nsteps: 0\nhead_steps: 2\n')
    assert main(['train', str(config), *words, str(output), '--policy', 'rt1']) == 2
    assert "head_steps: 2; kind 'rt1' takes none" in capsys.readouterr().err
