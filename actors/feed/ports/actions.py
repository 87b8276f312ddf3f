"""Files of corporate actions: CSV, CSV.gz or Parquet with ``ex_date symbol kind value``, and ``pay_date`` if known.

``value`` is by ``kind``: of a ``split`` the new shares per old one (``4``, ``0.1``, ``4:1`` or ``3/2``, kept exactly),
of a ``dividend`` cash per share, of a ``rename`` the new symbol, of a ``delist`` cash per share, where empty means the
last price. Any line that makes no sense refuses the file: an action that is left out would be a loss nobody had.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import msgspec

from actors.feed.bars import I64
from actors.feed.ports.cells import with_symbols
from actors.feed.ports.tables import read_table
from actors.feed.ports.times import read_times
from actors.feed.session import days_to_dates
from actors.values.fixed import SCALE, FixedPointError, div_round, parse_fixed
from daemon.kernel.errors import OperatorError

if TYPE_CHECKING:
    import polars as pl

SPLIT: Final = "split"
DIVIDEND: Final = "dividend"
RENAME: Final = "rename"
DELIST: Final = "delist"
KINDS: Final = (SPLIT, DIVIDEND, RENAME, DELIST)
LAST_PRICE: Final = -1
"""What a delisting pays where nothing is said."""
RATIO_MAX: Final = 10**9
"""A split's numerator and denominator in lowest terms: beyond it the ratio is a typing error, or rounding of one."""
SHARES_MAX: Final = 10**5
"""New shares for one old one, or the reverse: more is a typing error, too, and leaves amounts that nobody can count."""
_RATIO_TEXT: Final = re.compile(r"\s*\d{1,20}(\.\d{1,20})?\s*", re.ASCII)
ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "ts": ("ex_date", "date", "ts"),
    "symbol": ("symbol", "ticker"),
    "kind": ("kind", "type", "action"),
    "value": ("value", "ratio", "amount"),
    "pay_date": ("pay_date", "payment_date", "payable_date"),
}
_COLUMNS: Final = {"ts": "ex_date", "symbol": "symbol", "kind": "kind", "value": "value"}


class ActionRow(msgspec.Struct, frozen=True):
    """One action.

    Attributes:
        line: its place in the file.
        day: of the ex-date, days since 1970-01-01.
        pay_date: YYYYMMDD, or None.
        value: cash per share in units of 1e-8 (-1: the last price), new shares per old one rounded to it, or 0.
        ratio: of a split: new and old shares, in lowest terms.
        target: of a rename: the new symbol.
    """

    line: int
    day: int
    symbol: str
    kind: str
    value: int
    pay_date: int | None = None
    ratio: tuple[int, int] = (0, 0)
    target: str = ""


