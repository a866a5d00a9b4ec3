"""Serve a CLIPort model: look, decide where to pick and to place, and move."""

from __future__ import annotations

import numpy as np
import torch

from vla_ros.core.camera import CameraCalibration
from vla_ros.core.embodiment import Embodiment
from vla_ros.core.kinematics import joint_origins
from vla_ros.errors import ConfigError, ObservationError
from vla_ros.policies.cliport.config import PRIMITIVES
from vla_ros.policies.cliport.height_map import HeightMap, MapGeometry, height_map
from vla_ros.policies.cliport.language import build_tokenizer
from vla_ros.policies.cliport.model import CliportModel
from vla_ros.policies.cliport.mover import Mover
from vla_ros.policies.cliport.waypoints import Decision, Waypoint, waypoints
from vla_ros.types import ARM_JOINTS, ActionChunk, FloatArray, Observation

MOVES_ABOVE = 0.1
"""Probability around the pick below which the model is taken not to know what is meant."""
NEAR_PIXELS = 2
LOOK_OUTSIDE_M, LOOK_HEIGHT_M = 0.05, 0.45
LOOK_TOLERANCE_M = 0.03
ATTEMPTS = 3
DOUBT_S = 1.0  # until a scene in which nothing was found is looked at again


class CliportPolicy:
    """A trained CLIPort model with its mover.

    The arm draws back so that the camera sees the table; the model decides once; the mover carries
    it out. A grasp that holds nothing, or a waypoint out of reach, begins anew, at most
    `ATTEMPTS` times. Another instruction begins anew, too.

    Args:
        model: the network; moved to the device and set to evaluation mode.
        embodiment: the arm; its camera needs a depth topic and a calibration.
        device: where the network runs, in float32.
    """

    reads_gripper = True
    settles_s = 2.0
    """By then the arm has drawn back."""

    def __init__(self, model: CliportModel, embodiment: Embodiment, device: torch.device) -> None:
        config = self._config = model.config
        self.cameras = self.depth_cameras = config.cameras
        (self._camera,) = config.cameras
        self.camera_sizes = {self._camera: (config.image_width, config.image_height)}
        self.execution_horizon = 1
        self.device = str(device)
        self.known_answer_off_rad_s: float | None = None
        self._device = device
        self._model = model.to(device).eval()
        self._calibration = calibration_of(embodiment, self._camera)
        self._kinematics = embodiment.kinematics
        self._mover = Mover(embodiment)
        self.tokenize = build_tokenizer(config)
        self.look_m = look_point_m(config.geometry)
        self.reset()

    def reset(self) -> None:
        """Forget the episode: its instruction, what was decided, and how far it got."""
        self._instruction = ''
        self._decision: Decision | None = None
        self._failures = 0
        self._doubt_until_s = -np.inf
        self._looking = False

    @property
    def decision(self) -> Decision | None:
        """What is carried out now; None before the table was seen."""
        return self._decision

    def infer(self, observation: Observation) -> ActionChunk:
        """Return the mover's next actions; zero velocities, with a note, when nothing is meant.

        Raises:
            ObservationError: no image, no depth image or no gripper opening.
        """
        if observation.gripper_opening_m is None:
            raise ObservationError('no gripper opening, which the policy needs')
        if observation.instruction != self._instruction:
            self.reset()
            self._instruction = observation.instruction
        if not observation.instruction.strip():
            return self._rest(observation, 0.0, '')
        if self._mover.failed and self._decision is not None:
            self._failures += 1
            self._decision, self._looking = None, False
        if self._failures >= ATTEMPTS:
            note = f'given up after {ATTEMPTS} attempts: {self._mover.failed}'
            return self._rest(observation, 0.0, note)
        now_s = observation.stamp_ns / 1e9
        if self._decision is None:
            if not self._out_of_view(observation.joint_positions_rad):
                return self._draw_back(observation, now_s)
            if now_s < self._doubt_until_s:
                return self._rest(observation, 0.0, self._doubt)
            seen = self.see(observation)
            decision = self.decide(seen, observation.instruction)
            if decision.confidence < MOVES_ABOVE:
                self._doubt_until_s = now_s + DOUBT_S
                return self._rest(observation, decision.confidence, self._doubt)
            self._decision = decision
            self._mover.start(waypoints(decision, seen, self._config.geometry), now_s)
        return self._move(observation, now_s, self._decision.confidence, '')

    def predict(self, observation: Observation) -> tuple[FloatArray, float]:
        """Return velocities (K, 7) in rad/s and the confidence, whether it is believed or not.

        Towards the mean of the pixels by their probabilities: unlike the likeliest, which is
        driven to, it differs little where another processor's arithmetic does. Depth that is
        missing counts as the table's.
        """
        seen = self.see(observation, needs_depth=False)
        chances, _ = self._pick(seen, observation.instruction)
        grid = np.moveaxis(np.mgrid[: chances.shape[0], : chances.shape[1]], 0, -1)
        mean = (chances[..., None] * grid).sum(axis=(0, 1))
        goal = np.append(self._config.geometry.point_m(mean), LOOK_HEIGHT_M / 2)
        mover = self._mover
        mover.start([Waypoint(goal, 0.0)], 0.0)
        steps, step_s = self._config.chunk_steps, self._config.step_s
        velocities, _ = mover.chunk(observation.joint_positions_rad, 0.0, 0.0, steps, step_s)
        return velocities, _around(chances)[1]

    def see(self, observation: Observation, *, needs_depth: bool = True) -> HeightMap:
        """Return the height map of an observation.

        Raises:
            ObservationError: no image or no depth image of the camera.
        """
        name = self._camera
        if name not in observation.images:
            raise ObservationError(
                f"no image of camera '{name}'; have: {', '.join(observation.images)}"
            )
        depth_m = observation.depths_m.get(name)
        if depth_m is None and needs_depth:
            raise ObservationError(
                f"no depth image of camera '{name}'; have: "
                f'{", ".join(observation.depths_m) or "none"}'
            )
        geometry = self._config.geometry
        return height_map(geometry, observation.images[name], depth_m, self._calibration)

    @torch.inference_mode()
    def decide(self, seen: HeightMap, instruction: str) -> Decision:
        """Return where to pick, where to place, and which primitive it is."""
        chances, sentence = self._pick(seen, instruction)
        pick, confidence = _around(chances)
        primitive = PRIMITIVES[int(self._model.primitive(sentence)[0].argmax())]
        place, turn_rad = pick, 0.0
        if primitive in ('push', 'put'):
            logits_NHW = self._model.place(self._maps(seen), sentence, [pick])[0]
            turn, row, column = np.unravel_index(int(logits_NHW.argmax()), logits_NHW.shape)
            place, turn_rad = (int(row), int(column)), 2 * np.pi * int(turn) / len(logits_NHW)
        return Decision(primitive, pick, place, turn_rad, confidence)

    @torch.inference_mode()
    def _pick(self, seen: HeightMap, instruction: str) -> tuple[FloatArray, torch.Tensor]:
        """Return the probabilities of the pick, (H, W), and the sentence, (1, D)."""
        ids, mask = (torch.from_numpy(a).to(self._device) for a in self.tokenize([instruction]))
        sentence = self._model.encode_language(ids, mask)
        logits_HW = self._model.pick(self._maps(seen), sentence)[0]
        chances = logits_HW.flatten().softmax(0).view_as(logits_HW)
        return chances.cpu().numpy().astype(np.float64), sentence

    def _maps(self, seen: HeightMap) -> torch.Tensor:
        parts = (torch.from_numpy(a).to(self._device) for a in (seen.colours, seen.heights_m))
        colours, heights = (part.unsqueeze(0) for part in parts)
        return self._model.inputs(colours, heights)

    @property
    def _doubt(self) -> str:
        return f"sees nothing that '{self._instruction}' asks for; the arm stays"

    def _out_of_view(self, position: FloatArray) -> bool:
        """Tell whether the whole arm is nearer to the base than the map."""
        assert self._kinematics is not None
        edge = self.look_m[0] + LOOK_TOLERANCE_M
        return bool(joint_origins(self._kinematics, position)[:, 0].max() < edge)

    def _draw_back(self, observation: Observation, now_s: float) -> ActionChunk:
        if not self._looking:
            opening = observation.gripper_opening_m or 0.0
            way = [Waypoint(self.look_m, opening, tolerance_m=0.01)]
            if self._failures:  # upwards first: the fingers may be around something
                way = [Waypoint(way[0].tool_m, 0.08, tolerance_m=0.01)]
            self._mover.start(way, now_s)
            self._looking = True
        return self._move(observation, now_s, 1.0, 'draws back to see the table')

    def _move(
        self, observation: Observation, now_s: float, confidence: float, note: str
    ) -> ActionChunk:
        config = self._config
        velocities, openings = self._mover.chunk(
            observation.joint_positions_rad, observation.gripper_opening_m or 0.0, now_s,
            config.chunk_steps, config.step_s,
        )  # fmt: skip
        if self._mover.failed:
            velocities[:], note = 0.0, self._mover.failed
        stamp_ns = observation.stamp_ns
        return ActionChunk(velocities, config.step_s, stamp_ns, confidence, note, openings)

    def _rest(self, observation: Observation, confidence: float, note: str) -> ActionChunk:
        rest = np.zeros((self._config.chunk_steps, ARM_JOINTS))
        return ActionChunk(rest, self._config.step_s, observation.stamp_ns, confidence, note)


