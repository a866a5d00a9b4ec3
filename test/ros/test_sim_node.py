"""sim_node with the real world behind it: the topics of a robot."""

from __future__ import annotations

import json

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from fakes import ARM, Probe
from geometry_msgs.msg import PoseStamped
from rclpy.parameter import Parameter
from ros_graph import Graph
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from visualization_msgs.msg import MarkerArray

from vla_ros.core.kinematics import tool_position
from vla_ros.errors import ConfigError
from vla_ros.ros import qos
from vla_ros.ros.conversion import depth_from_message, image_from_message, stamp_to_ns
from vla_ros.ros.sim_node import SimNode
from vla_ros.sim.expert import ReachExpert
from vla_ros.sim.world import World
from vla_ros.types import FloatArray


class Bench:
    """A simulated robot, and someone who drives it."""

    def __init__(self, graph: Graph, **parameters: object) -> None:
        self.graph = graph
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = SimNode(context=graph.context, parameter_overrides=overrides)
        self.probe = Probe(graph.context)
        graph.executor.add_node(self.node)
        graph.executor.add_node(self.probe)
        self.states: list[JointState] = []
        probe = self.probe
        probe.create_subscription(JointState, '/joint_states', self.states.append, qos.SENSOR)
        self.velocity = probe.create_publisher(
            Float64MultiArray, ARM.velocity_topic(), qos.COMMAND
        )
        self.trajectory = probe.create_publisher(
            JointTrajectory, ARM.trajectory_topic(), qos.COMMAND
        )
        self.reset_client = probe.create_client(Trigger, qos.SIM_RESET_SERVICE)
        assert graph.spin_until(
            lambda: (
                self.states
                and self.velocity.get_subscription_count()
                and self.trajectory.get_subscription_count()
                and self.reset_client.service_is_ready()
            )
        )

    def positions(self) -> FloatArray:
        by_name = dict(zip(self.states[-1].name, self.states[-1].position, strict=True))
        return np.array([by_name[joint] for joint in ARM.joints])

    def velocities(self) -> FloatArray:
        return np.array(self.states[-1].velocity[:7])

    def reset(self) -> Trigger.Response:
        future = self.reset_client.call_async(Trigger.Request())
        assert self.graph.spin_until(future.done)
        return future.result()


@pytest.fixture
def bench(graph: Graph) -> Bench:
    return Bench(graph)


def test_the_depth_of_a_camera_comes_with_its_image(bench: Bench) -> None:
    top, depths, images = ARM.cameras['top'], [], []
    bench.probe.create_subscription(Image, top.depth_topic, depths.append, qos.SENSOR)
    bench.probe.create_subscription(Image, top.topic, images.append, qos.SENSOR)

    def stamps(messages: list[Image]) -> set[int]:
        return {stamp_to_ns(message.header.stamp) for message in messages}

    assert bench.graph.spin_until(lambda: stamps(depths) & stamps(images))
    depth_m = depth_from_message(depths[-1])
    assert depth_m.shape == (top.height, top.width)
    assert top.calibration is not None
    table = np.median(depth_m)  # the camera looks straight down on it
    assert abs(table - top.calibration.position_m[2]) < 0.01
    assert depth_m.min() < table - 0.02  # objects, and the arm


def test_a_velocity_is_latched_until_the_next_one(bench: Bench) -> None:
    command = [0.0] * 6 + [0.3]
    bench.velocity.publish(Float64MultiArray(data=command))
    start = bench.positions()[6]
    assert bench.graph.spin_until(lambda: bench.positions()[6] > start + 0.25)  # one message only
    assert bench.velocities()[6] == pytest.approx(0.3, abs=0.05)
    bench.velocity.publish(Float64MultiArray(data=[0.0] * 7))
    assert bench.graph.spin_until(lambda: abs(bench.velocities()[6]) < 0.01)


@pytest.mark.parametrize('bad', [[0.3] * 6, [0.3] * 8, [], [float('nan')] * 7, [1e999] * 7])
def test_a_damaged_velocity_command_is_dropped(bench: Bench, bad: list[float]) -> None:
    bench.velocity.publish(Float64MultiArray(data=[0.0] * 6 + [0.2]))
    assert bench.graph.spin_until(lambda: bench.velocities()[6] > 0.15)
    bench.velocity.publish(Float64MultiArray(data=bad))
    count = len(bench.states)
    assert bench.graph.spin_until(lambda: len(bench.states) > count + 20)
    assert bench.velocities()[6] == pytest.approx(0.2, abs=0.05)


