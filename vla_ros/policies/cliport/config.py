"""What a CLIPort model is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_ros.errors import ConfigError
from vla_ros.policies.cliport.height_map import MapGeometry

SMALL = 'small'
PRIMITIVES = ('reach', 'push', 'pick', 'put')
"""What the mover can do with a pick and a place; the sentence decides which."""

_MOST = {
    'image_width': 4096,
    'image_height': 4096,
    'base_channels': 1024,
    'rotations': 360,
    'crop_pixels': 1024,
    'kernel_channels': 64,
    'sentence_width': 65536,
    'unknown_words': 1 << 20,
    'language_tokens': 65536,
    'language_layers': 128,
    'chunk_steps': 1000,
}
"""Beyond these nobody means it: a file that says so is damaged, or wants to eat the memory."""


@dataclass(frozen=True)
class CliportConfig:
    """Architecture of a CLIPort model; the defaults train on two processor cores.

    Attributes:
        image_width: columns of the height map.
        image_height: its rows.
        map_far_m: x of its upper edge, in the base frame.
        map_left_m: y of its left edge.
        metres_per_pixel: of the map.
        semantic: 'small' trains the image encoder of the semantic stream from scratch; or the name
            or folder of a CLIP model of `transformers`, such as 'openai/clip-vit-base-patch32', or
            of a ResNet there, whose image encoder is frozen.
        semantic_config: its configuration, so that a checkpoint can be built without its weights.
        language: 'small', a word encoder trained with the rest; or the name or folder of a CLIP
            model or of a BERT-like one of `transformers`, frozen.
        language_config: its configuration.
        sentence_width: of the small encoder's sentence.
        base_channels: of the streams at full resolution; each of four halvings doubles them.
        rotations: in which an object may be placed, over a full turn.
        crop_pixels: side of the square around the pick that the query network is shown.
        kernel_channels: of key and query.
        skips: the spatial stream's decoder is given its encoder's maps, too. The paper's goes
            without; on a map half as fine what it would have to remember is lost.
        cameras: one, that looks down on the table and measures depth.
        chunk_steps: of the mover's chunks.
        step_s: duration of one of their steps.
        vocabulary: words of the small language encoder.
        unknown_words: embeddings that words without a known stem share by their hash.
    """

    image_width: int = 160
    image_height: int = 80
    map_far_m: float = 0.75
    map_left_m: float = 0.5
    metres_per_pixel: float = 0.00625
    semantic: str = SMALL
    semantic_config: Mapping[str, Any] | None = None
    language: str = SMALL
    language_config: Mapping[str, Any] | None = None
    sentence_width: int = 64
    base_channels: int = 8
    rotations: int = 12
    crop_pixels: int = 32
    kernel_channels: int = 3
    skips: bool = True
    cameras: tuple[str, ...] = ('top',)
    chunk_steps: int = 4
    step_s: float = 0.1
    vocabulary: tuple[str, ...] = ()
    unknown_words: int = 32
    language_tokens: int = 24
    language_layers: int = 2

    @property
    def geometry(self) -> MapGeometry:
        """Which part of the table the map shows."""
        size = self.image_height, self.image_width
        return MapGeometry(*size, self.map_far_m, self.map_left_m, self.metres_per_pixel)

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f'{name}: {getattr(self, name)} is not within 1 and {most}')
        for name in ('image_width', 'image_height', 'crop_pixels'):
            if getattr(self, name) % 16:
                raise ConfigError(
                    f'{name}: {getattr(self, name)} is no multiple of 16, and the streams halve '
                    'their maps four times'
                )
        for name in ('map_far_m', 'map_left_m'):
            if not math.isfinite(getattr(self, name)) or abs(getattr(self, name)) > 100:
                raise ConfigError(f'{name}: {getattr(self, name)} is not within -100 and 100')
        if not 1e-4 <= self.metres_per_pixel <= 1:
            raise ConfigError(
                f'metres_per_pixel: {self.metres_per_pixel} is not within 0.0001 and 1'
            )
        if len(self.cameras) != 1:
            raise ConfigError(f'cameras: exactly one is needed, got {list(self.cameras)}')
        if not 0 < self.step_s <= 10:
            raise ConfigError(f'step_s: {self.step_s} is not within 0 and 10')
        if self.language == SMALL and not self.vocabulary:
            raise ConfigError("language 'small' needs a vocabulary")


CLIPORT_PAPER: dict[str, Any] = {
    'image_width': 320,
    'image_height': 160,
    'metres_per_pixel': 0.003125,
    'semantic': 'openai/clip-vit-base-patch32',
    'language': 'openai/clip-vit-base-patch32',
    'base_channels': 64,
    'rotations': 36,
    'crop_pixels': 64,
    'skips': False,
    'language_tokens': 77,
}
"""The full size (Shridhar et al., CLIPort, 2021). CLIP's ResNet-50 is not in `transformers`:
its ViT-B/32 takes its place, or a ResNet-50 from there, such as 'microsoft/resnet-50'."""
