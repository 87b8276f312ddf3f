"""Halts, price bands and short-sale restrictions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.broker.params import BrokerParams
from actors.messages.market import CorporateAction, GapDetected, TradingStatus
from actors.messages.orders import OrderCanceled, OrderRejected, OrderTerms, SymbolFrozen, SymbolReleased, TimeInForce
from actors.values.fixed import SCALE
from actors.values.halts import HALTED, LULD, MARKET, SSR, TRADING
from daemon.kernel.message import Event
from tests.actors.broker.desk import DAY, FREE, HOUR, PLAN, Desk, fills, fx, kinds, with_params
from tests.actors.broker.tape import Tape

FLAT = (10.0, 10.0, 10.0, 10.0)
SHORTS = with_params(allow_short=True)


def say(
    desk: Desk, hour: float, state: str, symbol: int = 0, *, bands: Any = (None, None), **extra: Any
) -> list[Event]:
    """Feed a status at an hour; bands as decimals."""
    lower, upper = (None if band is None else fx(band) for band in bands)
    ts = round(hour * HOUR)
    return desk.put(TradingStatus(ts, symbol, state, lower, upper, **extra), ts)


def took(events: list[Event]) -> list[tuple[float, float]]:
    """(shares, price) of the fills among events."""
    return [(fill.last_qty / 1e8, fill.last_px / 1e8) for fill in fills(events)]


# -- halts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [HALTED, LULD, "h5", ""])
@pytest.mark.parametrize("who", [0, MARKET])
def test_nothing_of_a_halted_symbol_fills_triggers_or_trails(state: str, who: int) -> None:
    """An unknown state is a halt. The other symbol trades on unless the market as a whole is halted."""
    desk = Desk(daily=False)
    desk.bar(1, FLAT, FLAT)
    desk.route(+1, 5)
    desk.route(-1, 5, "stop", 9.5)
    desk.route(+1, 5, "limit", 9.8)
    trail = OrderTerms(trail_amount=fx(0.5))
    desk.route(-1, 5, "market", type="trailing_stop", terms=trail)
    desk.route(+1, 1, symbol=1)
    say(desk, 1.5, state, who)
    before = [order.best for order in desk.broker.working]
    events = desk.bar(3, (10, 12, 8, 9), (10, 12, 8, 9))
    assert [fill.symbol for fill in fills(events)] == ([1] if who == 0 else [])
    events = desk.bar(4, (9, 12, 8, 9), (9, 12, 8, 9))
    assert not [event for event in events if getattr(event, "symbol", 0) == 0 or "Triggered" in type(event).__name__]
    assert [order.best for order in desk.broker.working if order.symbol == 0] == before[:4]
    say(desk, 4, TRADING, who)
    assert "OrderTriggered" in kinds(desk.bar(5, (9, 12, 8, 9), FLAT))


def test_a_bar_that_overlaps_a_halt_is_not_matched() -> None:
    """From 1:30 to 2:30: the bars that end at 2, 3 overlap it; the one that begins as trading resumes does not.

    A bar that began before the resumption and ends behind it may have its prices from before the halt.
    """
    desk = Desk(FREE, daily=False)
    desk.bar(1, FLAT)
    desk.route(+1, 5)
    say(desk, 1.5, HALTED)
    assert took(desk.bar(2, FLAT)) == []
    say(desk, 2.5, TRADING)
    assert took(desk.bar(3, FLAT)) == []
    assert took(desk.bar(4, (11, 11, 11, 11))) == [(5, 11)]


def test_a_bar_that_begins_as_trading_resumes_is_matched() -> None:
    """The resumption is no part of the halt."""
    desk = Desk(FREE, daily=False)
    desk.bar(1, FLAT)
    desk.route(+1, 5)
    say(desk, 1.5, HALTED)
    say(desk, 2, TRADING)
    assert took(desk.bar(3, FLAT)) == [(5, 10)]


@pytest.mark.parametrize("who", [0, MARKET])
@pytest.mark.parametrize("state", [HALTED, LULD])
def test_a_bar_that_ends_as_a_halt_begins_is_matched(state: str, who: int) -> None:
    """It was over by then: the purchase has its open, the trail its high (11 - 0.5); the next bar overlaps the halt.

    What comes in as the halt begins waits, whatever it could have filled at as the bar ended.
    """
    desk = Desk(with_params(FREE, same_event_fill=True), daily=False)
    desk.bar(1, FLAT)
    desk.route(+1, 5, "limit", 10.5)
    desk.route(-1, 1, "market", type="trailing_stop", terms=OrderTerms(trail_amount=fx(2)))
    say(desk, 2, state, who)
    restored = Desk(with_params(FREE, same_event_fill=True), daily=False)
    restored.broker.restore(desk.broker.snapshot())
    assert took(restored.bar(2, (10, 11, 10, 11))) == [(5, 10)]
    assert took(desk.bar(2, (10, 11, 10, 11))) == [(5, 10)]
    assert [order.best for order in desk.broker.working] == [fx(11)]
    assert took(desk.route(+1, 5)) == []
    assert took(desk.bar(3, (8, 8, 8, 8))) == []
    say(desk, 4, TRADING, who)
    assert took(desk.bar(4, (8, 8, 8, 8))) == []
    assert took(desk.bar(5, (8.5, 9, 8, 9))) == [(1, 8.5), (5, 8.5)]


def test_stops_and_starts_are_told_once() -> None:
    """Bands and restrictions are neither; another halt of what is halted is no news."""
    desk = Desk(daily=False)
    assert say(desk, 1, HALTED, reason="T1") == [SymbolFrozen(0, HALTED, "T1")]
    assert say(desk, 1, "h9") == []
    assert say(desk, 1, LULD, bands=(9, 11)) == []
    assert say(desk, 1, SSR) == []
    assert say(desk, 1, HALTED, MARKET) == [SymbolFrozen(MARKET, HALTED)]
    assert say(desk, 1, TRADING, reason="R4") == [SymbolReleased(0, "R4")]
    assert say(desk, 1, TRADING) == []
    assert say(desk, 1, LULD, bands=(9, 11)) == []
    assert say(desk, 1, LULD) == [SymbolFrozen(0, LULD)]
    assert say(desk, 1, LULD, bands=(9, 11)) == [SymbolReleased(0)]
    assert say(desk, 1, TRADING, MARKET) == [SymbolReleased(MARKET)]
    for bands in ((9, None), (None, 11)):  # one band is enough to trade within
        assert say(desk, 1, LULD, 1, bands=bands) == []


def test_a_gap_in_the_data_lifts_no_halt_and_neither_does_a_restart() -> None:
    """Only somebody who says that it trades does; what was told is not told again."""
    desk = Desk(FREE, daily=False)
    desk.bar(1, FLAT)
    say(desk, 1, HALTED)
    desk.route(+1, 5)
    desk.put(GapDetected(2 * HOUR, "feed", HOUR, 2 * HOUR), 2 * HOUR)
    desk.split()
    assert took(desk.bar(4, FLAT)) == []
    desk.close(0)
    desk.open(1)
    assert took(desk.bar(26, FLAT)) == []
    assert say(desk, 26, HALTED) == []
    desk.split()
    assert say(desk, 27, TRADING) == [SymbolReleased(0)]
    assert took(desk.bar(28, FLAT)) == [(5, 10)]


def test_prints_and_quotes_of_a_halted_symbol_fill_nothing() -> None:
    """They go on, as they do in practice; the first tick behind the resumption fills."""
    desk = Tape()
    desk.quote(0, 9.9, 100, 10.1, 100)
    desk.send(1, +1, 5)
    desk.send(1, -1, 5, "stop", stop_px=9.5)
    desk.put(TradingStatus(desk.at(2), 0, HALTED), desk.at(2))
    for ms in (3, 4):
        assert desk.quote(ms, 9.0, 100, 9.2, 100) == []
        assert desk.trade(ms, (9.1, 100)) == []
    desk.put(TradingStatus(desk.at(5), 0, TRADING), desk.at(5))
    events = desk.quote(5, 9.0, 100, 9.2, 100)
    assert took(events)[0] == (5, 9.2)


def test_an_auction_at_the_close_of_a_halted_symbol_does_not_happen() -> None:
    """The order ends with its session, unfilled."""
    desk = Desk(FREE, daily=False)
    desk.open(0)
    desk.bar(1, FLAT)
    desk.route(+1, 5, type="market_on_close", tif=TimeInForce.DAY)
    say(desk, 2, HALTED)
    desk.bar(8, FLAT)
    assert "OrderExpired" in kinds(desk.close(0))


def test_orders_may_be_sent_and_cancelled_while_a_symbol_is_halted() -> None:
    """An exit waits for the resumption; nothing but the market stands still."""
    desk = Desk(FREE, daily=False)
    desk.bar(1, FLAT)
    say(desk, 1, HALTED)
    assert kinds(desk.route(+1, 5)) == ["OrderAccepted"]
    assert kinds(desk.cancel("c1")) == ["OrderCanceled"]


@pytest.mark.parametrize("hour", [1, 1.2])
def test_same_event_fills_wait_for_the_end_of_a_halt_too(hour: float) -> None:
    """The bar whose close they would fill at overlaps the halt, or its symbol is halted still."""
    desk = Desk(with_params(same_event_fill=True), daily=False)
    say(desk, 0.5, HALTED)
    if hour == 1:
        say(desk, 0.9, TRADING)
    desk.bar(1, FLAT)
    assert took(desk.route(+1, 5)) == []


def test_a_halted_symbol_is_halted_under_its_new_name() -> None:
    """A rename is no resumption: the order that moves along waits, and the halt is lifted under the new name."""
    desk = Desk(SHORTS, daily=False)
    desk.open(1)
    desk.bar(25, FLAT, FLAT)
    say(desk, 25, HALTED)
    say(desk, 25, SSR)
    desk.route(+1, 5)
    desk.put(CorporateAction(26 * HOUR, 20200102, 0, "rename", 0, renamed_to=1), 26 * HOUR)
    desk.split()
    assert took(desk.bar(27, None, FLAT)) == []
    assert kinds(desk.route(-1, 5, symbol=1)) == ["OrderRejected"]
    assert say(desk, 27, TRADING, 1) == [SymbolReleased(1)]
    assert took(desk.bar(28, None, FLAT)) == [(5, 10)]


# -- bands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "bands", "expected"),
    [
        (+1, (None, None), 10.05575),
        (+1, (9, 10.02), 10.02),  # cut to the band
        (+1, (9, 10.0), 10.0),  # at the band exactly
        (+1, (9, 9.99), None),  # the price itself lies beyond
        (-1, (9.97, 11), 9.97),
        (-1, (10.0, 11), 10.0),
        (-1, (10.01, 11), None),
        (+1, (10.01, None), 10.05575),  # the other side's band is nobody's
    ],
)
def test_what_a_taker_pays_ends_at_the_band(side: int, bands: Any, expected: float | None) -> None:
    """What lies beyond costs nothing more, and where the price itself lies beyond there is no trade.

    5,000 shares at 10: half the spread 10 x 0.00015 / 2 = 0.00075, slippage 10 x 0.0005 = 0.005, linear impact at a
    rate of 0.01 for 100,000 of value 10 x 0.01 x 50,000 / 100,000 = 0.05; in all 0.05575 beside 10.
    """
    params = with_params(PLAN, impact="linear", impact_linear_rate=1_000_000, participation=0)
    desk = Desk(params, daily=False)
    desk.bar(1, FLAT)
    if side < 0:
        desk.route(+1, 5000)
        desk.bar(2, FLAT)
    if bands != (None, None):
        say(desk, 2, LULD, bands=bands)
    desk.route(side, 5000)
    found = [px for _, px in took(desk.bar(3, FLAT))]
    if expected is None:
        assert found == []
        say(desk, 3, TRADING)
        assert len(took(desk.bar(4, FLAT))) == 1
    else:
        assert found == [expected]


def test_a_limit_or_a_stop_beyond_the_band_waits_and_is_not_triggered() -> None:
    """A limit at 10 opens at 9 below the lower band of nobody: purchases have the upper one only."""
    desk = Desk(FREE, daily=False)
    desk.bar(1, FLAT)
    say(desk, 1, LULD, bands=(9.5, 10.5))
    desk.route(+1, 5, "stop", 11)
    desk.route(+1, 5, "limit", 12)
    assert kinds(desk.bar(2, (11, 12, 10.8, 11))) == []
    assert took(desk.bar(3, (9, 9, 9, 9))) == [(5, 9)]


def test_a_bar_is_held_to_the_widest_of_the_bands_that_held_inside_it() -> None:
    """From 1:00 to 2:00: 9 to 11 held until 1:20, then 6 to 8, and from 1:40 on 9 to 11 again.

    A stop of 7 sells at 7 as the price falls through it, which the last bands alone would forbid; one of 5.5 lies below
    all of them. What is told as the bar ends (9.9 to 10.1) is for the next one: there a purchase at the open of 10.05
    is cut to 10.1 instead of paying 10.05 x 1.02, and it has the last bands alone.
    """
    desk = Desk(with_params(FREE, slippage_rate=fx(0.02), allow_short=True), daily=False)
    desk.bar(1, FLAT)
    desk.route(-1, 1, "stop", 7)
    desk.route(-1, 1, "stop", 5.5)
    for hour, bands in ((0.5, (1, 99)), (1, (9, 11)), (1 + 1 / 3, (6, 8)), (1 + 2 / 3, (9, 11)), (2, (9.9, 10.1))):
        say(desk, hour, LULD, bands=bands)
    desk.split()
    assert took(desk.bar(2, (10, 10, 5, 10))) == [(1, 6.86)]
    desk.route(+1, 1)
    assert took(desk.bar(3, (10.05, 10.05, 10.05, 10.05))) == [(1, 10.1)]


def test_bands_told_as_a_bar_ends_are_not_for_it() -> None:
    """The first ones of a symbol; what comes in from then on is held to them."""
    desk = Desk(FREE, daily=False)
    desk.bar(1, FLAT)
    desk.route(+1, 1)
    say(desk, 2, LULD, bands=(5, 6))
    assert took(desk.bar(2, FLAT)) == [(1, 10)]
    desk.route(+1, 1)
    assert took(desk.bar(3, FLAT)) == []


@pytest.mark.parametrize("state", [TRADING, HALTED, LULD])
def test_a_bar_that_ends_as_its_bands_are_lifted_is_held_to_them(state: str) -> None:
    """They held for all of it, whatever is told at the instant it is known; the next one has none, nor any halt.

    9.5 to 10.5 from 2:00 to 3:00: no purchase at 11, no sale at 9, also over a restart.
    """
    desk = Desk(FREE, daily=False)
    desk.bar(1, FLAT)
    desk.route(+1, 2)
    desk.bar(2, FLAT)
    say(desk, 2, LULD, bands=(9.5, 10.5))
    desk.route(+1, 1, "stop", 11)
    desk.route(-1, 1, "stop", 9)
    say(desk, 3, state)
    desk.split()
    assert took(desk.bar(3, (10, 11, 8, 10))) == []
    say(desk, 3, TRADING)
    assert took(desk.bar(4, (10, 11, 10, 11))) == [(1, 11)]
    assert desk.broker._status.snapshot()[2] == []


def test_a_bar_inside_which_bands_were_lifted_is_held_to_none() -> None:
    """Behind 1:40 everything could be traded at."""
    desk = Desk(FREE, daily=False)
    desk.bar(1, FLAT)
    say(desk, 1, LULD, bands=(9.5, 10.5))
    desk.route(+1, 1, "stop", 11)
    say(desk, 1 + 2 / 3, TRADING)
    assert took(desk.bar(2, (10, 11, 10, 11))) == [(1, 11)]


def test_bands_of_a_snapshot_from_before_bars_knew_their_own_hold() -> None:
    """A row was (symbol, lower, upper)."""
    desk = Desk(FREE, daily=False)
    desk.bar(1, FLAT)
    desk.route(+1, 1)
    state = desk.broker.snapshot()
    say(desk, 1, LULD, bands=(5, 6))
    old = desk.broker._status.snapshot()
    assert old[2] == [[0, [[HOUR, fx(5), fx(6)]]]]
    desk.broker._status.restore([*old[:2], [[0, fx(5), fx(6)]], *old[3:8]])
    assert took(desk.bar(2, FLAT)) == []
    desk.broker.restore(state)
    assert took(desk.bar(3, FLAT)) == [(1, 10)]


@pytest.mark.parametrize("closed", [True, False])
def test_bands_end_with_their_session_and_a_pause_does_not(closed: bool) -> None:
    """The bar that ends the session still has them; the next session has none, whether the close was seen or not."""
    desk = Desk(FREE, daily=False)
    desk.open(0)
    desk.bar(1, FLAT, FLAT)
    say(desk, 1, LULD, bands=(9.5, 10.5))
    say(desk, 1, LULD, 1)
    for symbol in (0, 1):
        desk.route(+1, 5, "stop", 11, tif=TimeInForce.GTC, symbol=symbol)
    assert kinds(desk.bar(8, (11, 11, 11, 11), (11, 11, 11, 11))) == []
    if closed:
        desk.close(0)
    desk.open(1)
    assert [(fill.symbol, fill.last_px) for fill in fills(desk.bar(25, (12, 12, 12, 12), (12, 12, 12, 12)))] == [
        (0, fx(12))
    ]


def test_a_touch_beyond_the_band_trades_with_nobody() -> None:
    """Bid 9.9, ask 10.1: with an upper band of 10.05 no purchase; with one of 10.1 at the ask."""
    desk = Tape()
    desk.quote(0, 9.9, 100, 10.1, 100)
    desk.put(TradingStatus(desk.at(1), 0, LULD, fx(9.0), fx(10.05)), desk.at(1))
    desk.send(2, +1, 5)
    assert desk.quote(3, 9.9, 100, 10.1, 100) == []
    desk.put(TradingStatus(desk.at(4), 0, LULD, fx(9.0), fx(10.1)), desk.at(4))
    assert took(desk.quote(5, 9.9, 100, 10.1, 100)) == [(5, 10.1)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["bar", "band", "off"]),
            st.integers(80, 120),
            st.integers(0, 30),
            st.integers(0, 30),
            st.sampled_from([+1, -1]),
            st.sampled_from(["market", "limit", "stop"]),
        ),
        min_size=4,
        max_size=40,
    ),
    st.booleans(),
)
def test_no_purchase_above_the_upper_band_and_no_sale_below_the_lower(rows: list[Any], free: bool) -> None:
    """Random bands, bars and orders of every side and kind, with costs and without."""
    desk = Desk(with_params(FREE if free else PLAN, allow_short=True, participation=0), daily=False, n=1)
    lower = upper = None
    for hour, (what, mid, up, down, side, kind) in enumerate(rows, start=1):
        if what == "band":
            lower, upper = mid - down, mid + up
            say(desk, hour, LULD, bands=(lower, upper))
        elif what == "off":
            lower = upper = None
            say(desk, hour, TRADING)
        else:
            desk.route(side, 1, kind, mid + up - down)
            low, high = mid - down, mid + up
            for fill in fills(desk.bar(hour, (mid, high, low, (low + high) / 2))):
                assert fill.side < 0 or upper is None or fill.last_px <= fx(upper)
                assert fill.side > 0 or lower is None or fill.last_px >= fx(lower)


# -- short sales ---------------------------------------------------------------------------------------------------


def short_desk(params: BrokerParams = SHORTS, *, held: float = 0) -> Desk:
    """A desk in the first session of which the last price is 10; so much of A is held."""
    desk = Desk(params, daily=False)
    desk.open(1)
    desk.bar(25, FLAT, FLAT)
    if held:
        desk.route(+1, held)
        desk.bar(26, FLAT, FLAT)
    return desk


@pytest.mark.parametrize(
    ("held", "order", "refused"),
    [
        (0, {"kind": "market"}, True),
        (0, {"kind": "limit", "px": 10}, True),  # meets the market
        (0, {"kind": "limit", "px": 10.01}, False),  # rests above it
        (0, {"kind": "stop", "px": 9}, True),
        (5, {"kind": "market"}, False),  # what is held may be sold
        (4, {"kind": "market"}, True),
        (4, {"kind": "market", "reduce_only": True}, False),
    ],
)
def test_a_restricted_short_sale_has_to_rest(held: float, order: dict[str, Any], refused: bool) -> None:
    """Sales of 5 at a last price of 10; refused with a code and a remedy."""
    desk = short_desk(held=held)
    say(desk, 27, SSR)
    (event,) = desk.route(-1, 5, **order)
    if refused:
        assert isinstance(event, OrderRejected)
        assert (event.code, "Rule 201" in event.reason) == ("SSR_RESTRICTED", True)
    else:
        assert kinds([event]) == ["OrderAccepted"]


def test_a_restricted_short_sale_fills_as_the_limit_that_rests() -> None:
    """Met from below it fills at its price; another symbol is not restricted."""
    desk = short_desk()
    say(desk, 26, SSR)
    desk.route(-1, 5, "limit", 10.5)
    assert kinds(desk.route(-1, 5, symbol=1)) == ["OrderAccepted"]
    assert took(desk.bar(28, (10, 11, 10, 11), FLAT)) == [(5, 10), (5, 10.5)]


def test_what_was_to_sell_short_before_the_restriction_is_cut_to_what_is_held() -> None:
    """Of a stop of 5 with 2 held, 2 are sold when it is triggered; the rest ends, and says why."""
    desk = short_desk(held=2)
    desk.route(-1, 5, "stop", 9.5)
    say(desk, 27, SSR)
    events = desk.bar(28, (9, 9, 9, 9), FLAT)
    assert took(events) == [(2, 9)]
    (canceled,) = [event for event in events if isinstance(event, OrderCanceled)]
    assert canceled.reason == "SSR_RESTRICTED"


def test_on_quotes_a_short_sale_has_to_rest_above_the_bid() -> None:
    """Bid 9.9: a limit of 9.9 is refused, one of 9.91 rests and is met by a bid that comes up to it."""
    desk = Tape(SHORTS)
    desk.quote(0, 9.9, 100, 10.1, 100)
    desk.put(TradingStatus(desk.at(1), 0, SSR), desk.at(1))
    assert kinds(desk.send(2, -1, 5, "limit", limit_px=9.9)) == ["OrderRejected"]
    assert kinds(desk.send(2, -1, 5, "limit", limit_px=9.91)) == ["OrderAccepted"]
    assert took(desk.quote(3, 9.9, 100, 10.1, 100)) == []
    assert took(desk.quote(4, 9.95, 100, 10.1, 100)) == [(5, 9.95)]


@pytest.mark.parametrize(
    ("said", "carried", "restricted"),
    [
        ("before", False, [True, False, False]),  # before any session was seen: the first
        ("before", True, [True, False, False]),
        ("open", True, [True, False, False]),  # of the session before the first one played
        ("open", False, [True, True, False]),  # the rest of the session and the next one
        ("between", False, [False, True, False]),  # told between two sessions: the next one
    ],
)
def test_a_restriction_holds_for_its_session_and_the_next(said: str, carried: bool, restricted: list[bool]) -> None:
    """Sessions 1, 2 and 3, looked at while each is open; the state survives a restart."""
    desk = Desk(SHORTS, daily=False)
    if said == "before":
        say(desk, 1, SSR, carried=carried)
    found = []
    for day in (1, 2, 3):
        desk.open(day)
        if said == "open" and day == 1:
            say(desk, 24, SSR, carried=carried)
        desk.bar(24 * day + 1, FLAT, FLAT)
        desk.split()
        found.append(kinds(desk.route(-1, 1)) == ["OrderRejected"])
        desk.close(day)
        if said == "between" and day == 1:
            say(desk, 40, SSR)
    assert found == restricted


@pytest.mark.parametrize(
    ("mode", "low", "restricted"),
    [
        ("computed", 9.0, True),  # ten percent below the close of 10 exactly
        ("computed", 9.01, False),
        ("flagged", 5.0, False),
        ("off", 5.0, False),
    ],
)
def test_a_fall_of_ten_percent_restricts_where_that_is_switched_on(mode: str, low: float, restricted: bool) -> None:
    """Measured from the last close of the session before; it holds for the rest of the day and the next session."""
    desk = Desk(with_params(allow_short=True, ssr=mode), daily=False)
    desk.open(1)
    desk.bar(25, FLAT, FLAT)
    desk.close(1)
    found = []
    for day in (2, 3, 4):
        desk.open(day)
        if day == 2:
            assert kinds(desk.route(-1, 1, "limit", 11)) == ["OrderAccepted"]
            desk.bar(49, (10, 10, low, 10), (10, 10, 10, 10))
        desk.split()
        found.append(kinds(desk.route(-1, 1)) == ["OrderRejected"])
        assert kinds(desk.route(-1, 1, symbol=1)) == ["OrderAccepted"]
        desk.bar(24 * day + 4, FLAT, FLAT)
        desk.close(day)
    assert found == [restricted, restricted, False]


@pytest.mark.parametrize(
    ("late", "early", "low", "restricted"),
    [
        pytest.param(10.0, 10.0, 9.0, True, id="nothing moves outside the session"),
        pytest.param(20.0, 20.0, 9.01, False, id="after it 20 are paid: 9.01 is not ten percent below its close of 10"),
        pytest.param(5.0, 5.0, 9.01, False, id="nor does a fall outside restrict"),
        pytest.param(8.0, 8.0, 9.0, True, id="and it makes no later one smaller"),
    ],
)
def test_ten_percent_are_of_the_regular_close_in_regular_hours(
    late: float, early: float, low: float, restricted: bool
) -> None:
    """Session 1 closes at 10; bars behind it and before the next one are of extended hours, a restart between them."""
    desk = Desk(with_params(allow_short=True, ssr="computed"), daily=False)
    desk.open(1)
    desk.bar(32, FLAT, FLAT)
    desk.close(1)
    desk.bar(33, (late, late, late, late), FLAT)
    desk.split()
    desk.bar(47, (early, early, early, early), FLAT)
    desk.open(2)
    assert kinds(desk.route(-1, 1, "limit", 30)) == ["OrderAccepted"]
    desk.bar(49, (10, 10, low, 10), FLAT)
    assert (kinds(desk.route(-1, 1)) == ["OrderRejected"]) is restricted
    assert kinds(desk.route(-1, 1, symbol=1)) == ["OrderAccepted"]


AFTER = 9 * 3_600_000
"""Milliseconds from the opening to an hour behind the close."""


def test_prints_outside_of_the_session_are_no_fall_and_no_close() -> None:
    """10 at the close; behind it 20 and 5 are printed; 9.5 is no fall the day after, 9 is one."""
    desk = Tape(with_params(allow_short=True, ssr="computed"))
    desk.trade(1, (10, 100))
    desk.close(1)
    desk.trade(AFTER, (20, 100))
    desk.trade(AFTER + 1, (5, 100))
    desk.day = 2
    desk.open(2)
    desk.trade(1, (9.5, 100))
    assert kinds(desk.send(2, -1, 1)) == ["OrderAccepted"]
    desk.trade(3, (9.0, 100))
    assert kinds(desk.send(4, -1, 1)) == ["OrderRejected"]


def test_prints_can_fall_by_ten_percent_too() -> None:
    """The lowest of an instant counts, and so does what printed last in the session before."""
    desk = Tape(with_params(allow_short=True, ssr="computed"))
    desk.trade(1, (20, 100), (10, 100))
    desk.close(1)
    desk.day = 2
    desk.open(2)
    desk.trade(1, (9.5, 100), symbol=0)
    assert kinds(desk.send(2, -1, 1)) == ["OrderAccepted"]
    desk.trade(3, (9.0, 100), (9.6, 100))
    assert kinds(desk.send(4, -1, 1)) == ["OrderRejected"]


@pytest.mark.parametrize(("low", "restricted"), [(4.51, False), (4.5, True)])
def test_a_split_is_no_fall_and_ten_percent_are_of_the_close_in_new_shares(low: float, restricted: bool) -> None:
    """10 before a split of two for one are 5 behind it, of which nine tenths are 4.50."""
    desk = Desk(with_params(allow_short=True, ssr="computed"), daily=False)
    desk.open(1)
    desk.bar(25, FLAT, FLAT)
    desk.close(1)
    action = CorporateAction(2 * DAY, 20240306, 0, "split", 2 * SCALE, numerator=2, denominator=1)
    desk.put(action, 2 * DAY)
    desk.open(2)
    desk.bar(49, (5, 5, low, 5), FLAT)
    assert (kinds(desk.route(-1, 1)) == ["OrderRejected"]) is restricted
    assert kinds(desk.route(-1, 1, symbol=1)) == ["OrderAccepted"]


@pytest.mark.parametrize(("low", "restricted"), [(18.01, False), (18.0, True)])
def test_ten_percent_are_of_the_close_before_whenever_the_broker_was_restored(low: float, restricted: bool) -> None:
    """10 closed session 1 and 20 session 2, in which it was restored: nine tenths in session 3 are 18."""
    desk = Desk(with_params(allow_short=True, ssr="computed"), daily=False)
    for day, px in ((1, 10.0), (2, 20.0)):
        desk.open(day)
        desk.bar(24 * day + 1, (px, px, px, px), FLAT)
        desk.split()
        desk.close(day)
    desk.open(3)
    desk.bar(73, (20, 20, low, 20), FLAT)
    assert (kinds(desk.route(-1, 1)) == ["OrderRejected"]) is restricted


@pytest.mark.parametrize(("low", "restricted"), [(9.01, False), (9.0, True)])
def test_a_symbol_falls_from_what_it_closed_at_under_its_old_name(low: float, restricted: bool) -> None:
    """A closed at 10 and B at 100; A is called B from now on, and ten percent of 10 are 1."""
    desk = Desk(with_params(allow_short=True, ssr="computed"), daily=False)
    desk.open(1)
    desk.bar(25, FLAT, (100, 100, 100, 100))
    desk.close(1)
    desk.put(CorporateAction(2 * DAY, 20240306, 0, "rename", 0, renamed_to=1), 2 * DAY)
    desk.open(2)
    desk.bar(49, None, (10, 10, low, 10))
    assert (kinds(desk.route(-1, 1, symbol=1)) == ["OrderRejected"]) is restricted


def test_where_restrictions_are_off_no_status_restricts() -> None:
    """The switch is the operator's."""
    desk = Desk(with_params(allow_short=True, ssr="off"), daily=False)
    desk.open(1)
    desk.bar(25, FLAT, FLAT)
    say(desk, 25, SSR)
    assert kinds(desk.route(-1, 1)) == ["OrderAccepted"]


def test_a_run_without_statuses_is_what_it_was() -> None:
    """Nothing halted, banded or restricted: the broker asks nobody."""
    desk = Desk(daily=False)
    desk.open(1)
    desk.bar(25, FLAT, FLAT)
    status = desk.broker._status
    assert status.quiet
    assert [status.banded, status.restricted, status.computes] == [False] * 3
