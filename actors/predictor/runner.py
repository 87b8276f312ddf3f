"""A strategy at work in a run: its rings, its schedule and what the run's facts have made of it."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from actors.api import FIELDS, NEWS_FIELDS
from actors.messages.market import BarPanel
from actors.predictor.bars import F64, Aggregator, BarSeries, SessionClock
from actors.predictor.binding import StrategyBinding, bar_of, default_horizon
from actors.predictor.outcome import NOTHING, Outcome, Undeclared
from actors.predictor.states import StateStore
from actors.values.session import Session
from actors.values.time import Interval

TRAINING_WINDOW: Final = "training-window"
"""Who switched a strategy off because its model has seen the date; only passing the date switches it on again."""


class Parked(Struct):
    """What stays of a strategy that a run does not have: how many decisions it made, and who switched it off."""

    decisions: int = 0
    off: str = ""

    def decided(self, decision: int) -> None:
        """Count a decision of another run."""
        self.decisions = max(self.decisions, decision)


class Runner:
    """One strategy of a run."""

    __slots__ = (
        "bar",
        "bar_text",
        "binding",
        "bucket",
        "decisions",
        "failed",
        "horizon",
        "lookback",
        "name",
        "off",
        "outcome",
        "request",
        "run",
        "series",
        "states",
        "streak",
        "undeclared",
    )

    series: BarSeries

    def __init__(self, binding: StrategyBinding, run: Interval, n_symbols: int) -> None:
        """Resolve bars and horizon for a run.

        Raises:
            OperatorError: they do not fit the run's interval, or a fold state cannot be kept.
        """
        self.binding = binding
        self.name = binding.name
        self.run = run
        self.bar = bar_of(binding, run)
        self.bar_text = self.bar.text
        self.lookback = binding.spec.rows(binding.params)
        self.horizon = default_horizon(binding, self.bar, run)
        declared = (*binding.spec.fields, *binding.spec.news)
        self.undeclared = {f: Undeclared(f, binding.name) for f in (*FIELDS, *NEWS_FIELDS) if f not in declared}
        self.decisions = 0
        """Decisions that left a record: a signal, a request or a failure."""
        self.streak = 0
        """Failed decisions without one that went well in between."""
        self.failed = False
        """Whether the latest decision failed."""
        self.off = ""
        """Who switched it off; "" while it is on."""
        self.bucket = 0
        """Last decision interval of the session in which it decided."""
        self.request: tuple[str, int, int, bytes] | None = None
        """(request id, decision, deadline, ids) of the inference it waits for."""
        self.outcome: Outcome = NOTHING
        """Of a fold-form strategy, between the fold and the decision on one input."""
        self.states = StateStore(binding.name, binding.spec.state, n_symbols) if binding.spec.state else None
        """Of a fold-form strategy."""

    def due(self, ts: int, open_ts: int, decision: Interval | None) -> bool:
        """Whether a bar that closed inside a session at ``ts`` is one to decide on; notes its decision interval."""
        if decision is None:
            return True
        if decision.is_daily:
            return False
        bucket = (ts - open_ts) // decision.ns
        if bucket > self.bucket:
            self.bucket = bucket
            return True
        return False

    def snapshot(self) -> dict[str, Any]:
        """Return plain values; fold states by symbol."""
        return {
            "decisions": self.decisions,
            "streak": self.streak,
            "failed": self.failed,
            "off": self.off,
            "bucket": self.bucket,
            "request": self.request,
            "states": None if self.states is None else self.states.raw,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        self.decisions = state["decisions"]
        self.streak = state["streak"]
        self.failed = state["failed"]
        self.off = state["off"]
        self.bucket = state["bucket"]
        request = state["request"]
        self.request = None if request is None else tuple(request)
        if self.states is not None:
            self.states.restore(state["states"])


class Bars:
    """One interval's series with the strategies that read it; aggregated where it is not the run's own."""

    __slots__ = ("_start_ts", "aggregator", "bar", "fields", "runners", "series")

    def __init__(self, bar: Interval, run: Interval, n_symbols: int, runners: list[Runner]) -> None:
        """Allocate for the union of the strategies' fields and their longest lookback."""
        self.bar = bar
        self.runners = tuple(runners)
        self._start_ts = -1
        """When the newest row's bar began; known again as soon as a restored run is warmed."""
        self.fields = tuple(f for f in FIELDS if any(f in r.binding.spec.fields for r in runners))
        self.series = BarSeries(n_symbols, max(r.lookback for r in runners), self.fields, bar)
        self.aggregator = None if bar.text == run.text or _same(bar, run) else Aggregator(self.series)
        for runner in runners:
            runner.series = self.series

    def push(self, panel: BarPanel) -> None:
        """Append a panel of the run's own interval as it is."""
        fields = self.fields
        columns: dict[str, F64 | None]
        columns = {"close": panel.close} if len(fields) == 1 else {f: getattr(panel, f) for f in fields}
        self.series.push(panel.ts, panel.session, None if panel.dense else panel.ids, columns)
        self._start_ts = panel.start_ts

    def amend(self, panel: BarPanel) -> None:
        """Correct the newest row by a later version of its bar; bars put together of others keep what they are."""
        if self.aggregator is None and panel.start_ts == self._start_ts:
            self.series.ring.amend(panel.ids, {f: getattr(panel, f) for f in self.fields})

    def add(self, panel: BarPanel, clock: SessionClock) -> bool:
        """Fold a panel; tell whether a bar closed inside the session."""
        if self.aggregator is None:
            self.push(panel)
            return not self.bar.is_daily
        return self.aggregator.add(panel, clock) and not self.bar.is_daily

    def split(self, symbol: int, numerator: int, denominator: int, *, again: bool) -> None:
        """Say the bars of a symbol in the units behind a split; ``again`` where a restored run is only warmed."""
        if self.aggregator is None:
            self.series.split(symbol, numerator, denominator)
        elif not again:
            self.aggregator.split(symbol, numerator, denominator)

    def move(self, symbol: int, new: int, *, again: bool) -> None:
        """Let the bars of another symbol go on where this one's end; ``again`` as in :meth:`split`."""
        if self.aggregator is None:
            self.series.ring.move(symbol, new)
        elif not again:
            self.aggregator.move(symbol, new)

    def session_closed(self, session: Session) -> bool:
        """Tell whether a bar of the session is there to decide on at its close."""
        if self.aggregator is None:
            return self.bar.is_daily and self.series.session == session.date
        return self.aggregator.session_closed(session)


def build_bars(runners: list[Runner], run: Interval, n_symbols: int) -> tuple[Bars, ...]:
    """Group strategies by bar interval, in order of first appearance."""
    groups: dict[tuple[int, int], list[Runner]] = {}
    for runner in runners:
        groups.setdefault((runner.bar.ns, runner.bar.sessions), []).append(runner)
    return tuple(Bars(group[0].bar, run, n_symbols, group) for group in groups.values())


def _same(a: Interval, b: Interval) -> bool:
    return a.ns == b.ns and a.sessions == b.sessions


def decides_at_close(decision: Interval | None, number: int) -> bool:
    """Whether the close of the session with this number is one to decide on."""
    if decision is None or not decision.is_daily:
        return True
    return (number + 1) % decision.sessions == 0
