"""A frozen dataclass becomes the parameters of a node, checked as a whole."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_ros.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar('C')
D = TypeVar('D', bound='DataclassInstance')

_OF_ROS = ('use_sim_time', 'start_type_description_service')
_OF_ROS_PREFIX = 'qos_overrides.'


def read_parameters(node: Node, config: type[C]) -> C:
    """Declare the fields of a dataclass as parameters of `node` and return what is set.

    The node must be made with `automatically_declare_parameters_from_overrides=True`, which is
    what lets `refuse_unknown_parameters` see a misspelt name.

    Raises:
        ConfigError: a value has the wrong type, or the dataclass refuses it.
    """
    hints = typing.get_type_hints(config)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]  C is a dataclass
        value = _default(field)
        if node.has_parameter(field.name):
            value = _as(hints[field.name], node.get_parameter(field.name).value, field.name)
            node.undeclare_parameter(field.name)
        declared = list(value) if isinstance(value, tuple) else value
        node.declare_parameter(field.name, declared, ignore_override=True)
        values[field.name] = value
    try:
        return config(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{node.get_name()}: {error}') from error


def refuse_unknown_parameters(node: Node, *configs: type) -> None:
    """Raise a ConfigError for a parameter that none of the dataclasses knows."""
    known = {field.name for config in configs for field in dataclasses.fields(config)}
    for name in node.get_parameters_by_prefix(''):
        if name not in known and name not in _OF_ROS and not name.startswith(_OF_ROS_PREFIX):
            raise ConfigError(
                f"{node.get_name()} has no parameter '{name}'; it has: {', '.join(sorted(known))}"
            )


def with_changes(config: D, parameters: Sequence[Parameter[Any]]) -> D:
    """Return a configuration with parameters that are set at run time, checked as a whole.

    rclpy has compared their types with those that were declared.

    Raises:
        ConfigError: a parameter is no field, or the dataclass refuses its value.
    """
    changes = {p.name: p.value for p in parameters if p.name not in _OF_ROS}
    known = {field.name for field in dataclasses.fields(config)}
    if fixed := sorted(set(changes) - known):
        raise ConfigError(f'{", ".join(fixed)}: read at start only; restart the node')
    return dataclasses.replace(config, **changes)


def refuse_changes(node: Node) -> None:
    """Refuse every parameter that is set at run time: this node reads its own at the start."""

    def refuse(parameters: list[Parameter[Any]]) -> SetParametersResult:
        fixed = ', '.join(p.name for p in parameters if p.name not in _OF_ROS)
        reason = f'{fixed}: read at start only; restart the node' if fixed else ''
        return SetParametersResult(successful=not fixed, reason=reason)

    node.add_on_set_parameters_callback(refuse)


def _default(field: dataclasses.Field[Any]) -> Any:  # noqa: ANN401  whatever the field holds
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    if field.default is dataclasses.MISSING:
        raise TypeError(f'parameter {field.name} needs a default')
    return field.default


def _as(hint: Any, value: Any, name: str) -> Any:  # noqa: ANN401  a type and its value
    """Return `value` as the type of the field; YAML writes 10 where a float is meant."""
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # a policy or an arm may be named 7
    if typing.get_origin(hint) is tuple:
        if isinstance(value, Sequence) and not isinstance(value, str):
            return tuple(_as(typing.get_args(hint)[0], item, name) for item in value)
    elif isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    wanted = getattr(hint, '__name__', str(hint))
    raise ConfigError(f"parameter '{name}' must be a {wanted}, got {value!r}")
