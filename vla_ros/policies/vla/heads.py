"""Action heads: from features (B, F) to a chunk of normalised actions (B, K, A).

B batch, F features, K chunk steps, A action, X bins. `off` is what training minimises, (B, K).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_ros.policies.bins import ActionBins
from vla_ros.policies.vla.config import VlaConfig

TIME_WIDTH = 16


def mlp(width_in: int, hidden: tuple[int, ...], width_out: int) -> nn.Sequential:
    """Return dense layers with GELU between them."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(width_in, width), nn.GELU()]
        width_in = width
    return nn.Sequential(*layers, nn.Linear(width_in, width_out))


class RegressionHead(nn.Sequential):
    """The chunk itself: absolute error (Zhao et al., ACT, 2023), or squared with `mse`."""

    def __init__(self, width_in: int, config: VlaConfig) -> None:
        size = config.chunk_steps * config.action_size
        super().__init__(*mlp(width_in, config.head_hidden, size))
        self._shape = config.chunk_steps, config.action_size
        self._squared = config.head == 'mse'

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return the chunk."""
        return super().forward(features_BF).unflatten(-1, self._shape)

    def off(self, features_BF: Tensor, actions_BKA: Tensor) -> Tensor:
        """Return the error, mean over A."""
        off_BKA = self(features_BF) - actions_BKA
        return (off_BKA.square() if self._squared else off_BKA.abs()).mean(-1)


class BinnedHead(nn.Module):
    """One of X bins for every number of the chunk (Brohan et al., RT-1, 2022), all at once."""

    def __init__(self, width_in: int, config: VlaConfig) -> None:
        super().__init__()
        self._shape = config.chunk_steps, config.action_size, config.bins
        size = config.chunk_steps * config.action_size * config.bins
        self.logits = mlp(width_in, config.head_hidden, size)
        self.bins = ActionBins(config.action_size, config.bins)

    def fit_range(self, low_A: Tensor, high_A: Tensor) -> None:
        """Put the bins between the least and the most of the normalised data."""
        self.bins.low_A.copy_(low_A)
        self.bins.high_A.copy_(high_A)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return the middles of the likeliest bins."""
        return self.bins.decode(self._logits(features_BF).argmax(-1))

    def off(self, features_BF: Tensor, actions_BKA: Tensor) -> Tensor:
        """Return the cross-entropy of the bins, mean over A."""
        logits = self._logits(features_BF).movedim(-1, 1)
        tokens_BKA = self.bins.encode(actions_BKA)
        return functional.cross_entropy(logits, tokens_BKA, reduction='none').mean(-1)

    def _logits(self, features_BF: Tensor) -> Tensor:
        return self.logits(features_BF).unflatten(-1, self._shape)


class FlowHead(nn.Module):
    """Flow matching (Lipman et al., 2022; Black et al., π0, 2024, section IV).

    A network says how a chunk that is partly noise flows to the data; `flow_steps` steps of Euler
    take it there. The noise to begin with is one sample that belongs to the model: the same
    observation always gets the same chunk, and the next one a chunk that agrees with it.
    """

    noise_KA: Tensor

    def __init__(self, width_in: int, config: VlaConfig) -> None:
        super().__init__()
        shape = config.chunk_steps, config.action_size
        size = config.chunk_steps * config.action_size
        self._steps = config.flow_steps
        self.flow = mlp(width_in + size + TIME_WIDTH, config.head_hidden, size)
        self.register_buffer('noise_KA', torch.randn(shape))

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return the chunk that the model's noise flows to."""
        chunk_BKA = self.noise_KA.expand(len(features_BF), -1, -1)
        for step in range(self._steps):
            time_B = features_BF.new_full((len(features_BF),), step / self._steps)
            chunk_BKA = chunk_BKA + self._flow(features_BF, chunk_BKA, time_B) / self._steps
        return chunk_BKA

    def off(self, features_BF: Tensor, actions_BKA: Tensor) -> Tensor:
        """Return the squared error of the flow at a random time from random noise."""
        noise_BKA = torch.randn_like(actions_BKA)
        time_B = torch.rand(len(actions_BKA), device=actions_BKA.device)
        mixed_BKA = torch.lerp(noise_BKA, actions_BKA, time_B[:, None, None])
        flow_BKA = self._flow(features_BF, mixed_BKA, time_B)
        return (flow_BKA - (actions_BKA - noise_BKA)).square().mean(-1)

    def _flow(self, features_BF: Tensor, chunk_BKA: Tensor, time_B: Tensor) -> Tensor:
        frequencies = 2.0 ** torch.arange(TIME_WIDTH // 2, device=time_B.device)
        angles = time_B[:, None] * frequencies
        inputs = [features_BF, chunk_BKA.flatten(1), angles.sin(), angles.cos()]
        return self.flow(torch.cat(inputs, dim=-1)).view_as(chunk_BKA)


Head = RegressionHead | BinnedHead | FlowHead


def build_head(width_in: int, config: VlaConfig) -> Head:
    """Return the head that the configuration names."""
    kinds = {'binned': BinnedHead, 'flow': FlowHead}
    return kinds.get(config.head, RegressionHead)(width_in, config)
