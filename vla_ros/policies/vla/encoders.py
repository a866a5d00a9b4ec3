"""Vision and language encoders: small ones from scratch, or any by name through transformers.

B batch, C channels, H and W rows and columns, L words, D width of an encoder.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from vla_ros.errors import CheckpointError
from vla_ros.policies.pretrained import PretrainedTokenizer, pretrained_model
from vla_ros.policies.vla.config import SMALL, VlaConfig
from vla_ros.policies.vla.tokenizer import Tokenizer, WordTokenizer

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NORMALISED = {
    'clip': ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    'siglip': ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    'vit': ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and standard deviation of images, by the beginning of the model's type; else ImageNet's."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., Deep residual learning, 2015, fig. 2)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Return the maps of the block."""
        return torch.relu(self.body(maps_BCHW) + self.shortcut(maps_BCHW))


class SmallVision(nn.Module):
    """A small ResNet: a fine map at stride 4 to point with, a coarse one at stride 16 to fuse."""

    fine_width = 64
    width = 128
    mean, std = IMAGENET_MEAN, IMAGENET_STD

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 5, 2, 2, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True)
        )
        self.fine = nn.Sequential(ResidualBlock(32, 32, 1), ResidualBlock(32, 64, 2))
        self.coarse = nn.Sequential(ResidualBlock(64, 96, 2), ResidualBlock(96, 128, 2))

    def forward(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the fine and the coarse map."""
        fine = self.fine(self.stem(images_BCHW.contiguous(memory_format=torch.channels_last)))
        return fine, self.coarse(fine)


class PretrainedVision(nn.Module):
    """An encoder of transformers, its last map for both: ResNets, and ViT, CLIP, SigLIP or DINO.

    Transformers get their tokens of patches back as a map, and their positions interpolated to the
    size of the image.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone: nn.Module = getattr(backbone, 'vision_model', backbone)
        config: Any = self.backbone.config
        self.width: int = _width(config)
        self.fine_width = self.width
        self._patch = getattr(config, 'patch_size', 0)
        self._settings = {}
        if 'interpolate_pos_encoding' in signature(self.backbone.forward).parameters:
            self._settings = {'interpolate_pos_encoding': True}
        normalised = (n for kind, n in NORMALISED.items() if config.model_type.startswith(kind))
        self.mean, self.std = next(normalised, (IMAGENET_MEAN, IMAGENET_STD))

    def forward(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last map, twice."""
        found = self.backbone(images_BCHW, **self._settings).last_hidden_state
        if found.ndim == 3:  # tokens; those of classes and registers come first
            rows, columns = (size // self._patch for size in images_BCHW.shape[2:])
            found = found[:, -rows * columns :].transpose(1, 2).unflatten(2, (rows, columns))
        return found, found


def _width(config: Any) -> int:  # noqa: ANN401 - a transformers configuration
    width = getattr(config, 'hidden_sizes', [0])[-1] or getattr(config, 'hidden_size', 0)
    if not width or (not hasattr(config, 'hidden_sizes') and not hasattr(config, 'patch_size')):
        raise CheckpointError(
            f"'{config.model_type}' has no map of features; use a ResNet, ViT, CLIP or SigLIP"
        )
    return width


class SmallLanguage(nn.Module):
    """A small BERT: word and position embeddings, then a transformer encoder."""

    def __init__(self, config: VlaConfig) -> None:
        super().__init__()
        self.width = 64
        tokens = 1 + config.unknown_words + len(config.vocabulary)
        self.words = nn.Embedding(tokens, self.width)
        self.positions = nn.Parameter(0.02 * torch.randn(config.language_tokens, self.width))
        layer = nn.TransformerEncoderLayer(
            self.width, 4, 128, config.dropout, 'gelu', batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, config.language_layers, enable_nested_tensor=False
        )

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return one contextual vector a word, (B, L, D)."""
        words_BLD = self.words(ids_BL) + self.positions[: ids_BL.shape[1]]
        return self.encoder(words_BLD, src_key_padding_mask=~mask_BL)


class PretrainedLanguage(nn.Module):
    """A BERT-like encoder of transformers, or the text half of CLIP."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone: nn.Module = getattr(backbone, 'text_model', backbone)
        config: Any = self.backbone.config
        if config.model_type.startswith('siglip'):  # transformers builds it by no configuration
            raise CheckpointError(
                f"'{config.model_type}' cannot be the language encoder; use a BERT-like encoder, "
                'or CLIP'
            )
        self.width: int = config.hidden_size

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return one contextual vector a token, (B, L, D)."""
        return self.backbone(input_ids=ids_BL, attention_mask=mask_BL.long()).last_hidden_state


def build_vision(config: VlaConfig) -> SmallVision | PretrainedVision:
    """Return the vision encoder, with pretrained weights unless `vision_config` is given."""
    if config.vision == SMALL:
        return SmallVision()
    return PretrainedVision(pretrained_model(config.vision, config.vision_config))


def build_language(config: VlaConfig) -> SmallLanguage | PretrainedLanguage:
    """Return the language encoder, with pretrained weights unless `language_config` is given."""
    if config.language == SMALL:
        return SmallLanguage(config)
    return PretrainedLanguage(pretrained_model(config.language, config.language_config))


def build_tokenizer(config: VlaConfig) -> Tokenizer:
    """Return the tokenizer that belongs to the language encoder."""
    if config.language == SMALL:
        return WordTokenizer(config.vocabulary, config.unknown_words, config.language_tokens)
    return PretrainedTokenizer(config.language, config.language_tokens)
