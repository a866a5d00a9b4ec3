"""What an RT-1 model is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_ros.errors import ConfigError
from vla_ros.policies.preprocessing import PROPRIOCEPTION_SIZE
from vla_ros.policies.rt1.efficientnet import STAGES, Scale, map_size
from vla_ros.types import ARM_JOINTS

SMALL, TASK_ID = 'small', 'task_id'
GRIPPER = 1
MAX_LAYERS, MAX_STEP_S = 128, 10.0
_MOST = {
    'image_width': 4096,
    'image_height': 4096,
    'image_stages': len(STAGES),
    'image_expand': 64,
    'frames': 64,
    'image_tokens': 1024,
    'token_hidden': 65536,
    'width': 65536,
    'heads': 1024,
    'head_width': 65536,
    'layers': MAX_LAYERS,
    'bins': 65536,
    'chunk_steps': 1000,
    'sentence_width': 65536,
    'unknown_words': 1 << 20,
    'language_tokens': 65536,
    'language_layers': MAX_LAYERS,
}
"""Beyond these nobody means it: a file that says so is damaged, or wants to eat the memory."""


@dataclass(frozen=True)
class Rt1Config:
    """Architecture of an RT-1 model; the defaults train on two processor cores.

    Attributes:
        vision: 'small' trains the image encoder from scratch; or the name or folder of an
            EfficientNet of `transformers` to begin with, such as 'google/efficientnet-b3'.
        image_width_factor: width of EfficientNet relative to B0; B3 is 1.2.
        image_depth_factor: its depth; B3 is 1.4.
        image_stages: how many of its seven stages; five keep a map at stride 16.
        image_expand: how many times a block of it widens its channels; 6 in EfficientNet.
        image_drop: stochastic depth of its last block.
        coordinates: show each place of the map where it lies in the image, so that a token's
            weighted sum holds the point that it looks at. Not in the paper, which has 300 pixels.
        language: 'small', a word encoder trained with the rest; 'task_id', an embedding of each of
            `tasks`; or the name or folder of a sentence encoder of `transformers`, mean-pooled and
            frozen, such as 'sentence-transformers/all-MiniLM-L6-v2'.
        language_config: its configuration, so that a checkpoint can be built without its weights.
        tasks: the sentences that `task_id` knows.
        sentence_width: what FiLM is given.
        frames: observations that an action is read from, `step_s` apart.
        image_tokens: of a camera's image, made by TokenLearner.
        state_token: give each frame one token of joint positions and tool position. Not in the
            paper, whose actions are relative to the tool's pose.
        state_size: P, how many numbers that token is made of.
        width: of tokens; also of the feed-forward layers.
        bins: of a dimension of the action.
        gripper: whether the action ends with the opening wanted.
        chunk_steps: actions predicted at once; 1 in the paper.
        hold_steps: for how many steps more the last action is held, until the next answer comes.
            An action is for the instant of its image, which is old by the latency of camera and
            inference when it arrives; a chunk of one step would be over before the next is there.
        vocabulary: words of the small language encoder.
        unknown_words: embeddings that words without a known stem share by their hash.
    """

    vision: str = SMALL
    image_width_factor: float = 0.5
    image_depth_factor: float = 0.5
    image_stages: int = 5
    image_expand: int = 3
    image_drop: float = 0.0
    coordinates: bool = True
    language: str = SMALL
    language_config: Mapping[str, Any] | None = None
    tasks: tuple[str, ...] = ()
    sentence_width: int = 64
    cameras: tuple[str, ...] = ('front',)
    image_width: int = 128
    image_height: int = 96
    frames: int = 6
    image_tokens: int = 8
    token_hidden: int = 64
    state_token: bool = True
    state_size: int = PROPRIOCEPTION_SIZE
    width: int = 128
    heads: int = 4
    head_width: int = 32
    layers: int = 3
    dropout: float = 0.0
    bins: int = 256
    gripper: bool = False
    chunk_steps: int = 1
    hold_steps: int = 2
    step_s: float = 0.1
    vocabulary: tuple[str, ...] = ()
    unknown_words: int = 32
    language_tokens: int = 24
    language_layers: int = 2

    @property
    def action_size(self) -> int:
        """A: joint velocities, and the gripper's opening where there is one."""
        return ARM_JOINTS + (GRIPPER if self.gripper else 0)

    @property
    def image_scale(self) -> Scale:
        """How the image encoder differs from EfficientNet-B0."""
        factors = self.image_width_factor, self.image_depth_factor
        return Scale(*factors, self.image_stages, self.image_expand)

    @property
    def map_rows_columns(self) -> tuple[int, int]:
        """Rows and columns of the places that TokenLearner chooses from."""
        sides = self.image_height, self.image_width
        rows, columns = (map_size(side, self.image_stages) for side in sides)
        return rows, columns

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f'{name}: {getattr(self, name)} is not within 1 and {most}')
        for name in ('image_width_factor', 'image_depth_factor'):
            if not 0 < getattr(self, name) <= 8:
                raise ConfigError(f'{name}: {getattr(self, name)} is not within 0 and 8')
        for name in ('dropout', 'image_drop'):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f'{name}: {getattr(self, name)} is not within 0 and 1')
        if min(self.map_rows_columns) < 1:
            raise ConfigError(
                f'image of {self.image_width}x{self.image_height} is too small for '
                f'{self.image_stages} image_stages'
            )
        if not 0 <= self.hold_steps <= 100:
            raise ConfigError(f'hold_steps: {self.hold_steps} is not within 0 and 100')
        if self.state_size < ARM_JOINTS or self.state_size > 4096:
            raise ConfigError(f'state_size: {self.state_size} is not within {ARM_JOINTS} and 4096')
        if self.bins < 2:
            raise ConfigError('bins: 1 is too few, the paper has 256')
        if self.language == SMALL and not self.vocabulary:
            raise ConfigError("language 'small' needs a vocabulary")
        if self.language == TASK_ID and len(set(self.tasks)) != max(1, len(self.tasks)):
            raise ConfigError("language 'task_id' needs tasks, each of them once")
        if not 1 <= len(self.cameras) <= 16 or not 0 < self.step_s <= MAX_STEP_S:
            raise ConfigError(
                f'1 to 16 cameras are needed, and a step_s within 0 and {MAX_STEP_S}'
            )


RT1_PAPER: dict[str, Any] = {
    'vision': 'google/efficientnet-b3',
    'image_width_factor': 1.2,
    'image_depth_factor': 1.4,
    'image_stages': 7,
    'image_expand': 6,
    'image_drop': 0.2,
    'coordinates': False,
    'language': 'sentence-transformers/all-MiniLM-L6-v2',
    'sentence_width': 512,
    'image_width': 300,
    'image_height': 300,
    'state_token': False,
    'width': 512,
    'heads': 8,
    'head_width': 128,
    'layers': 8,
    'dropout': 0.1,
    'step_s': 1 / 3,
}
"""The full size: 35 M parameters beside the sentence encoder, 300x300 pixels, 3 Hz.

The paper's sentence encoder, USE, has no weights for PyTorch: any of `transformers` serves,
through one linear layer to its 512 numbers.
"""
