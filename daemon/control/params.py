"""Checks a call against the table of methods: names, types, sizes. What values mean is the desk's business.

Standard library only, like the table, so that the command line can say the same sentences before it connects.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from daemon.control.methods import METHODS, Method, Param

TEXT_MAX: Final = 200
"""Characters of a text parameter: it is shown in tables, pages and terminals."""
REQUEST_ID_MAX: Final = 64
TEXTS_MAX: Final = 100
"""Entries of a list of text."""
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a call is refused before anybody sees it.

    Attributes:
        reason: stable upper-case code.
        message: one sentence.
        field: the parameter, "" for the method itself.
        remedy: what to do.
    """

    reason: str
    message: str
    field: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """The parts of a call that passed.

    Attributes:
        params: without ``reason`` and ``request_id``; entries that were null are left out.
        reason, request_id: "" where none was given.
        ignored: parameters of a lenient method that were not understood.
    """

    params: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    request_id: str = ""
    ignored: tuple[str, ...] = ()


def find_method(name: str) -> Method | Problem:
    """Return the method, or the problem with the nearest names."""
    method = METHODS.get(name)
    if method is not None:
        return method
    return Problem(
        "UNKNOWN_METHOD",
        f"there is no method {shown(name)}",
        "method",
        _suggestion(name, [*METHODS, "hello"]) or "see tradingctl --help for those there are",
    )


def check_params(method: Method, params: Mapping[str, Any]) -> Checked | Problem:
    """Check names and types.

    Args:
        method: of the table.
        params: as they were sent; null counts as not given.
    """
    if method.lenient:
        return read_leniently(method, params)
    known = {param.name: param for param in method.params}
    given: dict[str, Any] = {}
    for name, value in params.items():
        if method.mutating and name in ("reason", "request_id"):
            continue
        param = known.get(name)
        if param is None:
            return _unknown(method, name)
        if value is None:
            continue
        problem = None if param.judged else _mistyped(method, param, value)
        if problem is not None:
            return problem
        given[name] = value
    for param in method.params:
        if param.required and param.name not in given and not (param.judged and param.name in params):
            text = f"{method.name} needs {param.name}: {param.doc}"
            return Problem("MISSING_PARAM", text, param.name, f"for example: {method.example}")
    if not method.mutating:
        return Checked(given)
    return _with_reason(method, params, given)


def read_leniently(method: Method, params: Mapping[str, Any]) -> Checked:
    """Return what can be understood of a call that is never refused for its parameters, and what was not."""
    reason, request_id = params.get("reason"), params.get("request_id")
    ignored = [name for name in params if name not in ("reason", "request_id") and method.param(name) is None]
    return Checked(
        {},
        printable(reason) if isinstance(reason, str) else "",
        printable(request_id)[:REQUEST_ID_MAX] if isinstance(request_id, str) else "",
        tuple(printable(name)[:_SHOWN] for name in ignored[:8]),
    )


def shown(text: str) -> str:
    """Return text of a stranger as it may stand in a sentence, quoted and cut."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def printable(text: str) -> str:
    """Return text on one line without anything that a terminal or a log would obey, cut to :data:`TEXT_MAX`."""
    return "".join(c if c.isprintable() else " " for c in text[: 4 * TEXT_MAX]).strip()[:TEXT_MAX]


def _with_reason(method: Method, params: Mapping[str, Any], given: dict[str, Any]) -> Checked | Problem:
    reason = params.get("reason")
    if method.lane == 0:  # the safe direction is not refused for how its reason was worded
        reason = printable(reason) if isinstance(reason, str) else ""
    elif reason is not None and not (isinstance(reason, str) and _is_text(reason)):
        return _no_text(method, "reason")
    request_id = params.get("request_id")
    if request_id is not None and not (
        isinstance(request_id, str) and request_id and len(request_id) <= REQUEST_ID_MAX and request_id.isprintable()
    ):
        text = f"request_id of {method.name} is text of 1 to {REQUEST_ID_MAX} printable characters"
        return Problem("BAD_PARAM", text, "request_id", "use a new random id for each request")
    return Checked(given, reason or "", request_id or "")


def _unknown(method: Method, name: str) -> Problem:
    names = [param.name for param in method.params] + (["reason", "request_id"] if method.mutating else [])
    remedy = _suggestion(name, names) or (f"it takes {', '.join(names)}" if names else "it takes none")
    return Problem("UNKNOWN_PARAM", f"{method.name} has no parameter {shown(name)}", printable(name)[:_SHOWN], remedy)


def _mistyped(method: Method, param: Param, value: Any) -> Problem | None:
    if not _TYPES[param.type](value):
        if param.type == "text":
            return _no_text(method, param.name)
        text = f"{param.name} of {method.name} is {_WORDS[param.type]}"
        return Problem("BAD_PARAM", text, param.name, f"for example: {method.example}")
    if param.choices and value not in param.choices:
        text = f"{param.name} of {method.name} is one of {', '.join(param.choices)}"
        return Problem("BAD_PARAM", text, param.name, _suggestion(value, param.choices))
    return None


def _no_text(method: Method, name: str) -> Problem:
    text = f"{name} of {method.name} is text of 1 to {TEXT_MAX} printable characters on one line"
    return Problem("BAD_PARAM", text, name, f"for example: {method.example}")


def _suggestion(word: str, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(word[: 2 * _SHOWN], list(words), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_MAX and value.isprintable() and bool(value.strip())


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_TYPES: Final[dict[str, Callable[[Any], bool]]] = {
    "text": _is_text,
    "number": lambda value: _is_integer(value) or (isinstance(value, Decimal) and value.is_finite()),
    "integer": lambda value: _is_integer(value) and abs(value) < 2**63,
    "bool": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "texts": lambda value: isinstance(value, list) and len(value) <= TEXTS_MAX and all(map(_is_text, value)),
}
_WORDS: Final = {
    "number": "a number, such as 450 or 0.25",
    "integer": "a whole number",
    "bool": "true or false",
    "object": "an object",
    "texts": f"a list of at most {TEXTS_MAX} texts",
}
