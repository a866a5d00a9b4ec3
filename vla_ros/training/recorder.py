"""One recorded episode: somebody drives from goal to goal, and the expert labels each frame.

What is driven is not always what the expert would do: noise, or a policy, leads to the states that
a policy gets into by its own errors, and they are labelled with what is right there (Ross et al.,
A reduction of imitation learning to no-regret online learning, 2011: DAgger). The experts are
functions of the state, so that each frame can be labelled for goals nobody drove to, too: one
image teaches several instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ConfigError
from vla_ros.policies.preprocessing import scale_image
from vla_ros.policies.registry import load_policy
from vla_ros.sim.expert import ReachExpert
from vla_ros.sim.scene import THINGS
from vla_ros.sim.tasks.drive import Drive
from vla_ros.sim.tasks.env import choose_goal
from vla_ros.sim.tasks.expert import Expert, turn_rad
from vla_ros.sim.tasks.goal import Goal
from vla_ros.sim.tasks.goals import goals, points_m, start_of, succeeded
from vla_ros.sim.tasks.labels import Labeller
from vla_ros.sim.tasks.language import sample_sentence, sentence
from vla_ros.sim.world import World
from vla_ros.training.chunks import action_at
from vla_ros.training.collect import lay, start_pose, there
from vla_ros.types import (
    ARM_JOINTS,
    EXECUTION_HORIZON,
    ActionChunk,
    FloatArray,
    ImageArray,
    Observation,
)

if TYPE_CHECKING:
    from vla_ros.training.record import RecordConfig

NOISE_KEPT = 0.7  # from one step to the next
NOISE_SHARES = (0.0, 0.3, 1.0)  # drawn a goal: without any, what is delicate is never seen done
LINGER_STEPS = 5  # at a goal that is met, before the next one
PATIENCE_STEPS = 110
CHANGE_OF_MIND = 0.015  # a step
POLICY_SHARE = 0.75  # of the goals, where a policy drives at all
NEAR_SHARE = 0.5  # of the episodes begin near the object that is asked for first
LEAD_SHARE = 0.7  # of the episodes begin on the way to a goal: ends of long ones are seen, too
LEAD_STEPS = 60  # most of them
NEAR_M = ((-0.05, -0.05, 0.06), (0.05, 0.05, 0.16))  # of its centre


class Recorder:
    """A world, the experts that act in it, and a policy if one is to drive.

    Raises:
        CheckpointError: no such policy, or one of another arm.
        ConfigError: a policy that needs other cameras than are recorded.
    """

    def __init__(self, config: RecordConfig) -> None:
        self._config = config
        self.world = World(load_arm(config.arm))
        self._expert = Expert(self.world.embodiment)
        self._reach = ReachExpert(self.world.embodiment)
        self._drive = Drive(self.world.embodiment)
        self._labeller = Labeller(self.world)
        self._apprentice = _Apprentice(config.policy, self.world, config.cameras)

    def episode(self, seed: int) -> tuple[dict[str, np.ndarray], list[str]]:
        """Return the columns of one episode, and what was driven to in each frame."""
        config, world = self._config, self.world
        rng = np.random.default_rng([seed, 2])
        self._lay(seed, rng)
        plan = _Plan(self, rng)
        self._place_arm(plan.goal().object, rng)
        self._lead(plan.goal(), rng)
        rows: list[dict[str, object]] = []
        tasks: list[str] = []
        noise = np.zeros(ARM_JOINTS)
        for _ in range(config.episode_steps):
            goal = plan.goal()
            action = np.append(*self._expert.action(world, goal))
            images = {camera: world.render(camera) for camera in config.cameras}
            rows.append(self._frame(goal, action, images, rng))
            tasks.append(sentence(goal))
            fresh = rng.normal(0.0, config.noise_rad_s, ARM_JOINTS)
            noise = NOISE_KEPT * noise + (1 - NOISE_KEPT**2) ** 0.5 * fresh
            if config.policy and plan.by_policy:
                action = self._apprentice.action(images, plan.instruction)
            else:
                action[:ARM_JOINTS] += plan.noise_share * noise
            self._drive.run(world, action, config.step_s)
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}, tasks

    def choices(self, rng: np.random.Generator, but: Goal | None = None) -> list[Goal]:
        """Return one goal of each task that makes sense now, in random order."""
        tasks, found = self._config.tasks, self._possible(but)
        by_task = [[g for g in found if g.task == task] for task in tasks]
        chosen = [choose_goal(those, rng) for those in by_task if those]
        return [chosen[i] for i in rng.permutation(len(chosen))]

    def _possible(self, but: Goal | None = None) -> list[Goal]:
        tasks = self._config.tasks
        return [goal for goal in goals(self.world) if goal.task in tasks and goal != but]

    def _lay(self, seed: int, rng: np.random.Generator) -> None:
        """Lay the scene of a seed; another one where nothing that is asked for can be done."""
        task = self._config.tasks[seed % len(self._config.tasks)]
        lay(self.world, seed, rng, self._config.leave_out, task, self._possible)

    def _place_arm(self, near: str, rng: np.random.Generator) -> None:
        """Begin at home, anywhere over the table, or near an object."""
        world = self.world
        position = start_pose(self._reach, world.embodiment, rng)
        if rng.random() < NEAR_SHARE:
            point = world.object_position_m(near) + rng.uniform(*NEAR_M)
            for _ in range(30):
                position = position + 0.1 * self._reach.velocity(position, point)
            position[-1] += rng.uniform(-0.8, 0.8)  # fingers turned any way
        world.set_joint_positions(position)
        world.command_gripper(float(rng.choice((0.0, 0.04, 0.08))))
        self._drive.start(world)

    def _lead(self, goal: Goal, rng: np.random.Generator) -> None:
        """Let the expert go some of the way to a goal before anything is recorded."""
        world, start = self.world, start_of(self.world)
        steps = rng.integers(LEAD_STEPS) if rng.random() < LEAD_SHARE else 0
        for _ in range(steps):
            if succeeded(world, goal, start):
                return
            action = np.append(*self._expert.action(world, goal))
            self._drive.run(world, action, self._config.step_s)

    def _frame(
        self,
        goal: Goal,
        action: FloatArray,
        images: dict[str, ImageArray],
        rng: np.random.Generator,
    ) -> dict[str, object]:
        config, world = self._config, self.world
        asked = [goal, *self.choices(rng, but=goal)]
        asked = [asked[i % len(asked)] for i in range(config.labels)]
        present = there(self.world)
        points = np.stack([points_m(world, g) for g in asked])
        size = config.image_width, config.image_height
        state = np.append(world.joint_positions_rad, world.gripper_opening_m)
        turns = [turn_rad(world, g) for g in asked]
        return {
            **{f'observation.images.{c}': scale_image(i, *size) for c, i in images.items()},
            'observation.state': state.astype(np.float32),
            'action': action.astype(np.float32),
            'scene.present': np.array([name in present for name in THINGS]),
            'label.task_index': [sentence(g) for g in asked],
            'label.action': np.stack(
                [self._labeller.chunk(g, config.chunk_steps, config.step_s) for g in asked]
            ).astype(np.float32),
            'label.points_m': points.astype(np.float32),
            'label.pixels': self._pixels(points),
            'label.turn_rad': np.array([np.nan if t is None else t for t in turns], np.float32),
        }

    def _pixels(self, points: FloatArray) -> FloatArray:
        """Return where points (M, 2, 3) appear in each view, (M, V, 2, 2), NaN out of it."""
        pixels = np.array(
            [
                [[self.world.project(camera, p) for p in pair] for camera in self._config.cameras]
                for pair in points
            ],
            np.float32,
        )
        inside = ((pixels >= 0) & (pixels <= 1)).all(-1, keepdims=True)
        return np.where(inside, pixels, np.float32(np.nan))


class _Apprentice:
    """A policy that drives, asked anew as often as in an evaluation."""

    def __init__(self, name: str, world: World, cameras: tuple[str, ...]) -> None:
        self._world = world
        self._chunk: ActionChunk | None = None
        self._instruction = ''
        if not name:
            return
        self._policy = load_policy(name, world.embodiment, 'cpu')
        depth = getattr(self._policy, 'depth_cameras', ())
        if unseen := sorted((set(self._policy.cameras) - set(cameras)) | set(depth)):
            raise ConfigError(
                f"policy '{name}' sees by {', '.join(unseen)}, which is not recorded; it is by "
                f'{", ".join(cameras)}'
            )
        self._horizon = getattr(self._policy, 'execution_horizon', EXECUTION_HORIZON)

    def action(self, images: dict[str, ImageArray], instruction: str) -> FloatArray:
        """Return the policy's action (8,) for this step."""
        world = self._world
        if instruction != self._instruction:
            self._policy.reset()
            self._chunk, self._instruction = None, instruction
        chunk = self._chunk
        if chunk is None or self._age_s(chunk) > (self._horizon - 0.5) * chunk.step_s:
            chunk = self._chunk = self._policy.infer(
                Observation(
                    images=images,
                    joint_positions_rad=world.joint_positions_rad,
                    instruction=instruction,
                    stamp_ns=round(world.time_s * 1e9),
                    gripper_opening_m=world.gripper_opening_m,
                )
            )
        return action_at(chunk, world.time_s)

    def _age_s(self, chunk: ActionChunk) -> float:
        age_s = self._world.time_s - chunk.stamp_ns / 1e9
        return age_s if age_s >= 0 else np.inf  # a new episode began


