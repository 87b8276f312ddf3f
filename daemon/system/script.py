"""A scripted trader (``contract.md`` section 2): JSON lines of orders and operator commands, for testing fills.

A line that cannot be read is an error of the file and names the line. A line that can be read but asks for
nonsense (an unknown symbol, a quantity that is no number) becomes an order that the gate denies with a code, as it
would deny anybody's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from actors.messages.control import Flatten, Halt, Kill, Reduce, Resume
from actors.messages.orders import (
    BUY,
    SELL,
    CancelOrder,
    OrderStatus,
    OrderType,
    ReplaceOrder,
    SubmitOrder,
    TimeInForce,
)
from actors.values import FixedPointError, parse_fixed
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Command

E = TypeVar("E", bound=StrEnum)

BY: Final = "script"
TEXT_MAX: Final = 200
"""Characters of an id or a reason: it is shown in tables, pages and terminals."""
_CONTROLS: Final[dict[str, Callable[[str, str], Command]]] = {
    "halt": Halt,
    "reduce": Reduce,
    "resume": Resume,
    "flatten": Flatten,
    "kill": Kill,
}
_VERBS: Final = ("submit", "cancel", "replace", *_CONTROLS)
_SIDES: Final = {"buy": BUY, "sell": SELL}
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_ORDER_FIELDS: Final = frozenset(
    ("id", "symbol", "side", "qty", "type", "tif", "limit_px", "stop_px", "reduce_only", "portfolio")
)
_REPLACE_FIELDS: Final = frozenset(("id", "qty", "limit_px", "stop_px"))
_PRICE_STEP: Final = Decimal("0.00000001")
_NO_PRICE: Final = 12
"""Digits before the point of what is no price any more."""


class Rank(IntEnum):
    """Who goes first at one instant in replay (design section 3)."""

    CONTROL = 0
    EXECUTION = 1
    MARKET = 2
    PREDICTION = 3
    TIMER = 4


class ScriptLine(msgspec.Struct, frozen=True):
    """One line: what, and when.

    Attributes:
        number: line in the file, from 1.
        at: nanoseconds UTC, or None for the first event of the replay (where ``after`` is None too).
        after: (client order id, status) to wait for, or None.
        command: what then comes in.
        rank: its place at one instant.
    """

    number: int
    at: int | None
    after: tuple[str, OrderStatus] | None
    command: Command
    rank: Rank


class _LineError(Exception):
    """A line of the file cannot be read."""


def read_script(
    path: Path, symbols: Mapping[str, int], portfolios: tuple[str, ...], parse_time: Callable[[str], int]
) -> list[ScriptLine]:
    """Read a script.

    Args:
        path: of the file.
        symbols: symbol -> id of the run's universe.
        portfolios: names; with one, a line need not say which.
        parse_time: turns a time into nanoseconds UTC or raises ``ValueError`` with a reason.

    Raises:
        OperatorError: the file is not readable or one line is not; the sentence names file and line.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is not UTF-8 text ({error.reason})"
        message = f"the orders file {path} cannot be read: {reason}"
        raise OperatorError(message, code="BAD_SCRIPT", remedy="name a readable text file of JSON lines") from error
    lines: list[ScriptLine] = []
    seen: dict[str, int] = {}
    for number, raw in enumerate(text.split("\n"), start=1):  # splitlines would cut inside a JSON text
        if not raw.strip():
            continue
        try:
            line = _read_line(number, raw, symbols, portfolios, parse_time)
        except _LineError as error:
            message = f"{path}, line {number}: {error}"
            raise OperatorError(message, code="BAD_SCRIPT") from None
        if isinstance(line.command, SubmitOrder):
            seen.setdefault(line.command.client_order_id, number)
        lines.append(line)
    if not lines:
        message = f"the orders file {path} is empty"
        raise OperatorError(message, code="BAD_SCRIPT", remedy="write one JSON object per line")
    for line in lines:
        if line.after is not None and line.after[0] not in seen:
            message = f"{path}, line {line.number}: it waits for the order {line.after[0]!r}, which no line submits"
            raise OperatorError(message, code="BAD_SCRIPT")
    return lines


