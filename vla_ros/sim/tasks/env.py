"""All tasks as gymnasium environments, for collecting, training and evaluating without ROS.

`gymnasium.make('vla_ros.sim.tasks.env:vla_ros/Push-v0')`; alike Reach, Pick and Put.
"""

from __future__ import annotations

import string
from typing import Any

import gymnasium
import numpy as np

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.errors import ConfigError, choose
from vla_ros.sim.tasks.drive import Drive
from vla_ros.sim.tasks.goal import TASKS, Goal
from vla_ros.sim.tasks.goals import disturbed, error_m, goals, start_of, succeeded
from vla_ros.sim.tasks.language import family_of, sentence
from vla_ros.sim.world import World
from vla_ros.types import FloatArray, ImageArray, Observation

TIME_LIMIT_S = {'reach': 6.0, 'push': 8.0, 'pick': 8.0, 'put': 12.0}
"""How long an episode of a task may take."""
TICK_S = 0.05
"""Between two looks of an evaluation: what is smooth depends on it."""


class TaskEnv(gymnasium.Env[dict[str, Any], FloatArray]):
    """Do with an object what the instruction says.

    An action is (8,): seven joint velocities (rad/s) and the gripper's opening (m), held for
    `step_s`; both pass the limiters of the guard. The reward is 1 while the goal is met, else 0.
    An episode ends when the goal is met, and is truncated after `TIME_LIMIT_S`; a reach is judged
    where it ends, so it always takes its whole time. Options of `reset`: `goal`, a `Goal` that
    makes sense in the scene, and `instruction`, what to say; both have defaults.

    Args:
        world: an arm that no one else drives.
        task: which scenes and goals; one of `TASKS`.
        step_s: duration of one step.
        cameras: names of the cameras in an observation.
    """

    metadata = {'render_modes': ['rgb_array']}  # noqa: RUF012 - gymnasium's own interface

    def __init__(
        self,
        world: World,
        task: str,
        *,
        step_s: float = 0.1,
        cameras: tuple[str, ...] = ('front',),
    ) -> None:
        self.world = world
        self.task = choose('task', task, TASKS)
        self.render_mode = 'rgb_array'
        self.step_s = step_s
        self._cameras = cameras
        self._drive = Drive(world.embodiment)
        arm = world.embodiment
        widest = arm.gripper.opening_max_m if arm.gripper else 0.0
        fastest = arm.velocity_max_rad_s
        self.action_space = gymnasium.spaces.Box(
            np.append(-fastest, 0.0), np.append(fastest, widest), dtype=np.float64
        )
        self.observation_space = gymnasium.spaces.Dict(
            {
                'images': gymnasium.spaces.Dict({c: self._image_space(c) for c in cameras}),
                'joint_positions_rad': gymnasium.spaces.Box(
                    arm.position_min_rad, arm.position_max_rad, dtype=np.float64
                ),
                'gripper_opening_m': gymnasium.spaces.Box(0.0, widest, (1,), np.float64),
                'instruction': gymnasium.spaces.Text(512, min_length=0, charset=string.printable),
            }
        )
        self.goal: Goal | None = None
        self.instruction = ''
        self.start: dict[str, FloatArray] = {}

    def _image_space(self, camera: str) -> gymnasium.Space[Any]:
        width, height = self.world.camera_size(camera)
        return gymnasium.spaces.Box(0, 255, (height, width, 3), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Lay out a scene by its seed and choose what to do in it."""
        super().reset(seed=seed)
        options = options or {}
        self.world.reset(int(self.np_random.integers(2**31)) if seed is None else seed, self.task)
        found = [goal for goal in goals(self.world) if goal.task == self.task]
        wanted: Goal | None = options.get('goal')
        if not found or (wanted is not None and wanted not in found):
            asked = sentence(wanted) if wanted else self.task
            raise ConfigError(
                f"'{asked}' makes no sense in the scene of seed {seed}; choose one of: "
                f'{", ".join(map(sentence, found)) or "other seeds"}'
            )
        goal = self.goal = wanted or choose_goal(found, self.np_random)
        self.instruction = options.get('instruction', sentence(goal))
        self.start = start_of(self.world)
        self._drive.start(self.world)
        return self._observe(), self.report()

    def step(self, action: FloatArray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Drive for one step; see `drive`."""
        self.drive(action)
        report = self.report()
        done = report['success'] and self.task != 'reach'
        return self._observe(), float(report['success']), done, self.out_of_time, report

    def drive(self, action: FloatArray) -> None:
        """Advance by one step through the limiters, without rendering."""
        self._drive.run(self.world, action, self.step_s)

    @property
    def out_of_time(self) -> bool:
        """The time limit of the task is reached."""
        return self.world.time_s >= TIME_LIMIT_S[self.task] - 1e-9

    @property
    def over(self) -> bool:
        """The episode is over: the goal is met, or the time is up."""
        return self.out_of_time or (self.task != 'reach' and self.report()['success'])

    def observation(self) -> Observation:
        """Return what a policy is given now."""
        return Observation(
            images={camera: self.world.render(camera) for camera in self._cameras},
            joint_positions_rad=self.world.joint_positions_rad,
            instruction=self.instruction,
            stamp_ns=round(self.world.time_s * 1e9),
            gripper_opening_m=self.world.gripper_opening_m,
        )

    def render(self) -> ImageArray:
        """Return the first camera's image."""
        return self.world.render(self._cameras[0])

    def close(self) -> None:
        """Free the OpenGL contexts."""
        self.world.close()

    def report(self) -> dict[str, Any]:
        """Return success, the distance that is left (m), and which other objects were moved."""
        if self.goal is None:
            raise ConfigError('reset the environment first')
        world, goal, start = self.world, self.goal, self.start
        return {
            'success': succeeded(world, goal, start),
            'error_m': error_m(world, goal, start),
            'disturbed': disturbed(world, goal, start),
            'interventions': self._drive.interventions,
        }

    def _observe(self) -> dict[str, Any]:
        opening = np.clip([self.world.gripper_opening_m], 0.0, self.action_space.high[-1:])  # type: ignore[attr-defined]
        return {
            'images': {camera: self.world.render(camera) for camera in self._cameras},
            'joint_positions_rad': self.world.joint_positions_rad,
            'gripper_opening_m': opening,
            'instruction': self.instruction,
        }


def choose_goal(found: list[Goal], rng: np.random.Generator) -> Goal:
    """Draw one of some goals of a task; putting in and putting next to are as likely."""
    families = sorted({family_of(goal) for goal in found})
    family = families[int(rng.integers(len(families)))]
    found = [goal for goal in found if family_of(goal) == family]
    return found[int(rng.integers(len(found)))]


def task_env(embodiment: Embodiment, task: str, **kwargs: Any) -> TaskEnv:  # noqa: ANN401
    """Make the environment with a world of its own."""
    return TaskEnv(World(embodiment), task, **kwargs)


def _make(task: str, arm: str = 'sim', **kwargs: Any) -> TaskEnv:  # noqa: ANN401
    """Build an environment as `gymnasium.make` wants it."""
    kwargs.pop('render_mode', None)
    return task_env(load_arm(arm), task, **kwargs)


for _task in TASKS:
    gymnasium.register(f'vla_ros/{_task.capitalize()}-v0', _make, kwargs={'task': _task})
