"""Imports go one way, and the guard stays free of what it does not need."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / 'vla_ros'
LAYERS = (
    {'types', 'errors', 'paths'},
    {'core'},
    {'policies', 'data', 'sim'},
    {'training', 'ros'},
    {'commands'},
    {'cli'},
)
HOME_OF = {
    'torch': {'policies', 'training'},
    'transformers': {'policies', 'training'},
    'rclpy': {'ros'},
    'mujoco': {'sim'},
}
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
MODULES = sorted(ROOT.rglob('*.py'))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix('.py')


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            names.update(f'{node.module}.{alias.name}' for alias in node.names)
    return names


@pytest.mark.parametrize('path', MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path):
    part = part_of(path)
    if part == '__init__':
        assert not imports_of(path)
        return
    for name in imports_of(path):
        package, *rest = name.split('.')
        if package in HOME_OF:
            assert part in HOME_OF[package], f'{package} in {part}'
        if package == 'vla_ros' and rest and rest[0] in RANK:
            other = rest[0]
            assert other == part or RANK[other] < RANK[part], f'{part} imports {other}'


def loaded_by(code: str) -> set[str]:
    """Return the packages that a fresh interpreter has loaded after running `code`."""
    script = f'{code}\nimport sys; print("\\n" + " ".join(sys.modules))'
    result = subprocess.run(
        [sys.executable, '-c', script], capture_output=True, text=True, check=True
    )
    return {name.split('.')[0] for name in result.stdout.splitlines()[-1].split()}


def test_the_guard_loads_neither_torch_nor_mujoco():
    loaded = loaded_by('import vla_ros.ros.guard_node')
    assert 'rclpy' in loaded
    assert not loaded & {'torch', 'mujoco', 'transformers', 'cv2', 'gymnasium'}


def test_the_help_of_the_command_line_loads_nothing_heavy():
    loaded = loaded_by('from vla_ros.cli import main; assert main(["--help"]) == 0')
    assert not loaded & {'torch', 'mujoco', 'rclpy', 'cv2', 'numpy', 'tyro'}
