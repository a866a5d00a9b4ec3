"""Which weights a training may change: the head's, low-rank ones beside them, or all."""

from __future__ import annotations

import re

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vla_ros.errors import ConfigError, choose

METHODS = ('full', 'head', 'lora', 'scratch')
HEADS = {
    'cliport': r'primitive\.|transport\.fuse_|.*\.(spatial|semantic)\.head\.',
    'rt1': r'transformer\.(output|layers)\.',
    'vla': r'(head|turn|offset|pointer|grounded)\.',
}
"""Kind of model → which weights turn what was seen and said into actions, by their names."""
_ADAPTER = 'default'


class Adapted:
    """A model of which only a part learns; `merged` gives it back in its plain form.

    Batch norms keep the statistics of the base: those of a few episodes say little.

    Args:
        model: changed in place.
        kind: as its manifest names it.
        method: one of `METHODS`. `lora` trains low-rank matrices beside each dense layer (Hu et
            al., LoRA: Low-Rank Adaptation of Large Language Models, 2021) and the head's last
            layer not at all; `head` trains the weights of `HEADS`; `scratch` is for a new model,
            whose batch norms learn, too.
        rank: of the matrices.
    """

    def __init__(self, model: nn.Module, kind: str, method: str, rank: int = 8) -> None:
        choose('method', method, METHODS)
        self.model = model
        if method != 'scratch':
            _keep_batch_norms(model)
        if method == 'head':
            _train_only(model, kind)
        elif method == 'lora':
            _add_matrices(model, rank)

    @property
    def trained(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def merged(self) -> nn.Module:
        """Return the model without adapters, their product added to the weights beside them."""
        return without_adapters(self.model)


def tune_encoder(encoder: nn.Module, how: str, rank: int) -> None:
    """Let all of an encoder learn (full), nothing (frozen), or low-rank matrices (lora).

    Raises:
        ConfigError: there is no dense layer to put such matrices beside.
    """
    if how == 'full':
        return
    if how == 'frozen':
        encoder.requires_grad_(False)
        _keep_evaluating(encoder)
        return
    _keep_batch_norms(encoder)
    _add_matrices(encoder, rank)  # which freezes the rest


def _add_matrices(model: nn.Module, rank: int) -> None:
    if not (names := dense_layers(model)):
        raise ConfigError('there are no dense layers to put lora beside; tune it full or frozen')
    torch.backends.mha.set_fastpath_enabled(False)  # it reads weights past their adapters
    LoraModel(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names), _ADAPTER)


def without_adapters(model: nn.Module) -> nn.Module:
    """Return the model, the product of its low-rank matrices added to the weights beside them."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            model.set_submodule(name, layer.get_base_layer())
    return model


def dense_layers(model: nn.Module) -> list[str]:
    """Return the names of the dense layers that can be adapted: those that are not frozen.

    The output layer of PyTorch's own attention is left out: it is never called, only its weight is
    read.
    """
    inside = tuple(
        f'{name}.' for name, m in model.named_modules() if isinstance(m, nn.MultiheadAttention)
    )
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module.weight.requires_grad
        and not name.startswith(inside)
    ]


def _train_only(model: nn.Module, kind: str) -> None:
    if kind not in HEADS:
        raise ConfigError(f"method 'head' knows no head of kind '{kind}'; use lora or full")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(re.match(HEADS[kind], name) is not None)


def _keep_batch_norms(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            _keep_evaluating(module)


def _keep_evaluating(module: nn.Module) -> None:
    module.eval()
    module.train = lambda mode=True: module  # type: ignore[method-assign]
