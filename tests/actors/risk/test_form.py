"""What each order type, time in force and term needs and excludes, and the price an order of it is judged at."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from actors.messages.orders import (
    BUY,
    SELL,
    Bracket,
    CancelOrder,
    OrderAccepted,
    OrderDenied,
    OrderTerms,
    OrderType,
    ReplaceOrder,
    SubmitOrder,
    TimeInForce,
)
from actors.values.fixed import SCALE, fmt, to_fixed

T = OrderType
LATER = 1 << 62


def terms(**fields):
    """Terms with amounts in plain numbers; a bracket as a dict."""
    amounts = {"trail_amount", "trail_percent", "activation_px", "display_qty"}
    said = {name: to_fixed(value) if name in amounts else value for name, value in fields.items()}
    if "bracket" in said:
        said["bracket"] = Bracket(**{part: to_fixed(number) for part, number in said["bracket"].items()})
    return OrderTerms(**said)


GOOD = {
    T.MARKET: {},
    T.LIMIT: {"limit_px": 99},
    T.STOP: {"stop_px": 105},
    T.STOP_LIMIT: {"stop_px": 105, "limit_px": 106},
    T.TRAILING_STOP: {"terms": terms(trail_amount=2)},
    T.MARKET_IF_TOUCHED: {"stop_px": 95},
    T.LIMIT_IF_TOUCHED: {"stop_px": 95, "limit_px": 96},
    T.TAKE_PROFIT: {"limit_px": 99},
    T.MARKET_ON_OPEN: {},
    T.MARKET_ON_CLOSE: {},
}
"""What each type needs, for a buy with the market at 100."""
RESTING = {"day", "gtc", "gtd"}
TIFS = {
    T.MARKET: {*RESTING, "ioc", "fok", "opg", "cls"},
    T.LIMIT: {*RESTING, "ioc", "fok", "opg", "cls"},
    T.STOP: RESTING,
    T.STOP_LIMIT: RESTING,
    T.TRAILING_STOP: RESTING,
    T.MARKET_IF_TOUCHED: RESTING,
    T.LIMIT_IF_TOUCHED: RESTING,
    T.TAKE_PROFIT: {*RESTING, "ioc", "fok"},
    T.MARKET_ON_OPEN: {"opg", "day"},
    T.MARKET_ON_CLOSE: {"cls", "day"},
}


def made(kind, tif="day", **changes):
    """Return the fields of a good order of a kind, with changes."""
    fields = {"type": kind, "tif": TimeInForce(tif), **GOOD[kind], **changes}
    if tif == "gtd":
        fields["terms"] = msgspec.structs.replace(fields.get("terms") or OrderTerms(), expire_ts=LATER)
    return fields


# -- tables --------------------------------------------------------------------------------------------------------


def test_each_type_takes_its_times_in_force_and_no_others(world):
    """The whole cross product; the sentence names those it takes."""
    assert set(GOOD) == set(TIFS) == set(OrderType)
    for kind, tif in itertools.product(OrderType, TimeInForce):
        w = world()
        if tif in TIFS[kind]:
            assert w.submit(BUY, 1, **made(kind, tif)) == "ok", (kind, tif)
        else:
            denied = w.denial(BUY, 1, **made(kind, tif))
            assert (denied.code, *sorted(TIFS[kind])) == (
                "BAD_TIF",
                *sorted(denied.reason.split("one of ")[1].split(", ")),
            )


def test_each_type_takes_its_prices_and_no_others(world):
    """Each price left out, put in where it does not belong, zero and below."""
    for kind, good in GOOD.items():
        for name in ("limit_px", "stop_px"):
            wrong = [{name: None}, {name: 0}, {name: -1}] if name in good else [{name: 100}]
            for change in wrong:
                denied = world().denial(BUY, 1, **made(kind, **change))
                assert (denied.code, name in denied.reason) == ("BAD_PRICE", True), (kind, change)


def test_only_trailing_stops_have_a_trail(world):
    """And those have exactly one distance."""
    for kind in OrderType:
        for name in ("trail_amount", "trail_percent", "activation_px"):
            w = world()
            verdict = w.submit(BUY, 1, **made(kind, terms=terms(**{name: 2})))
            fits = kind is T.TRAILING_STOP and name != "activation_px"
            assert verdict == ("ok" if fits else "BAD_TRAIL"), (kind, name)


@pytest.mark.parametrize(
    ("side", "said", "words"),
    [
        (SELL, {}, "needs trail_amount or trail_percent"),
        (SELL, {"trail_amount": 1, "trail_percent": 1}, "not both"),
        (SELL, {"trail_amount": 0}, "trail_amount must be above zero"),
        (SELL, {"trail_amount": -1}, "trail_amount must be above zero"),
        (SELL, {"trail_percent": 0}, "trail_percent must be above zero"),
        (SELL, {"trail_percent": 100}, "below 100"),
        (BUY, {"trail_percent": 100}, "below 100"),
        (SELL, {"trail_amount": 100}, "as much as the price 100 itself"),
        (SELL, {"trail_amount": 2, "activation_px": 0}, "activation_px must be above zero"),
    ],
)
def test_a_trail_that_cannot_be_is_refused(world, side, said, words):
    """A distance of nothing, of everything, or of two kinds."""
    w = world()
    w.hold(10)
    denied = w.denial(side, 1, type=T.TRAILING_STOP, terms=terms(**said) if said else None)
    assert (denied.code, words in denied.reason) == ("BAD_TRAIL", True), denied.reason


def test_a_trail_at_its_limits_passes(world):
    """99.99999999 percent; a money distance just below the price; a buy's may be any."""
    w = world()
    w.hold(10)
    for side, said in (
        (SELL, OrderTerms(trail_percent=100 * SCALE - 1)),
        (SELL, terms(trail_amount=99.99999999)),
        (SELL, terms(trail_amount=110, activation_px=120)),
        (BUY, terms(trail_amount=100)),
    ):
        assert w.submit(side, 1, type=T.TRAILING_STOP, terms=said) == "ok"


