"""The control protocol without I/O: what is understood, what is refused, and that nothing makes it raise."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import product

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.control.protocol import (
    DEPTH_MAX,
    FRAME_BYTES_MAX,
    STATES,
    Code,
    Conversation,
    Hello,
    Refusal,
    Request,
    State,
    Trigger,
    error_line,
    notification_line,
    result_line,
)

HELLO = b'{"jsonrpc":"2.0","id":0,"method":"hello","params":{"api":1,"client":"test"}}\n'
STATUS = b'{"jsonrpc":"2.0","id":1,"method":"status"}\n'


def opened() -> Conversation:
    """Return a conversation after hello."""
    found = Conversation()
    assert found.receive(HELLO) == [Hello(0, "test")]
    return found


def refused(said: object) -> tuple[str, int]:
    """Return reason and number of a refusal, from its line."""
    assert isinstance(said, Refusal)
    assert said.line.endswith(b"\n")
    answer = json.loads(said.line)
    assert answer["error"]["data"]["reason"] == said.reason
    assert set(answer["error"]["data"]) == {"reason", "field", "remedy"}
    return said.reason, answer["error"]["code"]


def test_hello_opens_and_requests_follow() -> None:
    """Numbers keep their decimals, params may be left out."""
    talk = opened()
    assert talk.receive(STATUS) == [Request(1, "status", {})]
    line = b'{"jsonrpc":"2.0","id":"a","method":"order.submit","params":{"qty":10,"limit_px":450.10}}\n'
    assert talk.receive(line) == [Request("a", "order.submit", {"qty": 10, "limit_px": Decimal("450.10")})]
    assert talk.state is State.OPEN


def test_a_line_may_come_byte_by_byte_and_many_at_once() -> None:
    """Where chunks end says nothing."""
    talk = Conversation()
    text = HELLO + STATUS * 3
    said = [item for byte in text for item in talk.receive(bytes([byte]))]
    assert [type(item) for item in said] == [Hello, Request, Request, Request]
    assert [type(item) for item in Conversation().receive(text)] == [Hello, Request, Request, Request]


def test_no_more_lines_than_asked_for() -> None:
    """The rest waits, and is there when asked for."""
    talk = Conversation()
    assert len(talk.receive(HELLO + STATUS * 10, 4)) == 4
    assert talk.more
    assert talk.partial
    assert len(talk.receive(b"", 4)) == 4
    assert len(talk.receive(STATUS[:5], 4)) == 3
    assert not talk.more
    assert talk.partial
    assert len(talk.receive(STATUS[5:])) == 1
    assert not talk.partial


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\n", "NOT_JSON"),
        (b"kill\n", "NOT_JSON"),
        (b"GET / HTTP/1.1\r\n", "NOT_JSON"),
        (b"\xff\xfe\n", "NOT_JSON"),
        (b"\x00\n", "NOT_JSON"),
        (b'{"a":1,"a":2}\n', "NOT_JSON"),
        (b'{"a":NaN}\n', "NOT_JSON"),
        (b'{"a":Infinity}\n', "NOT_JSON"),
        (b'{"a":-Infinity}\n', "NOT_JSON"),
        (b'{"a":' + b"9" * 65 + b"}\n", "NOT_JSON"),
        (b'{"a":1.' + b"9" * 64 + b"}\n", "NOT_JSON"),
        (b'{"a":1e999999999999999999999}\n', "NOT_JSON"),
        (b'{"a":"\\ud800"}\n', "NOT_JSON"),
        (b'{"\\udfff":1}\n', "NOT_JSON"),
        (b'["\\udfff"]\n', "NOT_JSON"),
        (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1) + b"\n", "NOT_JSON"),
        (b'{"a":' * 5000 + b"\n", "NOT_JSON"),
        (b"[" * 17 + b'"' + b'\\"' * 30_000 + b"\n", "NOT_JSON"),
        (b"[" * 17 + b'"' + b'\\"' * 30_000 + b"\\\n", "NOT_JSON"),
        (b" " * (FRAME_BYTES_MAX + 1) + b"\n", "FRAME_TOO_LONG"),
        (b" " * (FRAME_BYTES_MAX + 1), "FRAME_TOO_LONG"),
    ],
)
def test_garbage_is_answered_and_ends_the_conversation(line: bytes, reason: str) -> None:
    """One answer, then silence, whatever follows."""
    talk = opened()
    (said,) = talk.receive(line + STATUS)
    assert refused(said) == (reason, Code.PARSE)
    assert talk.closing
    assert talk.receive(STATUS) == []
    assert not talk.partial


def test_the_longest_line_is_taken() -> None:
    """Exactly as long as the contract says; brackets in strings are no depth."""
    talk = opened()
    head = b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":"'
    tail = b'"}}'
    line = head + b"[" * (FRAME_BYTES_MAX - len(head) - len(tail)) + tail
    assert len(line) == FRAME_BYTES_MAX
    (said,) = talk.receive(line + b"\n")
    assert isinstance(said, Request)


def test_as_deep_as_allowed_is_taken() -> None:
    """The request itself counts."""
    inner = b"[" * (DEPTH_MAX - 2) + b"]" * (DEPTH_MAX - 2)
    (said,) = opened().receive(b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":' + inner + b"}}\n")
    assert isinstance(said, Request)


@pytest.mark.parametrize(
    ("value", "reason", "number"),
    [
        ([], "BATCH", Code.INVALID_REQUEST),
        ([{"jsonrpc": "2.0", "id": 1, "method": "kill"}], "BATCH", Code.INVALID_REQUEST),
        (5, "INVALID_REQUEST", Code.INVALID_REQUEST),
        ({}, "NOTIFICATION", Code.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "method": "status"}, "NOTIFICATION", Code.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": None, "method": "status"}, "BAD_ID", Code.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": True, "method": "status"}, "BAD_ID", Code.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": 1.5, "method": "status"}, "BAD_ID", Code.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": {}, "method": "status"}, "BAD_ID", Code.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": "", "method": "status"}, "BAD_ID", Code.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": "x" * 65, "method": "status"}, "BAD_ID", Code.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": 2**53, "method": "status"}, "BAD_ID", Code.INVALID_REQUEST),
        ({"jsonrpc": "1.0", "id": 1, "method": "status"}, "INVALID_REQUEST", Code.INVALID_REQUEST),
        ({"id": 1, "method": "status"}, "INVALID_REQUEST", Code.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": 1}, "INVALID_REQUEST", Code.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": 1, "method": 5}, "INVALID_REQUEST", Code.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": 1, "method": "x" * 65}, "INVALID_REQUEST", Code.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": 1, "method": "halt", "reason": "x"}, "INVALID_REQUEST", Code.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": 1, "method": "status", "params": []}, "PARAMS_BY_NAME", Code.INVALID_PARAMS),
        ({"jsonrpc": "2.0", "id": 1, "method": "status", "params": "x"}, "PARAMS_BY_NAME", Code.INVALID_PARAMS),
        (
            {"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"api": 1, "client": "x"}},
            "HELLO_TWICE",
            Code.REFUSED,
        ),
    ],
)
def test_what_is_json_and_no_request_is_answered_and_the_conversation_goes_on(
    value: object, reason: str, number: int
) -> None:
    """With its id where it has one that can be given back."""
    talk = opened()
    (said,) = talk.receive(json.dumps(value).encode() + b"\n")
    assert refused(said) == (reason, number)
    assert isinstance(said, Refusal)
    readable = isinstance(value, dict) and reason not in {"NOTIFICATION", "BAD_ID"}
    assert json.loads(said.line)["id"] == (1 if readable else None)
    assert talk.receive(STATUS) == [Request(1, "status", {})]


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, "UNSUPPORTED_API"),
        ({"api": 2, "client": "x"}, "UNSUPPORTED_API"),
        ({"api": True, "client": "x"}, "UNSUPPORTED_API"),
        ({"api": "1", "client": "x"}, "UNSUPPORTED_API"),
        ({"api": 1}, "BAD_PARAM"),
        ({"api": 1, "client": ""}, "BAD_PARAM"),
        ({"api": 1, "client": "x\n"}, "BAD_PARAM"),
        ({"api": 1, "client": "x" * 65}, "BAD_PARAM"),
        ({"api": 1, "client": "x", "token": "y"}, "UNKNOWN_PARAM"),
    ],
)
def test_a_hello_that_cannot_be_taken_ends_the_conversation(params: object, reason: str) -> None:
    """It says what would be taken."""
    talk = Conversation()
    line = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "hello", "params": params}).encode() + b"\n"
    (said,) = talk.receive(line + STATUS)
    assert refused(said) == (reason, Code.INVALID_PARAMS)
    assert talk.closing


@pytest.mark.parametrize("method", ["status", "kill", "no such method"])
def test_nothing_goes_before_hello(method: str) -> None:
    """Not even a kill: who speaks another protocol must not hit ours by chance."""
    talk = Conversation()
    (said,) = talk.receive(json.dumps({"jsonrpc": "2.0", "id": 9, "method": method}).encode() + b"\n")
    assert refused(said) == ("NEEDS_HELLO", Code.NEEDS_HELLO)
    assert isinstance(said, Refusal)
    assert (json.loads(said.line)["id"], said.method) == (9, method)
    assert talk.closing


def test_the_end_of_what_a_peer_sends() -> None:
    """After whole lines nothing is said; a line that was begun is answered once."""
    talk = opened()
    assert talk.end() == []
    assert talk.closing
    talk = opened()
    talk.receive(STATUS[:-1])
    assert talk.partial
    (said,) = talk.end()
    assert refused(said) == ("UNFINISHED_LINE", Code.PARSE)
    assert talk.end() == []


def _fire(talk: Conversation, trigger: Trigger) -> None:
    """Make a trigger happen from outside."""
    lines = {
        Trigger.HELLO: HELLO,
        Trigger.BAD_HELLO: b'{"jsonrpc":"2.0","id":0,"method":"hello"}\n',
        Trigger.REQUEST: STATUS,
        Trigger.BAD_REQUEST: b"[]\n",
        Trigger.GARBAGE: b"?\n",
    }
    if trigger is Trigger.END:
        talk.end()
    else:
        talk.receive(lines[trigger])


def _in(state: State) -> Conversation:
    """Return a conversation in a state."""
    talk = Conversation()
    if state is not State.AWAITING_HELLO:
        talk.receive(HELLO)
    if state is State.CLOSING:
        talk.end()
    assert talk.state is state
    return talk


@pytest.mark.parametrize(("state", "trigger"), list(product(State, Trigger)))
def test_every_state_meets_every_trigger(state: State, trigger: Trigger) -> None:
    """The table has every pair, and the conversation follows it from outside."""
    assert STATES.allows(state, trigger)
    talk = _in(state)
    _fire(talk, trigger)
    if (state, trigger) == (State.OPEN, Trigger.HELLO):  # a second hello is a bad one
        assert talk.state is State.OPEN
    else:
        assert talk.state is STATES.next(state, trigger)


def test_closing_is_the_end_of_the_table() -> None:
    """Nothing leads out of it, and everything leads into it."""
    assert {STATES.next(State.CLOSING, trigger) for trigger in Trigger} == {State.CLOSING}


FRAGMENTS = st.sampled_from(
    [HELLO, STATUS, b"\n", b"{", b"}", b"[", b'"', b"\\", b"\\u", b"d800", b"1e9", b"null", b'"id":', b"\xff", b"\x00"]
)


@given(chunks=st.lists(st.one_of(st.binary(max_size=40), FRAGMENTS), max_size=30), lines_max=st.integers(1, 5))
@settings(max_examples=300, deadline=None)
def test_hostile_bytes_never_raise_and_every_refusal_is_a_line(chunks: list[bytes], lines_max: int) -> None:
    """Whatever is sent, in whatever pieces; and nothing is kept that was read."""
    talk = Conversation(frame_bytes_max=200)
    for chunk in chunks:
        for said in talk.receive(chunk, lines_max):
            if isinstance(said, Refusal):
                refused(said)
        while talk.more:
            assert talk.receive(b"", lines_max)
        assert len(talk._buffer) <= 200
    for said in talk.end():
        refused(said)


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**52), 2**52) | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=10,
    )
)
@settings(max_examples=200, deadline=None)
def test_parameters_arrive_as_they_were_sent(value: object) -> None:
    """Any JSON, within the limits."""
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"value": value}}).encode() + b"\n"
    (said,) = opened().receive(line)
    assert isinstance(said, (Request, Refusal))
    if isinstance(said, Request):
        assert said.params == {"value": value}
    else:
        assert b"nested deeper" in said.line


def test_lines_out_are_single_lines_with_exact_numbers() -> None:
    """Decimals and raw numbers leave as plain numbers; text cannot break the line."""
    line = result_line(1, {"a": Decimal("0.10"), "b": msgspec.Raw(b"1.50"), "c": "x\ny"})
    assert line == b'{"jsonrpc":"2.0","id":1,"result":{"a":0.10,"b":1.50,"c":"x\\ny"}}\n'
    assert json.loads(error_line("a", -1, "X", "half \ud800"))["error"]["message"] == "half ?"
    assert notification_line("event", {"seq": 1}) == b'{"jsonrpc":"2.0","method":"event","params":{"seq":1}}\n'
