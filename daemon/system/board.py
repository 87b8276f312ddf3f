"""The board: what the core looked like after a commit, as one immutable value that any thread may read.

The core thread builds one at most every 100 ms (:func:`build_board`), which copies numbers and formats nothing; readers
turn it into the objects of ``contract.md`` section 5. Ages are reckoned when somebody reads, from monotonic stamps, so
a board that is no longer renewed shows its age instead of hiding it.

Money is in units of 1e-8 inside and leaves as plain decimals (:class:`msgspec.Raw`: encode with msgspec).
"""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.portfolio.state import PortfolioState
from actors.risk.breakers import LATCHED
from actors.risk.measures import Measures
from actors.risk.params import RiskLimits
from actors.values import Universe
from actors.values.fixed import SCALE, div_round, mul
from actors.values.time import format_ts
from daemon.control.calls import Call
from daemon.system.board_breakers import breaker_rows, by_hand_rows, lock_rows, restricted_rows
from daemon.system.board_facts import PortfolioFacts, ShellFacts, StrategyFacts, age_s, date_text, drawdown_of
from daemon.system.board_limits import limit_rows, nearest_limits
from daemon.system.board_measures import Measurer, Observed
from daemon.system.board_models import pool_in_short
from daemon.system.board_risk import RiskFacts, risk_facts
from daemon.system.board_rows import risk_rows
from daemon.system.composition import Core
from daemon.system.desk_reply import plain
from daemon.system.measure_rows import ratio
from daemon.system.trails import Trail, trails_of
from daemon.system.views_rows import filter_of

I64 = npt.NDArray[np.int64]

FINE: Final = ("live",)
"""States of a feed that nobody has to look at. One that has ended is no fault, and yet no price comes any more."""

ENDED: Final = "ended"
NO_MORE: Final = "no prices come any more, so no order fills"


