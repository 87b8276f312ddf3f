"""One reading of an order's fields (``contract.md`` section 2), for the scripted trader and for ``order.submit``.

What cannot be told apart from another order (no id, no portfolio) is an error of whoever wrote it. What can be read but
asks for nonsense (an unknown symbol, a quantity that is no number) becomes an order that the gate denies with a code,
as it would deny anybody's, so that the answer stands in the journal.

Numbers keep the decimals they were written with: read JSON with ``parse_float=Decimal`` (or msgspec's ``float_hook``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from actors.messages.orders import BUY, SELL, OrderTerms, OrderType, ReplaceOrder, SubmitOrder, TimeInForce
from daemon.kernel.errors import UsageError
from daemon.system.order_fields import TERM_FIELDS, TEXT_MAX, Fields, ReadTime, shown
from daemon.system.when import TimeReader

__all__ = ["TEXT_MAX", "FieldError", "read_replace", "read_submit", "read_text"]

ORDER_FIELDS: Final = TERM_FIELDS | {
    "id",
    "symbol",
    "side",
    "qty",
    "type",
    "tif",
    "limit_px",
    "stop_px",
    "reduce_only",
    "portfolio",
    "algo",
}
REPLACE_FIELDS: Final = frozenset(("id", "qty", "limit_px", "stop_px"))
_SIDES: Final = {"buy": BUY, "sell": SELL}
_TIFS: Final = {OrderType.MARKET_ON_OPEN: TimeInForce.OPG, OrderType.MARKET_ON_CLOSE: TimeInForce.CLS}
"""What the time in force of an auction order is where it says none; a day order otherwise."""


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
    read_time: ReadTime | None = None,
) -> SubmitOrder:
    """Read the fields of an order.

    Args:
        body: the object that was written.
        symbols: symbol -> id of the run's universe.
        portfolios: names; with one, an order need not say which.
        reason: why the order is there, ``script`` or ``operator``.
        of_order: the client order id where the body need not have one, "" where it must.
        dust: drop what float arithmetic left behind the eighth decimal of a price; anything else is never rounded.
        read_time: reads ``expire_at``; a time needs its offset and a date is New York's unless told.

    Raises:
        FieldError: no object, no id, no portfolio that is known.
    """
    if not isinstance(body, dict):
        raise FieldError("submit takes an object with id, symbol, side, qty", field="submit")
    order_id = read_text(body.get("id") or of_order, "an order needs an id, as text", field="id")
    portfolio = _portfolio(body, portfolios, order_id)
    fields = Fields(body, dust=dust)
    fields.only(ORDER_FIELDS, "BAD_FIELD", "the field {} is not known or not supported for orders")
    symbol = body.get("symbol")
    symbol_id = symbols.get(symbol, -1) if isinstance(symbol, str) else -1
    side = _SIDES.get(body["side"], 0) if isinstance(body.get("side"), str) else 0
    if not side:
        fields.refuse("BAD_SIDE", f"side is buy or sell, not {shown(body.get('side'))}")
    order_type = fields.choice(OrderType, "type", OrderType.MARKET, "BAD_TYPE")
    tif = fields.choice(TimeInForce, "tif", _TIFS.get(order_type, TimeInForce.DAY), "BAD_TIF")
    qty = fields.number("qty", "BAD_QTY")
    if body.get("qty") is None:
        fields.refuse("BAD_QTY", "the order has no qty")
    return SubmitOrder(
        client_order_id=order_id,
        portfolio=portfolio,
        symbol=symbol_id,
        side=side or BUY,
        qty=qty or 0,
        type=order_type,
        tif=tif,
        limit_px=fields.price("limit_px"),
        stop_px=fields.price("stop_px"),
        reason=reason,
        reduce_only=fields.flag("reduce_only"),
        symbol_text="" if symbol_id >= 0 else str(symbol)[:TEXT_MAX],
        terms=_terms(fields, read_time),
        malformed=fields.problem,
        exempt=True,
    )


def _portfolio(body: Mapping[str, object], portfolios: tuple[str, ...], order_id: str) -> str:
    name = body.get("portfolio", portfolios[0] if len(portfolios) == 1 else None)
    if isinstance(name, str) and name in portfolios:
        return name
    what = "the order does not say which portfolio" if name is None else f"there is no portfolio {str(name)[:40]!r}"
    remedy = f"name one of: {', '.join(portfolios)}"
    raise FieldError(f"order {order_id}: {what}", field="portfolio", code="UNKNOWN_PORTFOLIO", remedy=remedy)


def _terms(fields: Fields, read_time: ReadTime | None) -> OrderTerms | None:
    return fields.terms(read_time or TimeReader(None, "America/New_York"))


def read_replace(body: object, *, dust: bool = False) -> ReplaceOrder:
    """Read new terms of a working order; ``dust`` as in :func:`read_submit`.

    Raises:
        FieldError: no object, or no id.
    """
    if not isinstance(body, dict) or not isinstance(body.get("id"), str):
        message = "replace takes an object with the id of an order and qty, limit_px or stop_px"
        raise FieldError(message, field="id")
    fields = Fields(body, dust=dust)
    fields.only(REPLACE_FIELDS, "BAD_FIELD", "the field {} cannot be replaced")
    if all(body.get(key) is None for key in ("qty", "limit_px", "stop_px")):
        fields.refuse("BAD_FIELD", "a replace names qty, limit_px or stop_px")
    return ReplaceOrder(
        client_order_id=body["id"],
        qty=fields.number("qty", "BAD_QTY"),
        limit_px=fields.price("limit_px"),
        stop_px=fields.price("stop_px"),
        malformed=fields.problem,
    )