# -- expiry --------------------------------------------------------------------------------------------------------


def test_an_end_belongs_to_gtd_and_lies_ahead(world):
    """None, at this very instant, one nanosecond ahead; and none for any other time in force."""
    w = world()
    now = w.clock.now()
    base = {"type": T.LIMIT, "limit_px": 99}
    assert w.submit(BUY, 1, **base, tif=TimeInForce.GTD) == "BAD_EXPIRY"
    assert w.submit(BUY, 1, **base, tif=TimeInForce.GTD, terms=OrderTerms(expire_ts=now)) == "BAD_EXPIRY"
    assert w.submit(BUY, 1, **base, tif=TimeInForce.GTD, terms=OrderTerms(expire_ts=now + 1)) == "ok"
    for tif in set(TimeInForce) - {"gtd"}:
        assert w.submit(BUY, 1, **base, tif=tif, terms=OrderTerms(expire_ts=now + 1)) == "BAD_EXPIRY"


# -- marks ---------------------------------------------------------------------------------------------------------


def test_only_what_rests_with_a_limit_shows_less_than_it_is(world):
    """By type and by time in force."""
    shows = terms(display_qty=1)
    for kind in (T.LIMIT, T.STOP_LIMIT, T.LIMIT_IF_TOUCHED, T.TAKE_PROFIT):
        assert world().submit(BUY, 5, **made(kind, terms=shows)) == "ok"
    for kind in (T.MARKET, T.STOP, T.MARKET_IF_TOUCHED, T.MARKET_ON_OPEN, T.MARKET_ON_CLOSE):
        assert world().submit(BUY, 5, **made(kind, terms=shows)) == "BAD_DISPLAY"
    for tif in ("ioc", "fok", "opg", "cls"):
        assert world().submit(BUY, 5, **made(T.LIMIT, tif, terms=shows)) == "BAD_DISPLAY"


