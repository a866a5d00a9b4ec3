"""Images and joints become the same tensors whoever asks."""

import numpy as np
import pytest

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ObservationError
from vla_ros.policies.preprocessing import observed_state, proprioception, scale_image
from vla_ros.types import Observation


def test_an_image_of_the_right_size_is_not_copied():
    image = np.zeros((96, 128, 3), np.uint8)
    assert scale_image(image, 128, 96) is image


def test_scaling_averages_and_is_idempotent():
    image = np.random.default_rng(0).integers(0, 255, (192, 256, 3), dtype=np.uint8)
    small = scale_image(image, 128, 96)
    means = image.reshape(96, 2, 128, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - means).max() <= 1
    assert np.array_equal(scale_image(small, 128, 96), small)


def test_another_aspect_ratio_loses_its_borders_only():
    image = np.zeros((240, 426, 3), np.uint8)
    image[:, 53:373] = 200
    assert scale_image(image, 128, 96).min() == 200


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((96, 128), np.uint8),
        np.zeros((96, 128, 4), np.uint8),
        np.zeros((96, 128, 3), np.float32),
        np.zeros((48, 64, 3), np.uint8),
        np.zeros((0, 0, 3), np.uint8),
    ],
)
def test_unusable_images_are_refused(image):
    with pytest.raises(ObservationError):
        scale_image(image, 128, 96)


def test_proprioception_is_joints_and_tool():
    arm = load_arm('sim')
    state = proprioception(arm, arm.home_rad)
    assert state.shape == (10,)
    assert np.array_equal(state[:7], arm.home_rad)
    assert state[9] == pytest.approx(0.4389, abs=1e-3)


def test_the_opening_comes_last_and_is_asked_for_where_it_lacks():
    arm = load_arm('sim')
    with_gripper = Observation({}, arm.home_rad, '', gripper_opening_m=0.03)
    state = observed_state(arm, with_gripper, 11)
    assert np.array_equal(state[:10], proprioception(arm, arm.home_rad)) and state[10] == 0.03
    assert observed_state(arm, with_gripper, 10).shape == (10,)
    openings = np.array([0.01, 0.02])
    batch = proprioception(arm, np.stack([arm.home_rad] * 2), openings)
    assert batch.shape == (2, 11) and np.array_equal(batch[:, 10], openings)
    with pytest.raises(ObservationError, match='gripper opening'):
        observed_state(arm, Observation({}, arm.home_rad, ''), 11)