def test_a_trajectory_is_played_and_held(bench: Bench) -> None:
    goal = ARM.home_rad + 0.15
    message = JointTrajectory(
        joint_names=list(reversed(ARM.joints)),
        points=[
            JointTrajectoryPoint(
                positions=goal[::-1].tolist(),
                velocities=[0.0] * 7,
                time_from_start=Duration(nanosec=500_000_000),
            )
        ],
    )
    bench.trajectory.publish(message)
    assert bench.graph.spin_until(
        lambda: (
            np.abs(bench.positions() - goal).max() < 0.01
            and np.abs(bench.velocities()).max() < 0.02
        )
    )
    count = len(bench.states)
    assert bench.graph.spin_until(lambda: len(bench.states) > count + 50)
    np.testing.assert_allclose(bench.positions(), goal, atol=0.01)


def test_reset_takes_the_seed_and_brings_the_arm_home_at_rest(bench: Bench) -> None:
    bench.velocity.publish(Float64MultiArray(data=[0.5] * 7))
    assert bench.graph.spin_until(lambda: bench.positions()[0] > 0.1)
    bench.node.set_parameters([Parameter('seed', value=5)])
    answer = json.loads(bench.reset().message)
    assert answer['seed'] == 5
    assert len(answer['objects']) == 4
    assert bench.graph.spin_until(lambda: np.abs(bench.positions() - ARM.home_rad).max() < 0.01)
    assert json.loads(bench.reset().message)['objects'] == answer['objects']
    bench.node.set_parameters([Parameter('seed', value=6)])
    assert json.loads(bench.reset().message)['objects'] != answer['objects']


def test_a_scene_for_a_task_is_asked_for_by_a_parameter(bench: Bench) -> None:
    bench.node.set_parameters([Parameter('task', value='put'), Parameter('seed', value=4)])
    answer = json.loads(bench.reset().message)
    assert (answer['task'], answer['seed']) == ('put', 4) and answer['containers']
    markers: list[MarkerArray] = []
    bench.probe.create_subscription(
        MarkerArray, qos.SIM_OBJECTS_TOPIC, markers.append, qos.LATCHED
    )
    wanted = {*answer['objects'], *answer['containers']}
    assert bench.graph.spin_until(
        lambda: markers and wanted <= {m.ns for m in markers[-1].markers}
    )
    status = bench.probe.status
    assert bench.graph.spin_until(lambda: status.get('sim_node', {}).get('task') == 'put')
    assert status['sim_node']['met'] == ''
    bench.node.set_parameters([Parameter('task', value='reach')])
    assert json.loads(bench.reset().message)['containers'] == {}


def test_the_goal_that_is_met_is_said(bench: Bench) -> None:
    item = next(iter(json.loads(bench.reset().message)['objects'].items()))
    expert, goal = ReachExpert(ARM), np.array(item[1]['target_m'])

    def met() -> bool:
        velocity = expert.velocity(bench.positions(), goal)
        bench.velocity.publish(Float64MultiArray(data=velocity.tolist()))
        return f'reach the {item[0]}' in bench.probe.status.get('sim_node', {}).get('met', '')

    assert bench.graph.spin_until(met)


def test_parameters_other_than_seed_and_task_stay_as_they_are(bench: Bench) -> None:
    for name, value in (('seed', -1), ('task', 'lick'), ('cameras_hz', 3.0), ('arm', 'other')):
        assert not bench.node.set_parameters([Parameter(name, value=value)])[0].successful


def test_cameras_send_noisy_frames_and_their_parameters(graph: Graph) -> None:
    bench = Bench(graph, image_width=64, image_height=48)
    frames: list[Image] = []
    infos: list[CameraInfo] = []
    bench.probe.create_subscription(Image, '/camera/front/image_raw', frames.append, qos.SENSOR)
    bench.probe.create_subscription(
        CameraInfo, '/camera/front/camera_info', infos.append, qos.SENSOR
    )
    assert graph.spin_until(lambda: len(frames) >= 3 and infos)
    first, second = image_from_message(frames[-2]), image_from_message(frames[-1])
    assert first.shape == (48, 64, 3)
    assert first.std() > 5
    assert not np.array_equal(first, second)
    assert np.abs(first.astype(int) - second).max() <= 1  # at rest, only noise differs
    assert stamp_to_ns(frames[-1].header.stamp) > stamp_to_ns(frames[-2].header.stamp)
    assert (infos[-1].width, infos[-1].height) == (64, 48)
    assert infos[-1].k[0] == infos[-1].k[4] > 0


