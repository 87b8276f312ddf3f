"""Files of trading status: CSV, CSV.gz or Parquet with ``ts symbol state``; optional ``lower upper reason``.

``state`` is ``trading``, ``halted``, ``luld`` or ``ssr``; whatever else stands there is kept and means halted, for a
status that nobody understands is no leave to trade. The symbol ``*`` is the whole market.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from actors.feed.bars import I64
from actors.feed.ports.cells import numbers, with_symbols
from actors.feed.ports.tables import read_table
from actors.feed.ports.ticks import TIMES
from actors.feed.ports.times import read_instants
from actors.values.fixed import PRICE_MAX, SCALE
from actors.values.halts import STATES
from daemon.kernel.errors import OperatorError

if TYPE_CHECKING:
    import polars as pl

ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "ts": TIMES,
    "symbol": ("symbol", "ticker"),
    "state": ("state", "status"),
    "lower": ("lower", "lower_band", "limit_down"),
    "upper": ("upper", "upper_band", "limit_up"),
    "reason": ("reason", "reason_code"),
}
MARKET: Final = "*"
"""The symbol that stands for all of them."""
TEXT_MAX: Final = 200
"""Characters kept of a state or a reason."""
SLICE: Final = 1024
_NAMED: Final = 5

Row = tuple[str, str, int | None, int | None, str]
"""(symbol, state, lower, upper, reason); bands in units of 1e-8."""


class StatusFile:
    """A file of trading status, read; rows in order of time.

    Attributes:
        path: as the operator wrote it.
        unit: ``line`` or ``row``.
        digest: SHA-256.
        notices: what the operator should know.
        ts: [R] when each became known, nanoseconds UTC, ascending.
        symbols: [R] names; ``*`` for the whole market.
        rows_read: R.
    """

    def __init__(self, path: str, *, tz: str | None, zone: str) -> None:
        """Read a file.

        Args:
            path: of the file.
            tz: zone of times without an offset, or None.
            zone: the exchange's zone.

        Raises:
            OperatorError: the file cannot be read, lacks a column, or has a line that makes no sense, which is named.
        """
        self.path = path
        remedy = "a file of status needs at least ts, symbol and state"
        required = {name: name for name in ("ts", "symbol", "state")}
        table = read_table(path, ALIASES, required, remedy, "change of status")
        self.unit, self.digest = table.unit, table.digest
        self.notices = table.ignored(path)
        frame = self._checked(table.frame)
        lines = frame["row#"]
        _, ts = read_instants(frame["ts"], tz=tz, zone=zone, place=lambda row: f"{path} {self.unit} {lines[row]}")
        order = np.argsort(ts, kind="stable")
        self.ts: I64 = ts[order]
        self._frame = frame.select("symbol", "state", "lower", "upper", "reason")[order]
        self.symbols = self._frame["symbol"]
        self.rows_read = len(order)

    def rows(self, which: I64) -> Iterator[Row]:
        """Yield some rows, a slice at a time."""
        for begin in range(0, len(which), SLICE):
            for symbol, state, lower, upper, reason in self._frame[which[begin : begin + SLICE]].iter_rows():
                yield symbol, state, _fixed(lower), _fixed(upper), reason

    def _checked(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return trimmed columns, all five of them.

        Raises:
            OperatorError: a cell that makes no sense, with its line.
        """
        import polars as pl  # noqa: PLC0415

        name = pl.col("symbol").cast(pl.String, strict=False).str.strip_chars()
        market = (frame.select(name)["symbol"] == MARKET).fill_null(value=False)
        named = with_symbols(frame.filter(~market), self.path, self.unit)
        frame = pl.concat([named, frame.filter(market).with_columns(name)]).sort("row#")
        market = frame["symbol"] == MARKET
        state = frame["state"].cast(pl.String).str.strip_chars().fill_null("").str.to_lowercase()
        self._refuse(frame, state == "", "the state is missing", "BAD_STATE", f"use one of {', '.join(STATES)}")
        bands = {side: self._band(frame, side) for side in ("lower", "upper")}
        both = bands["lower"].is_not_null() & bands["upper"].is_not_null()
        crossed = both & (bands["lower"] > bands["upper"])
        self._refuse(frame, crossed, "lower is above upper", "BAD_BAND", "exchange them")
        banded = bands["lower"].is_not_null() | bands["upper"].is_not_null()
        self._refuse(frame, banded & market, "the whole market has no price bands", "BAD_BAND", "name one symbol")
        unknown = frame.filter(~state.is_in(list(STATES)))["row#"].to_list()
        if unknown:
            words = ", ".join(dict.fromkeys(repr(text) for text in state.filter(~state.is_in(list(STATES)))[:_NAMED]))
            rows = f"{len(unknown):,} row{'s' * (len(unknown) > 1)}"
            place = f"{self.unit} {unknown[0]}"
            self.notices.append(f"{self.path}: {rows} of unknown state ({words}) count as halted, such as {place}")
        reason = frame["reason"].cast(pl.String) if "reason" in frame.columns else pl.Series([""] * frame.height)
        return frame.with_columns(
            state=state.str.slice(0, TEXT_MAX),
            reason=reason.str.strip_chars().fill_null("").str.slice(0, TEXT_MAX),
            **bands,
        )

    def _band(self, frame: pl.DataFrame, side: str) -> pl.Series:
        """Return a price or null for each row."""
        import polars as pl  # noqa: PLC0415

        if side not in frame.columns:
            return pl.Series(side, [None] * frame.height, dtype=pl.Float64)
        column = frame[side]
        values = pl.Series(side, numbers(column, self.path)).fill_nan(None)
        given = column.is_not_null()
        if column.dtype == pl.String:
            given &= column.str.strip_chars() != ""
        elif column.dtype.is_float():
            given &= column.is_not_nan()
        remedy = "write a positive price, or leave it empty"
        self._refuse(frame, given & values.is_null(), f"{side} is no number", "BAD_BAND", remedy)
        odd = values.is_not_null() & ((values < 1 / SCALE) | (values > PRICE_MAX))
        self._refuse(frame, odd, f"{side} is no price", "BAD_BAND", remedy)
        return values

    def _refuse(self, frame: pl.DataFrame, bad: pl.Series, what: str, code: str, remedy: str) -> None:
        if bad.any():
            message = f"{self.path} {self.unit} {frame['row#'][bad.arg_max() or 0]}: {what}"
            raise OperatorError(message, code=code, remedy=remedy)


def _fixed(price: float | None) -> int | None:
    return None if price is None else round(price * SCALE)
