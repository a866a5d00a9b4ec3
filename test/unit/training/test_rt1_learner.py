"""RT-1 learns what it is shown, and only that."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from vla_ros.core.embodiment import load_arm
from vla_ros.errors import ConfigError, ObservationError
from vla_ros.policies.registry import load_policy
from vla_ros.policies.rt1.config import Rt1Config
from vla_ros.policies.rt1.policy import Rt1Policy
from vla_ros.sim.tasks.env import TaskEnv
from vla_ros.sim.world import World
from vla_ros.training.learners.rt1 import Ranges, Rt1Learner
from vla_ros.training.suites import PLAIN
from vla_ros.training.trial_plan import plan_trials
from vla_ros.training.trials import TICK_S, PolicyBrain, run_trial
from vla_ros.types import Observation

ARM = load_arm('sim')
TINY = {
    'image_width': 64, 'image_height': 48, 'image_width_factor': 0.25, 'image_stages': 4,
    'frames': 3, 'image_tokens': 2, 'width': 32, 'heads': 2, 'head_width': 16, 'layers': 2,
    'token_hidden': 16, 'sentence_width': 16, 'vocabulary': ('blue', 'cube', 'reach', 'red'),
    'gripper': True, 'state_size': 11,
}  # fmt: skip
RANGES = Ranges(
    np.zeros(11),
    np.ones(11),
    np.array([-1.0] * 7 + [0.0]),
    np.array([0.5] * 7 + [0.08]),
    np.zeros(8),
    np.ones(8),
)


@dataclass(frozen=True)
class Batch:
    """The fields of a batch that RT-1 reads."""

    images_BTVHWC: torch.Tensor
    instructions: list[str]
    state_BTP: torch.Tensor
    actions_BKA: torch.Tensor
    valid_BK: torch.Tensor
    grounded_B: torch.Tensor
    pixels_BV22: torch.Tensor


def batch(steps=1):
    """Four images with an own action each; the last names nothing in view."""
    generator = torch.Generator().manual_seed(0)
    rand = lambda *size: torch.rand(*size, generator=generator)  # noqa: E731
    actions = torch.cat([2 * rand(4, steps, 7) - 1, 0.08 * rand(4, steps, 1)], dim=-1)
    return Batch(
        (255 * rand(4, 3, 1, 48, 64, 3)).byte(),
        ['reach the red cube', 'the blue cube', 'red', 'the moon'],
        rand(4, 3, 11),
        actions,
        torch.ones(4, steps, dtype=torch.bool),
        torch.tensor([True, True, True, False]),
        0.1 + 0.8 * rand(4, 1, 2, 2),
    )


def learner_and_model(through_history=False, **changes):
    torch.manual_seed(0)
    learner = Rt1Learner(Rt1Config(**{**TINY, **changes}), through_history=through_history)
    return learner, learner.build(RANGES)


def test_one_batch_overfits_and_serves(tmp_path):
    learner, model = learner_and_model(through_history=True, chunk_steps=2, frames=2)
    one = batch(steps=2)
    one = replace(one, images_BTVHWC=one.images_BTVHWC[:, :2], state_BTP=one.state_BTP[:, :2])
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    history = []
    for _ in range(120):
        terms = learner.losses(model.train(), one)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        history.append({name: float(term.detach()) for name, term in terms.items()})
    assert history[0]['action'] == pytest.approx(np.log(256), rel=0.2)  # no idea at first
    assert history[-1]['action'] < 0.1 and history[-1]['mode'] < 0.05
    assert history[-1]['look'] < 0.75 * history[0]['look']
    found = learner.errors(model, one)
    assert found['action_rad_s'] < 2 / 255 and found['mode_wrong'] == 0.0
    learner.save(model, tmp_path, ARM, {'seed': 0})
    image = one.images_BTVHWC[0, -1, 0].numpy()
    policy = load_policy(str(tmp_path), ARM, 'cpu')
    chunk = policy.infer(
        Observation({'front': image}, ARM.home_rad, 'reach the red cube', gripper_opening_m=0.04)
    )
    assert chunk.velocities_rad_s.shape == (4, 7)


def test_actions_that_do_not_count_teach_nothing():
    learner, model = learner_and_model()
    one = batch()
    plain = learner.losses(model.eval(), one)
    garbage = one.actions_BKA.clone()
    garbage[3] = float('nan')  # not grounded
    garbage[2] = 99.0
    valid = torch.tensor([[True], [True], [False], [True]])
    changed = learner.losses(model, replace(one, actions_BKA=garbage, valid_BK=valid))
    assert torch.isfinite(changed['action']) and changed['action'] != plain['action']
    first = replace(one, actions_BKA=garbage.nan_to_num(7.0), valid_BK=valid)
    assert torch.equal(learner.losses(model, first)['action'], changed['action'])
    nothing = replace(one, grounded_B=torch.zeros(4, dtype=torch.bool))
    terms = learner.losses(model, nothing)
    assert terms['action'] == terms['look'] == 0.0


def test_unknown_places_are_left_out():
    learner, model = learner_and_model()
    one = batch()
    pixels = one.pixels_BV22.clone()
    pixels[:, :, 1] = float('nan')
    half = learner.losses(model.eval(), replace(one, pixels_BV22=pixels))
    assert torch.isfinite(half['look'])
    pixels[:] = float('nan')
    assert learner.losses(model, replace(one, pixels_BV22=pixels))['look'] == 0.0


def test_earlier_frames_matter_and_the_gradient_reaches_them_if_asked():
    one = batch()
    for through_history in (False, True):
        learner, model = learner_and_model(through_history, layers=1)
        model.eval()
        earlier = one.images_BTVHWC.clone()
        earlier[:, 0] = 255 - earlier[:, 0]
        changed = replace(one, images_BTVHWC=earlier)
        before, after = (learner.predict(model, b)[0].actions_BTKAX for b in (one, changed))
        assert not torch.allclose(before[:, -1], after[:, -1], atol=1e-5)
        sum(learner.losses(model, one).values()).backward()
        assert all(p.grad is not None for p in model.parameters())
    gradients = []
    for through_history in (False, True):
        learner, model = learner_and_model(through_history)
        learner.losses(model.eval(), one)['action'].backward()
        gradients.append(model.vision.stem[1].weight.grad)
    assert not torch.allclose(*gradients)


def test_rest_is_the_middle_of_a_bin():
    _, model = learner_and_model()
    assert model.bins.low_A.tolist() == pytest.approx([-1.0] * 7 + [0.0])
    assert model.bins.high_A.tolist() == pytest.approx([1.0] * 7 + [0.08])
    assert not model.bins.decode(model.bins.encode(torch.zeros(8)))[:7].any()


def test_data_of_another_size_is_refused():
    with pytest.raises(ConfigError, match=r'states of 11.*state_size is 10'):
        Rt1Learner(Rt1Config(**{**TINY, 'state_size': 10})).build(RANGES)
    narrow = replace(RANGES, action_min=-np.ones(7), action_max=np.ones(7))
    with pytest.raises(ConfigError, match=r'actions of 7.*gripper true means actions of 8'):
        Rt1Learner(Rt1Config(**TINY)).build(narrow)


def test_tasks_are_the_sentences_of_the_data():
    tasks = tuple(batch().instructions)
    learner = Rt1Learner(Rt1Config(**TINY, language='task_id', tasks=tasks))
    model = learner.build(RANGES)
    assert learner.losses(model, batch())['action'] > 0
    with pytest.raises(ObservationError, match="no task 'sing'"):
        learner.losses(model, replace(batch(), instructions=['red', 'sing', 'red', 'red']))


@pytest.mark.parametrize('steps', [1, 3])
def test_an_evaluation_asks_as_often_as_frames_are_apart(steps, tmp_path, monkeypatch):
    learner, model = learner_and_model(chunk_steps=steps)
    learner.save(model, tmp_path, ARM, {'seed': 0})
    world, asked_s = World(ARM, camera_sizes={'front': (64, 48)}), []
    infer = Rt1Policy.infer

    def noted(policy, observation):
        asked_s.append(observation.stamp_ns / 1e9)
        return infer(policy, observation)

    monkeypatch.setattr(Rt1Policy, 'infer', noted)
    (trial,) = plan_trials(world, 'reach', 1, 0, 'train', PLAIN)
    env, brain = TaskEnv(world, 'reach', step_s=TICK_S), PolicyBrain(str(tmp_path), world, 'cpu')
    run_trial(env, brain, trial, None)
    world.close()
    assert asked_s[0] == 0.0 and np.diff(asked_s) == pytest.approx(0.1 * steps)
