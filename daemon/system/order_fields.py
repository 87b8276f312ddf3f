"""The fields of one JSON object that asks for an order, read one by one; what is wrong is kept, not raised.

Numbers keep the decimals they were written with: read JSON with ``parse_float=Decimal`` (or msgspec's ``float_hook``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from datetime import date, timedelta
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final, TypeVar

from actors.messages.orders import NO_TERMS, Bracket, OrderTerms
from actors.values import FixedPointError, parse_fixed
from actors.values.fixed import FIXED_MAX

E = TypeVar("E", bound=StrEnum)
ReadTime = Callable[[str], int]
"""Turns a time as people write it into nanoseconds UTC, or raises ``ValueError`` with a reason."""

TEXT_MAX: Final = 200
"""Characters of an id or a reason: it is shown in tables, pages and terminals."""
TERM_FIELDS: Final = frozenset(
    (
        "trail_amount",
        "trail_percent",
        "activation_px",
        "display_qty",
        "post_only",
        "expire_at",
        "bracket",
        "oco_group",
        "do_not_reduce",
        "locate",
    )
)
BRACKET_FIELDS: Final = ("take_profit_px", "stop_px", "trail_amount", "trail_percent", "activation_px")
_SHOWN_MAX: Final = 60
_NEAR: Final = 0.7
"""How alike the name of a field has to be to be the one that was meant, of 1."""
_ELSEWHERE: Final = {
    "quantity": "qty",
    "order_type": "type",
    "time_in_force": "tif",
    "client_order_id": "id",
    "price": "limit_px",
    "ticker": "symbol",
    "action": "side",
    "stop_loss": "bracket",
    "take_profit": "bracket",
    "good_till_date": "expire_at",
}
"""What other programs call these fields."""
_NOT_FINITE: Final = ("NaN", "Infinity", "-Infinity")
"""What JSON's extensions leave where a number was meant."""
_PRICE_STEP: Final = Decimal("0.00000001")
_NO_PRICE: Final = 12
"""Digits before the point of what is no price any more."""
_DUST: Final = Decimal("1e-14")
"""What float arithmetic may leave behind a price, as a fraction of it."""