@pytest.mark.parametrize(
    ("shown", "verdict"), [(0, "BAD_DISPLAY"), (-1, "BAD_DISPLAY"), (1.5, "BAD_DISPLAY"), (5, "ok"), (6, "BAD_DISPLAY")]
)
def test_what_is_shown_is_a_multiple_of_the_lot_and_no_more_than_the_quantity(world, shown, verdict):
    """Of five shares, in lots of one."""
    assert world().submit(BUY, 5, **made(T.LIMIT, terms=terms(display_qty=shown))) == verdict


def test_only_resting_limits_are_posted(world):
    """Whatever takes liquidity by its kind cannot promise not to."""
    posted = OrderTerms(post_only=True)
    for kind in OrderType:
        fits = kind in (T.LIMIT, T.TAKE_PROFIT)
        if kind is not T.TRAILING_STOP:
            assert world().submit(BUY, 5, **made(kind, terms=posted)) == ("ok" if fits else "BAD_FIELD")
    for tif in ("ioc", "fok", "opg", "cls"):
        assert world().submit(BUY, 5, **made(T.LIMIT, tif, terms=posted)) == "BAD_FIELD"


# -- brackets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "entry", "exits", "verdict"),
    [
        (BUY, {}, {"take_profit_px": 101, "stop_px": 99}, "ok"),
        (BUY, {}, {"take_profit_px": 101}, "ok"),
        (BUY, {}, {"stop_px": 99}, "ok"),
        (SELL, {}, {"take_profit_px": 99}, "ok"),
        (BUY, {}, {"take_profit_px": 100}, "must lie above its entry at 100"),
        (BUY, {}, {"stop_px": 100}, "must lie below its entry at 100"),
        (BUY, {}, {"take_profit_px": 99, "stop_px": 101}, "must lie above"),
        (SELL, {}, {"take_profit_px": 99, "stop_px": 101}, "ok"),
        (SELL, {}, {"take_profit_px": 101}, "must lie below its entry at 100"),
        (SELL, {}, {"stop_px": 99}, "must lie above its entry at 100"),
        (BUY, {"type": T.LIMIT, "limit_px": 90}, {"take_profit_px": 95, "stop_px": 85}, "ok"),
        (BUY, {"type": T.LIMIT, "limit_px": 90}, {"stop_px": 95}, "must lie below its entry at 90"),
        (BUY, {"type": T.STOP, "stop_px": 110}, {"stop_px": 105}, "ok"),
        (BUY, {"type": T.STOP, "stop_px": 110}, {"take_profit_px": 105}, "must lie above its entry at 110"),
        (BUY, {"type": T.STOP_LIMIT, "stop_px": 110, "limit_px": 111}, {"stop_px": 110.5}, "ok"),
        (BUY, {"type": T.MARKET_IF_TOUCHED, "stop_px": 95}, {"stop_px": 99}, "ok"),
        (BUY, {}, {}, "needs take_profit_px, stop_px, trail_amount or trail_percent"),
        (BUY, {}, {"stop_px": 99, "trail_amount": 1}, "not both"),
        (BUY, {}, {"trail_percent": 1, "trail_amount": 1}, "not both"),
        (BUY, {}, {"take_profit_px": 101, "activation_px": 101}, "activation_px is for a trail"),
        (BUY, {}, {"trail_percent": 3, "activation_px": 101}, "ok"),
        (BUY, {}, {"trail_percent": 100}, "below 100"),
        (BUY, {}, {"trail_amount": 100}, "as much as the price"),
        (SELL, {}, {"trail_amount": 100}, "ok"),
        (BUY, {}, {"trail_amount": 0}, "above zero"),
        (BUY, {}, {"stop_px": 0}, "above zero"),
        (BUY, {}, {"stop_px": -1}, "above zero"),
        (BUY, {"reduce_only": True}, {"stop_px": 99}, "only reduces"),
    ],
)
def test_the_exits_of_a_bracket_stand_on_their_own_sides_of_the_entry(world, wide, side, entry, exits, verdict):
    """The entry is its limit, a stop's trigger, or the last price, 100."""
    w = world(msgspec.structs.replace(wide, allow_short=True))
    order = w.order(side, 1, **entry, terms=terms(bracket=exits))
    event = w.process(order)[0]
    if verdict == "ok":
        assert isinstance(event, OrderAccepted), event
    else:
        assert (event.code, verdict in event.reason) == ("BAD_BRACKET", True), event.reason


