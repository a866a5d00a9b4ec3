"""Name or folder → policy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import CheckpointError, ConfigError, choose
from vla_ros.paths import policies_dir
from vla_ros.policies import plugins
from vla_ros.policies.checkpoint import Manifest, read_manifest
from vla_ros.policies.cliport.loading import load_cliport
from vla_ros.policies.hold import HoldPolicy
from vla_ros.policies.rt1.loading import load_rt1
from vla_ros.policies.vla.loading import load_vla
from vla_ros.types import Policy

_log = logging.getLogger(__name__)
HOLD = 'hold'
Loader = Callable[[Path, Manifest, Embodiment, torch.device], Policy]
LOADERS: dict[str, Loader] = {'cliport': load_cliport, 'rt1': load_rt1, 'vla': load_vla}
"""Architecture, as a manifest's `kind` names it, → loader of its checkpoints."""


def shipped_policies() -> list[str]:
    """Return the names of the checkpoints in the package."""
    return sorted(path.parent.name for path in policies_dir().glob('*/manifest.json'))


def load_policy(name_or_folder: str, embodiment: Embodiment, device: str = 'auto') -> Policy:
    """Load a policy for an arm: a shipped one by name, a checkpoint by its folder, or 'hold'.

    A shipped name wins over a folder of the same name, which './name' means. One that was written
    although its gate refused it is warned of.

    Raises:
        CheckpointError: no such checkpoint, a damaged one, or one made for another arm.
        ConfigError: the device is unknown or not there.
    """
    if name_or_folder == HOLD:
        return HoldPolicy()
    folder, shipped = Path(name_or_folder), shipped_policies()
    if name_or_folder in shipped:
        folder = policies_dir() / name_or_folder
    elif len(folder.parts) == 1 and not folder.exists():
        names = ', '.join([HOLD, *shipped])
        raise CheckpointError(f"policy '{name_or_folder}' is neither a folder nor one of: {names}")
    manifest = read_manifest(folder)
    if forced := manifest.training.get('forced'):
        _log.warning("policy '%s' passed no gate, it was written by --force: %s", folder, forced)
    return _loader(folder, manifest.kind)(folder, manifest, embodiment, choose_device(device))


def _loader(folder: Path, kind: str) -> Loader:
    if kind in LOADERS:
        return LOADERS[kind]
    found = plugins.installed(plugins.LOADERS)
    if kind not in found:
        known = ', '.join(sorted({*LOADERS, *found}))
        raise CheckpointError(
            f"{folder}: kind '{kind}'; known: {known}. Is the package installed that brings it?"
        )
    return found[kind].load()


def choose_device(name: str) -> torch.device:
    """Return the device: 'auto' takes CUDA where it is; 'cuda' never falls back to the CPU.

    Raises:
        ConfigError: an unknown name, or CUDA where there is none.
    """
    choose('device', name, ('auto', 'cpu', 'cuda'))
    available = torch.cuda.is_available()
    if name == 'cuda' and not available:
        raise ConfigError("device 'cuda' is not available here; use 'cpu' or 'auto'")
    return torch.device('cuda' if available and name != 'cpu' else 'cpu')
