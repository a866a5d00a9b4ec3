"""The SROS2 policy: right by its schema, and nobody but the guard may command the arm."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from vla_ros.core.embodiment import available_arms, load_arm
from vla_ros.ros.sros2_policy import command_topics, generate, permissions, policy_xml

ARMS = sorted(available_arms())
CHILDREN = {
    'policy': ['enclaves'],
    'enclaves': ['enclave'],
    'enclave': ['profiles'],
    'profiles': ['profile'],
    'profile': ['topics', 'services', 'actions'],
    'topics': ['topic'],
    'services': ['service'],
    'actions': ['action'],
}
ATTRIBUTES = {
    'policy': {'version'},
    'enclave': {'path'},
    'profile': {'ns', 'node'},
    'topics': {'publish', 'subscribe'},
    'services': {'reply', 'request'},
    'actions': {'call', 'execute'},
}
OPTIONAL = {'topics', 'services', 'actions'}
NAME = re.compile(r'[~/][A-Za-z0-9_/]+')


def policy_of(arm: str, estop_topic: str = '') -> ElementTree.Element:
    return ElementTree.fromstring(policy_xml(permissions(load_arm(arm), estop_topic)))


def check(element: ElementTree.Element) -> None:
    """Hold an element against sros2's policy.xsd, version 0.2.0, written as the tables above."""
    known = ATTRIBUTES.get(element.tag, set())
    assert set(element.attrib) <= known
    if element.tag in OPTIONAL:
        assert element.attrib
        assert set(element.attrib.values()) <= {'ALLOW', 'DENY'}
    else:
        assert set(element.attrib) == known
    if element.tag not in CHILDREN:
        assert NAME.fullmatch(element.text or ''), element.text
        assert not len(element)
        return
    assert len(element), f'{element.tag} is empty'
    for child in element:
        assert child.tag in CHILDREN[element.tag]
        check(child)


@pytest.mark.parametrize('arm', ARMS)
def test_it_is_right_by_the_schema(arm: str) -> None:
    policy = policy_of(arm)
    assert policy.tag == 'policy'
    assert policy.get('version') == '0.2.0'
    check(policy)


@pytest.mark.parametrize('arm', ARMS)
def test_only_the_guard_publishes_what_controllers_listen_to(arm: str) -> None:
    topics = set(command_topics(load_arm(arm)))
    assert topics
    publishers = {topic: set() for topic in topics}
    for enclave in policy_of(arm).iter('enclave'):
        for rules in enclave.iter('topics'):
            said = {topic.text for topic in rules}
            assert not any('*' in str(topic) for topic in said)
            if rules.get('publish') == 'ALLOW':
                for topic in said & topics:
                    publishers[topic].add(enclave.get('path'))
    assert set(map(frozenset, publishers.values())) == {frozenset({'/vla_ros/guard_node'})}


@pytest.mark.parametrize('arm', ARMS)
def test_every_process_has_an_enclave_of_its_own(arm: str) -> None:
    paths = [enclave.get('path') for enclave in policy_of(arm).iter('enclave')]
    nodes = ['guard_node', 'policy_node', *(['sim_node'] if arm == 'sim' else []), 'operator']
    assert paths == [f'/vla_ros/{node}' for node in nodes]


def test_an_estop_topic_is_heard_by_the_guard_alone() -> None:
    allowed = permissions(load_arm('fr3'), '/estop')
    assert [n for n, may in allowed.items() if '/estop' in may.subscribes] == ['guard_node']
    assert '/vla/instruction' in allowed['guard_node'].publishes
    assert '/vla/instruction' not in permissions(load_arm('fr3'))['guard_node'].publishes


def test_it_is_written_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / 'policy.xml'
    generate('panda', output=file)
    generate('panda')
    assert capsys.readouterr().out == file.read_text()
    check(ElementTree.parse(file).getroot())
