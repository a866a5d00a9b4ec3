"""Where in the images is what the sentence names, and where is that in the base frame?

B batch, I images, V views, D places, F feature, H W rows and columns, N cells, S image tokens,
E embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_ros.policies.vla.config import VlaConfig
from vla_ros.policies.vla.heads import mlp

POINT_WIDTH = 64
NEAR_M = 0.02
"""What is nearer than this is told as exactly as nothing further away."""


class KeyPoint(nn.Module):
    """Points at the named object in the first views, and places the tool's goal from there.

    Queries made of the action token score every cell of the fine maps, as do the fused image
    tokens; the expected place under the softmax (spatial soft-argmax, Levine et al., End-to-end
    training of deep visuomotor policies, 2016, eq. 5) and the pooled feature give the goal. How
    well query and pooled feature match tells whether the named object is there at all, or how
    surely they point (`certainty`). Every place
    has a query for every view, and all of them together give all goals; where more than the first
    view is looked at, the state of the arm counts, too: a camera may be in its hand.
    """

    def __init__(self, fine_width: int, map_size: tuple[int, int], config: VlaConfig) -> None:
        super().__init__()
        self.map_size, self.points, self.views = map_size, config.points, config.point_views
        self._sharpness = config.sharpness
        self._shape = self.points, self.views, POINT_WIDTH
        self.seen = (2 + POINT_WIDTH) * self.points * self.views
        """How many numbers tell what was pointed at."""
        self.key = nn.Conv2d(fine_width, POINT_WIDTH, 1)
        self.query = nn.Linear(config.width, POINT_WIDTH * self.points * self.views)
        self.token_score = nn.Linear(config.width, self.points)
        state = config.proprioception_size if self.views > 1 else 0
        self.goal = mlp(self.seen + state, (128, 128), 3 * self.points)

    def forward(
        self, fine_IVFHW: Tensor, tokens_BSE: Tensor, action_BE: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return heat logits (B, D, V, H, W), what was pointed at (B, ·), and the match (B, ·)."""
        images, batch = len(fine_IVFHW), len(action_BE)
        keys = self.key(fine_IVFHW[:, : self.views].flatten(0, 1))
        rows, columns = keys.shape[2:]
        keys_IVFN = keys.flatten(2).unflatten(0, (images, self.views))
        query_BDVF = self.query(action_BE).unflatten(-1, self._shape)
        asked = query_BDVF.unflatten(0, (images, -1))
        scores = torch.einsum('imdvf,ivfn->imdvn', asked, keys_IVFN) / POINT_WIDTH**0.5
        heat_BDVN = scores.flatten(0, 1) + self._coarse(tokens_BSE, (rows, columns))
        weights_BDVN = (self._sharpness * heat_BDVN).softmax(dim=-1)
        x = (torch.arange(columns, device=keys.device) + 0.5) / columns
        y = (torch.arange(rows, device=keys.device) + 0.5) / rows
        grid_N2 = torch.stack(torch.meshgrid(x, y, indexing='xy'), dim=-1).flatten(0, 1)
        places_BDV2 = weights_BDVN @ grid_N2.to(weights_BDVN.dtype)
        weights = weights_BDVN.unflatten(0, (images, -1))
        pooled_BDVF = torch.einsum('imdvn,ivfn->imdvf', weights, keys_IVFN).flatten(0, 1)
        seen = torch.cat([4.0 * places_BDV2 - 2.0, pooled_BDVF], dim=-1).view(batch, -1)
        heat_BDVHW = heat_BDVN.unflatten(-1, (rows, columns))
        return heat_BDVHW, seen, (query_BDVF * pooled_BDVF).flatten(1)

    def _coarse(self, tokens_BSE: Tensor, size: tuple[int, int]) -> Tensor:
        """Return how the fused tokens score the cells of the fine maps, (B, D, V, N)."""
        cells = self.map_size[0] * self.map_size[1]
        scores_BSD = self.token_score(tokens_BSE)[:, : self.views * cells]
        coarse = scores_BSD.transpose(1, 2).reshape(len(tokens_BSE), -1, *self.map_size)
        fine = functional.interpolate(coarse, size, mode='bilinear')
        return fine.flatten(2).unflatten(1, (self.points, self.views))

    def place(self, seen_BF: Tensor, states: Sequence[Tensor]) -> Tensor:
        """Return the goals (B, D, 3) in metres of what was pointed at."""
        known = states if self.views > 1 else ()
        return self.goal(torch.cat([seen_BF, *known], dim=-1)).unflatten(-1, (self.points, 3))


def certainty(heat_BDVHW: Tensor, match_BF: Tensor) -> Tensor:
    """Return how surely each query points in each view, (B, 2·D·V).

    How far its highest score is above its mean one, and how well it matches what it points at.
    """
    scores_BDVN = heat_BDVHW.flatten(-2)
    height_BDV = scores_BDVN.amax(-1) - scores_BDVN.mean(-1)
    match_BDV = match_BF.unflatten(-1, (*scores_BDVN.shape[1:3], -1)).sum(-1)
    return torch.stack([height_BDV, match_BDV], dim=-1).flatten(1)


class Offset(nn.Module):
    """How far the tool is from the places, corrected by what the cameras see of them.

    The camera at the wrist sees best what is near, and there it matters most. The head is told
    offsets as shares that saturate: 5 mm would be lost beside the decimetres of the way there.
    """

    def __init__(self, seen: int, config: VlaConfig) -> None:
        super().__init__()
        size = 3 * config.points
        self.correction = mlp(seen + config.proprioception_size + size, (128, 128), size)

    def forward(
        self, rough_BD3: Tensor, seen_BF: Tensor, states: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return offsets (B, D, 3) in metres, and as shares (B, D·3)."""
        known = [seen_BF, *states, shares(rough_BD3).flatten(1)]
        correction = self.correction(torch.cat(known, dim=-1)).view_as(rough_BD3)
        offsets_BD3 = rough_BD3 + 0.1 * correction
        return offsets_BD3, shares(offsets_BD3).flatten(1)


def shares(offsets_BD3: Tensor) -> Tensor:
    """Return offsets over their length, less near to zero."""
    length = (offsets_BD3.square().sum(-1, keepdim=True) + 1e-8).sqrt()
    return offsets_BD3 / (length + NEAR_M)
