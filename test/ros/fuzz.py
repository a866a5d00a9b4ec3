"""Messages that lie, each by construction of no use to the arm; seeded."""

from __future__ import annotations

import array
import math

import numpy as np
from builtin_interfaces.msg import Time
from fakes import ARM
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Header, String
from trajectory_msgs.msg import JointTrajectory

from vla_ros.ros.conversion import chunk_to_message, image_to_message, joint_state_to_message
from vla_ros.types import ActionChunk

NASTY = (math.nan, math.inf, -math.inf)
_PNG = b'\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR'


class Fuzzer:
    """Makes one bad message of each kind after the other."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)

    def stamp(self, now: Time) -> Time:
        """Return now, zero, long ago, or far in the future."""
        choice = self.random.integers(4)
        return (now, Time(), Time(sec=now.sec - 100), Time(sec=2**31 - 1))[choice]

    def image(self, now: Time) -> Image:
        """Return an image with at least one field that does not fit the others."""
        random = self.random
        height, width = (int(n) for n in random.integers(1, 64, 2))
        picture = random.integers(0, 256, (height, width, 3), np.uint8)
        message = image_to_message(picture, self.stamp(now), 'x' * int(random.integers(40)))
        kind = random.integers(6)
        if kind == 0:
            message.encoding = str(random.choice(['', 'yuv422', '32FC1', 'RGB8', 'x' * 5000]))
        elif kind == 1:
            message.step = int(random.choice([0, 1, 2**32 - 1, message.step + 1]))
        elif kind == 2:
            message.height = int(random.choice([0, 2**31, 2**32 - 1, height + 1]))
        elif kind == 3:
            message.width = int(random.choice([0, 2**31, 2**32 - 1, width + 10_000]))
        elif kind == 4:
            message.data = message.data[: int(random.integers(len(message.data)))]
        else:
            message.is_bigendian = int(random.integers(2, 256))
        return message

    def compressed(self, now: Time) -> CompressedImage:
        """Return noise behind a plausible beginning, or a small file that claims to be huge."""
        random = self.random
        noise = random.integers(0, 256, int(random.integers(2000)), np.uint8).tobytes()
        side = int(random.choice([0, 17, 8193, 30_000, 2**31 - 1])).to_bytes(4, 'big')
        start = (b'', b'\xff\xd8\xff', _PNG + side + side, b'\xff\xd8\xff\xc0\x00\x11\x08\xff\xff')
        content = start[random.integers(4)] + noise
        header = Header(stamp=self.stamp(now))
        return CompressedImage(header=header, format='jpeg', data=array.array('B', content))

    def joint_state(self, now: Time) -> JointState:
        """Return joint states that miss, repeat, add or swap joints, or are no numbers."""
        random = self.random
        names = [str(name) for name in random.permutation([*ARM.joints, 'other', ''])]
        names = names[: int(random.integers(len(names) + 1))]
        position = random.normal(0, 10 ** random.uniform(-2, 300), len(names))
        if names and random.integers(2):
            position[random.integers(len(names))] = random.choice(NASTY)
        message = joint_state_to_message(names, position, position, self.stamp(now))
        if random.integers(3) == 0:
            message.position = message.position[: len(names) // 2]
        return message

    def chunk(self, now: Time) -> JointTrajectory:
        """Return a chunk with numbers, joints, shapes or times that cannot be."""
        random = self.random
        velocities = random.normal(0, 1, (int(random.integers(1, 12)), 7))
        kind = random.integers(7)
        if kind == 0:
            velocities[random.integers(len(velocities)), random.integers(7)] = random.choice(NASTY)
        openings = random.uniform(0.0, 0.08, len(velocities))
        if kind == 6:
            openings[random.integers(len(openings))] = random.choice([*NASTY, -0.01, 0.09])
        chunk = ActionChunk(
            velocities,
            0.1,
            now.sec * 10**9 + now.nanosec,
            gripper_openings_m=openings if kind == 6 or random.integers(2) else None,
        )
        message = chunk_to_message(chunk, ARM.joints, ARM.gripper_joint)
        if kind == 1:
            message.joint_names = message.joint_names[: int(random.integers(7))]
        elif kind == 2:
            message.joint_names[int(random.integers(7))] = 'x' * int(random.integers(5000))
        elif kind == 3:
            point = message.points[int(random.integers(len(message.points)))]
            point.velocities = point.velocities[: int(random.integers(7))]
        elif kind == 4:
            message.points[0].time_from_start.sec = int(random.choice([-(2**31), -1, 0]))
            message.points[0].time_from_start.nanosec = 0
        elif kind == 5:
            message.points = [] if random.integers(2) else message.points[:1] * 1001
        return message

    def instruction(self) -> String:
        """Return text that is too long, unprintable, or names nothing; never a good sentence."""
        random = self.random
        kind = random.integers(4)
        if kind == 0:
            return String(data='é' * int(random.integers(257, 3000)))
        if kind == 1:
            return String(data='reach' + chr(int(random.integers(1, 32))) + 'x')
        if kind == 2:
            return String(data='\u2028' * int(random.integers(1, 9)) + 'x')
        points = random.integers(0x20, 0xD7FF, int(random.integers(1, 600)))
        return String(data=''.join(map(chr, points)))
