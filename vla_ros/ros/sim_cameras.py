"""The cameras of the simulated arm: one thread that draws and publishes.

Physics is one period ahead of the clock (see `sim_node`), so that a frame is drawn before the
instant that it shows, and published when that instant has come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Protocol

import cv2
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from vla_ros.core.embodiment import CameraConfig
from vla_ros.ros import qos
from vla_ros.ros.conversion import depth_to_message, image_to_message, ns_to_stamp
from vla_ros.ros.scene_messages import camera_info
from vla_ros.sim.world import World
from vla_ros.types import ImageArray

_SMOOTHING = 0.05  # of the mean that `render_ms` is
_STEP_TIMEOUT_S = 0.05  # a world that stands still is drawn, too


class Ahead(Protocol):
    """A simulation that is ahead of the clock."""

    changing: threading.Lock
    """Held while the world and `instant` change."""
    instant: tuple[int, float]
    """The instant that the world shows: stamp (ns), and when it comes on the monotonic clock."""


class SimCameras(threading.Thread):
    """Renders every camera that somebody listens to.

    Frames carry the noise of a sensor, half a grey level: without it an arm at rest would look
    like a camera that hangs, and nobody could tell the two apart.
    """

    def __init__(
        self,
        node: Node,
        world: World,
        simulation: Ahead,
        cameras: Mapping[str, CameraConfig],
        stopping: threading.Event,
    ) -> None:
        """Publish through `node` what the world shows until `stopping` is set."""
        super().__init__(name='cameras', daemon=True)
        self.failure: BaseException | None = None
        self.render_ms = 0.0
        self.warm = threading.Event()
        """Set once the shaders are compiled, which holds the interpreter for a while."""
        self._world = world
        self._simulation = simulation
        self._stopping = stopping
        self._stepped = threading.Event()
        self._period_s = 1 / max((c.rate_hz for c in cameras.values()), default=1.0)
        self._publishers = {}
        self._infos = {}
        for name, camera in cameras.items():
            self._publishers[name] = node.create_publisher(Image, camera.topic, qos.SENSOR)
            fovy_rad = world.fovy_rad(name)
            if fovy_rad is None:  # a CameraInfo can only say where rays meet; these are parallel
                continue
            info_topic = camera.topic.rsplit('/', 1)[0] + '/camera_info'
            self._infos[name] = (
                node.create_publisher(CameraInfo, info_topic, qos.SENSOR),
                camera_info(camera.width, camera.height, fovy_rad, f'{name}_camera'),
            )
        self._depths = {
            name: node.create_publisher(Image, camera.depth_topic, qos.SENSOR)
            for name, camera in cameras.items()
            if camera.depth_topic
        }
        pixels = max((c.width * c.height for c in cameras.values()), default=0)
        self._random = np.random.default_rng()
        self._noise = self._random.integers(0, 2, 2 * 3 * pixels, np.uint8)

    def run(self) -> None:
        """Render at the cameras' rate; a frame that comes too late is left out."""
        try:
            for name in self._publishers:
                self._world.render(name)
            self.warm.set()
            deadline = time.monotonic()
            while not self._stopping.is_set():
                for name in self._publishers:
                    self._publish(name)
                deadline = max(deadline + self._period_s, time.monotonic() - self._period_s)
                self._stopping.wait(max(0.0, deadline - time.monotonic()))
                self._stepped.clear()
                self._stepped.wait(_STEP_TIMEOUT_S)
            self._world.close()
        except BaseException as error:
            self.failure = error
            self.warm.set()

    def on_step(self) -> None:
        """Say that physics took a step: the moment to look at the world."""
        self._stepped.set()

    def _publish(self, name: str) -> None:
        images, depths = self._publishers[name], self._depths.get(name)
        infos, info = self._infos.get(name, (None, None))
        wants_depth = depths is not None and depths.get_subscription_count() > 0
        wants_image = images.get_subscription_count() or (
            infos is not None and infos.get_subscription_count() > 0
        )
        if not wants_image and not wants_depth:
            return
        start_s = time.monotonic()
        with self._simulation.changing:
            stamp_ns, comes_at_s = self._simulation.instant
            self._world.look(name)
        stamp = ns_to_stamp(stamp_ns)
        depth_m = self._world.draw_depth(name) if wants_depth else None
        image = self._with_noise(self._world.draw(name))
        drawn_s = time.monotonic()
        self.render_ms += _SMOOTHING * ((drawn_s - start_s) * 1e3 - self.render_ms)
        self._stopping.wait(max(0.0, comes_at_s - drawn_s))
        if depth_m is not None and depths is not None:
            depths.publish(depth_to_message(depth_m, stamp, f'{name}_camera'))
        images.publish(image_to_message(image, stamp, f'{name}_camera'))
        if infos is not None and info is not None:
            info.header.stamp = stamp
            infos.publish(info)

    def _with_noise(self, image: ImageArray) -> ImageArray:
        start = int(self._random.integers(self._noise.size - image.size))
        noise = self._noise[start : start + image.size].reshape(image.shape)
        return np.asarray(cv2.add(image, noise), np.uint8)
