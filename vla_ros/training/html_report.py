"""One HTML file on an evaluation: figures, a plot, film strips and videos, nothing beside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import av
import cv2
import numpy as np

from vla_ros.training.figures import Comparison, TaskReport
from vla_ros.training.trials import TrialResult
from vla_ros.types import ImageArray

STRIP_FRAMES = 6
STRIP_HEIGHT = 120
FILM_HZ = 10
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;width:100%}td,th{padding:.3em .6em;text-align:right;
border-bottom:1px solid #ddd}td:first-child,th:first-child,td:nth-child(2),th:nth-child(2)
{text-align:left}img{max-width:100%}video{width:320px;vertical-align:top}
figure{margin:1.2em 0}figcaption{color:#555}code{background:#f3f3f3;padding:.1em .3em}
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}code{background:#2a2a2a}
td,th{border-color:#444}figcaption{color:#aaa}}
"""


@dataclass(frozen=True)
class Film:
    """What the camera saw in a trial, ten images a second."""

    result: TrialResult
    frames: Sequence[ImageArray]


def write_report(
    path: Path,
    command: str,
    reports: Sequence[TaskReport],
    comparisons: Sequence[Comparison],
    films: Sequence[Film],
) -> None:
    """Write the report; it refers to no other file and to no network."""
    parts = [
        f'<h1>{html.escape(reports[0].policy)}</h1><p><code>{html.escape(command)}</code></p>',
        _table(
            ('task', 'suite', 'phrasings', 'met', 'rate', '95 % interval', 'wrong object',
             'said goal met', 'time', 'interventions', 'acceleration'),
            [_row(report) for report in reports],
        ),
        _image(_plot(reports), 'png', 'Success rates with 95 % Wilson intervals'),
    ]  # fmt: skip
    if comparisons:
        heads = ('task', 'suite', 'against', 'rate', 'its rate', 'better', 'worse', 'p (McNemar)')
        rows = [
            (c.task, c.suite, c.against, f'{c.rate:.1%}', f'{c.rate_against:.1%}', str(c.better),
             str(c.worse), f'{c.p_value:.3g}')
            for c in comparisons
        ]  # fmt: skip
        parts += ['<h2>On the same trials</h2>', _table(heads, rows)]
    if films:
        parts += ['<h2>Trials</h2>', *map(_filmed, films)]
    title = html.escape(f'vla-ros eval: {reports[0].policy}')
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<style>{_STYLE}</style>{"".join(parts)}</html>\n',
        encoding='utf-8',
    )


def _row(report: TaskReport) -> tuple[str, ...]:
    low, high = report.wilson_95
    time = '' if report.median_time_s is None else f'{report.median_time_s:.1f} s'
    return (
        report.task, report.suite, report.phrasings, f'{report.successes} of {report.episodes}',
        f'{report.success_rate:.1%}', f'{low:.1%} to {high:.1%}',
        f'{report.wrong_object_rate:.1%}', f'{report.followed_rate:.1%}', time,
        f'{report.interventions_per_s:.1f}/s', f'{report.acceleration_rad_s2:.2f} rad/s²',
    )  # fmt: skip


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = ''.join(f'<th>{html.escape(text)}</th>' for text in heads)
    body = ''.join(
        '<tr>' + ''.join(f'<td>{html.escape(text)}</td>' for text in row) + '</tr>' for row in rows
    )
    return f'<table><tr>{head}</tr>{body}</table>'


def _plot(reports: Sequence[TaskReport]) -> bytes:
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(9, 0.9 + 0.34 * len(reports)), layout='constrained')
    axes = figure.add_subplot()
    for place, report in enumerate(reversed(reports)):
        low, high = report.wilson_95
        axes.plot((low, high), (place, place), color='#7a8fb0', linewidth=5, alpha=0.5)
        axes.plot(report.success_rate, place, 'o', color='#1f4e8c')
    names = [f'{r.task}, {r.suite}' for r in reversed(reports)]
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(names) - 0.4), xlabel='success rate')
    axes.grid(axis='x', alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=110)
    return buffer.getvalue()


def _filmed(film: Film) -> str:
    result = film.result
    end = 'met' if result.success else 'not met'
    if result.wrong_object:
        end += ', another object'
    missing = '' if isnan(result.error_m) else f', {1000 * result.error_m:.0f} mm missing'
    text = (
        f'{result.trial.suite.name}, seed {result.trial.episode.seed}: '
        f'“{result.trial.episode.instruction}”: {end} after {result.time_s:.1f} s{missing}. '
        f'{result.note}'
    )
    chosen = np.linspace(0, len(film.frames) - 1, STRIP_FRAMES).astype(int)
    strip = np.hstack([_scaled(film.frames[k], STRIP_HEIGHT) for k in chosen])
    done, jpeg = cv2.imencode('.jpg', cv2.cvtColor(strip, cv2.COLOR_RGB2BGR))
    assert done
    video = base64.b64encode(mp4(film.frames, FILM_HZ)).decode()
    return (
        f'<figure>{_image(jpeg.tobytes(), "jpeg", text)}'
        f'<video controls muted loop src="data:video/mp4;base64,{video}"></video>'
        f'<figcaption>{html.escape(text)}</figcaption></figure>'
    )


def _image(content: bytes, kind: str, text: str) -> str:
    data = base64.b64encode(content).decode()
    return f'<img alt="{html.escape(text)}" src="data:image/{kind};base64,{data}">'


def _scaled(image: ImageArray, height: int) -> ImageArray:
    width = 2 * round(image.shape[1] * height / image.shape[0] / 2)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def mp4(frames: Sequence[ImageArray], rate_hz: int) -> bytes:
    """Return a video that browsers play."""
    buffer = io.BytesIO()
    height, width = (2 * (side // 2) for side in frames[0].shape[:2])
    with av.open(buffer, 'w', format='mp4') as container:
        stream = container.add_stream('h264', rate=rate_hz, options={'crf': '28'})
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        for image in frames:
            picture = np.ascontiguousarray(image[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode())
    return buffer.getvalue()
