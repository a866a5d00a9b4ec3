"""Serve a VLA model: observation → action chunk."""

from __future__ import annotations

import numpy as np
import torch

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import ObservationError
from vla_ros.policies.preprocessing import observed_state, scale_image
from vla_ros.policies.vla.encoders import build_tokenizer
from vla_ros.policies.vla.model import VlaModel
from vla_ros.types import ARM_JOINTS, EXECUTION_HORIZON, ActionChunk, FloatArray, Observation

GROUNDED_ABOVE = 0.5
HELD_STEPS = 2
"""A single action is held for so many steps more, until the next answer comes."""


class VlaPolicy:
    """A trained VLA model. The instruction is encoded once and kept until it changes.

    Args:
        model: the network; moved to the device and set to evaluation mode.
        embodiment: the arm that it drives.
        device: where it runs; on CUDA in bfloat16, on the CPU in float32.
    """

    def __init__(self, model: VlaModel, embodiment: Embodiment, device: torch.device) -> None:
        self.cameras = model.config.cameras
        size = model.config.image_width, model.config.image_height
        self.camera_sizes = dict.fromkeys(model.config.cameras, size)
        self.execution_horizon = min(EXECUTION_HORIZON, model.config.chunk_steps)
        self._config = model.config
        self._model = model.to(device).eval()
        self._embodiment = embodiment
        self.device = str(device)
        self.known_answer_off_rad_s: float | None = None
        self._device = device
        self.tokenize = build_tokenizer(model.config)
        self._instruction: str | None = None
        self._words: tuple[torch.Tensor, torch.Tensor] | None = None

    def reset(self) -> None:
        """Forget the instruction; a VLA model keeps nothing else."""
        self._instruction = self._words = None

    def infer(self, observation: Observation) -> ActionChunk:
        """Predict a chunk; zeros, with a note, when the instruction names nothing in view.

        Raises:
            ObservationError: a camera is missing or its image cannot be used.
        """
        actions, confidence = self._act(observation)
        if len(actions) == 1:
            actions = actions.repeat(1 + HELD_STEPS, axis=0)
        velocities, openings = actions[:, :ARM_JOINTS], None
        if not observation.instruction.strip():
            confidence = 0.0  # empty means stop; it is no sentence to judge
        note = ''
        if not confidence >= GROUNDED_ABOVE:
            actions, velocities = actions[:0], np.zeros_like(velocities)
            note = (
                f"sees nothing that '{observation.instruction}' names; the arm stays. Name the "
                "colour and the shape of an object on the table, as in 'reach the red cube'"
            )
        if self._config.gripper and len(actions):
            openings = self._possible(actions[:, ARM_JOINTS])
        return ActionChunk(
            velocities, self._config.step_s, observation.stamp_ns, confidence, note, openings
        )

    def _possible(self, openings_m: FloatArray) -> FloatArray:
        """Return openings within the gripper's range: a regression is a hair beyond its ends.

        The guard would refuse the whole chunk; one that is not finite stays for it to refuse.
        """
        gripper = self._embodiment.gripper
        return openings_m if gripper is None else np.clip(openings_m, 0.0, gripper.opening_max_m)

    def predict(self, observation: Observation) -> tuple[FloatArray, float]:
        """Return velocities (K, 7) in rad/s and the confidence, whether it is believed or not."""
        actions, confidence = self._act(observation)
        return actions[:, :ARM_JOINTS], confidence

    @torch.inference_mode()
    def _act(self, observation: Observation) -> tuple[FloatArray, float]:
        """Return actions (K, A) and the confidence."""
        images = torch.from_numpy(self._images(observation)).to(self._device)
        size = self._config.proprioception_size
        state = observed_state(self._embodiment, observation, size)
        state_BP = torch.from_numpy(state).float().unsqueeze(0).to(self._device)
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=self._device.type == 'cuda'
        ):
            words_BLE, mask_BL = self._encode(observation.instruction)
            encoded = self._model.encode_images(images)
            prediction = self._model(encoded, words_BLE, mask_BL, state_BP)
        confidence = float(prediction.grounded_B.float().sigmoid())
        return self._in_si_units(prediction.actions_BKA[0]), confidence

    def _images(self, observation: Observation) -> np.ndarray:
        missing = [name for name in self.cameras if name not in observation.images]
        if missing:
            raise ObservationError(
                f"no image of camera '{missing[0]}'; have: {', '.join(observation.images)}"
            )
        width, height = self._config.image_width, self._config.image_height
        views = [scale_image(observation.images[name], width, height) for name in self.cameras]
        return np.stack(views)[None]

    def _encode(self, instruction: str) -> tuple[torch.Tensor, torch.Tensor]:
        if self._words is None or instruction != self._instruction:
            ids, mask = self.tokenize([instruction])
            mask_BL = torch.from_numpy(mask).to(self._device)
            ids_BL = torch.from_numpy(ids).to(self._device)
            self._words = self._model.encode_language(ids_BL, mask_BL), mask_BL
            self._instruction = instruction
        return self._words

    def _in_si_units(self, actions_KA: torch.Tensor) -> FloatArray:
        """Undo the normalisation; a chunk that is not finite is left to the guard to refuse."""
        model = self._model
        actions = actions_KA.float() * model.action_std + model.action_mean
        return actions.cpu().numpy().astype(np.float64)
