"""The RT-1 network, top down (Brohan et al., RT-1, 2022, section 5; transformer_network.py).

B batch, T frames, V views, N frames of a batch one behind the other, H W rows and columns,
L words, D sentence, P state, C context tokens of a frame (image tokens and state token),
Q tokens of a frame's action, S = T (C + Q) sequence, E embedding, K chunk steps, A action,
X bins.

Each frame is conditioned on the sentence while it is encoded, and becomes a few tokens. Those of
six frames, with empty places for actions between them, pass through a decoder-only transformer;
what stands one place before an action token says which bin that dimension falls into. Action
tokens see no action and are given none, so that one pass predicts all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_ros.policies.bins import ActionBins
from vla_ros.policies.rt1.config import SMALL, Rt1Config
from vla_ros.policies.rt1.efficientnet import FilmEfficientNet
from vla_ros.policies.rt1.film import Film
from vla_ros.policies.rt1.language import build_sentence_encoder
from vla_ros.policies.rt1.pretrained import load_pretrained
from vla_ros.policies.rt1.token_learner import TokenLearner
from vla_ros.policies.rt1.transformer import Transformer, attention_mask
from vla_ros.policies.vla.encoders import IMAGENET_MEAN, IMAGENET_STD

MODE_TOKENS = 1
MODES = 2
"""The paper's action holds a discrete mode; ours says whether the sentence names what is seen."""
STAYS, MOVES = range(MODES)


@dataclass
class Prediction:
    """What the network says after every frame.

    Attributes:
        actions_BTKAX: logits over the bins of each dimension of each action.
        modes_BT2: logits of STAYS and MOVES.
    """

    actions_BTKAX: Tensor
    modes_BT2: Tensor


class Rt1Model(nn.Module):
    """FiLM-EfficientNet, TokenLearner and a causal transformer over six frames."""

    image_mean: Tensor
    image_std: Tensor
    state_mean: Tensor
    state_std: Tensor

    def __init__(self, config: Rt1Config) -> None:
        super().__init__()
        self.config = config
        self.language = build_sentence_encoder(config)
        self.vision = FilmEfficientNet(
            config.image_scale, config.sentence_width, config.image_drop
        )
        channels = self.vision.width + (2 if config.coordinates else 0)
        self.image_to_places = nn.Conv2d(channels, config.width, 1, bias=False)
        self.places_film = Film(config.width, config.sentence_width)
        self.token_learner = TokenLearner(config.width, config.token_hidden, config.image_tokens)
        self.state_to_token = (
            nn.Linear(config.state_size, config.width) if config.state_token else None
        )
        self.bins = ActionBins(config.action_size, config.bins)
        self.context_tokens = len(config.cameras) * config.image_tokens + int(config.state_token)
        self.action_tokens = MODE_TOKENS + config.chunk_steps * config.action_size
        self.transformer = Transformer(
            attention_mask(config.frames, self.context_tokens, self.action_tokens),
            width=config.width,
            layers=config.layers,
            heads=config.heads,
            head_width=config.head_width,
            dropout=config.dropout,
            bins=config.bins,
        )
        self.register_buffer('image_mean', torch.tensor(IMAGENET_MEAN).view(3, 1, 1) * 255)
        self.register_buffer('image_std', torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255)
        self.register_buffer('state_mean', torch.zeros(config.state_size))
        self.register_buffer('state_std', torch.ones(config.state_size))

    def encode_language(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return the sentences' vectors (B, D); computed once an instruction."""
        return self.language(ids_BL, mask_BL)

    def encode_frames(
        self, images_NVHWC: Tensor, sentence_ND: Tensor, state_NP: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the frames' tokens (N, C, E), and where the image tokens look.

        Args:
            images_NVHWC: RGB, 0 to 255, of the size in the configuration.
            sentence_ND: of `encode_language`, one a frame.
            state_NP: SI units; not looked at without a state token.

        Returns:
            tokens, and logits over the places of each view, (N, V, image tokens, rows, columns).
        """
        count, views = images_NVHWC.shape[:2]
        images = images_NVHWC.flatten(0, 1).permute(0, 3, 1, 2).to(self.image_mean.dtype)
        sentence = sentence_ND.repeat_interleave(views, 0)
        maps = self.vision((images - self.image_mean) / self.image_std, sentence)
        if self.config.coordinates:
            maps = torch.cat([maps, coordinates(maps)], dim=1)
        places = self.places_film(self.image_to_places(maps), sentence)
        tokens, looks = self.token_learner(places.flatten(2).transpose(1, 2))
        tokens_NCE = tokens.unflatten(0, (count, views)).flatten(1, 2)
        if self.state_to_token is not None:
            state = self.state_to_token((state_NP - self.state_mean) / self.state_std)
            tokens_NCE = torch.cat([tokens_NCE, state.unsqueeze(1)], dim=1)
        return tokens_NCE, looks.unflatten(0, (count, views)).unflatten(-1, places.shape[2:])

    def forward(self, tokens_BTCE: Tensor) -> Prediction:
        """Predict the action after each of T frames, oldest first, from their tokens."""
        batch, frames, _, width = tokens_BTCE.shape
        empty = tokens_BTCE.new_zeros(batch, frames, self.action_tokens, width)
        sequence_BSE = torch.cat([tokens_BTCE, empty], dim=2).flatten(1, 2)
        logits_BSX = self.transformer(sequence_BSE)
        logits = logits_BSX.unflatten(1, (frames, -1))[:, :, self.context_tokens - 1 : -1]
        steps_actions = self.config.chunk_steps, self.config.action_size
        return Prediction(
            logits[:, :, MODE_TOKENS:].unflatten(2, steps_actions), logits[:, :, 0, :MODES]
        )


def build_rt1(config: Rt1Config) -> Rt1Model:
    """Return a new model, with pretrained weights where the configuration names some.

    Raises:
        CheckpointError: they are nowhere, or do not fit.
    """
    model = Rt1Model(config)
    if config.vision != SMALL:
        load_pretrained(model.vision, config.vision)
    return model


def coordinates(maps_BCHW: Tensor) -> Tensor:
    """Return where each place lies in the image, (B, 2, H, W): x and y from -1 to 1."""
    rows, columns = maps_BCHW.shape[2:]
    kind = {'dtype': maps_BCHW.dtype, 'device': maps_BCHW.device}
    x = torch.linspace(-1, 1, columns, **kind).expand(rows, columns)
    y = torch.linspace(-1, 1, rows, **kind)[:, None].expand(rows, columns)
    return torch.stack([x, y]).expand(len(maps_BCHW), -1, -1, -1)
