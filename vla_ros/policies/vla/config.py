"""What a VLA model is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_ros.errors import ConfigError, choose
from vla_ros.policies.preprocessing import PROPRIOCEPTION_SIZE
from vla_ros.types import ARM_JOINTS

SMALL = 'small'
HEADS = ('l1', 'mse', 'binned', 'flow')
EVIDENCE = ('features', 'attention')
TUNINGS = ('full', 'frozen', 'lora')
MAX_LAYERS, MAX_VIEWS, MAX_STEP_S, MAX_PROPRIOCEPTION = 128, 16, 10.0, 4096
_MOST = {
    'image_width': 4096,
    'image_height': 4096,
    'width': 65536,
    'heads': 1024,
    'layers': MAX_LAYERS,
    'feedforward': 1 << 20,
    'head_hidden': 65536,
    'chunk_steps': 1000,
    'lora_rank': 4096,
    'bins': 65536,
    'flow_steps': 4,
    'points': 2,
    'unknown_words': 1 << 20,
    'language_tokens': 65536,
    'language_layers': MAX_LAYERS,
}
"""Beyond these nobody means it: a file that says so is damaged, or wants to eat the memory.

Or, by many steps of flow, the time in which a chunk has to be there.
"""


@dataclass(frozen=True)
class VlaConfig:
    """Architecture of a VLA model; the defaults are those of the shipped policy.

    Attributes:
        vision: 'small', trained from scratch, or the name or folder of a pretrained encoder that
            `transformers` loads, such as 'microsoft/resnet-50'.
        language: 'small' or such a name, as 'google-bert/bert-base-uncased'.
        vision_config: the `transformers` configuration of the vision encoder, so that a
            checkpoint can be built without asking for the pretrained weights again.
        language_config: the same for the language encoder.
        width: embedding width that all tokens are projected to.
        vision_tuning: full, frozen, or lora (low-rank matrices beside its dense layers), while
            training; a checkpoint holds plain weights.
        language_tuning: the same for the language encoder.
        lora_rank: of those matrices.
        head: l1 and mse regress the chunk, binned chooses one of `bins` for each number of it,
            flow takes `flow_steps` from noise to it.
        head_hidden: widths of the action head's hidden layers.
        chunk_steps: consecutive actions predicted at once; 1 is a single-step policy.
        gripper: whether an action ends with the gripper's opening, and proprioception does, too.
        key_points: read the named object's place off the image, and give it to the action head.
        points: how many: 1, or 2 to point at where the object has to end, too.
        point_views: how many cameras, the first ones, they are looked for in.
        sharpness: what scores are multiplied by before the place is read off them; above 1 the
            likeliest object counts more than the mean of two that may be meant.
        evidence: what tells whether the named object is there: 'features' of the sentence and of
            what it points at, or 'attention', how surely it points, which says enough of a pair of
            colour and shape that nobody said yet, too. Only with key points.
        turn: tell the action head by how much the tool has to turn to grasp.
        offsets: tell it how far the tool is from those places, the more exactly the nearer.
        proprioception_size: 10 for joints and tool, 11 with the gripper's opening, 0 for none.
        vocabulary: words of the small language encoder.
        unknown_words: embeddings that words without a known stem share by their hash.
    """

    vision: str = SMALL
    language: str = SMALL
    vision_config: Mapping[str, Any] | None = None
    language_config: Mapping[str, Any] | None = None
    cameras: tuple[str, ...] = ('front',)
    image_width: int = 128
    image_height: int = 96
    width: int = 128
    heads: int = 4
    layers: int = 3
    feedforward: int = 256
    dropout: float = 0.0
    vision_tuning: str = 'full'
    language_tuning: str = 'full'
    lora_rank: int = 8
    head: str = 'l1'
    bins: int = 256
    flow_steps: int = 4
    head_hidden: tuple[int, ...] = (256, 256)
    chunk_steps: int = 8
    step_s: float = 0.1
    gripper: bool = False
    key_points: bool = True
    points: int = 1
    point_views: int = 1
    sharpness: float = 1.0
    evidence: str = 'features'
    turn: bool = False
    offsets: bool = False
    proprioception_size: int = PROPRIOCEPTION_SIZE
    vocabulary: tuple[str, ...] = ()
    unknown_words: int = 32
    language_tokens: int = 24
    language_layers: int = 2

    @property
    def action_size(self) -> int:
        """A: joint velocities, and the gripper's opening where there is one."""
        return ARM_JOINTS + self.gripper

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        for name, most in _MOST.items():
            value = getattr(self, name)
            sizes = value if isinstance(value, tuple) else (value,)
            if not all(1 <= size <= most for size in sizes):
                raise ConfigError(f'{name}: {value} is not within 1 and {most}')
        choose('head', self.head, HEADS)
        choose('evidence', self.evidence, EVIDENCE)
        if self.evidence == 'attention' and not self.key_points:
            raise ConfigError('evidence: there is no attention without key_points')
        for name in ('vision_tuning', 'language_tuning'):
            choose(name, getattr(self, name), TUNINGS)
        if not 0 <= self.proprioception_size <= MAX_PROPRIOCEPTION:
            raise ConfigError(
                f'proprioception_size: {self.proprioception_size} is not within 0 and '
                f'{MAX_PROPRIOCEPTION}'
            )
        if len(self.head_hidden) > MAX_LAYERS or len(self.cameras) > MAX_VIEWS:
            raise ConfigError(f'more than {MAX_LAYERS} head_hidden or {MAX_VIEWS} cameras')
        if not 0 <= self.dropout < 1:
            raise ConfigError(f'dropout: {self.dropout} is not within 0 and 1')
        if self.width % self.heads:
            raise ConfigError(f'width {self.width} is not a multiple of heads {self.heads}')
        if self.language == SMALL and not self.vocabulary:
            raise ConfigError("language 'small' needs a vocabulary")
        if not 1 <= self.sharpness <= 100:
            raise ConfigError(f'sharpness: {self.sharpness} is not within 1 and 100')
        if not 1 <= self.point_views <= max(1, len(self.cameras)):
            raise ConfigError(f'point_views: {self.point_views} of {len(self.cameras)} cameras')
        if self.offsets and not (self.key_points and self.proprioception_size):
            raise ConfigError('offsets: the tool is nowhere without key_points and proprioception')
        if not self.cameras or not 0 < self.step_s <= MAX_STEP_S:
            raise ConfigError(f'a camera is needed, and a step_s within 0 and {MAX_STEP_S} s')


MISSION = {
    'vision': 'microsoft/resnet-50',
    'language': 'google-bert/bert-base-uncased',
    'image_width': 224,
    'image_height': 224,
    'width': 512,
    'heads': 8,
    'layers': 6,
    'feedforward': 2048,
    'dropout': 0.1,
    'head': 'mse',
    'head_hidden': (512, 256, 128),
    'chunk_steps': 1,
    'key_points': False,
}
"""The full size: ResNet-50, BERT base, fusion of width 512, head 512-256-128-7, single step."""