def shown(value: object) -> str:
    """Return a value of somebody else's as it may stand in a sentence."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "..."


class Fields:
    """See the module.

    Attributes:
        problems: (code, sentence) of everything that could not be read, in the order of reading.
    """

    def __init__(
        self,
        body: Mapping[str, Any],
        *,
        dust: bool = False,
        of: str = "",
        problems: list[tuple[str, str]] | None = None,
    ) -> None:
        """Read a body.

        Args:
            body: the object that was written; null counts as not given.
            dust: drop what float arithmetic left behind the eighth decimal of a price; anything else is never rounded.
            of: what stands before a field's name in sentences, ``bracket.`` or "".
            problems: where to keep them.
        """
        self._body = body
        self._dust = dust
        self._of = of
        self.problems: list[tuple[str, str]] = [] if problems is None else problems

    @property
    def problem(self) -> tuple[str, str] | None:
        """The first thing that could not be read, or None."""
        return self.problems[0] if self.problems else None

    def refuse(self, code: str, sentence: str) -> None:
        """Keep a problem."""
        self.problems.append((code, sentence))

    def only(self, known: Collection[str], code: str, sentence: str) -> None:
        """Note the first field that is not known; ``{}`` in the sentence is its name."""
        unknown = next((key for key in self._body if key not in known), None)
        if unknown is not None:
            name = self._of + unknown[:_SHOWN_MAX]
            asked = unknown[:_SHOWN_MAX].lower()
            near = [_ELSEWHERE[asked]] if asked in _ELSEWHERE else get_close_matches(asked, sorted(known), 1, _NEAR)
            hint = f"; did you mean {near[0]}?" if near and near[0] in known else ""
            self.refuse(code, sentence.format(name if name.isprintable() else shown(name)) + hint)

    def number(self, key: str, code: str, *, price: bool = False) -> int | None:
        """Return a number in units of 1e-8, exactly as it was written; None where none was, or none can be read."""
        value = self._body.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not (isinstance(value, int | float | Decimal) or value in _NOT_FINITE):
            self.refuse(code, f"{self._of}{key} is a number, not {shown(value)}")
            return None
        if price and self._dust and isinstance(value, Decimal) and value.is_finite() and value.adjusted() < _NO_PRICE:
            # 99.30000000000001 is what floats make of 3 x 33.1. What was meant to have more decimals stays, and is
            # refused.
            near = value.quantize(_PRICE_STEP)
            value = near if abs(near - value) <= _DUST * abs(value) else value
        try:
            return parse_fixed(value)
        except FixedPointError as error:
            self.refuse(code, f"{self._of}{key}: {error}")
            return None

    def price(self, key: str, code: str = "BAD_PRICE") -> int | None:
        """Return a price; dust of floats is dropped where that was asked for."""
        return self.number(key, code, price=True)

    def flag(self, key: str) -> bool:
        """Return true or false, false where nothing was said."""
        value = self._body.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.refuse("BAD_FIELD", f"{key} is true or false, not {shown(value)}")
        return False

    def choice(self, kind: type[E], key: str, default: E, code: str) -> E:
        """Return a member of an enumeration."""
        value = self._body.get(key)
        if value is None:
            return default
        try:
            return kind(value)
        except ValueError:
            self.refuse(code, f"{key} {shown(value)} is not one of {', '.join(kind)}")
            return default

    def text(self, key: str) -> str:
        """Return text that can be shown in one line, "" where nothing was said."""
        value = self._body.get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or not value.strip():
            self.refuse("BAD_FIELD", f"{key} is text, not {shown(value)}")
            return ""
        if len(value) > TEXT_MAX or not value.isprintable():
            self.refuse("BAD_FIELD", f"{key} is text of at most {TEXT_MAX} characters, all of them printable")
            return ""
        return value

    # -- terms -----------------------------------------------------------------------------------------------------

    def terms(self, read_time: ReadTime) -> OrderTerms | None:
        """Return what the order says beyond quantity, price and time in force; None where that is nothing."""
        if self._body.get("algo") is not None:
            self.refuse("BAD_FIELD", "algo is not built yet: no order is worked by an algorithm; leave it out")
        if TERM_FIELDS.isdisjoint(self._body):
            return None
        terms = OrderTerms(
            trail_amount=self.price("trail_amount", "BAD_TRAIL"),
            trail_percent=self.number("trail_percent", "BAD_TRAIL"),
            activation_px=self.price("activation_px", "BAD_TRAIL"),
            display_qty=self.number("display_qty", "BAD_DISPLAY"),
            post_only=self.flag("post_only"),
            expire_ts=self._expiry(read_time),
            oco_group=self.text("oco_group"),
            bracket=self._bracket(),
            do_not_reduce=self.flag("do_not_reduce"),
            locate=self.flag("locate"),
        )
        return None if terms == NO_TERMS else terms

    def _bracket(self) -> Bracket | None:
        value = self._body.get("bracket")
        if value is None:
            return None
        if not isinstance(value, dict):
            self.refuse("BAD_BRACKET", f"bracket is an object with {', '.join(BRACKET_FIELDS)}, not {shown(value)}")
            return None
        inner = Fields(value, dust=self._dust, of="bracket.", problems=self.problems)
        inner.only(
            BRACKET_FIELDS, "BAD_BRACKET", f"the field {{}} is not known; a bracket has {', '.join(BRACKET_FIELDS)}"
        )
        read = {name: inner.number(name, "BAD_BRACKET", price=name != "trail_percent") for name in BRACKET_FIELDS}
        return Bracket(**read)

    def _expiry(self, read_time: ReadTime) -> int | None:
        value = self._body.get("expire_at")
        if value is None:
            return None
        if not isinstance(value, str):
            self.refuse("BAD_EXPIRY", f"expire_at is a time or a date as text, not {shown(value)}")
            return None
        try:
            stamp = read_time(_end_of(value))
        except (ValueError, OverflowError) as error:
            self.refuse("BAD_EXPIRY", f"expire_at: {error}")
            return None
        if abs(stamp) > FIXED_MAX:
            self.refuse("BAD_EXPIRY", f"expire_at {shown(value)} is not a time of these centuries")
            return None
        return stamp


def _end_of(text: str) -> str:
    """Return the day behind a date alone, at whose midnight the date is over; a time stays as it is."""
    try:
        day = date.fromisoformat(text) if len(text) == len("2024-01-02") else None
    except ValueError:
        return text  # whoever reads times says what is wrong with it
    return text if day is None else (day + timedelta(days=1)).isoformat()
