"""Quotes, trades and headlines of several files as streams of inputs in order of time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from actors.feed.bars import F64, I32, I64, Bool
from actors.feed.jump_ticks import TickGuard
from actors.feed.jumps import JumpRule
from actors.feed.quality import QualityReport, Reject
from actors.feed.session import SessionTable, calendar_zone
from actors.feed.survey import Scope, Survey, judge, placed
from actors.feed.ticks import Book, TickRows, merge_blocks, quote_panels, trade_panels
from actors.messages.market import NewsItem
from actors.values.fixed import SCALE
from actors.values.time import LATEST_NS
from actors.values.universe import Universe
from daemon.kernel.message import Market

if TYPE_CHECKING:
    from actors.feed.ports.news import NewsFile
    from actors.feed.ports.ticks import TickFile

KINDS: Final = ("quotes", "trades")


class TickStream:
    """Files of ticks that were looked through; see :func:`open_ticks`.

    Attributes:
        paths: of all files.
        digests: SHA-256 by path.
        notices: what the operator should know.
        quality: what became of every row.
        symbols: those with at least one row that is played.
        days: first and last exchange date of quotes and trades that are played, days since 1970-01-01; None: none are.
        n_inputs: at most so many inputs.
        n_ticks: quotes and prints that are played.
        sized: every file of them says how much was displayed or traded.
        last_ts: of the last input, nanoseconds UTC; 0 where there is none.
    """

    def __init__(
        self, scope: Scope, files: dict[str, list[TickFile]], news: list[NewsFile], jumps: JumpRule | None = None
    ) -> None:
        """Look through the files; ``jumps`` says which prices are not believed, None believes all."""
        self._scope = scope
        self._files = files
        self._news = news
        self.paths = tuple(f.path for kind in KINDS for f in files[kind]) + tuple(f.path for f in news)
        self.sized = all(f.sized for kind in KINDS for f in files[kind])
        self.digests = {f.path: f.digest for kind in KINDS for f in files[kind]} | {f.path: f.digest for f in news}
        self.notices: list[str] = []
        self._guards = {} if jumps is None else {kind: TickGuard(kind, jumps) for kind in KINDS}
        self._surveys: list[Survey] = []
        self._read = 0
        for kind in KINDS:
            for file in files[kind]:
                self._surveys.append(self._look_through(kind, file))
                self._read += file.rows_read
                self.notices += file.notices
        days = [(survey.first_day, survey.last_day) for survey in self._surveys if survey.used]
        self.days = (min(first for first, _ in days), max(last for _, last in days)) if days else None
        self.symbols = dict.fromkeys(symbol for survey in self._surveys for symbol in survey.symbols)
        self.n_inputs = sum(survey.instants for survey in self._surveys)
        self.first_ts = min((survey.first_ts for survey in self._surveys if survey.used), default=0)
        self.last_ts = max((survey.last_ts for survey in self._surveys), default=0)
        self.quality = QualityReport(0, 0, 0, 0)
        self._played: list[tuple[NewsFile, I64]] = []
        self._lookups: dict[str, list[I32]] = {}
        self._until: I64 | None = None
        self._size = 0
        self._index: dict[str, int] = {}
        self._opens: I64 = np.zeros(0, dtype=np.int64)
        self._closes = self._opens

    def _look_through(self, kind: str, file: TickFile) -> Survey:
        guard = self._guards.get(kind)
        before = None if guard is None else guard.begin(file.path, file.unit, file.number)
        survey = Survey(kind, file.path, file.unit, file.symbols, self._scope, guard)
        file.survey(survey.look)
        if not file.sorted:  # what was counted until this showed was of rows in another order
            if before is not None:
                self._guards[kind] = before
                before.begin(file.path, file.unit, file.number)
            survey = Survey(kind, file.path, file.unit, file.symbols, self._scope, before)
            survey.look(file.whole())
        if not survey.used:
            self.notices.append(f"{file.path} has no row that is played: none of the universe in its sessions")
        return survey

    @property
    def frozen(self) -> dict[str, int]:
        """Symbols that are held back -> nanoseconds UTC from which on, because a move cannot be explained."""
        return self._guards["trades"].frozen if self._guards else {}

    def play(self, universe: Universe, table: SessionTable, frozen: Mapping[int, int]) -> None:
        """Settle the universe and the sessions (at least one), which decide on headlines and ids.

        Args:
            universe: whose symbols are played.
            table: the sessions.
            frozen: symbol id -> nanoseconds UTC from which on its quotes and trades are held back.
        """
        if frozen:
            self._until = np.full(len(universe), np.iinfo(np.int64).max)
            for symbol, ts in frozen.items():
                self._until[symbol] = ts
        self.notices += [notice for guard in self._guards.values() for notice in guard.notices]
        self._index = universe.index()
        self._size = len(universe)
        self._opens, self._closes = table.open_ts, table.close_ts
        self._lookups = {
            kind: [np.array([self._index.get(s, -1) for s in f.symbols], dtype=np.int32) for f in self._files[kind]]
            for kind in KINDS
        }
        rejects = [reject for survey in self._surveys for reject in survey.rejects()]
        filtered = sum(survey.filtered for survey in self._surveys)
        rejected = sum(survey.rejected for survey in self._surveys)
        self.n_ticks = used = sum(survey.used for survey in self._surveys)
        for file, (rows, bad) in zip(self._news, self._headlines(table), strict=True):
            self._played.append((file, rows))
            self.n_inputs += len(rows)
            self.last_ts = max(self.last_ts, int(file.ts[rows[-1]]) if len(rows) else 0)
            rejects += bad
            count = sum(reject.count for reject in bad)
            rejected, used, self._read = rejected + count, used + len(rows), self._read + file.rows_read
            filtered += file.rows_read - count - len(rows)
            self.notices += file.notices
            if not len(rows):
                about = "about the universe in its sessions"
                told = f"what is {about} was rejected" if count else f"none {about}"
                self.notices.append(f"{file.path} has no headline that is played: {told}")
        self.quality = QualityReport(self._read, filtered, rejected, used, tuple(rejects))
        self.notices += self.quality.sentences()

    def _headlines(self, table: SessionTable) -> list[tuple[I64, list[Reject]]]:
        """Return which rows of each file are played, and what was rejected.

        A headline that came before, in any of the files, is one again only for symbols it was not about: some vendors
        give each a row.
        """
        first, last = table.days[0], table.close_ts[-1]
        inside = [(file, np.flatnonzero((file.day >= first) & (file.ts <= last))) for file in self._news]
        rows: list[list[int]] = [[] for _ in inside]
        bad: list[dict[str, list[int]]] = [{} for _ in inside]
        known: dict[str, set[str]] = {}
        for _, which, row, (news_id, symbols, headline, _, _) in _by_time(inside):
            ours = {symbol for symbol in symbols if symbol in self._index}
            if symbols and not ours:
                continue
            if not headline:
                bad[which].setdefault("no_headline", []).append(row)
            elif news_id in known and ours <= known[news_id]:
                bad[which].setdefault("same_headline", []).append(row)
            else:
                known.setdefault(news_id, set()).update(ours)
                rows[which].append(row)
        return [
            (
                np.array(kept, dtype=np.int64),
                [
                    Reject(kind, "", len(found), file.path, file.unit, int(file.line[found].min()))
                    for kind, found in kinds.items()
                ],
            )
            for (file, _), kept, kinds in zip(inside, rows, bad, strict=True)
        ]

    def streams(self, since: int | None) -> list[Iterator[Market]]:
        """Return one stream a kind, in the order they have at one instant: quotes, trades, headlines.

        Args:
            since: leave out what is stamped before, nanoseconds UTC; None leaves out nothing.
        """
        streams: list[Iterator[Market]] = []
        if self._files["quotes"]:
            streams.append(quote_panels(self._quotes(since)))
        if self._files["trades"]:
            streams.append(trade_panels(self._trades(since)))
        if self._news:
            streams.append(self._items(since))
        return streams

    def _blocks(self, kind: str, since: int | None) -> Iterator[tuple[TickRows, Bool]]:
        """Yield good rows of the universe with its ids, and which of them may be played by their time."""
        back = None if since is None else self._day_before(since)
        streams = [
            self._mapped(file.rows(back), lookup)
            for file, lookup in zip(self._files[kind], self._lookups[kind], strict=True)
        ]
        for merged in merge_blocks(streams):
            rows, playable = placed(merged, self._scope)
            good = (rows.ids >= 0) & (judge(kind, rows) == 0) & self._scope.within(rows.day)
            if self._guards and self._guards[kind].holds:
                good &= ~self._guards[kind].drops(rows)
            if self._until is not None:
                good &= rows.ts < self._until[rows.ids]
            if good.any():
                yield rows.take(good), playable[good]

    def _day_before(self, ts: int) -> int | None:
        """Return a time behind which all rows lie that make the book of ``ts``: a day begins with an empty one."""
        opened = int(np.searchsorted(self._opens, ts, "right"))
        return int(self._closes[opened - 2]) if opened > 1 else None

    @staticmethod
    def _mapped(blocks: Iterator[TickRows], lookup: I32) -> Iterator[TickRows]:
        for rows in blocks:
            rows.ids = lookup[rows.ids]
            yield rows

    def _quotes(self, since: int | None) -> Iterator[TickRows]:
        book = Book(self._size)
        for rows, _ in self._blocks("quotes", since):
            folded, playable = placed(book.fold(rows), self._scope)
            yield folded.take(playable if since is None else playable & (folded.ts >= since))

    def _trades(self, since: int | None) -> Iterator[TickRows]:
        for rows, playable in self._blocks("trades", since):
            yield rows.take(playable if since is None else playable & (rows.ts >= since))

    def traded(self, symbols: Collection[int]) -> dict[int, tuple[I64, F64, F64]]:
        """Read the trades again; return stamps, prices and sizes of those symbols that have any."""
        wanted = np.array(sorted(symbols), dtype=np.int32)
        parts: dict[int, list[tuple[I64, F64, F64]]] = {}
        for block in self._trades(None):
            rows = block.take(np.isin(block.ids, wanted))
            for symbol in np.unique(rows.ids).tolist():
                mine = rows.ids == symbol
                columns = rows.ts[mine], rows.cols["price"][mine], rows.cols["size"][mine]
                parts.setdefault(symbol, []).append(columns)
        return {
            symbol: (
                np.concatenate([ts for ts, _, _ in found]),
                np.concatenate([price for _, price, _ in found]),
                np.concatenate([size for _, _, size in found]),
            )
            for symbol, found in parts.items()
        }

    def first_prices(self, until: int) -> tuple[I64, int]:
        """Return every symbol's first price, ``[N]`` in units of 1e-8, 0 for none; and when the first of them came.

        Args:
            until: prices stamped behind this instant do not count, nanoseconds UTC.
        """
        found, when = np.zeros(self._size, dtype=np.int64), np.full(self._size, LATEST_NS, dtype=np.int64)
        for kind in KINDS:
            for rows in self._quotes(None) if kind == "quotes" else self._trades(None):
                if kind == "quotes":
                    bid, ask = (np.rint(rows.cols[name] * SCALE) for name in ("bid_px", "ask_px"))
                    px = np.where(bid <= ask, (bid + ask) // 2, 0.0)  # a side that is not known compares false
                else:
                    px = np.rint(rows.cols["price"] * SCALE)
                known = np.flatnonzero((px > 0) & (rows.ts <= until))[::-1]  # of several the first stays
                ids, ts = rows.ids[known], rows.ts[known]
                earliest = when.copy()
                earliest[ids] = ts
                prices = found.copy()
                prices[ids] = px[known].astype(np.int64)
                sooner = earliest < when
                found, when = np.where(sooner, prices, found), np.where(sooner, earliest, when)
                if len(rows) and rows.ts[-1] > until:
                    break
        return found, int(when.min(initial=LATEST_NS))

    def session_lasts(self, table: SessionTable) -> F64:
        """Read the ticks again; return the last price of each session, ``[S, N]``, NaN where there is none.

        That is the last print; in a session without prints of a symbol, the middle of its last quote.
        """
        found = np.full((len(table), self._size), np.nan)
        for kind in KINDS:
            part = np.full_like(found, np.nan)
            for rows in self._quotes(None) if kind == "quotes" else self._trades(None):
                if kind == "quotes":
                    bid, ask = rows.cols["bid_px"], rows.cols["ask_px"]
                    px = np.where(bid <= ask, (bid + ask) / 2, np.nan)  # a side that is not known compares false
                else:
                    px = rows.cols["price"]
                known = np.isfinite(px)
                session = np.maximum(np.searchsorted(table.open_ts, rows.ts[known], "right") - 1, 0)
                part[session, rows.ids[known]] = px[known]  # of several the last stays
            found = np.where(np.isfinite(part), part, found)
        return found

    def _items(self, since: int | None) -> Iterator[Market]:
        kept = [(file, rows if since is None else rows[file.ts[rows] >= since]) for file, rows in self._played]
        for ts, _, _, (news_id, symbols, headline, summary, source) in _by_time(kept):
            ids = tuple(dict.fromkeys(self._index[symbol] for symbol in symbols if symbol in self._index))
            yield NewsItem(ts, news_id, ids, headline, summary, source)


def _by_time(
    files: Sequence[tuple[NewsFile, I64]],
) -> Iterator[tuple[int, int, int, tuple[str, tuple[str, ...], str, str, str]]]:
    """Merge some rows of files of headlines by time; within an instant files follow each other.

    Yields:
        When it is known, which file, which row, and what it says.
    """
    if not files:
        return
    stamps = np.concatenate([file.ts[rows] for file, rows in files])
    order = np.argsort(stamps, kind="stable")
    owner = np.repeat(np.arange(len(files)), [len(rows) for _, rows in files])
    sources = [zip(rows.tolist(), file.items(rows), strict=True) for file, rows in files]
    for ts, which in zip(stamps[order].tolist(), owner[order].tolist(), strict=True):
        row, item = next(sources[which])
        yield ts, which, row, item


def open_ticks(
    quotes: Sequence[str],
    trades: Sequence[str],
    news: Sequence[str],
    *,
    tz: str | None,
    calendar: str,
    extended: bool,
    first_day: int | None,
    last_day: int | None,
    symbols: Sequence[str] | None,
    jumps: JumpRule | None = None,
) -> TickStream:
    """Look through files of quotes, trades and headlines.

    Args:
        quotes: paths.
        trades: paths.
        news: paths.
        tz: zone of times without an offset, or None.
        calendar: its name.
        extended: play what lies outside the regular session too.
        first_day: first exchange date asked for, days since 1970-01-01; None for no bound.
        last_day: last exchange date asked for.
        symbols: those asked for; None for all.
        jumps: which prices are not believed; None believes all.

    Raises:
        OperatorError: a file, column, time or symbol that does not hold.
    """
    zone = calendar_zone(calendar)
    scope = Scope(calendar, first_day, last_day, None if symbols is None else frozenset(symbols), extended)
    files: dict[str, list[TickFile]] = {kind: [] for kind in KINDS}
    headlines: list[NewsFile] = []
    if quotes or trades or news:
        from actors.feed.ports.news import NewsFile  # noqa: PLC0415 - polars only where files are read
        from actors.feed.ports.ticks import TickFile  # noqa: PLC0415

        for kind, paths in (("quotes", quotes), ("trades", trades)):
            files[kind] = [TickFile(path, kind, number=i, tz=tz, zone=zone) for i, path in enumerate(paths)]
        headlines = [NewsFile(path, tz=tz, zone=zone) for path in news]
    return TickStream(scope, files, headlines, jumps)
