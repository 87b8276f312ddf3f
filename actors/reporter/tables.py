r"""The CSV tables of a run folder (``contract.md`` section 3): plain decimals, RFC 3339 UTC, ``\n`` line ends.

Each function returns the whole file as text, the same on every machine and in every time zone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from actors.messages.alerts import AlertRaised
from actors.messages.columns import unpack_f64, unpack_i32, unpack_i64
from actors.messages.orders import OrderFilled, OrderPartiallyFilled, OrderTerms
from actors.reporter.analytics.drawdown import drawdowns
from actors.reporter.performance import Curve, model_of, realized_of
from actors.reporter.stamps import expectation, is_missed, stamps
from actors.reporter.story import EquityPoint, OrderRow, Story
from actors.values.fixed import SCALE, div_round, fmt, mul, to_fixed
from actors.values.time import format_ts
from actors.values.universe import Universe

F64 = npt.NDArray[np.float64]

EQUITY = "ts,equity,cash,gross,net,drawdown"
ORDERS = (
    "order_id,client_order_id,ts,symbol,side,type,tif,qty,limit_px,stop_px,"
    "status,cum_qty,avg_px,reason,strategy,parent_id,terms,decision_px,arrival_px,end_ts,end_px,missed_qty,expected_cost"
)
FILLS = "ts,order_id,exec_id,symbol,side,qty,price,px_source,fee,liquidity,ref_px,spread,slippage,impact,commission"
TRADES = (
    "symbol,side,qty,entry_ts,entry_px,exit_ts,exit_px,fees,pnl,return,mae,mfe,entry_confidence,exit_reason,strategy"
)
POSITIONS = "symbol,qty,avg_px,market_px,unrealized_pnl,realized_pnl"
PREDICTIONS = (
    "ts,symbol,model,horizon,prediction,score,confidence,p_up,price,target_price,realized,realized_tradable,hit"
)
SIGNALS = "ts,strategy,decision,symbol,score,confidence,p_up,horizon,gate,reason"
ALERTS = "ts,severity,key,title,facts,action_taken,next_command,count,alert_id"
BENCHMARK = "ts,return"

stamp: Final = lru_cache(maxsize=1 << 12)(format_ts)
"""An instant as text; the rows of a table and the tables of a run share few of them, near each other."""

_ENCODER: Final = msgspec.json.Encoder()

_SIDES = {1: "buy", -1: "sell"}
_DIRECTIONS = {1: "long", -1: "short"}


def number(value: float | None) -> str:
    """Return the shortest text that reads back as the same float, without an exponent; "" for None and NaN."""
    if value is None or value != value:  # noqa: PLR0124 - NaN is the only value unlike itself
        return ""
    text = repr(value)
    if "e" in text:
        text = np.format_float_positional(value, trim="-")
    return text.removesuffix(".0")


def numbers(values: Sequence[float | None]) -> list[str]:
    """Return :func:`number` of each value, which JSON writes at once where all are plain."""
    text = _ENCODER.encode(values).decode()[1:-1]
    if not text or "n" in text or "e" in text:  # null for None, NaN and what is infinite; an exponent
        return [number(value) for value in values]
    return f"{text},".replace(".0,", ",")[:-1].split(",")


def cell(text: str) -> str:
    """Quote a text where CSV needs it; control characters become spaces."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    if "," in text or '"' in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def table(header: str, rows: Iterable[str]) -> str:
    """Return a header and its rows as a file."""
    return "\n".join((header, *rows, ""))


@lru_cache(maxsize=1 << 12)
def amount(value: int | None) -> str:
    """Return an amount as text, "" for None; most cells of a row of orders or fills repeat one just written."""
    return "" if value is None else fmt(value)


def equity_csv(curve: Curve, marks: Sequence[EquityPoint] | None = None) -> str:
    """Return equity by session close, the starting cash first; by every mark where ``marks`` is given."""
    if marks is None:
        depth = drawdowns(curve.index).tolist() if curve.points else []
        points: Sequence[EquityPoint] = curve.points
    else:
        points = [*curve.points[:1], *marks]
        depth = drawdowns(np.array([p.equity / SCALE for p in points])).tolist()
    return table(EQUITY, (_equity_row(p, d) for p, d in zip(points, depth, strict=True)))


def _equity_row(p: EquityPoint, depth: float) -> str:
    return f"{stamp(p.ts)},{amount(p.equity)},{amount(p.cash)},{amount(p.gross)},{amount(p.net)},{number(depth + 0.0)}"


def _extra(several: bool) -> str:
    return ",portfolio" if several else ""