def _read_line(
    number: int,
    raw: str,
    symbols: Mapping[str, int],
    portfolios: tuple[str, ...],
    parse_time: Callable[[str], int],
) -> ScriptLine:
    try:
        entry = json.loads(raw, parse_float=Decimal, parse_constant=str, object_pairs_hook=_no_repeats)
    except json.JSONDecodeError as error:
        message = f"this is not JSON ({error.msg} at column {error.colno})"
        raise _LineError(message) from None
    except (RecursionError, ValueError):
        message = "this is nested too deep, or has a number too long"
        raise _LineError(message) from None
    if _SURROGATE.search(raw) and not _is_unicode(entry):
        message = "it holds half of a surrogate pair, which is no text"
        raise _LineError(message)
    if not isinstance(entry, dict):
        message = f"a line is one JSON object, not {raw.strip()[:40]!r}"
        raise _LineError(message)
    verbs = [verb for verb in _VERBS if verb in entry]
    if len(verbs) != 1:
        message = f"a line needs exactly one of {', '.join(_VERBS)}; it has {', '.join(verbs) or 'none'}"
        raise _LineError(message)
    verb = verbs[0]
    unknown = [key for key in entry if key not in ("at", "after", verb)]
    if unknown:
        message = f"the key {unknown[0]!r} is not known; a line has at or after, and {verb}"
        raise _LineError(message)
    at, after = _read_when(entry, parse_time)
    body = entry[verb]
    if verb == "submit":
        return ScriptLine(number, at, after, _read_submit(body, symbols, portfolios), Rank.PREDICTION)
    if verb == "cancel":
        return ScriptLine(
            number, at, after, CancelOrder(_text(body, "cancel takes the id of an order, as text"), BY), Rank.PREDICTION
        )
    if verb == "replace":
        return ScriptLine(number, at, after, _read_replace(body), Rank.PREDICTION)
    reason = _text(body.get("reason") if isinstance(body, dict) else None, f'{verb} takes {{"reason": "..."}}')
    return ScriptLine(number, at, after, _CONTROLS[verb](reason, BY), Rank.CONTROL)


def _text(value: object, message: str) -> str:
    """Return text that can be shown in one line."""
    if not isinstance(value, str) or not value.strip():
        raise _LineError(message)
    if len(value) > TEXT_MAX or not value.isprintable():
        message = f"{message}: at most {TEXT_MAX} characters, all of them printable"
        raise _LineError(message)
    return value


