"""Between the control surface and the core: a call becomes a command, the events of its frame become the answer.

Pure: nothing here reads a clock, a file or the core. What a call promises must be durable first, so the shell asks
:func:`reply_of` when the frame is committed and keeps the answer under :func:`reply_key`: the same key gives the same
answer and no second order, and :func:`params_digest` tells when a key comes back with other parameters.

Amounts in results are :class:`msgspec.Raw` numbers, so that they leave as plain decimals; encode with msgspec.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import msgspec

from actors.messages.alerts import AlertAcknowledged, AlertTested
from actors.messages.control import (
    DisableStrategy,
    EnableStrategy,
    Flatten,
    Halt,
    Kill,
    Reduce,
    ResetBreaker,
    RestrictSymbol,
    Resume,
    Unlatch,
)
from actors.messages.orders import CancelOrder, ReplaceOrder, SubmitOrder
from actors.messages.portfolio import DepositCash
from actors.risk.breaker_rows import WATCH_ALL
from actors.values import FixedPointError, Universe, parse_fixed
from daemon.control.calls import Call
from daemon.kernel.message import Message
from daemon.system.desk_reply import Standing, reply_of
from daemon.system.order_fields import ReadTime
from daemon.system.order_form import TEXT_MAX, FieldError, read_replace, read_submit, read_text

__all__ = ["METHODS", "Standing", "command_of", "operator_order_id", "params_digest", "reply_key", "reply_of"]

_BROKERS_OWN: Final = re.compile(r"O-\d+")
OPERATOR: Final = "operator"
"""Why an operator's order is there, as it stands in orders and trades."""

Resolve = Callable[[str], str]
"""Turns what a person calls an order (its order id or client order id) into the client order id."""


class _Terms(msgspec.Struct, frozen=True):
    """What a call is read against."""

    symbols: Mapping[str, int]
    portfolios: tuple[str, ...]
    decide_id: Callable[[Call], str]
    resolve: Resolve
    read_time: ReadTime | None


def operator_order_id(call: Call) -> str:
    """Name an operator's order after who asked and under which key: the same key never makes two orders.

    Raises:
        FieldError: the call has no key, so nothing would tell a repeated request from a second order.
    """
    if not call.request_id:
        message = "an order needs an id or a request_id, so that a repeated request makes no second order"
        raise FieldError(message, field="request_id", remedy="give id, or request_id")
    return f"op-{call.peer.uid}-{call.request_id}"


def command_of(
    call: Call,
    universe: Universe,
    portfolios: tuple[str, ...],
    decide_id: Callable[[Call], str] = operator_order_id,
    resolve: Resolve = str,
    read_time: ReadTime | None = None,
) -> Message:
    """Return what a call puts into the core: a command, or a fact from the edge (``alert.ack``, ``alert.test``).

    Args:
        call: with one of :data:`METHODS`.
        universe: of the run.
        portfolios: names; with one, a call need not say which.
        decide_id: names an order that was given no id.
        resolve: see :data:`Resolve`; by default the name is taken as it stands.
        read_time: reads the end of a gtd order; see :func:`daemon.system.order_form.read_submit`.

    Raises:
        FieldError: a parameter is missing or cannot be used; it names the field and what to do.
    """
    build = _BUILD.get(call.method)
    if build is None:
        message = f"{call.method} is nothing the core decides on"
        raise FieldError(message, field="method", code="UNKNOWN_METHOD", remedy="see tradingctl --help")
    return build(call, _Terms(_index(universe), portfolios, decide_id, resolve, read_time))


def params_digest(call: Call) -> str:
    """Return the SHA-256 of method and parameters, hex: equal for equal numbers, however they were written."""
    text = json.dumps([call.method, _canonical(call.params)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def reply_key(call: Call) -> str:
    """Return the key the answer is kept under, ``uid:request_id``; "" where the call has none."""
    return f"{call.peer.uid}:{call.request_id}" if call.request_id else ""


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _canonical(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(inner) for inner in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float, Decimal)):
        return ["number", _digits(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))]
    return [type(value).__name__, str(value)]


def _digits(number: Decimal) -> str:
    """Return a number without trailing zeros, exactly; Decimal's own ``normalize`` rounds to 28 digits."""
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return str(number)  # no number at all
    text = "".join(map(str, digits)).lstrip("0")
    kept = text.rstrip("0")
    return f"{'-' * sign}{kept}e{exponent + len(text) - len(kept)}" if kept else "0"


@lru_cache(maxsize=4)
def _index(universe: Universe) -> dict[str, int]:
    return universe.index()


# -- what each method means --------------------------------------------------------------------------------------------


def _why(call: Call) -> str:
    """Return the reason of a step; nothing is refused for how its reason was worded, and who took it is known."""
    text = "".join(c if c.isprintable() else " " for c in call.reason).strip()
    return text[:TEXT_MAX] or f"{call.method} by an operator"


def _submit(call: Call, terms: _Terms) -> SubmitOrder:
    given = call.params.get("id")
    if isinstance(given, str) and _BROKERS_OWN.fullmatch(given.strip()):
        message = f"the id {given!r} looks like one of the broker's own, so a cancel could mean either order"
        raise FieldError(message, field="id", code="BAD_ID", remedy="choose another, such as my-1")
    name = "" if given else terms.decide_id(call)
    return read_submit(
        call.params, terms.symbols, terms.portfolios, reason=OPERATOR, of_order=name, read_time=terms.read_time
    )


