"""The reach task as a gymnasium environment, for collecting and evaluating without ROS."""

from __future__ import annotations

import string
from typing import Any

import gymnasium
import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.core.limiter import Limiter
from vla_ros.sim.world import World
from vla_ros.types import FloatArray, ImageArray, Observation

CONTROL_PERIOD_S = 0.01
SUCCESS_DISTANCE_M = 0.03
EPISODE_S = 6.0


class ReachEnv(gymnasium.Env[dict[str, Any], FloatArray]):
    """Bring the tool to the point over the object that the instruction names.

    An action is seven joint velocities (rad/s), held for `step_s`; it passes the same limiter as
    in the guard. The reward is minus the distance to the goal in metres; an episode is truncated
    after `EPISODE_S`. Options of `reset`: `target`, the name of an object on the table, and
    `instruction`, what to say; both have defaults.

    Args:
        world: an arm that no one else drives.
        step_s: duration of one step.
        cameras: names of the cameras in an observation.
    """

    metadata = {'render_modes': ['rgb_array']}  # noqa: RUF012 - gymnasium's own interface

    def __init__(
        self, world: World, *, step_s: float = 0.1, cameras: tuple[str, ...] = ('front',)
    ) -> None:
        self.world = world
        self.render_mode = 'rgb_array'
        self._step_s = step_s
        self._cameras = cameras
        self._limiter = Limiter(world.embodiment, CONTROL_PERIOD_S)
        arm = world.embodiment
        high = arm.velocity_max_rad_s
        self.action_space = gymnasium.spaces.Box(-high, high, dtype=np.float64)
        images = {c: self._image_space(c) for c in cameras}
        self.observation_space = gymnasium.spaces.Dict(
            {
                'images': gymnasium.spaces.Dict(images),
                'joint_positions_rad': gymnasium.spaces.Box(
                    arm.position_min_rad, arm.position_max_rad, dtype=np.float64
                ),
                'instruction': gymnasium.spaces.Text(512, min_length=0, charset=string.printable),
            }
        )
        self.target = ''
        self.instruction = ''

    def _image_space(self, camera: str) -> gymnasium.Space[Any]:
        width, height = self.world.camera_size(camera)
        return gymnasium.spaces.Box(0, 255, (height, width, 3), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Lay out a scene by its seed and choose what to reach."""
        super().reset(seed=seed)
        options = options or {}
        self.world.reset(int(self.np_random.integers(2**31)) if seed is None else seed)
        self._limiter.reset()
        names = [o.name for o in self.world.objects]
        self.target = options.get('target') or names[int(self.np_random.integers(len(names)))]
        self.instruction = options.get('instruction', f'reach the {self.target}')
        self.world.target_position_m(self.target)  # refuses an object that is not there
        return self._observe(), self._report()

    def step(self, action: FloatArray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Drive for one step; see `drive`."""
        self.drive(action)
        report = self._report()
        over = self.world.time_s >= EPISODE_S - 1e-9
        return self._observe(), -report['distance_m'], False, over, report

    def drive(self, action: FloatArray) -> None:
        """Advance by one step through the limiter, without rendering."""
        for _ in range(round(self._step_s / CONTROL_PERIOD_S)):
            limited = self._limiter.step(action, self.world.joint_positions_rad, 0.0)
            self.world.command_velocity(limited.velocity)
            self.world.step(CONTROL_PERIOD_S)

    def observation(self) -> Observation:
        """Return what a policy is given now."""
        return Observation(
            images={camera: self.world.render(camera) for camera in self._cameras},
            joint_positions_rad=self.world.joint_positions_rad,
            instruction=self.instruction,
            stamp_ns=round(self.world.time_s * 1e9),
        )

    def render(self) -> ImageArray:
        """Return the first camera's image."""
        return self.world.render(self._cameras[0])

    def close(self) -> None:
        """Free the OpenGL contexts."""
        self.world.close()

    def distances_m(self) -> dict[str, float]:
        """Return object → distance of the tool from the point over it."""
        tool = self.world.tool_position_m
        return {
            o.name: float(np.linalg.norm(tool - self.world.target_position_m(o.name)))
            for o in self.world.objects
        }

    def _observe(self) -> dict[str, Any]:
        return {
            'images': {camera: self.world.render(camera) for camera in self._cameras},
            'joint_positions_rad': self.world.joint_positions_rad,
            'instruction': self.instruction,
        }

    def _report(self) -> dict[str, Any]:
        distance = self.distances_m()[self.target]
        return {'distance_m': distance, 'success': distance < SUCCESS_DISTANCE_M}


def reach_env(embodiment: Embodiment, **kwargs: Any) -> ReachEnv:  # noqa: ANN401
    """Make the environment with a world of its own."""
    return ReachEnv(World(embodiment), **kwargs)
