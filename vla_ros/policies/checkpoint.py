"""A checkpoint is a folder: config.json, model.safetensors, manifest.json."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from vla_ros.core.embodiment import Embodiment
from vla_ros.core.strict_yaml import build, typed
from vla_ros.errors import CheckpointError, ConfigError, VlaRosError

FORMAT = 1
CONFIG, WEIGHTS, MANIFEST = 'config.json', 'model.safetensors', 'manifest.json'
MAX_JSON_BYTES = 8_000_000
UNITS = {'position': 'rad', 'velocity': 'rad/s'}


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint was made for and from; checked against the arm before it may drive it.

    Attributes:
        kind: name of the policy's architecture in the registry.
        joints: joint names in the order of the action.
        rate_hz: steps of a chunk per second.
        cameras: camera name → (width, height) that the model sees.
        statistics: name → mean and std that inputs and outputs are normalised with.
        language: language of the instructions (BCP 47).
        training: data, seeds and command that made it.
        weights_sha256: hash of model.safetensors.
        known_answer: first velocities (7,) in rad/s that the policy must give for a known input,
            which shows that normalisation is really applied; None where nobody wrote it down.
    """

    kind: str
    joints: tuple[str, ...]
    rate_hz: float
    cameras: Mapping[str, tuple[int, int]]
    statistics: Mapping[str, Mapping[str, tuple[float, ...]]]
    training: Mapping[str, Any]
    weights_sha256: str
    language: str = 'en'
    units: Mapping[str, str] = field(default_factory=lambda: dict(UNITS))
    format: int = FORMAT
    known_answer: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a camera without a size, and a rate at which nothing could be done."""
        for name, size in self.cameras.items():
            if len(size) != 2 or min(size) < 1:
                raise ConfigError(f"cameras: '{name}': {list(size)} is no width and height")
        if not 0 < self.rate_hz < math.inf:
            raise ConfigError(f'rate_hz: {self.rate_hz} is not positive')


def save_checkpoint(
    folder: Path,
    config: Any,  # noqa: ANN401 - the dataclass of the architecture
    weights: Mapping[str, torch.Tensor],
    **manifest: Any,  # noqa: ANN401 - the fields of Manifest but for the hash
) -> Manifest:
    """Write a checkpoint and return its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS
    safetensors.torch.save_file({k: v.contiguous() for k, v in weights.items()}, path)
    written = Manifest(**manifest, weights_sha256=_sha256(path))
    for name, content in ((CONFIG, config), (MANIFEST, written)):
        text = json.dumps(asdict(content), indent=2, sort_keys=True)
        (folder / name).write_text(text + '\n', encoding='utf-8')
    return written


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest and check the weights' hash.

    Raises:
        CheckpointError: names the file and the field that is missing or wrong.
    """
    if not folder.is_dir():
        raise CheckpointError(f"checkpoint folder '{folder}' does not exist")
    content = read_json(folder / MANIFEST)
    if content.get('format') != FORMAT:
        raise CheckpointError(
            f'{folder / MANIFEST}: format: {content.get("format")!r}; this version reads {FORMAT}'
        )
    try:
        where = str(folder / MANIFEST)
        manifest: Manifest = build(Manifest, typed(Manifest, content, where), where)
    except VlaRosError as error:
        text = str(error)
        text = text if str(folder) in text else f'{folder / MANIFEST}: {text}'
        raise CheckpointError(text) from error
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"'{path}' is missing; weights are read from safetensors only")
    if _sha256(path) != manifest.weights_sha256:
        raise CheckpointError(
            f"'{path}': weights_sha256 is not the manifest's; the file is "
            'damaged or was exchanged; get the checkpoint again'
        )
    return manifest


def check_embodiment(folder: Path, manifest: Manifest, embodiment: Embodiment) -> None:
    """Refuse a checkpoint that was made for another arm, naming the field that differs.

    Raises:
        CheckpointError: other joints, units or cameras than the arm has.
    """
    where = folder / MANIFEST
    if list(manifest.joints) != list(embodiment.joints):
        raise CheckpointError(
            f'{where}: joints: {", ".join(manifest.joints)}; arm '
            f"'{embodiment.name}' has {', '.join(embodiment.joints)}"
        )
    if dict(manifest.units) != UNITS:
        raise CheckpointError(f'{where}: units: {dict(manifest.units)}; {UNITS} is needed')
    for camera, (width, height) in manifest.cameras.items():
        have = embodiment.cameras.get(camera)
        if have is None:
            raise CheckpointError(
                f"{where}: cameras: '{camera}'; arm '{embodiment.name}' has "
                f'{", ".join(embodiment.cameras) or "none"}'
            )
        if have.width < width or have.height < height:
            raise CheckpointError(
                f"{where}: cameras: '{camera}' needs {width}x{height}; arm "
                f"'{embodiment.name}' has {have.width}x{have.height}"
            )


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Read the weights; nothing in the file can run.

    Raises:
        CheckpointError: not a safetensors file, or a damaged one.
    """
    try:
        return safetensors.torch.load_file(folder / WEIGHTS)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"'{folder / WEIGHTS}' is no safetensors file: {error}") from error


def check_shapes(folder: Path, model: torch.nn.Module) -> None:
    """Compare the shapes that the weights' header states with those of a model.

    The model may be on the meta device: so a configuration that lies costs no memory.

    Raises:
        CheckpointError: not a safetensors file, or its tensors are others than the model's.
    """
    path = folder / WEIGHTS
    try:
        with safetensors.safe_open(path, 'pt') as file:
            names = file.keys()
            stated = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"'{path}' is no safetensors file: {error}") from error
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name in sorted(wanted.keys() | stated.keys()):
        if wanted.get(name) != stated.get(name):
            raise CheckpointError(
                f"checkpoint '{folder}' does not fit its {CONFIG}: '{name}' is "
                f'{stated.get(name, "missing")} in {WEIGHTS}, {CONFIG} makes it '
                f'{wanted.get(name, "superfluous")}'
            )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: no such file, or not a JSON object.
    """
    try:
        with path.open('rb') as file:
            text = file.read(MAX_JSON_BYTES + 1)
        if len(text) > MAX_JSON_BYTES:
            raise CheckpointError(f"'{path}' is larger than {MAX_JSON_BYTES} bytes")
        content = json.loads(text)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"'{path}' is missing; a checkpoint is a folder with {CONFIG}, "
            f'{WEIGHTS} and {MANIFEST}'
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"'{path}' is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"'{path}' does not hold a JSON object")
    return content


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
