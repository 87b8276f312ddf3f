"""Small files that are read whole: actions, statuses, headlines; and columns of the larger ones.

What a file is, its first bytes say. Rows carry their place in the file (``row#``), for whoever finds fault with one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from actors.feed.ports.cells import Unchanged, choose, csv_header, need, parquet_header, ragged_line, unreadable
from daemon.kernel.errors import OperatorError

if TYPE_CHECKING:
    import polars as pl


class Table(NamedTuple):
    """A file, read.

    Attributes:
        frame: its rows that are not blank, at least one, with wanted names of columns and ``row#``.
        unit: ``line`` or ``row``.
        digest: SHA-256.
        others: names of columns that are not wanted.
    """

    frame: pl.DataFrame
    unit: str
    digest: str
    others: list[str]

    def ignored(self, path: str) -> list[str]:
        """Return the notice on columns that are not wanted, where there are any."""
        if not self.others:
            return []
        return [f"{path}: ignored column{'s' if len(self.others) > 1 else ''} {', '.join(self.others)}"]


def read_table(
    path: str, aliases: dict[str, tuple[str, ...]], required: dict[str, str], remedy: str, row: str
) -> Table:
    """Read a file whole.

    Args:
        path: CSV, CSV.gz or Parquet.
        aliases: wanted column -> names it may have, the one to prefer first; ``ts`` is among them.
        required: wanted columns that must be there -> what messages call them.
        remedy: what to do where one of these is missing.
        row: what a row of the file is, for a file that has none.

    Raises:
        OperatorError: the file cannot be read, lacks a column, or is empty.
    """
    import polars as pl  # noqa: PLC0415 - 0.3 s

    file = Unchanged(path)
    parquet = file.magic == b"PAR1"
    header = parquet_header(path) if parquet else csv_header(path, zipped=file.magic[:2] == b"\x1f\x8b")
    names, others = choose(header, path, aliases)
    shown = {required[name]: found for name, found in names.items() if name in required}
    need(shown, tuple(required.values()), header, path, remedy)
    frame = read_columns(path, list(names.values()), parquet=parquet)
    file.check()
    frame = frame.rename({found: name for name, found in names.items()})
    frame = frame.with_row_index("row#", offset=1 if parquet else 2)
    frame = frame.filter(~pl.all_horizontal(pl.exclude("row#").is_null()))
    if not frame.height:
        message = f"{path} has a header but no rows"
        raise OperatorError(message, code="EMPTY_FILE", remedy=f"give a file with at least one {row}")
    return Table(frame, "row" if parquet else "line", file.digest, others)


def read_columns(path: str, columns: list[str], *, parquet: bool) -> pl.DataFrame:
    """Read columns of a file; those of a CSV file as text.

    Raises:
        OperatorError: the file cannot be read, or a line has more cells than the header.
    """
    import polars as pl  # noqa: PLC0415

    try:
        if parquet:
            return pl.read_parquet(path, columns=columns)
        return pl.read_csv(path, columns=columns, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        line = None if parquet else ragged_line(path)
        if line is None:
            raise unreadable(path, error) from error
        message = f"{path} line {line} has more cells than the header"
        remedy = "use a comma between cells only, and a point for decimals"
        raise OperatorError(message, code="RAGGED_ROW", remedy=remedy) from error
