"""Serve an RT-1 model: observation → action chunk, with the tokens of earlier frames kept."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import ObservationError
from vla_ros.policies.preprocessing import observed_state, scale_image
from vla_ros.policies.rt1.history import Frame, History, missing, tokens_of
from vla_ros.policies.rt1.language import build_sentence_tokenizer
from vla_ros.policies.rt1.model import MOVES, Prediction, Rt1Model
from vla_ros.types import ARM_JOINTS, ActionChunk, FloatArray, Observation

MOVES_ABOVE = 0.5


class Rt1Policy:
    """A trained RT-1 model.

    A frame is encoded once; only when the instruction changes are the last ones encoded again,
    because FiLM shows the sentence to the image encoder.

    Args:
        model: the network; moved to the device and set to evaluation mode.
        embodiment: the arm that it drives.
        device: where it runs; on CUDA in bfloat16, on the CPU in float32.
    """

    def __init__(self, model: Rt1Model, embodiment: Embodiment, device: torch.device) -> None:
        config = self._config = model.config
        self.cameras = config.cameras
        size = config.image_width, config.image_height
        self.camera_sizes = dict.fromkeys(config.cameras, size)
        self.execution_horizon = config.chunk_steps
        self.device = str(device)
        self.known_answer_off_rad_s: float | None = None
        self._device = device
        self._model = model.to(device).eval()
        self._embodiment = embodiment
        self.tokenize = build_sentence_tokenizer(config)
        self._history = History(config.frames, config.step_s)
        self._instruction: str | None = None
        self._sentence_1D: Tensor | None = None

    def reset(self) -> None:
        """Forget the episode: its frames and its instruction."""
        self._history.clear()
        self._instruction = self._sentence_1D = None

    def infer(self, observation: Observation) -> ActionChunk:
        """Predict the next actions and hold the last of them until the next answer comes.

        Zero velocities, with a note, when the instruction names nothing in view or no task.

        Raises:
            ObservationError: a camera is missing or its image cannot be used.
        """
        try:
            self.tokenize([observation.instruction])
        except ObservationError as error:  # of the instruction: the arm stays, the node lives on
            return self._chunk(observation, None, 0.0, str(error))
        prediction = self._predict(observation)
        confidence = _confidence(prediction)
        if not observation.instruction.strip():
            confidence = 0.0  # empty means stop; it is no sentence to judge
        if confidence >= MOVES_ABOVE:
            likeliest_KA = prediction.actions_BTKAX[0, -1].argmax(-1)
            actions = self._model.bins.decode(likeliest_KA).cpu().numpy().astype(np.float64)
            return self._chunk(observation, actions, confidence, '')
        note = f"sees nothing that '{observation.instruction}' asks for; the arm stays"
        return self._chunk(observation, None, confidence, note)

    def predict(self, observation: Observation) -> tuple[FloatArray, float]:
        """Return velocities (K, 7) in rad/s and the confidence, whether it is believed or not.

        The mean over the bins by their probabilities: unlike the likeliest bin, which is driven,
        it differs little where another processor's arithmetic does.
        """
        prediction = self._predict(observation)
        weights_KAX = prediction.actions_BTKAX[0, -1].float().softmax(-1)
        actions_KA = self._model.bins.mean(weights_KAX)
        velocities = actions_KA[:, :ARM_JOINTS].cpu().numpy().astype(np.float64)
        return velocities, _confidence(prediction)

    @torch.inference_mode()
    def _predict(self, observation: Observation) -> Prediction:
        frame = Frame(observation.stamp_ns, self._images(observation), self._state(observation))
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=self._device.type == 'cuda'
        ):
            sentence_1D = self._sentence(observation.instruction)
            self._history.add(frame)
            window = self._history.window()
            self._encode(missing(window), sentence_1D)
            return self._model(tokens_of(window).unsqueeze(0))

    def _encode(self, frames: list[Frame], sentence_1D: Tensor) -> None:
        if not frames:
            return
        images = torch.stack([frame.images_VHWC for frame in frames])
        states = torch.stack([frame.state_P for frame in frames])
        sentences = sentence_1D.expand(len(frames), -1)
        tokens_NCE, _ = self._model.encode_frames(images, sentences, states)
        for frame, tokens_CE in zip(frames, tokens_NCE, strict=True):
            frame.tokens_CE = tokens_CE

    def _sentence(self, instruction: str) -> Tensor:
        if self._sentence_1D is None or instruction != self._instruction:
            ids, mask = self.tokenize([instruction])
            ids_1L, mask_1L = (torch.from_numpy(a).to(self._device) for a in (ids, mask))
            self._sentence_1D = self._model.encode_language(ids_1L, mask_1L)
            self._instruction = instruction
            self._history.forget_tokens()
        return self._sentence_1D

    def _images(self, observation: Observation) -> Tensor:
        missing_cameras = [name for name in self.cameras if name not in observation.images]
        if missing_cameras:
            raise ObservationError(
                f"no image of camera '{missing_cameras[0]}'; have: {', '.join(observation.images)}"
            )
        width, height = self._config.image_width, self._config.image_height
        views = [scale_image(observation.images[name], width, height) for name in self.cameras]
        return torch.from_numpy(np.stack(views)).to(self._device)

    def _state(self, observation: Observation) -> Tensor:
        state = observed_state(self._embodiment, observation, self._config.state_size)
        return torch.from_numpy(state).float().to(self._device)

    def _chunk(
        self, observation: Observation, actions: FloatArray | None, confidence: float, note: str
    ) -> ActionChunk:
        """Return the actions, the last of them held; without any, rest with the gripper as is."""
        config = self._config
        if actions is None:
            rest = np.zeros((config.chunk_steps + config.hold_steps, ARM_JOINTS))
            return ActionChunk(rest, config.step_s, observation.stamp_ns, confidence, note)
        held = np.concatenate([actions, np.repeat(actions[-1:], config.hold_steps, axis=0)])
        openings = held[:, ARM_JOINTS] if config.gripper else None
        velocities = held[:, :ARM_JOINTS]
        stamp_ns = observation.stamp_ns
        return ActionChunk(velocities, config.step_s, stamp_ns, confidence, note, openings)


def _confidence(prediction: Prediction) -> float:
    return float(prediction.modes_BT2[0, -1].float().softmax(-1)[MOVES])
