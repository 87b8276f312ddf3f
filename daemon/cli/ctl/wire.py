"""JSON for people who count: numbers pass through as the text they were typed or received as.

``450.10`` typed by an operator reaches the daemon as ``450.10``, and a price of 18 digits reaches the screen with all
of them, because neither is ever a float.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_GRAMMAR: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
DEPTH_MAX: Final = 64


class Number(str):
    """A JSON number as text."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Number:
        """Return a typed number.

        Raises:
            ValueError: JSON does not know this as a number (``.5``, ``1_000``, ``1,5``, ``nan``).
        """
        if _GRAMMAR.fullmatch(text) is None:
            raise ValueError(f"{text!r} is not a plain decimal number such as 450 or 0.25")
        return cls(text)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number")


_DECODER: Final = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_refuse)


def loads(text: str) -> Any:
    """Return a JSON value in which every number is a :class:`Number`.

    Raises:
        ValueError: not JSON, not finite, or nested deeper than 64 levels.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if _depth(value) > DEPTH_MAX:
        raise ValueError("the JSON is nested too deeply")
    return value


def _depth(value: Any) -> int:
    """Return how many containers lie in each other; walks level by level, so depth cannot hurt it."""
    depth, level = 0, [value]
    while level and depth <= DEPTH_MAX:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not any(isinstance(item, dict | list) for item in level):
            break
        depth, level = depth + 1, inner
    return depth


def dumps(value: Any) -> str:
    """Return JSON on one line: numbers as their text, and nothing in strings that a terminal would obey.

    Raises:
        TypeError: a value that JSON has no form for.
    """
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, str):
        return _string(value)
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_string(str(name))}: {dumps(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(dumps(item) for item in value) + "]"
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _string(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    if quoted.isprintable():
        return quoted
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in quoted)
