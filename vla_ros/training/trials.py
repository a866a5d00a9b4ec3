"""Run trials of any task in the simulator, perturbed or not, in parallel processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from threading import get_ident

import numpy as np
import torch

from vla_ros.core.embodiment import load_arm
from vla_ros.policies.registry import load_policy
from vla_ros.sim.episodes import REACHED_M
from vla_ros.sim.tasks.env import TICK_S, TaskEnv
from vla_ros.sim.tasks.episodes import TaskEpisode, TaskOutcome, judge_task, reach_distances_m
from vla_ros.sim.tasks.goal import Goal
from vla_ros.sim.tasks.goals import disturbed, succeeded
from vla_ros.sim.tasks.labels import Labeller
from vla_ros.sim.tasks.perturb import add_distractors, change_light, move_cameras, unchanged
from vla_ros.sim.world import World
from vla_ros.training.chunks import action_at
from vla_ros.training.cluster import HERE, spread
from vla_ros.training.suites import Suite
from vla_ros.types import (
    ARM_JOINTS,
    EXECUTION_HORIZON,
    ActionChunk,
    FloatArray,
    ImageArray,
    Observation,
)

EXPERT = 'expert'
EXPERT_STEPS = 8
STEP_S = 0.1
FILM_TICKS = 2
STAYED_RAD = 0.15  # no joint went further
OVER_M = 2 * REACHED_M


@dataclass(frozen=True)
class Trial:
    """What is to be run.

    Attributes:
        episode: scene, goal that is judged, and what is said.
        said: goal that the sentence asks for; another one where the instruction is swapped.
    """

    suite: Suite
    episode: TaskEpisode
    said: Goal


@dataclass(frozen=True, kw_only=True)
class TrialResult(TaskOutcome):
    """How a trial ended; `followed`: the goal that was said is met at the end."""

    trial: Trial
    followed: bool


@dataclass
class Track:
    """How the joints went, at each look of the evaluation, and what the policy said last."""

    positions_rad: list[FloatArray]
    velocities_rad_s: list[FloatArray]
    note: str = ''


class PolicyBrain:
    """A policy, which sees nothing but its observation.

    `horizon` steps of a chunk are carried out before it is asked again.
    """

    def __init__(self, name: str, world: World, device: str) -> None:
        self._policy = load_policy(name, world.embodiment, device)
        self.horizon = getattr(self._policy, 'execution_horizon', EXECUTION_HORIZON)
        self.cameras = self._policy.cameras
        self.depth_cameras: tuple[str, ...] = getattr(self._policy, 'depth_cameras', ())
        self.settles_s: float = getattr(self._policy, 'settles_s', 0.0)

    def reset(self) -> None:
        """Forget the episode before."""
        self._policy.reset()

    def answer(self, env: TaskEnv, trial: Trial, observation: Observation) -> ActionChunk:
        """Ask the policy."""
        return self._policy.infer(observation)


class ExpertBrain:
    """The scripted expert, which sees the whole state of the world and knows what was meant."""

    horizon = 1
    cameras: tuple[str, ...] = ()
    depth_cameras: tuple[str, ...] = ()
    settles_s = 0.0

    def __init__(self, world: World) -> None:
        self._labeller = Labeller(world)

    def reset(self) -> None:
        """Nothing: it has no memory."""

    def answer(self, env: TaskEnv, trial: Trial, observation: Observation) -> ActionChunk:
        """Look ahead as far as the chunk has to last; stay if there is nothing to go to."""
        if trial.suite.absent:
            return ActionChunk(np.zeros((1, ARM_JOINTS)), STEP_S, observation.stamp_ns)
        steps = EXPERT_STEPS if trial.suite.latency_s else 1
        actions = self._labeller.chunk(trial.said, steps, STEP_S)
        return ActionChunk(
            actions[:, :ARM_JOINTS],
            STEP_S,
            observation.stamp_ns,
            gripper_openings_m=actions[:, ARM_JOINTS],
        )


class Senses:
    """What a brain is told, with noise, delay and lost images as a suite says."""

    def __init__(self, brain: PolicyBrain | ExpertBrain, trial: Trial, seed: int) -> None:
        self._brain, self._trial = brain, trial
        self._suite = trial.suite
        self._rng = np.random.default_rng([seed, 11])
        kept = round(self._suite.joint_delay_s / TICK_S) + 1
        self._states: deque[tuple[FloatArray, float]] = deque(maxlen=kept)
        self._images: dict[str, ImageArray] = {}

    def tick(self, world: World) -> None:
        """Keep the state of this instant."""
        self._states.append((world.joint_positions_rad, world.gripper_opening_m))

    def observe(self, world: World) -> Observation:
        """Return what is seen now."""
        position, opening = self._states[0]
        if not self._images or self._rng.random() >= self._suite.dropped:
            self._images = {c: self._noisy(world.render(c)) for c in self._brain.cameras}
        return Observation(
            images=dict(self._images),
            joint_positions_rad=position,
            instruction=self._trial.episode.instruction,
            stamp_ns=round(world.time_s * 1e9),
            gripper_opening_m=opening,
            depths_m={c: world.render_depth(c) for c in self._brain.depth_cameras},
        )

    def _noisy(self, image: ImageArray) -> ImageArray:
        if not self._suite.noise:
            return image
        noise = self._rng.normal(0.0, self._suite.noise, image.shape)
        return np.clip(image + noise, 0, 255).astype(np.uint8)


def run_trial(
    env: TaskEnv, brain: PolicyBrain | ExpertBrain, trial: Trial, film: list[ImageArray] | None
) -> TrialResult:
    """Run one trial; `film` gets what the camera `front` saw, ten images a second."""
    episode, suite = trial.episode, trial.suite
    brain.reset()
    with unchanged(env.world):
        env.reset(
            seed=episode.seed, options={'goal': episode.goal, 'instruction': episode.instruction}
        )
        _perturb(env.world, suite, episode.seed)
        track = _drive(env, brain, trial, film)
        outcome = judge_task(env, track.velocities_rad_s, track.note)
        if suite.absent:
            return _stayed(env, brain, trial, outcome, track)
        followed = succeeded(env.world, trial.said, env.start)
    return TrialResult(**vars(outcome), trial=trial, followed=followed)


def _stayed(
    env: TaskEnv,
    brain: PolicyBrain | ExpertBrain,
    trial: Trial,
    outcome: TaskOutcome,
    track: Track,
) -> TrialResult:
    """Judge a trial in which the arm has to stay: it did, unless a joint went far.

    An arm that draws back to see the table has to stay from then on.
    """
    world, said = env.world, trial.said
    settled = min(round(brain.settles_s / TICK_S), len(track.positions_rad) - 1)
    ways_rad = np.array(track.positions_rad[settled:]) - track.positions_rad[settled]
    stayed = bool(np.abs(ways_rad).max() < STAYED_RAD) and not outcome.success
    touched = bool(disturbed(world, said, env.start))
    if said.task == 'reach':
        touched = min(reach_distances_m(world).values()) < OVER_M
    outcome = replace(outcome, success=stayed, wrong_object=not stayed and touched, error_m=np.nan)
    return TrialResult(**vars(outcome), trial=trial, followed=stayed)


def _drive(
    env: TaskEnv, brain: PolicyBrain | ExpertBrain, trial: Trial, film: list[ImageArray] | None
) -> Track:
    """Ask, carry out as the guard would, ask again."""
    senses, before = Senses(brain, trial, trial.episode.seed), None
    track = Track([env.world.joint_positions_rad], [])
    senses.tick(env.world)
    while not env.over:
        asked_s = env.world.time_s
        chunk = brain.answer(env, trial, senses.observe(env.world))
        track.note = chunk.note
        lasts = max(brain.horizon * chunk.step_s, trial.suite.latency_s)
        for tick in range(max(1, round(lasts / TICK_S))):
            if film is not None and len(track.velocities_rad_s) % FILM_TICKS == 0:
                film.append(env.world.render('front'))
            arrived = tick * TICK_S > trial.suite.latency_s - 1e-9
            env.drive(action_at(chunk if arrived else before, asked_s + tick * TICK_S))
            senses.tick(env.world)
            track.positions_rad.append(env.world.joint_positions_rad)
            track.velocities_rad_s.append(env.world.joint_velocities_rad_s)
            if env.over:
                break
        before = chunk
    return track


def _perturb(world: World, suite: Suite, seed: int) -> None:
    rng = np.random.default_rng([seed, 13])
    if suite.distractors:
        add_distractors(world, suite.distractors, rng)
    if suite.camera_m or suite.camera_rad:
        move_cameras(world, suite.camera_m, suite.camera_rad, rng)
    if suite.light:
        change_light(world, suite.light, rng)


def run_trials(
    trials: Sequence[Trial],
    policy: str,
    *,
    arm: str = 'sim',
    device: str = 'auto',
    workers: int = 2,
    backend: str = HERE,
) -> Iterator[TrialResult]:
    """Run trials in parallel and yield how they ended, as they come.

    Args:
        trials: what to run.
        policy: as `load_policy` takes it, or 'expert'.
        arm: name or YAML file.
        device: of the policy.
        workers: processes.
        backend: see `cluster.spread`.

    Raises:
        ConfigError: there is no such backend here.
    """
    size = max(1, min(5, len(trials) // workers))
    parts = [trials[i : i + size] for i in range(0, len(trials), size)]
    jobs = ((part, policy, arm, device) for part in parts)
    for results in spread(_run_part, jobs, workers=workers, backend=backend):
        yield from results


def film_trial(
    trial: Trial, policy: str, *, arm: str = 'sim', device: str = 'auto'
) -> list[ImageArray]:
    """Run a trial again, which ends as before, and return what the camera `front` saw."""
    film: list[ImageArray] = []
    _run_one(trial, policy, arm, device, film)
    return film


_rigs: dict[tuple[int, str, str, str], tuple[World, PolicyBrain | ExpertBrain]] = {}


def _run_part(part: Sequence[Trial], policy: str, arm: str, device: str) -> list[TrialResult]:
    return [_run_one(trial, policy, arm, device, None) for trial in part]


def _run_one(
    trial: Trial, policy: str, arm: str, device: str, film: list[ImageArray] | None
) -> TrialResult:
    key = get_ident(), policy, arm, device
    if key not in _rigs:  # one a thread: an OpenGL context is dear, and belongs to one
        torch.set_num_threads(1)
        world = World(load_arm(arm))
        brain = ExpertBrain(world) if policy == EXPERT else PolicyBrain(policy, world, device)
        _rigs[key] = world, brain
    world, brain = _rigs[key]
    env = TaskEnv(world, trial.episode.goal.task, step_s=TICK_S)
    return run_trial(env, brain, trial, film)