def _cancel(call: Call, terms: _Terms) -> CancelOrder:
    return CancelOrder(_order(call, terms), _why(call) if call.reason else OPERATOR)


def _replace(call: Call, terms: _Terms) -> ReplaceOrder:
    fields = {key: value for key, value in call.params.items() if key not in ("id", "order_id")}
    return read_replace({"id": _order(call, terms), **fields})


def _order(call: Call, terms: _Terms) -> str:
    given = call.params.get("id") or call.params.get("order_id")
    return terms.resolve(read_text(given, f"{call.method} takes the id of an order, as text", field="id"))


def _reset(call: Call, terms: _Terms) -> ResetBreaker:
    breaker = read_text(call.params.get("breaker"), "breaker.reset takes the name of a breaker", field="breaker")
    given = call.params.get("portfolio")
    whole = breaker in WATCH_ALL and given in (None, "")
    subject = call.params.get("subject")
    subject = "" if subject is None else read_text(subject, "subject is a feed, symbol or strategy", field="subject")
    portfolio = "" if whole else _portfolio(call, terms)
    if breaker in WATCH_ALL and not whole:
        message = f"the breaker {breaker} watches all portfolios, none of its own"
        raise FieldError(message, field="portfolio", code="UNKNOWN_BREAKER", remedy="leave portfolio out")
    return ResetBreaker(portfolio, breaker, _why(call), call.peer.by, subject)


def _restrict(call: Call, terms: _Terms) -> RestrictSymbol:
    given = call.params.get("symbol")
    symbol = terms.symbols.get(given) if isinstance(given, str) else None
    if symbol is None:
        message = f"there is no symbol {str(given)[:40]!r} in this run"
        raise FieldError(message, field="symbol", code="UNKNOWN_SYMBOL", remedy="see universe.symbols")
    return RestrictSymbol(symbol, call.method == "restricted.add", _why(call), call.peer.by)


def _strategy(call: Call) -> str:
    given = call.params.get("strategy") or call.params.get("name")
    return read_text(given, f"{call.method} takes the name of a strategy", field="strategy")


def _portfolio(call: Call, terms: _Terms) -> str:
    given = call.params.get("portfolio")
    if given is None and len(terms.portfolios) == 1:
        return terms.portfolios[0]
    if given not in terms.portfolios:
        names = ", ".join(terms.portfolios)
        what = f"{call.method} needs portfolio" if given is None else f"there is no portfolio {str(given)[:40]!r}"
        raise FieldError(what, field="portfolio", code="UNKNOWN_PORTFOLIO", remedy=f"name one of: {names}")
    return str(given)


def _cash(call: Call, terms: _Terms) -> DepositCash:
    given = call.params.get("amount")
    try:
        # Text is taken as well as numbers: an amount of money is exact or it is nothing.
        amount = parse_fixed(given if given is not None else "")
    except FixedPointError as error:
        text = f"{call.method} takes an amount: {error}"
        raise FieldError(text, field="amount", code="BAD_AMOUNT", remedy="write it as a plain decimal") from None
    if amount <= 0:
        message = f"{call.method} takes an amount above 0"
        remedy = "use cash.withdraw to take cash out" if call.method == "cash.deposit" else "name what to take out"
        raise FieldError(message, field="amount", code="BAD_AMOUNT", remedy=remedy)
    signed = amount if call.method == "cash.deposit" else -amount
    return DepositCash(_portfolio(call, terms), signed, _why(call))


def _ack(call: Call, _: _Terms) -> AlertAcknowledged:
    given = call.params.get("alert_id") or call.params.get("id")
    alert = read_text(given, "alert.ack takes the id of an alert, as text", field="alert_id")
    return AlertAcknowledged(alert, call.peer.by, _why(call) if call.reason else "")


_BUILD: Final[dict[str, Callable[[Call, _Terms], Message]]] = {
    "halt": lambda call, _: Halt(_why(call), call.peer.by),
    "reduce": lambda call, _: Reduce(_why(call), call.peer.by),
    "flatten": lambda call, _: Flatten(_why(call), call.peer.by),
    "kill": lambda call, _: Kill(_why(call), call.peer.by),
    "resume": lambda call, _: Resume(_why(call), call.peer.by),
    "unlatch": lambda call, _: Unlatch(_why(call), call.peer.by),
    "order.submit": _submit,
    "order.cancel": _cancel,
    "order.replace": _replace,
    "breaker.reset": _reset,
    "restricted.add": _restrict,
    "restricted.remove": _restrict,
    "strategy.enable": lambda call, _: EnableStrategy(_strategy(call), _why(call), call.peer.by),
    "strategy.disable": lambda call, _: DisableStrategy(_strategy(call), _why(call), call.peer.by),
    "cash.deposit": _cash,
    "cash.withdraw": _cash,
    "alert.ack": _ack,
    "alert.test": lambda call, _: AlertTested(call.peer.by, _why(call)),
}
METHODS: Final = tuple(_BUILD)
"""Methods that become an input of the core."""
