"""A recording: bars, quotes, trades and headlines of the past as one stream of inputs, for replay and playback alike.

Everything is looked at once when a recording is opened; afterwards ticks are read again in blocks while they are
played, so that a file of any length fits, and playing can begin at any place without decoding what lies before it.

At one instant the order is: corporate actions, the opening of a session, changes of status, quotes, trades, headlines,
bars, the closing. A bar that ends exactly at the opening belongs to the time before it, and where one session closes
and the next opens at the same instant, ticks of that instant belong to the next. With bars alone the stream is that of
:meth:`History.inputs`.
"""

from __future__ import annotations

import functools
import heapq
import operator
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import msgspec
import numpy as np

from actors.feed.action_checks import refuse_large_dividends, renamed_without_prices
from actors.feed.actions import ActionStream, inherited_sectors, open_actions
from actors.feed.bars import F64, I64
from actors.feed.history import History, HistorySpec, open_history
from actors.feed.jumps import JumpRule
from actors.feed.quality import QualityReport
from actors.feed.replaying import merge_sessions, remapped, shifted
from actors.feed.session import SessionTable, date_to_day, day_text, days_to_dates, session_table
from actors.feed.statuses import Jump, StatusStream, open_statuses
from actors.feed.tickstream import TickStream, open_ticks
from actors.messages.market import SessionClosed, SessionOpened, TradingStatus
from actors.values.session import Session
from actors.values.time import DAY_NS, LATEST_NS, MINUTE_NS, Interval, parse_interval
from actors.values.universe import Adjustment, Universe
from daemon.kernel.errors import OperatorError, UsageError
from daemon.kernel.message import Market

WEEK_NS: Final = 7 * DAY_NS
_BEFORE_DAYS: Final = 14
TICK_INTERVAL: Final = parse_interval("1m")
"""What counts as the interval of a recording without bars."""


class RecordingSpec(msgspec.Struct, frozen=True):
    """What to play.

    Attributes:
        bars: paths of bar files (CSV, CSV.gz, Parquet, tapes), or of folders of tapes.
        quotes, trades, news: paths of files of quotes, trades and headlines.
        status: paths of files of trading status.
        max_jump, jump_confirmations: which prices are not believed (:mod:`actors.feed.jumps`); 0 believes all.
        actions: paths of files of corporate actions.
        renamed: further symbols, as far as there are data of them, where ``symbols`` names any.
        follow_renames: symbols that those of the universe are renamed to belong to it, too.
        source: ``sp500`` for the embedded bars, "" for files.
        symbols: the universe; empty for every symbol there is.
        from_date, to_date: exchange dates ``YYYYMMDD``, both included; None for no bound.
        tz: zone of times without an offset.
        adjustment: what the prices of bars have folded in; None: raw, with a notice.
        interval: of the bars to play; None: as the data are.
        calendar: an exchange_calendars name, or ``always``.
        extended_hours: play what lies outside the regular session too.
        benchmark: a symbol of the bars, or None.
        sectors: symbol -> sector.
        loop: begin again after the last instant, moved to later dates.
    """

    bars: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    trades: tuple[str, ...] = ()
    news: tuple[str, ...] = ()
    source: str = ""
    symbols: tuple[str, ...] = ()
    from_date: int | None = None
    to_date: int | None = None
    tz: str | None = None
    adjustment: Adjustment | None = None
    interval: Interval | None = None
    calendar: str = "XNYS"
    extended_hours: bool = False
    benchmark: str | None = None
    sectors: dict[str, str] = {}
    loop: bool = False
    status: tuple[str, ...] = ()
    max_jump: float = 0.0
    jump_confirmations: int = 3
    actions: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    follow_renames: bool = True


class Resume(msgspec.Struct, frozen=True):
    """A place in the stream: behind the first ``n`` inputs stamped exactly ``ts`` (nanoseconds UTC)."""

    ts: int
    n: int = 0


