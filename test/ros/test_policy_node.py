"""policy_node with real DDS: which inputs give a chunk, and which must not."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import ARM, ConstantPolicy, Probe, Rhythm
from lifecycle_msgs.msg import State
from policy_bench import Bench
from rclpy.parameter import Parameter
from ros_graph import Graph
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from vla_ros.errors import ConfigError, VlaRosError
from vla_ros.paths import config_dir
from vla_ros.ros import qos
from vla_ros.ros.conversion import depth_to_message, image_to_message, ns_to_stamp
from vla_ros.ros.policy_node import PolicyNode
from vla_ros.types import ActionChunk, Observation


class HangingPolicy(ConstantPolicy):
    """Hangs in the first inference of an instruction, until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs, self.go_on = threading.Event(), threading.Event()

    def infer(self, observation: Observation) -> ActionChunk:
        if observation.instruction.startswith('reach'):
            self.hangs.set()
            assert self.go_on.wait(30)
        return super().infer(observation)


@pytest.fixture
def bench(graph: Graph) -> Bench:
    return Bench(graph, ConstantPolicy())


def test_a_frame_gives_a_chunk_with_the_stamp_of_the_image(bench: Bench) -> None:
    bench.say('reach the red cube')
    assert bench.until(lambda: len(bench.probe.chunks) >= 3, bench.send_all)
    for chunk in bench.probe.chunks:
        assert chunk.stamp_ns in bench.stamps
        np.testing.assert_array_equal(chunk.velocities_rad_s, np.full((8, 7), 0.1))
    observation = bench.policy.observations[-1]
    assert observation.instruction == 'reach the red cube'
    np.testing.assert_array_equal(observation.joint_positions_rad, ARM.home_rad)
    assert bench.until(lambda: bench.status().get('stamp_to_chunk_p50_ms'), bench.probe.send_frame)
    assert len(bench.policy.threads) == 1


class DepthPolicy(ConstantPolicy):
    """Reads the depth of its camera, too."""

    depth_cameras = ('top',)


def test_without_depth_there_is_no_chunk_and_the_status_says_so(graph: Graph) -> None:
    bench, topic = Bench(graph, DepthPolicy(cameras=('top',))), ARM.cameras['top'].depth_topic
    bench.say('put the red cube in the blue bowl')
    assert bench.until(
        lambda: bench.status()['message'] == f'no fresh depth image on {topic}', bench.send_all
    )
    assert not bench.probe.chunks
    publisher = bench.probe.create_publisher(Image, topic, qos.SENSOR)
    depth_m = np.full((24, 32), 1.25, np.float32)

    def send() -> None:
        stamp = bench.probe.get_clock().now().to_msg()
        publisher.publish(depth_to_message(depth_m, stamp, 'top'))
        bench.send_all()

    assert bench.until(lambda: bench.probe.chunks, send)
    seen = bench.policy.observations[-1].depths_m
    np.testing.assert_array_equal(seen['top'], depth_m)


def test_without_an_instruction_there_is_no_chunk(bench: Bench) -> None:
    for _ in range(5):
        bench.probe.send_frame()
    assert bench.until(lambda: int(bench.status().get('frames', 0)) >= 1, bench.probe.send_frame)
    bench.say('reach the red cube')  # the sentinel: chunks come in order
    stamp_ns = bench.probe.now_ns()
    assert bench.until(lambda: bench.probe.chunks, bench.probe.send_frame)
    assert bench.probe.chunks[0].stamp_ns >= stamp_ns


def test_an_empty_instruction_stops_resets_and_is_reported(bench: Bench) -> None:
    bench.say('reach the red cube')
    assert bench.until(lambda: bench.probe.chunks, bench.probe.send_frame)
    resets = bench.policy.resets
    bench.say('')
    assert bench.until(lambda: bench.policy.resets == resets + 1)
    count = len(bench.probe.chunks)
    stop_ns = bench.probe.now_ns()
    frames = int(bench.status()['frames'])
    assert bench.until(lambda: int(bench.status()['frames']) >= frames + 3, bench.probe.send_frame)
    assert all(chunk.stamp_ns < stop_ns for chunk in bench.probe.chunks[count:])


@pytest.mark.parametrize('kind', ['frozen pixels', 'stale', 'wrong encoding', 'truncated'])
def test_unusable_frames_give_no_chunk_and_say_why(bench: Bench, kind: str) -> None:
    bench.say('reach the red cube')
    picture = bench.probe.picture()

    def send() -> None:
        probe = bench.probe
        if kind == 'frozen pixels':
            probe.send_frame(image=picture)
        elif kind == 'stale':
            probe.send_frame(age_ns=300_000_000)
        else:
            probe.send_state()
            message = damaged(probe, kind)
            probe.images['front'].publish(message)

    says = {
        'frozen pixels': 'same pixels',
        'stale': 's old',
        'wrong encoding': "encoding 'yuv422' is not supported",
        'truncated': 'data has 10 bytes',
    }[kind]
    assert bench.until(lambda: says in bench.status().get('message', ''), send)
    assert len(bench.probe.chunks) <= (1 if kind == 'frozen pixels' else 0)
    count = len(bench.probe.chunks)
    assert bench.until(lambda: len(bench.probe.chunks) > count, bench.probe.send_frame)


