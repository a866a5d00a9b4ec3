"""Joint limits out of a URDF that a stranger may have published."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

from vla_ros.errors import ObservationError

MAX_BYTES = 16_000_000


def joint_limits(text: str) -> dict[str, tuple[float, float, float]]:
    """Return joint → lower and upper limit (rad) and velocity limit (rad/s), by name.

    What a joint does not limit is infinite; a continuous joint has no position limits.
    Declarations are refused, because entities that name each other can fill the memory.

    Raises:
        ObservationError: too long, not XML, with declarations, or a limit that is no number.
    """
    if len(text) > MAX_BYTES:
        raise ObservationError(f'the URDF has {len(text)} characters; {MAX_BYTES} at most')
    if '<!DOCTYPE' in text or '<!ENTITY' in text:
        raise ObservationError('the URDF declares a document type or entities; a robot needs none')
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ObservationError(f'the URDF is not valid XML: {error}') from error
    found: dict[str, tuple[float, float, float]] = {}
    for joint in root.iter('joint'):
        name, limit = joint.get('name'), joint.find('limit')
        if name is None or joint.get('type') not in ('revolute', 'continuous', 'prismatic'):
            continue
        bounded = joint.get('type') != 'continuous'
        values = limit.attrib if limit is not None else {}
        found[name] = (
            _number(values, 'lower', name) if bounded and limit is not None else -math.inf,
            _number(values, 'upper', name) if bounded and limit is not None else math.inf,
            _number(values, 'velocity', name) if 'velocity' in values else math.inf,
        )
    return found


def _number(values: dict[str, str], key: str, joint: str) -> float:
    """Return an attribute; lower and upper are 0 where they are left out (URDF, joint)."""
    try:
        return float(values.get(key, '0'))
    except ValueError:
        text = values[key][:32]
        raise ObservationError(f"URDF: {key} of '{joint}' is '{text}', no number") from None
