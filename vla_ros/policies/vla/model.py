"""The VLA network, top down.

B batch, V views, C channels, H W rows and columns, L words, S image tokens, E embedding,
P proprioception, K chunk steps, A action (7 joint velocities, and the gripper's opening where
there is one), D places that are pointed at, F width of the fine map, I images, of which each
answers B / I sentences.
Images and words are tokens of one width; a transformer encoder fuses them with proprioception and
one action token, which the head turns into a chunk of normalised joint velocities.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_ros.policies.vla.config import VlaConfig
from vla_ros.policies.vla.encoders import build_language, build_vision
from vla_ros.policies.vla.heads import build_head, mlp
from vla_ros.policies.vla.key_points import POINT_WIDTH, KeyPoint, Offset, certainty
from vla_ros.types import ARM_JOINTS


@dataclass
class Prediction:
    """What the network says; `heat` and `targets` only with key points, `turn` where it is asked.

    Attributes:
        actions_BKA: normalised.
        features_BF: what the head made them of.
        grounded_B: logit that the instruction names something in view.
        heat_BDVHW: logits over the cells of each view's fine map: where the object is, and with
            two points where it has to end.
        targets_BD3: those places in the base frame, metres; of one point, where the tool should
            end.
        turn_B: by how much the tool has to turn about the base's z axis to grasp, rad.
        offsets_BD3: from the tool to those places, metres; nearly exact where it is near.
    """

    actions_BKA: Tensor
    features_BF: Tensor
    grounded_B: Tensor
    heat_BDVHW: Tensor | None = None
    targets_BD3: Tensor | None = None
    turn_B: Tensor | None = None
    offsets_BD3: Tensor | None = None


@dataclass
class Look:
    """What the trunk of the network says: all that the layers behind it act upon.

    Attributes:
        action_BE: the fused action token.
        proprioception_BP: SI units.
        grounded_B: see Prediction, as `heat_BDVHW`.
        seen_BF: what was pointed at, with key points.
    """

    action_BE: Tensor
    proprioception_BP: Tensor
    grounded_B: Tensor
    seen_BF: Tensor | None = None
    heat_BDVHW: Tensor | None = None


BEHIND = ('head', 'turn', 'offset', 'pointer.goal')
"""The layers that act upon a `Look`."""


class VlaModel(nn.Module):
    """Vision encoder, language encoder, fusion transformer, action head."""

    image_mean: Tensor
    image_std: Tensor
    proprioception_mean: Tensor
    proprioception_std: Tensor
    action_mean: Tensor
    action_std: Tensor

    def __init__(self, config: VlaConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.vision = build_vision(config)
        self.language = build_language(config)
        self.image_to_token = nn.Linear(self.vision.width, width)
        self.word_to_token = nn.Linear(self.language.width, width)
        self.proprioception_to_token = None
        if config.proprioception_size:
            self.proprioception_to_token = nn.Linear(config.proprioception_size, width)
        rows, columns = self._map_size()
        self.row_positions = nn.Parameter(0.02 * torch.randn(rows, 1, width))
        self.column_positions = nn.Parameter(0.02 * torch.randn(1, columns, width))
        self.view_positions = nn.Parameter(0.02 * torch.randn(len(config.cameras), 1, width))
        self.action_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        layer = nn.TransformerEncoderLayer(
            width, config.heads, config.feedforward, config.dropout, 'gelu',
            batch_first=True, norm_first=True,
        )  # fmt: skip
        self.fusion = nn.TransformerEncoder(
            layer, config.layers, nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.pointer = self.turn = self.offset = None
        extra, evidence = config.proprioception_size, width
        if config.key_points:
            self.pointer = KeyPoint(self.vision.fine_width, (rows, columns), config)
            extra += (6 if config.proprioception_size else 3) * config.points
            extra += self.pointer.seen if config.point_views > 1 else 0
            evidence += POINT_WIDTH * config.points * config.point_views
        if config.turn:
            self.turn = mlp(width + extra, (POINT_WIDTH,), 1)
            extra += 1
        if self.pointer is not None and config.offsets:
            self.offset = Offset(self.pointer.seen, config)
            extra += 3 * config.points
        self.grounded = mlp(evidence, (POINT_WIDTH,), 1)
        if config.evidence == 'attention':
            self.grounded = nn.Linear(2 * config.points * config.point_views, 1)
        self.head = build_head(width + extra, config)
        for name, values in (('image_mean', self.vision.mean), ('image_std', self.vision.std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1) * 255)
        sizes = {'proprioception': config.proprioception_size, 'action': config.action_size}
        for name, size in sizes.items():
            self.register_buffer(f'{name}_mean', torch.zeros(size))
            self.register_buffer(f'{name}_std', torch.ones(size))

    def _map_size(self) -> tuple[int, int]:
        """Return rows and columns of the coarse map, found by asking the encoder."""
        config, training = self.config, self.vision.training
        with torch.no_grad():
            blank = torch.zeros(1, 3, config.image_height, config.image_width)
            coarse = self.vision.eval()(blank)[1]
        self.vision.train(training)
        return coarse.shape[2], coarse.shape[3]

    def encode_images(self, images_BVHWC: Tensor) -> tuple[Tensor, Tensor]:
        """Return the views' fine maps (B, V, F, H, W) and all image tokens (B, S, E).

        Args:
            images_BVHWC: uint8 RGB of the size in the configuration.
        """
        batch, views = images_BVHWC.shape[:2]
        images = images_BVHWC.flatten(0, 1).permute(0, 3, 1, 2).to(self.image_mean.dtype)
        fine, coarse = self.vision((images - self.image_mean) / self.image_std)
        tokens = self.image_to_token(coarse.permute(0, 2, 3, 1))
        tokens = (tokens + self.row_positions + self.column_positions).flatten(1, 2)
        tokens_BVSE = tokens.unflatten(0, (batch, views)) + self.view_positions
        return fine.unflatten(0, (batch, views)), tokens_BVSE.flatten(1, 2)

    def encode_language(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return word tokens (B, L, E); computed once an instruction."""
        return self.word_to_token(self.language(ids_BL, mask_BL))

    def forward(
        self,
        images: tuple[Tensor, Tensor],
        words_BLE: Tensor,
        mask_BL: Tensor,
        proprioception_BP: Tensor,
    ) -> Prediction:
        """Fuse encoded images, encoded words and proprioception (SI units) into a prediction.

        Each of I images answers the B / I sentences that come one behind the other.
        """
        return self.act(self.look(images, words_BLE, mask_BL, proprioception_BP))

    def look(
        self,
        images: tuple[Tensor, Tensor],
        words_BLE: Tensor,
        mask_BL: Tensor,
        proprioception_BP: Tensor,
    ) -> Look:
        """Return what is seen of what is said; see `forward`."""
        fine_IVFHW, image_ISE = images
        batch = len(words_BLE)
        image_BSE = image_ISE.repeat_interleave(batch // len(image_ISE), 0)
        leading = [self.action_token.expand(batch, -1, -1)]
        if self.proprioception_to_token is not None:
            state_BP = self._normalised(proprioception_BP)
            leading.append(self.proprioception_to_token(state_BP).unsqueeze(1))
        tokens = torch.cat([*leading, words_BLE, image_BSE], dim=1)
        padded = functional.pad(~mask_BL, (len(leading), image_BSE.shape[1]), value=False)
        fused_BTE = self.fusion(tokens, src_key_padding_mask=padded)
        action_BE = fused_BTE[:, 0]
        if self.pointer is None:
            grounded_B = self.grounded(action_BE).squeeze(-1)
            return Look(action_BE, proprioception_BP, grounded_B)
        image_BSE = fused_BTE[:, -image_BSE.shape[1] :]
        heat, seen_BF, match_BF = self.pointer(fine_IVFHW, image_BSE, action_BE)
        seen = torch.cat([action_BE, match_BF], dim=-1)
        if self.config.evidence == 'attention':
            seen = certainty(heat, match_BF)
        grounded_B = self.grounded(seen).squeeze(-1)
        return Look(action_BE, proprioception_BP, grounded_B, seen_BF, heat)

    def act(self, look: Look) -> Prediction:
        """Return what to do about what is seen."""
        states, targets, turn_B, offsets_BD3 = [], None, None, None
        if self.proprioception_to_token is not None:
            states = [self._normalised(look.proprioception_BP)]
        tool_B13 = look.proprioception_BP[:, None, ARM_JOINTS : ARM_JOINTS + 3]
        features = [look.action_BE, *states]
        if self.pointer is not None and look.seen_BF is not None:
            targets = self.pointer.place(look.seen_BF, states)
            features.append(targets.flatten(1))
            if states:
                features.append((5.0 * (targets - tool_B13)).flatten(1))
            if self.pointer.views > 1:
                features.append(look.seen_BF)
        if self.turn is not None:
            turn_B = self.turn(torch.cat(features, dim=-1)).squeeze(-1)
            features.append(turn_B.unsqueeze(-1))
        if self.offset is not None and targets is not None and look.seen_BF is not None:
            offsets_BD3, told_BF = self.offset(targets - tool_B13, look.seen_BF, states)
            features.append(told_BF)
        features_BF = torch.cat(features, dim=-1)
        return Prediction(
            self.head(features_BF),
            features_BF,
            look.grounded_B,
            look.heat_BDVHW,
            targets,
            turn_B,
            offsets_BD3,
        )

    def _normalised(self, proprioception_BP: Tensor) -> Tensor:
        return (proprioception_BP - self.proprioception_mean) / self.proprioception_std
