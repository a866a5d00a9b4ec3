"""demo.png: what the camera saw at each start and end, and what the seven joints were told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use('Agg')
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.gridspec import GridSpec

from vla_ros.ros.demo_recording import Recording, Scene

INK = '#1f2430'
MUTED = '#6b7280'
GOOD = '#1a7f4b'
BAD = '#b42318'
BANDS = ('#eef3fb', '#f7f1e6', '#eef7f0')
JOINT_COLOURS = ('#1b4f9c', '#d1495b', '#2e8b57', '#e08e0b', '#7b4fa3', '#1098ad', '#8d6e63')
_CAMERA = 'front'
_COLUMNS = 6
_TITLE = 'Told in words, driven by joint velocities'


def write_figure(recording: Recording, path: Path) -> None:
    """Draw the figure of a demonstration."""
    scenes = recording.scenes
    columns = max(2, _COLUMNS // len(scenes))
    plt.rcParams.update({'font.family': 'DejaVu Sans', 'text.color': INK, 'axes.labelcolor': INK})
    plt.rcParams['text.parse_math'] = False  # a $ in a sentence is a $
    figure = plt.figure(figsize=(14, 6.9), dpi=120, facecolor='white')
    figure.text(0.062, 0.94, _TITLE, fontsize=18, weight='bold')
    pictures = GridSpec(
        1, columns * len(scenes), wspace=0.04, left=0.062, right=0.985, top=0.805, bottom=0.545
    )
    for index, scene in enumerate(scenes):
        first = columns * index
        row = [figure.add_subplot(pictures[0, first + k]) for k in range(columns)]
        _pictures(row, recording, scene)
    axes = figure.add_subplot(GridSpec(1, 1, left=0.062, right=0.985, top=0.455, bottom=0.12)[0])
    _velocities(axes, recording)
    figure.savefig(path)
    plt.close(figure)


def _pictures(row: Sequence[Axes], recording: Recording, scene: Scene) -> None:
    rollout = scene.rollout
    moments_s = np.linspace(rollout.start_s, rollout.end_s, len(row))
    for axes, time_s in zip(row, moments_s, strict=True):
        image = recording.frame(_CAMERA, float(time_s))
        if image is not None:
            axes.imshow(image, interpolation='antialiased')
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color('#d5d9e0')
        label = f'{time_s - rollout.start_s:.1f} s'
        axes.set_xlabel(label, color=MUTED, fontsize=9, labelpad=3)
    above = row[0].transAxes
    row[0].text(
        0.0, 1.16, f'“{_short(rollout.instruction)}”', fontsize=11, weight='bold', transform=above
    )
    colour = GOOD if scene.success else BAD
    row[0].text(0.0, 1.045, _short(scene.outcome, 60), fontsize=9.5, color=colour, transform=above)


def _velocities(axes: Axes, recording: Recording) -> None:
    offset_s = recording.scenes[0].rollout.start_s
    for index, scene in enumerate(recording.scenes):
        rollout = scene.rollout
        start_s, end_s = rollout.start_s - offset_s, rollout.end_s - offset_s
        axes.axvspan(start_s, end_s, color=BANDS[index % len(BANDS)], lw=0)
        axes.text(
            (start_s + end_s) / 2, 1.015, f'“{_short(rollout.instruction)}”', fontsize=9,
            ha='center', color=MUTED, transform=axes.get_xaxis_transform(),
        )  # fmt: skip
        if not rollout.command_times_s:
            continue
        times_s = np.array(rollout.command_times_s) - offset_s
        velocities = np.array(rollout.commands_rad_s)
        for joint, colour in enumerate(JOINT_COLOURS):
            label = f'joint {joint + 1}' if index == 0 else None
            axes.plot(times_s, velocities[:, joint], color=colour, lw=1.5, label=label)
    axes.axhline(0.0, color=MUTED, lw=0.6)
    axes.set_xlim(0.0, recording.scenes[-1].rollout.end_s - offset_s)
    axes.set_xlabel('time (s)', loc='right')
    axes.set_ylim(*_wider(axes.get_ylim()))
    axes.set_ylabel('commanded joint velocity (rad/s)')
    axes.grid(axis='y', color='#e5e7eb', lw=0.8)
    axes.set_axisbelow(True)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            ncols=7, loc='upper left', frameon=False, fontsize=9, bbox_to_anchor=(-0.01, -0.1)
        )


def _wider(limits: tuple[float, float]) -> tuple[float, float]:
    return min(-0.1, limits[0]), max(0.1, limits[1])


def _short(text: str, length: int = 42) -> str:
    return text if len(text) <= length else text[: length - 1] + '…'
