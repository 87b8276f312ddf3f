"""The control protocol without any I/O: bytes in, requests and refusals out; answers in, bytes out.

Newline-delimited JSON-RPC 2.0, narrowed: ``hello`` comes first, parameters go by name, a request has an id (text or a
whole number), there are no batches and no notifications from clients. Whatever is not understood is answered; what
cannot be told from garbage is answered and ends the conversation, because the next line is as doubtful as this one.

Rule: everything about the conversation's state stands in :data:`STATES`. Nothing here raises on what a peer sends.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec

from daemon.kernel.state_machine import StateMachine

API: Final = 1
FRAME_BYTES_MAX: Final = 65_536
"""A line of a client, without its newline (contract section 5)."""
ANSWER_BYTES_MAX: Final = 4 << 20
"""A line of the daemon; lists have a limit parameter to stay below."""
DEPTH_MAX: Final = 16
ID_CHARS_MAX: Final = 64
NUMBER_CHARS_MAX: Final = 64
CLIENT_CHARS_MAX: Final = 64
METHOD_CHARS_MAX: Final = 64


class Code:
    """Numbers of errors: JSON-RPC's own, then this protocol's."""

    PARSE = -32700
    INVALID_REQUEST = -32600
    UNKNOWN_METHOD = -32601
    INVALID_PARAMS = -32602
    INTERNAL = -32603
    NEEDS_HELLO = -32000
    FORBIDDEN = -32001
    BUSY = -32002
    UNKNOWN_OUTCOME = -32003
    """No answer in time: whether it was done is not known."""
    REFUSED = -32004
    """The daemon understood and will not."""
    NOT_READY = -32005
    NOT_DURABLE = -32006
    CLOSED = -32007
    """The connection ends, for a reason that no request is to blame for."""


class State(StrEnum):
    """Of a conversation."""

    AWAITING_HELLO = "awaiting hello"
    OPEN = "open"
    CLOSING = "closing"


class Trigger(StrEnum):
    """What can happen to a conversation."""

    HELLO = "a good hello"
    BAD_HELLO = "a hello that cannot be taken"
    REQUEST = "a request"
    BAD_REQUEST = "JSON that is no request"
    GARBAGE = "a line that is no JSON"
    END = "the end of what the peer sends"


STATES: Final = StateMachine(
    "control conversation",
    {
        (State.AWAITING_HELLO, Trigger.HELLO): State.OPEN,
        (State.AWAITING_HELLO, Trigger.BAD_HELLO): State.CLOSING,
        (State.AWAITING_HELLO, Trigger.REQUEST): State.CLOSING,
        (State.AWAITING_HELLO, Trigger.BAD_REQUEST): State.CLOSING,
        (State.AWAITING_HELLO, Trigger.GARBAGE): State.CLOSING,
        (State.AWAITING_HELLO, Trigger.END): State.CLOSING,
        (State.OPEN, Trigger.HELLO): State.OPEN,
        (State.OPEN, Trigger.BAD_HELLO): State.OPEN,
        (State.OPEN, Trigger.REQUEST): State.OPEN,
        (State.OPEN, Trigger.BAD_REQUEST): State.OPEN,
        (State.OPEN, Trigger.GARBAGE): State.CLOSING,
        (State.OPEN, Trigger.END): State.CLOSING,
        (State.CLOSING, Trigger.HELLO): State.CLOSING,
        (State.CLOSING, Trigger.BAD_HELLO): State.CLOSING,
        (State.CLOSING, Trigger.REQUEST): State.CLOSING,
        (State.CLOSING, Trigger.BAD_REQUEST): State.CLOSING,
        (State.CLOSING, Trigger.GARBAGE): State.CLOSING,
        (State.CLOSING, Trigger.END): State.CLOSING,
    },
)

Id = str | int | None


@dataclass(frozen=True, slots=True)
class Hello:
    """A good ``hello``; the shell answers it, because it knows who is at the other end."""

    id: Id
    client: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request in an open conversation. Its method may not exist, its parameters may be nonsense."""

    id: Id
    method: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that the protocol gives by itself.

    Attributes:
        reason: stable upper-case code, as in ``line``.
        line: to be sent.
        method: what was asked for, "" where that could not be read.
    """

    reason: str
    line: bytes
    method: str = ""


class _NotJsonError(ValueError):
    """With the sentence for the peer."""


class Conversation:
    """One connection's side of the protocol: feed it bytes, ask it for what they say."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        """Begin by waiting for ``hello``."""
        self.state = State.AWAITING_HELLO
        self._max = frame_bytes_max
        self._buffer = bytearray()
        self._looked = 0

    @property
    def partial(self) -> bool:
        """Tell whether a line was begun and not finished."""
        return bool(self._buffer) and not self.closing

    @property
    def closing(self) -> bool:
        """Tell whether nothing more is taken."""
        return self.state is State.CLOSING

    @property
    def more(self) -> bool:
        """Tell whether a whole line waits that :meth:`receive` had no room for."""
        return not self.closing and self._looked < len(self._buffer)

    def receive(self, data: bytes, lines_max: int = 1 << 30) -> list[Hello | Request | Refusal]:
        """Take bytes and return what they complete, in order; nothing once the conversation is closing.

        Args:
            data: what came, b"" to go on with lines that wait.
            lines_max: no more than these; see :attr:`more`.
        """
        found: list[Hello | Request | Refusal] = []
        if self.closing:
            return found
        self._buffer += data
        start = 0
        while not self.closing:
            end = self._buffer.find(b"\n", max(start, self._looked))
            if end < 0:
                self._looked = len(self._buffer)
                break
            if len(found) >= lines_max:
                self._looked = end
                break
            found.append(self._line(bytes(self._buffer[start:end])))
            start = end + 1
        if not self.closing and self._looked - start > self._max:
            found.append(self._too_long())
        if self.closing:
            self._buffer.clear()
            self._looked = 0
            return found
        del self._buffer[:start]
        self._looked -= start
        return found

    def end(self) -> list[Refusal]:
        """Take the end of what the peer sends; a line that was begun is answered."""
        left = self.partial
        self._next(Trigger.END)
        self._buffer.clear()
        self._looked = 0
        if not left:
            return []
        return [refusal(None, Code.PARSE, "UNFINISHED_LINE", "the last line has no newline", remedy="end each line")]

    def _next(self, trigger: Trigger) -> None:
        self.state = STATES.next(self.state, trigger)

    def _too_long(self) -> Refusal:
        self._next(Trigger.GARBAGE)
        self._buffer.clear()
        text = f"a line is at most {self._max} bytes"
        return refusal(None, Code.PARSE, "FRAME_TOO_LONG", text, remedy="split what you ask for")

    def _line(self, line: bytes) -> Hello | Request | Refusal:
        if len(line) > self._max:
            return self._too_long()
        try:
            value = _decode(line)
        except _NotJsonError as error:
            self._next(Trigger.GARBAGE)
            return refusal(None, Code.PARSE, "NOT_JSON", str(error), remedy="send one JSON object per line")
        return self._judge(value)

    def _judge(self, value: Any) -> Hello | Request | Refusal:
        request = _request(value)
        if isinstance(request, Refusal):
            self._next(Trigger.BAD_REQUEST)
            return request
        if request.method == "hello":
            return self._hello(request)
        before = self.state
        self._next(Trigger.REQUEST)
        if before is State.AWAITING_HELLO:
            text = "a conversation begins with hello"
            remedy = 'send {"jsonrpc":"2.0","id":0,"method":"hello","params":{"api":1,"client":"name"}} first'
            return refusal(request.id, Code.NEEDS_HELLO, "NEEDS_HELLO", text, remedy=remedy, method=request.method)
        return request

    def _hello(self, request: Request) -> Hello | Refusal:
        problem = self._hello_problem(request)
        self._next(Trigger.HELLO if problem is None else Trigger.BAD_HELLO)
        return Hello(request.id, request.params["client"]) if problem is None else problem

    def _hello_problem(self, request: Request) -> Refusal | None:
        params, number = request.params, Code.INVALID_PARAMS
        if self.state is State.OPEN:
            text, remedy = "hello was said already", "go on with requests"
            return refusal(request.id, Code.REFUSED, "HELLO_TWICE", text, remedy=remedy, method="hello")
        api = params.get("api")
        if not isinstance(api, int) or isinstance(api, bool) or api != API:
            text = f"this daemon speaks api {API}"
            return refusal(request.id, number, "UNSUPPORTED_API", text, "api", f"say api {API}", "hello")
        client = params.get("client")
        if not isinstance(client, str) or not 0 < len(client) <= CLIENT_CHARS_MAX or not client.isprintable():
            text = f"client is the name of the program that calls, 1 to {CLIENT_CHARS_MAX} printable characters"
            return refusal(request.id, number, "BAD_PARAM", text, "client", "name your program", "hello")
        unknown = [name for name in params if name not in ("api", "client")]
        if unknown:
            text = f"hello has no parameter {unknown[0][:CLIENT_CHARS_MAX]!r}"
            return refusal(request.id, number, "UNKNOWN_PARAM", text, "", "it takes api, client", "hello")
        return None


