"""Names and folders of policies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import CheckpointError
from vla_ros.paths import policies_dir
from vla_ros.policies.hold import HoldPolicy
from vla_ros.policies.registry import load_policy, shipped_policies
from vla_ros.policies.vla.policy import VlaPolicy

ARM = load_arm('sim')


def test_a_shipped_name_wins_over_a_folder_and_a_path_means_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'vla-reach').mkdir()  # as `vla-ros train --output vla-reach` begins
    assert isinstance(load_policy('vla-reach', ARM, 'cpu'), VlaPolicy)
    with pytest.raises(CheckpointError, match='manifest'):
        load_policy('./vla-reach', ARM, 'cpu')


def test_what_its_gate_refused_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / 'forced'
    shutil.copytree(policies_dir() / 'vla-reach', folder)
    load_policy(str(folder), ARM, 'cpu')
    assert not caplog.messages
    manifest = json.loads((folder / 'manifest.json').read_text())
    manifest['training']['forced'] = 'no better: its base is off by 0.100'
    (folder / 'manifest.json').write_text(json.dumps(manifest))
    load_policy(str(folder), ARM, 'cpu')
    (message,) = caplog.messages
    assert 'forced' in message and message.endswith('no better: its base is off by 0.100')


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match=f'hold, {shipped_policies()[0]}'):
        load_policy('no-such', ARM, 'cpu')
    assert isinstance(load_policy('hold', ARM, 'cpu'), HoldPolicy)
