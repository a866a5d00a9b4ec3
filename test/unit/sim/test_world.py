"""The simulated world agrees with the arm's YAML and behaves like a real controller."""

import numpy as np
import pytest

from vla_ros.core.embodiment import load_arm
from vla_ros.core.kinematics import tool_jacobian, tool_position
from vla_ros.errors import ConfigError
from vla_ros.sim.scene import OBJECT_KINDS
from vla_ros.sim.world import HOVER_HEIGHT_M, World


@pytest.fixture(scope='module')
def world():
    made = World(load_arm('sim'), camera_sizes={'front': (128, 96), 'wrist': (128, 96)})
    yield made
    made.close()


def test_kinematics_of_the_scene_are_those_of_the_yaml(world):
    arm = world.embodiment
    rng = np.random.default_rng(0)
    for position in rng.uniform(arm.position_min_rad, arm.position_max_rad, (50, 7)):
        world.set_joint_positions(position)
        assert np.allclose(world.tool_position_m, tool_position(arm.kinematics, position))


def test_jacobian_is_the_derivative_of_the_tool_position():
    arm = load_arm('sim')
    position = np.random.default_rng(1).normal(size=(5, 7))
    jacobian = tool_jacobian(arm.kinematics, position)
    for joint in range(7):
        shift = 1e-6 * np.eye(7)[joint]
        difference = tool_position(arm.kinematics, position + shift) - tool_position(
            arm.kinematics, position - shift
        )
        assert np.allclose(jacobian[:, :3, joint], difference / 2e-6, atol=1e-6)


def test_the_same_seed_gives_the_same_scene_and_another_seed_another(world):
    world.reset(5)
    first = [(o.name, *o.position_m) for o in world.objects]
    image = world.render('front').copy()
    world.step(0.2)
    world.reset(6)
    assert [(o.name, *o.position_m) for o in world.objects] != first
    world.reset(5)
    assert [(o.name, *o.position_m) for o in world.objects] == first
    assert np.array_equal(world.render('front'), image)


def test_the_last_velocity_is_latched_until_the_next(world):
    world.reset(0)
    world.command_velocity(np.array([0.3, 0, 0, 0, 0, 0, 0]))
    world.step(1.0)
    assert world.joint_velocities_rad_s[0] == pytest.approx(0.3, abs=0.01)
    world.command_velocity(np.zeros(7))
    world.step(1.0)
    resting = world.joint_positions_rad
    world.step(2.0)
    assert np.allclose(world.joint_positions_rad, resting, atol=1e-6)


def test_drives_settle_without_chatter_after_the_largest_step(world):
    world.reset(0)
    command = 0.9 * world.embodiment.velocity_max_rad_s * np.array([1, 0, 0, 0, 0, 0, 1])
    world.command_velocity(command)
    world.step(0.3)
    speeds = []
    for _ in range(20):
        world.step(0.005)
        speeds.append(world.joint_velocities_rad_s[0])
    assert np.ptp(speeds) < 0.05


def test_objects_lie_still_and_can_be_pushed(world):
    world.reset(3)
    world.step(1.0)
    before = {o.name: o.position_m for o in world.objects}
    world.step(1.0)
    for item in world.objects:
        assert np.allclose(item.position_m, before[item.name], atol=1e-4)


def test_the_target_is_over_the_object_and_only_of_objects_on_the_table(world):
    world.reset(3)
    item = world.objects[0]
    above = world.target_position_m(item.name) - item.position_m
    assert np.allclose(above, (0, 0, HOVER_HEIGHT_M))
    absent = next(k.name for k in OBJECT_KINDS if k.name not in {o.name for o in world.objects})
    with pytest.raises(ConfigError, match=r'choose one of'):
        world.target_position_m(absent)


def test_an_object_appears_where_it_is_projected(world):
    for seed in range(5):
        world.reset(seed)
        image = world.render('front').astype(int)
        for item in world.objects:
            x, y = world.project('front', item.position_m)
            red, green, blue = image[int(y * 96), int(x * 128)]
            seen = {
                'red': red > 1.5 * max(green, blue),
                'green': green > 1.3 * max(red, blue),
                'blue': blue > 1.5 * max(red, green),
                'yellow': min(red, green) > 1.8 * blue,
            }
            assert seen[item.colour], (item.name, red, green, blue)


def test_unknown_camera_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown camera 'side'.*front.*top.*wrist"):
        World(load_arm('sim'), camera_sizes={'side': (64, 48)})