def look_point_m(geometry: MapGeometry) -> FloatArray:
    """Return where the tool is, (3,) in the base frame, while the camera looks at the table."""
    return np.array([geometry.near_m - LOOK_OUTSIDE_M, 0.0, LOOK_HEIGHT_M])


def calibration_of(embodiment: Embodiment, camera: str) -> CameraCalibration:
    """Return where a camera of the arm is.

    Raises:
        ConfigError: the arm has no such camera, or its YAML does not say.
    """
    config = embodiment.cameras.get(camera)
    if config is None or config.calibration is None:
        raise ConfigError(
            f"cameras: '{camera}' of arm '{embodiment.name}' has no calibration in "
            f'{embodiment.source}; give its position_m, orientation_wxyz and focal_px, as camera '
            'top in config/arms/sim.yaml has them'
        )
    return config.calibration


def _around(chances: FloatArray) -> tuple[tuple[int, int], float]:
    """Return the likeliest pixel and the probability of it and its neighbours."""
    row, column = np.unravel_index(int(chances.argmax()), chances.shape)
    near = chances[
        max(0, row - NEAR_PIXELS) : row + NEAR_PIXELS + 1,
        max(0, column - NEAR_PIXELS) : column + NEAR_PIXELS + 1,
    ]
    return (int(row), int(column)), float(near.sum())
