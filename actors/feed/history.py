"""History: a source of recorded bars, checked, put on the calendar and ready to be replayed.

``open_history`` reads everything once; afterwards :meth:`History.inputs` only slices. What was left out on the way
stands in ``quality`` and, as sentences, in ``notices``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
import numpy as np

from actors.feed import quality as checks
from actors.feed.aggregate import Bars, aggregate, bar_ends
from actors.feed.bars import F64, I16, I32, I64, QUOTES, Bool, RawBars, SourceFile, merge_quotes
from actors.feed.interval import Plan, plan_daily, plan_intraday
from actors.feed.jump_bars import Frozen, hold_back
from actors.feed.jumps import JumpRule
from actors.feed.panel import PanelSource
from actors.feed.quality import QualityReport
from actors.feed.session import SessionTable, date_to_day, day_text, days_to_dates, session_table
from actors.feed.sources import Loaded, load
from actors.values.session import Session
from actors.values.time import Interval
from actors.values.universe import Adjustment, Universe
from daemon.kernel.errors import OperatorError, UsageError
from daemon.kernel.message import Market

Targets = Callable[[Iterable[str], int, int], tuple[str, ...]]
"""Gives what symbols are renamed to from a first to a last day since 1970-01-01."""

INDEX_MARK: Final = "^"
"""Symbols that start with it are indices: observed, never traded."""


class HistorySpec(msgspec.Struct, frozen=True):
    """What to replay.

    Attributes:
        bars: paths of CSV, CSV.gz or Parquet files of bars, or of quotes that belong to them, or of tapes, or
            folders of tapes.
        source: ``sp500`` for the embedded data, "" for files.
        symbols: the universe; empty for every symbol there is.
        from_date, to_date: exchange dates ``YYYYMMDD``, both included; None for no bound.
        tz: zone of times without an offset.
        adjustment: what files' prices have folded in; None: raw, with a notice.
        interval: of the bars to replay; None: as the data are.
        calendar: an exchange_calendars name, or ``always``.
        extended_hours: replay bars outside the regular session too.
        benchmark: a symbol of the data, or None: the index of the embedded data, nothing for files.
        sectors: symbol -> sector.
        renamed: further symbols, as far as there are data of them, where ``symbols`` names any.
        targets: tells which symbols join the universe although they may have no bar, or None.
        jumps: which prices are not believed, or None.
        may_tick: a symbol of ``symbols`` without bars is no error: it may have ticks.
    """

    bars: tuple[str, ...] = ()
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
    renamed: tuple[str, ...] = ()
    targets: Targets | None = None
    jumps: JumpRule | None = None
    may_tick: bool = False


class History:
    """Recorded bars of a universe; see :func:`open_history`.

    Attributes:
        universe: symbols with at least one bar, in alphabetical order.
        interval: of the bars replayed.
        daily: whether they are session bars.
        sessions: from the first bar's to the last bar's, also those without a bar.
        adjustment: what the prices have folded in.
        close_only: open, high and low merely repeat the close.
        volume_known: panels carry volumes.
        quality: what became of every row.
        notices: sentences the operator should see.
        digests: SHA-256 by input.
        label: the source, for people.
        n_instants: panels.
        n_bars: bars in them.
        first_start: when the first bar starts, nanoseconds UTC.
        last_end: when the last bar ends, nanoseconds UTC.
        frozen: (nanoseconds UTC, symbol id) of what is halted from then on, because a move cannot be explained.
    """

    def __init__(
        self,
        loaded: Loaded,
        panels: PanelSource,
        *,
        universe: Universe,
        interval: Interval,
        close_only: bool,
        volume_known: bool,
        quality: QualityReport,
        notices: tuple[str, ...],
        benchmark: tuple[str, I64, F64] | None,
    ) -> None:
        """Take over what :func:`open_history` prepared."""
        self.universe = universe
        self.interval = interval
        self.daily = interval.is_daily
        self.sessions: tuple[Session, ...] = panels.sessions
        self.adjustment = universe.adjustment
        self.close_only = close_only
        self.volume_known = volume_known
        self.quality = quality
        self.notices = notices
        self.digests = loaded.digests
        self.label = loaded.label
        self.n_instants = panels.n_instants
        self.n_bars = panels.n_bars
        self.first_start = panels.first_start
        self.last_end = panels.last_end
        self.frozen: tuple[tuple[int, int], ...] = ()
        self._panels = panels
        self._benchmark = benchmark

    def freeze(self, frozen: list[tuple[int, Frozen]]) -> None:
        """Note what is halted from an instant on (nanoseconds UTC); who is not in the universe does not count."""
        index = self.universe.index()
        self.frozen = tuple((ts, index[one.symbol]) for ts, one in frozen if one.symbol in index)
        self.notices += tuple(one.notice for _, one in frozen if one.symbol in index)

    def inputs(self, since: int | None = None) -> Iterator[Market]:
        """Yield the inputs in order of time, session by session: SessionOpened, BarPanel ..., SessionClosed.

        Args:
            since: sessions whose inputs are all stamped before may be left out; None leaves out nothing.
        """
        return self._panels.inputs(since)

    def session_opens(self) -> tuple[I64, F64]:
        """Return exchange dates ``[S]`` (``YYYYMMDD``) and first opens ``[S, N]``, NaN where a symbol had no bar."""
        return self._dates(), self._panels.session_prices("open")

    def session_closes(self) -> tuple[I64, F64]:
        """Return exchange dates ``[S]`` (``YYYYMMDD``) and last closes ``[S, N]``, NaN where a symbol had no bar."""
        return self._dates(), self._panels.session_prices("close")

    def traded(self, symbol: int) -> tuple[I64, F64, F64] | None:
        """Return when each bar of a symbol was known, its average price and its volume; None without volumes."""
        return self._panels.traded(symbol)

    def benchmark_closes(self) -> tuple[str, I64, F64] | None:
        """Return (label, dates ``[B]``, closes ``[B]``) of the benchmark within the sessions, or None without one."""
        return self._benchmark

    def _dates(self) -> I64:
        return np.array([session.date for session in self.sessions], dtype=np.int64)


def open_history(spec: HistorySpec) -> History:
    """Read, check and order the bars of a source.

    Raises:
        UsageError: neither files nor a source, or both.
        ConfigError: an unknown calendar.
        OperatorError: a file, column, line, symbol, date or interval that does not hold; one sentence with what to do.
    """
    _check(spec)
    what = spec.symbols, spec.benchmark, spec.tz, spec.calendar, spec.adjustment, spec.renamed
    loaded = load(spec.source, spec.bars, *what, may_tick=spec.may_tick)
    raw = loaded.raw
    reach = 0 if raw.ts is None else 1  # an overnight session is dated by the day it ends
    table = session_table(spec.calendar, int(raw.day.min()) - reach, int(raw.day.max()) + reach)
    session, regular = assign_sessions(raw, table)
    plan = _plan(spec, loaded, table, session)
    usable = session >= 0 if spec.extended_hours and not plan.wanted.is_daily else regular
    inside = _in_range(spec, loaded, table, np.where(usable, session, -1))
    raw, session, usable = raw.take(inside), session[inside], usable[inside]
    checks.refuse_unsorted(raw)
    codes = checks.judge(raw, usable)
    rows = checks.order_and_mark_repeats((raw.stamps, raw.ids.astype(np.int64)), codes)
    frozen: list[Frozen] = []
    if spec.jumps is not None and len(rows):
        rule = msgspec.structs.replace(spec.jumps, freezes=loaded.adjustment is Adjustment.RAW)
        held, frozen = hold_back(raw, rows, table.days[session[rows]], rule, codes)
        rows = rows[~held] if held.any() else rows
    rejects = checks.tally(raw, codes)
    rejected = int(np.count_nonzero(codes))
    if not len(rows):
        _refuse_all_rejected(loaded, len(raw), rejects)
    good, quote_rejects, quotes_rejected, quotes_used = _with_quotes(raw.pick(rows), loaded.quotes)
    used = len(rows) + quotes_used
    report = QualityReport(
        rows_read=loaded.rows_read,
        rows_filtered=loaded.rows_read - used - rejected - quotes_rejected,
        rows_rejected=rejected + quotes_rejected,
        rows_used=used,
        rejects=(*rejects, *quote_rejects),
    )
    history = _assemble(spec, loaded, good, session[rows], table, plan, report)
    opens = table.open_ts[session] if raw.ts is None else raw.ts
    history.freeze([(int(opens[one.row]), one) for one in frozen])
    return history


def _check(spec: HistorySpec) -> None:
    if bool(spec.bars) == bool(spec.source):
        message = "there is no data to replay" if not spec.bars else "both bar files and an embedded source are given"
        raise UsageError(message, code="NO_SOURCE", remedy="give either --bars PATH or --source sp500")
    for what, items in (("the file", spec.bars), ("the symbol", spec.symbols)):
        for i, item in enumerate(items):
            if item in items[:i]:
                message = f"{what} {item} is given twice"
                raise OperatorError(message, code="GIVEN_TWICE", remedy="name it once")
    first, last = (None if d is None else date_to_day(d) for d in (spec.from_date, spec.to_date))
    if first is not None and last is not None and first > last:
        message = f"--from {day_text(first)} is after --to {day_text(last)}"
        raise OperatorError(message, code="BAD_DATE", remedy="exchange them")


def assign_sessions(raw: RawBars, table: SessionTable) -> tuple[I64, Bool]:
    """Find each row's session.

    Returns:
        [R] row of the table, -1 where the exchange has no session that day; and [R] whether the bar starts within the
        regular session (for rows that carry dates: whether there is a session).
    """
    if not len(table):
        return np.full(len(raw), -1, dtype=np.int64), np.zeros(len(raw), dtype=np.bool_)
    at = np.minimum(np.searchsorted(table.days, raw.day), len(table) - 1)
    session = np.where(table.days[at] == raw.day, at, -1)
    if raw.ts is None:
        return session, session >= 0
    within = np.maximum(np.searchsorted(table.open_ts, raw.ts, "right") - 1, 0)
    regular = (raw.ts >= table.open_ts[within]) & (raw.ts < table.close_ts[within])
    return np.where(regular, within, session), regular


def _plan(spec: HistorySpec, loaded: Loaded, table: SessionTable, session: I64) -> Plan:
    raw = loaded.raw
    if raw.ts is None:
        return plan_daily(spec.interval, loaded.what)
    rows = np.flatnonzero(session >= 0)
    if not len(rows):
        first, last = day_text(int(raw.day.min())), day_text(int(raw.day.max()))
        message = f"{loaded.what}: no bar lies on a session of {spec.calendar} (they run from {first} to {last})"
        raise OperatorError(message, code="NO_DATA", remedy="check the dates, or choose universe.calendar")
    opens, closes, ts = table.open_ts[session[rows]], table.close_ts[session[rows]], raw.ts[rows]
    regular = (ts >= opens) & (ts < closes)
    if regular.any():  # sparse extended hours say little about the interval
        rows, opens, ts = rows[regular], opens[regular], ts[regular]
    wanted, known, ids = spec.interval, loaded.interval, raw.ids[rows]
    return plan_intraday(wanted, loaded.what, ids=ids, ts=ts, session=session[rows], opens=opens, known=known)


def _in_range(spec: HistorySpec, loaded: Loaded, table: SessionTable, session: I64) -> Bool:
    """Tell which rows belong to the dates asked for; a row outside sessions counts by its local date."""
    raw = loaded.raw
    day = raw.day if not len(table) else np.where(session >= 0, table.days[session], raw.day)
    inside = np.ones(len(raw), dtype=np.bool_)
    if spec.from_date is not None:
        inside &= day >= date_to_day(spec.from_date)
    if spec.to_date is not None:
        inside &= day <= date_to_day(spec.to_date)
    if not inside.any():
        asked = " ".join(
            f"{option} {day_text(date_to_day(date))}"
            for option, date in (("--from", spec.from_date), ("--to", spec.to_date))
            if date is not None
        )
        held = f"{day_text(int(day.min()))} to {day_text(int(day.max()))}"
        message = f"{loaded.what} has no bars in the range {asked}"
        raise OperatorError(message, code="NO_DATA", remedy=f"the data hold {held}; choose dates within")
    return inside


def _refuse_all_rejected(loaded: Loaded, count: int, rejects: tuple[checks.Reject, ...]) -> None:
    worst = max(rejects, key=lambda reject: reject.count)
    message = (
        f"{loaded.what}: every one of the {count} rows was rejected, most as {worst.kind} "
        f"({checks.DESCRIPTIONS[worst.kind]}), first at {worst.where}"
    )
    raise OperatorError(message, code="ALL_REJECTED", remedy="correct the file")


def _with_quotes(good: RawBars, quotes: RawBars | None) -> tuple[RawBars, tuple[checks.Reject, ...], int, int]:
    """Merge quote rows into bars and blank impossible quotes; return bars, rejects, rows rejected, rows used."""
    rejects: tuple[checks.Reject, ...] = ()
    rejected = used = 0
    if quotes is not None and len(quotes):
        codes = np.zeros(len(quotes), dtype=np.uint8)
        if quotes.suspicious is not None:
            codes[quotes.suspicious] = checks.KINDS.index("suspicious")
        rows = checks.order_and_mark_repeats((quotes.stamps, quotes.ids.astype(np.int64)), codes)
        rejects = checks.tally(quotes, codes)
        rejected = int(np.count_nonzero(codes))
        quotes, faults = _without_bad_quotes(quotes.pick(rows))
        rejects += faults
        good, own_faults = _without_bad_quotes(good)
        good, unmatched = merge_quotes(good, quotes)
        return good, rejects + own_faults, rejected, len(quotes) - unmatched
    good, rejects = _without_bad_quotes(good)
    return good, rejects, rejected, used


def _without_bad_quotes(raw: RawBars) -> tuple[RawBars, tuple[checks.Reject, ...]]:
    present = [name for name in QUOTES if name in raw.cols]
    if not present:
        return raw, ()
    codes = checks.judge_quotes(raw)
    cols = dict(raw.cols)
    for name in present:
        cols[name] = np.where((codes == 0) & (cols[name] > 0), cols[name], np.nan)
    return msgspec.structs.replace(raw, cols=cols), checks.tally(raw, codes)


def _assemble(
    spec: HistorySpec,
    loaded: Loaded,
    good: RawBars,
    session: I64,
    table: SessionTable,
    plan: Plan,
    report: QualityReport,
) -> History:
    """Cut out the universe, build bars of the wanted interval and the panels over them."""
    opens, closes = table.open_ts[session], table.close_ts[session]
    daily = plan.source.is_daily
    start = opens if daily or good.ts is None else good.ts
    bars = Bars(good.ids, start, bar_ends(start, opens, closes, plan.source), session, good.cols)
    if plan.aggregate:
        bars = aggregate(bars, opens, closes, plan.wanted)
    universe, member, notices = _universe(spec, loaded, good, bars, table)
    in_universe = member[bars.ids] >= 0
    first, last = int(bars.session[in_universe].min()), int(bars.session[in_universe].max())
    benchmark = _benchmark(spec, loaded, bars, table, first, last)
    if not in_universe.all():
        bars = _take(bars, in_universe)
    bars.ids = member[bars.ids]
    bars.session = bars.session - first
    close_only, volume_known = _one_shape(good.files, good.file[member[good.ids] >= 0])
    panels = PanelSource(
        bars,
        table.between(int(table.days[first]), int(table.days[last])),
        n_symbols=len(universe),
        daily=plan.wanted.is_daily,
        close_only=close_only,
        volume_known=volume_known,
    )
    return History(
        loaded,
        panels,
        universe=universe,
        interval=plan.wanted,
        close_only=close_only,
        volume_known=volume_known,
        quality=report,
        notices=(*loaded.notices, *notices, *report.sentences()),
        benchmark=benchmark,
    )


def _universe(
    spec: HistorySpec, loaded: Loaded, good: RawBars, bars: Bars, table: SessionTable
) -> tuple[Universe, I32, list[str]]:
    """Return the universe, symbol id of the data -> id of the universe (-1: not in it), and notices."""
    asked = dict.fromkeys((*spec.symbols, *spec.renamed) if spec.symbols else good.symbols)
    with_bars = [good.symbols[i] for i in np.unique(bars.ids).tolist()]
    names = [s for s in with_bars if s in asked]
    if spec.targets is not None and names:
        days = table.days[bars.session]
        joined = spec.targets(spec.symbols or good.symbols, int(days.min()), int(days.max()))
        names = sorted({**dict.fromkeys(names), **dict.fromkeys(joined)})
    position = {s: i for i, s in enumerate(names)}
    symbols = tuple(position)
    notices = []
    absent = [s for s in asked if s not in position and s not in spec.renamed]
    if not symbols:
        message = f"{loaded.what} has no usable bar of {', '.join(absent)} in the dates asked for"
        raise OperatorError(message, code="NO_DATA", remedy="choose other symbols or dates")
    if absent:
        notices.append(f"no usable bar in the dates asked for, so not in the universe: {', '.join(absent)}")
    indices = [s for s in symbols if s.startswith(INDEX_MARK)]
    if indices:
        notices.append(f"observed but not traded, because the name says index: {', '.join(indices)}")
    sectors = {**loaded.sectors, **spec.sectors}
    universe = Universe(
        symbols=symbols,
        sectors=tuple(sectors.get(s, "") for s in symbols),
        tradable=tuple(s not in indices for s in symbols) if indices else (),
        adjustment=loaded.adjustment,
        benchmark=spec.benchmark or loaded.index_symbol,
    )
    member = np.array([position.get(s, -1) for s in good.symbols], dtype=np.int32)
    return universe, member, notices


def _take(bars: Bars, rows: Bool) -> Bars:
    cols = {name: column[rows] for name, column in bars.cols.items()}
    return Bars(bars.ids[rows], bars.start[rows], bars.end[rows], bars.session[rows], cols)


def _benchmark(
    spec: HistorySpec, loaded: Loaded, bars: Bars, table: SessionTable, first: int, last: int
) -> tuple[str, I64, F64] | None:
    """Return the benchmark's last closes per session from the first to the last session of the run."""
    if spec.benchmark is None or spec.benchmark == loaded.index_symbol:
        if loaded.index is None:
            return None
        label, days, closes = loaded.index
        inside = (days >= table.days[first]) & (days <= table.days[last])
        return label, days_to_dates(days[inside]), closes[inside]
    rows = np.flatnonzero(bars.ids == loaded.raw.symbols.index(spec.benchmark))
    session, start = bars.session[rows], bars.start[rows]
    regular = (start >= table.open_ts[session]) & (start < table.close_ts[session])
    rows = rows[(session >= first) & (session <= last) & regular][::-1]  # backwards: unique() then tells the last
    days, at = np.unique(table.days[bars.session[rows]], return_index=True)
    label = f"{spec.benchmark} ({loaded.adjustment.value} prices)"
    return label, days_to_dates(days), bars.cols["close"][rows[at]]


def _one_shape(files: tuple[SourceFile, ...], used: I16) -> tuple[bool, bool]:
    """Return whether the files are close-only and have volumes, refusing files that differ in it."""
    sources = [files[i] for i in np.unique(used).tolist()]
    first = sources[0]
    for other in sources[1:]:
        for what, mine, theirs in (
            ("open, high and low", not first.close_only, not other.close_only),
            ("a volume", first.has_volume, other.has_volume),
        ):
            if mine != theirs:
                having, lacking = (first.path, other.path) if mine else (other.path, first.path)
                message = f"{having} has {what} and {lacking} has none"
                raise OperatorError(message, code="MIXED_COLUMNS", remedy="give all bar files the same columns")
    return first.close_only, first.has_volume
