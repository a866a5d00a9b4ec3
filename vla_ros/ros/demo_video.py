"""demo.mp4: both cameras, the instruction, and the commanded joint velocities as they come."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vla_ros.ros.demo_figure import JOINT_COLOURS
from vla_ros.ros.demo_recording import Recording, Scene
from vla_ros.types import FloatArray, ImageArray

RATE_HZ = 15
FRONT = (640, 480)
SIDE = (320, 240)
CAPTION_PX = 64
SIZE = (FRONT[0] + SIDE[0], FRONT[1] + CAPTION_PX)
_END_S = 1.0  # the last picture of a scene stays this long, with its outcome
_WINDOW_S = 4.0
_DARK = (24, 28, 38)
_LIGHT = (240, 242, 246)
_GREY = (150, 158, 172)
_GOOD = (120, 220, 160)
_BAD = (255, 150, 130)
_FONTS = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf'


def write_video(recording: Recording, path: Path) -> None:
    """Encode a demonstration as H.264 in the pixel format that every player knows."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=Fraction(RATE_HZ))
        stream.width, stream.height = SIZE
        stream.pix_fmt = 'yuv420p'
        stream.options = {'crf': '18', 'preset': 'veryfast', 'movflags': 'faststart'}
        commands = recording.commands()
        scale = max(0.5, float(np.abs(commands[1]).max(initial=0.0)))
        for scene in recording.scenes:
            for picture in _pictures(recording, scene, commands, scale):
                frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _pictures(
    recording: Recording, scene: Scene, commands: tuple[FloatArray, FloatArray], scale: float
) -> list[ImageArray]:
    start_s, end_s = scene.rollout.start_s, scene.rollout.end_s
    times_s = np.arange(start_s, end_s + _END_S, 1 / RATE_HZ)
    return [_picture(recording, scene, commands, scale, time_s) for time_s in times_s]


def _picture(
    recording: Recording,
    scene: Scene,
    commands: tuple[FloatArray, FloatArray],
    scale: float,
    time_s: float,
) -> ImageArray:
    canvas = np.full((SIZE[1], SIZE[0], 3), _DARK, np.uint8)
    shown_s = min(time_s, scene.rollout.end_s)
    outcome = scene.outcome if time_s > scene.rollout.end_s else ''
    canvas[:CAPTION_PX] = _caption(scene.rollout.instruction, outcome, scene.success)
    below, right = CAPTION_PX, FRONT[0]
    for camera, (width, height), x in (('front', FRONT, 0), ('wrist', SIDE, right)):
        image = recording.frame(camera, shown_s)
        if image is not None:
            canvas[below : below + height, x : x + width] = cv2.resize(
                image, (width, height), interpolation=cv2.INTER_AREA
            )
    canvas[below + SIDE[1] :, right:] = _plot(commands, scale, shown_s)
    return canvas


@lru_cache(maxsize=16)
def _caption(instruction: str, outcome: str, success: bool) -> ImageArray:
    strip = Image.new('RGB', (SIZE[0], CAPTION_PX), _DARK)
    draw = ImageDraw.Draw(strip)
    bold = ImageFont.truetype(str(_FONTS / 'DejaVuSans-Bold.ttf'), 24)
    plain = ImageFont.truetype(str(_FONTS / 'DejaVuSans.ttf'), 18)
    outcome = _fit(draw, outcome, plain, SIZE[0] // 2)
    room = SIZE[0] - 40 - (draw.textlength(outcome, plain) + 30 if outcome else 0)
    text = _fit(draw, f'“{instruction}”', bold, room)
    draw.text((20, CAPTION_PX / 2), text, _LIGHT, bold, anchor='lm')
    colour = _GOOD if success else _BAD
    draw.text((SIZE[0] - 20, CAPTION_PX / 2), outcome, colour, plain, anchor='rm')
    return np.asarray(strip)


def _fit(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, room_px: float
) -> str:
    """Return the text, cut off where it does not fit."""
    kept = text
    while kept and draw.textlength(kept if kept == text else kept + '…', font) > room_px:
        kept = kept[:-1]
    return kept if kept == text else kept.rstrip() + '…'


def _plot(commands: tuple[FloatArray, FloatArray], scale: float, time_s: float) -> ImageArray:
    """Draw the last seconds of the seven commanded velocities, newest at the right edge."""
    width, height = SIDE
    top, bottom = 26, height - 10
    plot = _plot_background(scale).copy()
    times_s, velocities = commands
    window = (times_s > time_s - _WINDOW_S) & (times_s <= time_s)
    x = (times_s[window] - time_s + _WINDOW_S) / _WINDOW_S * (width - 8)
    middle, half = (top + bottom) / 2, (bottom - top) / 2
    for joint, colour in enumerate(JOINT_COLOURS):
        y = middle - velocities[window, joint] / scale * half
        line = np.stack([x, y], axis=1)
        if len(line) > 1:
            rgb = tuple(min(255, int(colour[k : k + 2], 16) + 60) for k in (1, 3, 5))
            points = np.round(line * 8).astype(np.int32)  # eighths of a pixel
            cv2.polylines(plot, [points], False, rgb, 1, cv2.LINE_AA, shift=3)
    return plot


@lru_cache(maxsize=2)
def _plot_background(scale: float) -> ImageArray:
    width, height = SIDE
    background = Image.new('RGB', SIDE, _DARK)
    draw = ImageDraw.Draw(background)
    small = ImageFont.truetype(str(_FONTS / 'DejaVuSans.ttf'), 11)
    draw.text((10, 8), f'joint velocities, ±{scale:.1f} rad/s', _GREY, small)
    middle = (26 + height - 10) / 2
    draw.line([(0, middle), (width - 8, middle)], (70, 78, 92))
    return np.asarray(background)
