"""Everything computed of a run: metrics, benchmarks, scoreboard, predictions, costs."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from actors.reporter import benchmarks
from actors.reporter.analytics.metrics import MetricInputs, compute
from actors.reporter.analytics.predictions import quality
from actors.reporter.analytics.trades import TradeColumns
from actors.reporter.benchmarks import BenchmarkCurve, RandomPortfolios
from actors.reporter.performance import (
    Curve,
    curve,
    horizon_instants,
    prediction_columns,
    trade_columns,
)
from actors.reporter.record import SURVIVORSHIP, RunRecord
from actors.reporter.scoreboard import Criterion, plain, scoreboard
from actors.reporter.story import Costs, SessionActivity, Story
from actors.reporter.tca import Analysis
from actors.reporter.tca_orders import Surroundings, analyse
from actors.reporter.var_backtest import Backtest, backtest
from actors.values.fixed import SCALE
from actors.values.time import format_ts

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

SCHEMA = "tradingd.metrics/1"
_CUTTING = ("deleverage", "flatten")
"""Reasons of orders that come from no strategy, script or hand but from a breaker or a flatten."""


class Evaluation(msgspec.Struct, frozen=True):
    """What the folder's files and the report are made from.

    Attributes:
        curve: equity of all portfolios together.
        trades: closed round trips.
        metrics: name -> {value, definition, n}.
        primary: the benchmark that alpha, beta and the scoreboard refer to, or None.
        benchmarks: all, the primary first.
        benchmark_metrics: a few metrics of each benchmark, by its name.
        random: random portfolios, or None.
        scoreboard: the criteria.
        predictions: by model, then horizon.
        costs: money by account.
        positions: ``[n]`` number of positions at each close.
        activity: how many signals became orders and fills, and what stopped the others.
        tca: every order against trading at once.
        var: value at risk of each session, and how it held.
    """

    curve: Curve
    trades: TradeColumns
    metrics: dict[str, dict[str, Any]]
    primary: BenchmarkCurve | None
    benchmarks: list[BenchmarkCurve]
    benchmark_metrics: dict[str, dict[str, dict[str, Any]]]
    random: RandomPortfolios | None
    scoreboard: list[Criterion]
    predictions: dict[str, dict[str, Any]]
    costs: dict[str, float]
    positions: F64
    activity: dict[str, Any]
    tca: Analysis
    var: Backtest


def _rows(matrix: F64, dates: I64, wanted: I64) -> F64:
    """Pick the rows of ``wanted`` dates; NaN where a date is not there."""
    out = np.full((wanted.size, *matrix.shape[1:]), np.nan)
    at = {date: i for i, date in enumerate(dates.tolist())}
    for row, date in enumerate(wanted.tolist()):
        found = at.get(date)
        if found is not None:
            out[row] = matrix[found]
    return out


def _first_decision(story: Story, stamps: I64) -> int:
    """Return the session row after whose close the run first decided, or the one before its first fill."""
    if story.signals:
        return int(np.searchsorted(stamps[1:], story.first_signal_ts, side="left"))
    if story.fills:
        return max(0, int(np.searchsorted(stamps[1:], story.fills[0][0], side="left")) - 1)
    return 0


def _benchmarks(record: RunRecord, story: Story, c: Curve, closes: F64, opens: F64) -> list[BenchmarkCurve]:
    cash = float(c.equity[0]) if c.equity.size else 0.0
    if cash <= 0 or c.sessions.size == 0:
        return []
    first = _first_decision(story, c.stamps)
    found = [benchmarks.equal_weight(opens, closes, first, cash, record.costs, record.close_only)]
    if record.index is not None:
        series = _rows(record.index.closes[:, None], record.index.dates, c.sessions)[:, 0]
        found.append(benchmarks.index(series, cash, record.index.label, record.index.total_return))
    return [b for b in found if b is not None]


def _random(record: RunRecord, c: Curve, closes: F64, story: Story, positions: F64) -> RandomPortfolios | None:
    n = c.sessions.size
    if n < 2:
        return None
    nothing = SessionActivity()
    activity = [story.activity.get(date, nothing) for date in c.sessions.tolist()]
    base = np.where(c.equity[:-1] > 0, c.equity[:-1], np.inf)
    invested = positions[positions > 0]
    return benchmarks.random_portfolios(
        closes=closes,
        exposure=c.net,
        turnover=np.array([a.traded_value / SCALE for a in activity]) / base,
        cost_drag=np.array([a.costs / SCALE for a in activity]) / base,
        strategy_returns=c.returns,
        positions=int(max(1, round(float(invested.mean())))) if invested.size else 0,
        seed=record.seed,
        periods=record.periods,
        rf=record.rf,
    )


def _cut(c: Curve, k: int) -> Curve:
    """Return the curve from session row ``k`` on, with the close before it as the base point."""
    if k == 0:
        return c
    return Curve(
        points=c.points[k:],
        stamps=c.stamps[k:],
        sessions=c.sessions[k:],
        equity=c.equity[k:],
        returns=c.returns[k:],
        index=c.index[k:] / c.index[k],
        gross=c.gross[k:],
        net=c.net[k:],
    )


def _trades_from(trades: TradeColumns, stamp: int) -> TradeColumns:
    if trades.entry_ts is None or trades.exit_ts is None or trades.ret is None:
        return trades
    keep = trades.entry_ts >= stamp
    return TradeColumns(trades.pnl[keep], trades.ret[keep], trades.entry_ts[keep], trades.exit_ts[keep])


def evaluate(record: RunRecord, story: Story) -> Evaluation:
    """Compute everything; pure, and the same on every machine with the same inputs."""
    c = curve(story)
    trades = trade_columns(story)
    tradable = np.array([record.universe.is_tradable(i) for i in range(len(record.universe))], dtype=np.bool_)
    closes = _rows(record.in_last_units(record.session_closes), record.session_dates, c.sessions)[:, tradable]
    opens = _rows(record.in_last_units(record.session_opens), record.session_dates, c.sessions)[:, tradable]
    positions = np.array([float(story.activity[date].positions) for date in c.sessions.tolist()])
    found = _benchmarks(record, story, c, closes, opens)
    primary = found[0] if found else None
    inputs = _inputs(record, c, trades, story.costs, primary.returns if primary else None)
    metrics = compute(msgspec.structs.replace(inputs, marks=_mark_values(story, c)))
    k = int(np.searchsorted(c.sessions, record.oos_from)) if record.oos_from else 0
    judged = _cut(c, k)
    random = _random(record, judged, closes[k:], story, positions[k:])
    kept = _trades_from(trades, int(c.stamps[k])) if k else trades
    pair = (primary.label, primary.returns[k:]) if primary else None
    judged_metrics = metrics
    if k:
        judged_metrics = compute(_inputs(record, judged, kept, Costs(), pair[1] if pair else None))
    return Evaluation(
        curve=c,
        trades=trades,
        metrics=metrics,
        primary=primary,
        benchmarks=found,
        benchmark_metrics={
            b.name: compute(
                MetricInputs(returns=_known(b.returns), periods=record.periods, rf=record.rf, stamps=c.stamps)
            )
            for b in found
        },
        random=random,
        scoreboard=scoreboard(judged_metrics, judged.returns, kept, pair, random, record.seed),
        predictions=_predictions(record, story),
        costs=_costs(story.costs),
        positions=positions,
        activity=_activity(story),
        tca=analyse(story, _surroundings(record)),
        var=backtest(record, story, c),
    )


def _surroundings(record: RunRecord) -> Surroundings:
    return Surroundings(record.universe, record.zone, record.session_dates, record.session_closes, record.traded)


def _activity(story: Story) -> dict[str, Any]:
    """Count the way from signal to fill; a signal is one symbol of one decision, cut ones were below a gate."""
    denied: dict[str, int] = {}
    for (_, code), count in story.refusals.items():
        denied[code] = denied.get(code, 0) + count
    return {
        "signals": sum(len(signal.ids) // 4 for _, signal in story.signals),
        "cut": sum(buy + sell for buy, sell in story.cuts.values()),
        "orders": len(story.orders),
        "cutting": sum(row.order.reason in _CUTTING for row in story.orders.values()),
        "denied": sum(denied.values()),
        "denied_by": dict(sorted(denied.items(), key=lambda item: (-item[1], item[0]))),
        "made_smaller": sum(found.times for found in story.smaller.values()),
        "most_denied": min(denied, key=lambda code: (-denied[code], code), default=None),
        "fills": len(story.fills),
    }


def _mark_values(story: Story, c: Curve) -> F64 | None:
    if not story.marks or len(story.flows) != len(story.opening):
        return None
    return np.array([c.equity[0], *(p.equity / SCALE for p in story.combined_marks())])


def _known(returns: F64) -> F64:
    return np.where(np.isfinite(returns), returns, 0.0)


def _inputs(record: RunRecord, c: Curve, trades: TradeColumns, costs: Costs, benchmark: F64 | None) -> MetricInputs:
    return MetricInputs(
        returns=c.returns,
        periods=record.periods,
        rf=record.rf,
        stamps=c.stamps if c.stamps.size > 1 else None,
        benchmark=benchmark,
        trades=trades,
        gross=c.gross,
        net=c.net,
        traded_value=costs.traded_value / SCALE,
        mean_equity=float(c.equity[1:].mean()) if c.equity.size > 1 else None,
        commission=costs.commission / SCALE,
        slippage=costs.slippage / SCALE,
        fills=costs.fills,
    )


def _costs(costs: Costs) -> dict[str, float]:
    names = ("commission", "regulatory", "spread", "slippage", "impact", "borrow", "interest")
    out = {name: getattr(costs, name) / SCALE for name in names}
    out["total"] = sum(getattr(costs, name) for name in names) / SCALE
    out["traded_value"] = costs.traded_value / SCALE
    out["dividends"] = costs.dividends / SCALE  # income, in no total of costs
    return out


def _predictions(record: RunRecord, story: Story) -> dict[str, dict[str, Any]]:
    tradable = sum(1 for i in range(len(record.universe)) if record.universe.is_tradable(i))
    out: dict[str, dict[str, Any]] = {}
    for (model, horizon), columns in sorted(prediction_columns(story, tradable).items()):
        span = horizon_instants(horizon, record.interval)
        out.setdefault(model, {})[horizon] = quality(columns, span, record.seed)
    return out


def document(record: RunRecord, e: Evaluation) -> dict[str, Any]:
    """Return the contents of ``metrics.json``."""
    c = e.curve
    period: dict[str, Any] = {
        "start": format_ts(int(c.stamps[0])) if c.stamps.size else None,
        "end": format_ts(int(c.stamps[-1])) if c.stamps.size else None,
        "from": _date(int(c.sessions[0])) if c.sessions.size else None,
        "to": _date(int(c.sessions[-1])) if c.sessions.size else None,
        "sessions": int(c.sessions.size),
        "start_equity": float(c.equity[0]) if c.equity.size else None,
        "end_equity": float(c.equity[-1]) if c.equity.size else None,
        "periods": record.periods,
        "rf": record.rf,
        "benchmark": e.primary.label if e.primary else None,
        "out_of_sample_from": _date(record.oos_from) if record.oos_from else None,
    }
    return {
        "schema": SCHEMA,
        "period": period,
        "metrics": e.metrics,
        "scoreboard": plain(e.scoreboard),
        "predictions": e.predictions,
        "costs": {**e.costs, "shortfall": e.tca.document()},
        "activity": e.activity,
        "benchmarks": [
            {
                "name": b.name,
                "label": b.label,
                "rule": b.rule,
                "costed": b.costed,
                "total_return_basis": b.total_return_basis,
                "end_equity": finite_or_none(float(b.equity[-1])),
                "metrics": {k: v for k, v in e.benchmark_metrics[b.name].items() if v["value"] is not None},
            }
            for b in e.benchmarks
        ],
        "random": _random_document(e.random),
        "survivorship": SURVIVORSHIP if record.survivorship else None,
        "risk": {"backtest": e.var.document(), "at_end": list(record.measures)},
    }


def _random_document(random: RandomPortfolios | None) -> dict[str, Any] | None:
    if random is None:
        return None
    return {name: getattr(random, name) for name in RandomPortfolios.__struct_fields__ if name != "fan"}


def finite_or_none(value: float) -> float | None:
    """Return None for what JSON cannot carry."""
    return value if math.isfinite(value) else None


def _date(date: int) -> str:
    text = str(date)
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"
