"""What the doctor's checks look at: plain values, gathered once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Endpoint:
    """A publisher or a subscription of somebody.

    Attributes:
        node: name of its node.
        message_type: as ROS writes it, 'sensor_msgs/msg/Image'.
        mismatch: why its quality of service and ours do not meet, empty if they do.
    """

    node: str
    message_type: str
    mismatch: str = ''


@dataclass(frozen=True)
class Stream:
    """What came on one topic within `seconds`.

    Attributes:
        topic: its name.
        publishers: who publishes it.
        seconds: for how long it was listened to.
        received_s: when messages came, on the monotonic clock.
        stamps_s: their stamps, in the order of receipt.
        ages_s: the clock at receipt minus the stamp.
    """

    topic: str
    publishers: tuple[Endpoint, ...] = ()
    seconds: float = 0.0
    received_s: tuple[float, ...] = ()
    stamps_s: tuple[float, ...] = ()
    ages_s: tuple[float, ...] = ()

    @property
    def rate_hz(self) -> float:
        """Messages a second."""
        return len(self.received_s) / self.seconds if self.seconds else 0.0

    @property
    def age_s(self) -> float:
        """Median age at receipt."""
        return float(np.median(self.ages_s)) if self.ages_s else float('nan')

    @property
    def lost_share(self) -> float:
        """Share of messages that are missing between the stamps, at their usual distance."""
        gaps = np.diff(np.unique(self.stamps_s))
        if gaps.size < 3:
            return 0.0
        lost = np.maximum(0, np.rint(gaps / np.median(gaps)) - 1).sum()
        return float(lost / (lost + gaps.size + 1))


@dataclass(frozen=True)
class JointSample:
    """Joint states merged by name, and the order of the first message that held one of ours."""

    order: tuple[str, ...]
    positions: Mapping[str, float]
    velocities: Mapping[str, float]


@dataclass(frozen=True)
class ImageSample:
    """The newest image of a camera; `problem` says why it cannot be used, empty if it can."""

    encoding: str
    width: int
    height: int
    problem: str = ''


@dataclass(frozen=True)
class GraphSnapshot:
    """A graph as it was seen for a while. Mappings are by camera name or by topic.

    Attributes:
        joint_states: stream of the arm's joint-state topic.
        joints: what was in it, None if nothing came.
        cameras: stream of every camera in the arm's YAML.
        images: newest image of every camera that sent one.
        image_topics: topics of images that the arm's YAML does not know.
        controllers: subscriptions on every command topic of the arm.
        commanders: publishers on every command topic of the arm.
        urdf: what /robot_description holds, empty if nobody publishes it.
        simulated_time: somebody publishes /clock, so stamps cannot be compared with ours.
        problems: node → what it says of itself on /diagnostics, if that is an error.
    """

    joint_states: Stream
    joints: JointSample | None
    cameras: Mapping[str, Stream]
    images: Mapping[str, ImageSample] = field(default_factory=dict)
    image_topics: tuple[str, ...] = ()
    controllers: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    commanders: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    urdf: str = ''
    simulated_time: bool = False
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nobody publishes anything that belongs to the arm."""
        streams = (self.joint_states, *self.cameras.values())
        endpoints = (*self.controllers.values(), *self.commanders.values())
        return not any(stream.publishers for stream in streams) and not any(endpoints)


@dataclass(frozen=True)
class PolicyFacts:
    """A policy that was loaded for the arm, or why it could not be.

    Attributes:
        name: as the user gave it.
        problem: why it did not load, empty if it did.
        device: where it runs.
        camera_sizes: camera → width and height that it needs.
        known_answer_off: by how much (rad/s) it misses its manifest's known answer, None where
            there is none.
    """

    name: str
    problem: str = ''
    device: str = ''
    camera_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    known_answer_off: float | None = None


@dataclass(frozen=True)
class MachineFacts:
    """This machine and its ROS.

    Attributes:
        ros: versions in one line.
        fast_dds: the middleware is Fast DDS.
        profile: the Fast DDS profile in force, empty for none.
        segment_bytes: shared memory of a participant by that profile, None if it says nothing.
        cores: processors of this process.
        busy: share of them that worked while we looked, None where it cannot be told.
        threads: CPU threads of the policy.
    """

    ros: str
    fast_dds: bool
    profile: str
    segment_bytes: int | None
    cores: int
    busy: float | None
    threads: int = 1
