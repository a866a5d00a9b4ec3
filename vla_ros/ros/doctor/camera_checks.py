"""Checks of the cameras: there, readable, large enough, fast enough, and none of it lost."""

from __future__ import annotations

from vla_ros.core.embodiment import CameraConfig, Embodiment
from vla_ros.ros.bringup import EXPORT_PROFILE
from vla_ros.ros.doctor.check import Check, bad, fatal, good, unknown
from vla_ros.ros.doctor.snapshot import GraphSnapshot, PolicyFacts, Stream
from vla_ros.ros.inputs import MAX_FRAME_AGE_NS
from vla_ros.ros.joint_inputs import MAX_FUTURE_NS

SLOW_SHARE = 0.8
LOST_SHARE = 0.1
MAX_AGE_S, MAX_FUTURE_S = MAX_FRAME_AGE_NS / 1e9, MAX_FUTURE_NS / 1e9
MESSAGE_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_TYPE = 'sensor_msgs/msg/CompressedImage'


def camera_checks(arm: Embodiment, policy: PolicyFacts, graph: GraphSnapshot) -> list[Check]:
    """Return the checks of every camera in the arm's YAML; what the policy needs is fatal."""
    checks: list[Check] = []
    for name, camera in arm.cameras.items():
        checks += [image(name, camera, arm, policy, graph), frames(name, camera, graph)]
    return [*checks, clock(graph)]


def image(
    camera: str, config: CameraConfig, arm: Embodiment, policy: PolicyFacts, graph: GraphSnapshot
) -> Check:
    """A camera is there, and its images can be read and are large enough."""
    name = f'camera {camera}'
    needed = policy.camera_sizes.get(camera)
    worse = fatal if needed else bad
    stream, sample = graph.cameras[camera], graph.images.get(camera)
    if not stream.publishers:
        others = f'; there are images on {", ".join(graph.image_topics)}'
        return worse(
            name,
            f'nobody publishes {config.topic}{others if graph.image_topics else ""}',
            f'start the camera, or set its topic in {arm.source}',
        )
    wanted = COMPRESSED_TYPE if config.topic.endswith('/compressed') else MESSAGE_TYPE
    if types := {p.message_type for p in stream.publishers} - {wanted}:
        return worse(
            name,
            f'{config.topic} is of type {", ".join(sorted(types))}',
            f'{wanted} is needed; compressed images are on a topic that ends in /compressed',
        )
    if sample is None:
        why = '; '.join({p.mismatch for p in stream.publishers if p.mismatch}) or 'nothing came'
        return worse(name, f'{config.topic}: {why}', 'see whether the camera sends at all')
    if sample.problem:
        return worse(name, sample.problem, 'set the encoding of the camera driver to rgb8')
    size = f'{sample.encoding} {sample.width}x{sample.height}'
    if needed and (sample.width < needed[0] or sample.height < needed[1]):
        return fatal(
            name, f'{size}, the policy needs {needed[0]}x{needed[1]}', 'raise its resolution'
        )
    if sample.width * config.height != sample.height * config.width:
        return bad(
            name,
            f'{size}, the YAML says {config.width}x{config.height}: another aspect ratio',
            f'set the camera to that, or correct {arm.source}; policies trained on the one see '
            'another section of the scene',
        )
    return good(name, size)


def frames(camera: str, config: CameraConfig, graph: GraphSnapshot) -> Check:
    """Frames come as often as the YAML says, and none is lost on the way."""
    name, stream = f'frames {camera}', graph.cameras[camera]
    if camera not in graph.images:
        return unknown(name, 'no image was received')
    found = f'{stream.rate_hz:.1f} of {config.rate_hz:g} Hz, {stream.lost_share:.0%} lost'
    if stream.lost_share > LOST_SHARE:
        return bad(
            name,
            found,
            f'{EXPORT_PROFILE} where the camera driver starts; lower its size or rate; free a '
            'processor',
        )
    if stream.rate_hz < SLOW_SHARE * config.rate_hz:
        return bad(name, found, 'raise the rate of the camera, or lower rate_hz in the YAML')
    return good(name, found)


def clock(graph: GraphSnapshot) -> Check:
    """Stamps are of the clock that the nodes use: theirs and ours agree."""
    name = 'clock'
    if graph.simulated_time:
        return unknown(name, '/clock is published: stamps are of simulated time')
    streams = [s for s in (graph.joint_states, *graph.cameras.values()) if s.ages_s]
    if not streams:
        return unknown(name, 'no stamped message was received')
    worst = max(streams, key=_offence)
    side = 'old' if worst.age_s >= 0 else 'ahead of the clock of this machine'
    found = f'stamps of {worst.topic} are {abs(1000 * worst.age_s):.0f} ms {side}'
    if _offence(worst) > 1:
        return fatal(
            name,
            found,
            'synchronise the clocks (chrony or ptp); a driver must stamp with system time',
        )
    return good(name, found)


def _offence(stream: Stream) -> float:
    """How far an age is beyond what policy_node accepts; more than 1 is too far."""
    return stream.age_s / MAX_AGE_S if stream.age_s > 0 else -stream.age_s / MAX_FUTURE_S
