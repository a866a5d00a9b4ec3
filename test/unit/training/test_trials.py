"""What a brain is shown in a trial, beside what was there: noise, delay, images that are lost."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.core.embodiment import load_arm
from vla_ros.sim.tasks.env import TaskEnv
from vla_ros.sim.tasks.episodes import TaskEpisode, plan_task_episodes
from vla_ros.sim.world import World
from vla_ros.training.suites import PLAIN, SUITES, Suite
from vla_ros.training.trials import TICK_S, Trial, TrialResult, run_trial
from vla_ros.types import ActionChunk, FloatArray, ImageArray, Observation

ARM = load_arm('sim')
ASKED_S = 0.1  # between two questions
SPEED_RAD_S = 0.3


class Witness:
    """Turns the arm whatever it is shown, and keeps that and what was there."""

    horizon = 1
    cameras = ('front',)
    depth_cameras = ()

    def __init__(self, back_and_forth: bool) -> None:
        self._velocities = np.array([[SPEED_RAD_S] + [0.0] * 6])
        self._then = -1 if back_and_forth else 1
        self.shown: list[Observation] = []
        self.images: list[ImageArray] = []
        self.positions_rad: list[FloatArray] = []

    def reset(self) -> None: ...

    def answer(self, env: TaskEnv, trial: Trial, observation: Observation) -> ActionChunk:
        self.shown.append(observation)
        self.images.append(env.world.render('front'))
        self.positions_rad.append(env.world.joint_positions_rad)
        self._velocities = self._then * self._velocities
        return ActionChunk(self._velocities, ASKED_S, observation.stamp_ns)


@pytest.fixture(scope='module')
def env():
    made = TaskEnv(World(ARM, camera_sizes={'front': (64, 48)}), 'push', step_s=TICK_S)
    yield made
    made.close()


@pytest.fixture(scope='module')
def episode(env: TaskEnv) -> TaskEpisode:
    return plan_task_episodes(env.world, 'push', 1, 0)[0]


def run(
    env: TaskEnv, episode: TaskEpisode, suite: Suite, *, back_and_forth: bool = False
) -> tuple[Witness, TrialResult]:
    witness = Witness(back_and_forth)
    result = run_trial(env, witness, Trial(suite, episode, episode.goal), None)
    assert len(witness.shown) == 80  # all 8 s of a push
    return witness, result


def test_a_plain_trial_shows_what_is_there_and_tells_how_rough_it_was(
    env: TaskEnv, episode: TaskEpisode
) -> None:
    witness, result = run(env, episode, PLAIN, back_and_forth=True)
    for k, shown in enumerate(witness.shown):
        assert np.array_equal(shown.images['front'], witness.images[k])
        assert np.array_equal(shown.joint_positions_rad, witness.positions_rad[k])
        assert shown.instruction == episode.instruction
        assert shown.stamp_ns == pytest.approx(k * ASKED_S * 1e9)
    # one joint of seven turns back, from 0.3 to -0.3 rad/s, in every second tick
    wanted = 2 * SPEED_RAD_S / TICK_S / (7 * 2) ** 0.5
    assert result.acceleration_rad_s2 == pytest.approx(wanted, rel=0.2)


def test_noise_is_as_large_as_it_says_and_on_the_images_alone(
    env: TaskEnv, episode: TaskEpisode
) -> None:
    witness, _ = run(env, episode, SUITES['image_noise'])
    there = np.array(witness.images, float)
    off = np.array([shown.images['front'] for shown in witness.shown]) - there
    grey = (there > 60) & (there < 195)  # where nothing is clipped
    assert grey.mean() > 0.1
    assert off[grey].std() == pytest.approx(12.0, rel=0.02)
    assert abs(off[grey].mean()) < 0.6  # of which a half is cut off with the fraction
    one, other = off[0], off[1]
    assert abs(np.corrcoef(one[grey[0]], other[grey[0]])[0, 1]) < 0.1  # new in each image
    told = np.array([shown.joint_positions_rad for shown in witness.shown])
    assert np.array_equal(told, witness.positions_rad)


def test_delayed_joints_are_those_of_a_tenth_of_a_second_ago(
    env: TaskEnv, episode: TaskEpisode
) -> None:
    witness, _ = run(env, episode, SUITES['joint_delay'])
    told = [shown.joint_positions_rad for shown in witness.shown]
    there = witness.positions_rad
    assert np.array_equal(told, [there[0], *there[:-1]])  # at first, the oldest there is
    assert there[-1][0] - told[-1][0] == pytest.approx(SPEED_RAD_S * 0.1, abs=0.005)
    assert all(map(np.array_equal, (s.images['front'] for s in witness.shown), witness.images))


def test_instead_of_a_dropped_image_the_one_before_is_seen_again(
    env: TaskEnv, episode: TaskEpisode
) -> None:
    witness, _ = run(env, episode, SUITES['dropped_frames'])
    seen = [shown.images['front'] for shown in witness.shown]
    assert np.array_equal(seen[0], witness.images[0])
    new = [np.array_equal(image, there) for image, there in zip(seen, witness.images, strict=True)]
    for k in range(1, len(seen)):
        assert new[k] or np.array_equal(seen[k], seen[k - 1])
    assert 0.15 < 1 - np.mean(new) < 0.45  # three of ten
    told = np.array([shown.joint_positions_rad for shown in witness.shown])
    assert np.array_equal(told, witness.positions_rad)
