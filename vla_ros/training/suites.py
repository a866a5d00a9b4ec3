"""What an evaluation makes harder: perturbations that training did not show."""

from __future__ import annotations

from dataclasses import dataclass

from vla_ros.errors import ConfigError, choose


@dataclass(frozen=True)
class Suite:
    """One perturbation; the defaults change nothing.

    Attributes:
        name: on the command line.
        meaning: for the report.
        held_out_phrasings: sentences that training never said.
        held_out_pairs: only objects whose colour and shape `collect` can leave out of training.
        swapped: another goal is said than the one that is judged: success must go down, or the
            policy does not listen.
        absent: an object is named that is not on the table: success is an arm that stays.
        distractors: further objects on the table.
        camera_m: each camera is shifted so far.
        camera_rad: and turned so far.
        light: each light is brighter or darker by up to this share.
        noise: standard deviation of what is added to each pixel, of 255.
        dropped: share of images that do not come; the one before is seen again.
        joint_delay_s: joint positions and opening are so old.
        latency_s: a chunk arrives so long after its observation; the one before goes on till then.
    """

    name: str
    meaning: str
    held_out_phrasings: bool = False
    held_out_pairs: bool = False
    swapped: bool = False
    absent: bool = False
    distractors: int = 0
    camera_m: float = 0.0
    camera_rad: float = 0.0
    light: float = 0.0
    noise: float = 0.0
    dropped: float = 0.0
    joint_delay_s: float = 0.0
    latency_s: float = 0.0


PLAIN = Suite('plain', 'nothing is changed')
_ALL = (
    PLAIN,
    Suite('held_out_phrasings', 'sentences that training never said', held_out_phrasings=True),
    Suite('held_out_pairs', 'colours and shapes that can be left out', held_out_pairs=True),
    Suite('distractors', 'three more objects on the table', distractors=3),
    Suite('camera_moved', 'cameras 1 cm and 1 degree off', camera_m=0.01, camera_rad=0.0175),
    Suite('light_changed', 'lights up to 40 % brighter or darker', light=0.4),
    Suite('image_noise', 'noise of 12 of 255 on each pixel', noise=12.0),
    Suite('joint_delay', 'joint states 100 ms old', joint_delay_s=0.1),
    *(
        Suite(f'latency_{ms}', f'chunks arrive {ms} ms late', latency_s=ms / 1000)
        for ms in (50, 100, 150, 200, 300)
    ),
    Suite('dropped_frames', 'three of ten images do not come', dropped=0.3),
    Suite('swapped_instruction', 'another goal is said than is judged', swapped=True),
    Suite('absent_object', 'what is named is not there: the arm has to stay', absent=True),
)
SUITES = {suite.name: suite for suite in _ALL}


def chosen_suites(names: tuple[str, ...]) -> tuple[Suite, ...]:
    """Return suites by name; 'all' means every one, nothing means that nothing is changed.

    Raises:
        ConfigError: an unknown or a repeated name.
    """
    if names == ('all',):
        return _ALL
    if len(set(names)) < len(names):
        raise ConfigError(f'a suite is named twice: {" ".join(names)}')
    return tuple(SUITES[choose('suite', name, [*SUITES, 'all'])] for name in names) or (PLAIN,)
