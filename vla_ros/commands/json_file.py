"""The option --json of the commands that measure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import tyro

from vla_ros.errors import ConfigError

JsonFile = Annotated[Path | None, tyro.conf.arg(name='json')]


def check_json_file(path: Path | None) -> None:
    """Refuse a file that could not be written; called before anything is measured.

    Raises:
        ConfigError: it is a folder, or there is no folder to hold it.
    """
    if path is None:
        return
    if path.is_dir():
        raise ConfigError(f"--json '{path}' is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ConfigError(f"--json '{path}': there is no folder '{path.parent}'; make it first")


def write_json(path: Path | None, content: object) -> None:
    """Write figures if a file was named, and say where."""
    if path is None:
        return
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text + '\n', encoding='utf-8')
    print(f'written to {path}')