def orders_csv(story: Story, symbols: Sequence[str], several: bool = False) -> str:
    """Return every order in order of time, denied ones included; ``several`` adds the portfolio's name.

    ``terms`` is JSON of what an order says beyond the other columns. ``decision_px`` and the columns behind it are
    those of cost analysis, empty where unknown; ``end_ts`` is the order's last fill, cancellation or expiry, and
    ``missed_qty`` what was wanted and not filled.
    """
    rows = []
    for row in story.orders.values():
        order = row.order
        symbol = symbols[order.symbol] if order.symbol >= 0 else order.symbol_text
        line = (
            f"{row.order_id},{cell(order.client_order_id)},{stamp(row.ts)},{cell(symbol)},{_SIDES[order.side]},"
            f"{order.type},{order.tif},{amount(row.qty)},{amount(row.limit_px)},{amount(row.stop_px)},{row.status},"
            f"{amount(row.cum_qty)},{amount(row.avg_px)},{cell(row.reason)},{cell(order.strategy)},{cell(order.parent_id)},"
            f"{_terms(order.terms)},{_trace(row)}"
        )
        rows.append(f"{line},{cell(order.portfolio)}" if several else line)
    return table(ORDERS + _extra(several), rows)


def _trace(row: OrderRow) -> str:
    decision, arrival = stamps(row)
    trace = row.trace
    missed = row.qty - row.cum_qty if is_missed(row) else 0
    return (
        f"{amount(decision)},{amount(arrival)},{stamp(trace.end_ts) if trace.end_ts else ''},"
        f"{amount(trace.end_px or None)},{amount(missed)},{amount(expectation(row))}"
    )


def _terms(terms: OrderTerms | None) -> str:
    """Return the terms an order has as a cell of JSON, "" without any."""
    if terms is None:
        return ""
    return cell(msgspec.json.encode(terms_dict(terms)).decode())


