"""Depth images: what is known and unknown, without copies, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image

from vla_ros.errors import ObservationError
from vla_ros.ros.conversion import depth_from_message, depth_to_message

DEPTH = np.array([[0.5, np.nan, 1.25], [0.0, np.inf, 2.0]], np.float32)


def test_metres_come_back_as_they_were_with_what_is_unknown() -> None:
    message = depth_to_message(DEPTH, Time(sec=3), 'top')
    assert (message.encoding, message.step, message.header.stamp.sec) == ('32FC1', 12, 3)
    found = depth_from_message(message)
    np.testing.assert_array_equal(found, DEPTH)
    assert not found.flags.owndata  # it looks into the message


def test_millimetres_become_metres_and_padding_is_left_out() -> None:
    rows = np.array([[500, 1250, 9], [0, 65535, 9]], np.uint16)
    message = Image(height=2, width=2, encoding='16UC1', step=6, data=rows.tobytes())
    found = depth_from_message(message)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.5, 1.25], [0.0, 65.535]], rtol=1e-6)


@pytest.mark.parametrize(
    ('wrong', 'named'),
    [
        ({'encoding': 'rgb8'}, 'rgb8'),
        ({'encoding': '64FC1'}, '64FC1'),
        ({'height': 0}, 'each side'),
        ({'width': 9000}, 'each side'),
        ({'width': 4}, 'depth step'),
        ({'step': 13}, 'depth step'),
        ({'height': 3}, 'depth data'),
        ({'is_bigendian': 1}, 'is_bigendian'),
    ],
)
def test_malformed_depth_is_refused(wrong: dict, named: str) -> None:
    message = depth_to_message(DEPTH, Time(), 'top')
    for field, value in wrong.items():
        setattr(message, field, value)
    with pytest.raises(ObservationError, match=named):
        depth_from_message(message)
