"""How the fields of an order are read, and what becomes of those that make no sense, in a file and on the socket."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.messages.orders import (
    Bracket,
    OrderAccepted,
    OrderCancelRejected,
    OrderDenied,
    OrderRejected,
    OrderTerms,
    OrderType,
    SubmitOrder,
    TimeInForce,
)
from actors.values.fixed import SCALE
from daemon.kernel.message import Command, Event
from daemon.system.desk import command_of
from daemon.system.order_fields import BRACKET_FIELDS
from daemon.system.order_form import ORDER_FIELDS, FieldError, read_submit
from daemon.system.script import read_script
from daemon.system.when import TimeReader
from system.wired import MINUTE, OPEN, SYMBOLS, House, make_call

INDEX: Final = {symbol: number for number, symbol in enumerate(SYMBOLS)}
NEW_YORK: Final = TimeReader(None, "America/New_York")


def read(**fields: Any) -> SubmitOrder:
    """Read an order as a client would send it."""
    body = {"id": "a", "symbol": "SPY", "side": "buy", "qty": 10} | fields
    return read_submit(body, INDEX, ("main",), reason="test", read_time=NEW_YORK)


# -- what is read --------------------------------------------------------------------------------------------------


def test_every_term_is_read_exactly() -> None:
    """Each under its own name, in units of 1e-8; ten percent is 10."""
    order = read(
        type="trailing_stop",
        tif="gtd",
        trail_percent=Decimal("2.5"),
        activation_px=Decimal("440.01"),
        display_qty=5,
        post_only=True,
        reduce_only=True,
        expire_at="2020-03-02T21:00:00Z",
        oco_group="exits",
        do_not_reduce=True,
        locate=True,
        bracket={"take_profit_px": 470, "trail_amount": Decimal("0.00000001"), "activation_px": 455},
    )
    assert order.malformed is None
    assert (order.type, order.tif, order.reduce_only) == (OrderType.TRAILING_STOP, TimeInForce.GTD, True)
    assert order.terms == OrderTerms(
        trail_percent=250_000_000,
        activation_px=44_001_000_000,
        display_qty=5 * SCALE,
        post_only=True,
        expire_ts=1_583_182_800 * 10**9,  # date -u -d 2020-03-02T21:00:00Z +%s
        oco_group="exits",
        bracket=Bracket(take_profit_px=470 * SCALE, trail_amount=1, activation_px=455 * SCALE),
        do_not_reduce=True,
        locate=True,
    )
    assert read(type="trailing_stop", trail_amount=Decimal("0.5")).terms == OrderTerms(trail_amount=SCALE // 2)


def test_an_order_that_says_nothing_more_has_no_terms() -> None:
    """Nor one that says what holds anyway, or null."""
    assert read().terms is None
    assert read(post_only=False, do_not_reduce=False, bracket=None, expire_at=None, trail_amount=None).terms is None


@pytest.mark.parametrize(
    ("kind", "said", "tif"),
    [
        ("market", None, "day"),
        ("market_on_open", None, "opg"),
        ("market_on_close", None, "cls"),
        ("market_on_open", "day", "day"),
        ("market_on_close", "gtc", "gtc"),
    ],
)
def test_an_order_for_an_auction_is_for_its_auction_unless_told(kind: str, said: str | None, tif: str) -> None:
    """What is said is kept, for the gate to judge."""
    assert read(type=kind, tif=said).tif == tif


def test_a_date_as_end_is_the_last_day_at_the_exchange() -> None:
    """Midnight behind it in New York: 05:00 UTC in winter, 04:00 in summer; the last of February and of December."""
    for text, end in (
        ("2020-01-31", "2020-02-01T05:00:00Z"),
        ("2020-06-30", "2020-07-01T04:00:00Z"),
        ("2020-02-29", "2020-03-01T05:00:00Z"),
        ("2020-12-31", "2021-01-01T05:00:00Z"),
    ):
        terms = read(expire_at=text).terms
        assert terms is not None
        assert terms.expire_ts == NEW_YORK(end)


def test_without_a_clock_of_its_own_a_desk_reads_new_yorks_dates() -> None:
    """Whoever has another exchange passes its own reader."""
    call = make_call("order.submit", id="a", symbol="SPY", side="buy", qty=1, expire_at="2020-01-31")
    here = command_of(call, House().universe, ("main",))
    there = command_of(call, House().universe, ("main",), read_time=TimeReader(None, "Asia/Tokyo"))
    assert isinstance(here, SubmitOrder)
    assert isinstance(there, SubmitOrder)
    assert here.terms == OrderTerms(expire_ts=NEW_YORK("2020-02-01T05:00:00Z"))
    assert there.terms == OrderTerms(expire_ts=NEW_YORK("2020-01-31T15:00:00Z"))


# -- what makes no sense -------------------------------------------------------------------------------------------

ORDERS: Final[list[tuple[dict[str, Any], str, str]]] = [
    # not known
    ({"symbol": "ZZZ"}, "UNKNOWN_SYMBOL", "ZZZ is not in the universe"),
    ({"symbol": "aapl"}, "UNKNOWN_SYMBOL", "aapl is not in the universe of this run; did you mean AAPL?"),
    ({"symbol": 5}, "UNKNOWN_SYMBOL", "5 is not in the universe"),
    ({"type": "magic"}, "BAD_TYPE", '"magic" is not one of market, limit'),
    ({"type": ["limit"]}, "BAD_TYPE", "is not one of"),
    ({"tif": "forever"}, "BAD_TIF", "is not one of day, gtc"),
    ({"side": "long"}, "BAD_SIDE", "side is buy or sell"),
    ({"colour": "red"}, "BAD_FIELD", "the field colour is not known or not supported for orders"),
    ({"quantity": 1}, "BAD_FIELD", "did you mean qty?"),
    ({"Limit_Price": 1}, "BAD_FIELD", "did you mean limit_px?"),
    ({"stop_price": 1}, "BAD_FIELD", "did you mean stop_px?"),
    ({"bracket": {"stop_price": 1}}, "BAD_BRACKET", "did you mean stop_px?"),
    ({"algo": {"name": "twap"}}, "BAD_FIELD", "algo is not built yet"),
    # quantities
    ({"qty": 0}, "BAD_QTY", "positive multiple"),
    ({"qty": -1}, "BAD_QTY", "positive multiple"),
    ({"qty": Decimal("0.5")}, "BAD_QTY", "multiple of 1"),
    ({"qty": Decimal("NaN")}, "BAD_QTY", "not a finite number"),
    ({"qty": Decimal("Infinity")}, "BAD_QTY", "not a finite number"),
    ({"qty": Decimal("0.123456789")}, "BAD_QTY", "more than 8 decimals"),
    ({"qty": Decimal("1e30")}, "BAD_QTY", "too large"),
    ({"qty": "10"}, "BAD_QTY", 'qty is a number, not "10"'),
    ({"qty": True}, "BAD_QTY", "qty is a number, not true"),
    ({"qty": [0, [1], 0]}, "BAD_QTY", "qty is a number"),
    ({"qty": None}, "BAD_QTY", "the order has no qty"),
    # prices, by type
    ({"type": "limit"}, "BAD_PRICE", "a limit order needs limit_px"),
    ({"type": "stop"}, "BAD_PRICE", "a stop order needs stop_px"),
    ({"type": "stop_limit", "stop_px": 455}, "BAD_PRICE", "needs limit_px"),
    ({"type": "limit_if_touched", "limit_px": 455}, "BAD_PRICE", "needs stop_px"),
    ({"type": "take_profit"}, "BAD_PRICE", "needs limit_px"),
    ({"limit_px": 449}, "BAD_PRICE", "a market order takes no limit_px"),
    ({"type": "limit", "limit_px": 449, "stop_px": 448}, "BAD_PRICE", "a limit order takes no stop_px"),
    ({"type": "market_on_open", "limit_px": 449}, "BAD_PRICE", "takes no limit_px"),
    ({"type": "trailing_stop", "trail_amount": 1, "stop_px": 449}, "BAD_PRICE", "takes no stop_px"),
    ({"type": "limit", "limit_px": 0}, "BAD_PRICE", "above zero"),
    ({"type": "limit", "limit_px": -449}, "BAD_PRICE", "above zero"),
    ({"type": "limit", "limit_px": Decimal("NaN")}, "BAD_PRICE", "not a finite number"),
    ({"type": "limit", "limit_px": Decimal("449.123456789")}, "BAD_PRICE", "more than 8 decimals"),
    ({"type": "limit", "limit_px": {"usd": 1}}, "BAD_PRICE", "limit_px is a number"),
    # trails
    ({"type": "trailing_stop"}, "BAD_TRAIL", "needs trail_amount or trail_percent"),
    ({"type": "trailing_stop", "trail_amount": 1, "trail_percent": 1}, "BAD_TRAIL", "not both"),
    ({"type": "trailing_stop", "trail_amount": 0}, "BAD_TRAIL", "above zero"),
    ({"type": "trailing_stop", "trail_percent": 100}, "BAD_TRAIL", "below 100"),
    ({"type": "trailing_stop", "trail_percent": Decimal("NaN")}, "BAD_TRAIL", "not a finite number"),
    ({"type": "trailing_stop", "trail_percent": "5"}, "BAD_TRAIL", "trail_percent is a number"),
    ({"trail_amount": 1}, "BAD_TRAIL", "a market order has no trail"),
    # marks
    ({"display_qty": 5}, "BAD_DISPLAY", "shows nothing"),
    ({"type": "limit", "limit_px": 449, "display_qty": 11}, "BAD_DISPLAY", "at most the quantity 10"),
    ({"type": "limit", "limit_px": 449, "display_qty": Decimal("0.5")}, "BAD_DISPLAY", "multiple of 1"),
    ({"post_only": "yes"}, "BAD_FIELD", 'post_only is true or false, not "yes"'),
    ({"post_only": True}, "BAD_FIELD", "post_only is for resting limit orders"),
    ({"reduce_only": 1}, "BAD_FIELD", "reduce_only is true or false"),
    ({"oco_group": 7}, "BAD_FIELD", "oco_group is text"),
    ({"oco_group": " "}, "BAD_FIELD", "oco_group is text"),
    ({"oco_group": "x" * 201}, "BAD_FIELD", "at most 200 characters"),
    ({"oco_group": "a\nb"}, "BAD_FIELD", "all of them printable"),
    # times
    ({"tif": "gtd"}, "BAD_EXPIRY", "needs expire_at"),
    ({"expire_at": "2020-02-01"}, "BAD_EXPIRY", "gtd, not day"),
    ({"tif": "gtd", "expire_at": "2019-12-31"}, "BAD_EXPIRY", "is not after"),
    ({"tif": "gtd", "expire_at": "tomorrow"}, "BAD_EXPIRY", "is not a time"),
    ({"tif": "gtd", "expire_at": "2020-02-30"}, "BAD_EXPIRY", "is not a time"),
    ({"tif": "gtd", "expire_at": "2020-02-01T10:00:00"}, "BAD_EXPIRY", "has no offset"),
    ({"tif": "gtd", "expire_at": "9999-12-31"}, "BAD_EXPIRY", "expire_at"),
    ({"tif": "gtd", "expire_at": "2500-01-01"}, "BAD_EXPIRY", "not a time of these centuries"),
    ({"tif": "gtd", "expire_at": 1580000000}, "BAD_EXPIRY", "a time or a date as text"),
    ({"type": "stop", "stop_px": 455, "tif": "ioc"}, "BAD_TIF", "does not take the time in force ioc"),
    ({"type": "market_on_open", "tif": "gtc"}, "BAD_TIF", "use one of opg, day"),
    # brackets
    ({"bracket": {"stop_px": 451}}, "BAD_BRACKET", "must lie below its entry at 450"),
    ({"bracket": {"take_profit_px": 449}}, "BAD_BRACKET", "must lie above its entry at 450"),
    ({"bracket": {}}, "BAD_BRACKET", "needs take_profit_px"),
    ({"bracket": "stop"}, "BAD_BRACKET", "bracket is an object"),
    ({"bracket": {"limit_px": 1}}, "BAD_BRACKET", "the field bracket.limit_px is not known"),
    ({"bracket": {"stop_px": "440"}}, "BAD_BRACKET", "bracket.stop_px is a number"),
    ({"bracket": {"stop_px": Decimal("NaN")}}, "BAD_BRACKET", "not a finite number"),
    ({"bracket": {"stop_px": Decimal("440.123456789")}}, "BAD_BRACKET", "more than 8 decimals"),
    ({"bracket": {"stop_px": 440}, "reduce_only": True}, "BAD_BRACKET", "only reduces"),
    # ids
    ({"id": "works"}, "DUPLICATE", "was used before"),
    ({"id": "done"}, "DUPLICATE", "was used before"),
]
REPLACES: Final[list[tuple[dict[str, Any], str, str]]] = [
    ({"id": "works"}, "BAD_FIELD", "names qty, limit_px or stop_px"),
    ({"id": "works", "qty": None}, "BAD_FIELD", "names qty, limit_px or stop_px"),
    ({"id": "works", "tif": "gtc"}, "BAD_FIELD", "the field tif cannot be replaced"),
    ({"id": "works", "qty": 0}, "BAD_QTY", "positive multiple"),
    ({"id": "works", "qty": -5}, "BAD_QTY", "positive multiple"),
    ({"id": "works", "qty": Decimal("NaN")}, "BAD_QTY", "not a finite number"),
    ({"id": "works", "qty": Decimal("5.123456789")}, "BAD_QTY", "more than 8 decimals"),
    ({"id": "works", "qty": "5"}, "BAD_QTY", "qty is a number"),
    ({"id": "works", "limit_px": 0}, "BAD_PRICE", "above zero"),
    ({"id": "works", "limit_px": Decimal("Infinity")}, "BAD_PRICE", "not a finite number"),
    ({"id": "works", "limit_px": Decimal("440.123456789")}, "BAD_PRICE", "more than 8 decimals"),
    ({"id": "works", "stop_px": 440}, "BAD_PRICE", "a limit order takes no stop_px"),
    ({"id": "works", "limit_px": 420}, "BAD_BRACKET", "must lie below its entry at 420"),
    ({"id": "half", "qty": 4}, "BELOW_FILLED", "4 are filled already; give a larger quantity, or cancel the rest"),
    ({"id": "half", "qty": 3}, "BELOW_FILLED", "4 are filled already; give a larger quantity, or cancel the rest"),
    ({"id": "trails", "stop_px": 440}, "BAD_PRICE", "takes no stop_px"),
    ({"id": "done", "qty": 5}, "TERMINAL_ORDER", "has ended already"),
    ({"id": "nobody", "qty": 5}, "UNKNOWN_ORDER", "there is no order nobody"),
]


def house() -> House:
    """A core with a working, a half-filled, a trailing and a cancelled order; SPY stands at 450.

    The participation of 10 % lets 4 of 10 shares of ``half`` fill at once from a bar of 40 shares.
    """
    made = House()
    made.bar(100, 200, 450)
    made.submit(id="half", symbol="SPY", type="limit", limit_px=451, tif="gtc")
    made.bar(100, 200, 450, volume=40)
    bracket = {"take_profit_px": 460, "stop_px": 425}
    made.submit(id="works", symbol="SPY", type="limit", limit_px=430, tif="gtc", bracket=bracket)
    made.submit(id="trails", symbol="SPY", type="trailing_stop", trail_amount=5)
    made.submit(id="done", symbol="SPY", type="limit", limit_px=430)
    made.call("order.cancel", id="done")
    return made


@pytest.fixture(scope="module")
def furnished() -> tuple[House, bytes]:
    """That house and its snapshot, which tests begin from."""
    made = house()
    return made, made.core.sequencer.snapshot()


def state(made: House) -> dict[str, Any]:
    """Everything the rooms know, but for ids that are used up."""
    rooms = {actor.name: actor.snapshot() for actor in made.core.sequencer.routing.actors}
    for name, room in rooms.items():
        if name in {"risk", "broker"}:
            rooms[name] = {part: value for part, value in room.items() if part != "seen"}
    return rooms


def line(verb: str, body: dict[str, Any]) -> str:
    """Write a line of an orders file; decimals as they are, what is not finite as JavaScript writes it."""
    text = json.dumps({"at": None, verb: body}, default=lambda value: f"<{value}>")
    return text.replace('"<', "").replace('>"', "")


def in_a_file(folder: Path, verb: str, body: dict[str, Any]) -> Command:
    """Return what the third line of an orders file asks for."""
    path = folder / "orders.jsonl"
    first = line("submit", {"id": "x", "symbol": "SPY", "side": "buy", "qty": 1})
    path.write_text(f"{first}\n\n{line(verb, body)}\n", "utf-8")
    return read_script(path, INDEX, ("main",), NEW_YORK)[1].command


def on_the_socket(verb: str, body: dict[str, Any]) -> Command:
    """Return what a call asks for."""
    command = command_of(make_call(f"order.{verb}", **body), House().universe, ("main",), read_time=NEW_YORK)
    assert isinstance(command, Command)
    return command


def answer(made: House, command: Command) -> Event:
    """Let a command in that must be refused; nothing else happens and nothing else changes."""
    before = state(made)
    (event,) = made.put(command, "control")
    assert state(made) == before
    return event


@pytest.mark.parametrize(("fields", "code", "words"), ORDERS, ids=[str(case[0])[:60] for case in ORDERS])
def test_an_order_that_makes_no_sense_is_denied_and_changes_nothing(
    furnished: tuple[House, bytes], tmp_path: Path, fields: dict[str, Any], code: str, words: str
) -> None:
    """The same code and sentence from a file, which names its line, and from the socket; the id alone is used up."""
    made, raw = furnished
    body = {"id": "bad", "symbol": "SPY", "side": "buy", "qty": 10} | fields
    read_at_the_border = read_submit(body, INDEX, ("main",), reason="t", read_time=NEW_YORK).malformed is not None
    for command, surface in ((in_a_file(tmp_path, "submit", body), "file"), (on_the_socket("submit", body), "socket")):
        made.core.sequencer.restore(raw)
        event = answer(made, command)
        assert isinstance(event, OrderDenied)
        assert (event.code, words in event.reason) == (code, True), event.reason
        if surface == "file" and read_at_the_border:
            assert event.reason.startswith("line 3: ")
        again = SubmitOrder(body["id"], "main", 2, 1, SCALE)
        (second,) = made.put(again, "control")
        assert isinstance(second, OrderDenied)
        assert second.code == "DUPLICATE"


@pytest.mark.parametrize(("fields", "code", "words"), REPLACES, ids=[str(case[0])[:60] for case in REPLACES])
def test_a_replace_that_makes_no_sense_is_refused_and_changes_nothing(
    furnished: tuple[House, bytes], tmp_path: Path, fields: dict[str, Any], code: str, words: str
) -> None:
    """Likewise; the order works on under the terms it had."""
    made, raw = furnished
    for command in (in_a_file(tmp_path, "replace", fields), on_the_socket("replace", fields)):
        made.core.sequencer.restore(raw)
        event = answer(made, command)
        assert isinstance(event, OrderCancelRejected)
        assert (event.code, words in event.reason) == (code, True), event.reason


@pytest.mark.parametrize(("order", "code"), [("done", "TERMINAL_ORDER"), ("nobody", "UNKNOWN_ORDER")])
def test_a_cancel_of_what_does_not_work_is_refused_and_changes_nothing(
    furnished: tuple[House, bytes], tmp_path: Path, order: str, code: str
) -> None:
    """An order that has ended, one that never was."""
    made, raw = furnished
    path = tmp_path / "orders.jsonl"
    path.write_text(json.dumps({"at": None, "cancel": order}), "utf-8")
    (scripted,) = read_script(path, INDEX, ("main",), NEW_YORK)
    for command in (scripted.command, on_the_socket("cancel", {"id": order})):
        made.core.sequencer.restore(raw)
        event = answer(made, command)
        assert isinstance(event, OrderCancelRejected)
        assert (event.code, order in event.reason) == (code, True)


def test_the_orders_of_these_tests_are_what_they_are_called(furnished: tuple[House, bytes]) -> None:
    """Four of ten filled, two at work, one gone."""
    made, raw = furnished
    made.core.sequencer.restore(raw)
    working = {order.order.client_order_id: order for order in made.core.broker.working}
    assert set(working) == {"half", "works", "trails"}
    assert working["half"].cum_qty == 4 * SCALE


def test_the_socket_keeps_what_clients_must_not_confuse() -> None:
    """An order without a portfolio among several, or with an id of the broker's own, is no order."""
    with pytest.raises(FieldError, match="which portfolio"):
        read_submit({"id": "a", "symbol": "SPY", "side": "buy", "qty": 1}, INDEX, ("a", "b"), reason="t")
    with pytest.raises(FieldError, match="there is no portfolio"):
        read_submit({"id": "a", "portfolio": ["a"]}, INDEX, ("a", "b"), reason="t")
    with pytest.raises(FieldError, match="looks like one of the broker's own"):
        on_the_socket("submit", {"id": "O-7", "symbol": "SPY", "side": "buy", "qty": 1})


