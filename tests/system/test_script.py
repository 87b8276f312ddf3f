"""The scripted trader: lines become commands, bad lines name themselves, bad orders reach the gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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
from daemon.kernel.errors import OperatorError
from daemon.system.script import Rank, ScriptLine, read_script

SYMBOLS = {"AAPL": 0, "SPY": 1}


def parse_time(text: str) -> int:
    """Take seconds, for brevity."""
    if not text.isdigit():
        raise ValueError(f"{text!r} is no time")
    return int(text) * 10**9


def read(tmp_path: Path, *lines: object, portfolios: tuple[str, ...] = ("main",)) -> list[ScriptLine]:
    """Write lines (objects or raw text) and read them."""
    path = tmp_path / "orders.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return read_script(path, SYMBOLS, portfolios, parse_time)


def order(**fields: Any) -> dict[str, Any]:
    """Return a good submit line with changes; None removes a field."""
    body: dict[str, Any] = {"id": "a", "symbol": "SPY", "side": "buy", "qty": 10}
    body.update(fields)
    return {"at": None, "submit": {k: v for k, v in body.items() if v is not None}}


def test_a_full_script_is_read(tmp_path: Path) -> None:
    """Every verb, both ways of saying when."""
    lines = read(
        tmp_path,
        order(type="limit", tif="gtc", limit_px=450.25, side="sell", reduce_only=True),
        "",
        {"at": "5", "cancel": "a"},
        {"after": {"order": "a", "status": "partially_filled"}, "replace": {"id": "a", "qty": 5}},
        {"at": "6", "halt": {"reason": "x"}},
        {"at": "6", "reduce": {"reason": "x"}},
        {"at": "6", "resume": {"reason": "x"}},
        {"at": "6", "flatten": {"reason": "x"}},
        {"at": "6", "kill": {"reason": "x"}},
    )
    first = lines[0].command
    assert isinstance(first, SubmitOrder)
    assert (first.symbol, first.side, first.qty) == (1, SELL, 10 * 10**8)
    assert (first.type, first.tif, first.limit_px) == (OrderType.LIMIT, TimeInForce.GTC, 45_025_000_000)
    assert first.reduce_only
    assert first.malformed is None
    assert (lines[0].at, lines[0].after, lines[0].number) == (None, None, 1)
    assert lines[1].command == CancelOrder("a", "script")
    assert lines[1].at == 5 * 10**9
    assert lines[2].command == ReplaceOrder("a", qty=5 * 10**8)
    assert lines[2].after == ("a", OrderStatus.PARTIALLY_FILLED)
    assert [type(line.command) for line in lines[3:]] == [Halt, Reduce, Resume, Flatten, Kill]
    assert {line.rank for line in lines[3:]} == {Rank.CONTROL}
    assert {line.rank for line in lines[:3]} == {Rank.PREDICTION}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"qty": "10"}, "BAD_QTY"),
        ({"qty": True}, "BAD_QTY"),
        ({"qty": 0.123456789}, "BAD_QTY"),
        ({"qty": None}, "BAD_QTY"),
        ({"qty": 1e308}, "BAD_QTY"),
        ({"side": "long"}, "BAD_SIDE"),
        ({"side": None}, "BAD_SIDE"),
        ({"type": "magic"}, "BAD_TYPE"),
        ({"tif": "forever"}, "BAD_TIF"),
        ({"limit_px": "12"}, "BAD_PRICE"),
        ({"colour": "red"}, "BAD_FIELD"),
        ({"reduce_only": 1}, "BAD_FIELD"),
    ],
)
def test_nonsense_in_an_order_goes_to_the_gate_with_a_code(tmp_path: Path, fields: dict[str, Any], code: str) -> None:
    """The run goes on; the order will be denied."""
    command = read(tmp_path, order(**fields))[0].command
    assert isinstance(command, SubmitOrder)
    assert command.malformed is not None
    assert command.malformed[0] == code
    assert command.malformed[1].startswith("line 1: ")


def test_nan_and_infinity_are_no_quantities(tmp_path: Path) -> None:
    """JSON's extensions are read and refused."""
    for text in ("NaN", "Infinity", "-Infinity"):
        raw = json.dumps(order()).replace("10", text)
        command = read(tmp_path, raw)[0].command
        assert isinstance(command, SubmitOrder)
        assert command.malformed is not None
        assert "not a finite number" in command.malformed[1]


def test_dust_of_floats_is_dropped_from_prices_and_nothing_else_is_rounded(tmp_path: Path) -> None:
    """Floats leave dust behind 3 x 33.1; a price with nine decimals, or a quantity with dust, is somebody's mistake."""
    command = read(tmp_path, order(type="limit", limit_px=3 * 33.1))[0].command
    assert isinstance(command, SubmitOrder)
    assert (command.limit_px, command.malformed) == (9_930_000_000, None)
    for price in (1e-12, 99.300000001, 150.123456789123):
        command = read(tmp_path, order(type="limit", limit_px=price))[0].command
        assert isinstance(command, SubmitOrder)
        assert command.malformed is not None
        assert "has more than 8 decimals" in command.malformed[1]
    command = read(tmp_path, order(type="limit", limit_px=1e30))[0].command
    assert isinstance(command, SubmitOrder)
    assert command.malformed == ("BAD_PRICE", "line 1: limit_px: 1E+30 is too large")