def test_without_any_price_the_exits_are_held_against_each_other(world):
    """Nothing has traded yet: a target below its stop is wrong all the same."""
    w = world(price=None)
    assert w.submit(BUY, 1, terms=terms(bracket={"take_profit_px": 90, "stop_px": 95})) == "BAD_BRACKET"
    assert w.submit(BUY, 1, terms=terms(bracket={"take_profit_px": 95, "stop_px": 90})) == "ok"
    assert w.submit(SELL, 1, terms=terms(bracket={"take_profit_px": 95, "stop_px": 90})) == "BAD_BRACKET"


def test_an_order_that_closes_has_nothing_for_a_bracket_to_protect(world):
    """Held 10, sold 10: the bracket would come to life behind nothing."""
    w = world()
    w.hold(10)
    assert w.submit(SELL, 10, terms=terms(bracket={"stop_px": 110})) == "BAD_BRACKET"


def test_of_a_flip_only_the_half_that_opens_has_the_bracket(world, wide):
    """Held 10, sold 25 with a bracket that shows 12: 10 close without one, 15 open with it."""
    w = world(msgspec.structs.replace(wide, allow_short=True))
    w.hold(10)
    bracket = {"take_profit_px": 80, "stop_px": 120}
    said = terms(bracket=bracket, display_qty=12)
    events = w.process(w.order(SELL, 25, client_order_id="f", type=T.LIMIT, limit_px=99, terms=said))
    closing, opening = (event.order for event in events)
    assert (closing.client_order_id, fmt(closing.qty), closing.terms) == ("f", "10", None)
    assert (opening.client_order_id, fmt(opening.qty), opening.parent_id) == ("f-open", "15", "f")
    assert opening.terms == said


def test_an_order_of_a_group_is_not_split(world, wide):
    """Its halves would cancel each other."""
    w = world(msgspec.structs.replace(wide, allow_short=True))
    w.hold(10)
    denied = w.denial(SELL, 25, terms=OrderTerms(oco_group="g"))
    assert (denied.code, denied.limit) == ("WOULD_FLIP", "10")
    assert w.submit(SELL, 10, terms=OrderTerms(oco_group="g")) == "ok"


def test_two_exits_of_a_group_may_each_sell_all_that_is_held(world, wide):
    """Only one of them fills; whatever lies outside of the group is still a short sale."""
    w = world(wide)
    w.hold(10)
    group = OrderTerms(oco_group="g")
    assert w.submit(SELL, 10, type=T.LIMIT, limit_px=110, terms=group) == "ok"
    assert w.submit(SELL, 10, type=T.STOP, stop_px=90, terms=group) == "ok"
    assert w.denial(SELL, 11, type=T.STOP, stop_px=91, terms=group).code == "SHORT_NOT_ALLOWED"
    assert w.denial(SELL, 1, terms=OrderTerms(oco_group="other")).code == "SHORT_NOT_ALLOWED"