class Board(msgspec.Struct, frozen=True):
    """See the module.

    Attributes:
        symbols: by id.
        px: last price by symbol id, 0 where none is known.
        ts: stamp of the last input, nanoseconds UTC; built_ns: monotonic.
        seq: of the last input processed, which may be ahead of what is committed.
        session: (date YYYYMMDD or 0, whether it is open).
        health: (name, ok, detail) of the core's actors.
        observed: what measures are made of; None on a board without them.
        measurer: who makes them.
        standing: breakers that are not armed, locks, the restricted list, limits set by hand.
        trails: by client order id where trailing stops stand.
    """

    symbols: tuple[str, ...]
    px: I64
    ts: int
    built_ns: int
    seq: int
    session: tuple[int, bool]
    trading_state: str
    state_reason: str
    latched: bool
    open_orders: int
    portfolios: tuple[PortfolioFacts, ...]
    strategies: tuple[StrategyFacts, ...]
    health: tuple[tuple[str, bool, str], ...]
    limits: RiskLimits
    facts: ShellFacts
    observed: Observed | None = None
    measurer: Measurer | None = None
    standing: RiskFacts | None = None
    trails: dict[str, Trail] = {}

    @property
    def several(self) -> bool:
        """Whether rows have to say which portfolio they belong to."""
        return len(self.portfolios) > 1

    # -- answers ---------------------------------------------------------------------------------------------------

    def status(self, now_ns: int | None = None) -> dict[str, Any]:
        """Return the object of ``tradingctl status`` (``contract.md`` section 5).

        Money is summed over portfolios; ``drawdown`` is that of the portfolio furthest below its peak.
        """
        now = time.monotonic_ns() if now_ns is None else now_ns
        facts, ps = self.facts, self.portfolios
        equity = sum(p.equity for p in ps)
        base = sum(p.day_base for p in ps)
        date, is_open = self.session
        return {
            "schema": "tradingd.status/1",
            "version": facts.version,
            "run_id": facts.run_id,
            "mode": facts.mode,
            "trading_state": self.trading_state,
            "state_reason": self.state_reason,
            "session": {"date": date_text(date), "state": "open" if is_open else "closed"},
            "ts": format_ts(self.ts) if self.ts else None,
            "equity": plain(equity),
            "cash": plain(sum(p.cash for p in ps)),
            "positions": sum(p.held for p in ps),
            "open_orders": self.open_orders,
            "daily_pnl": plain(equity - base),
            "daily_return": ratio(equity / base - 1.0) if base > 0 else None,
            "drawdown": ratio(min((drawdown_of(p) for p in ps), default=0.0)),
            "feeds": [
                {"name": f.name, "state": f.state, "last_event_age_s": age_s(now, f.last_event_ns)} for f in facts.feeds
            ],
            "actors": self._actors(),
            "breakers": breaker_rows(self),
            "limits": nearest_limits(self),
            "model": self._model(),
            "journal": {"seq": facts.seq, "commit_age_s": age_s(now, facts.commit_ns), **facts.journal},
            "alerts_pending": facts.alerts_pending,
            "alerts_unacknowledged": facts.alerts_unacked,
            "notices": [
                *facts.notices,
                *(f"strategy {s.name} is switched off, by {s.off}" for s in self.strategies if s.off),
            ],
            "uptime_s": age_s(now, facts.started_ns),
            "board_age_s": age_s(now, self.built_ns),
        }

    def positions(self, *, everything: bool = False, symbol: str = "", portfolio: str = "") -> list[dict[str, Any]]:
        """Return rows of ``positions.csv``, marked; flat ones only with ``everything``."""
        rows = []
        px = self.px
        for p in self.portfolios:
            if portfolio and p.name != portfolio:
                continue
            for i, qty, cost, realized in p.positions:
                if (not qty and not everything) or (symbol and self.symbols[i] != symbol):
                    continue
                market = int(px[i]) or None
                unrealized = (None if market is None else mul(qty, market) - cost) if qty else 0
                row = {
                    "symbol": self.symbols[i],
                    "qty": plain(qty),
                    "avg_px": plain(div_round(cost * SCALE, qty)) if qty else None,
                    "market_px": plain(market),
                    "unrealized_pnl": plain(unrealized),
                    "realized_pnl": plain(realized),
                }
                rows.append(row | {"portfolio": p.name} if self.several else row)
        return rows

    def measures(self) -> dict[str, Measures]:
        """Return what is measured of each portfolio, by its name; computed when somebody looks for the first time."""
        if self.observed is None or self.measurer is None:
            return {}
        return {found.portfolio: found for found in self.measurer.of(self.observed)}

    def risk(self) -> list[dict[str, Any]]:
        """Return one row per portfolio: exposure, leverage, cash reserved and free, losses, and what is measured."""
        return risk_rows(self)

    def breakers(self) -> list[dict[str, Any]]:
        """Return one row per portfolio and breaker, and why it is where it is."""
        return breaker_rows(self)

    def limits_in_use(self) -> list[dict[str, Any]]:
        """Return every limit with its bound and, where it can be told today, how much of it is used."""
        return limit_rows(self)

    def locks(self) -> list[dict[str, Any]]:
        """Return the protections that deny entries for a while."""
        return lock_rows(self)

    def restricted(self) -> list[dict[str, Any]]:
        """Return the restricted list."""
        return restricted_rows(self)

    def by_hand(self) -> list[dict[str, Any]]:
        """Return the limits that were set by hand since the configuration changed last."""
        return by_hand_rows(self)

    def health_rows(self, now_ns: int | None = None) -> list[dict[str, Any]]:
        """Return one row per actor: state, restarts, whether it is well, and a detail; feeds, ledger and disk too."""
        now = time.monotonic_ns() if now_ns is None else now_ns
        details = {name: (ok, detail) for name, ok, detail in self.health}
        told = {fact.name: fact.detail for fact in self.facts.actors}
        rows = []
        for actor in self._actors():
            ok, detail = details.get(actor["name"], (True, told.get(actor["name"], "")))
            rows.append({**actor, "ok": ok and actor["state"] == "running", "detail": detail})
        rows += [
            {
                "name": f"feed:{feed.name}",
                "state": feed.state,
                "ok": feed.state in FINE,
                "detail": feed.detail if feed.state != ENDED else f"{NO_MORE}: {feed.detail}",
                "last_event_age_s": age_s(now, feed.last_event_ns),
            }
            for feed in self.facts.feeds
        ]
        ledger = str(self.facts.journal.get("state", "ok"))  # "ok", or why nothing can be written
        rows.append({"name": "ledger", "state": "running", "ok": ledger == "ok", "detail": ""})
        if ledger != "ok":
            rows[-1] |= {"state": "stalled", "detail": ledger}
        disk = self.facts.disk
        full = {"state": "full", "ok": False, "detail": disk}
        rows.append({"name": "disk", "state": "running", "ok": True, "detail": "", **(full if disk != "ok" else {})})
        return rows

    def actors(self) -> list[dict[str, Any]]:
        """Return name, state and restarts of every actor, supervised ones first."""
        return self._actors()

    def strategy_rows(self) -> list[dict[str, Any]]:
        """Return one row per strategy: whether it is on, who switched it off, its model."""
        return [
            {
                "name": s.name,
                "enabled": not s.off,
                "off_by": s.off or None,
                "decisions": s.decisions,
                "bar": s.bar,
                "horizon": s.horizon,
                "model": s.model_id or None,
            }
            for s in self.strategies
        ]

    def model_rows(self) -> list[dict[str, Any]]:
        """Return one row per model in use."""
        return [
            {
                "model": s.model_id,
                "strategy": s.name,
                "state": "disabled" if s.off else "active",
                "horizon": s.horizon,
                "trained_from": date_text(s.trained[0]),
                "trained_to": date_text(s.trained[1]),
            }
            for s in self.strategies
            if s.model_id
        ]

    def _model(self) -> dict[str, Any]:
        models = self.model_rows()
        text = {"text_model": self.facts.text_model} if self.facts.text_model else {}
        short = {**text, **pool_in_short(self.facts.inference)}
        if not models:
            return short
        others = {"others": models[1:]} if len(models) > 1 else {}
        return {**models[0], **others, **short}

    def _actors(self) -> list[dict[str, Any]]:
        facts = self.facts
        rows = [{"name": a.name, "state": a.state, "restarts": a.restarts} for a in facts.actors]
        named = {a.name for a in facts.actors}
        for name, _, _ in self.health:
            if name not in named:
                state = "degraded" if name in facts.degraded else "running"
                rows.append({"name": name, "state": state, "restarts": 0})
        return rows