def test_a_good_order_of_the_same_form_is_taken(furnished: tuple[House, bytes], tmp_path: Path) -> None:
    """So the refusals above are about what they say, and not about the house."""
    made, raw = furnished
    body = {"id": "good", "symbol": "SPY", "side": "buy", "qty": 10, "type": "limit", "limit_px": 449}
    for command in (in_a_file(tmp_path, "submit", body), on_the_socket("submit", body)):
        made.core.sequencer.restore(raw)
        events = made.put(command, "control")
        assert [type(event) for event in events] == [OrderAccepted]
        assert made.now == OPEN + 2 * MINUTE
        assert msgspec.structs.replace(events[0].order, reason="") == msgspec.structs.replace(  # type: ignore[attr-defined]
            read(id="good", type="limit", limit_px=449), reason=""
        )


ANYTHING: Final = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**30), 10**30),
        st.decimals(allow_nan=True, allow_infinity=True),
        st.decimals(-1_000, 1_000, places=2),
        st.text(max_size=12),
        st.sampled_from([*OrderType, *TimeInForce, "buy", "sell", "SPY", "2020-02-28", "2020-02-28T10:00:00Z"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(BRACKET_FIELDS), inner)),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(sorted(ORDER_FIELDS - {"id", "portfolio"})), ANYTHING), st.data())
def test_whatever_the_fields_hold_is_taken_or_refused_by_name(
    furnished: tuple[House, bytes], fields: dict[str, Any], data: st.DataObject
) -> None:
    """No value of any field, nor any mixture, breaks the reading, the journal or a room; the answer has a code."""
    made, raw = furnished
    if data.draw(st.booleans()):  # good enough to come past the first checks
        fields = {"symbol": "SPY", "side": "buy", "qty": 10} | {
            k: v for k, v in fields.items() if k not in ("qty", "side")
        }
    made.core.sequencer.restore(raw)
    command = read_submit({"id": "any", **fields}, INDEX, ("main",), reason="t", read_time=NEW_YORK)
    events = made.put(command, "control")
    first = events[0]
    assert isinstance(first, OrderAccepted | OrderDenied | OrderRejected), events
    if not isinstance(first, OrderAccepted):
        assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", first.code)
        assert first.reason
    else:
        assert made.core.sequencer.codec.decode_many(made.core.sequencer.codec.encode_many(events)) == events
