"""Columns of lists, one list per image, as flat arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def flat(table: pa.Table, column: str) -> np.ndarray:
    """The lists of all images behind each other, (values,) in the column's own type; a plain column as it is."""
    values = table.column(column)
    return (pc.list_flatten(values) if pa.types.is_list(values.type) else values).to_numpy()


def image_of_each(table: pa.Table, column: str) -> np.ndarray:
    """The row that each value of `flat` comes from, int64 (values,), rising."""
    return np.repeat(np.arange(table.num_rows), pc.list_value_length(table.column(column)).to_numpy())
