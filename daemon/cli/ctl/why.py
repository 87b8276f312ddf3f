"""``tradingctl why ORDER_ID``: one order as a story in words, with times and numbers: signal, checks, order, fills."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from daemon.cli.ctl import show, text
from daemon.cli.ctl.text import Paint, clean, grouped, percent

_WORDS: Final = 10  # columns of a step's name
_COSTS: Final = ("commission", "regulatory", "spread", "slippage", "impact")


class Step(NamedTuple):
    """One line of the story; ``ts`` is "" for what has no time of its own."""

    ts: str
    name: str
    words: str
    style: str = ""


def render(story: dict[str, Any], paint: Paint, columns: int | None) -> list[str]:
    """Return the story: the order in one line, then one line a step, its time and how long after the one before."""
    del columns  # sentences are wrapped by the terminal; cutting them would cut the story
    order = _object(story.get("order"))
    lines = [_headline(order, paint)]
    steps = [*_decision(story), *_checks(story), *_life(story), *_fills(story, order)]
    timed = sorted((step for step in steps if step.ts), key=lambda step: step.ts)
    last = day = ""
    for step in timed:
        if step.ts[:10] != day:
            day = step.ts[:10]
            lines += ["", paint("dim", clean(day))]
        since = _since(last, step.ts)
        lines.append(_line(text.clock(step.ts), since, step, paint))
        last = step.ts
    ends = list(_end(story))
    return [*lines, *([""] if ends else []), *(_line("", "", step, paint) for step in ends)]


def _line(stamp: str, since: str, step: Step, paint: Paint) -> str:
    name = paint(step.style or show.colour(step.name), text.pad(step.name, _WORDS))
    left = f"  {paint('dim', text.pad(stamp, 13))} {paint('dim', text.pad(since, 12, right=True))}  "
    return f"{left if stamp else '  '}{name}  {step.words}".rstrip()


def _headline(order: dict[str, Any], paint: Paint) -> str:
    if order.get("trail"):
        from daemon.cli.ctl import terms as words

        order = words.standing(order)
    name = clean(order.get("client_order_id") or order.get("order_id") or "?")
    number = f" ({clean(order['order_id'])})" if order.get("order_id") else ""
    status = clean(order.get("status", "?"))
    kind = clean(order.get("type", ""))
    terms = [_deal(order, paint), kind]
    terms += [_price(order["limit_px"])] if order.get("limit_px") else []
    stop = "" if kind == "stop" else "stop "  # "stop 40", not "stop stop 40"
    terms += [stop + _price(order["stop_px"])] if order.get("stop_px") else []
    terms.append(clean(order.get("tif", "")))
    terms.append(_terms(order))
    told = f"{paint('bold', name)}{number}: {' '.join(filter(None, terms))}: {paint(show.colour(status), status)}"
    if order.get("avg_px"):
        told += f", {grouped(order.get('cum_qty'))} at {_price(order['avg_px'])}"
    return told


def _terms(order: dict[str, Any]) -> str:
    """Return what else the order says, in brackets."""
    if not order.get("terms"):
        return ""
    from daemon.cli.ctl import terms

    said = terms.words(order["terms"])
    return f"({said})" if said else ""


def _deal(order: dict[str, Any], paint: Paint) -> str:
    side, symbol = clean(order.get("side", "")), clean(order.get("symbol", "?"))
    return f"{paint(show.colour(side), side)} {grouped(order.get('qty', '?'))} {paint('bold', symbol)}"


def _decision(story: dict[str, Any]) -> Iterator[Step]:
    """Tell the signal and the weight wanted on account of it; an operator's order has neither."""
    signal, targets, order, entry = (_object(story.get(name)) for name in ("decision", "targets", "order", "entry"))
    if signal:
        yield Step(_ts(signal), "signal", _signal(signal), "cyan")
    else:
        who = order.get("strategy") or order.get("purpose") or order.get("reason") or "nobody known"
        yield Step(_ts(order), "asked", f"by {clean(who)}", "cyan")
    if targets:
        weight = percent(targets.get("weight"))
        cuts = f"{_many(targets.get('cut_buy'), 'buy')} and {_many(targets.get('cut_sell'), 'sell')}"
        words = f"{weight} of the portfolio, {_many(targets.get('names'), 'name')} in all"
        words += f" ({clean(targets['reason'])})" if targets.get("reason") else ""
        yield Step(_ts(targets), "target", f"{words}; the confidence gates cut {cuts}", "cyan")
        smaller = _smaller(targets)
        if smaller:
            yield Step(_ts(targets), "size", smaller, "yellow")
    if entry:
        bought = f"{grouped(entry.get('qty'))} at {_price(entry.get('price'))}"
        yield Step(
            _ts(entry), "entry", f"{bought} by {clean(entry.get('client_order_id', '?'))}: the lot it closes", "cyan"
        )