# -- what an order is judged at ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reserved"),
    [
        ({"type": T.TRAILING_STOP, "terms": terms(trail_amount=5)}, "1071"),  # 10 x (100 + 5) x 1.02
        ({"type": T.TRAILING_STOP, "terms": terms(trail_percent=5)}, "1071"),
        ({"type": T.TRAILING_STOP, "terms": terms(trail_percent=5, activation_px=90)}, "1071"),
        ({"type": T.TRAILING_STOP, "terms": terms(trail_amount=5, activation_px=110)}, "1173"),  # 10 x 115 x 1.02
        ({"type": T.STOP_LIMIT, "stop_px": 110, "limit_px": 112}, "1120"),
        ({"type": T.LIMIT_IF_TOUCHED, "stop_px": 95, "limit_px": 96}, "960"),
        ({"type": T.MARKET_IF_TOUCHED, "stop_px": 95}, "1020"),
        ({"type": T.MARKET_IF_TOUCHED, "stop_px": 105}, "1020"),  # it is touched already and trades at the market
        ({"type": T.STOP, "stop_px": 90}, "1020"),  # it is triggered already
        ({"type": T.TAKE_PROFIT, "limit_px": 90}, "900"),
        ({"type": T.MARKET_ON_OPEN, "tif": TimeInForce.OPG}, "1020"),
        ({"type": T.MARKET_ON_CLOSE, "tif": TimeInForce.CLS}, "1020"),
        ({"terms": OrderTerms(oco_group="g")}, "1020"),
    ],
)
def test_an_order_reserves_the_price_its_kind_is_judged_at(world, wide, fields, reserved):
    """Ten shares with the market at 100 and a reserve of 1.02; a limit reserves itself."""
    w = world(msgspec.structs.replace(wide, cash_reserve=102_000_000))
    (accepted,) = w.process(w.order(BUY, 10, **fields))
    assert fmt(accepted.reserved) == reserved


# -- replaces ------------------------------------------------------------------------------------------------------


def test_a_replace_keeps_to_the_prices_of_the_type(world):
    """A trailing stop has no trigger that could be moved; a limit's bracket must still surround it."""
    w = world()
    w.hold(10)
    w.process(w.order(SELL, 5, client_order_id="t", type=T.TRAILING_STOP, terms=terms(trail_amount=5)))
    assert w.replace("t", stop_px=95) == "BAD_PRICE"
    assert w.replace("t", limit_px=95) == "BAD_PRICE"
    assert w.replace("t", 3) == "ok"
    exits = terms(bracket={"take_profit_px": 110, "stop_px": 90})
    w.process(w.order(BUY, 5, client_order_id="b", type=T.LIMIT, limit_px=99, terms=exits))
    assert w.replace("b", limit_px=90) == "BAD_BRACKET"
    assert w.replace("b", limit_px=90.01) == "ok"


def test_what_was_right_when_it_came_may_be_replaced_whatever_the_market_did_since(world):
    """A trail of 50 with the market at 40, an iceberg cut below what it shows, an end that is near."""
    w = world()
    w.hold(10)
    w.process(w.order(SELL, 5, client_order_id="t", type=T.TRAILING_STOP, terms=terms(trail_amount=50)))
    exits = terms(bracket={"stop_px": 90})
    w.process(w.order(BUY, 5, client_order_id="b", terms=exits))
    w.process(w.order(BUY, 5, client_order_id="i", type=T.LIMIT, limit_px=99, terms=terms(display_qty=4)))
    w.bar([40, 40, 40])
    assert [w.replace(name, 3) for name in ("t", "b", "i")] == ["ok", "ok", "ok"]


def test_a_refused_replace_changes_nothing(world):
    """The order keeps its terms and its reservation; the gate's state is what it was."""
    w = world()
    w.process(w.order(BUY, 10, client_order_id="a", type=T.LIMIT, limit_px=99))
    w.fill(("a", 4, 99))
    before = w.risk.snapshot()
    for command, code in (
        (ReplaceOrder("a", qty=to_fixed(4)), "BELOW_FILLED"),
        (ReplaceOrder("a", qty=to_fixed(-1)), "BAD_QTY"),
        (ReplaceOrder("a", qty=to_fixed(10.5)), "BAD_QTY"),
        (ReplaceOrder("a", limit_px=0), "BAD_PRICE"),
        (ReplaceOrder("a", stop_px=to_fixed(90)), "BAD_PRICE"),
        (ReplaceOrder("nobody", qty=SCALE), "UNKNOWN_ORDER"),
        (ReplaceOrder("a", malformed=("BAD_FIELD", "the field tif cannot be replaced")), "BAD_FIELD"),
    ):
        (event,) = w.process(command)
        assert (event.code, bool(event.reason)) == (code, True)
        assert w.risk.snapshot() == before


