"""A checkpoint is a folder: config.json, model.safetensors, manifest.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from vla_ros.core.embodiment import Embodiment, build
from vla_ros.errors import CheckpointError, VlaRosError

FORMAT = 1
CONFIG, WEIGHTS, MANIFEST = 'config.json', 'model.safetensors', 'manifest.json'
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
    statistics: Mapping[str, Mapping[str, list[float]]]
    training: Mapping[str, Any]
    weights_sha256: str
    language: str = 'en'
    units: Mapping[str, str] = field(default_factory=lambda: dict(UNITS))
    format: int = FORMAT
    known_answer: list[float] | None = None


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
        manifest: Manifest = build(Manifest, content, str(folder / MANIFEST))
    except VlaRosError as error:
        raise CheckpointError(str(error)) from error
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


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: no such file, or not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"'{path}' is missing; a checkpoint is a folder with {CONFIG}, "
            f'{WEIGHTS} and {MANIFEST}'
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"'{path}' is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"'{path}' does not hold a JSON object")
    return content


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