def _smaller(targets: dict[str, Any]) -> str:
    """Tell what sizing cut of the order and which key does it, "" where it was left whole."""
    parts = []
    if _is_something(targets.get("cut_correlation")):
        like = "it moves like what is held (risk.correlation_shrink)"
        parts.append(f"{percent(targets['cut_correlation'])} of the position aimed at because {like}")
    if _is_something(targets.get("cut_heat")):
        rest = "of what that left" if parts else "of the position aimed at"
        much = "too much would be lost down to stops (risk.risk_per_trade, risk.max_heat)"
        parts.append(f"{percent(targets['cut_heat'])} {rest} because {much}")
    if _is_something(targets.get("cut_room")):
        rest = "of what that left" if parts else "of the position aimed at"
        key = clean(targets.get("cut_limit", "?"))
        parts.append(f"{percent(targets['cut_room'])} {rest} because no more room was left (risk.{key})")
    return f"cut by {', and by '.join(parts)}" if parts else ""


def _signal(signal: dict[str, Any]) -> str:
    who = f"{clean(signal.get('strategy', '?'))}, decision {grouped(signal.get('decision', '?'))}"
    if signal.get("model") not in (None, signal.get("strategy")):
        who += f" by {clean(signal['model'])}"
    parts = [f"{clean(signal.get('prediction', '?'))} over {clean(signal.get('horizon', '?'))}"]
    for word, field in (("score", "score"), ("confidence", "confidence"), ("p up", "p_up")):
        if signal.get(field) is not None:
            parts.append(f"{word} {grouped(signal[field], 3)}")
    if signal.get("price") is not None:
        parts.append(f"price {_price(signal['price'])}")
    return f"{who}: {', '.join(parts)}{_because(signal)}"


def _checks(story: dict[str, Any]) -> Iterator[Step]:
    for check in _objects(story.get("checks")):
        verdict = clean(check.get("verdict", "?"))
        words = f"{clean(check.get('by', '?'))} {verdict}"
        if verdict == "request refused":  # which of the two it was is not in the record
            words = "a cancel or replace was refused"
        if check.get("reserved") is not None:
            words += f", {grouped(check['reserved'], 2)} reserved"
        if check.get("order_id"):
            words += f" as {clean(check['order_id'])}"
        if check.get("bracket_of"):
            words += f", an exit of {clean(check['bracket_of'])}"
        if check.get("ref_px") is not None:
            words += f" with the market at {_price(check['ref_px'])}"
        if _is_something(check.get("expected_cost")):
            words += f", expected to cost {grouped(check['expected_cost'], 2)}"
        if check.get("limit") not in (None, ""):
            words += f": {grouped(check.get('value', '?'))} against a limit of {grouped(check['limit'])}"
        if isinstance(check.get("checked"), list) and check["checked"]:
            words += f"; held against {text.listed(check['checked'])}"
        again = " (a resend)" if check.get("resend") else ""
        style = "green" if verdict in {"passed", "accepted"} else "red"
        yield Step(_ts(check), "check", f"{words}{_because(check)}{again}", style)


def _life(story: dict[str, Any]) -> Iterator[Step]:
    """Tell what became of the order beside its checks and fills, which are told by themselves."""
    for event in _objects(story.get("life")):
        name = clean(event.get("event", "?"))
        if name in {"accepted", "denied", "rejected", "filled", "partially_filled", "request_refused"}:
            continue
        told = []
        for field in ("level", "qty", "limit_px", "stop_px", "cum_qty"):
            if event.get(field) is not None:
                value = _price(event[field]) if field.endswith(("_px", "level")) else grouped(event[field])
                told.append(f"{show.heading(field)} {value}")
        if event.get("effective_at"):
            told.append(f"at the venue {text.moment(event['effective_at'])}")
        yield Step(_ts(event), name.replace("_", " "), f"{', '.join(told)}{_because(event)}".lstrip(": "))


def _fills(story: dict[str, Any], order: dict[str, Any]) -> Iterator[Step]:
    fills, done = _objects(story.get("fills")), "0"
    for number, fill in enumerate(fills, 1):
        words = f"{grouped(fill.get('qty'))} at {_price(fill.get('price'))} ({clean(fill.get('px_source', '?'))}"
        words += f" {_price(fill['ref_px'])})" if fill.get("ref_px") is not None else ")"
        words += f", fee {grouped(fill.get('fee', '0'))}"
        done, left = _counted(done, fill.get("qty"), order.get("qty"))
        words += f", {grouped(left)} left" if left else ""
        if fill.get("position_after") is not None:
            words += f"; position {grouped(fill['position_after'])}, cash {grouped(fill.get('cash_after'), 2)}"
        yield Step(_ts(fill), f"fill {number}" if len(fills) > 1 else "fill", words, "green")


