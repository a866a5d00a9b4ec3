"""EfficientNet weights of ImageNet, by name through transformers, into our own network."""

from __future__ import annotations

from torch import Tensor

from vla_ros.errors import CheckpointError
from vla_ros.policies.pretrained import pretrained_model
from vla_ros.policies.rt1.efficientnet import Block, FilmEfficientNet

_STEM_TOP = {
    'embeddings.convolution': 'stem.1',
    'embeddings.batchnorm': 'stem.2',
    'encoder.top_conv': 'top.0',
    'encoder.top_bn': 'top.1',
}
_BLOCK = {
    'expansion.expand_conv': 'widen.0',
    'expansion.expand_bn': 'widen.1',
    'depthwise_conv.depthwise_conv': 'depthwise.{padded}',
    'depthwise_conv.depthwise_norm': 'depthwise.{normed}',
    'squeeze_excite.reduce': 'excite.reduce',
    'squeeze_excite.expand': 'excite.expand',
    'projection.project_conv': 'narrow.0',
    'projection.project_bn': 'narrow.1',
}


def load_pretrained(network: FilmEfficientNet, name: str) -> None:
    """Put the weights of an EfficientNet of transformers into `network`; FiLM stays as it is.

    Args:
        network: as wide and as deep, with all seven stages.
        name: its name or folder, such as 'google/efficientnet-b3'.

    Raises:
        CheckpointError: it is nowhere, no EfficientNet, or of another width or depth.
    """
    model = pretrained_model(name, None)
    if model.config.model_type != 'efficientnet':
        raise CheckpointError(
            f"'{name}' is of type {model.config.model_type}; use an EfficientNet, such as "
            "'google/efficientnet-b3'"
        )
    found = {_renamed(key, network): value for key, value in model.state_dict().items()}
    wanted = {k: v.shape for k, v in network.state_dict().items() if not k.startswith('films.')}
    shapes: dict[str, object] = {key: value.shape for key, value in found.items()}
    if odd := sorted(k for k in wanted.keys() | shapes.keys() if wanted.get(k) != shapes.get(k)):
        raise CheckpointError(
            f"'{name}' does not fit: {odd[0]} is {_size(found.get(odd[0]))} there, "
            f'{list(wanted.get(odd[0], ())) or "missing"} here; it is EfficientNet of width '
            f'{model.config.width_coefficient} and depth {model.config.depth_coefficient}: set '
            'image_width_factor, image_depth_factor, image_stages 7 and image_expand 6'
        )
    network.load_state_dict(found, strict=False)


def _size(value: Tensor | None) -> object:
    return 'missing' if value is None else list(value.shape)


def _renamed(key: str, network: FilmEfficientNet) -> str:
    """Return our name of a parameter or buffer of transformers' EfficientNetModel."""
    module, _, leaf = key.rpartition('.')
    if module in _STEM_TOP:
        return f'{_STEM_TOP[module]}.{leaf}'
    _, _, index, part = module.split('.', 3)
    own = _BLOCK[part]
    if '{' in own:
        blocks = [block for block in network.blocks if isinstance(block, Block)]
        padded = len(blocks[int(index)].depthwise) - 2 if int(index) < len(blocks) else 0
        own = own.format(padded=padded, normed=padded + 1)
    return f'blocks.{index}.{own}.{leaf}'