def terms_dict(terms: msgspec.Struct) -> dict[str, Any]:
    """Return the fields that say something, amounts as plain decimals and times as RFC 3339."""
    out: dict[str, Any] = {}
    for field in msgspec.structs.fields(terms):
        value = getattr(terms, field.name)
        if value == field.default:
            continue
        if isinstance(value, msgspec.Struct):
            out[field.name] = terms_dict(value)
        elif field.name == "expire_ts":
            out["expire_at"] = stamp(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            out[field.name] = msgspec.Raw(amount(value).encode())
        else:
            out[field.name] = value
    return out


def fills_csv(story: Story, symbols: Sequence[str], several: bool = False) -> str:
    """Return every fill in order of time; ``fee`` is commission and regulatory fees."""
    return table(FILLS + _extra(several), (_fill_row(ts, f, symbols, several) for ts, f in story.fills))


def _fill_row(ts: int, f: OrderFilled | OrderPartiallyFilled, symbols: Sequence[str], several: bool) -> str:
    line = (
        f"{stamp(ts)},{f.order_id},{f.exec_id},{symbols[f.symbol]},{_SIDES[f.side]},{amount(f.last_qty)},"
        f"{amount(f.last_px)},{f.px_source},{amount(f.commission + f.regulatory)},{f.liquidity},"
        f"{amount(f.ref_px)},{amount(f.spread)},{amount(f.slippage)},{amount(f.impact)},{amount(f.commission)}"
    )
    return f"{line},{cell(f.portfolio)}" if several else line


def trades_csv(story: Story, symbols: Sequence[str], several: bool = False) -> str:
    """Return every closed round trip in order of exit."""
    rows = []
    for t in story.trades:
        line = (
            f"{symbols[t.symbol]},{_DIRECTIONS[t.side]},{amount(abs(t.qty))},{stamp(t.entry_ts)},{amount(t.entry_px)},"
            f"{stamp(t.exit_ts)},{amount(t.exit_px)},{amount(t.fees)},{amount(t.pnl)},{number(t.ret)},{number(t.mae)},"
            f"{number(t.mfe)},{number(t.entry_confidence)},{cell(t.exit_reason)},{cell(t.strategy)}"
        )
        rows.append(f"{line},{cell(t.portfolio)}" if several else line)
    return table(TRADES + _extra(several), rows)


def position_rows(story: Story, last: F64) -> list[tuple[str, int, int, int | None, int | None, int | None, int]]:
    """Return (portfolio, symbol id, qty, average price, market price, unrealised, realised) of all symbols ever held.

    Args:
        story: the run.
        last: ``[N]`` last known close by symbol id, NaN where there is none.
    """
    rows = []
    for (portfolio, symbol), holding in sorted(story.holdings.items()):
        price = float(last[symbol]) if symbol < last.size else math.nan
        market = to_fixed(price) if math.isfinite(price) else None
        average = div_round(holding.cost * SCALE, holding.qty) if holding.qty else None
        unrealized = None if market is None else mul(holding.qty, market) - holding.cost
        if not holding.qty:
            unrealized = 0
        rows.append((portfolio, symbol, holding.qty, average, market, unrealized, holding.realized))
    return rows


def positions_csv(story: Story, symbols: Sequence[str], last: F64, several: bool = False) -> str:
    """Return every symbol ever held, flat ones with quantity 0, so that realised profits are complete."""
    rows = []
    for portfolio, symbol, qty, average, market, unrealized, realized in position_rows(story, last):
        cells = ",".join(map(amount, (qty, average, market, unrealized, realized)))
        line = f"{symbols[symbol]},{cells}"
        rows.append(f"{line},{cell(portfolio)}" if several else line)
    return table(POSITIONS + _extra(several), rows)


def predictions_csv(story: Story, symbols: Sequence[str]) -> str:
    """Return every prediction; ``hit`` is true, false, or empty for a tie and before maturity."""
    rows: list[str] = []
    names = [cell(s) for s in symbols]
    for ts, signal in story.signals:
        head, middle = stamp(ts), f"{cell(model_of(signal))},{cell(signal.horizon)}"
        ids = unpack_i32(signal.ids)
        scores, price = unpack_f64(signal.score), unpack_i64(signal.price)
        realized, tradable = realized_of(story, signal, ids)
        product = np.sign(scores) * np.sign(realized)
        shown = scores.tolist()
        columns = zip(
            ids.tolist(),
            shown,
            numbers(shown),
            numbers(unpack_f64(signal.confidence).tolist()),
            _optional(signal.p_up, ids.size),
            price.tolist(),
            _bps(signal.expected_bps, ids.size),
            numbers(realized.tolist()),
            numbers(tradable.tolist()),
            product.tolist(),
            strict=True,
        )
        for i, score, text, confidence, p_up, px, bps, real, trad, hit in columns:
            action = "BUY" if score > 0 else "SELL" if score < 0 else "HOLD"
            target = fmt(round(px * (1.0 + bps / 10_000.0))) if bps is not None and bps == bps else ""  # noqa: PLR0124
            rows.append(
                f"{head},{names[i]},{middle},{action},{text},{confidence},{p_up},{fmt(px)},"
                f"{target},{real},{trad},{'true' if hit > 0 else 'false' if hit < 0 else ''}"
            )
    return table(PREDICTIONS, rows)


def _bps(column: bytes, n: int) -> Sequence[float | None]:
    return unpack_f64(column).tolist() if column else [None] * n


def _optional(column: bytes, n: int) -> Sequence[str]:
    return numbers(unpack_f64(column).tolist()) if column else [""] * n


def signals_csv(story: Story, symbols: Sequence[str], gates: tuple[float, float] | None) -> str:
    """Return every signal; ``gates`` are the confidence needed to buy and to sell, None where they are not known.

    ``gate`` is ``passed`` or ``cut``, by the sell gate at a score of zero and below; empty without gates.
    """
    rows: list[str] = []
    names = [cell(s) for s in symbols]
    for ts, signal in story.signals:
        head = f"{stamp(ts)},{cell(signal.strategy)},{signal.decision}"
        horizon = cell(signal.horizon)
        ids = unpack_i32(signal.ids).tolist()
        reasons = signal.reasons or ("",) * len(ids)
        scores, confidences = unpack_f64(signal.score).tolist(), unpack_f64(signal.confidence).tolist()
        columns = zip(
            ids,
            scores,
            confidences,
            numbers(scores),
            numbers(confidences),
            _optional(signal.p_up, len(ids)),
            reasons,
            strict=True,
        )
        for i, score, confidence, score_text, confidence_text, p_up, reason in columns:
            gate = ""
            if gates is not None:
                gate = "passed" if confidence >= gates[0 if score > 0 else 1] else "cut"
            rows.append(
                f"{head},{names[i]},{score_text},{confidence_text},{p_up},{horizon},{gate},"
                f"{cell(reason) if reason else ''}"
            )
    return table(SIGNALS, rows)


def alerts_csv(alerts: Sequence[AlertRaised]) -> str:
    """Return every alert; ``facts`` are name=value pairs behind semicolons."""
    rows = []
    for a in alerts:
        facts = "; ".join(f"{name}={value}" for name, value in a.facts)
        rows.append(
            f"{stamp(a.ts)},{a.severity},{cell(a.key)},{cell(a.title)},{cell(facts)},{cell(a.action_taken)},"
            f"{cell(a.next_command)},{a.count},{cell(a.alert_id)}"
        )
    return table(ALERTS, rows)


def benchmark_csv(stamps: Sequence[int], returns: F64) -> str:
    """Return the primary benchmark's returns by session close, for ``tradingd calc metrics --benchmark``."""
    pairs = zip(stamps, returns.tolist(), strict=True)
    return table(BENCHMARK, (f"{stamp(ts)},{number(r)}" for ts, r in pairs if math.isfinite(r)))


def portfolios_csv(curves: dict[str, Curve]) -> str:
    """Return equity by portfolio and session close, where there are several."""
    rows = []
    for name, curve in curves.items():
        depth = drawdowns(curve.index).tolist()
        for p, d in zip(curve.points, depth, strict=True):
            rows.append(f"{cell(name)},{_equity_row(p, d)}")
    return table(f"portfolio,{EQUITY}", rows)


def last_closes(universe: Universe, closes: F64) -> F64:
    """Return ``[N]`` the last finite close by symbol id of ``closes [S, N]``, NaN where there is none."""
    if closes.shape[0] == 0:
        return np.full(len(universe), np.nan)
    known = np.isfinite(closes)
    at = closes.shape[0] - 1 - np.argmax(known[::-1], axis=0)
    out: F64 = closes[at, np.arange(closes.shape[1])].astype(np.float64)
    out[~known.any(axis=0)] = np.nan
    return out
