"""What an order says beyond side, quantity, type and price, in the few words that fit in a line."""

from __future__ import annotations

from typing import Any, Final

from daemon.cli.ctl import text

_MARKS: Final = {
    "post_only": "post-only",
    "do_not_reduce": "not reduced by dividends",
    "locate": "located",
}


def words(terms: Any) -> str:
    """Return terms as a phrase, such as ``trail 5 %, bracket 110.00 / 95.00``; "" for none."""
    if not isinstance(terms, dict):
        return ""
    told = [trail(terms)]
    told += [f"shows {text.grouped(terms['display_qty'])}"] if terms.get("display_qty") is not None else []
    told += [phrase for name, phrase in _MARKS.items() if terms.get(name) is True]
    until = terms.get("expire_at") or terms.get("expire_ts")
    told += [f"until {text.moment(until)}"] if until else []
    told += [_bracket(terms["bracket"])] if isinstance(terms.get("bracket"), dict) else []
    told += [f"exit of {text.clean(terms['bracket_of'])}"] if terms.get("bracket_of") else []
    told += [f"OCO {text.clean(terms['oco_group'])}"] if terms.get("oco_group") else []
    return ", ".join(part for part in told if part)


def trail(terms: Any) -> str:
    """Return the distance at which a stop trails, "" for none."""
    if not isinstance(terms, dict):
        return ""
    if terms.get("trail_percent") is not None:
        distance = f"trail {text.grouped(terms['trail_percent'])} %"
    elif terms.get("trail_amount") is not None:
        distance = f"trail {price(terms['trail_amount'])}"
    else:
        return ""
    if terms.get("activation_px"):
        distance += f" from {price(terms['activation_px'])} on"
    return distance + _stands(terms.get("trail"))


def standing(order: dict[str, Any]) -> dict[str, Any]:
    """Return an order with where its trail stands in the places where a person looks: its stop and its terms."""
    now, terms = order.get("trail"), order.get("terms")
    if not isinstance(now, dict):
        return order
    stop = order.get("stop_px") if order.get("stop_px") is not None else now.get("stop_px")
    return order | {"stop_px": stop, "terms": terms | {"trail": now} if isinstance(terms, dict) else terms}


def _stands(now: Any) -> str:
    if not isinstance(now, dict):
        return ""
    return " (triggered)" if now.get("triggered") is True else " (waits)" if now.get("activated") is False else ""


def _bracket(exits: dict[str, Any]) -> str:
    stop = price(exits["stop_px"]) if exits.get("stop_px") is not None else trail(exits)
    target = price(exits["take_profit_px"]) if exits.get("take_profit_px") is not None else ""
    return "bracket " + " / ".join(part for part in (target, stop) if part)


def price(value: Any) -> str:
    """Return a price with every digit it has, two at least."""
    digits = len(str(value).rstrip("0").partition(".")[2])
    return text.grouped(value, max(2, digits))