# -- lines out ---------------------------------------------------------------------------------------------------------

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def result_line(request_id: Id, result: Any) -> bytes:
    """Return the line of a good answer.

    Raises:
        TypeError, ValueError: the result is nothing that JSON has a form for.
    """
    return _ENCODER.encode({"jsonrpc": "2.0", "id": request_id, "result": result}) + b"\n"


def error_line(request_id: Id, code: int, reason: str, message: str, field: str = "", remedy: str = "") -> bytes:
    """Return the line of an error; ``reason`` is the stable upper-case code."""
    data = {"reason": reason, "field": field, "remedy": remedy}
    error = {"code": code, "message": _unicode(message), "data": {key: _unicode(text) for key, text in data.items()}}
    return _ENCODER.encode({"jsonrpc": "2.0", "id": request_id, "error": error}) + b"\n"


def notification_line(method: str, params: dict[str, Any]) -> bytes:
    """Return a line that nobody asked for one by one: ``event``, ``heartbeat``, ``end``."""
    return _ENCODER.encode({"jsonrpc": "2.0", "method": method, "params": params}) + b"\n"


def refusal(
    request_id: Id, code: int, reason: str, message: str, field: str = "", remedy: str = "", method: str = ""
) -> Refusal:
    """Build a refusal with its line."""
    return Refusal(reason, error_line(request_id, code, reason, message, field, remedy), method)