class Recording:
    """Recorded market data of a universe; see :func:`open_recording`.

    Attributes:
        universe: symbols with at least one bar or tick, in alphabetical order.
        interval: of the bars played; one minute where there are only ticks.
        sessions: from the first played to the last, also those without data.
        actions: corporate actions of one pass, in order of time.
        digests: SHA-256 by file.
        label: the sources, for people.
        notices: sentences the operator should see.
        quality: what became of every row.
        history: the bars, or None.
        n_inputs: about how many inputs one pass has.
        n_instants: panels of bars.
        n_bars: bars in them.
        n_ticks: quotes and prints.
        close_only: open, high and low of the bars merely repeat the close.
        volume_known: panels of bars carry volumes; where there are only ticks, all have sizes.
        first_start: when the first bar starts, nanoseconds UTC, without bars the first session; or the first tick.
    """

    def __init__(
        self,
        spec: RecordingSpec,
        history: History | None,
        ticks: TickStream,
        statuses: StatusStream,
        actions: ActionStream,
        table: SessionTable,
        universe: Universe,
    ) -> None:
        """Take over what :func:`open_recording` prepared."""
        self._spec = spec
        self._ticks = ticks
        self._table = table
        self._tick_closes: F64 | None = None
        self._tick_opens: tuple[tuple[int, ...], int] | None = None
        self._statuses = statuses
        self._actions = actions
        self.history = history
        self.universe = universe
        self.sessions: tuple[Session, ...] = table.sessions() if history is None else history.sessions
        self.actions = actions.played
        self.interval = TICK_INTERVAL if history is None else history.interval
        self.digests = {
            **({} if history is None else history.digests),
            **ticks.digests,
            **statuses.digests,
            **actions.digests,
        }
        self.label = ", ".join([*([] if history is None else [history.label]), *ticks.paths])
        qualities = [part.quality for part in (history, ticks, statuses, actions) if part is not None]
        self.quality = functools.reduce(_joined, qualities)
        self.notices = (
            *(() if history is None else history.notices),
            *ticks.notices,
            *statuses.notices,
            *actions.notices,
        )
        self.n_instants = 0 if history is None else history.n_instants
        self.n_bars = 0 if history is None else history.n_bars
        self.n_ticks = ticks.n_ticks
        self.close_only = history is not None and history.close_only
        self.volume_known = ticks.n_ticks > 0 and ticks.sized if history is None else history.volume_known
        self.n_inputs = self.n_instants + 2 * len(self.sessions) + ticks.n_inputs + statuses.n_inputs + actions.n_inputs
        first_bar = self.sessions[0].open_ts if history is None else history.first_start
        self.first_start = min(first_bar, ticks.first_ts or first_bar)
        if self.actions:
            self.notices += tuple(self._checked_actions())

    def _checked_actions(self) -> list[str]:
        """Hold the actions against prices; see :mod:`actors.feed.action_checks`."""
        symbols = self.universe.symbols
        dates, closes = self.session_closes()
        if self.history is not None and self._ticks.n_ticks:
            lasts = self._ticks.session_lasts(self._table)
            closes = np.where(np.isfinite(lasts), lasts, closes)
        refuse_large_dividends(
            self.actions, symbols, dates, closes, lambda action: self._actions.place(action, symbols[action.symbol])
        )
        return renamed_without_prices(self.actions, symbols, dates, closes)

    def inputs(self, after: Resume | None = None) -> Iterator[Market]:
        """Yield the inputs in order of time; again and again, until the year 2200, where the recording is looped.

        Args:
            after: begin behind this place; None: at the beginning.
        """
        if not self._spec.loop:
            return self._behind(after)
        return self._looped(after)

    def warm_rows(self, count_sessions: int) -> Iterator[Market]:
        """Yield the inputs of the last ``count_sessions`` sessions before the first one played, oldest first.

        They are for warming up features: observed, never traded on. Nothing comes where the files hold nothing earlier,
        and ids are those of :attr:`universe`.
        """
        first = date_to_day(self.sessions[0].date)
        earlier = session_table(self._spec.calendar, first - 7 - 2 * count_sessions, first - 1)
        if count_sessions < 1 or not len(earlier):
            return
        days = earlier.days[-count_sessions:]
        renamed = [self.universe.symbols[a.renamed_to] for a in self.actions if a.renamed_to is not None]
        spec = msgspec.structs.replace(
            self._spec,
            symbols=tuple(symbol for symbol in self.universe.symbols if symbol not in renamed),
            renamed=tuple(dict.fromkeys(renamed)),
            from_date=int(days_to_dates(days[:1])[0]),
            to_date=int(days_to_dates(days[-1:])[0]),
            interval=None if self.history is None else self.interval,
            benchmark=None,
            news=(),
            status=(),
            follow_renames=False,
            loop=False,
        )
        try:
            before = open_recording(spec)
        except OperatorError as error:
            if error.code != "NO_DATA":
                raise
            return
        # What the guard against jumps halted there is history, too.
        inputs = (message for message in before.inputs() if not isinstance(message, TradingStatus))
        yield from remapped(inputs, before.universe, self.universe)

    def session_opens(self) -> tuple[I64, F64]:
        """Return exchange dates ``[S]`` and first opens of bars ``[S, N]``, NaN where there is none."""
        return self._unknown() if self.history is None else self.history.session_opens()

    def session_closes(self) -> tuple[I64, F64]:
        """Return exchange dates ``[S]`` and last closes ``[S, N]`` of bars, without bars of ticks; NaN for none."""
        if self.history is not None:
            return self.history.session_closes()
        if self._tick_closes is None:
            self._tick_closes = self._ticks.session_lasts(self._table)
        dates, _ = self._unknown()
        return dates, self._tick_closes

    def benchmark_closes(self) -> tuple[str, I64, F64] | None:
        """Return (label, dates ``[B]``, closes ``[B]``) of the benchmark within the sessions, or None without one."""
        return None if self.history is None else self.history.benchmark_closes()

    def traded(self, symbols: Collection[int]) -> dict[int, tuple[I64, F64, F64]]:
        """Return all trading in some symbols: when it was known, prices and volumes, ``[n]`` each, ascending.

        Prints where the symbol has any, else bars; a symbol of which no volume is known is left out.
        """
        found = self._ticks.traded(symbols)
        for symbol in symbols:
            bars = self.history.traded(symbol) if self.history is not None and symbol not in found else None
            if bars is not None:
                found[symbol] = bars
        return found

    def _unknown(self) -> tuple[I64, F64]:
        dates = np.array([session.date for session in self.sessions], dtype=np.int64)
        return dates, np.full((len(dates), len(self.universe)), np.nan)

    def _pass(self, since: int | None) -> Iterator[Market]:
        """Yield one pass; what is stamped before ``since`` may be left out."""
        frame = self._calendar(since) if self.history is None else self.history.inputs(since)
        if self._actions.n_inputs:
            frame = self._actions.lay(frame)
        streams = self._ticks.streams(since)
        if self._statuses.n_inputs:
            streams = [self._statuses.stream(since), *streams]
        if not streams:
            return frame
        ticks = streams[0] if len(streams) == 1 else heapq.merge(*streams, key=operator.attrgetter("ts"))
        return merge_sessions(frame, ticks)

    def _calendar(self, since: int | None) -> Iterator[Market]:
        for session in self.sessions:
            if since is None or session.close_ts >= since:
                first = self._first_ticks() if session is self.sessions[0] else ((), 0)
                yield SessionOpened(session.open_ts, session, *first)
                yield SessionClosed(session.close_ts, session)

    def _first_ticks(self) -> tuple[tuple[int, ...], int]:
        """Return what the gate may know before anything ticked: first prices that are about to come, and when."""
        if self._tick_opens is None:
            prices, when = self._ticks.first_prices(self.sessions[0].open_ts + MINUTE_NS)
            self._tick_opens = (tuple(prices.tolist()), when) if prices.any() else ((), 0)
        return self._tick_opens

    def _behind(self, after: Resume | None) -> Iterator[Market]:
        if after is None:
            return self._pass(None)
        return _skipped(self._pass(after.ts), after)

    def _looped(self, after: Resume | None) -> Iterator[Market]:
        head = next(self._pass(None), None)
        first = self.sessions[0].open_ts if head is None else head.ts
        last = max(
            self.sessions[-1].close_ts,
            self._ticks.last_ts,
            self._statuses.last_ts,
            0 if self.history is None else self.history.last_end,
        )
        step = ((last - first) // WEEK_NS + 1) * WEEK_NS
        turn = 0 if after is None else max(0, (after.ts - first) // step)
        while not turn or last + turn * step <= LATEST_NS:
            place = None if after is None else Resume(after.ts - turn * step, after.n)
            inputs = self._behind(place)
            yield from shifted(inputs, turn, step // DAY_NS, len(self.sessions)) if turn else inputs
            turn, after = turn + 1, None


def _skipped(inputs: Iterator[Market], after: Resume) -> Iterator[Market]:
    left = after.n
    for message in inputs:
        if message.ts < after.ts:
            continue
        if message.ts == after.ts and left:
            left -= 1
            continue
        yield message
        break
    yield from inputs


def _joined(one: QualityReport, other: QualityReport) -> QualityReport:
    return QualityReport(
        rows_read=one.rows_read + other.rows_read,
        rows_filtered=one.rows_filtered + other.rows_filtered,
        rows_rejected=one.rows_rejected + other.rows_rejected,
        rows_used=one.rows_used + other.rows_used,
        rejects=one.rejects + other.rejects,
    )


def open_recording(spec: RecordingSpec) -> Recording:
    """Read bars, look through ticks and put both on one calendar.

    Raises:
        UsageError: nothing to play, or files and an embedded source of bars.
        ConfigError: an unknown calendar.
        OperatorError: a file, column, line, symbol, date or interval that does not hold; one sentence with what to do.
    """
    if not (spec.bars or spec.source or spec.quotes or spec.trades):
        raise UsageError(
            "there is no data to replay",
            code="NO_SOURCE",
            remedy="give --bars PATH, --source sp500, --quotes or --trades",
        )
    _refuse_twice(spec)
    actions = open_actions(spec.actions, calendar=spec.calendar)
    follow = spec.follow_renames and bool(spec.actions)
    if spec.symbols and follow:
        asked = [None if d is None else date_to_day(d) for d in (spec.from_date, spec.to_date)]
        targets = actions.targets(spec.symbols, *asked)
        spec = msgspec.structs.replace(spec, renamed=targets)
    rule = JumpRule(spec.max_jump, spec.jump_confirmations, explained=actions.dates()) if spec.max_jump else None
    if spec.bars or spec.source:
        return _with_bars(spec, actions, rule, follow=follow)
    first_day, last_day = (None if d is None else date_to_day(d) for d in (spec.from_date, spec.to_date))
    if first_day is not None and last_day is not None and first_day > last_day:
        message = f"--from {day_text(first_day)} is after --to {day_text(last_day)}"
        raise OperatorError(message, code="BAD_DATE", remedy="exchange them")
    told = spec.adjustment or Adjustment.RAW
    symbols = (*spec.symbols, *spec.renamed) if spec.symbols else None
    ticks = _ticks(spec, (first_day, last_day), symbols, _of_ticks(rule, told))
    if ticks.days is None:
        message = f"{', '.join(ticks.paths)} have no usable row in the sessions of {spec.calendar} that were asked for"
        raise OperatorError(message, code="NO_DATA", remedy="choose other symbols, dates or universe.calendar")
    joined = actions.targets(ticks.symbols, *ticks.days) if follow else ()
    return _settled(spec, None, ticks, actions, ticks.days, _universe(spec, ticks, joined))


def _with_bars(spec: RecordingSpec, actions: ActionStream, rule: JumpRule | None, *, follow: bool) -> Recording:
    """Open the bars, and on their days the ticks; a symbol that only ticks is of the universe, too."""
    surveyed: dict[tuple[int | None, int | None], TickStream] = {}
    ticking = bool(spec.quotes or spec.trades)
    told = spec.adjustment or (Adjustment.TOTAL if spec.source else Adjustment.RAW)
    wanted = (*spec.symbols, *spec.renamed) if spec.symbols else None

    def joined(symbols: Iterable[str], first_day: int | None, last_day: int | None) -> tuple[str, ...]:
        days = first_day, last_day
        found: tuple[str, ...] = ()
        if ticking:
            surveyed[days] = _ticks(spec, days, wanted, _of_ticks(rule, told))
            found = tuple(surveyed[days].symbols)
        return (*found, *actions.targets((*symbols, *found), *days)) if follow else found

    # What ships with the program was looked at: what jumps there did.
    of_bars = msgspec.structs.replace(_of_bars(spec), jumps=None if spec.source else rule, may_tick=ticking)
    history = open_history(msgspec.structs.replace(of_bars, targets=joined) if follow or ticking else of_bars)
    absent = [symbol for symbol in spec.symbols if ticking and symbol not in history.universe.symbols]
    if absent:
        message = f"neither the bars nor the ticks have a usable row of {', '.join(absent)} in the dates asked for"
        raise OperatorError(message, code="UNKNOWN_SYMBOL", remedy="leave it out of universe.symbols, or give its data")
    days = date_to_day(history.sessions[0].date), date_to_day(history.sessions[-1].date)
    ticks = surveyed.get(days) if told is history.adjustment else None
    if ticks is None:
        ticks = _ticks(spec, days, history.universe.symbols, _of_ticks(rule, history.adjustment))
    closes = history.session_closes()[1] if ticking else np.zeros((0, 0))
    alone = [
        symbol
        for symbol, column in zip(history.universe.symbols, closes.T, strict=False)
        if symbol in ticks.symbols and not np.isfinite(column).any()
    ]
    if alone:
        ticks.notices.append(f"matched and marked on ticks alone, for there are no bars of them: {', '.join(alone)}")
    return _settled(spec, history, ticks, actions, days, history.universe)


def _of_ticks(rule: JumpRule | None, adjustment: Adjustment) -> JumpRule | None:
    return rule and msgspec.structs.replace(rule, freezes=adjustment is Adjustment.RAW)


def _ticks(
    spec: RecordingSpec,
    days: tuple[int | None, int | None],
    symbols: tuple[str, ...] | None,
    jumps: JumpRule | None,
) -> TickStream:
    return open_ticks(
        spec.quotes,
        spec.trades,
        spec.news,
        tz=spec.tz,
        calendar=spec.calendar,
        extended=spec.extended_hours,
        first_day=days[0],
        last_day=days[1],
        symbols=symbols,
        jumps=jumps,
    )


def _settled(
    spec: RecordingSpec,
    history: History | None,
    ticks: TickStream,
    actions: ActionStream,
    days: tuple[int, int],
    universe: Universe,
) -> Recording:
    table = session_table(spec.calendar, *days)
    jumps = _frozen(history, ticks, universe)
    ticks.play(universe, table, {jump.symbol: jump.ts for jump in jumps})
    statuses = open_statuses(spec.status, tz=spec.tz, calendar=spec.calendar)
    # Before the first day that a calendar knows there is nothing that could still hold.
    needed = spec.status or spec.actions
    before = session_table(spec.calendar, days[0] - _BEFORE_DAYS, days[0] - 1) if needed else table.between(0, 0)
    actions.play(universe, table, before, extended=spec.extended_hours)
    if any(universe.sectors):
        universe = msgspec.structs.replace(universe, sectors=inherited_sectors(actions.played, universe.sectors))
    statuses.play(universe, table, before, jumps, loop=spec.loop)
    return Recording(spec, history, ticks, statuses, actions, table, universe)


def _frozen(history: History | None, ticks: TickStream, universe: Universe) -> list[Jump]:
    """Return what the guard halts, each symbol once."""
    index = universe.index()
    found = {} if history is None else {symbol: ts for ts, symbol in history.frozen}
    for name, ts in ticks.frozen.items():
        if name in index:
            found[index[name]] = min(ts, found.get(index[name], ts))
    return [Jump(ts, symbol) for symbol, ts in found.items()]


def _of_bars(spec: RecordingSpec) -> HistorySpec:
    return HistorySpec(
        bars=spec.bars,
        source=spec.source,
        symbols=spec.symbols,
        from_date=spec.from_date,
        to_date=spec.to_date,
        tz=spec.tz,
        adjustment=spec.adjustment,
        interval=spec.interval,
        calendar=spec.calendar,
        extended_hours=spec.extended_hours,
        benchmark=spec.benchmark,
        sectors=spec.sectors,
        renamed=spec.renamed,
    )


def _refuse_twice(spec: RecordingSpec) -> None:
    paths = [*spec.quotes, *spec.trades, *spec.news, *spec.status, *spec.actions]
    for i, path in enumerate(paths):
        if path in paths[:i] or path in spec.bars:
            message = f"the file {path} is given twice"
            raise OperatorError(message, code="GIVEN_TWICE", remedy="name it once")


def _universe(spec: RecordingSpec, ticks: TickStream, joined: tuple[str, ...]) -> Universe:
    symbols = tuple(sorted({**ticks.symbols, **dict.fromkeys(joined)}))
    absent = [symbol for symbol in spec.symbols if symbol not in symbols]
    if absent:
        ticks.notices.append(
            f"no usable quote or trade in the dates asked for, so not in the universe: {', '.join(absent)}"
        )
    if spec.benchmark is not None and spec.benchmark not in symbols:
        message = f"{', '.join(ticks.paths)} have no row of the benchmark {spec.benchmark}"
        raise OperatorError(message, code="UNKNOWN_SYMBOL", remedy="choose another benchmark, or leave it out")
    indices = [symbol for symbol in symbols if symbol.startswith("^")]
    return Universe(
        symbols=symbols,
        sectors=tuple(spec.sectors.get(symbol, "") for symbol in symbols),
        tradable=tuple(symbol not in indices for symbol in symbols) if indices else (),
        adjustment=spec.adjustment or Adjustment.RAW,
        benchmark=spec.benchmark,
    )
