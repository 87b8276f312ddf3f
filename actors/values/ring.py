"""A mirrored ring of panel rows: the last L rows of a field are always one contiguous ``[L, N]`` block.

Each row is written twice, L rows apart, so a window never wraps and never copies. Views handed out are read-only
down to the memory (``memoryview.toreadonly``): a read-only numpy flag can be switched back, and a slice of the
whole history would leak the future through ``.base``. A view is valid only until the next :meth:`PanelRing.push`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


class PanelRing:
    """The last ``length`` rows of some fields over the whole universe; NaN where a symbol had no bar."""

    __slots__ = ("_blocks", "_end", "_views", "fields", "length", "n_symbols", "rows")

    def __init__(self, n_symbols: int, length: int, fields: Sequence[str]) -> None:
        """Allocate ``2 * length`` rows per field.

        Args:
            n_symbols: size of the universe.
            length: rows kept, at least 1.
            fields: names such as ``close``; a pushed row must have each.
        """
        if length < 1 or n_symbols < 1:
            message = f"a ring needs at least one row and one symbol, not {length} x {n_symbols}"
            raise ValueError(message)
        self.n_symbols = n_symbols
        self.length = length
        self.fields = tuple(fields)
        self._blocks = {name: np.full((2 * length, n_symbols), np.nan) for name in self.fields}
        self._views = {name: np.asarray(block.data.toreadonly()) for name, block in self._blocks.items()}
        self._end = length
        self.rows = 0
        """Rows held, at most ``length``."""

    def push(self, ids: npt.NDArray[np.int32] | None, columns: dict[str, F64 | None]) -> None:
        """Append one row.

        Args:
            ids: symbol ids of the columns; None means the columns are dense over the universe.
            columns: values by field; None leaves NaN.
        """
        length = self.length
        end = self._end
        if end == 2 * length:
            end = length
        mirror = end - length
        for name, block in self._blocks.items():
            column = columns[name]
            row = block[end]
            if column is None:
                row[:] = np.nan
            elif ids is None:
                row[:] = column
            else:
                row[:] = np.nan
                row[ids] = column
            block[mirror] = row
        self._end = end + 1
        if self.rows < length:
            self.rows += 1

    def amend(self, ids: npt.NDArray[np.int32], columns: dict[str, F64 | None]) -> None:
        """Overwrite some symbols of the newest row; views handed out before show it, too.

        Args:
            ids: symbol ids of the columns.
            columns: values by field; None leaves a field as it is.
        """
        if not self.rows:
            return
        newest = self._end - 1
        for name, block in self._blocks.items():
            column = columns[name]
            if column is not None:
                block[newest, ids] = column
                block[newest - self.length, ids] = column

    def scale(self, symbol: int, field: str, by: float) -> None:
        """Multiply what is held of one symbol, as a split does; views handed out before show it, too."""
        self._blocks[field][:, symbol] *= by

    def move(self, symbol: int, new: int) -> None:
        """Let the rows of one symbol stand under another, whose own are kept where the first has none; clear it."""
        for block in self._blocks.values():
            column = block[:, symbol]
            block[:, new] = np.where(np.isnan(column), block[:, new], column)
            block[:, symbol] = np.nan

    def view(self, field: str, rows: int | None = None) -> F64:
        """Return the last ``rows`` (default: all held) as a read-only ``[rows, N]`` view, oldest first.

        Raises:
            ValueError: ``rows`` is negative.
        """
        count = self.rows if rows is None or rows > self.rows else rows
        if count < 0:
            message = f"a window has 0 rows or more, not {count}"
            raise ValueError(message)
        return self._views[field][self._end - count : self._end]
