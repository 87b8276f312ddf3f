"""A scripted trader (``contract.md`` section 2): JSON lines of orders and operator commands, for testing fills.

A line that cannot be read is an error of the file and names the line. A line that can be read but asks for
nonsense (an unknown symbol, a quantity that is no number) becomes an order that the gate denies with a code, as it
would deny anybody's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from actors.messages.control import Flatten, Halt, Kill, Reduce, Resume
from actors.messages.orders import CancelOrder, OrderStatus, ReplaceOrder, SubmitOrder
from actors.values.order_names import exit_ids, opening_id
from daemon.kernel.errors import OperatorError
from daemon.kernel.message import Command
from daemon.system.order_form import FieldError, read_replace, read_submit, read_text

BY: Final = "script"
Asked = TypeVar("Asked", SubmitOrder, ReplaceOrder)
_CONTROLS: Final[dict[str, Callable[[str, str], Command]]] = {
    "halt": Halt,
    "reduce": Reduce,
    "resume": Resume,
    "flatten": Flatten,
    "kill": Kill,
}
VERBS: Final = ("submit", "cancel", "replace", *_CONTROLS)
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


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
        except (_LineError, FieldError) as error:
            message = f"{path}, line {number}: {error}"
            raise OperatorError(message, code="BAD_SCRIPT") from None
        if isinstance(line.command, SubmitOrder):
            for name in _names(line.command):
                seen.setdefault(name, number)
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
    except (RecursionError, ValueError, InvalidOperation):
        message = "this is nested too deep, or has a number too long"
        raise _LineError(message) from None
    if _SURROGATE.search(raw) and not _is_unicode(entry):
        message = "it holds half of a surrogate pair, which is no text"
        raise _LineError(message)
    if not isinstance(entry, dict):
        message = f"a line is one JSON object, not {raw.strip()[:40]!r}"
        raise _LineError(message)
    verbs = [verb for verb in VERBS if verb in entry]
    if len(verbs) != 1:
        message = f"a line needs exactly one of {', '.join(VERBS)}; it has {', '.join(verbs) or 'none'}"
        raise _LineError(message)
    verb = verbs[0]
    unknown = [key for key in entry if key not in ("at", "after", verb)]
    if unknown:
        message = f"the key {unknown[0]!r} is not known; a line has at or after, and {verb}"
        raise _LineError(message)
    at, after = _read_when(entry, parse_time)
    body = entry[verb]
    if verb == "submit":
        order = read_submit(body, symbols, portfolios, reason=BY, dust=True, read_time=parse_time)
        return ScriptLine(number, at, after, _named(order, number), Rank.PREDICTION)
    if verb == "cancel":
        order_id = read_text(body, "cancel takes the id of an order, as text", field="cancel")
        return ScriptLine(number, at, after, CancelOrder(order_id, BY), Rank.PREDICTION)
    if verb == "replace":
        return ScriptLine(number, at, after, _named(read_replace(body, dust=True), number), Rank.PREDICTION)
    given = body.get("reason") if isinstance(body, dict) else None
    reason = read_text(given, f'{verb} takes {{"reason": "..."}}', field="reason")
    return ScriptLine(number, at, after, _CONTROLS[verb](reason, BY), Rank.CONTROL)


def _named(command: Asked, number: int) -> Asked:
    """Let what could not be read say in which line it stands: the gate denies with these words."""
    if command.malformed is None:
        return command
    code, sentence = command.malformed
    return msgspec.structs.replace(command, malformed=(code, f"line {number}: {sentence}"))


def _names(order: SubmitOrder) -> tuple[str, ...]:
    """Return what orders may come of one: itself, the exits of its bracket, the half that opens when it flips."""
    own = order.client_order_id
    exits = exit_ids(own) if order.terms is not None and order.terms.bracket is not None else ()
    return (own, opening_id(own), *exits)


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
