"""What a client is told, from the events of its call's frame and from nothing else.

An order that the gate or the broker refused is an answer, not an error: it is durable, it has a status, a code and a
reason. A command that was refused (``CommandRejected``) is an error with its code. A command that found everything as
it wants it to be is a success that says ``"changed": false``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from actors.messages.alerts import AlertAcknowledged, AlertTested
from actors.messages.control import (
    DisableStrategy,
    EnableStrategy,
    Flatten,
    Kill,
    Reduce,
    ResetBreaker,
    RestrictSymbol,
    Resume,
    SetLimits,
    Unlatch,
)
from actors.messages.inference import StrategyDisabled, StrategyEnabled
from actors.messages.orders import (
    CancelOrder,
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
    OrderStatus,
    ReplaceOrder,
    SubmitOrder,
)
from actors.messages.portfolio import CashFlowed, DepositCash
from actors.messages.risk import BreakerReset, LimitsChanged, RestrictionChanged, TradingState, TradingStateChanged
from actors.values.fixed import fmt
from actors.values.time import format_ts
from daemon.control.calls import Call, Outcome
from daemon.kernel.message import CommandRejected, DeadLettered, Event, InputQuarantined, Message

ORDER_SCHEMA: Final = "tradingd.order/1"
STATE_SCHEMA: Final = "tradingd.trading_state/1"

_ALREADY: Final[dict[str, tuple[type[Message], ...]]] = {
    "STRATEGY_OFF": (DisableStrategy,),
    "STRATEGY_ON": (EnableStrategy,),
    "BREAKER_ARMED": (ResetBreaker,),
    "RESTRICTED_ALREADY": (RestrictSymbol,),
    "NOT_RESTRICTED": (RestrictSymbol,),
    "LIMITS_UNCHANGED": (SetLimits,),
    # Reduce has a stricter state in its way; resume has only the active one that it wants.
    "WRONG_STATE": (Resume,),
}
"""Refusals that mean: it is so already."""
_WANTED: Final[dict[type[Message], TradingState]] = {
    Reduce: TradingState.REDUCING,
    Resume: TradingState.ACTIVE,
    Unlatch: TradingState.HALTED,
    Kill: TradingState.KILLED,
}


_TIGHTNESS: Final = (TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED, TradingState.KILLED)
_STOPS: Final = {"reduce": TradingState.REDUCING, "halt": TradingState.HALTED}


def stands(call: Call, state: TradingState) -> bool:
    """Tell whether a stop that was answered once holds in a trading state; anything else that was done is done."""
    wanted = _STOPS.get(call.method)
    return wanted is None or _TIGHTNESS.index(state) >= _TIGHTNESS.index(wanted)


class Standing(msgspec.Struct, frozen=True):
    """The trading state behind the frame, for commands that change nothing."""

    trading_state: TradingState
    reason: str = ""


def plain(value: int | None) -> msgspec.Raw | None:
    """Return an amount in units of 1e-8 as a JSON number without exponent or rounding."""
    return None if value is None else msgspec.Raw(fmt(value).encode())


def reply_of(call: Call, command: Message, events: Iterable[Event], standing: Standing | None = None) -> Outcome:
    """Return the answer to a call.

    Args:
        call: as it came in.
        command: what became of it (:func:`daemon.system.desk.command_of`).
        events: of the frame whose input is the command.
        standing: the trading state after the frame; without it a command that changed nothing is answered with the
            state it asks for.
    """
    found = list(events)
    for event in found:
        refused = _refusal(event, command, standing)
        if refused is not None:
            return refused
    if isinstance(command, SubmitOrder):
        return _submitted(command, found)
    if isinstance(command, (CancelOrder, ReplaceOrder)):
        return _amended(command, found)
    return Outcome(_RESULTS.get(type(command), _state)(call, command, found, standing))


def _refusal(event: Event, command: Message, standing: Standing | None) -> Outcome | None:
    name = type(command).__name__
    if isinstance(event, CommandRejected) and event.message_type == name:
        if isinstance(command, _ALREADY.get(event.code, ())):
            return None
        if event.code == "NOT_LATCHED" and standing is not None and standing.trading_state is TradingState.HALTED:
            return None
        message, remedy = _split(event.reason)
        return Outcome(code=event.code or "REFUSED", message=message, remedy=remedy)
    if isinstance(event, InputQuarantined) and event.message_type == name:
        message = f"{event.actor} failed on it ({event.error}); it was set aside and changed nothing"
        return Outcome(code="QUARANTINED", message=message, remedy="see tradingctl actors and the log")
    if isinstance(event, DeadLettered) and event.message_type == name:
        return Outcome(code="NOT_SUPPORTED", message=f"nothing in this daemon takes a {name}")
    return None


def _split(reason: str) -> tuple[str, str]:
    """Return what is wrong and what to do, which errors and denials write behind a semicolon."""
    message, _, remedy = reason.partition("; ")
    return message, remedy


# -- orders ------------------------------------------------------------------------------------------------------------


def _submitted(command: SubmitOrder, events: list[Event]) -> Outcome:
    told = order_rows(events)
    own = told.get(command.client_order_id)
    # A flip is two orders; the second is named after the first.
    family = [row for name, row in told.items() if name in (command.client_order_id, f"{command.client_order_id}-open")]
    if own is None:
        message = f"the order {command.client_order_id} left no trace in its frame"
        return Outcome(code="NO_ANSWER", message=message, remedy="see tradingctl events")
    result = {"schema": ORDER_SCHEMA, **own}
    if len(family) > 1:
        result["orders"] = family
    return Outcome(result)


def _amended(command: CancelOrder | ReplaceOrder, events: list[Event]) -> Outcome:
    for event in events:
        if isinstance(event, OrderCancelRejected) and event.client_order_id == command.client_order_id:
            message, remedy = _split(event.reason)
            return Outcome(code=event.code, message=message, field="id", remedy=remedy)
    row = order_rows(events).get(command.client_order_id)
    if row is None:
        message = f"the order {command.client_order_id} did not change"
        return Outcome(code="NO_ANSWER", message=message, remedy="see tradingctl orders")
    return Outcome({"schema": ORDER_SCHEMA, **row})


def order_rows(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    """Return what a frame did to each order, by client order id: ids, status, and what goes with the status."""
    rows: dict[str, dict[str, Any]] = {}
    for event in events:
        tell = _TELL.get(type(event))
        if tell is None:
            continue
        name, fields = tell(event)
        rows.setdefault(name, {"order_id": None, "client_order_id": name}).update(fields)
    return rows


def _denied(event: OrderDenied) -> tuple[str, dict[str, Any]]:
    reason, remedy = _split(event.reason)
    fields = {"status": OrderStatus.DENIED, "code": event.code, "reason": reason, "remedy": remedy}
    if event.value or event.limit:
        fields |= {"value": event.value, "limit": event.limit}
    return event.order.client_order_id, fields


def _rejected(event: OrderRejected) -> tuple[str, dict[str, Any]]:
    reason, remedy = _split(event.reason)
    fields = {"status": OrderStatus.REJECTED, "code": event.code, "reason": reason, "remedy": remedy}
    return event.order.client_order_id, {"order_id": event.order_id, **fields}


def _accepted(event: OrderAccepted) -> tuple[str, dict[str, Any]]:
    order = event.order
    fields = {"order_id": event.order_id, "status": OrderStatus.NEW, "qty": plain(order.qty)}
    return order.client_order_id, {**fields, "reserved": plain(event.reserved)}


def _filled(event: OrderFilled | OrderPartiallyFilled) -> tuple[str, dict[str, Any]]:
    status = OrderStatus.PARTIALLY_FILLED if event.leaves_qty else OrderStatus.FILLED
    done = {"cum_qty": plain(event.cum_qty), "avg_px": plain(event.avg_px)}
    return event.client_order_id, {"order_id": event.order_id, "status": status, **done}


def _ended(status: OrderStatus) -> Callable[[Any], tuple[str, dict[str, Any]]]:
    def tell(event: OrderCanceled | OrderExpired) -> tuple[str, dict[str, Any]]:
        done = {"cum_qty": plain(event.cum_qty), "reason": event.reason}
        return event.client_order_id, {"order_id": event.order_id, "status": status, **done}

    return tell


def _replaced(event: OrderReplaced) -> tuple[str, dict[str, Any]]:
    terms = {"qty": plain(event.qty), "limit_px": plain(event.limit_px), "stop_px": plain(event.stop_px)}
    return event.client_order_id, {"order_id": event.order_id, "status": OrderStatus.REPLACED, **terms}


def _requested(event: OrderCancelRequested | OrderReplaceRequested) -> tuple[str, dict[str, Any]]:
    """A request that the venue does not know yet: the order works on, and a fill may come before it."""
    pending = "cancel" if isinstance(event, OrderCancelRequested) else "replace"
    status = OrderStatus.PARTIALLY_FILLED if event.cum_qty else OrderStatus.NEW
    told = {"status": status, "cum_qty": plain(event.cum_qty), "pending": pending}
    until = {"effective_at": format_ts(event.effective_ts)}
    return event.client_order_id, {"order_id": event.order_id or None, **told, **until}


_TELL: Final[dict[type[Event], Callable[[Any], tuple[str, dict[str, Any]]]]] = {
    OrderDenied: _denied,
    OrderRejected: _rejected,
    OrderAccepted: _accepted,
    OrderFilled: _filled,
    OrderPartiallyFilled: _filled,
    OrderCanceled: _ended(OrderStatus.CANCELED),
    OrderExpired: _ended(OrderStatus.EXPIRED),
    OrderReplaced: _replaced,
    OrderCancelRequested: _requested,
    OrderReplaceRequested: _requested,
}


# -- everything else ---------------------------------------------------------------------------------------------------


def _state(call: Call, command: Message, events: list[Event], standing: Standing | None) -> dict[str, Any]:
    """Answer with the trading state, what was cancelled, and what closes where closing was asked for."""
    change = next((e for e in reversed(events) if isinstance(e, TradingStateChanged)), None)
    if change is not None:
        state, reason = change.new, change.reason
    elif standing is not None:
        state, reason = standing.trading_state, standing.reason
    else:
        state, reason = _WANTED.get(type(command), TradingState.HALTED), call.reason
    rows = order_rows(events)
    result: dict[str, Any] = {
        "schema": STATE_SCHEMA,
        "trading_state": state,
        "reason": reason,
        "changed": change is not None,
        "canceled": [name for name, row in rows.items() if row["status"] is OrderStatus.CANCELED],
    }
    resets = [{"portfolio": e.portfolio, "breaker": e.breaker} for e in events if isinstance(e, BreakerReset)]
    if isinstance(command, Unlatch):
        result["breakers_reset"] = resets
        result["changed"] = change is not None or bool(resets)
    if isinstance(command, Flatten):
        result["orders"] = [row for row in rows.values() if row["status"] is not OrderStatus.CANCELED]
    return result


def _flowed(call: Call, command: Message, events: list[Event], standing: Standing | None) -> dict[str, Any]:
    del call, command, standing
    flow = next(event for event in events if isinstance(event, CashFlowed))
    return {
        "schema": "tradingd.cash/1",
        "portfolio": flow.portfolio,
        "amount": plain(flow.amount),
        "cash": plain(flow.cash),
        "equity": plain(flow.equity + flow.amount),
    }


def _reset(call: Call, command: Message, events: list[Event], standing: Standing | None) -> dict[str, Any]:
    del call
    assert isinstance(command, ResetBreaker)  # noqa: S101 - the table below pairs them
    result: dict[str, Any] = {
        "schema": "tradingd.breaker/1",
        "portfolio": command.portfolio,
        "breaker": command.breaker,
        "state": "armed",
        "subjects": [event.subject for event in events if isinstance(event, BreakerReset) and event.subject],
        "changed": any(isinstance(event, BreakerReset) for event in events),
    }
    if not result["changed"]:
        named = f"{command.breaker}{command.portfolio and f' of {command.portfolio}'}"
        about = command.subject and f" ({command.subject})"
        result["detail"] = f"no breaker {named}{about} has tripped, so there was none to reset"
    return result if standing is None else result | {"trading_state": standing.trading_state}


def _limited(call: Call, command: Message, events: list[Event], standing: Standing | None) -> dict[str, Any]:
    del call, standing
    assert isinstance(command, SetLimits)  # noqa: S101 - the table below pairs them
    changed = any(isinstance(event, LimitsChanged) for event in events)
    changes = [{"key": key, "old": old, "new": new} for key, old, new in command.changes] if changed else []
    return {"schema": "tradingd.limits_set/1", "changed": changed, "changes": changes}


def _restricted(call: Call, command: Message, events: list[Event], standing: Standing | None) -> dict[str, Any]:
    del standing
    assert isinstance(command, RestrictSymbol)  # noqa: S101 - the table below pairs them
    return {
        "schema": "tradingd.restricted/1",
        "symbol": call.params.get("symbol"),
        "restricted": command.restricted,
        "changed": any(isinstance(event, RestrictionChanged) for event in events),
    }


def _switched(call: Call, command: Message, events: list[Event], standing: Standing | None) -> dict[str, Any]:
    del call, standing
    assert isinstance(command, (DisableStrategy, EnableStrategy))  # noqa: S101 - the table below pairs them
    return {
        "schema": "tradingd.strategy/1",
        "strategy": command.strategy,
        "enabled": isinstance(command, EnableStrategy),
        "changed": any(isinstance(event, (StrategyDisabled, StrategyEnabled)) for event in events),
    }


def _alert(call: Call, command: Message, events: list[Event], standing: Standing | None) -> dict[str, Any]:
    del call, events, standing
    if isinstance(command, AlertAcknowledged):
        return {"schema": "tradingd.alert/1", "alert_id": command.alert_id, "state": "acknowledged"}
    return {"schema": "tradingd.alert/1", "state": "requested"}


_RESULTS: Final[dict[type[Message], Callable[[Call, Message, list[Event], Standing | None], dict[str, Any]]]] = {
    DepositCash: _flowed,
    ResetBreaker: _reset,
    SetLimits: _limited,
    RestrictSymbol: _restricted,
    DisableStrategy: _switched,
    EnableStrategy: _switched,
    AlertAcknowledged: _alert,
    AlertTested: _alert,
}