# -- building ----------------------------------------------------------------------------------------------------------


def build_board(
    core: Core, universe: Universe, facts: ShellFacts, now_ns: int | None = None, *, measurer: Measurer | None = None
) -> Board:
    """Copy what people may ask for; on the core's thread, between two inputs.

    Args:
        core: its actors' own state is read and not changed.
        universe: of the run.
        facts: what the shell knows.
        now_ns: monotonic; None to read the clock.
        measurer: who computes measures of risk for those who look; None for a board without them.
    """
    risk, marks = core.risk, core.portfolio.marks
    prices = risk.prices
    portfolios = tuple(
        _portfolio(pf, core, *pf.valuation(marks.px, marks.px_f), in_session=prices.in_session)
        for pf in core.portfolio.portfolios
    )
    actors = (core.broker, core.portfolio, risk, core.predictor)
    built_ns = time.monotonic_ns() if now_ns is None else now_ns
    return Board(
        symbols=universe.symbols,
        px=marks.px.copy(),
        ts=core.sequencer.last_ts,
        built_ns=built_ns,
        seq=core.sequencer.seq,
        session=(prices.session_date, prices.in_session),
        trading_state=risk.trading_state.value,
        state_reason=risk.state_reason,
        latched=any(LATCHED in (guard.daily, guard.drawdown) for guard in risk.guards.values())
        or any(row.state is LATCHED for row in risk.rows),
        open_orders=len(risk.exposure.working),
        portfolios=portfolios,
        strategies=_strategies(core),
        health=tuple([(actor.name, (h := actor.health()).ok, h.detail) for actor in actors]),
        limits=risk.limits,
        facts=facts,
        observed=None if measurer is None else measurer.observe(core, built_ns),
        measurer=measurer,
        standing=risk_facts(core, universe.symbols),
        trails=trails_of(core.broker.trails),
    )


def positions_asked(board: Board, call: Call) -> dict[str, Any]:
    """Return the answer to ``positions``: all of them unless the call says how many.

    Raises:
        FieldError: the limit makes no sense.
    """
    wanted = filter_of(call, int)  # which asks for no time
    rows = board.positions(everything=wanted.everything, symbol=wanted.symbol, portfolio=wanted.portfolio)
    most = wanted.limit if "limit" in call.params else len(rows)
    more = len(rows) > most
    return {"schema": "tradingd.positions/1", "rows": rows[:most], "as_of_seq": board.seq, "more": more}


def _portfolio(pf: PortfolioState, core: Core, gross: int, net: int, *, in_session: bool) -> PortfolioFacts:
    guard = core.risk.guards[pf.name]
    ended = not in_session
    exposure = core.risk.exposure
    book = exposure.books[pf.name]
    held = [(p.symbol, p.qty, p.cost, p.realized) for p in pf.positions.values()]
    held.sort()
    return PortfolioFacts(
        name=pf.name,
        cash=pf.cash,
        equity=pf.cash + net + pf.dividends.total,
        gross=gross,
        net=net,
        day_base=(pf.prior if ended and pf.prior else pf.closed) + pf.flows,
        peak=pf.peak,
        reserved=book.reserved,
        available=exposure.available(book),
        names=book.names,
        held=pf.n_held,
        positions=tuple(held),
        loss_base=guard.prior_base if ended and guard.prior_base else guard.day_base,
        mark=guard.mark,
        daily=guard.daily.value,
        drawdown=guard.drawdown.value,
        blocked=guard.blocked,
        margin=exposure.margin(book) if exposure.is_margin else None,
    )


def _strategies(core: Core) -> tuple[StrategyFacts, ...]:
    found = []
    for runner in core.predictor.runners:
        model = runner.binding.model
        found.append(
            StrategyFacts(
                name=runner.name,
                off=runner.off,
                decisions=runner.decisions,
                horizon=runner.horizon,
                bar=runner.bar_text,
                model_id="" if model is None else model.model_id,
                trained=(0, 0) if model is None else (model.train_from, model.train_to),
            )
        )
    return tuple(found)


def order_names(core: Core) -> dict[str, str]:
    """Return order id -> client order id of every working order; on the core's thread."""
    return {order.order_id: order.order.client_order_id for order in core.broker.working}
