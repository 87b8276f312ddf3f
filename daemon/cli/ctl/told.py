"""Events that are told in a sentence of their own, because their fields one by one would not say what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from daemon.cli.ctl import terms, text, told_risk
from daemon.cli.ctl.text import clean, grouped

Tell = Callable[[dict[str, Any]], str]


def sentence(kind: str, facts: dict[str, Any]) -> str | None:
    """Return an event in one sentence; None for types that are shown by their fields."""
    tell = _SENTENCES.get(kind)
    return None if tell is None else tell(facts)


def _cancel_requested(facts: dict[str, Any]) -> str:
    return f"cancel of {_name(facts)} reaches the venue at {_stamp(facts)}{_because(facts)}"


def _replace_requested(facts: dict[str, Any]) -> str:
    return f"new terms of {_name(facts)} ({_terms(facts)}) reach the venue at {_stamp(facts)}"


def _triggered(facts: dict[str, Any]) -> str:
    level, stop = facts.get("level"), facts.get("stop_px")
    gap = f", its stop stood at {_price(stop)}" if stop is not None and stop != level else ""
    return f"{_name(facts)} was triggered at {_price(level)}{gap}"


def _restated(facts: dict[str, Any]) -> str:
    said = terms.words(facts.get("terms"))
    more = f", {said}" if said else ""
    done = f", {grouped(facts['cum_qty'])} of it filled" if _some(facts.get("cum_qty")) else ""
    return f"{_name(facts)} is for {_terms(facts)} {_symbol(facts)} now{more}{done}{_because(facts)}"


def _frozen(facts: dict[str, Any]) -> str:
    return f"{_symbol(facts)} is not matched any more: {clean(facts.get('state', '?'))}{_because(facts)}"


def _released(facts: dict[str, Any]) -> str:
    return f"{_symbol(facts)} is matched again{_because(facts)}"


def _revised(facts: dict[str, Any]) -> str:
    old = _price(facts["old_px"]) if _some(facts.get("old_px")) else "unknown"
    bar = text.moment(facts.get("start_ts", "?"))
    return f"{_symbol(facts)} bar of {bar} was corrected: close {old} -> {_price(facts.get('new_px'))}; fills stay"


def _adjusted(facts: dict[str, Any]) -> str:
    kind, name = facts.get("kind"), clean(facts.get("new_symbol") or facts.get("symbol") or "?")
    holds = f"{clean(facts.get('portfolio', '?'))} holds {grouped(facts.get('qty', '?'))} {name}"
    if kind == "split":
        what = f"a split of {grouped(facts.get('numerator'))} for {grouped(facts.get('denominator'))}"
    elif kind == "rename":
        what = f"{clean(facts.get('symbol', '?'))} is called {name} now"
    else:
        what = f"{clean(facts.get('symbol', '?'))} was delisted" if kind == "delist" else clean(kind)
    paid = f"; {_money(facts['paid'])} paid at {_price(facts.get('px'))}" if _some(facts.get("paid")) else ""
    return f"{holds} now: {what}{paid}"


def _accrued(facts: dict[str, Any]) -> str:
    amount = facts.get("amount", "?")
    verb = "owes" if text.is_negative(amount) else "is owed"
    shares = f"{grouped(facts.get('qty', '?'))} {_symbol(facts)} at {grouped(facts.get('per_share', '?'))}"
    days = f"ex {text.date(facts.get('ex_date', '?'))}, payable {text.date(facts.get('pay_date', '?'))}"
    return f"{clean(facts.get('portfolio', '?'))} {verb} a dividend of {_size(amount)}: {shares}, {days}"


def _paid(facts: dict[str, Any]) -> str:
    amount = facts.get("amount", "?")
    verb = "paid" if text.is_negative(amount) else "received"
    of = f"of {_symbol(facts)}, ex {text.date(facts.get('ex_date', '?'))}"
    cash = _money(facts.get("cash", "?"))
    return f"{clean(facts.get('portfolio', '?'))} {verb} the dividend {of}: {_size(amount)}, cash {cash}"


def _financed(facts: dict[str, Any]) -> str:
    what = f"to borrow {_symbol(facts)}" if facts.get("kind") == "borrow" else "of interest"
    days = f"{grouped(facts.get('days', '?'))} day{'' if str(facts.get('days')) == '1' else 's'}"
    on = f"{text.percent(facts.get('rate'))} a year on {_money(facts.get('base', '?'))} for {days}"
    who = clean(facts.get("portfolio", "?"))
    return f"{who} was charged {_money(facts.get('amount', '?'))} {what}: {on}, cash {_money(facts.get('cash', '?'))}"


def _called(facts: dict[str, Any]) -> str:
    needs = (
        f"equity {_money(facts.get('equity', '?'))} against a maintenance of {_money(facts.get('requirement', '?'))}"
    )
    then = {"liquidate": "positions are cut", "warn": "nothing is done"}.get(str(facts.get("action")), "")
    return f"{clean(facts.get('portfolio', '?'))}: {needs}" + (f"; {then}" if then else "")


_SENTENCES: Final[dict[str, Tell]] = {
    "OrderCancelRequested": _cancel_requested,
    "OrderReplaceRequested": _replace_requested,
    "OrderTriggered": _triggered,
    "OrderRestated": _restated,
    "SymbolFrozen": _frozen,
    "SymbolReleased": _released,
    "BarRevised": _revised,
    "PositionAdjusted": _adjusted,
    "DividendAccrued": _accrued,
    "DividendPaid": _paid,
    "FinancingCharged": _financed,
    "MarginCalled": _called,
    "BreakerTripped": told_risk.tripped,
    "BreakerReset": told_risk.reset,
    "LimitBreached": told_risk.breached,
    "LimitsChanged": told_risk.limits,
    "EntriesLocked": told_risk.locked,
    "RestrictionChanged": told_risk.restricted,
    "ConnectionChanged": told_risk.connection,
    "RiskReviewed": told_risk.reviewed,
}


def _name(facts: dict[str, Any]) -> str:
    number = f" ({clean(facts['order_id'])})" if facts.get("order_id") else ""
    return f"{clean(facts.get('client_order_id', '?'))}{number}"


def _symbol(facts: dict[str, Any]) -> str:
    """Return the symbol; an event that names none speaks of all of them."""
    return clean(facts.get("symbol") or "the whole market")


def _stamp(facts: dict[str, Any]) -> str:
    return text.moment(facts.get("effective_ts") or facts.get("effective_at") or "?")


def _terms(facts: dict[str, Any]) -> str:
    told = [grouped(facts.get("qty", "?"))]
    for name, word in (("limit_px", "limit"), ("stop_px", "stop")):
        if facts.get(name) is not None:
            told.append(f"{word} {_price(facts[name])}")
    return " ".join(told)


def _because(facts: dict[str, Any]) -> str:
    return f" ({clean(facts['reason'])})" if facts.get("reason") else ""


def _price(value: Any) -> str:
    return terms.price(value)


def _money(value: Any) -> str:
    return grouped(value, 2)


def _size(value: Any) -> str:
    return grouped(str(value).removeprefix("-"), 2)


def _some(value: Any) -> bool:
    return value is not None and any(digit in "123456789" for digit in str(value))
