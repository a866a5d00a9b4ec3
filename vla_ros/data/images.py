"""Images as PNG bytes in a column: lossless, encoded and decoded on all processors."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pyarrow as pa

from vla_ros.data.columns import IMAGE_TYPE, Column, plain
from vla_ros.errors import DatasetError
from vla_ros.types import ImageArray

PNG_LEVEL = 1  # a higher one saves a tenth of the space for several times the time
_PNG_END = b'IEND\xaeB`\x82'
_AT_ONCE = 32  # images a thread takes at a time


def to_png(images: ImageArray) -> pa.Array:
    """Return (N, H, W, 3) RGB images as a column of PNG bytes, without paths."""
    blocks = [images[k : k + _AT_ONCE] for k in range(0, len(images), _AT_ONCE)]
    with ThreadPoolExecutor() as threads:
        parts = list(threads.map(_encode, blocks))
    values = pa.array([png for part in parts for png in part], pa.binary())
    paths = pa.nulls(len(values), pa.string())
    return pa.StructArray.from_arrays([values, paths], fields=list(IMAGE_TYPE))


def from_png(name: str, column: Column, out: ImageArray) -> None:
    """Decode a column of PNG bytes into `out` (N, H, W, 3).

    Raises:
        DatasetError: a damaged image, or one of another size; says which frame of the column.
    """
    decode_png(name, packed(name, column), out)


def packed(name: str, column: Column) -> list[bytes]:
    """Return the PNG bytes of a column's images.

    Raises:
        DatasetError: a column of something else, or a frame without an image.
    """
    values = plain(column)
    if not pa.types.is_struct(values.type) or values.type.get_field_index('bytes') < 0:
        raise DatasetError(f"'{name}' holds {values.type}, no images")
    encoded = values.field('bytes')
    if values.null_count or encoded.null_count:
        raise DatasetError(f"'{name}' has frames without image bytes")
    return encoded.to_pylist()


def decode_png(name: str, buffers: Sequence[bytes], out: ImageArray) -> None:
    """Decode PNG bytes into `out` (N, H, W, 3).

    Raises:
        DatasetError: a damaged image, or one of another size; says which.
    """
    starts = range(0, len(buffers), _AT_ONCE)
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda k: _decode(name, buffers, k, out), starts))


def _encode(images: ImageArray) -> list[bytes]:
    options = (cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL)
    encoded = []
    for image in images:
        done, png = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
        if not done:
            raise DatasetError(f'an image of shape {image.shape} cannot be encoded')
        encoded.append(png.tobytes())
    return encoded


def _decode(name: str, buffers: Sequence[bytes], first: int, out: ImageArray) -> None:
    for k in range(first, min(first + _AT_ONCE, len(buffers))):
        png = buffers[k]
        # A PNG that is cut off decodes to an image that is grey below.
        whole = png[:4] != b'\x89PNG' or png.endswith(_PNG_END)
        try:
            image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) if whole else None
        except cv2.error:
            image = None
        if image is None:
            raise DatasetError(f"'{name}': image {k} is damaged")
        if image.shape != out.shape[1:]:
            raise DatasetError(
                f"'{name}': image {k} is of shape {image.shape}, not {out.shape[1:]}"
            )
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=out[k])
