"""Changes of trading status of several files as one stream of inputs in order of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from actors.feed.bars import I64
from actors.feed.filed import FiledStream
from actors.feed.quality import QualityReport
from actors.feed.session import SessionTable, calendar_zone
from actors.messages.market import TradingStatus
from actors.values.halts import HALTED, LULD, MARKET, SSR, TRADING, Halts
from actors.values.time import DAY_NS
from actors.values.universe import Universe
from daemon.kernel.message import Market

if TYPE_CHECKING:
    from actors.feed.ports.status import StatusFile

JUMP: Final = "jump"
"""Reason of a halt that the feed itself sets, because a price cannot be believed."""
STAR: Final = "*"


class Jump(msgspec.Struct, frozen=True):
    """From ``ts`` on (nanoseconds UTC) the prices of a symbol of the universe cannot be believed."""

    ts: int
    symbol: int


class StatusStream(FiledStream["StatusFile"]):
    """Files of status, read, and what the guard against jumps found; see :func:`open_statuses`.

    Attributes:
        last_ts: of the last input, nanoseconds UTC; 0 where there is none.
    """

    def __init__(self, files: Sequence[StatusFile]) -> None:
        """Take over files that were read."""
        super().__init__(files)
        self.last_ts = 0
        self._first: list[TradingStatus] = []
        self._rest: list[TradingStatus] = []
        self._stamps: I64 = np.zeros(0, dtype=np.int64)

    def play(
        self, universe: Universe, table: SessionTable, before: SessionTable, jumps: Sequence[Jump], *, loop: bool
    ) -> None:
        """Settle what is played.

        What was said before the first day played and still holds is told again behind the first opening.

        Args:
            universe: whose symbols count.
            table: the sessions played, at least one.
            before: the sessions of the days before, of which the last decides whether a short-sale restriction still
                holds; may be empty.
            jumps: which symbols the feed itself halts, and when.
            loop: each pass begins by lifting what the one before left halted.
        """
        index = {**universe.index(), STAR: MARKET}
        last = int(table.close_ts[-1])
        found: list[TradingStatus] = [
            TradingStatus(jump.ts, jump.symbol, HALTED, reason=JUMP) for jump in jumps if jump.ts <= last
        ]
        read = used = 0
        for file in self._files:
            mine = self._rows(file, index, last)
            if not mine:
                self.notices.append(
                    f"{file.path} has no row that is played: none of the universe up to the last session"
                )
            found += mine
            read += file.rows_read
            used += len(mine)
        found.sort(key=lambda status: status.ts)  # stable: rows of one instant follow each other as they stand
        opened = int(table.open_ts[0])
        edge = min(opened, int(table.days[0]) * DAY_NS)
        early = [status for status in found if status.ts < edge]
        self._rest = found[len(early) :]
        self._first = _standing(early, opened if not len(before) else int(before.open_ts[-1]), edge, opened)
        if loop:
            self._first = [*_lifted([*early, *self._rest], self._start(opened)), *self._first]
        if self._first and self._rest and self._rest[0].ts < self._first[0].ts:
            self._first = [msgspec.structs.replace(status, ts=self._rest[0].ts) for status in self._first]
        self._stamps = np.array([status.ts for status in self._rest], dtype=np.int64)
        self.n_inputs = len(self._first) + len(self._rest)
        ends = [part[-1].ts for part in (self._first, self._rest) if part]
        self.last_ts = max(ends, default=0)
        self.quality = QualityReport(read, read - used, 0, used)

    def _start(self, opened: int) -> int:
        return min(opened, self._rest[0].ts) if self._rest else opened

    @staticmethod
    def _rows(file: StatusFile, index: dict[str, int], last: int) -> list[TradingStatus]:
        known = file.symbols.is_in(list(index)).to_numpy()
        which = np.flatnonzero(known & (file.ts <= last))
        return [
            TradingStatus(ts, index[symbol], state, lower, upper, reason)
            for ts, (symbol, state, lower, upper, reason) in zip(file.ts[which].tolist(), file.rows(which), strict=True)
        ]

    def stream(self, since: int | None) -> Iterator[Market]:
        """Yield the inputs in order of time; what is stamped before ``since`` (nanoseconds UTC) is left out."""
        if since is None:
            yield from self._first
            yield from self._rest
            return
        yield from (status for status in self._first if status.ts >= since)
        yield from self._rest[int(np.searchsorted(self._stamps, since, "left")) :]


def _standing(early: list[TradingStatus], previous_open: int, edge: int, ts: int) -> list[TradingStatus]:
    """Return what of the statuses before the first day still holds, as told at ``ts``."""
    held: dict[int, TradingStatus] = {}
    restricted: dict[int, TradingStatus] = {}
    for status in early:
        symbol, halted = status.symbol, held.get(status.symbol)
        if status.state == SSR:
            if previous_open <= status.ts < edge:
                restricted[symbol] = status
        elif status.state == TRADING:
            held.pop(symbol, None)
        elif _banded(status):  # ended with its session; it lifted a pause, and no halt
            if halted is not None and halted.state == LULD:
                del held[symbol]
        elif halted is None or halted.state == LULD or status.state != LULD:  # a pause halts nothing any further
            held[symbol] = status
    again = [*held.values(), *(msgspec.structs.replace(row, carried=True) for row in restricted.values())]
    return [msgspec.structs.replace(row, ts=ts) for row in again]


def _banded(status: TradingStatus) -> bool:
    return status.lower is not None or status.upper is not None


def _lifted(statuses: list[TradingStatus], ts: int) -> list[TradingStatus]:
    """Return what lets everything trade again that is halted, or has bands, at the end of ``statuses``."""
    halts = Halts()
    banded: dict[int, bool] = {}
    for status in statuses:
        halts.fold(status.symbol, status.state, status.reason, banded=_banded(status))
        if status.state != SSR:
            banded[status.symbol] = status.state != TRADING and _banded(status)
    left = sorted({*halts.stopped, *(symbol for symbol, has in banded.items() if has)})
    return [TradingStatus(ts, symbol, TRADING, reason="loop") for symbol in left]


def open_statuses(paths: Sequence[str], *, tz: str | None, calendar: str) -> StatusStream:
    """Read files of trading status.

    Args:
        paths: of the files.
        tz: zone of times without an offset, or None.
        calendar: its name.

    Raises:
        OperatorError: a file, column or line that does not hold.
    """
    if not paths:
        return StatusStream(())
    from actors.feed.ports.status import StatusFile  # noqa: PLC0415 - polars only where files are read

    zone = calendar_zone(calendar)
    return StatusStream([StatusFile(path, tz=tz, zone=zone) for path in paths])
