"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vla_ros.policies.vla.model import Prediction, VlaModel
from vla_ros.training.batches import Batch

GOAL_SCALE_M = 0.1
HEAT_WEIGHT = 0.2


def run_model(model: VlaModel, batch: Batch, images_BVHWC: Tensor) -> Prediction:
    """Encode images once and answer all their sentences."""
    encoded = model.encode_images(images_BVHWC)
    words_NLE = model.encode_language(batch.ids_NL, batch.mask_NL)
    return model(encoded, words_NLE, batch.mask_NL, batch.proprioception_NP)


def losses(model: VlaModel, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
    """Return the terms of the loss: action (L1), grounded (BCE), heat (CE) and target (L1)."""
    asked = batch.asked_N >= 0
    actions = (batch.actions_NKA - model.action_mean) / model.action_std
    terms = {
        'action': (prediction.actions_BKA - actions)[asked].abs().mean(),
        'grounded': functional.binary_cross_entropy_with_logits(
            prediction.grounded_B, asked.float()
        ),
    }
    if prediction.heat_BDVHW is not None and prediction.targets_BD3 is not None:
        heat_BHW = prediction.heat_BDVHW[asked, 0, 0]
        place = place_weights(batch.pixels_N2[asked], *heat_BHW.shape[1:])
        terms['heat'] = HEAT_WEIGHT * functional.cross_entropy(heat_BHW.flatten(1), place)
        error = (prediction.targets_BD3[:, -1] - batch.targets_N3)[asked].abs().mean()
        terms['target'] = error / GOAL_SCALE_M
    return terms


def place_weights(pixels_N2: Tensor, rows: int, columns: int) -> Tensor:
    """Spread places (fractions of the image) over their four nearest cells, (N, rows·columns)."""
    x = (pixels_N2[:, :1] * columns - 0.5).clamp(0, columns - 1)
    y = (pixels_N2[:, 1:] * rows - 0.5).clamp(0, rows - 1)
    along_x = (1 - (x - torch.arange(columns, device=x.device)).abs()).clamp_min(0)
    along_y = (1 - (y - torch.arange(rows, device=y.device)).abs()).clamp_min(0)
    return (along_y.unsqueeze(2) * along_x.unsqueeze(1)).flatten(1)