# -- lines in ----------------------------------------------------------------------------------------------------------

# A string that does not end is taken to the end of the line, so that no quote is looked at twice.
_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def _decode(line: bytes) -> Any:
    """Return the JSON value of a line.

    Raises:
        _NotJsonError: with a sentence.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise _NotJsonError("this line is not UTF-8") from None
    if _depth(line) > DEPTH_MAX:  # before the decoder, which recurses
        raise _NotJsonError(f"this line is nested deeper than {DEPTH_MAX} levels")
    try:
        value = _DECODER.decode(text)
    except _NotJsonError:
        raise
    except json.JSONDecodeError as error:
        raise _NotJsonError(f"this line is not JSON: {error.msg} at column {error.colno}") from None
    except (ValueError, RecursionError, ArithmeticError):
        raise _NotJsonError("this line is not JSON that can be read") from None
    if "\\u" in text and _broken_text(value):
        raise _NotJsonError("this line holds half of a surrogate pair, which is no text")
    return value


def _depth(line: bytes) -> int:
    """Return how deep brackets nest outside strings, at least; counted by hand only where it could matter."""
    if line.count(b"[") + line.count(b"{") <= DEPTH_MAX:
        return 0
    depth = deepest = 0
    for byte in _STRINGS.sub(b"", line):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _number(text: str) -> Decimal:
    if len(text) > NUMBER_CHARS_MAX:
        raise _NotJsonError(f"a number is at most {NUMBER_CHARS_MAX} characters")
    return Decimal(text)


def _whole(text: str) -> int:
    if len(text) > NUMBER_CHARS_MAX:
        raise _NotJsonError(f"a number is at most {NUMBER_CHARS_MAX} characters")
    return int(text)


def _constant(text: str) -> Any:
    raise _NotJsonError(f"{text} is no number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotJsonError("an object holds the same key twice")
    return found


_DECODER: Final = json.JSONDecoder(
    parse_float=_number, parse_int=_whole, parse_constant=_constant, object_pairs_hook=_unique
)


def _broken_text(value: Any) -> bool:
    """Tell whether any text holds half of a surrogate pair. The depth is bounded already."""
    if isinstance(value, str):
        return _SURROGATE.search(value) is not None
    if isinstance(value, list):
        return any(_broken_text(item) for item in value)
    if isinstance(value, dict):
        return any(_broken_text(key) or _broken_text(item) for key, item in value.items())
    return False


def _unicode(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _request(value: Any) -> Request | Refusal:
    """Read a request, or say what is wrong with it. The id is given back where it can be read."""
    problem = _unanswerable(value)
    if problem is not None:
        return problem
    name, method, params = value["id"], value.get("method"), value.get("params")
    unknown = [key for key in value if key not in ("jsonrpc", "id", "method", "params")]
    if value.get("jsonrpc") != "2.0":
        text, remedy = 'the member jsonrpc is missing or not "2.0"', 'send {"jsonrpc":"2.0","id":1,"method":"status"}'
        return refusal(name, Code.INVALID_REQUEST, "INVALID_REQUEST", text, "jsonrpc", remedy)
    if not isinstance(method, str) or not 0 < len(method) <= METHOD_CHARS_MAX:
        text = f"method is text of 1 to {METHOD_CHARS_MAX} characters"
        return refusal(name, Code.INVALID_REQUEST, "INVALID_REQUEST", text, "method", "name what you ask for")
    if unknown:
        text = f"a request has no member {unknown[0][:METHOD_CHARS_MAX]!r}"
        remedy = "put parameters into params"
        return refusal(name, Code.INVALID_REQUEST, "INVALID_REQUEST", text, remedy=remedy, method=method)
    if params is not None and not isinstance(params, dict):
        text = "params is an object: parameters go by name"
        return refusal(name, Code.INVALID_PARAMS, "PARAMS_BY_NAME", text, "params", 'such as {"limit":20}', method)
    return Request(name, method, params or {})


def _unanswerable(value: Any) -> Refusal | None:
    """Refuse what has no id to answer to."""
    number = Code.INVALID_REQUEST
    if isinstance(value, list):
        text = "batches are not taken"
        return refusal(None, number, "BATCH", text, remedy="send one request per line; they may overlap")
    if not isinstance(value, dict):
        remedy = 'send {"jsonrpc":"2.0","id":1,"method":"status"}'
        return refusal(None, number, "INVALID_REQUEST", "a request is a JSON object", remedy=remedy)
    if "id" not in value:
        text = "a request needs an id; notifications are not taken"
        return refusal(None, number, "NOTIFICATION", text, "id", "give each request an id")
    if not _is_id(value["id"]):
        text = f"an id is a whole number or text of 1 to {ID_CHARS_MAX} characters"
        return refusal(None, number, "BAD_ID", text, "id", "number your requests")
    return None


def _is_id(name: Any) -> bool:
    if isinstance(name, str):
        return 0 < len(name) <= ID_CHARS_MAX
    return isinstance(name, int) and not isinstance(name, bool) and abs(name) < 2**53
