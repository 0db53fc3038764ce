"""Parquet files as columns of numbers or as records: the one module that knows pyarrow, which ships no types."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.errors import DatasetError


def column_names(path: Path) -> list[str]:
    """The columns of a file."""
    return list(_parquet().read_schema(path).names)


def read_column(path: Path, name: str) -> NDArray[Any]:
    """One column with its lists flattened: the numbers of all rows, one after the other."""
    arrow, compute = import_module("pyarrow"), import_module("pyarrow.compute")
    column: Any = _parquet().read_table(path, columns=[name]).column(name)
    while arrow.types.is_nested(column.type):
        column = compute.list_flatten(column)
    return column.to_numpy()


def read_columns(path: Path) -> dict[str, NDArray[Any]]:
    """Every column as (N, width)."""
    rows = _parquet().read_metadata(path).num_rows
    return {name: read_column(path, name).reshape(rows, -1) for name in column_names(path)}


def write_columns(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Columns (N, width) become lists of fixed length, those of width 1 scalars, as LeRobot has them."""
    arrow = import_module("pyarrow")
    arrays: dict[str, Any] = {}
    for name, values in columns.items():
        flat = arrow.array(np.ascontiguousarray(values).reshape(-1))
        width = values.shape[1]
        arrays[name] = flat if width == 1 else arrow.FixedSizeListArray.from_arrays(flat, width)
    _parquet().write_table(arrow.table(arrays), path)


def read_records(path: Path, leave_out: str = "\0") -> list[dict[str, Any]]:
    """One dictionary a row, without the columns that begin with `leave_out`."""
    names = [name for name in column_names(path) if not name.startswith(leave_out)]
    return _parquet().read_table(path, columns=names).to_pylist()


def write_records(
    path: Path, records: Sequence[Mapping[str, Any]], index: str | None = None
) -> None:
    """Dictionaries with the same keys; pandas, with which LeRobot reads, takes the column `index` for its index."""
    table: Any = import_module("pyarrow").Table.from_pylist(list(records))
    if index is not None:
        pandas: dict[str, Any] = {"index_columns": [index], "column_indexes": [], "columns": []}
        table = table.replace_schema_metadata({"pandas": json.dumps(pandas)})
    _parquet().write_table(table, path)


@contextmanager
def reading(path: Path, holds: str) -> Generator[None]:
    """Explains a file that is missing or damaged by what it `holds`.

    Raises:
        DatasetError: names the file and what it holds, such as "episodes 3 to 7".
    """
    damaged: type[Exception] = import_module("pyarrow").ArrowException
    try:
        yield
    except FileNotFoundError as error:
        raise DatasetError(f"{holds}: {path} is missing.") from error
    except (damaged, OSError) as error:
        raise DatasetError(f"{holds}: {path} is damaged ({error}).") from error


def _parquet() -> Any:
    return import_module("pyarrow.parquet")
