"""The parameters of sim_node."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vla_ros.core.embodiment import CameraConfig, Embodiment
from vla_ros.errors import ConfigError, choose
from vla_ros.types import TASKS


@dataclass(frozen=True)
class SimConfig:
    """Parameters of sim_node.

    Attributes:
        arm: name or YAML file of an arm with the kinematics of the simulated one.
        seed: layout of the objects; read again by every reset.
        task: kind of scene: reach, or push, pick or put, where there are bowls and objects to
            handle; read again by every reset.
        cameras_hz: frames a second of each camera; 0 takes the rate in the arm's YAML.
        image_width: width of every camera image in pixels; 0 takes the arm's YAML.
        image_height: height of every camera image in pixels; 0 takes the arm's YAML.
        publish_clock: publish simulated time on /clock and stamp with it.
    """

    arm: str = 'sim'
    seed: int = 0
    task: str = 'reach'
    cameras_hz: float = 0.0
    image_width: int = 0
    image_height: int = 0
    publish_clock: bool = False

    def __post_init__(self) -> None:
        """Refuse values that no simulation can run with."""
        if self.seed < 0:
            raise ConfigError(f'seed is {self.seed}; it must be 0 or more')
        choose('task', self.task, TASKS)
        if not 0 <= self.cameras_hz <= 100:
            raise ConfigError(f'cameras_hz is {self.cameras_hz}; it must be within 0 and 100')
        for name in ('image_width', 'image_height'):
            if not (getattr(self, name) == 0 or 16 <= getattr(self, name) <= 1280):
                raise ConfigError(
                    f'{name} is {getattr(self, name)}; it must be within 16 and 1280'
                )

    def cameras(self, arm: Embodiment) -> dict[str, CameraConfig]:
        """Return the cameras of the arm with the sizes and the rate of these parameters."""
        return {
            name: replace(
                camera,
                width=self.image_width or camera.width,
                height=self.image_height or camera.height,
                rate_hz=self.cameras_hz or camera.rate_hz,
            )
            for name, camera in arm.cameras.items()
        }


def why_not(name: str, value: object) -> str:
    """Return why a parameter may not be set while the node runs; empty when it may."""
    if name == 'task':
        return '' if value in TASKS else f'task must be one of: {", ".join(TASKS)}'
    if name != 'seed':
        return f"'{name}' is read at the start only"
    return '' if isinstance(value, int) and value >= 0 else 'seed must be 0 or more'
