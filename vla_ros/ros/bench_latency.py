"""Latencies of the whole graph through DDS: camera, inference, chunk, command."""

from __future__ import annotations

import bisect
import itertools
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_ros.core.embodiment import Embodiment, load_arm
from vla_ros.errors import VlaRosError
from vla_ros.ros import qos
from vla_ros.ros.conversion import NANOSECONDS, stamp_to_ns
from vla_ros.ros.diagnostics import PERCENTILES
from vla_ros.ros.local_graph import local_graph
from vla_ros.ros.rollout import RosRollout

SEED = 1_000_974
CAMERA = 'front'
_WARM_UP_S = 3.0
_EPISODE_S = 4.0
_CDR_HEADER = 4  # bytes before the first field, header.stamp, of a serialized message
_NEVER_LOST_NS = NANOSECONDS // 2  # a frame so close to the end may still be under way


@dataclass(frozen=True)
class LatencyReport:
    """Milliseconds as (p50, p95, p99), by what they are of.

    A frame carries the instant that it shows, and is published once it is drawn. 'all but the
    forward pass' is camera → command less the median forward pass; the row after it leaves out
    what of the drawing is left after the stamp, too, which a real camera does not do.
    """

    rows_ms: Mapping[str, tuple[float, ...]]
    frames_sent: int
    frames_received: int
    chunks: int
    real_time_factor: float
    width: int
    height: int
    seconds: float


@dataclass
class _Log:
    """Times in nanoseconds on the system's clock, as DDS stamps them."""

    infos: list[int] = field(default_factory=list)
    images: dict[int, tuple[int, int]] = field(default_factory=dict)
    chunks: list[tuple[int, int, int]] = field(default_factory=list)
    commands: list[tuple[int, int]] = field(default_factory=list)

    def listen(self, client: RosRollout, arm: Embodiment) -> None:
        """Subscribe to everything that is measured."""
        node, deep = client.session.node, qos.DIAGNOSTICS
        topic = arm.cameras[CAMERA].topic
        info_topic = topic.rsplit('/', 1)[0] + '/camera_info'
        node.create_subscription(Image, topic, self._on_image, qos.SENSOR, raw=True)
        node.create_subscription(CameraInfo, info_topic, self._on_info, qos.SENSOR)
        node.create_subscription(JointTrajectory, qos.CHUNK_TOPIC, self._on_chunk, deep)
        node.create_subscription(Float64MultiArray, arm.velocity_topic(), self._on_command, deep)

    def _on_image(self, message: Any, info: Mapping[str, Any]) -> None:  # noqa: ANN401 - raw bytes
        sec, nanosec = struct.unpack_from('<iI', message, _CDR_HEADER)
        times = int(info['source_timestamp']), int(info['received_timestamp'])
        self.images[sec * NANOSECONDS + nanosec] = times

    def _on_info(self, message: CameraInfo) -> None:
        self.infos.append(stamp_to_ns(message.header.stamp))

    def _on_chunk(self, message: JointTrajectory, info: Mapping[str, Any]) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        self.chunks.append((stamp_ns, info['source_timestamp'], info['received_timestamp']))

    def _on_command(self, message: Float64MultiArray, info: Mapping[str, Any]) -> None:
        del message
        self.commands.append((info['source_timestamp'], info['received_timestamp']))


def measure_latency(
    seconds: float, width: int, height: int, policy: str, on_progress: Callable[[str], None]
) -> LatencyReport:
    """Run the graph for a while and return what it took.

    Raises:
        VlaRosError: the graph does not start, or no chunk came.
    """
    arm = load_arm('sim')
    arguments = {'policy': policy, 'image_width': str(width), 'image_height': str(height)}
    with local_graph(arguments) as graph:
        client = RosRollout(arm, domain_id=graph.domain_id)
        log = _Log()
        try:
            on_progress('starting simulator, policy and guard')
            client.wait_until_ready(on_wait=on_progress, check=graph.check)
            objects = itertools.cycle(client.reset(SEED))
            log.listen(client, arm)
            client.run(f'reach the {next(objects)}', _WARM_UP_S)
            since_ns = time.time_ns()
            end_s = time.monotonic() + seconds
            while (left_s := end_s - time.monotonic()) > 0:
                on_progress(f'measuring, {left_s:.0f} s left')
                client.run(f'reach the {next(objects)}', min(_EPISODE_S, left_s))
            return _report(log, client, since_ns, (width, height))
        finally:
            client.close()


def _report(log: _Log, client: RosRollout, since_ns: int, size: tuple[int, int]) -> LatencyReport:
    until_ns = time.time_ns() - _NEVER_LOST_NS
    sent = [stamp for stamp in log.infos if since_ns < stamp < until_ns]
    chunks = [chunk for chunk in log.chunks if since_ns < chunk[0] < until_ns]
    if not chunks:
        status = client.session.status
        raise VlaRosError(
            f'no chunk came: {status[qos.POLICY_NODE].message}; {status[qos.GUARD_NODE].message}'
        )
    to_command = _to_command_ms(log, chunks)
    total_ms = np.array(list(to_command.values()))
    forward = _said(client, qos.POLICY_NODE, 'inference')
    drawing = {
        stamp: (log.images[stamp][0] - stamp) / 1e6 for stamp in sent if stamp in log.images
    }
    undrawn_ms = [ms - drawing[stamp] for stamp, ms in to_command.items() if stamp in drawing]
    rows = {
        'camera → frame drawn by the simulator': _percentiles(list(drawing.values())),
        'camera → inference start': _said(client, qos.POLICY_NODE, 'stamp_to_inference'),
        'forward pass of the model': forward,
        'camera → chunk': _percentiles([(sent_ns - stamp) / 1e6 for stamp, sent_ns, _ in chunks]),
        'camera → command': _percentiles(total_ms),
        'all but the forward pass': _percentiles(total_ms - forward[0]),
        'all but forward pass and drawing': _percentiles(np.array(undrawn_ms) - forward[0]),
        'tick of the guard': _said(client, qos.GUARD_NODE, 'tick'),
    }
    return LatencyReport(
        rows_ms=rows,
        frames_sent=len(sent),
        frames_received=sum(stamp in log.images for stamp in sent),
        chunks=len(chunks),
        real_time_factor=float(client.session.value(qos.SIM_NODE, 'real_time_factor', 'nan')),
        width=size[0],
        height=size[1],
        seconds=(until_ns - since_ns) / NANOSECONDS,
    )


def _to_command_ms(log: _Log, chunks: list[tuple[int, int, int]]) -> dict[int, float]:
    """Return, by stamp, camera → first command that was sent after the chunk had arrived."""
    sources = [source for source, _ in log.commands]
    total = {}
    for stamp_ns, _, arrived_ns in chunks:
        index = bisect.bisect_right(sources, arrived_ns)
        if index < len(sources):
            total[stamp_ns] = (log.commands[index][1] - stamp_ns) / 1e6
    return total


def _percentiles(values_ms: Any) -> tuple[float, ...]:  # noqa: ANN401  a list or an array
    if not len(values_ms):
        return (float('nan'),) * len(PERCENTILES)
    return tuple(round(float(v), 3) for v in np.percentile(values_ms, PERCENTILES))


def _said(client: RosRollout, node: str, key: str) -> tuple[float, ...]:
    """Return the percentiles that a node reports about itself."""
    texts = [client.session.value(node, f'{key}_p{p}_ms') for p in PERCENTILES]
    return tuple(float(text) if text else float('nan') for text in texts)