def test_zero_and_negative_quantities_are_left_to_the_gate(tmp_path: Path) -> None:
    """They are numbers, so the gate's own check speaks."""
    command = read(tmp_path, order(qty=-5))[0].command
    assert isinstance(command, SubmitOrder)
    assert (command.qty, command.malformed) == (-5 * 10**8, None)


def test_an_unknown_symbol_keeps_its_name(tmp_path: Path) -> None:
    """The denial can then say which."""
    command = read(tmp_path, order(symbol="ZZZ"))[0].command
    assert isinstance(command, SubmitOrder)
    assert (command.symbol, command.symbol_text, command.side) == (-1, "ZZZ", BUY)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2: this is not JSON"),
        ("[1]", "line 2: a line is one JSON object"),
        ({"at": None}, "line 2: a line needs exactly one of submit, cancel"),
        ({"at": None, "cancel": "a", "kill": {"reason": "x"}}, "line 2: a line needs exactly one of"),
        ({"at": None, "cancel": "a", "why": 1}, "line 2: the key 'why' is not known"),
        ({"cancel": "a"}, "line 2: a line needs either at or after"),
        ({"at": None, "after": {}, "cancel": "a"}, "line 2: a line needs either at or after"),
        ({"at": 5, "cancel": "a"}, "line 2: at is a time as text"),
        ({"at": "noon", "cancel": "a"}, "line 2: 'noon' is no time"),
        ({"after": {"order": "a"}, "cancel": "a"}, "line 2: after is"),
        ({"after": {"order": "a", "status": "done"}, "cancel": "a"}, "line 2: 'done' is no order status"),
        ({"after": {"order": "z", "status": "filled"}, "cancel": "a"}, "line 2: it waits for the order 'z'"),
        ({"at": None, "cancel": 5}, "line 2: cancel takes the id"),
        ({"at": None, "submit": []}, "line 2: submit takes an object"),
        ({"at": None, "submit": {"symbol": "SPY"}}, "line 2: an order needs an id"),
        ({"at": None, "replace": {"qty": 5}}, "line 2: replace takes an object"),
        ({"at": None, "halt": {}}, "line 2: halt takes"),
        ('{"at": null, "at": null, "cancel": "a"}', "line 2: the key 'at' stands there twice"),
        (
            '{"at": null, "submit": {"id": "b", "qty": 1e1000000000000000000}}',
            "line 2: this is nested too deep, or has a",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, sentence: str) -> None:
    """File, line and what is wrong, in one sentence."""
    with pytest.raises(OperatorError) as caught:
        read(tmp_path, order(), line)
    assert sentence in str(caught.value)
    assert "orders.jsonl" in str(caught.value)


def test_several_portfolios_must_be_told_apart(tmp_path: Path) -> None:
    """With two portfolios a line says which; an unknown one is refused."""
    assert read(tmp_path, order(portfolio="b"), portfolios=("a", "b"))[0].command.portfolio == "b"  # type: ignore[attr-defined]
    with pytest.raises(OperatorError, match="does not say which portfolio; name one of: a, b"):
        read(tmp_path, order(), portfolios=("a", "b"))
    with pytest.raises(OperatorError, match="there is no portfolio 'z'; name one of: main"):
        read(tmp_path, order(portfolio="z"))


def test_files_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    """Missing, empty and binary files."""
    with pytest.raises(OperatorError, match="cannot be read"):
        read_script(tmp_path / "none", SYMBOLS, ("main",), parse_time)
    (tmp_path / "empty").write_text("\n\n")
    with pytest.raises(OperatorError, match="is empty"):
        read_script(tmp_path / "empty", SYMBOLS, ("main",), parse_time)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OperatorError, match="cannot be read"):
        read_script(tmp_path / "binary", SYMBOLS, ("main",), parse_time)


def test_an_emoji_written_as_two_escapes_is_text(tmp_path: Path) -> None:
    """A surrogate pair is one character; half of one is refused."""
    assert read(tmp_path, r'{"at": null, "halt": {"reason": "\ud83d\ude00"}}')[0].command.reason == "\U0001f600"  # type: ignore[attr-defined]
    with pytest.raises(OperatorError, match="half of a surrogate pair"):
        read(tmp_path, r'{"at": null, "halt": {"reason": "\ud83d"}}')


@pytest.mark.parametrize("fields", [{}, {"qty": 5, "tif": "gtc"}])
def test_a_replace_of_nothing_or_of_what_cannot_change_goes_to_the_gate_with_a_code(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    """The gate answers it, so that the answer stands in the events."""
    command = read(tmp_path, {"at": None, "replace": {"id": "a", **fields}})[0].command
    assert isinstance(command, ReplaceOrder)
    assert command.malformed is not None
    assert command.malformed[0] == "BAD_FIELD"


def test_a_line_may_wait_for_the_exits_of_a_bracket_and_for_the_half_that_opens(tmp_path: Path) -> None:
    """The broker and the gate name them after their order; without a bracket nobody will ever submit an exit."""
    entry = order(bracket={"stop_px": 90})
    for name in ("a-sl", "a-tp", "a-open"):
        lines = read(tmp_path, entry, {"after": {"order": name, "status": "new"}, "cancel": name})
        assert lines[1].after == (name, OrderStatus.NEW)
    with pytest.raises(OperatorError, match="line 2: it waits for the order 'a-sl', which no line submits"):
        read(tmp_path, order(), {"after": {"order": "a-sl", "status": "new"}, "cancel": "a-sl"})
