"""CLIPort through the three processes: colour and depth arrive, and the arm moves by its mover."""

from __future__ import annotations

from pathlib import Path

import torch

from vla_ros.core.embodiment import load_arm
from vla_ros.policies.cliport.config import CliportConfig
from vla_ros.policies.cliport.loading import save_cliport
from vla_ros.policies.cliport.model import CliportModel
from vla_ros.ros.evaluation import run_through_ros
from vla_ros.sim.tasks.episodes import plan_task_episodes
from vla_ros.sim.world import World

ARM = load_arm('sim')


def test_an_untrained_model_draws_back_looks_and_doubts(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = CliportConfig(
        base_channels=4, rotations=4, crop_pixels=16, sentence_width=16, vocabulary=('put', 'red')
    )
    save_cliport(tmp_path, CliportModel(config), ARM, {'command': 'test'})
    (episode,) = plan_task_episodes(World(ARM), 'put', 1, 3)
    (outcome,) = run_through_ros([episode], str(tmp_path), device='cpu')
    assert not outcome.success and not outcome.wrong_object
    assert outcome.acceleration_rad_s2 > 0.1  # it drew back, to see the table
    # only who has an image, its depth, and the joints out of the way comes so far
    assert outcome.note == f"sees nothing that '{episode.instruction}' asks for; the arm stays"
