"""The command line: help that teaches, one clear line for what is wrong, no traceback."""

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vla_ros.cli import COMMANDS, main


def test_help_names_every_command(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_has_a_module_and_a_help(name, capsys):
    module = importlib.import_module(f'vla_ros.commands.{name.replace(" ", "_")}')
    assert inspect.getdoc(module.main)
    with pytest.raises(SystemExit) as ended:
        main([*name.split(), '--help'])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for parameter in inspect.signature(module.main).parameters:
        option = f'--{parameter.removesuffix("_file").replace("_", "-")}'
        assert option in shown or parameter.upper() in shown


@pytest.mark.parametrize(
    'words, message',
    [
        (['evla'], "did you mean 'eval'"),
        (['bench'], "unknown command 'bench'"),
        (['data'], "did you mean 'data "),
        (['eval', '--task', 'pick', '--episodes', '1', '--backend', 'nope'], "--backend 'nope'"),
        (['bench', 'faults', '--repeats', '-1'], 'repeats: -1 is not at least 0'),
        (['bench', 'gard'], "did you mean 'bench guard'"),
        (['eval', '--episodes', '0'], 'episodes: 0 is not within'),
        (['eval', '--phrasings', 'nowhere.txt'], 'neither a file nor one of: train, held_out'),
        (['eval', '--json', 'no/such/eval.json'], "there is no folder 'no/such'"),
        (['eval', '--json', '.'], "--json '.' is a folder"),
        (['eval', '--workers', '0'], 'workers: 0 is not at least 1'),
        (['bench', 'guard', '--ticks', '0'], 'ticks: 0 is not at least 1'),
        (['bench', 'latency', '--seconds', '0'], 'seconds: 0.0 is not at least 1'),
        (['bench', 'faults', '--json', 'no/such.json'], "there is no folder 'no'"),
        (['train', '--threads', '-1'], 'threads: -1 is not at least 0'),
        (['train', '--seed', '-1'], 'seed: -1 is not at least 0'),
        (['train', '--learning-rate', '7'], 'learning_rate: 7.0 is not within 0 and 1'),
        (['collect', '--output', 'a_file'], "--output 'a_file' is a file"),
        (['eval', '--policy', 'nonsense', '--episodes', '1'], 'neither a folder nor one of: hold'),
        (['train', '--data', '/nowhere'], 'vla-ros collect'),
        (['collect', '--seed', '999999999'], 'held-out'),
        (['collect', '--arm', 'nonsense'], "unknown arm 'nonsense'"),
        (['doctor', 'arm:=nonsense'], "unknown arm 'nonsense'"),
        (['doctor', 'seconds:=0'], 'seconds: 0.0 is not within'),
        (['up', 'arm:=nonsense'], "unknown arm 'nonsense'"),
        (['up', 'output:=torque'], "unknown output 'torque'; choose one of: trajectory, velocity"),
        (['up', 'seed:=x'], "seed: 'x' is not a whole number"),
        (['up', 'sim:=maybe'], 'value of sim'),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('a_file').touch()
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert 'Traceback' not in shown


def test_an_unknown_option_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(['eval', '--epsiodes', '3'])
    assert ended.value.code == 2
    assert '--episodes' in capsys.readouterr().err


@pytest.mark.parametrize('platform', ['glfw', 'nonsense'])
def test_without_opengl_one_line_says_what_to_type(platform):
    result = subprocess.run(
        [sys.executable, '-m', 'vla_ros.cli', 'eval', '--episodes', '1', '--workers', '1'],
        env={k: v for k, v in os.environ.items() if k != 'DISPLAY'} | {'MUJOCO_GL': platform},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert f"cannot draw with MUJOCO_GL='{platform}'; unset it" in result.stderr
    assert 'Traceback' not in result.stderr
