"""Where the package's own files are, in a source tree and in both kinds of install."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def share_dir() -> Path:
    """Return the folder that holds `config/` and `launch/`.

    A source tree (an editable install, too) is its own share folder; else it is `share/vla_ros`
    under the prefix that the package is installed in, as ament lays it out.
    """
    if (PACKAGE.parent / 'package.xml').is_file():
        return PACKAGE.parent
    prefixes = [*PACKAGE.parents, Path(sys.prefix)]
    prefixes += [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    for prefix in prefixes:
        if (prefix / 'share' / 'vla_ros' / 'config').is_dir():
            return prefix / 'share' / 'vla_ros'
    raise FileNotFoundError('share/vla_ros is not installed beside the package; install it again')


def config_dir() -> Path:
    """Return the folder of the YAML files that describe arms, policies and the guard."""
    return share_dir() / 'config'


def policies_dir() -> Path:
    """Return the folder of the checkpoints that ship with the package."""
    return PACKAGE / 'checkpoints'