def test_a_frame_shows_the_arm_as_it_is_at_the_stamp_and_comes_no_earlier(graph: Graph) -> None:
    bench = Bench(graph, publish_clock=True, image_width=160, image_height=120)
    clocks, frames = [0], []
    bench.probe.create_subscription(
        Clock, '/clock', lambda m: clocks.append(stamp_to_ns(m.clock)), qos.SENSOR
    )

    def on_frame(message: Image) -> None:
        frames.append((stamp_to_ns(message.header.stamp), clocks[-1], message))

    bench.probe.create_subscription(Image, '/camera/front/image_raw', on_frame, qos.SENSOR)
    assert graph.spin_until(lambda: len(frames) > 1)
    bench.velocity.publish(Float64MultiArray(data=[1.5] + [0.0] * 6))
    assert graph.spin_until(lambda: bench.positions()[0] > 0.5)
    bench.velocity.publish(Float64MultiArray(data=[0.0] * 7))
    stamp_ns, clock_ns, message = frames[-1]
    assert stamp_ns <= clock_ns + 10_000_000  # clock and frame come over topics of their own
    known = {stamp_to_ns(s.header.stamp): np.array(s.position[:7]) for s in bench.states}
    world = World(ARM, camera_sizes={'front': (160, 120)})
    off = {}
    for ticks in (-3, 0, 3):
        world.set_joint_positions(known[stamp_ns + ticks * 10_000_000])
        difference = world.render('front').astype(int) - image_from_message(message)
        off[ticks] = np.abs(difference).mean()
    world.close()
    assert off[0] < 0.9  # half a grey level of noise, and objects that settled
    assert off[0] + 0.3 < min(off[-3], off[3]), off


def test_objects_and_tool_are_where_the_kinematics_say(bench: Bench) -> None:
    markers: list[MarkerArray] = []
    tools: list[PoseStamped] = []
    bench.probe.create_subscription(
        MarkerArray, qos.SIM_OBJECTS_TOPIC, markers.append, qos.LATCHED
    )
    bench.probe.create_subscription(PoseStamped, qos.SIM_TOOL_TOPIC, tools.append, qos.SENSOR)
    assert bench.graph.spin_until(lambda: markers and tools)
    names = {m.ns for m in markers[-1].markers if m.ns}
    objects = {n for n in names if not n.startswith(qos.TARGET_NAMESPACE)}
    assert len(objects) == 4
    assert names == objects | {qos.TARGET_NAMESPACE + n for n in objects}
    tool = tools[-1].pose.position
    assert ARM.kinematics is not None
    np.testing.assert_allclose(
        [tool.x, tool.y, tool.z], tool_position(ARM.kinematics, bench.positions()), atol=0.003
    )


def test_it_says_how_fast_it_is(bench: Bench) -> None:
    assert bench.graph.spin_until(lambda: 'sim_node' in bench.probe.status)
    assert float(bench.probe.status['sim_node']['real_time_factor']) > 0
    assert bench.probe.status['sim_node']['seed'] == '0'


def test_clock_on_request_stamps_everything_with_simulated_time(graph: Graph) -> None:
    bench = Bench(graph, publish_clock=True)
    clocks: list[Clock] = []
    bench.probe.create_subscription(Clock, '/clock', clocks.append, qos.SENSOR)
    assert graph.spin_until(lambda: len(clocks) > 3)
    assert 0 < stamp_to_ns(clocks[-1].clock) < 600e9
    assert stamp_to_ns(bench.states[-1].header.stamp) < 600e9
    before = stamp_to_ns(clocks[-1].clock)
    bench.reset()
    count = len(clocks)
    assert graph.spin_until(lambda: len(clocks) > count + 3)
    assert stamp_to_ns(clocks[-1].clock) > before


@pytest.mark.parametrize(
    ('name', 'value', 'says'),
    [
        ('sed', 3, "no parameter 'sed'"),
        ('seed', -3, 'seed is -3'),
        ('task', 'lick', "unknown task 'lick'"),
        ('cameras_hz', 1e6, 'cameras_hz'),
        ('image_width', 9999, 'image_width is 9999'),
        ('arm', 'nosuch', "unknown arm 'nosuch'"),
    ],
)
def test_a_bad_parameter_is_named(graph: Graph, name: str, value: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SimNode(context=graph.context, parameter_overrides=[Parameter(name, value=value)])
