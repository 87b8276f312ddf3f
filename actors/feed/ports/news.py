"""Files of headlines: CSV, CSV.gz or Parquet with ``ts symbols headline``; optional ``id summary source``.

A headline dated by its day alone may have come out at any hour of it, so it is known at the end of that day. The same
holds for one that is timed to the minute or the hour (``time_precision``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from actors.feed.bars import I64
from actors.feed.ports.tables import read_table
from actors.feed.ports.ticks import TIMES
from actors.feed.ports.times import read_times
from actors.values.time import DAY_NS, HOUR_NS, MINUTE_NS
from daemon.kernel.errors import OperatorError

if TYPE_CHECKING:
    import polars as pl

ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "ts": TIMES,
    "symbols": ("symbols", "symbol", "tickers", "ticker"),
    "headline": ("headline", "title"),
    "summary": ("summary",),
    "source": ("source", "publisher"),
    "id": ("id", "news_id"),
    "time_precision": ("time_precision",),
}
DAYS: Final = ("day", "date")
ROUNDED: Final = (
    ("minute", MINUTE_NS, MINUTE_NS, ("minute", "min")),
    ("hour", HOUR_NS, HOUR_NS // 4, ("hour", "maybe-hour")),  # in some zones they begin at half or quarter past
)
EXACT: Final = ("second", "millisecond", "microsecond", "nanosecond", "exact", "")
"""Words of ``time_precision``."""
TEXT_MAX: Final = 10_000
"""Characters kept of a headline or summary; a book is no headline."""
SLICE: Final = 1024
_ID_BYTES: Final = 8


class NewsFile:
    """A file of headlines, read; rows in order of time.

    Attributes:
        path: as the operator wrote it.
        unit: ``line`` or ``row``.
        digest: SHA-256.
        notices: what the operator should know.
        ts: [R] when each is known, nanoseconds UTC, ascending.
        day: [R] local date of ``ts`` at the exchange, days since 1970-01-01.
        line: [R] its line or row number.
        rows_read: R.
    """

    def __init__(self, path: str, *, tz: str | None, zone: str) -> None:
        """Read a file.

        Args:
            path: of the file.
            tz: zone of times without an offset, or None.
            zone: the exchange's zone.

        Raises:
            OperatorError: the file cannot be read, lacks a column, has one of another type, or a
                time that cannot be read.
        """
        import polars as pl  # noqa: PLC0415 - 0.3 s

        self.path = path
        required = {name: name for name in ("ts", "symbols", "headline")}
        table = read_table(path, ALIASES, required, "news need at least ts, symbols and headline", "headline")
        self.unit, self.digest, frame = table.unit, table.digest, table.frame
        self.notices: list[str] = []  # what else vendors say of a headline is many things: none on their columns
        _check_types(frame, path)
        ts, day = self._times(frame, tz, zone)
        order = np.argsort(ts, kind="stable")
        self.ts, self.day = ts[order], day[order]
        self.line: I64 = frame["row#"].cast(pl.Int64).to_numpy()[order]
        self._frame = _cells(frame)[order]
        self.rows_read = len(order)

    def _times(self, frame: pl.DataFrame, tz: str | None, zone: str) -> tuple[I64, I64]:
        import polars as pl  # noqa: PLC0415

        lines = frame["row#"]
        times = read_times(frame["ts"], tz=tz, zone=zone, place=lambda row: f"{self.path} {self.unit} {lines[row]}")
        if times.ts is None:
            dated, written, ts = np.ones(len(times.day), dtype=np.bool_), times.day, times.day * DAY_NS
        else:
            ts, dated = times.ts, np.zeros(len(times.day), dtype=np.bool_)
            # A day is written as midnight: of UTC as a rule, else of the exchange.
            written = np.where(ts % DAY_NS == 0, ts // DAY_NS, times.day)
            if "time_precision" in frame.columns:
                words = frame["time_precision"].cast(pl.String).str.strip_chars().str.to_lowercase()
                dated = words.is_in(DAYS).fill_null(value=False).to_numpy()
                ts = self._ends(ts, words)
        if dated.any():
            self._told(int(np.count_nonzero(dated)), "dated by day alone", "that day")
        ts = np.where(dated, _midnights(written + 1, zone), ts)
        day = np.where(dated, written + 1, times.day)
        return ts, np.where(ts >= _midnights(day + 1, zone), day + 1, day)

    def _ends(self, ts: I64, words: pl.Series) -> I64:
        """Return when what is timed to the minute or the hour was over, by which it was out for certain."""
        for unit, lasts, begins, names in ROUNDED:
            rounded = words.is_in(names).fill_null(value=False).to_numpy()
            if rounded.any():
                self._told(int(np.count_nonzero(rounded)), f"timed to the {unit}", f"that {unit}")
                ts = np.where(rounded, ts // begins * begins + lasts, ts)
        known = words.is_in([*DAYS, *EXACT, *(name for *_, names in ROUNDED for name in names)])
        odd = words.filter(~known.fill_null(value=True)).unique(maintain_order=True).to_list()
        if odd:
            shown = ", ".join(repr(word[:20]) for word in odd[:3])
            self.notices.append(f"{self.path}: times are taken as exact where time_precision is {shown}")
        return ts

    def _told(self, count: int, how: str, what: str) -> None:
        self.notices.append(f"{self.path}: {count:,} headlines {how} count as known at the end of {what}")

    def items(self, rows: I64) -> Iterator[tuple[str, tuple[str, ...], str, str, str]]:
        """Yield (id, symbols, headline, summary, source) of some rows, a slice at a time."""
        for begin in range(0, len(rows), SLICE):
            for news_id, symbols, headline, summary, source in self._frame[rows[begin : begin + SLICE]].iter_rows():
                yield news_id, tuple(symbols or ()), headline, summary, source


def _midnights(days: I64, zone: str) -> I64:
    """Return when local days begin, nanoseconds UTC; where midnight is skipped, the first instant of the day."""
    import polars as pl  # noqa: PLC0415

    naive = pl.Series(days * DAY_NS, dtype=pl.Int64).cast(pl.Datetime("ns"))
    aware = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    later = naive.dt.offset_by("1h").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    aware = aware.fill_null(later)
    midnights: I64 = aware.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_physical().to_numpy()
    return midnights


def _check_types(frame: pl.DataFrame, path: str) -> None:
    """Refuse columns that hold what no text can be made of: a number is no headline, and a list no name."""
    import polars as pl  # noqa: PLC0415

    def is_text(dtype: Any) -> bool:
        return isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)

    def refuse(name: str, what: str, remedy: str) -> None:
        message = f"{path}: the column {name} holds {frame[name].dtype}, not {what}"
        raise OperatorError(message, code="BAD_COLUMN", remedy=remedy)

    for name in ("headline", "summary", "source", "time_precision"):
        if name in frame.columns and not is_text(frame[name].dtype):
            refuse(name, "text", "store it as text")
    if "id" in frame.columns and not (is_text(frame["id"].dtype) or frame["id"].dtype.is_numeric()):
        refuse("id", "names", "store ids as text or numbers")
    symbols = frame["symbols"].dtype
    names: Any = symbols.inner if isinstance(symbols, pl.List | pl.Array) else symbols
    if not (is_text(names) or names.is_integer()):
        refuse("symbols", "names", "store symbols as text, or as lists of texts")


def _cells(frame: pl.DataFrame) -> pl.DataFrame:
    """Return (id, symbols, headline, summary, source) without nulls but of symbols, with ids for all."""
    import polars as pl  # noqa: PLC0415

    symbols = frame["symbols"]
    if isinstance(symbols.dtype, pl.List | pl.Array):
        lists = symbols.cast(pl.List(pl.String))
    else:
        lists = symbols.cast(pl.String).str.extract_all(r"[^\s,;|\[\]'\x22]+")
    if "id" in frame.columns and frame["id"].dtype.is_float():
        # How data frames store a column of whole numbers with holes; without them the next file has the numbers.
        given = frame["id"].fill_nan(None)
        whole = given.cast(pl.Int64, strict=False)
        frame = frame.with_columns(id=whole if whole.cast(given.dtype).eq_missing(given).all() else given)
    texts = {
        name: (
            frame[name].cast(pl.String).str.strip_chars() if name in frame.columns else pl.Series([""] * frame.height)
        )
        .fill_null("")
        .str.slice(0, TEXT_MAX)
        for name in ("id", "headline", "summary", "source")
    }
    made = [
        given or hashlib.sha256(f"{ts}\x00{source}\x00{headline}".encode()).hexdigest()[: 2 * _ID_BYTES]
        for given, ts, source, headline in zip(
            texts["id"], frame["ts"].cast(pl.String), texts["source"], texts["headline"], strict=True
        )
    ]
    return pl.DataFrame(
        {
            "id": made,
            "symbols": lists,
            "headline": texts["headline"],
            "summary": texts["summary"],
            "source": texts["source"],
        }
    )
