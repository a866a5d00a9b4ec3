"""Statistics of episodes and of whole data sets, with quantiles.

Source: lerobot 0.4.4, datasets/compute_stats.py, of which this gives the same numbers, but for
the standard deviation of images: there the squares of uint8 pixels overflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from vla_ros.types import FloatArray, ImageArray

Statistics: TypeAlias = dict[str, dict[str, np.ndarray]]
"""Feature → name (min, max, mean, std, count, q01, q10, q50, q90, q99) → values."""

QUANTILES = {'q01': 0.01, 'q10': 0.10, 'q50': 0.50, 'q90': 0.90, 'q99': 0.99}
NAMES = ('min', 'max', 'mean', 'std', 'count', *QUANTILES)
BINS = 5000
_EDGE = 1e-10  # how far the outer bins reach beyond the extremes
_SMALL_SIDE, _LARGE_SIDE = 150, 300  # images beyond the second are thinned to about the first


def of_numbers(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return the statistics over the frames of (N,) or (N, …, D) values, one of each of the D.

    What is not finite is left out; a column without a finite value has NaN everywhere.
    """
    rows = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    finite = rows if rows.dtype.kind in 'bui' else np.where(np.isfinite(rows), rows, np.nan)
    count = np.array([len(values)])
    if len(rows) < 2:
        plain = {'min': rows[0], 'max': rows[0], 'mean': rows.mean(0), 'std': rows.std(0)}
        return plain | {'count': count} | {q: plain['mean'].copy() for q in QUANTILES}
    columns = [_of_column(column[~np.isnan(column)]) for column in finite.T]
    kept = {key: np.array([column[key] for column in columns]) for key in columns[0]}
    return kept | {'count': count}


def of_images(images: ImageArray) -> dict[str, np.ndarray]:
    """Return the statistics of each colour, from 0 to 1 and of shape (3, 1, 1), of some images."""
    chosen = images[sample(len(images))]
    height, width = chosen.shape[1:3]
    if max(height, width) >= _LARGE_SIDE:
        step = int(max(width, height) / _SMALL_SIDE)
        chosen = chosen[:, ::step, ::step]
    levels = np.arange(256, dtype=np.float64)
    columns = []
    for colour in range(3):
        counts = np.bincount(chosen[..., colour].reshape(-1), minlength=256)
        present = np.flatnonzero(counts)
        columns.append(_of_counts(levels[present], counts[present]))
    kept = {k: np.array([c[k] for c in columns]).reshape(3, 1, 1) / 255.0 for k in columns[0]}
    return kept | {'count': np.array([len(chosen)])}


def sample(length: int) -> list[int]:
    """Return which images of an episode its statistics are made of: all of a short one."""
    most = max(min(length, 100), min(int(length**0.75), 10_000))
    return np.round(np.linspace(0, length - 1, most)).astype(int).tolist()


def combine(parts: Sequence[Statistics]) -> Statistics:
    """Return the statistics of several episodes together; quantiles are their weighted means."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: _combine([part[name] for part in parts if name in part]) for name in names}


def from_lists(value: Mapping[str, Mapping[str, object]]) -> Statistics:
    """Read what JSON holds; raises ValueError or TypeError for what is no statistics."""
    found = {n: {k: np.array(v) for k, v in entries.items()} for n, entries in value.items()}
    for name, entries in found.items():
        for key, numbers in entries.items():
            if numbers.dtype.kind not in 'bif' or not numbers.ndim:
                raise ValueError(f"statistics '{key}' of '{name}' are no numbers")
    return found


def to_lists(statistics: Statistics) -> dict[str, dict[str, list]]:
    """Return what JSON or parquet can hold."""
    return {
        name: {key: numbers.tolist() for key, numbers in entries.items()}
        for name, entries in statistics.items()
    }


def _of_column(values: np.ndarray) -> dict[str, np.ndarray]:
    if not len(values):
        nan = np.array(np.nan)
        return dict.fromkeys(('min', 'max', 'mean', 'std', *QUANTILES), nan)
    exact = values.astype(np.float64)
    extremes = {'min': np.min(values), 'max': np.max(values)}
    histogram, edges = np.histogram(exact, bins=_bins(exact.min(), exact.max()))
    moments = {'mean': exact.mean(), 'std': exact.std()}
    return extremes | moments | _quantiles(histogram, edges, len(values))


def _of_counts(levels: FloatArray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of values each of which occurs so many times."""
    total = counts.sum()
    mean = (levels * counts).sum() / total
    variance = (levels**2 * counts).sum() / total - mean**2
    edges = _bins(levels[0], levels[-1])
    histogram, _ = np.histogram(levels, bins=edges, weights=counts)
    found = {
        'min': levels[0],
        'max': levels[-1],
        'mean': mean,
        'std': np.sqrt(max(0.0, variance)),
    }
    return found | _quantiles(histogram, edges, int(total))


def _bins(low: np.ndarray, high: np.ndarray) -> FloatArray:
    return np.linspace(low - _EDGE, high + _EDGE, BINS + 1)


def _quantiles(histogram: np.ndarray, edges: FloatArray, count: int) -> dict[str, np.ndarray]:
    """Interpolate within the bins, as RunningQuantileStats does."""
    below = np.cumsum(histogram)
    found = {}
    for name, share in QUANTILES.items():
        wanted = share * count
        k = int(np.searchsorted(below, wanted))
        if k == 0 or k >= len(below):
            found[name] = edges[0] if k == 0 else edges[-1]
            continue
        inside = below[k] - below[k - 1]
        fraction = (wanted - below[k - 1]) / inside if inside else 0.0
        found[name] = edges[k] + fraction * (edges[k + 1] - edges[k])
    return found


def _combine(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    counts = np.stack([part['count'] for part in parts])
    total = counts.sum(axis=0)
    means = np.stack([part['mean'] for part in parts])
    weights = counts.reshape(len(parts), *[1] * (means.ndim - 1))
    mean = (means * weights).sum(axis=0) / total
    spreads = np.stack([part['std'] ** 2 for part in parts]) + (means - mean) ** 2
    together = {
        'min': np.min(np.stack([part['min'] for part in parts]), axis=0),
        'max': np.max(np.stack([part['max'] for part in parts]), axis=0),
        'mean': mean,
        'std': np.sqrt((spreads * weights).sum(axis=0) / total),
        'count': total,
    }
    for key in QUANTILES:
        if all(key in part for part in parts):
            values = np.stack([part[key] for part in parts])
            together[key] = (values * weights).sum(axis=0) / total
    return together
