"""Frames as mp4: encoded, put one behind the other, and decoded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vla_ros.data.layout import first_line
from vla_ros.errors import DatasetError, choose
from vla_ros.types import ImageArray

CODECS: Mapping[str, tuple[str, dict[str, str]]] = {
    'h264': ('libx264', {'crf': '18', 'preset': 'veryfast', 'bf': '0', 'g': '2'}),
    'av1': ('libsvtav1', {'crf': '25', 'preset': '10', 'g': '2', 'svtav1-params': 'lp=1'}),
}
"""Name → encoder and its options. A key frame every second frame, as lerobot wants it: single
frames are found fast."""

PIXELS = 'yuv420p'
_LATE = 0.25  # of a frame: how far a stamp may be from where its frame should be


def encode(images: ImageArray, fps: int, path: Path, codec: str = 'h264') -> None:
    """Write (N, H, W, 3) RGB images as an mp4 of `fps` frames a second.

    Raises:
        DatasetError: images whose sides are odd, which yuv420p cannot hold.
    """
    choose('codec', codec, CODECS)
    height, width = images.shape[1:3]
    if height % 2 or width % 2:
        raise DatasetError(
            f'images of {width}x{height} have an odd side, which no video holds; keep them as '
            "'image', or crop them"
        )
    encoder, options = CODECS[codec]
    with av.open(str(path), 'w', format='mp4') as container:
        stream: Any = container.add_stream(encoder, rate=Fraction(fps), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, PIXELS
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        for image in images:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def join(parts: Sequence[Path], lengths: Sequence[int], fps: int, path: Path) -> None:
    """Put videos of `lengths` frames one behind the other, without encoding them anew."""
    with av.open(str(path), 'w', format='mp4', options={'movflags': 'faststart'}) as container:
        out: Any = None
        before = 0
        for part, length in zip(parts, lengths, strict=True):
            with reading_video(part), av.open(str(part)) as source:
                stream = source.streams.video[0]
                if out is None:
                    out = container.add_stream_from_template(stream)
                    out.time_base = stream.time_base
                shift = round(Fraction(before, fps) / _time_base(stream))
                for packet in source.demux(stream):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = _shifted(packet, shift)
                    packet.stream = out
                    container.mux(packet)
            before += length


def decode(path: Path, first: int, fps: int, out: ImageArray) -> None:
    """Decode frames number `first`, `first` + 1, … of a video into `out` (N, H, W, 3).

    Raises:
        DatasetError: the video is damaged, ends too early, or has frames of another size.
    """
    found = np.zeros(len(out), bool)
    with reading_video(path), av.open(str(path)) as container:
        if not container.streams.video:
            raise DatasetError(f'{path}: damaged: no pictures in it')
        stream = container.streams.video[0]
        stream.thread_type = 'AUTO'
        if first:
            container.seek(int(Fraction(first, fps) / _time_base(stream)), stream=stream)
        for frame in container.decode(stream):
            k = _number(frame, fps, path) - first
            if k >= len(out):
                break
            if k >= 0:
                image = frame.to_ndarray(format='rgb24')
                if image.shape != out.shape[1:]:
                    raise DatasetError(
                        f'{path}: frames of {image.shape[1]}x{image.shape[0]}, not of '
                        f'{out.shape[2]}x{out.shape[1]}'
                    )
                out[k], found[k] = image, True
    if not found.all():
        missing = first + int(np.argmin(found))
        raise DatasetError(f'{path}: cut off or damaged: frame {missing} of the video is missing')


def describe(path: Path) -> dict[str, Any]:
    """Return what info.json says about a video: lerobot 0.4.4, get_video_info."""
    with reading_video(path), av.open(str(path)) as container:
        stream = container.streams.video[0]
        return {
            'video.height': stream.height,
            'video.width': stream.width,
            'video.codec': stream.codec_context.codec.canonical_name,
            'video.pix_fmt': stream.pix_fmt,
            'video.is_depth_map': False,
            'video.fps': int(stream.base_rate or 0),
            'video.channels': 3,
            'has_audio': False,
        }


@contextmanager
def reading_video(path: Path) -> Iterator[None]:
    """Turn whatever a damaged video causes into one line that names it."""
    if not path.is_file():
        raise DatasetError(f'{path}: missing; the data set is not complete')
    try:
        yield
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise DatasetError(f'{path}: damaged: {first_line(error)}') from error


def _number(frame: av.VideoFrame, fps: int, path: Path) -> int:
    if frame.pts is None or frame.time_base is None:
        raise DatasetError(f'{path}: damaged: a frame without a stamp')
    exact = float(frame.pts * frame.time_base * fps)
    if abs(exact - round(exact)) > _LATE:
        raise DatasetError(f'{path}: a frame at {exact / fps:.4f} s does not fit {fps} frames/s')
    return round(exact)


def _time_base(stream: Any) -> Fraction:  # noqa: ANN401  av has no public type for it
    return stream.time_base or Fraction(1, 1000)


def _shifted(packet: Any, shift: int) -> tuple[int, int]:  # noqa: ANN401
    pts = packet.pts if packet.pts is not None else packet.dts
    return pts + shift, packet.dts + shift
