"""Columns of numbers as Arrow keeps them, and as numpy wants them, without loops over rows."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vla_ros.data.features import Feature
from vla_ros.errors import DatasetError

IMAGE_TYPE = pa.struct({'bytes': pa.binary(), 'path': pa.string()})
Column: TypeAlias = 'pa.Array | pa.ChunkedArray'


def arrow_type(feature: Feature) -> pa.DataType:
    """Return how a feature lies in parquet: lerobot 0.4.4, get_hf_features_from_features.

    One value a frame is itself, a vector a list of fixed length, more dimensions lists of lists.
    """
    if feature.dtype == 'image':
        return IMAGE_TYPE
    kind = _value_type(feature)
    if feature.shape == (1,):
        return kind
    if len(feature.shape) == 1:
        return pa.list_(kind, feature.shape[0])
    for _ in feature.shape:
        kind = pa.list_(kind)
    return kind


def to_arrow(feature: Feature, values: np.ndarray) -> pa.Array:
    """Return (N, *shape) values as one Arrow array of N rows."""
    flat = np.ascontiguousarray(values).reshape(-1)
    column = pa.array(flat.tolist() if feature.dtype == 'string' else flat, _value_type(feature))
    if feature.shape == (1,):
        return column
    if len(feature.shape) == 1:
        return pa.FixedSizeListArray.from_arrays(column, feature.shape[0])
    for size in reversed(feature.shape):
        offsets = np.arange(0, len(column) + 1, size, dtype=np.int32)
        column = pa.ListArray.from_arrays(pa.array(offsets), column)
    return column


def to_numpy(name: str, feature: Feature, column: Column) -> np.ndarray:
    """Return a column as (N, *shape); (N,) where a frame has one value.

    Raises:
        DatasetError: empty cells, or rows that are not of the feature's shape.
    """
    values = plain(column)
    rows = len(values)
    for size in _list_sizes(feature, values.type):
        _check_lengths(name, values, size)
        values = values.flatten()
    if values.null_count:
        raise DatasetError(f"'{name}' has {values.null_count} empty cells")
    if feature.dtype == 'string':
        return np.array(values.to_pylist(), dtype=object).reshape(rows, *_inner(feature))
    if not _is_number(values.type):
        raise DatasetError(f"'{name}' holds {values.type}, not {feature.dtype}")
    array = values.to_numpy(zero_copy_only=False).astype(feature.dtype, copy=False)
    if array.size != rows * feature.size:
        raise DatasetError(f"'{name}' has rows that are not of shape {feature.shape}")
    return array.reshape(rows, *_inner(feature))


def plain(column: Column) -> pa.Array:
    """Return a column as one array of storage, whatever extension type it was written as."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # older pyarrow, no chunk or several
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([])
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def _inner(feature: Feature) -> tuple[int, ...]:
    return () if feature.shape == (1,) else feature.shape


def _list_sizes(feature: Feature, kind: pa.DataType) -> list[int]:
    depth = 0
    while (
        pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind)
    ):
        kind, depth = kind.value_type, depth + 1
    if depth == 0 and feature.shape == (1,):
        return []
    if depth != len(feature.shape):
        raise DatasetError(f'lists of depth {depth} where the shape is {feature.shape}')
    return list(feature.shape)


def _check_lengths(name: str, values: pa.Array, size: int) -> None:
    if values.null_count:
        raise DatasetError(f"'{name}' has {values.null_count} empty cells")
    if len(values):
        lengths = pc.call_function('list_value_length', [values]).to_numpy()
        if lengths.min() != size or lengths.max() != size:
            found = f'{lengths.min()} to {lengths.max()}'
            raise DatasetError(f"'{name}' has rows of {found} values, not {size}")


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)


def _value_type(feature: Feature) -> pa.DataType:
    if feature.dtype == 'string':
        return pa.string()
    return pa.bool_() if feature.dtype == 'bool' else pa.from_numpy_dtype(np.dtype(feature.dtype))
