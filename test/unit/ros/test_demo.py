"""What the demonstration understands, writes and shows."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from rich.console import Console

from vla_ros.commands.bench_latency import show
from vla_ros.commands.watch import bar, render
from vla_ros.ros.bench_latency import LatencyReport
from vla_ros.ros.demo import _judge, named_object
from vla_ros.ros.demo_figure import write_figure
from vla_ros.ros.demo_recording import Recording, Scene
from vla_ros.ros.demo_video import RATE_HZ, SIZE, write_video
from vla_ros.ros.operator import Snapshot
from vla_ros.ros.rollout_record import REACHED_M, Rollout, Settled, Update
from vla_ros.ros.session import Status

TABLE = ['red cube', 'green ball', 'blue cylinder', 'yellow cube']


def update(elapsed_s: float, distance_m: float, speed_m_s: float = 0.0) -> Update:
    return Update(
        elapsed_s=elapsed_s,
        distances_m={'red cube': distance_m, 'green ball': 0.4},
        tool_speed_m_s=speed_m_s,
        joint_speed_rad_s=0.1,
        limit_ratio=1.0,
        latency_ms=12.0,
        guard_state='moving',
        reason='',
        confidence=0.9,
        note='',
    )


def recording(scenes: int, frames: bool = True) -> Recording:
    made = Recording()
    for index in range(scenes):
        start_s = 2.0 * index
        times_s = np.arange(start_s, start_s + 2.0, 0.1)
        rollout = Rollout(f'reach the red cube, number {index}', start_s, start_s + 2.0)
        rollout.command_times_s = times_s.tolist()
        rollout.commands_rad_s = [np.sin(t + np.arange(7)) for t in times_s]
        rollout.updates = [update(2.0, 0.01)]
        made.scenes.append(Scene(rollout, 'red cube', index % 2 == 0, 'reached the red cube'))
        for time_s in times_s if frames else ():
            for camera in ('front', 'wrist'):
                made.add_frame(camera, time_s, np.full((48, 64, 3), 40 * index, np.uint8))
    return made


@pytest.mark.parametrize(
    ('instruction', 'name'),
    [
        ('reach the red cube', 'red cube'),
        ('Touch the BLUE tube!', 'blue cylinder'),
        ('go to the sphere that is green', 'green ball'),
        ('bring me the purple banana', None),
        ('the red ball', None),
        ('cube', None),
        ('from the red cube to the yellow cube', None),
        ('', None),
    ],
)
def test_the_object_is_found_only_where_exactly_one_is_named(
    instruction: str, name: str | None
) -> None:
    assert named_object(instruction, TABLE) == name


def test_settled_means_near_and_at_rest_for_half_a_second() -> None:
    settled = Settled('red cube')
    assert not settled(update(0.0, 0.01))
    assert not settled(update(0.4, 0.01))
    assert not settled(update(0.5, 0.01, speed_m_s=0.1))
    assert not settled(update(0.6, 0.01))
    assert not settled(update(1.0, REACHED_M + 0.001))
    assert not settled(update(1.1, 0.01))
    assert settled(update(1.7, 0.01))
    assert not Settled('purple banana')(update(9.0, 0.0))


def test_frames_come_back_as_they_were_seen_last() -> None:
    made = Recording()
    assert made.frame('front', 0.0) is None
    for time_s, grey in ((1.0, 50), (2.0, 150)):
        made.add_frame('front', time_s, np.full((8, 8, 3), grey, np.uint8))
    for time_s, grey in ((0.0, 50), (1.9, 50), (2.0, 150), (9.0, 150)):
        image = made.frame('front', time_s)
        assert image is not None
        assert image.mean() == pytest.approx(grey, abs=3)


@pytest.mark.parametrize('scenes', [1, 3])
@pytest.mark.parametrize('frames', [True, False])
def test_film_and_figure_are_written(tmp_path: Path, scenes: int, frames: bool) -> None:
    made = recording(scenes, frames)
    write_video(made, tmp_path / 'demo.mp4')
    write_figure(made, tmp_path / 'demo.png')
    with av.open(str(tmp_path / 'demo.mp4')) as container:
        stream = container.streams.video[0]
        pictures = list(container.decode(stream))
        assert stream.codec_context.name == 'h264'
        assert stream.average_rate == RATE_HZ
    assert (pictures[0].width, pictures[0].height) == SIZE
    assert len(pictures) == pytest.approx(scenes * 3.0 * RATE_HZ, abs=scenes)
    image = cv2.imread(str(tmp_path / 'demo.png'))
    assert image is not None
    assert image.std() > 5


def text_of(shown: object) -> str:
    console = Console(width=100, record=True, file=open('/dev/null', 'w'))  # noqa: SIM115
    console.print(shown)
    return console.export_text()


def test_watch_shows_a_whole_graph() -> None:
    guard = {
        'state': 'stop',
        'reason': 'chunk too old',
        'limit_ratio': '0.83',
        'tick_p50_ms': '0.1',
    }
    policy = {'instruction': 'reach the red cube', 'confidence': '0.97', 'frames': '12'}
    status = {
        'guard_node': Status(2, 'stopped', guard, 0.0),
        'policy_node': Status(0, 'following the instruction', policy, 0.0),
        'sim_node': Status(0, '', {'real_time_factor': '1.000', 'seed': '5'}, 0.0),
    }
    text = text_of(render(Snapshot(status, {'joint1': -1.0}, {'joint1': 2.0, 'joint2': 2.0})))
    for part in ('STOP', 'chunk too old', '0.83', 'reach the red cube', '0.97', '-1.000 rad/s'):
        assert part in text
    assert 'joint2' in text
    assert 'not heard' in text


def test_watch_shows_who_is_silent() -> None:
    text = text_of(render(Snapshot({})))
    assert text.count('says nothing') == 2
    assert 'no simulation' in text


@pytest.mark.parametrize(('fraction', 'left', 'right'), [(-1, 15, 0), (0, 0, 0), (0.5, 0, 8)])
def test_a_bar_grows_from_the_middle(fraction: float, left: int, right: int) -> None:
    halves = bar(fraction).plain.split('│')
    assert [half.count('█') for half in halves] == [left, right]
    assert bar(99.0).plain.count('█') == 15


def test_latencies_are_shown_beside_their_goals() -> None:
    rows = {
        'camera → command': (20.0, 25.0, 40.0),
        'all but the forward pass': (9.0, 20.0, 31.0),
        'tick of the guard': (0.1, 0.2, math.nan),
    }
    report = LatencyReport(rows, 300, 299, 298, 1.0, 640, 480, 20.0)
    console = Console(width=120, record=True, file=open('/dev/null', 'w'))  # noqa: SIM115
    show(report, console)
    text = console.export_text()
    assert 'p50 ≤ 10, p99 ≤ 30' in text
    assert '1 lost' in text
    assert '–' in text


def test_a_sentence_with_signs_of_mathematics_is_drawn_as_it_is(tmp_path: Path) -> None:
    made = recording(1)
    scene = made.scenes[0]
    text = r'reach the $\frac$ cube'
    rollout = replace(scene.rollout, instruction=text)
    made.scenes[0] = replace(scene, rollout=rollout, outcome=text)
    write_figure(made, tmp_path / 'demo.png')
    assert (tmp_path / 'demo.png').stat().st_size > 10_000


def test_only_a_named_object_can_be_reached() -> None:
    rollout = recording(1).scenes[0].rollout
    rollout.distances_m.update({'red cube': 0.01, 'green ball': 0.4})
    assert _judge(rollout, 'red cube')[0]
    success, outcome = _judge(rollout, None)
    assert not success
    assert 'names no object on the table' in outcome