def _is_unicode(entry: object) -> bool:
    try:
        json.dumps(entry, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for key, value in pairs:
        if key in entry:
            message = f"the key {key!r} stands there twice"
            raise _LineError(message)
        entry[key] = value
    return entry


def _read_when(
    entry: dict[str, Any], parse_time: Callable[[str], int]
) -> tuple[int | None, tuple[str, OrderStatus] | None]:
    if ("at" in entry) == ("after" in entry):
        message = "a line needs either at or after"
        raise _LineError(message)
    if "at" in entry:
        at = entry["at"]
        if at is None:
            return None, None
        if not isinstance(at, str):
            message = f"at is a time as text, or null, not {at!r}"
            raise _LineError(message)
        try:
            return parse_time(at), None
        except ValueError as error:
            raise _LineError(str(error)) from None
    after = entry["after"]
    if not isinstance(after, dict) or sorted(after) != ["order", "status"] or not isinstance(after["order"], str):
        message = 'after is {"order": "id", "status": "filled"}'
        raise _LineError(message)
    try:
        status = OrderStatus(after["status"])
    except ValueError:
        message = f"{after['status']!r} is no order status; use one of {', '.join(OrderStatus)}"
        raise _LineError(message) from None
    return None, (after["order"], status)


def _read_submit(body: object, symbols: Mapping[str, int], portfolios: tuple[str, ...]) -> SubmitOrder:
    if not isinstance(body, dict):
        message = "submit takes an object with id, symbol, side, qty"
        raise _LineError(message)
    order_id = _text(body.get("id"), "an order needs an id, as text")
    portfolio = body.get("portfolio", portfolios[0] if len(portfolios) == 1 else None)
    if portfolio not in portfolios:
        message = f"the order {order_id} needs portfolio, one of {', '.join(portfolios)}"
        raise _LineError(message)
    problems: list[tuple[str, str]] = []
    unknown = [key for key in body if key not in _ORDER_FIELDS]
    if unknown:
        problems.append(("BAD_FIELD", f"the field {unknown[0]} is not known or not supported for orders"))
    symbol = body.get("symbol")
    symbol_id = symbols.get(symbol, -1) if isinstance(symbol, str) else -1
    side = _SIDES.get(body["side"], 0) if isinstance(body.get("side"), str) else 0
    if not side:
        problems.append(("BAD_SIDE", f"side is buy or sell, not {body.get('side')!r}"))
    order_type = _enum(OrderType, body.get("type", "market"), OrderType.MARKET, "type", "BAD_TYPE", problems)
    tif = _enum(TimeInForce, body.get("tif", "day"), TimeInForce.DAY, "tif", "BAD_TIF", problems)
    qty = _number(body, "qty", "BAD_QTY", problems)
    if qty is None and "qty" not in body:
        problems.append(("BAD_QTY", "the order has no qty"))
    reduce_only = body.get("reduce_only", False)
    if not isinstance(reduce_only, bool):
        problems.append(("BAD_FIELD", f"reduce_only is true or false, not {reduce_only!r}"))
        reduce_only = False
    return SubmitOrder(
        client_order_id=order_id,
        portfolio=portfolio,
        symbol=symbol_id,
        side=side or BUY,
        qty=qty or 0,
        type=order_type,
        tif=tif,
        limit_px=_number(body, "limit_px", "BAD_PRICE", problems),
        stop_px=_number(body, "stop_px", "BAD_PRICE", problems),
        reason=BY,
        reduce_only=reduce_only,
        symbol_text="" if symbol_id >= 0 else str(symbol)[:TEXT_MAX],
        malformed=problems[0] if problems else None,
        exempt=True,
    )


def _read_replace(body: object) -> ReplaceOrder:
    if not isinstance(body, dict) or not isinstance(body.get("id"), str):
        message = "replace takes an object with the id of an order and qty, limit_px or stop_px"
        raise _LineError(message)
    problems: list[tuple[str, str]] = []
    unknown = [key for key in body if key not in _REPLACE_FIELDS]
    if unknown:
        problems.append(("BAD_FIELD", f"the field {unknown[0]} cannot be replaced"))
    if not any(key in body for key in ("qty", "limit_px", "stop_px")):
        problems.append(("BAD_FIELD", "a replace names qty, limit_px or stop_px"))
    return ReplaceOrder(
        client_order_id=body["id"],
        qty=_number(body, "qty", "BAD_QTY", problems),
        limit_px=_number(body, "limit_px", "BAD_PRICE", problems),
        stop_px=_number(body, "stop_px", "BAD_PRICE", problems),
        malformed=problems[0] if problems else None,
    )


def _number(body: dict[str, Any], key: str, code: str, problems: list[tuple[str, str]]) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, (bool, str)) and value not in ("NaN", "Infinity", "-Infinity"):
        problems.append((code, f"{key} is a number, not {json.dumps(value)}"))
        return None
    if key.endswith("_px") and isinstance(value, Decimal) and value.is_finite() and value.adjusted() < _NO_PRICE:
        # 99.30000000000001 is what floats make of 3 x 33.1, and no price has more digits than the ledger.
        value = value.quantize(_PRICE_STEP)
    try:
        return parse_fixed(value)
    except FixedPointError as error:
        problems.append((code, f"{key}: {error}"))
        return None


def _enum(kind: type[E], value: object, default: E, name: str, code: str, problems: list[tuple[str, str]]) -> E:
    try:
        return kind(str(value))
    except ValueError:
        problems.append((code, f"{name} {value!r} is not one of {', '.join(kind)}"))
        return default
