"""Checks of the joint states: names, units, rate, limits against the URDF, clock."""

from __future__ import annotations

import numpy as np

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import ObservationError
from vla_ros.ros.doctor.check import Check, bad, fatal, good, unknown
from vla_ros.ros.doctor.snapshot import GraphSnapshot
from vla_ros.ros.doctor.urdf import joint_limits

SLOWEST_HZ = 20.0  # two states within the 0.1 s after which the guard stops
FAR_OUTSIDE_RAD = 0.5
FASTEST_SHARE = 2.0
SAME_RAD = 1e-3
_SILENT = 'no joint states were received'


def joint_checks(arm: Embodiment, graph: GraphSnapshot) -> list[Check]:
    """Return the checks of what the arm's driver says."""
    return [names(arm, graph), units(arm, graph), rate(graph), limits(arm, graph.urdf)]


def names(arm: Embodiment, graph: GraphSnapshot) -> Check:
    """Every joint of the arm's YAML is there, in whatever order."""
    name, stream, sample = 'joints', graph.joint_states, graph.joints
    if not stream.publishers:
        return fatal(
            name,
            f'nobody publishes {stream.topic}',
            f'start the driver of the arm; joint_states_topic is in {arm.source}',
        )
    if sample is None:
        why = '; '.join({p.mismatch for p in stream.publishers if p.mismatch}) or 'nothing came'
        return fatal(name, f'{stream.topic}: {why}', 'the driver must publish JointState')
    missing = [joint for joint in arm.joints if joint not in sample.positions]
    if missing:
        return fatal(
            name,
            f'{stream.topic} lacks {", ".join(missing)}; it has {_list(sample.order)}',
            f'joints in {arm.source} must be those of the driver, or take another arm:=',
        )
    ours = tuple(joint for joint in sample.order if joint in arm.joints)
    order = 'in the order of the YAML' if ours == arm.joints else 'reordered by name'
    return good(name, f'all {len(arm.joints)} on {stream.topic}, {order}')


def _list(joints: tuple[str, ...]) -> str:
    return ', '.join(joints[:12]) + (' …' if len(joints) > 12 else '') or 'none'


def units(arm: Embodiment, graph: GraphSnapshot) -> Check:
    """Positions are within the limits, give or take, and velocities possible: rad and rad/s."""
    name, sample = 'units', graph.joints
    if sample is None or not set(arm.joints) <= set(sample.positions):
        return unknown(name, _SILENT if sample is None else 'joints are missing')
    q = np.array([sample.positions[joint] for joint in arm.joints])
    v = np.array([sample.velocities.get(joint, 0.0) for joint in arm.joints])
    if not (np.isfinite(q).all() and np.isfinite(v).all()):
        return fatal(name, 'a position or velocity is not finite', 'the driver must be repaired')
    low, high = arm.position_min_rad, arm.position_max_rad
    if _outside(q, low, high).any():
        k = int(np.argmax(np.maximum(low - q, q - high)))
        degrees = not _outside(np.deg2rad(q), low, high).any()
        return fatal(
            name,
            f'{arm.joints[k]} is at {q[k]:.4g}, its limits are {low[k]:.4g} to {high[k]:.4g} rad'
            + (': these are degrees' if degrees else ''),
            'the driver must publish rad'
            if degrees
            else f'the driver must publish rad, or joints and limits in {arm.source} are not its',
        )
    if (np.abs(v) > FASTEST_SHARE * arm.velocity_max_rad_s).any():
        k = int(np.argmax(np.abs(v) / arm.velocity_max_rad_s))
        return fatal(
            name,
            f'{arm.joints[k]} moves at {v[k]:.4g}, it can do {arm.velocity_max_rad_s[k]:.4g} '
            'rad/s: degrees a second?',
            'the driver must publish rad/s',
        )
    return good(name, f'positions within the limits, speed at most {np.abs(v).max():.2f} rad/s')


def _outside(q: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return (q < low - FAR_OUTSIDE_RAD) | (q > high + FAR_OUTSIDE_RAD)


def rate(graph: GraphSnapshot) -> Check:
    """States come often enough for the guard, which stops when one is 0.1 s old."""
    name, stream = 'joint-state rate', graph.joint_states
    if graph.joints is None:
        return unknown(name, _SILENT)
    if stream.rate_hz < SLOWEST_HZ:
        return fatal(
            name,
            f'{stream.rate_hz:.1f} Hz, at least {SLOWEST_HZ:.0f} are needed',
            'raise the rate of the joint state broadcaster, or of the driver',
        )
    return good(name, f'{stream.rate_hz:.0f} Hz')


def limits(arm: Embodiment, text: str) -> Check:
    """The YAML allows nothing that the robot's own description forbids."""
    name = 'limits'
    if not text:
        return unknown(name, 'no URDF on /robot_description to compare with')
    try:
        described = joint_limits(text)
    except ObservationError as error:
        return bad(name, str(error), 'publish a valid URDF, or none')
    if missing := [joint for joint in arm.joints if joint not in described]:
        return bad(
            name, f'the URDF has no joint {missing[0]}', f'joints in {arm.source}, or another URDF'
        )
    for k, joint in enumerate(arm.joints):
        low, high, speed = described[joint]
        ours = arm.position_min_rad[k], arm.position_max_rad[k], arm.velocity_max_rad_s[k]
        looser = (
            ours[0] < low - SAME_RAD or ours[1] > high + SAME_RAD or ours[2] > speed + SAME_RAD
        )
        if looser:
            return fatal(
                name,
                f'{joint}: the YAML allows {ours[0]:.4g} to {ours[1]:.4g} rad and {ours[2]:.4g} '
                f'rad/s, the URDF {low:.4g} to {high:.4g} and {speed:.4g}',
                f'tighten the limits in {arm.source}',
            )
    return good(name, 'none looser than those of the URDF')