def damaged(probe: Probe, kind: str) -> object:
    message = image_to_message(probe.picture(), ns_to_stamp(probe.now_ns()), 'front')
    if kind == 'wrong encoding':
        message.encoding = 'yuv422'
    else:
        message.data = message.data[:10]
    return message


def test_missing_joints_give_no_chunk(bench: Bench) -> None:
    bench.say('reach the red cube')

    def send() -> None:
        stamp = bench.probe.get_clock().now().to_msg()
        bench.probe.joint_states.publish(JointState(name=[ARM.joints[0]], position=[0.0]))
        bench.probe.images['front'].publish(image_to_message(bench.probe.picture(), stamp, ''))

    assert bench.until(
        lambda: 'no fresh state of panda_joint2' in bench.status().get('message', ''), send
    )
    assert not bench.probe.chunks
    assert bench.until(lambda: bench.probe.chunks, bench.probe.send_frame)


def test_an_exception_in_the_policy_is_an_error_without_chunk(bench: Bench) -> None:
    bench.say('fail')
    assert bench.until(
        lambda: 'out of memory' in bench.status()['message'], bench.probe.send_frame
    )
    assert bench.status()['level'] == '2'
    assert not bench.probe.chunks
    bench.say('reach the red cube')
    assert bench.until(lambda: bench.probe.chunks, bench.probe.send_frame)
    assert bench.until(lambda: bench.status()['level'] == '0', bench.probe.send_frame)


def test_doubt_is_shown_with_the_note_of_the_policy(bench: Bench) -> None:
    bench.say('doubt')
    assert bench.until(
        lambda: bench.status()['message'] == 'nothing like that here', bench.probe.send_frame
    )
    assert float(bench.status()['confidence']) == pytest.approx(0.1)
    assert not bench.probe.chunks[-1].velocities_rad_s.any()


def test_an_absurd_instruction_is_refused_and_the_old_one_stays(bench: Bench) -> None:
    bench.say('reach the red cube')
    bench.probe.say('x' * 600)
    assert bench.until(lambda: '600 bytes' in bench.status()['message'])
    assert bench.status()['instruction'] == 'reach the red cube'


def test_several_cameras_make_one_observation(graph: Graph) -> None:
    bench = Bench(graph, ConstantPolicy(cameras=('front', 'wrist')))
    bench.say('reach the red cube')
    assert bench.until(lambda: bench.probe.chunks, bench.send_all)
    assert bench.probe.chunks[0].stamp_ns in bench.stamps
    assert sorted(bench.policy.observations[-1].images) == ['front', 'wrist']


def test_a_compressed_camera_is_decoded(graph: Graph, tmp_path: Path) -> None:
    text = (config_dir() / 'arms' / 'sim.yaml').read_text()
    arm = tmp_path / 'arm.yaml'
    arm.write_text(text.replace('/camera/front/image_raw', '/camera/front/image_raw/compressed'))
    bench = Bench(graph, ConstantPolicy(), arm=str(arm))
    bench.say('reach the red cube')
    assert bench.until(lambda: bench.probe.chunks, bench.send_all)
    assert bench.policy.observations[-1].images['front'].shape == (24, 32, 3)


def test_deactivated_it_is_silent_and_comes_back(bench: Bench) -> None:
    bench.say('reach the red cube')
    assert bench.until(lambda: bench.probe.chunks, bench.probe.send_frame)
    bench.node.trigger_deactivate()
    bench.probe.chunks.clear()
    bench.activate()
    assert bench.status().get('instruction') is not None
    bench.say('')
    bench.say('reach the blue ball')
    assert bench.until(lambda: bench.probe.chunks, bench.probe.send_frame)
    assert bench.policy.observations[-1].instruction == 'reach the blue ball'


def test_it_is_not_active_again_while_an_inference_of_before_hangs(graph: Graph) -> None:
    policy = HangingPolicy()
    bench = Bench(graph, policy)
    bench.say('reach the red cube')
    assert bench.until(lambda: policy.hangs.is_set(), bench.probe.send_frame)
    bench.node.trigger_deactivate()  # the inference outlives it
    bench.send_all()
    for _ in range(3):
        bench.node.trigger_activate()
        assert not bench.node.active
    assert 'an inference of before still runs' in bench.node.problem
    policy.go_on.set()
    bench.activate()


def test_an_initial_instruction_is_followed_from_activation_on(graph: Graph) -> None:
    bench = Bench(graph, ConstantPolicy(), instruction='reach the red cube')
    assert bench.until(lambda: bench.probe.chunks, bench.probe.send_frame)