def test_two_orders_of_one_decision_are_the_same_only_with_the_same_terms(world, wide):
    """A stop and a touch order at one price, or two trails, are two wishes; the same once more is a duplicate."""
    w = world(msgspec.structs.replace(wide, duplicate_window_ns=10**12))
    mine = {"strategy": "s", "decision": 1}
    orders = [
        {"type": T.STOP, "stop_px": 105},
        {"type": T.MARKET_IF_TOUCHED, "stop_px": 105},
        {"type": T.TRAILING_STOP, "terms": terms(trail_amount=2)},
        {"type": T.TRAILING_STOP, "terms": terms(trail_amount=3)},
    ]
    assert [w.submit(BUY, 1, **mine, **fields) for fields in orders] == ["ok"] * 4
    w.split()
    assert [w.submit(BUY, 1, **mine, **fields) for fields in orders] == ["DUPLICATE"] * 4


def test_ids_of_a_brackets_exits_are_its_own(world):
    """While the entry works nobody else has them, and an entry whose exits' ids are taken does not come in."""
    w = world()
    bracket = {"terms": terms(bracket={"stop_px": 90}), "type": T.LIMIT, "limit_px": 99}
    assert w.submit(BUY, 1, client_order_id="a", **bracket) == "ok"
    assert w.submit(BUY, 1, client_order_id="b") == "ok"
    for name in ("a-sl", "a-tp"):
        assert w.submit(BUY, 1, client_order_id=name) == "DUPLICATE"
    for name in ("b-sl", "c-tp", "-tp"):  # b has no bracket, c is nobody
        assert w.submit(BUY, 1, client_order_id=name) == "ok"
    assert w.submit(BUY, 1, client_order_id="c", **bracket) == "DUPLICATE"
    assert w.submit(BUY, 1, client_order_id="d", **bracket) == "ok"
    w.process(CancelOrder("d", "test"))
    assert w.submit(BUY, 1, client_order_id="d-sl") == "ok"  # d opened nothing, so no exit will come


def test_a_flip_whose_second_id_is_taken_does_not_begin(world, wide):
    """Or its first half would close, and nothing open behind it."""
    w = world(msgspec.structs.replace(wide, allow_short=True))
    assert w.submit(BUY, 5, client_order_id="a") == "ok"
    w.fill(("a", 5, 100))
    assert w.submit(BUY, 1, client_order_id="b-open") == "ok"
    assert w.submit(SELL, 20, client_order_id="b") == "DUPLICATE"
    assert "b" not in w.venue.orders


def test_a_denied_order_uses_up_its_id_and_nothing_else(world):
    """Whatever was wrong with it."""
    w = world()
    wrong = [
        {"type": T.LIMIT},
        {"tif": TimeInForce.GTD},
        {"type": T.TRAILING_STOP},
        {"terms": terms(display_qty=1)},
        {"terms": terms(bracket={})},
        {"symbol": -1, "symbol_text": "ZZZ"},
    ]
    for fields in wrong:
        before = {name: part for name, part in w.risk.snapshot().items() if name != "seen"}
        order: SubmitOrder = w.order(BUY, 1, **fields)
        (event,) = w.process(order)
        assert isinstance(event, OrderDenied)
        assert {name: part for name, part in w.risk.snapshot().items() if name != "seen"} == before
        assert w.submit(BUY, 1, client_order_id=order.client_order_id) == "DUPLICATE"
