"""How often the policy that is being trained does what it is told, in the simulator."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vla_ros.core.embodiment import Embodiment
from vla_ros.sim.tasks.language import sentence
from vla_ros.sim.world import World
from vla_ros.training.learners.learner import Learner
from vla_ros.training.speech import every_goal
from vla_ros.training.suites import PLAIN
from vla_ros.training.trial_plan import plan_trials
from vla_ros.training.trials import run_trials
from vla_ros.types import TASKS

SEED = 99_999
"""Of scenes that neither training nor an evaluation with a seed of its own has seen."""
WORKERS = 2


class Driving:
    """Drives the simulated arm with the weights of a moment.

    Args:
        learner: knows how to write the model.
        embodiment: the arm; only the simulated one can be driven.
        sentences: of the data; decide which tasks are tried. With none of ours there is nothing to
            try, and `rates` is empty.
        episodes: of each task.
    """

    def __init__(
        self, learner: Learner, embodiment: Embodiment, sentences: Sequence[str], episodes: int
    ) -> None:
        self._learner, self._embodiment, self._episodes = learner, embodiment, episodes
        asked = {sentence(goal): goal.task for goal in every_goal()}
        known = {asked[text] for text in sentences if text in asked}
        simulated = embodiment.name == 'sim'
        self.tasks = tuple(task for task in TASKS if task in known and simulated and episodes)

    @property
    def unknown(self) -> dict[str, float]:
        """Rates of a moment at which nobody drove."""
        return dict.fromkeys(map(_column, self.tasks), math.nan)

    def rates(self, model: Any) -> dict[str, float]:  # noqa: ANN401 - of the learner's kind
        """Return the share of trials that were met, of each task."""
        if not self.tasks:
            return {}
        world, met = World(self._embodiment), Counter[str]()
        trials = [
            trial
            for task in self.tasks
            for trial in plan_trials(world, task, self._episodes, SEED, 'train', PLAIN)
        ]
        with TemporaryDirectory(prefix='vla_ros_') as folder:
            self._learner.save(deepcopy(model), Path(folder), self._embodiment, {'draft': True})
            for result in run_trials(trials, folder, device='cpu', workers=WORKERS):
                met[result.trial.episode.goal.task] += result.success
        return {_column(task): met[task] / self._episodes for task in self.tasks}


def _column(task: str) -> str:
    return f'success_{task}'
