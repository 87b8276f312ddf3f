"""One reading of an order's fields (``contract.md`` section 2), for the scripted trader and for ``order.submit``.

What cannot be told apart from another order (no id, no portfolio) is an error of whoever wrote it. What can be read but
asks for nonsense (an unknown symbol, a quantity that is no number) becomes an order that the gate denies with a code,
as it would deny anybody's, so that the answer stands in the journal.

Numbers keep the decimals they were written with: read JSON with ``parse_float=Decimal`` (or msgspec's ``float_hook``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeVar

from actors.messages.orders import BUY, SELL, OrderType, ReplaceOrder, SubmitOrder, TimeInForce
from actors.values import FixedPointError, parse_fixed
from daemon.kernel.errors import UsageError

E = TypeVar("E", bound=StrEnum)

TEXT_MAX: Final = 200
"""Characters of an id or a reason: it is shown in tables, pages and terminals."""
ORDER_FIELDS: Final = frozenset(
    ("id", "symbol", "side", "qty", "type", "tif", "limit_px", "stop_px", "reduce_only", "portfolio")
)
REPLACE_FIELDS: Final = frozenset(("id", "qty", "limit_px", "stop_px"))
_SIDES: Final = {"buy": BUY, "sell": SELL}
_PRICE_STEP: Final = Decimal("0.00000001")
_NO_PRICE: Final = 12
"""Digits before the point of what is no price any more."""
_DUST: Final = Decimal("1e-14")
"""What float arithmetic may leave behind a price, as a fraction of it."""


class FieldError(UsageError):
    """A parameter that cannot be used; ``field`` names it."""

    def __init__(self, message: str, *, field: str, code: str = "BAD_FIELD", remedy: str = "") -> None:
        """Build an error; see :class:`daemon.kernel.errors.TradingdError`."""
        super().__init__(message, code=code, remedy=remedy)
        self.field = field


def read_text(value: object, message: str, *, field: str) -> str:
    """Return text that can be shown in one line.

    Raises:
        FieldError: with ``message``, where it is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise FieldError(message, field=field)
    if len(value) > TEXT_MAX or not value.isprintable():
        message = f"{message}: at most {TEXT_MAX} characters, all of them printable"
        raise FieldError(message, field=field)
    return value


def read_submit(
    body: object,
    symbols: Mapping[str, int],
    portfolios: tuple[str, ...],
    *,
    reason: str,
    of_order: str = "",
    dust: bool = False,
) -> SubmitOrder:
    """Read the fields of an order.

    Args:
        body: the object that was written.
        symbols: symbol -> id of the run's universe.
        portfolios: names; with one, an order need not say which.
        reason: why the order is there, ``script`` or ``operator``.
        of_order: the client order id where the body need not have one, "" where it must.
        dust: drop what float arithmetic left behind the eighth decimal of a price; anything else is never rounded.

    Raises:
        FieldError: no object, no id, no portfolio that is known.
    """
    if not isinstance(body, dict):
        raise FieldError("submit takes an object with id, symbol, side, qty", field="submit")
    order_id = read_text(body.get("id") or of_order, "an order needs an id, as text", field="id")
    portfolio = body.get("portfolio", portfolios[0] if len(portfolios) == 1 else None)
    if portfolio not in portfolios:
        named = portfolio is not None
        what = f"there is no portfolio {str(portfolio)[:40]!r}" if named else "the order does not say which portfolio"
        remedy = f"name one of: {', '.join(portfolios)}"
        raise FieldError(f"order {order_id}: {what}", field="portfolio", code="UNKNOWN_PORTFOLIO", remedy=remedy)
    problems: list[tuple[str, str]] = []
    unknown = [key for key in body if key not in ORDER_FIELDS]
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
        limit_px=_number(body, "limit_px", "BAD_PRICE", problems, dust=dust),
        stop_px=_number(body, "stop_px", "BAD_PRICE", problems, dust=dust),
        reason=reason,
        reduce_only=reduce_only,
        symbol_text="" if symbol_id >= 0 else str(symbol)[:TEXT_MAX],
        malformed=problems[0] if problems else None,
        exempt=True,
    )


def read_replace(body: object, *, dust: bool = False) -> ReplaceOrder:
    """Read new terms of a working order; ``dust`` as in :func:`read_submit`.

    Raises:
        FieldError: no object, or no id.
    """
    if not isinstance(body, dict) or not isinstance(body.get("id"), str):
        message = "replace takes an object with the id of an order and qty, limit_px or stop_px"
        raise FieldError(message, field="id")
    problems: list[tuple[str, str]] = []
    unknown = [key for key in body if key not in REPLACE_FIELDS]
    if unknown:
        problems.append(("BAD_FIELD", f"the field {unknown[0]} cannot be replaced"))
    if not any(key in body for key in ("qty", "limit_px", "stop_px")):
        problems.append(("BAD_FIELD", "a replace names qty, limit_px or stop_px"))
    return ReplaceOrder(
        client_order_id=body["id"],
        qty=_number(body, "qty", "BAD_QTY", problems),
        limit_px=_number(body, "limit_px", "BAD_PRICE", problems, dust=dust),
        stop_px=_number(body, "stop_px", "BAD_PRICE", problems, dust=dust),
        malformed=problems[0] if problems else None,
    )


def _number(
    body: dict[str, Any], key: str, code: str, problems: list[tuple[str, str]], *, dust: bool = False
) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, (bool, str)) and value not in ("NaN", "Infinity", "-Infinity"):
        problems.append((code, f"{key} is a number, not {json.dumps(value)}"))
        return None
    if dust and isinstance(value, Decimal) and value.is_finite() and value.adjusted() < _NO_PRICE:
        # 99.30000000000001 is what floats make of 3 x 33.1. What was meant to have more decimals stays, to be refused.
        near = value.quantize(_PRICE_STEP)
        value = near if abs(near - value) <= _DUST * abs(value) else value
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
