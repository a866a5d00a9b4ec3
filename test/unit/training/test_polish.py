"""The layers behind the trunk learn alone, from what the trunk says once."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vla_ros.cli import main
from vla_ros.core.embodiment import load_arm
from vla_ros.data.frames import Frames
from vla_ros.policies.registry import load_policy
from vla_ros.policies.vla.model import BEHIND
from vla_ros.training.fit_config import FitConfig
from vla_ros.training.fit_run import ranges_of
from vla_ros.training.learners.kinds import make_learner
from vla_ros.training.polish import LOOKED, decisive, polish, remember
from vla_ros.training.record import RecordConfig, record
from vla_ros.training.speech import Speech
from vla_ros.training.table import Table, load_table
from vla_ros.training.table_batches import TableBatches
from vla_ros.types import ARM_JOINTS

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


def test_only_the_layers_behind_the_trunk_learn(made) -> None:
    learner, model, batches = made
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (batch,) = list(batches.every(12))
    lost = [loss(learner, model, batch)]
    polish(learner, model, batches, PLAIN)
    lost.append(loss(learner, model, batch))
    assert lost[1] < 0.8 * lost[0]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith(BEHIND), name


class Counting:
    """A learner that counts the frames that it is shown."""

    def __init__(self, learner) -> None:
        self.frames = 0
        self.learner, self.terms = learner, learner.terms

    def look(self, model, batch):
        self.frames += len(batch.turns_B) // 3
        return self.learner.look(model, batch)


def batches_of(table: Table, said: str = 'fold it') -> TableBatches:
    return TableBatches(
        table, Speech([said] * 252, 0), images=2, sentences=4, refusals=1, frames=1, seed=0
    )


def test_only_new_frames_go_through_a_trunk_that_has_not_changed(
    data: Path, made, tmp_path: Path
) -> None:
    learner, model, _ = made
    table, _ = load_table(data, ARM, 8)
    learner = Counting(learner)
    first, second = tmp_path / 'first', tmp_path / 'second'

    def looked(batches: TableBatches, config: FitConfig, *folders: Path) -> int:
        for folder in folders:
            folder.mkdir(exist_ok=True)
        learner.frames = 0
        remembered = remember(learner, model, batches, config, folders)
        assert len(remembered['action_BE']) == 3 * batches.count(1)
        return learner.frames

    assert looked(batches_of(table.rows(0, 8)), PLAIN, first) == 8
    polish(learner, model, batches_of(table), PLAIN)  # changes the layers behind it alone
    assert looked(batches_of(table), PLAIN, second, first) == 4
    assert looked(batches_of(table), PLAIN, second) == 0
    assert looked(batches_of(table.rows(0, 8)), PLAIN, second) == 8
    assert looked(batches_of(table, 'fold that'), PLAIN, first) == 12
    assert looked(batches_of(table), replace(PLAIN, noise=1.0), first) == 12
    assert looked(batches_of(replace(table, states_NP=table.states_NP + 1)), PLAIN, first) == 12
    other = Frames({'front': [b'another'] * 12}, (48, 64))
    assert batches_of(replace(table, frames=other)).digest(12) != batches_of(table).digest(12)
    with torch.no_grad():
        model.action_token += 1.0
    assert looked(batches_of(table), PLAIN, first) == 12
    (first / LOOKED).write_bytes(b'damaged')
    assert looked(batches_of(table), PLAIN, first) == 12


def test_what_the_trunk_said_before_makes_no_other_layers(made, tmp_path: Path) -> None:
    learner, model, batches = made
    states = []
    for _ in range(2):  # the second time it is read
        again = deepcopy(model)
        polish(learner, again, batches, PLAIN, [tmp_path])
        states.append(again.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_moments_near_a_goal_or_an_object_to_be_grasped_are_decisive(made) -> None:
    _, _, batches = made
    answers = batches.answers().rows(torch.arange(6))
    tool = answers.state_BTP[:, -1, ARM_JOINTS : ARM_JOINTS + 3]
    away = torch.tensor(
        [
            [0.30, 0.40],  # on its way
            [0.04, 0.40],  # near the object
            [0.01, 0.40],  # it is between open fingers
            [0.01, 0.30],  # it is held, and carried
            [0.01, 0.05],  # it is held near its place
            [torch.nan, torch.nan],
        ]
    )
    answers.points_B23[:] = tool[:, None]
    answers.points_B23[..., 2] += away
    answers.state_BTP[:, -1, -1] = torch.tensor([0.08, 0.08, 0.08, 0.05, 0.05, 0.08])
    assert decisive(answers).tolist() == [1, 2, 4]


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
    config.write_text('images: 2\nsteps: 2\nrecolour: true\n')
    assert main(['train', str(config), *words, str(output)]) == 2
    assert "recolour: kind 'vla' takes none; cliport does" in capsys.readouterr().err
