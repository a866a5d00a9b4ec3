"""YAML files read strictly: every mistake is an error that names file, key and remedy."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

import numpy as np
import yaml

from vla_ros.errors import ConfigError
from vla_ros.types import FloatArray


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, where YAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.YAMLError(f'key {key!r} is not text (line {_line(key_node)})')
            if key in seen:
                raise yaml.YAMLError(f"key '{key}' stands twice (line {_line(key_node)})")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def read_mapping(path: Path, like: str) -> dict[str, Any]:
    """Return the mapping in a YAML file; `like` is a file that shows what is wanted.

    Raises:
        ConfigError: no such file, not YAML, a key that stands twice, or no mapping.
    """
    if not path.is_file():
        raise ConfigError(f"file '{path}' does not exist")
    try:
        content = yaml.load(path.read_text(encoding='utf-8'), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f'{path}: not valid YAML: {error}') from error
    if not isinstance(content, dict):
        raise ConfigError(f'{path}: a mapping of keys is needed, see {like}')
    return content


def build(cls: type[Any], values: Mapping[str, object], where: str) -> Any:  # noqa: ANN401
    """Make a dataclass from a mapping; unknown and missing keys are errors that list the rest."""
    fields = dataclasses.fields(cls)
    known = {f.name for f in fields}
    needed = {
        f.name
        for f in fields
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    if unknown := sorted(set(values) - known):
        raise ConfigError(
            f"{where}: unknown key '{unknown[0]}'; known: {', '.join(sorted(known))}"
        )
    if missing := sorted(needed - set(values)):
        raise ConfigError(f"{where}: key '{missing[0]}' is missing")
    return cls(**values)


def typed(cls: type[Any], values: Mapping[str, object], where: str) -> dict[str, Any]:
    """Return the values as the types that a dataclass wants, which may hold further ones.

    Raises:
        ConfigError: a value is of another type; text is no number, and neither is true.
    """
    hints = typing.get_type_hints(cls)
    return {
        key: _as(hints[key], value, f'{where}: {key}') if key in hints else value
        for key, value in values.items()
    }


def _as(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401  a type and its value
    if isinstance(hint, UnionType):
        (hint,) = (option for option in typing.get_args(hint) if option is not NoneType)
        if value is None:
            return None
    if hint is Any:
        return value
    if hint is bool:
        return value if isinstance(value, bool) else _fail(where, 'true or false', value)
    if hint in (float, int):
        return _number(hint, value, where)
    if hint is str:
        return value if isinstance(value, str) and value else _fail(where, 'a text', value)
    if hint == FloatArray:
        return _array(value, where)
    kind = typing.get_origin(hint)
    if kind is tuple:
        if not isinstance(value, list):
            _fail(where, 'a list', value)
        return tuple(_as(typing.get_args(hint)[0], item, where) for item in value)
    if not isinstance(value, dict):
        _fail(where, 'a mapping of keys', value)
    if kind is Mapping:
        wanted = typing.get_args(hint)[1]
        return {key: _as(wanted, item, f'{where}.{key}') for key, item in value.items()}
    return build(hint, typed(hint, value, where), where)


def _number(hint: type, value: object, where: str) -> float:
    wanted = 'a whole number' if hint is int else 'a number'
    if isinstance(value, bool) or not isinstance(value, int | (int if hint is int else float)):
        remedy = ' without quotes, in YAML 1e3 is 1.0e+3' if isinstance(value, str) else ''
        _fail(where, wanted + remedy, value)
    return hint(value)  # type: ignore[arg-type]  it is a number


def _array(value: object, where: str) -> FloatArray:
    if not isinstance(value, list) or not value:
        _fail(where, 'a list of numbers', value)
    if isinstance(value[0], list):
        rows = [_array(row, where) for row in value]
        if len({row.shape for row in rows}) > 1:
            _fail(where, 'rows of one length', value)
        return np.array(rows)
    return np.array([_number(float, item, where) for item in value], dtype=np.float64)


def _fail(where: str, wanted: str, value: object) -> typing.NoReturn:
    raise ConfigError(f'{where}: {wanted} is needed, got {str(value)[:80]!r}')
