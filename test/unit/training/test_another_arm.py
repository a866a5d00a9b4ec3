"""From recordings of another arm, as JSON, to a policy that drives it and no other arm."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from vla_ros.cli import main
from vla_ros.core.embodiment import load_arm
from vla_ros.data.reader import open_dataset
from vla_ros.errors import CheckpointError
from vla_ros.policies.registry import load_policy
from vla_ros.types import Observation

FR3 = load_arm('fr3')
SIZE = 32, 24
TINY = (
    'images: 2\nsteps: 2\nthreads: 1\ndevice: cpu\n'
    'model: {width: 16, heads: 2, layers: 1, chunk_steps: 2, head_hidden: [16]}\n'
)


def describe(folder: Path) -> Path:
    """Write two short episodes of an FR3 without a gripper, as docs/data.md says."""
    rng, rate_hz = np.random.default_rng(0), 10
    episodes = []
    for k, text in enumerate(('fold the towel', 'open the drawer')):
        position, steps = FR3.home_rad, []
        for row in range(4):
            name = f'{k}_{row}.png'
            image = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
            assert cv2.imwrite(str(folder / name), image)
            action = rng.normal(0.0, 0.1, 7)
            steps.append(
                {
                    'image': name,
                    'action': action.tolist(),
                    'joint_positions': position.tolist(),
                }
            )
            position = position + action / rate_hz
        episodes.append({'instruction': text, 'steps': steps})
    source = folder / 'episodes.json'
    source.write_text(json.dumps({'fps': rate_hz, 'robot_type': 'fr3', 'episodes': episodes}))
    return source


def test_recordings_of_another_arm_become_a_policy_for_it_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, output, recipe = tmp_path / 'data', tmp_path / 'policy', tmp_path / 'tiny.yaml'
    recipe.write_text(TINY)
    assert main(['data', 'import', str(describe(tmp_path)), '--output', str(dataset)]) == 0
    assert tuple(open_dataset(dataset).spec.features['action'].names) == FR3.joints

    train = ['train', str(recipe), '--data', str(dataset), '--output', str(output), '--force']
    assert main([*train, '--policy', 'vla']) == 2  # of the arm that is meant without --arm
    assert "arm 'sim' has panda_joint1" in capsys.readouterr().err
    assert not (output / 'manifest.json').exists()
    assert main([*train, '--policy', 'vla', '--arm', 'fr3']) == 0

    policy = load_policy(str(output), FR3, 'cpu')
    image = np.zeros((480, 640, 3), np.uint8)
    chunk = policy.infer(Observation({'front': image}, FR3.home_rad, 'fold the towel', 7))
    assert chunk.velocities_rad_s.shape == (2, 7) and np.isfinite(chunk.velocities_rad_s).all()
    assert (chunk.stamp_ns, chunk.step_s) == (7, 0.1)
    with pytest.raises(CheckpointError, match=r"joints: fr3_joint1.* arm 'sim' has panda_joint1"):
        load_policy(str(output), load_arm('sim'), 'cpu')
