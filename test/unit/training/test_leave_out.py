"""What is left out of a training is never asked for, and the rest keeps its own labels."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ConfigError
from vla_ros.sim.scene import THINGS
from vla_ros.sim.tasks.goal import Goal
from vla_ros.sim.tasks.language import sentence
from vla_ros.training.leave_out import leave_out
from vla_ros.training.record import RecordConfig, record
from vla_ros.training.speech import PUSHING, Speech
from vla_ros.training.table import load_table
from vla_ros.training.table_batches import TableBatches

SMALL = RecordConfig(
    episodes=6, episode_steps=8, image_width=32, image_height=24, cameras=('front',), workers=1
)
NAMES = ('push', 'blue cylinder', 'red ball')


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp('data') / 'table'
    record(SMALL, folder)
    return load_table(folder, load_arm('sim'), 8)


def asks(text: str) -> bool:
    return text.startswith('push') or 'blue cylinder' in text or 'red ball' in text


def test_no_batch_asks_for_it(made) -> None:
    table, dataset = made
    left = leave_out(table, dataset.tasks, NAMES)
    assert any(asks(dataset.tasks[k]) for k in table.tasks_NM.ravel())
    assert not any(asks(dataset.tasks[k]) for k in left.tasks_NM[left.drawn].ravel())
    batches = TableBatches(
        left, Speech(dataset.tasks, 0), images=64, sentences=3, refusals=0, frames=1, seed=0
    )
    assert not any('push' in text for text in batches.draw().instructions)
    shown = np.isin(THINGS, NAMES)
    assert table.present_NX[:, shown].any() and not left.present_NX[left.drawn][:, shown].any()
    once = sum(len(batch.turns_B) for batch in batches.every(5))
    assert once == 3 * len(left.drawn) and batches.count(5) == -(-len(left.drawn) // 5)


def test_what_is_never_asked_for_is_never_refused(made) -> None:
    table, dataset = made
    left = leave_out(table, dataset.tasks, NAMES)

    def refused(speech: Speech) -> list[str]:
        return [speech.refuse(left.present_NX[k % len(left)]) for k in range(1000)]

    named = re.compile(
        r'\bblue (colored )?(cylinder|tube|tin)|\bred (colored )?(ball|sphere)'
        r'|(cylinder|tube|tin) (that|which) is blue|\b(ball|sphere) (that|which) is red'
    )
    every = refused(Speech(dataset.tasks, 0))
    assert sum(bool(named.search(text)) for text in every) > 10
    assert any(PUSHING & set(text.split()) for text in every)
    for text in refused(Speech(dataset.tasks, 0, NAMES)):
        assert not named.search(text) and not PUSHING & set(text.split()), text
    pushes = [sentence(Goal('push', 'red cube', 'left'))]
    assert all('green' not in text for text in refused(Speech(pushes, 0)) if 'ball' in text)


def test_each_label_that_is_left_is_one_of_its_frame(made) -> None:
    table, dataset = made
    left = leave_out(table, dataset.tasks, NAMES)
    for row in left.drawn:
        for m, task in enumerate(left.tasks_NM[row]):
            (same, *_) = np.flatnonzero(table.tasks_NM[row] == task)
            assert np.array_equal(left.actions_NMKA[row, m], table.actions_NMKA[row, same])
            assert np.array_equal(
                left.points_NM23[row, m], table.points_NM23[row, same], equal_nan=True
            )


def test_without_names_nothing_changes_and_parts_know_their_rows(made) -> None:
    table, dataset = made
    assert leave_out(table, dataset.tasks, ()) is table
    part = replace(table, drawn=np.array([1, 9, 17, 40])).rows(8, 24)
    assert part.drawn.tolist() == [1, 9]


def test_unknown_names_and_nothing_left_are_said(made) -> None:
    table, dataset = made
    with pytest.raises(ConfigError, match=r"unknown leave_out 'red banana'.*red cube"):
        leave_out(table, dataset.tasks, ('red banana',))
    with pytest.raises(ConfigError, match='nothing else'):
        leave_out(table, dataset.tasks, ('reach', 'push', 'pick', 'put'))
    with pytest.raises(ConfigError, match='ask for no more'):
        TableBatches(
            replace(table, drawn=np.array([], np.int64)), Speech(dataset.tasks, 0), images=1,
            sentences=1, refusals=0, frames=1, seed=0,
        )  # fmt: skip