class _Plan:
    """What is driven to: a goal until it is met, or takes too long, or the mind changes.

    Attributes:
        instruction: one way to ask for the goal.
        noise_share: of the noise that is added on the way to it.
        by_policy: whether a policy drives to it.
    """

    def __init__(self, recorder: Recorder, rng: np.random.Generator) -> None:
        self._recorder, self._rng = recorder, rng
        self._goal: Goal | None = None
        self._start: dict[str, FloatArray] = {}
        self._steps = self._met = 0
        self.instruction, self.noise_share, self.by_policy = '', 0.0, False

    def goal(self) -> Goal:
        """Return the goal of this step."""
        world = self._recorder.world
        self._steps += 1
        if self._goal and succeeded(world, self._goal, self._start):
            self._met += 1
        over = self._met > LINGER_STEPS or self._steps > PATIENCE_STEPS
        if self._goal is None or over or self._rng.random() < CHANGE_OF_MIND:
            choices = self._recorder.choices(self._rng, but=self._goal)
            if choices:
                self._begin(choices[0])
        assert self._goal is not None  # a scene is laid in which something can be done
        return self._goal

    def _begin(self, goal: Goal) -> None:
        rng = self._rng
        self._goal, self._start = goal, start_of(self._recorder.world)
        self._steps = self._met = 0
        self.instruction = sample_sentence(goal, rng)
        self.noise_share = float(rng.choice(NOISE_SHARES))
        self.by_policy = bool(rng.random() < POLICY_SHARE)