class ActionFile:
    """A file of corporate actions, read.

    Attributes:
        path: as the operator wrote it.
        unit: ``line`` or ``row``.
        digest: SHA-256.
        notices: what the operator should know.
        rows: by ex-date, those of one date as they stand in the file.
    """

    def __init__(self, path: str, *, zone: str) -> None:
        """Read a file.

        Args:
            path: of the file.
            zone: the exchange's zone, for dates that are written as midnight.

        Raises:
            OperatorError: the file cannot be read, lacks a column, or has a line that makes no sense, which is named.
        """
        self.path = path
        self._zone = zone
        remedy = "a file of actions needs ex_date, symbol, kind and value"
        table = read_table(path, ALIASES, _COLUMNS, remedy, "action")
        self.unit, self.digest = table.unit, table.digest
        self.notices = table.ignored(path)
        self.rows = tuple(sorted(self._rows(with_symbols(table.frame, path, self.unit)), key=_day_of))
        self._refuse_repeats()

    def _rows(self, frame: pl.DataFrame) -> list[ActionRow]:
        days = self._dates(frame, "ts", "ex_date")
        lines = [int(line) for line in frame["row#"]]
        pay_dates: list[int | None] = [None] * frame.height
        if "pay_date" in frame.columns:
            column = _text(frame["pay_date"])
            given = column != ""
            if given.any():
                dates = days_to_dates(self._dates(frame.filter(given), "pay_date", "pay_date"))
                for row, date in zip(given.arg_true(), dates.tolist(), strict=True):
                    pay_dates[row] = date
        kinds = _text(frame["kind"]).str.to_lowercase()
        values = _text(frame["value"])
        self._check_targets(frame, kinds, values)
        return [
            self._row(*cells)
            for cells in zip(lines, days.tolist(), frame["symbol"], kinds, values, pay_dates, strict=True)
        ]

    def _dates(self, frame: pl.DataFrame, column: str, name: str) -> I64:
        lines = frame["row#"]

        def place(row: int) -> str:
            return f"{self.path} {self.unit} {lines[row]}, {name}"

        times = read_times(frame[column], tz=None, zone=self._zone, place=place)
        if times.ts is not None:
            message = f"{place(0)}: {str(frame[column][0])!r} is a time of day where a date is wanted"
            raise OperatorError(message, code="BAD_DATE", remedy="write dates as YYYY-MM-DD")
        return times.day

    def _check_targets(self, frame: pl.DataFrame, kinds: pl.Series, values: pl.Series) -> None:
        renames = kinds == RENAME
        if renames.any():
            with_symbols(frame.with_columns(symbol=values).filter(renames), self.path, self.unit)

    def _row(self, line: int, day: int, symbol: str, kind: str, value: str, pay_date: int | None) -> ActionRow:
        if kind not in KINDS:
            remedy = f"use one of {', '.join(KINDS)}"
            raise self._bad(line, f"the kind {kind!r} is unknown" if kind else "the kind is missing", remedy)
        if kind == RENAME:
            if value == symbol:
                raise self._bad(line, f"{symbol} is renamed to itself", "name the new symbol")
            return ActionRow(line, day, symbol, kind, 0, target=value)
        if kind == SPLIT:
            ratio = self._ratio(line, value)
            return ActionRow(line, day, symbol, kind, div_round(ratio[0] * SCALE, ratio[1]), ratio=ratio)
        if kind == DELIST and not value:
            return ActionRow(line, day, symbol, kind, LAST_PRICE)
        try:
            cash = parse_fixed(value)
        except FixedPointError as error:
            raise self._bad(line, f"the value {error}", "write cash per share, such as 0.82") from None
        if cash < 0 or (kind == DIVIDEND and not cash):
            least = "above 0" if kind == DIVIDEND else "0 or more"
            raise self._bad(line, f"a {kind} of {value} is none", f"write cash per share, {least}")
        return ActionRow(line, day, symbol, kind, cash, pay_date=pay_date if kind == DIVIDEND else None)

    def _ratio(self, line: int, text: str) -> tuple[int, int]:
        new, mark, old = text.replace("/", ":").partition(":")
        old = old if mark else "1"
        ratio = Fraction(0)
        # No exponents: somebody's 1e999999999 would take its time, and all memory.
        if _RATIO_TEXT.fullmatch(new) and _RATIO_TEXT.fullmatch(old) and Fraction(old.strip()):
            ratio = Fraction(new.strip()) / Fraction(old.strip())
        odd = max(ratio.numerator, ratio.denominator) > RATIO_MAX or not 1 <= SHARES_MAX * ratio <= SHARES_MAX**2
        if ratio <= 0 or ratio == 1 or odd:
            remedy = "write new shares per old one: 4, 0.1, 4:1 or 3/2"
            raise self._bad(line, f"{text!r} is no ratio of a split", remedy)
        return ratio.numerator, ratio.denominator

    def _bad(self, line: int, what: str, remedy: str) -> OperatorError:
        return OperatorError(f"{self.path} {self.unit} {line}: {what}", code="BAD_ACTION", remedy=remedy)

    def _refuse_repeats(self) -> None:
        seen: dict[tuple[int, str, str, int, str], int] = {}
        for row in self.rows:
            first = seen.setdefault((row.day, row.symbol, row.kind, row.value, row.target), row.line)
            if first != row.line:
                raise self._bad(row.line, f"it repeats {self.unit} {first}", "state each action once")


def _day_of(row: ActionRow) -> int:
    return row.day


def _text(column: pl.Series) -> pl.Series:
    """Return a column as trimmed text, "" for null."""
    import polars as pl  # noqa: PLC0415

    return column.cast(pl.String).str.strip_chars().fill_null("")
