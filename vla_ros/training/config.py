"""How a policy is trained."""

from __future__ import annotations

from dataclasses import dataclass

from vla_ros.errors import ConfigError, check_at_least


@dataclass(frozen=True)
class TrainConfig:
    """How it is trained; AdamW with a warm-up and a cosine to zero.

    Attributes:
        hues: share of images whose hues are turned, and what is in them called by its new colours:
            see `training.hues`. The policy knows eight colours then, and refuses by how surely
            it points (`training.evidence`).
    """

    steps: int = 2200
    batch_images: int = 32
    sentences_per_image: int = 4
    refusals_per_image: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up_steps: int = 100
    clip_norm: float = 1.0
    seed: int = 0
    device: str = 'auto'
    threads: int = 0
    brightness: float = 0.25
    noise: float = 4.0
    hues: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if not 0 <= self.refusals_per_image < self.sentences_per_image <= 5:
            raise ConfigError('sentences_per_image is 1 to 5, refusals_per_image less than that')
        for name, least in (('steps', 1), ('batch_images', 1), ('seed', 0), ('threads', 0)):
            check_at_least(name, getattr(self, name), least)
        if not 0 <= self.hues <= 1:
            raise ConfigError(f'hues: {self.hues} is not within 0 and 1')
        if self.hues and not self.refusals_per_image:
            raise ConfigError('hues: refusals_per_image is 0; at least 1 tells what is refused')
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f'learning_rate: {self.learning_rate} is not within 0 and 1')