def test_it_starts_by_itself_when_asked_to(graph: Graph) -> None:
    node = PolicyNode(
        policy=ConstantPolicy(),
        context=graph.context,
        parameter_overrides=[Parameter('autostart', value=True)],
    )
    probe = Probe(graph.context)
    for each in (node, probe):
        graph.executor.add_node(each)

    def says(text: str) -> bool:
        return text in probe.status.get('policy_node', {}).get('message', '')

    assert graph.spin_until(lambda: says('no usable frame on /camera/front/image_raw'))
    send = Rhythm(lambda: probe.images['front'].publish(frame_of(probe)))

    def refused() -> bool:
        send()
        return says('no fresh state of panda_joint1')

    assert graph.spin_until(refused)
    assert not node.active
    send = Rhythm(probe.send_frame)

    def active() -> bool:
        send()
        return node.active

    assert graph.spin_until(active)


def frame_of(probe: Probe) -> Image:
    return image_to_message(probe.picture(), ns_to_stamp(probe.now_ns()), 'front')


def test_images_too_small_for_the_policy_and_a_clock_that_is_off_keep_it_inactive(
    graph: Graph,
) -> None:
    policy = ConstantPolicy()
    policy.camera_sizes = {'front': (128, 96)}
    start = [Parameter('autostart', value=True)]
    node = PolicyNode(policy=policy, context=graph.context, parameter_overrides=start)
    probe = Probe(graph.context)
    for each in (node, probe):
        graph.executor.add_node(each)
    large = probe.random.integers(0, 256, (96, 128, 3), np.uint8)

    def until(send: Callable[[], object], holds: Callable[[], object]) -> bool:
        rhythm = Rhythm(send)

        def step() -> object:
            rhythm()
            return holds()

        return graph.spin_until(step)

    def says(text: str) -> bool:
        return text in probe.status.get('policy_node', {}).get('message', '')

    assert until(lambda: probe.send_frame(age_ns=10**11), lambda: says('100.0'))
    assert until(
        probe.send_frame, lambda: says('camera front sends 32x24, the policy needs 128x96')
    )
    assert not node.active
    assert until(
        lambda: probe.send_frame(image=np.roll(large, probe.random.integers(999))),
        lambda: node.active,
    )


@pytest.mark.parametrize(
    'name, value', [('arm', 'panda'), ('policy', 'hold'), ('threads', 4), ('autostart', True)]
)
def test_parameters_stay_as_they_are_at_run_time(bench: Bench, name: str, value: object) -> None:
    before = bench.node.get_parameter(name).value
    (result,) = bench.node.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert f'{name}: read at start only' in result.reason
    assert bench.node.get_parameter(name).value == before


def test_a_flood_of_instructions_is_reported_and_the_newest_counts(bench: Bench) -> None:
    count = itertools.count()

    def flood() -> None:
        bench.probe.send_frame()
        for _ in range(10):
            bench.probe.instructions.publish(String(data=f'reach cube {next(count)}'))

    assert bench.until(
        lambda: 'more than 5 instructions' in bench.status().get('message', ''), flood
    )
    bench.say('reach the red cube')
    assert bench.until(lambda: bench.status()['level'] == '0', bench.probe.send_frame)
    bench.probe.chunks.clear()
    assert bench.until(lambda: bench.probe.chunks, bench.probe.send_frame)
    assert bench.policy.observations[-1].instruction == 'reach the red cube'


@pytest.mark.parametrize(
    ('name', 'value', 'says'),
    [
        ('polcy', 'x', "no parameter 'polcy'; it has: arm, autostart, device"),
        ('device', 'tpu', 'choose one of: auto, cpu, cuda'),
        ('threads', 0, 'threads is 0'),
        ('threads', 'many', "'threads' must be a int"),
        ('arm', 'nosuch', "unknown arm 'nosuch'; choose one of:"),
        ('instruction', 'x' * 600, '600 bytes'),
    ],
)
def test_a_bad_parameter_is_named(graph: Graph, name: str, value: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        PolicyNode(context=graph.context, parameter_overrides=[Parameter(name, value=value)])


def test_a_policy_that_wants_another_camera_is_not_configured(graph: Graph) -> None:
    node = PolicyNode(
        policy=ConstantPolicy(cameras=('ceiling',)),
        context=graph.context,
        parameter_overrides=[Parameter('autostart', value=True)],
    )
    graph.executor.add_node(node)
    with pytest.raises(VlaRosError, match=r"'ceiling'; choose one of: front, "):
        graph.spin_until(lambda: node.active)


def test_states_follow_the_lifecycle(graph: Graph) -> None:
    bench = Bench(graph, ConstantPolicy())
    for transition in ('deactivate', 'cleanup', 'configure'):
        result = getattr(bench.node, f'trigger_{transition}')()
        assert result.name == 'SUCCESS', transition
    bench.activate()
    assert State.PRIMARY_STATE_ACTIVE == 3
