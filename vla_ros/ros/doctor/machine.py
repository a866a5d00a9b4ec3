"""What can be found out without a graph: versions, profile, processors, the policy itself."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rclpy.utilities import get_rmw_implementation_identifier

from vla_ros.core.embodiment import Embodiment
from vla_ros.errors import VlaRosError
from vla_ros.ros.bringup import PROFILE_VARIABLES
from vla_ros.ros.doctor.snapshot import MachineFacts, PolicyFacts

_STAT = Path('/proc/stat')


def policy_facts(name: str, arm: Embodiment, device: str) -> PolicyFacts:
    """Load a policy for an arm; what is wrong with it is a finding, no error."""
    from vla_ros.policies.registry import load_policy

    try:
        policy = load_policy(name, arm, device)
    except VlaRosError as error:
        return PolicyFacts(name, str(error))
    return PolicyFacts(
        name,
        device=getattr(policy, 'device', ''),
        camera_sizes=getattr(policy, 'camera_sizes', {}),
        known_answer_off=getattr(policy, 'known_answer_off_rad_s', None),
    )


class Processors:
    """How busy the processors are between two looks."""

    def __init__(self) -> None:
        """Look for the first time."""
        self._first = _ticks()

    def busy(self) -> float | None:
        """Return the share that worked since, None where /proc does not tell."""
        if self._first is None or (now := _ticks()) is None:
            return None
        total, idle = now[0] - self._first[0], now[1] - self._first[1]
        return 1 - idle / total if total > 0 else None


def machine_facts(busy: float | None, threads: int) -> MachineFacts:
    """Return what is known of this machine, as a bringup would find it."""
    middleware = get_rmw_implementation_identifier()
    profile, segment = fast_dds_profile(os.environ)
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    )
    try:
        rclpy = f'rclpy {version("rclpy")}'
    except PackageNotFoundError:  # installed by a distribution's packages
        rclpy = f'rclpy of ROS 2 {os.environ.get("ROS_DISTRO", "")}'.strip()
    return MachineFacts(
        ros=f'{rclpy}, {middleware}',
        fast_dds='fastrtps' in middleware,
        profile=profile,
        segment_bytes=segment,
        cores=cores,
        busy=busy,
        threads=threads,
    )


def fast_dds_profile(environment: Mapping[str, str]) -> tuple[str, int | None]:
    """Return the Fast DDS profile in force and the shared memory that it gives a participant."""
    path = next((environment[v] for v in PROFILE_VARIABLES if environment.get(v)), '')
    if not path or not Path(path).is_file():
        return '', None
    sizes = re.findall(r'<segment_size>\s*(\d+)\s*<', Path(path).read_text(encoding='utf-8'))
    return path, max(map(int, sizes), default=None)


def _ticks() -> tuple[int, int] | None:
    """Return the ticks of all processors and those of them that idled (man 5 proc_stat)."""
    try:
        fields = [int(x) for x in _STAT.read_text(encoding='ascii').splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return None
    return sum(fields), fields[3] + fields[4]