def _counted(before: str, qty: Any, wanted: Any) -> tuple[str, str]:
    """Return how much is filled with this fill, and what is left of what was wanted, "" for nothing."""
    from decimal import Decimal, InvalidOperation

    try:
        done = Decimal(before) + Decimal(str(qty))
        left = Decimal(str(wanted)) - done
    except InvalidOperation:
        return before, ""
    return f"{done:f}", f"{left:f}" if left > 0 else ""


def _end(story: dict[str, Any]) -> Iterator[Step]:
    """Tell what it cost, what it earned, what it opened or left, and whether the signal came true."""
    costs = _object(story.get("costs"))
    if costs and story.get("fills"):
        parts = [f"{name} {grouped(costs[name])}" for name in _COSTS if _is_something(costs.get(name))]
        yield Step(
            "",
            "costs",
            f"{grouped(costs.get('total', '?'))} in all" + (f": {', '.join(parts)}" if parts else ""),
            "dim",
        )
    if _is_something(story.get("realized_pnl")):
        yield Step("", "realized", grouped(story["realized_pnl"], 2, sign=True), "dim")
    for name, field in (("closed", "trades_closed"), ("opened", "trades_opened")):
        for trade in _objects(story.get(field)):
            yield Step("", name, _trade(trade), "dim")
    family = [("parent", [story.get("parent")]), ("sibling", story.get("siblings")), ("child", story.get("children"))]
    for name, orders in family:
        for order in _objects(orders):
            yield Step("", name, _relative(order), "dim")
    signal = _object(story.get("decision"))
    if signal.get("realized") is not None:
        hit = "" if signal.get("hit") is None else ", right" if signal["hit"] is True else ", wrong"
        came = f"{percent(signal['realized'], sign=True)} over {clean(signal.get('horizon', '?'))}"
        yield Step("", "came true", f"{came}{hit}", "dim")


def _relative(order: dict[str, Any]) -> str:
    """Return a related order in a phrase: its name, its deal and how it stands."""
    from daemon.cli.ctl import terms

    deal = _deal(order, Paint())
    prices = [
        f"{word} {_price(order[name])}"
        for name, word in (("limit_px", "limit"), ("stop_px", "stop"))
        if order.get(name)
    ]
    distance = terms.trail(order.get("terms"))
    said = " ".join([deal, *prices, *([distance] if distance else [])]) if order.get("symbol") else ""
    why = (
        f" ({clean(order['reason'])})" if order.get("status") in {"canceled", "expired"} and order.get("reason") else ""
    )
    told = f"{clean(order.get('client_order_id', '?'))}: "
    return f"{told}{f'{said}, ' if said else ''}{clean(order.get('status', '?'))}{why}"


def _trade(trade: dict[str, Any]) -> str:
    entered = f"{_price(trade.get('entry_px'))} on {text.moment(trade.get('entry_ts', '?'))}"
    left = f"{_price(trade.get('exit_px'))} on {text.moment(trade.get('exit_ts', '?'))}"
    gain = f"{grouped(trade.get('pnl'), 2, sign=True)} ({percent(trade.get('return'), sign=True)})"
    return f"{grouped(trade.get('qty'))} from {entered} to {left}: {gain}, {clean(trade.get('exit_reason', '?'))}"


def _because(part: dict[str, Any]) -> str:
    why = "; ".join(clean(part[field]) for field in ("reason", "remedy") if part.get(field))
    code = f" ({clean(part['code'])})" if part.get("code") else ""
    return f": {why}{code}" if why or code else ""


def _many(count: Any, noun: str) -> str:
    return f"{grouped(count if count is not None else '0')} {noun}{'' if count == '1' else 's'}"


def _price(value: Any) -> str:
    return show.cell("price", value, Paint())


def _is_something(value: Any) -> bool:
    return value is not None and any(digit in "123456789" for digit in str(value))


def _ts(part: dict[str, Any]) -> str:
    return str(part.get("ts") or "")


def _since(before: str, now: str) -> str:
    """Return how long after the step before, "" for the first and for what came at once."""
    from datetime import datetime

    try:
        seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(before)).total_seconds()
    except ValueError:
        return ""
    return f"+{text.age(seconds)}" if seconds > 0 else ""


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
