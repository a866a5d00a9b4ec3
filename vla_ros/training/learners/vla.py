"""What the VLA model learns from a batch: a chunk in L1, and where things are.

B sentences, V views, K chunk steps, A action, D places, P state.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import ConfigError
from vla_ros.policies.checkpoint import Manifest
from vla_ros.policies.vla.config import VlaConfig
from vla_ros.policies.vla.encoders import build_tokenizer
from vla_ros.policies.vla.heads import BinnedHead
from vla_ros.policies.vla.key_points import NEAR_M
from vla_ros.policies.vla.loading import save_vla
from vla_ros.policies.vla.model import Look, Prediction, VlaModel
from vla_ros.training.adapters import tune_encoder, without_adapters
from vla_ros.training.learners.learner import Ranges, mean_of, shared_mean
from vla_ros.training.objective import GOAL_SCALE_M, HEAT_WEIGHT, place_weights
from vla_ros.training.table_batches import Batch
from vla_ros.types import ARM_JOINTS

MIN_STD = 1e-3
OFFSET_WEIGHT = 0.5


class VlaLearner:
    """Trains a VLA model of one frame.

    Args:
        config: the architecture.
    """

    kind = 'vla'
    observation_horizon = 1

    def __init__(self, config: VlaConfig) -> None:
        self.config = config
        self.chunk_steps = config.chunk_steps
        self._tokenize = build_tokenizer(config)

    def build(self, ranges: Ranges) -> VlaModel:
        """Return a new model that normalises by the statistics of its data.

        Raises:
            ConfigError: statistics of other sizes than the configuration's.
            CheckpointError: pretrained weights that are nowhere, or do not fit.
        """
        config, model = self.config, VlaModel(self.config)
        size = config.proprioception_size
        if size not in (0, len(ranges.state_mean)) or len(ranges.action_mean) < config.action_size:
            raise ConfigError(
                f'the data holds states of {len(ranges.state_mean)} and actions of '
                f'{len(ranges.action_mean)} numbers; proprioception_size is {size}, '
                f'gripper {str(config.gripper).lower()} means '
                f'actions of {config.action_size}'
            )
        for buffer, values in (
            (model.proprioception_mean, ranges.state_mean[:size]),
            (model.proprioception_std, ranges.state_std[:size].clip(MIN_STD)),
            (model.action_mean, ranges.action_mean[: config.action_size]),
            (model.action_std, ranges.action_std[: config.action_size].clip(MIN_STD)),
        ):
            buffer.copy_(torch.as_tensor(values))
        if isinstance(model.head, BinnedHead):
            edges = (torch.as_tensor(v).float() for v in ranges.bins(config.action_size))
            model.head.fit_range(*((e - model.action_mean) / model.action_std for e in edges))
        tune_encoder(model.vision, config.vision_tuning, config.lora_rank)
        tune_encoder(model.language, config.language_tuning, config.lora_rank)
        return model

    def predict(self, model: VlaModel, batch: Batch) -> Prediction:
        """Encode each image once and answer all its sentences."""
        return model.act(self.look(model, batch))

    def look(self, model: VlaModel, batch: Batch) -> Look:
        """Return what the trunk says of a batch."""
        repeat, device = batch.sentences_per_image, model.action_mean.device
        encoded = model.encode_images(batch.images_BTVHWC[::repeat, -1])
        ids, mask = (torch.from_numpy(a).to(device) for a in self._tokenize(batch.instructions))
        words_BLE = model.encode_language(ids, mask)
        return model.look(encoded, words_BLE, mask, batch.state_BTP[:, -1])

    def losses(self, model: VlaModel, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the loss.

        Of the action what the head says (by default L1 of the normalised chunk: Zhao et al., ACT,
        2023), cross-entropy of whether the instruction names something in view, and, where it is
        known, of where that is and has to end (heat, cross-entropy; target, L1 in decimetres) and
        of how far the tool has to turn (L1).
        """
        prediction = self.predict(model, batch)
        grounded = functional.binary_cross_entropy_with_logits(
            prediction.grounded_B, batch.grounded_B.float()
        )
        return {**self.terms(model, prediction, batch), 'grounded': grounded}

    def terms(self, model: VlaModel, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """Return what a prediction loses, but for whether the instruction names something."""
        counts_BK = batch.valid_BK & batch.grounded_B[:, None]
        size = self.config.action_size
        actions_BKA = (batch.actions_BKA[..., :size] - model.action_mean) / model.action_std
        off_BK = model.head.off(prediction.features_BF, actions_BKA)
        return {'action': shared_mean(off_BK, counts_BK), **self._places(prediction, batch)}

    def _places(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        terms = {}
        if prediction.turn_B is not None:
            off_B = (prediction.turn_B - batch.turns_B.nan_to_num()).abs()
            terms['turn'] = shared_mean(off_B, batch.turns_B.isfinite())
        if prediction.targets_BD3 is None:
            return terms
        first = 2 - self.config.points  # of one point, where the tool should end
        points_BD3 = batch.points_B23[:, first:]
        if prediction.heat_BDVHW is not None:
            pixels_BV22 = batch.pixels_BV22[:, : self.config.point_views, first:]
            terms['heat'] = _heat(prediction.heat_BDVHW, pixels_BV22.transpose(1, 2))
        known_BD, points_BD3 = points_BD3.isfinite().all(-1), points_BD3.nan_to_num()
        off_BD = (prediction.targets_BD3 - points_BD3).abs().mean(-1)
        terms['target'] = shared_mean(off_BD, known_BD) / GOAL_SCALE_M
        if prediction.offsets_BD3 is not None:
            way_BD3 = points_BD3 - _tool(batch)
            off_BD = (prediction.offsets_BD3 - way_BD3).norm(dim=-1)
            share_BD = off_BD / (way_BD3.norm(dim=-1) + NEAR_M)
            terms['offset'] = OFFSET_WEIGHT * shared_mean(share_BD, known_BD)
        return terms

    @torch.no_grad()
    def errors(self, model: VlaModel, batch: Batch) -> dict[str, float]:
        """Return the mean error of velocities (rad/s), refusals that are wrong, goals' (mm)."""
        prediction = self.predict(model, batch)
        size = self.config.action_size
        actions_BKA = prediction.actions_BKA * model.action_std + model.action_mean
        off_BKA = (actions_BKA - batch.actions_BKA[..., :size]).abs()
        counts_BK = batch.valid_BK & batch.grounded_B[:, None]
        wrong_B = (prediction.grounded_B > 0) != batch.grounded_B
        found = {
            'action_rad_s': float(mean_of(off_BKA[..., :ARM_JOINTS].mean(-1), counts_BK)),
            'grounded_wrong': float(wrong_B.float().mean()),
        }
        if prediction.targets_BD3 is not None:
            points_BD3 = batch.points_B23[:, 2 - self.config.points :]
            off_BD = (prediction.targets_BD3 - points_BD3).norm(dim=-1)
            found['goal_mm'] = 1000 * float(off_BD.nanmedian())
            if prediction.offsets_BD3 is not None:
                way_BD3 = points_BD3 - _tool(batch)
                off_BD = (prediction.offsets_BD3 - way_BD3).norm(dim=-1)
                near = torch.where(way_BD3.norm(dim=-1) < 4 * NEAR_M, off_BD, torch.nan)
                found['near_mm'] = 1000 * float(near.nanmedian())
        if prediction.turn_B is not None:
            found['turn_rad'] = float((prediction.turn_B - batch.turns_B).abs().nanmedian())
        return found

    def save(
        self, model: VlaModel, folder: Path, embodiment: Embodiment, training: dict[str, Any]
    ) -> Manifest:
        """Write the model as a checkpoint."""
        plain = cast('VlaModel', without_adapters(model))
        return save_vla(folder, plain, embodiment, training)


def _heat(heat_BDVHW: Tensor, pixels_BDV2: Tensor) -> Tensor:
    seen_BDV = pixels_BDV2.isfinite().all(-1)
    heat_NHW = heat_BDVHW.flatten(0, 2)
    places = place_weights(pixels_BDV2.flatten(0, 2).nan_to_num(), *heat_NHW.shape[1:])
    entropy_N = functional.cross_entropy(heat_NHW.flatten(1), places, reduction='none')
    return HEAT_WEIGHT * shared_mean(entropy_N, seen_BDV.flatten())


def _tool(batch: Batch) -> Tensor:
    return batch.state_BTP[:, -1, None, ARM_JOINTS : ARM_JOINTS + 3]
