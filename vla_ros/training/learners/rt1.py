"""What RT-1 learns from a batch (Brohan et al., RT-1, 2022, section 5.2).

B batch, T frames, V views, K chunk steps, A action, P state, D sentence, X bins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import ConfigError
from vla_ros.policies.checkpoint import Manifest
from vla_ros.policies.rt1.config import TASK_ID, Rt1Config
from vla_ros.policies.rt1.language import build_sentence_tokenizer
from vla_ros.policies.rt1.loading import save_rt1
from vla_ros.policies.rt1.model import Prediction, Rt1Model, build_rt1
from vla_ros.training.learners.learner import Ranges, mean_of, shared_mean
from vla_ros.training.objective import place_weights
from vla_ros.training.table_batches import Batch
from vla_ros.types import ARM_JOINTS

LOOK_WEIGHT = 0.2
MIN_STD = 1e-3


class Rt1Learner:
    """Trains an RT-1 model.

    Args:
        config: the architecture.
        through_history: let the gradient reach the encoding of earlier frames, as in the paper.
            Without it they are encoded as in service, where their tokens are kept, and a step
            takes less than half the time.
    """

    kind = 'rt1'

    def __init__(self, config: Rt1Config, *, through_history: bool = False) -> None:
        self.config = config
        self.observation_horizon = config.frames
        self.chunk_steps = config.chunk_steps
        self.verbatim = config.language == TASK_ID
        self._through_history = through_history
        self._tokenize = build_sentence_tokenizer(config)

    def build(self, ranges: Ranges) -> Rt1Model:
        """Return a new model that normalises and bins by the ranges of its data.

        The range of a velocity is symmetric, so that rest is the middle of a bin.

        Raises:
            ConfigError: statistics of other sizes than the configuration's.
            CheckpointError: pretrained weights that are nowhere, or do not fit.
        """
        model, config = build_rt1(self.config), self.config
        mean, std = (torch.as_tensor(v).float() for v in (ranges.state_mean, ranges.state_std))
        least, most = (torch.as_tensor(v).float() for v in ranges.bins(config.action_size))
        if len(mean) != config.state_size or len(least) < config.action_size:
            raise ConfigError(
                f'the data holds states of {len(mean)} and actions of {len(least)} numbers; '
                f'state_size is {config.state_size}, gripper {str(config.gripper).lower()} '
                f'means actions of {config.action_size}'
            )
        model.state_mean.copy_(mean)
        model.state_std.copy_(std.clamp_min(MIN_STD))
        model.bins.low_A.copy_(least)
        model.bins.high_A.copy_(most)
        return model

    def predict(self, model: Rt1Model, batch: Batch) -> tuple[Prediction, Tensor]:
        """Return the prediction after each frame, and where the newest frame's tokens look."""
        device = model.state_mean.device
        ids, mask = (torch.from_numpy(a).to(device) for a in self._tokenize(batch.instructions))
        sentence_BD = model.encode_language(ids, mask)
        newest = self._encode(model, batch, sentence_BD, slice(-1, None))
        tokens_BTCE = newest[0]
        if batch.images_BTVHWC.shape[1] > 1:
            with torch.set_grad_enabled(torch.is_grad_enabled() and self._through_history):
                earlier = self._encode(model, batch, sentence_BD, slice(None, -1))
            tokens_BTCE = torch.cat([earlier[0], tokens_BTCE], dim=1)
        return model(tokens_BTCE), newest[1][:, 0]

    def losses(self, model: Rt1Model, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the loss.

        Cross-entropy of the action's bins after the newest frame, of the mode, and, where it is
        known, of where the first two image tokens should look: at the object and at its goal. The
        last is not the paper's; it takes nothing but labels, and small data teaches with it.
        """
        prediction, looks = self.predict(model, batch)
        size = self.config.action_size
        counts_BK = batch.valid_BK & batch.grounded_B[:, None]
        actions_BKA = torch.where(counts_BK[..., None], batch.actions_BKA[..., :size], 0.0)
        logits_BKAX = prediction.actions_BTKAX[:, -1]
        entropy_BKA = functional.cross_entropy(
            logits_BKAX.movedim(-1, 1), model.bins.encode(actions_BKA), reduction='none'
        )
        terms = {
            'action': shared_mean(entropy_BKA.mean(-1), counts_BK),
            'mode': functional.cross_entropy(prediction.modes_BT2[:, -1], batch.grounded_B.long()),
        }
        return {**terms, 'look': LOOK_WEIGHT * _look(looks, batch)}

    @torch.no_grad()
    def errors(self, model: Rt1Model, batch: Batch) -> dict[str, float]:
        """Return the mean error of the likeliest action (SI units) and of the mode (share)."""
        prediction, _ = self.predict(model, batch)
        actions_BKA = model.bins.decode(prediction.actions_BTKAX[:, -1].argmax(-1))
        counts_BK = batch.valid_BK & batch.grounded_B[:, None]
        off_BKA = (actions_BKA - batch.actions_BKA[..., : self.config.action_size]).abs()
        off_BK = torch.where(counts_BK, off_BKA[..., :ARM_JOINTS].mean(-1), 0.0)
        right_B = prediction.modes_BT2[:, -1].argmax(-1) == batch.grounded_B.long()
        return {
            'action_rad_s': float(mean_of(off_BK, counts_BK)),
            'mode_wrong': float((~right_B).float().mean()),
        }

    def save(
        self, model: Rt1Model, folder: Path, embodiment: Embodiment, training: dict[str, Any]
    ) -> Manifest:
        """Write the model as a checkpoint."""
        return save_rt1(folder, model, embodiment, training)

    def _encode(
        self, model: Rt1Model, batch: Batch, sentence_BD: Tensor, frames: slice
    ) -> tuple[Tensor, Tensor]:
        """Return tokens (B, T', C, E) of some frames and where they look, (B, T', V, …)."""
        images, states = batch.images_BTVHWC[:, frames], batch.state_BTP[:, frames]
        count = images.shape[1]
        tokens, looks = model.encode_frames(
            images.flatten(0, 1), sentence_BD.repeat_interleave(count, 0), states.flatten(0, 1)
        )
        return tokens.unflatten(0, (-1, count)), looks.unflatten(0, (-1, count))


def _look(looks_BVMHW: Tensor, batch: Batch) -> Tensor:
    """Return the cross-entropy of where two tokens of the first view look, as far as known."""
    count = min(2, looks_BVMHW.shape[2])
    pixels_B22 = batch.pixels_BV22[:, 0, :count]
    known_B2 = pixels_B22.isfinite().all(-1) & batch.grounded_B[:, None]
    looks_NHW = looks_BVMHW[:, 0, :count].flatten(0, 1)
    pixels_N2 = pixels_B22.flatten(0, 1).nan_to_num().to(looks_NHW.dtype)
    places = place_weights(pixels_N2, *looks_NHW.shape[1:])
    entropy_N = functional.cross_entropy(looks_NHW.flatten(1), places, reduction='none')
    return shared_mean(entropy_N, known_B2.flatten())
