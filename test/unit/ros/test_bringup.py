"""One description of what is started, for ros2 launch and for vla-ros up."""

import inspect
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from vla_ros.commands import up
from vla_ros.errors import ConfigError
from vla_ros.ros.bringup import ARGUMENTS, environment, node_specs


def test_the_command_takes_the_arguments_of_the_launch_file():
    parameters = inspect.signature(up.main).parameters
    assert {a.name: a.default for a in ARGUMENTS} == {
        name: p.default for name, p in parameters.items()
    }


def test_three_nodes_and_only_two_on_a_real_arm():
    assert [s.name for s in node_specs({})] == ['sim_node', 'guard_node', 'policy_node']
    assert [s.name for s in node_specs({'sim': 'false'})] == ['guard_node', 'policy_node']
    assert [s.name for s in node_specs({'arm': 'panda'})] == ['guard_node', 'policy_node']


def test_arguments_reach_the_nodes():
    specs = {
        s.name: s
        for s in node_specs(
            {'seed': '5', 'task': 'put', 'instruction': 'go', 'output': 'velocity'}
        )
    }
    assert specs['sim_node'].parameters['seed'] == 5
    assert specs['sim_node'].parameters['task'] == 'put'
    assert specs['policy_node'].parameters['instruction'] == 'go'
    assert specs['guard_node'].parameters['output'] == 'velocity'
    assert all(path.is_file() for path in specs['guard_node'].parameter_files)


def test_a_real_arm_needs_nothing_else_and_moves_only_when_told_whose_policy():
    for arm in ('fr3', 'panda', 'gen3', 'xarm7', 'iiwa7', 'iiwa14'):
        guard, policy = node_specs({'arm': arm})
        assert (guard.parameters['arm'], policy.parameters['arm']) == (arm, arm)
        assert guard.parameters['output'] == ''  # the arm's own: trajectory
        assert policy.parameters['policy'] == 'hold'
    assert node_specs({})[2].parameters['policy'] == 'vla-reach'
    assert node_specs({'arm': 'fr3', 'policy': 'mine'})[1].parameters['policy'] == 'mine'


def test_a_button_that_is_named_is_required():
    assert not node_specs({})[1].parameters['estop_required']
    guard = node_specs({'estop_topic': '/estop'})[1].parameters
    assert (guard['estop_topic'], guard['estop_required']) == ('/estop', True)


@pytest.mark.parametrize(
    'arguments, message',
    [
        ({'speed': '9'}, "unknown argument 'speed'; known: arm"),
        ({'arm': 'r2d2'}, "unknown arm 'r2d2'"),
        ({'sim': 'maybe'}, 'true'),
        ({'task': 'juggle'}, "unknown task 'juggle'; choose one of: pick"),
        ({'arm': 'fr3', 'task': 'juggle'}, "unknown task 'juggle'"),  # no simulator: no less wrong
        ({'threads': 'two'}, 'not a whole number'),
    ],
)
def test_bad_arguments_name_the_good_ones(arguments, message):
    with pytest.raises(ConfigError, match=message):
        node_specs(arguments)


def test_what_the_user_has_set_stays():
    profile, older = 'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'
    assert set(environment({})) == {profile, 'ROS_AUTOMATIC_DISCOVERY_RANGE'}
    assert environment({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}).keys() == {profile}
    for variable in (profile, older):
        assert set(environment({variable: 'mine.xml'})) == {'ROS_AUTOMATIC_DISCOVERY_RANGE'}


def test_without_shared_memory_a_process_has_udp_alone():
    variable, reach = 'FASTDDS_DEFAULT_PROFILES_FILE', 'ROS_AUTOMATIC_DISCOVERY_RANGE'
    shared = environment({})[variable]
    for user in ({}, environment({})):  # a bringup sets it for all before a node is started
        own = environment(user, shared_memory=False)
        assert transports(own[variable]) == {'UDPv4'}
        assert '127.0.0.1' in Path(own[variable]).read_text()
        assert own[reach] == 'SYSTEM_DEFAULT'  # with LOCALHOST the rmw adds shared memory
        assert environment(user).get(variable, shared) == shared
    wide = environment({reach: 'SUBNET'}, shared_memory=False)
    assert transports(wide[variable]) == {'UDPv4'} and reach not in wide
    assert '127.0.0.1' not in Path(wide[variable]).read_text()
    assert variable not in environment({variable: 'mine.xml'}, shared_memory=False)


def test_the_guard_is_the_one_that_has_none():
    assert [s.name for s in node_specs({}) if not s.shared_memory] == ['guard_node']


def transports(profile: str) -> set[str | None]:
    return {e.text for e in ET.parse(profile).iter() if e.tag.endswith('}type')}


def test_the_profiles_differ_in_nothing_but_transports_and_peers():
    wide = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}
    said = []
    for own in (
        environment({}),
        environment({}, shared_memory=False),
        environment(wide, shared_memory=False),
    ):
        root = ET.parse(own['FASTDDS_DEFAULT_PROFILES_FILE']).getroot()
        profile = next(e for e in root.iter() if e.tag.endswith('}participant'))
        for parent in profile.iter():
            for child in list(parent):
                if child.tag.endswith(('}userTransports', '}initialPeersList')):
                    parent.remove(child)
        said.append([(e.tag, (e.text or '').strip()) for e in profile.iter()])
    assert said[0] == said[1] == said[2] and len(said[0]) > 10


def test_fast_dds_2_and_3_read_the_profile_from_variables_of_different_names():
    assert 'FASTRTPS_DEFAULT_PROFILES_FILE' in environment({'ROS_DISTRO': 'jazzy'})
    assert 'FASTDDS_DEFAULT_PROFILES_FILE' not in environment({'ROS_DISTRO': 'jazzy'})
    assert 'FASTDDS_DEFAULT_PROFILES_FILE' in environment({'ROS_DISTRO': 'kilted'})


def test_the_fast_dds_profile_has_room_for_camera_frames():
    profile = Path(environment({})['FASTDDS_DEFAULT_PROFILES_FILE'])
    text = {e.tag.rpartition('}')[2]: e.text for e in ET.parse(profile).iter()}
    assert int(text['segment_size']) >= 16 * 640 * 480 * 3
    assert int(text['maxMessageSize']) >= 640 * 480 * 3
    assert text['useBuiltinTransports'] == 'false'
    assert 'interfaceWhiteList' not in text  # the range of discovery is the user's to widen
