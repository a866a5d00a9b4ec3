"""Checks that need no graph: policy, device, middleware, processors."""

from __future__ import annotations

from vla_ros.core.embodiment import Embodiment
from vla_ros.ros.bringup import EXPORT_PROFILE
from vla_ros.ros.doctor.check import Check, bad, fatal, good, unknown
from vla_ros.ros.doctor.snapshot import MachineFacts, PolicyFacts

RGB = 3
FAST_DDS_SEGMENT_BYTES = 512 * 1024  # of a participant without a profile (Fast DDS 3.2)
FRAMES_IN_SEGMENT = 4
BUSY_SHARE = 0.9
_EXPORT = f'{EXPORT_PROFILE} in the shell of every node, the driver of the camera, too'


def machine_checks(
    arm: Embodiment, policy: PolicyFacts, machine: MachineFacts, pixels: int
) -> list[Check]:
    """Return the checks of a machine that is to run `policy`; `pixels` of the largest image."""
    return [
        good('ROS', machine.ros),
        good('arm', f'{arm.name}: {arm.source}'),
        checkpoint(policy),
        normalisation(policy),
        device(policy),
        profile(machine, pixels),
        processors(machine),
    ]


def checkpoint(policy: PolicyFacts) -> Check:
    """The checkpoint loads, and was made for this arm."""
    if policy.problem:
        return fatal('checkpoint', policy.problem, 'choose a policy that was made for this arm')
    cameras = ', '.join(f'{name} {w}x{h}' for name, (w, h) in policy.camera_sizes.items())
    return good('checkpoint', f'{policy.name}, cameras: {cameras or "none"}')


def normalisation(policy: PolicyFacts) -> Check:
    """A known input gives the known answer; loading has refused the checkpoint if it does not."""
    name = 'normalisation'
    if policy.problem:
        return unknown(name, 'the checkpoint was not loaded')
    if not policy.camera_sizes:
        return unknown(name, f"policy '{policy.name}' normalises nothing")
    if policy.known_answer_off is None:
        return bad(
            name,
            'the manifest holds no known_answer',
            'train or export the checkpoint again, vla-ros train writes one',
        )
    return good(name, f'the known answer, off by {policy.known_answer_off:.4f} rad/s')


def device(policy: PolicyFacts) -> Check:
    """Where the policy runs; a device that is not there fails its loading."""
    if policy.problem:
        return unknown('device', 'the checkpoint was not loaded')
    return good('device', policy.device or 'none needed')


def profile(machine: MachineFacts, pixels: int) -> Check:
    """Whether camera frames fit the shared memory of Fast DDS."""
    name = 'Fast DDS profile'
    if not machine.fast_dds:
        return unknown(name, 'another middleware is in use')
    if machine.profile and machine.segment_bytes is None:
        return unknown(name, f'{machine.profile} states no shared-memory segment')
    segment = machine.segment_bytes if machine.profile else FAST_DDS_SEGMENT_BYTES
    assert segment is not None
    found = f'{machine.profile or "none"}, {segment / 2**20:.1f} MB of shared memory'
    if segment < FRAMES_IN_SEGMENT * RGB * pixels:
        need = f'{FRAMES_IN_SEGMENT} frames need {FRAMES_IN_SEGMENT * RGB * pixels / 2**20:.1f} MB'
        return bad(name, f'{found}, {need}', _EXPORT)
    return good(name, found)


def processors(machine: MachineFacts) -> Check:
    """Whether there is a processor left for the guard."""
    found = f'{machine.cores} cores, policy on {machine.threads} of them'
    if machine.busy is not None:
        found += f', {machine.busy:.0%} busy'
        if machine.busy > BUSY_SHARE:
            return bad('CPU', found, 'end other programs, or lower camera rates and sizes')
    if machine.threads >= machine.cores > 1:
        return bad('CPU', found, f'threads:={machine.cores - 1} leaves one to the guard')
    if machine.cores < 2:
        return bad('CPU', found, 'give it two cores: one for the policy, one for the guard')
    return good('CPU', found)
