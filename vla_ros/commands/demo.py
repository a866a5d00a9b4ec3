"""vla-ros demo."""

from __future__ import annotations

from pathlib import Path


def main(
    instruction: str = '',
    seed: int | None = None,
    output: Path = Path(),
    policy: str = 'vla-reach',
    device: str = 'auto',
) -> int:
    """Start simulator, policy and guard, tell the arm three things, and film what it does.

    Leaves demo.mp4 and demo.png. The exit code is 0 only if everything asked for was reached.

    Args:
        instruction: your own words instead of ours, such as "go to the red ball".
        seed: another scene.
        output: folder for demo.mp4 and demo.png.
        policy: name of a shipped policy, or a checkpoint folder.
        device: auto, cpu or cuda.
    """
    from rich.console import Console

    from vla_ros.ros.demo import DemoConfig, run_demo

    scene = DemoConfig.seed if seed is None else seed
    config = DemoConfig(instruction, scene, output, policy, device)
    return 0 if run_demo(config, Console()) else 1
