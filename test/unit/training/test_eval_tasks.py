"""Trials of all tasks: planned once, perturbed, compared in pairs, reported in one file."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from math import comb

import numpy as np
import pytest
from PIL import Image

from vla_ros.cli import main
from vla_ros.core.embodiment import load_arm
from vla_ros.data.reader import open_dataset
from vla_ros.errors import ConfigError
from vla_ros.sim.grammar import shipped_phrasings
from vla_ros.sim.tasks.env import TaskEnv
from vla_ros.sim.tasks.episodes import TaskEpisode
from vla_ros.sim.tasks.goal import Goal
from vla_ros.sim.tasks.language import held_out_pairs, shipped_templates
from vla_ros.sim.tasks.perturb import add_distractors, change_light, move_cameras, unchanged
from vla_ros.sim.world import World
from vla_ros.training.chunks import REST, action_at
from vla_ros.training.figures import compare, mcnemar_exact, task_report
from vla_ros.training.html_report import Film, write_report
from vla_ros.training.suites import PLAIN, SUITES, chosen_suites
from vla_ros.training.trial_plan import plan_trials
from vla_ros.training.trials import TICK_S, PolicyBrain, Trial, TrialResult, run_trial
from vla_ros.types import ActionChunk

EPISODE = TaskEpisode(1_000_000, Goal('pick', 'red cube'), 'pick up the red cube')


@pytest.fixture(scope='module')
def world():
    made = World(load_arm('sim'))
    yield made
    made.close()


def result(seed, success, suite=PLAIN):
    trial = Trial(suite, replace(EPISODE, seed=seed), EPISODE.goal)
    return TrialResult(
        trial=trial, success=success, followed=success, wrong_object=not success, error_m=0.01,
        time_s=2.0, interventions=3, acceleration_rad_s2=0.5,
    )  # fmt: skip


def test_suites_meet_the_same_scenes_and_say_what_they_should(world):
    plain = plan_trials(world, 'push', 6, 3, 'train', PLAIN)
    late = plan_trials(world, 'push', 6, 3, 'train', SUITES['latency_150'])
    assert [t.episode for t in plain] == [t.episode for t in late]
    first = shipped_phrasings().held_out_first_seed
    assert all(t.episode.seed >= first and t.said == t.episode.goal for t in plain)
    swapped = plan_trials(world, 'push', 6, 3, 'train', SUITES['swapped_instruction'])
    for one, other in zip(plain, swapped, strict=True):
        assert other.episode.goal == one.episode.goal and other.episode.seed == one.episode.seed
        assert other.said != one.episode.goal and other.said.object in other.episode.instruction
    swapped = plan_trials(world, 'push', 40, 0, 'train', SUITES['swapped_instruction'])
    assert len(swapped) == 39  # there is one scene in which nothing else can be pushed
    absent = plan_trials(world, 'push', 6, 3, 'train', SUITES['absent_object'])
    for one, other in zip(plain, absent, strict=True):
        world.reset(one.episode.seed, 'push')
        assert other.said.object not in {o.name for o in world.objects}
        words = one.episode.instruction.replace(one.episode.goal.object, other.said.object)
        assert other.episode.instruction == words and other.episode.goal == one.episode.goal
    held = plan_trials(world, 'pick', 6, 3, 'train', SUITES['held_out_phrasings'])
    names = {t.episode.goal.object for t in held}
    templates = shipped_templates()['pick'].held_out
    said = {template.replace('{object}', name) for template in templates for name in names}
    assert all(t.episode.instruction in said for t in held)
    pairs = plan_trials(world, 'pick', 4, 3, 'train', SUITES['held_out_pairs'])
    assert {t.episode.goal.object for t in pairs} <= set(held_out_pairs())


def test_phrasings_of_a_file_must_say_all_that_is_needed(world, tmp_path):
    path = tmp_path / 'mine.txt'
    path.write_text('dear robot, {object} {direction}\nup with the {object}\n')
    push = plan_trials(world, 'push', 3, 0, str(path), PLAIN)
    assert all(t.episode.instruction.startswith('dear robot, ') for t in push)
    with pytest.raises(ConfigError, match=r'\{container\}|\{other\}'):
        plan_trials(world, 'put', 3, 0, str(path), PLAIN)
    with pytest.raises(ConfigError, match='neither a file'):
        plan_trials(world, 'push', 3, 0, 'nowhere.txt', PLAIN)


def test_perturbations_change_the_scene_and_leave_nothing_behind(world):
    world.reset(5, 'pick')
    before, rng = world.render('front'), np.random.default_rng(0)
    for change in (
        lambda: add_distractors(world, 3, rng),
        lambda: move_cameras(world, 0.01, 0.02, rng),
        lambda: change_light(world, 0.4, rng),
    ):
        with unchanged(world):
            world.reset(5, 'pick')
            change()
            assert np.abs(world.render('front').astype(int) - before).mean() > 0.3
        world.reset(5, 'pick')
        assert np.array_equal(world.render('front'), before)


def test_distractors_stand_clear_of_what_is_there(world):
    world.reset(7, 'pick')
    with unchanged(world):
        there = [o.position_m[:2] for o in (*world.objects, *world.containers)]
        added = add_distractors(world, 3, np.random.default_rng(0))
        world.step(0.5)
        places = [world.object_position_m(name) for name in added]
    assert len(set(added)) == 3 and not {o.name for o in world.objects} & set(added)
    for place in places:
        assert 0.0 < place[2] < 0.05
        assert min(np.linalg.norm(place[:2] - other) for other in there) > 0.12


def test_rows_of_a_chunk_hold_from_its_stamp_on():
    velocities = np.arange(14.0).reshape(2, 7)
    chunk = ActionChunk(velocities, 0.1, stamp_ns=1_000_000_000)
    assert np.array_equal(action_at(chunk, 1.05)[:7], velocities[0])
    assert np.array_equal(action_at(chunk, 1.1)[:7], velocities[1])
    for rest in (action_at(chunk, 1.2), action_at(chunk, 0.9), action_at(None, 1.0)):
        np.testing.assert_array_equal(rest, REST)  # at rest, the gripper as it is
    gripper = replace(chunk, gripper_openings_m=np.array([0.08, 0.0]))
    assert action_at(gripper, 1.15)[7] == 0.0


def test_mcnemar_is_the_binomial_test_on_what_differs():
    assert mcnemar_exact(0, 0) == 1.0 and mcnemar_exact(5, 5) == 1.0
    assert mcnemar_exact(10, 0) == mcnemar_exact(0, 10) == pytest.approx(2 / 2**10)
    expected = 2 * sum(comb(11, k) for k in range(3)) / 2**11
    assert mcnemar_exact(2, 9) == pytest.approx(expected)


def test_policies_are_compared_trial_by_trial():
    mine = [result(seed, seed < 8) for seed in range(10)]
    theirs = [result(seed, seed > 6) for seed in range(10)]
    found = compare(mine, theirs, 'other')
    assert (found.better, found.worse) == (7, 2) and found.rate == 0.8
    with pytest.raises(ConfigError, match='same trials'):
        compare(mine, theirs[:9], 'other')


def test_interventions_are_a_second_and_acceleration_is_a_trial():
    results = [
        replace(result(k, k > 0), time_s=time_s, interventions=count, acceleration_rad_s2=rough)
        for k, (time_s, count, rough) in enumerate(((8.0, 30, 1.5), (1.0, 0, 0.25), (3.0, 6, 0.5)))
    ]
    report = task_report(results, policy='mine', seed=0, phrasings='train')
    assert report.interventions_per_s == 36 / 12  # not the mean of each trial's own
    assert report.acceleration_rad_s2 == 0.75
    assert report.median_time_s == 2.0  # of the two that were met
    assert (report.episodes, report.successes) == (3, 2)
    unknown = [replace(r, error_m=np.nan) for r in results]  # as through ROS
    assert task_report(unknown, policy='a', seed=0, phrasings='train').median_error_m is None
    unknown[1] = results[1]
    assert task_report(unknown, policy='a', seed=0, phrasings='train').median_error_m == 0.01


def test_the_report_is_one_file_that_needs_no_other(tmp_path):
    results = [result(seed, seed > 0) for seed in range(4)]
    report = task_report(results, policy='<mine>', seed=0, phrasings='train')
    assert report.median_time_s == 2.0 and report.wrong_object_rate == 0.25
    frames = [np.full((48, 65, 3), 20 * k, np.uint8) for k in range(8)]
    path = tmp_path / 'report.html'
    write_report(path, 'vla-ros eval', [report], [], [Film(results[0], frames)])
    text = path.read_text()
    assert '&lt;mine&gt;' in text and '<mine>' not in text and '3 of 4' in text
    assert text.count('data:video/mp4;base64,AAAA') == 1 and 'data:image/jpeg' in text
    assert 'http' not in text.replace('base64', '').split('<table', 1)[0]


def test_the_expert_does_what_is_said_and_no_more(tmp_path):
    path = tmp_path / 'figures.json'
    line = 'eval --task pick --policy expert --episodes 2 --workers 1 --suite plain '
    line += 'latency_150 swapped_instruction --against hold --json'
    assert main([*line.split(), str(path)]) == 0
    plain, late, swapped = json.loads(path.read_text())
    assert plain['successes'] == late['successes'] == 2
    assert swapped['successes'] == 0 and swapped['followed_rate'] == 1.0
    assert plain['comparison']['worse'] == 0 and plain['comparison']['rate_against'] == 0.0


def test_who_is_told_of_what_is_not_there_should_stay(tmp_path):
    path = tmp_path / 'figures.json'
    line = 'eval --policy vla-reach --episodes 6 --workers 1 --suite absent_object --against '
    line += f'expert --report {tmp_path / "report.html"} --json {path}'
    assert main(line.split()) == 0
    found = json.loads(path.read_text())
    assert found['successes'] == 6 and found['median_error_m'] is None
    assert found['comparison']['rate_against'] == 1.0
    assert 'nan' not in re.sub('base64,[^"]*', '', (tmp_path / 'report.html').read_text())
    world = World(load_arm('sim'))
    (trial,) = plan_trials(world, 'reach', 1, 0, 'train', SUITES['absent_object'])
    there = f'reach the {trial.episode.goal.object}'  # as if it had taken one for the other
    trial = replace(trial, episode=replace(trial.episode, instruction=there))
    env, brain = TaskEnv(world, 'reach', step_s=TICK_S), PolicyBrain('vla-reach', world, 'cpu')
    moved = run_trial(env, brain, trial, None)
    world.close()
    assert not moved.success and moved.wrong_object


def test_the_report_of_the_command_stands_alone_and_films_what_failed(tmp_path):
    path = tmp_path / 'report.html'
    line = 'eval --task pick --policy expert --episodes 2 --workers 1 --against hold '
    line += f'--suite plain swapped_instruction --report {path}'
    assert main(line.split()) == 0
    text = path.read_text()
    links = re.findall(r'\b(?:src|href|srcset|action|data)\s*=\s*["\']?([^"\'>]*)', text)
    assert len(links) == 1 + 2 * 2 and all(link.startswith('data:') for link in links)
    assert not re.search(r'url\(|@import|<script|<link|<iframe', text)
    plot = re.search(r'<img alt="Success rates[^"]*" src="data:image/png;base64,([^"]+)"', text)
    with Image.open(io.BytesIO(base64.b64decode(plot[1]))) as image:
        assert image.width > 500 and len(image.convert('RGB').getcolors(2**20)) > 10
    table, compared = (part.split('</table>')[0] for part in text.split('<table>')[1:])
    assert '<td>plain</td>' in table and '<td>swapped_instruction</td>' in table
    assert '<td>2 of 2</td>' in table and '<td>0 of 2</td>' in table
    assert 'On the same trials' in text and compared.count('<td>hold</td>') == 2
    rows = [re.findall('<td>(.*?)</td>', row) for row in compared.split('<tr>')[2:]]
    assert rows[0][:7] == ['pick', 'plain', 'hold', '100.0%', '0.0%', '2', '0']
    assert rows[1][:7] == ['pick', 'swapped_instruction', 'hold', '0.0%', '0.0%', '0', '0']
    films = re.findall('<figcaption>(.*?)</figcaption>', text)
    ends = sorted((said.split(',')[0], ': not met' in said) for said in films)
    assert ends == [('plain', False), ('swapped_instruction', True)]  # as both should be


@pytest.mark.parametrize(
    ('line', 'words'),
    [
        ('--task push --suite plian', 'plain'),
        ('--task push --suite plain plain', 'twice'),
        ('--task put --through ros --suite plain', 'the plain trials alone'),
        ('--task pick --report /nowhere/a.html', 'no such folder'),
        ('--task pick --policy nobody', 'neither a folder'),
    ],
)
def test_mistakes_end_in_one_line(line, words, capsys):
    assert main(['eval', *line.split(), '--episodes', '1']) == 2
    assert words in capsys.readouterr().err


def test_all_suites_can_be_chosen():
    assert len(chosen_suites(('all',))) == len(SUITES) == 16
    assert chosen_suites(()) == (PLAIN,)


def test_pairs_that_are_held_out_can_be_left_out_of_a_recording(tmp_path):
    folder = tmp_path / 'rest'
    line = (
        f'collect --tasks reach,pick --episodes 2 --workers 1 --hold-out-pairs --output {folder}'
    )
    assert main(line.split()) == 0
    asked = open_dataset(folder).tasks
    assert asked and not [text for text in asked for pair in held_out_pairs() if pair in text]
