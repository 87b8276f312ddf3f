"""Committed events as lines of the log: what a person wants to have read there, and the fields a search asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from actors.messages.inference import StrategyDisabled, StrategyEnabled, StrategyFailed
from actors.messages.orders import (
    BUY,
    BarRevised,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderCancelRequested,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderReplaced,
    OrderReplaceRequested,
    OrderRestated,
    OrderTriggered,
    SubmitOrder,
    SymbolFrozen,
    SymbolReleased,
)
from actors.messages.portfolio import DividendAccrued, DividendPaid, FinancingCharged, PositionAdjusted
from actors.messages.risk import (
    BreakerReset,
    BreakerTripped,
    ConnectionChanged,
    EntriesLocked,
    LimitBreached,
    MarginCalled,
)
from actors.values.fixed import fmt
from daemon.kernel.message import CommandRejected, Event, InputQuarantined


class LogLine(NamedTuple):
    """One line: its level, what happened in two or three words, and what is known of it, ``detail`` as a sentence."""

    level: str
    words: str
    fields: dict[str, object]


_WORDS: Final[dict[type[Event], tuple[str, str]]] = {
    OrderAccepted: ("info", "order accepted"),
    OrderDenied: ("info", "order denied"),
    OrderRejected: ("warning", "order rejected"),
    OrderFilled: ("info", "order filled"),
    OrderPartiallyFilled: ("info", "order partially filled"),
    OrderCanceled: ("info", "order canceled"),
    OrderExpired: ("info", "order expired"),
    OrderReplaced: ("info", "order replaced"),
    OrderCancelRejected: ("info", "cancel or replace refused"),
    OrderCancelRequested: ("info", "cancel on its way"),
    OrderReplaceRequested: ("info", "replace on its way"),
    OrderTriggered: ("info", "order triggered"),
    OrderRestated: ("info", "order restated"),
    SymbolFrozen: ("warning", "symbol frozen"),
    SymbolReleased: ("info", "symbol released"),
    BarRevised: ("warning", "bar revised"),
    PositionAdjusted: ("info", "position adjusted"),
    DividendAccrued: ("info", "dividend accrued"),
    DividendPaid: ("info", "dividend paid"),
    FinancingCharged: ("info", "financing charged"),
    MarginCalled: ("warning", "margin called"),
    LimitBreached: ("warning", "limit breached"),
    BreakerTripped: ("warning", "breaker tripped"),
    BreakerReset: ("info", "breaker reset"),
    EntriesLocked: ("info", "entries locked"),
    ConnectionChanged: ("warning", "connection changed"),
    StrategyDisabled: ("warning", "strategy disabled"),
    StrategyEnabled: ("info", "strategy enabled"),
    StrategyFailed: ("warning", "strategy failed"),
    CommandRejected: ("info", "command refused"),
    InputQuarantined: ("error", "input quarantined"),
}
"""Events worth a line at their level; everything else is told at level debug."""

_TAKEN_OVER: Final = (
    "reason",
    "code",
    "strategy",
    "breaker",
    "actor",
    "error",
    "portfolio",
    "action",
    "subject",
    "rule",
)


def is_told(event: Event) -> bool:
    """Whether an event has a line of its own."""
    return type(event) in _WORDS


def log_line(event: Event, symbols: tuple[str, ...]) -> LogLine:
    """Return an event's line.

    Args:
        event: committed.
        symbols: names by id.
    """
    level, words = _WORDS.get(type(event), ("debug", "event"))
    fields: dict[str, object] = {"event_type": type(event).__name__}
    order = getattr(event, "order", None)
    order_id = getattr(event, "client_order_id", "") or getattr(order, "client_order_id", "")
    if order_id:
        fields["order_id"] = order_id
    for name in _TAKEN_OVER:
        value = getattr(event, name, None)
        if value:
            fields[name] = value
    if isinstance(order, SubmitOrder):
        _of_order(fields, order, symbols)
    elif isinstance(event, OrderFilled | OrderPartiallyFilled):
        _of_fill(fields, event, symbols)
    elif isinstance(event, LimitBreached | BreakerTripped):
        _of_limit(fields, event)
    elif type(event) in _PLAIN:
        _of_plain(fields, event, symbols)
    return LogLine(level, words, fields)


def failure_lines(events: Sequence[Event], symbols: tuple[str, ...], sentences: Sequence[str]) -> list[LogLine]:
    """Return a line for each strategy and fault of one frame: twenty symbols of a decision are not twenty lines.

    Args:
        events: of the frame.
        symbols: names by id.
        sentences: what the predictor remembers of failed calls, the latest last: message, file and line, which no event
            may hold.
    """
    found: dict[tuple[str, str], list[StrategyFailed]] = {}
    for event in events:
        if isinstance(event, StrategyFailed):
            found.setdefault((event.strategy, event.error), []).append(event)
    lines = []
    for failed in found.values():
        line = log_line(failed[0], symbols)
        whom = f" for {_name(failed[0].symbol, '', symbols)}" if failed[0].symbol >= 0 else ""
        of = f"strategy {failed[0].strategy}"
        told = [text for text in sentences if f"{of}{whom} at " in text] or [text for text in sentences if of in text]
        more = f" (and {len(failed) - 1} more of this decision)" if len(failed) > 1 else ""
        line.fields.update({"detail": told[-1] + more} if told else {}, failed=len(failed))
        lines.append(line)
    return lines


def _name(symbol: int, text: str, symbols: tuple[str, ...]) -> str:
    return symbols[symbol] if 0 <= symbol < len(symbols) else text or str(symbol)


def _of_order(fields: dict[str, object], order: SubmitOrder, symbols: tuple[str, ...]) -> None:
    side, symbol, qty = _side(order.side), _name(order.symbol, order.symbol_text, symbols), fmt(order.qty)
    fields |= {"symbol": symbol, "side": side, "qty": qty, "type": order.type.value}
    detail = f"{side} {qty} {symbol} {order.type.value}"
    for name, price in (("limit", order.limit_px), ("stop", order.stop_px)):
        if price is not None:
            fields[f"{name}_px"] = fmt(price)
            detail += f" {fmt(price)}" if order.type.value == name else f" {name} {fmt(price)}"
    fields["detail"] = detail


def _of_fill(fields: dict[str, Any], fill: OrderFilled | OrderPartiallyFilled, symbols: tuple[str, ...]) -> None:
    side, symbol = _side(fill.side), _name(fill.symbol, "", symbols)
    qty, price = fmt(fill.last_qty), fmt(fill.last_px)
    fields |= {"symbol": symbol, "side": side, "qty": qty, "price": price}
    left = f", {fmt(fill.leaves_qty)} left" if fill.leaves_qty else ""
    fields["detail"] = f"{side} {qty} {symbol} at {price}{left}"


_PLAIN: Final[dict[type[Event], tuple[str, ...]]] = {
    OrderTriggered: ("level",),
    OrderReplaceRequested: ("qty", "limit_px", "stop_px"),
    OrderRestated: ("symbol", "qty", "limit_px", "stop_px"),
    SymbolFrozen: ("symbol", "state"),
    SymbolReleased: ("symbol",),
    BarRevised: ("symbol", "old_px", "new_px"),
    PositionAdjusted: ("kind", "symbol", "new_symbol", "qty", "paid"),
    DividendAccrued: ("symbol", "qty", "per_share", "amount"),
    DividendPaid: ("symbol", "amount"),
    FinancingCharged: ("kind", "symbol", "base", "rate", "amount"),
    MarginCalled: ("equity", "requirement", "excess"),
    EntriesLocked: ("symbol", "rule", "reason"),
    ConnectionChanged: ("feed", "lost", "reason"),
}
"""Fields a line shows of an event that has a sentence in ``tradingctl tail``; whole numbers are amounts."""


def _of_plain(fields: dict[str, Any], event: Event, symbols: tuple[str, ...]) -> None:
    for name in _PLAIN[type(event)]:
        value = getattr(event, name)
        if name in {"symbol", "new_symbol"}:
            fields[name] = _name(value, "", symbols) if value >= 0 else "all"
        elif value is not None:
            fields[name] = fmt(value) if isinstance(value, int) else value
    shown = [f"{name} {fields[name]}" for name in _PLAIN[type(event)] if name in fields]
    fields["detail"] = ", ".join(shown)


def _of_limit(fields: dict[str, Any], event: LimitBreached | BreakerTripped) -> None:
    name, bound = (event.limit, event.bound) if isinstance(event, LimitBreached) else (event.breaker, event.limit)
    fields |= {"limit": name, "value": event.value, "bound": bound}
    then = _ACTIONS[event.action]
    if isinstance(event, BreakerTripped) and event.cause:
        fields["detail"] = f"{name}: {event.cause}, limit {bound:g}: {then}"
    elif name in _COUNTS:
        fields["detail"] = f"{name} {event.value:g} of {event.portfolio}, limit {bound:g}: {then}"
    else:
        fields["detail"] = f"{name} {event.value:.2%} of {event.portfolio}, limit {bound:.2%}: {then}"


_COUNTS: Final = ("max_positions", "max_leverage")
"""Limits that are no shares of anything."""
_ACTIONS: Final = {
    "warn": "a warning",
    "block_entries": "no entries any more",
    "block": "no entries any more",
    "reduce": "trading reduces",
    "deleverage": "positions are cut",
    "halt": "trading halts",
    "flatten": "positions are closed",
}


def _side(side: int) -> str:
    return "buy" if side == BUY else "sell"
