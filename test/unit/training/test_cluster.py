"""Trials run on a cluster: a real one of Dask, as large as this machine allows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from distributed import LocalCluster

from vla_ros.cli import main
from vla_ros.training.cluster import spread


def test_an_evaluation_on_a_cluster_says_what_one_here_says(tmp_path: Path) -> None:
    here, there = tmp_path / 'here.json', tmp_path / 'there.json'
    words = ['eval', '--task', 'pick', '--policy', 'expert', '--episodes', '2', '--json']
    assert main([*words, str(here), '--workers', '1']) == 0
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        assert main([*words, str(there), '--backend', f'dask:{cluster.scheduler_address}']) == 0
    assert json.loads(here.read_text()) == json.loads(there.read_text())


def test_what_comes_back_is_what_was_done() -> None:
    assert sorted(spread(pow, [(2, k) for k in range(5)], workers=1)) == [1, 2, 4, 8, 16]
    found = spread(pow, [(2, k) for k in range(5)], workers=2, backend='multiprocessing')
    assert [*found] == [1, 2, 4, 8, 16]  # as Ray's: it yields nothing before all are done


@pytest.mark.parametrize('backend', ['nope', 'dask', 'dask:nowhere'])
def test_a_cluster_that_is_not_there_is_one_line(
    backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['eval', '--task', 'pick', '--episodes', '1', '--backend', backend]) == 2
    said = capsys.readouterr().err
    assert f"--backend '{backend}'" in said and 'dask:HOST:PORT' in said
