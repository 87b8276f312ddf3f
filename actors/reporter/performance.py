"""From a story to series: equity by session, time-weighted returns, trades and predictions as arrays."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.messages.columns import unpack_f64, unpack_i32
from actors.messages.portfolio import SignalsReady
from actors.reporter.analytics.basics import wealth
from actors.reporter.analytics.predictions import PredictionColumns
from actors.reporter.analytics.trades import TradeColumns
from actors.reporter.story import EquityPoint, Story
from actors.values.fixed import SCALE
from actors.values.time import parse_interval

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

EMPTY: Final = np.zeros(0)


class Curve(msgspec.Struct, frozen=True):
    """Equity of all portfolios together, at the base point and every session close.

    Attributes:
        points: ``n + 1`` rows, the base point first; sums over portfolios.
        stamps: ``[n + 1]`` nanoseconds UTC.
        sessions: ``[n]`` exchange dates YYYYMMDD.
        equity: ``[n + 1]`` money.
        returns: ``[n]`` time-weighted.
        index: ``[n + 1]`` growth of 1.
        gross, net: ``[n]`` over equity.
    """

    points: list[EquityPoint]
    stamps: I64
    sessions: I64
    equity: F64
    returns: F64
    index: F64
    gross: F64
    net: F64


def _sum(points: list[EquityPoint]) -> EquityPoint:
    first = points[0]
    if len(points) == 1:
        return first
    totals = [sum(getattr(p, name) for p in points) for name in ("equity", "cash", "gross", "net")]
    return EquityPoint(max(p.ts for p in points), first.session, *totals)


def curve(story: Story, portfolio: str | None = None) -> Curve:
    """Build the curve of one portfolio, or of all together (None).

    Flows after the base point are removed by Modified Dietz within their session: r = (E1 - E0 - F) / (E0 + sum w F),
    with w the share of the session that was left when the money came.
    """
    names = [portfolio] if portfolio is not None else list(story.opening)
    rows = [story.closes.get(name, []) for name in names]
    points = [_sum([story.opening[name] for name in names])] if names else []
    if rows and any(rows):
        by_session: dict[int, list[EquityPoint]] = {}
        for row in rows:
            for point in row:
                by_session.setdefault(point.session, []).append(point)
        points += [_sum(group) for _, group in sorted(by_session.items())]
    n = max(len(points) - 1, 0)
    stamps = np.array([p.ts for p in points], dtype=np.int64)
    equity = np.array([p.equity / SCALE for p in points])
    base = equity[:-1].copy() if points else EMPTY
    gained = equity[1:] - base if points else EMPTY
    opened = {name: story.opening[name].ts for name in names}
    seen = dict.fromkeys(names, 0)
    for ts, name, amount in story.flows:
        if name not in seen:
            continue
        seen[name] += 1
        at = int(np.searchsorted(stamps, ts, side="left")) - 1
        if (seen[name] == 1 and ts == opened[name]) or not 0 <= at < n:
            continue  # the opening deposit is the base point, not a flow
        share = (stamps[at + 1] - ts) / (stamps[at + 1] - stamps[at])
        gained[at] -= amount / SCALE
        base[at] += share * amount / SCALE
    flowed = len([1 for name in seen if seen[name] > 1]) > 0
    returns = np.divide(gained, base, out=np.zeros(n), where=base > 0) if flowed else _simple(equity)
    safe = np.where(equity[1:] > 0, equity[1:], np.inf) if points else EMPTY
    return Curve(
        points=points,
        stamps=stamps,
        sessions=np.array([p.session for p in points[1:]], dtype=np.int64),
        equity=equity,
        returns=returns,
        index=wealth(returns),
        gross=np.array([p.gross / SCALE for p in points[1:]]) / safe,
        net=np.array([p.net / SCALE for p in points[1:]]) / safe,
    )


def _simple(equity: F64) -> F64:
    if equity.size < 2:
        return EMPTY
    previous = equity[:-1]
    return np.divide(equity[1:], previous, out=np.ones(previous.size), where=previous > 0) - 1.0


def trade_columns(story: Story) -> TradeColumns:
    """Return the closed round trips as arrays, in order of exit."""
    trades = story.trades
    return TradeColumns(
        pnl=np.array([t.pnl / SCALE for t in trades]),
        ret=np.array([t.ret for t in trades]),
        entry_ts=np.array([t.entry_ts for t in trades], dtype=np.int64),
        exit_ts=np.array([t.exit_ts for t in trades], dtype=np.int64),
    )


def model_of(signal: SignalsReady) -> str:
    """Return what predicted: the model behind a strategy, or the strategy itself."""
    return signal.model or signal.strategy


def realized_of(story: Story, signal: SignalsReady, ids: npt.NDArray[np.int32]) -> tuple[F64, F64]:
    """Return realised returns from the decision price and from the first tradable one, NaN where not matured."""
    decision, horizon = signal.decision, signal.horizon
    scored = story.scored.get((signal.strategy, decision, horizon))
    if scored is None:  # an older record names the model only
        scored = story.scored.get((model_of(signal), decision, horizon))
    if scored is None:
        nothing = np.full(ids.size, np.nan)
        return nothing, nothing
    realized, tradable = unpack_f64(scored.realized), unpack_f64(scored.realized_tradable)
    if scored.ids == signal.ids:
        return realized, tradable
    out, out_tradable = np.full(ids.size, np.nan), np.full(ids.size, np.nan)
    at = {symbol: i for i, symbol in enumerate(ids.tolist())}
    for i, symbol in enumerate(unpack_i32(scored.ids).tolist()):
        if symbol in at:
            out[at[symbol]], out_tradable[at[symbol]] = realized[i], tradable[i]
    return out, out_tradable


def prediction_columns(story: Story, n_symbols: int) -> dict[tuple[str, str], PredictionColumns]:
    """Return predictions by (model, horizon), in order of decision."""
    parts: dict[tuple[str, str], list[tuple[F64, F64, F64, F64, int]]] = {}
    for number, (_, signal) in enumerate(story.signals):
        ids, score = unpack_i32(signal.ids), unpack_f64(signal.score)
        p_up = unpack_f64(signal.p_up) if signal.p_up else np.full(ids.size, np.nan)
        row = (score, p_up, *realized_of(story, signal, ids), number)
        parts.setdefault((model_of(signal), signal.horizon), []).append(row)
    out = {}
    for key, rows in parts.items():
        blocks = np.repeat(np.array([row[4] for row in rows]), [row[0].size for row in rows])
        out[key] = PredictionColumns(
            score=np.concatenate([row[0] for row in rows]),
            p_up=np.concatenate([row[1] for row in rows]),
            realized=np.concatenate([row[2] for row in rows]),
            realized_tradable=np.concatenate([row[3] for row in rows]),
            block=blocks,
            possible=len(rows) * n_symbols,
        )
    return out


def horizon_instants(horizon: str, interval: str) -> int:
    """Return how many decisions a horizon spans when there is one per bar; at least 1."""
    try:
        span, step = parse_interval(horizon), parse_interval(interval)
    except ValueError:
        return 1
    if span.is_daily and step.is_daily:
        return max(1, -(-span.sessions // step.sessions))
    if span.ns and step.ns:
        return max(1, -(-span.ns // step.ns))
    return 1
