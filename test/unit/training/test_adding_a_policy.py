"""docs/adding-a-policy.md does what it says: its policy is trained, saved, loaded and asked."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from vla_ros.cli import main
from vla_ros.core.embodiment import load_arm
from vla_ros.errors import CheckpointError
from vla_ros.policies.registry import load_policy
from vla_ros.training.record import RecordConfig, record
from vla_ros.types import Observation

PAGE = Path(__file__).resolve().parents[3] / 'docs' / 'adding-a-policy.md'
SMALL = RecordConfig(
    episodes=4, episode_steps=8, labels=1, chunk_steps=4, image_width=64, image_height=48,
    cameras=('front',), workers=1,
)  # fmt: skip


def block(language: str) -> str:
    found = re.search(rf'```{language}\n(.*?)```', PAGE.read_text(encoding='utf-8'), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the page's package as pip would: its module, and what names its entry points."""
    folder = tmp_path / 'site'
    info = folder / 'grid_policy-0.1.dist-info'
    info.mkdir(parents=True)
    (folder / 'grid_policy.py').write_text(block('python'), encoding='utf-8')
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: grid-policy\nVersion: 0.1\n')
    groups = re.findall(
        r'\[project\.entry-points\."(.+?)"\]\n(.+?)\n(?:\n|$)', block('toml'), re.S
    )
    text = '\n'.join(f'[{group}]\n{lines}' for group, lines in groups).replace('"', '')
    (info / 'entry_points.txt').write_text(text, encoding='utf-8')
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop('grid_policy', None)


def train(folder: Path) -> None:
    """Train the policy a little; the arm is not driven: workers know no such path."""
    record(SMALL, folder / 'data')
    config = folder / 'tiny.yaml'
    config.write_text('{policy: grid, steps: 2, images: 2, drive_steps: 0}', encoding='utf-8')
    words = f'{config} --data {folder / "data"} --output {folder / "grid"} --force'
    assert main(['train', *words.split()]) == 0


def test_the_policy_of_the_page_has_at_most_sixty_lines_that_are_not_blank() -> None:
    lines = [line for line in block('python').splitlines() if line.strip()]
    assert 0 < len(lines) <= 60
    assert max(map(len, lines)) < 100  # and no line is two


def test_the_policy_of_the_page_is_trained_and_asked(package: Path, tmp_path: Path) -> None:
    train(tmp_path)
    arm = load_arm('sim')
    policy = load_policy(str(tmp_path / 'grid'), arm, 'cpu')
    image = np.zeros((480, 640, 3), np.uint8)
    chunk = policy.infer(Observation({'front': image}, arm.home_rad, 'reach the red cube', 7))
    assert chunk.velocities_rad_s.shape == (4, 7) and np.isfinite(chunk.velocities_rad_s).all()
    assert (chunk.stamp_ns, chunk.step_s) == (7, 0.1)


def test_without_the_package_the_checkpoint_is_refused(tmp_path: Path, package: Path) -> None:
    train(tmp_path)
    (package / 'grid_policy-0.1.dist-info' / 'entry_points.txt').unlink()
    with pytest.raises(CheckpointError, match=r"kind 'grid'; known: cliport, rt1, vla. Is the"):
        load_policy(str(tmp_path / 'grid'), load_arm('sim'), 'cpu')
