"""Corporate actions of several files, laid before the sessions in which they take effect.

They come right before the opening of the first session on or after their ex-date. Where what lies outside the regular
session is played, too, they come at the beginning of that day at the exchange, as its early prices are in new terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import numpy as np

from actors.feed.filed import FiledStream
from actors.feed.quality import QualityReport
from actors.feed.session import SessionTable, calendar_zone, date_to_day, days_to_dates
from actors.messages.market import CorporateAction, SessionOpened
from actors.values.time import SECOND_NS
from actors.values.universe import Adjustment, Universe
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Market

if TYPE_CHECKING:
    from actors.feed.ports.actions import ActionFile, ActionRow

SPLIT: Final = "split"
DIVIDEND: Final = "dividend"
RENAME: Final = "rename"
_BOOKED: Final = {
    Adjustment.RAW: (SPLIT, DIVIDEND, RENAME, "delist"),
    Adjustment.SPLIT: (DIVIDEND, RENAME, "delist"),
    Adjustment.TOTAL: (RENAME, "delist"),
}
"""What prices do not contain already; what becomes of a symbol no price can."""


class ActionStream(FiledStream["ActionFile"]):
    """Files of corporate actions, read; see :func:`open_actions`."""

    def __init__(self, files: Sequence[ActionFile]) -> None:
        """Take over files that were read."""
        super().__init__(files)
        self._by_date: dict[int, list[CorporateAction]] = {}
        self._refuse_circles()

    def targets(self, symbols: Iterable[str], first_day: int | None, last_day: int | None) -> tuple[str, ...]:
        """Return what symbols are renamed to between two days (since 1970-01-01; None: no bound), in order of dates.

        A new name may be renamed in its turn.
        """
        known = dict.fromkeys(symbols)
        found: dict[str, None] = {}
        for row in self._rows():
            inside = (first_day is None or row.day >= first_day) and (last_day is None or row.day <= last_day)
            if row.kind == RENAME and inside and row.symbol in known and row.target not in known:
                known[row.target] = found[row.target] = None
        return tuple(found)

    def play(self, universe: Universe, table: SessionTable, before: SessionTable, *, extended: bool) -> None:
        """Settle what is played, and in which session.

        Args:
            universe: whose symbols count, and whose adjustment says what its prices contain already.
            table: the sessions played, at least one.
            before: the sessions of the days before, of which the last ends where the first one played begins.
            extended: what lies outside the regular session is played, too.
        """
        index = universe.index()
        booked = _BOOKED[universe.adjustment]
        earliest = int(before.days[-1]) + 1 if len(before) else int(table.days[0])
        read = elsewhere = 0
        adjusted: dict[str, int] = {}
        for row in self._rows():
            read += 1
            at = int(np.searchsorted(table.days, row.day, "left"))
            missing = row.symbol not in index or (row.kind == RENAME and row.target not in index)
            if missing or row.day < earliest or at == len(table):
                elsewhere += 1
            elif row.kind not in booked:
                adjusted[row.kind] = adjusted.get(row.kind, 0) + 1
            else:
                date = int(days_to_dates(table.days[at : at + 1])[0])
                opened = int(table.open_ts[at])
                ts = min(opened, _midnight(date, table.zone)) if extended else opened
                self._by_date.setdefault(date, []).append(_message(row, index, ts, date))
        for date, messages in self._by_date.items():
            self._by_date[date] = _vacated_first(messages)
        self.n_inputs = sum(len(rows) for rows in self._by_date.values())
        self.quality = QualityReport(read, read - self.n_inputs, 0, self.n_inputs)
        if adjusted:
            rows = ", ".join(f"{count:,} {kind}{'s' * (count > 1)}" for kind, count in adjusted.items())
            self.notices.append(f"not booked, because {universe.adjustment.value}-adjusted prices contain them: {rows}")
        if elsewhere:
            rows = f"{elsewhere:,} corporate action{'s' * (elsewhere > 1)}"
            self.notices.append(f"{rows} of other symbols or dates than those played")

    def place(self, action: CorporateAction, symbol: str) -> str:
        """Return file and line of an action that is played; ``symbol`` is its name."""
        day = date_to_day(action.ex_date)
        _, file, line = max(
            (row.day, file, row.line)
            for file in range(len(self._files))
            for row in self._files[file].rows
            if (row.symbol, row.kind, row.value) == (symbol, action.kind, action.value) and row.day <= day
        )
        return f"{self._files[file].path} {self._files[file].unit} {line}"

    def dates(self) -> dict[str, list[int]]:
        """Return the ex-dates by symbol, of renames by the new one as well: ascending days since 1970-01-01."""
        found: dict[str, list[int]] = {}
        for row in self._rows():
            for symbol in (row.symbol, row.target) if row.kind == RENAME else (row.symbol,):
                found.setdefault(symbol, []).append(row.day)
        return found

    @property
    def played(self) -> tuple[CorporateAction, ...]:
        """What one pass plays, in order of time."""
        return tuple(action for _, rows in sorted(self._by_date.items()) for action in rows)

    def lay(self, frame: Iterator[Market]) -> Iterator[Market]:
        """Put the actions before the openings of their sessions, or what comes earlier of that day."""
        left = list(reversed(self.played))
        for message in frame:
            ts = message.ts + (type(message) is SessionOpened)
            while left and left[-1].ts < ts:
                yield left.pop()
            yield message

    def _refuse_circles(self) -> None:
        """Refuse renames of one date that lead back to where they began: no order of them keeps positions apart."""
        renames = {(row.day, row.symbol): row for row in self._rows() if row.kind == RENAME}
        for file in self._files:
            for row in file.rows:
                met = {row.symbol}
                step: ActionRow | None = row if row.kind == RENAME else None
                while step is not None and step.target not in met:
                    met.add(step.target)
                    step = renames.get((row.day, step.target))
                if step is not None and step.target == row.symbol:
                    message = f"{file.path} {file.unit} {row.line}: {row.symbol} is renamed in a circle on one date"
                    remedy = "name a symbol between them, or leave the exchange of two names out"
                    raise OperatorError(message, code="BAD_ACTION", remedy=remedy)

    def _rows(self) -> list[ActionRow]:
        """Return the rows of all files by ex-date; those of one date in order of files and lines."""
        return sorted((row for file in self._files for row in file.rows), key=lambda row: row.day)


def inherited_sectors(actions: Iterable[CorporateAction], sectors: Sequence[str]) -> tuple[str, ...]:
    """Return the sector of each symbol by its id; one that is renamed gives its own to a new name without one."""
    of = list(sectors)
    for action in actions:
        if action.renamed_to is not None and not of[action.renamed_to]:
            of[action.renamed_to] = of[action.symbol]
    return tuple(of)


def _vacated_first(messages: list[CorporateAction]) -> list[CorporateAction]:
    """Let a symbol that another one takes over on the same day be renamed itself before, whatever the files' order."""
    left = list(messages)
    out: list[CorporateAction] = []
    while left:
        sources = [message.symbol for message in left if message.kind == RENAME]
        ready = next((message for message in left if message.renamed_to not in sources), left[0])
        left.remove(ready)
        out.append(ready)
    return out


def _midnight(date: int, zone: str) -> int:
    """Return when a day YYYYMMDD begins at the exchange, nanoseconds UTC."""
    local = datetime(date // 10_000, date // 100 % 100, date % 100, tzinfo=ZoneInfo(zone))
    return int(local.timestamp()) * SECOND_NS


def _message(row: ActionRow, index: dict[str, int], open_ts: int, date: int) -> CorporateAction:
    return CorporateAction(
        ts=open_ts,
        ex_date=date,
        symbol=index[row.symbol],
        kind=row.kind,
        value=row.value,
        pay_date=row.pay_date,
        renamed_to=index[row.target] if row.kind == RENAME else None,
        numerator=row.ratio[0],
        denominator=row.ratio[1],
    )


def open_actions(paths: Sequence[str], *, calendar: str) -> ActionStream:
    """Read files of corporate actions.

    Args:
        paths: of the files.
        calendar: its name.

    Raises:
        OperatorError: a file that cannot be read, or a line that makes no sense, which is named.
    """
    if not paths:
        return ActionStream(())
    from actors.feed.ports.actions import ActionFile  # noqa: PLC0415 - polars only where files are read

    zone = calendar_zone(calendar)
    return ActionStream([ActionFile(path, zone=zone) for path in paths])
