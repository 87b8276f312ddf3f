"""At which prices an order may ask to trade: quotes, the collar over a period, and the last part of a session."""

from __future__ import annotations

import math

import msgspec
import pytest

from actors.messages.control import Reload
from actors.messages.market import CorporateAction
from actors.messages.orders import BUY, SELL, OrderType, TimeInForce
from actors.risk.price_limits import Walks
from actors.values.fixed import SCALE
from tests.actors.risk.conftest import DAY
from tests.actors.risk.feeding import MINUTE, SECOND, quote, show, trade

LIMIT = OrderType.LIMIT
HOUR = 60 * MINUTE


def limits(base, **changes):
    """Return wide limits with some of them set."""
    return msgspec.structs.replace(base, **changes)


@pytest.fixture
def quoted(world, wide):
    """Return a world with A quoted 99 to 101, and a tolerance of 5 %."""

    def build(bid=99.0, ask=101.0, **changes):
        w = world(limits(wide, nbbo_tolerance=0.05, allow_short=True, **changes))
        quote(w, 0, bid, ask)
        return w

    return build


# -- quotes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "limit_px", "verdict"),
    [
        (BUY, 106.04, "ok"),
        (BUY, 106.05, "ok"),
        (BUY, 106.06, "NBBO"),
        (BUY, 1, "ok"),
        (SELL, 94.06, "ok"),
        (SELL, 94.05, "ok"),
        (SELL, 94.04, "NBBO"),
        (SELL, 500, "ok"),
    ],
)
def test_a_limit_lies_at_most_the_tolerance_beyond_the_opposite_touch(quoted, side, limit_px, verdict):
    """1.05 x 101 = 106.05 for a buy, 0.95 x 99 = 94.05 for a sale; on new and on replace."""
    w = quoted()
    assert w.submit(side, 1, type=LIMIT, limit_px=limit_px) == verdict
    assert w.submit(side, 1, client_order_id="a", type=LIMIT, limit_px=100) == "ok"
    assert w.replace("a", limit_px=limit_px) == verdict


def test_an_exits_limit_may_cross_as_far_as_it_likes(quoted):
    """The collar alone stops what gives money away."""
    w = quoted()
    w.hold(10)
    assert w.submit(SELL, 10, type=LIMIT, limit_px=90) == "ok"


@pytest.mark.parametrize(("ask", "verdict"), [(105.12, "ok"), (105.128205, "ok"), (105.13, "WIDE_SPREAD")])
def test_an_entry_at_market_needs_a_spread_of_no_more_than_the_tolerance(quoted, ask, verdict):
    """100 to 105.128205...: 5.128205 over a middle of 102.564103 are 5 %. Limits, auctions and exits are not judged."""
    w = quoted(bid=100.0, ask=ask)
    assert w.submit(BUY, 1) == verdict
    assert w.submit(SELL, 1) == verdict
    assert w.submit(BUY, 1, type=LIMIT, limit_px=100) == "ok"
    assert w.submit(BUY, 1, tif=TimeInForce.OPG) == "ok"
    w.hold(10)
    assert w.submit(SELL, 10) == "ok"
    assert w.submit(BUY, 1, client_order_id="b", symbol=1) == "ok"
    quote(w, 1, 100.0, ask)
    assert w.replace("b", 2) == verdict


def test_the_denial_says_how_wide_the_spread_is(quoted):
    """90 to 110: 20 over 100."""
    denied = quoted(bid=90.0, ask=110.0).denial(BUY, 1)
    assert (denied.code, denied.value, denied.limit) == ("WIDE_SPREAD", "0.2", "0.05")
    assert "A is quoted 90 to 110" in denied.reason


@pytest.mark.parametrize(
    ("bid", "ask"),
    [
        (101.0, 99.0),
        (0.0, 101.0),
        (99.0, 0.0),
        (math.nan, 101.0),
        (99.0, math.nan),
        (math.nan, math.nan),
        (-99.0, 101.0),
        (99.0, math.inf),
        (math.inf, math.inf),
        (99.0, 1e12),
    ],
)
def test_a_quote_that_is_crossed_one_sided_or_no_number_counts_as_none(quoted, bid, ask):
    """It neither denies nor breaks anything."""
    w = quoted(bid=bid, ask=ask)
    assert w.submit(BUY, 1, type=LIMIT, limit_px=200) == "ok"
    assert w.submit(BUY, 1) == "ok"


def test_a_bad_quote_takes_the_place_of_the_good_one_before_it(quoted):
    """What was quoted a second ago is not what is quoted now."""
    w = quoted()
    assert w.submit(BUY, 1, type=LIMIT, limit_px=107) == "NBBO"
    quote(w, 0, 101.0, 99.0, after=SECOND)
    assert w.submit(BUY, 1, type=LIMIT, limit_px=107) == "ok"
    quote(w, 0, 99.0, 101.0, after=SECOND)
    assert w.submit(BUY, 1, type=LIMIT, limit_px=107) == "NBBO"


@pytest.mark.parametrize(("age", "verdict"), [(5 * SECOND, "NBBO"), (5 * SECOND + 1, "ok")])
def test_a_quote_is_as_fresh_as_a_last_price_has_to_be(quoted, age, verdict):
    """Prints keep the price itself fresh; the quote is five seconds old, or a nanosecond more."""
    w = quoted(stale_ns=5 * SECOND)
    trade(w, 0, 100.0, after=age)
    assert w.submit(BUY, 1, type=LIMIT, limit_px=107) == verdict


def test_yesterdays_quote_is_none(quoted):
    """Whatever its age is allowed to be."""
    w = quoted()
    w.close()
    w.open()
    assert w.submit(BUY, 1, type=LIMIT, limit_px=107) == "ok"


def test_bars_with_quotes_are_quotes_until_the_next_bar_has_none(world, wide):
    """99 to 101 at the end of the bar; a symbol that had no bar has no quote."""
    w = world(limits(wide, nbbo_tolerance=0.05, stale_ns=5 * SECOND))
    show(w, [100.0] * 3, bids=[99.0, math.nan, 99.0], asks=[101.0, 101.0, 101.0])
    order = {"type": LIMIT, "limit_px": 107}
    assert [w.submit(BUY, 1, symbol=n, **order) for n in range(3)] == ["NBBO", "ok", "NBBO"]
    w.split()
    assert w.submit(BUY, 1, **order) == "NBBO"
    w.clock.advance_to(w.clock.now() + MINUTE + 5 * SECOND)
    assert w.submit(BUY, 1, **order) == "NBBO"  # a minute is the age that a bar's quote has by nature
    show(w, [100.0], bids=[99.0], asks=[101.0], ids=[2])
    assert [w.submit(BUY, 1, symbol=n, **order) for n in (0, 2)] == ["STALE_PRICE", "NBBO"]


def test_a_bar_that_quotes_others_is_no_quote(world, wide):
    """Of A to D, quoted are B and D: neither A in front of them nor C between them is, and behind D there is nobody."""
    w = world(limits(wide, nbbo_tolerance=0.05), symbols=5)
    show(w, [100.0] * 2, bids=[99.0] * 2, asks=[101.0] * 2, ids=[1, 3])
    answers = [w.submit(BUY, 1, symbol=n, type=LIMIT, limit_px=107) for n in range(5)]
    assert answers == ["ok", "NBBO", "ok", "NBBO", "ok"]


@pytest.mark.parametrize(("age", "verdict"), [(65 * SECOND, "NBBO"), (65 * SECOND + 1, "ok")])
def test_a_bars_quote_may_be_a_bar_older_and_no_more(world, wide, age, verdict):
    """Five seconds and the minute of the bar; a print has kept the price itself fresh."""
    w = world(limits(wide, nbbo_tolerance=0.05, stale_ns=5 * SECOND))
    show(w, [100.0] * 3, bids=[99.0] * 3, asks=[101.0] * 3)
    trade(w, 0, 100.0, after=age)
    assert w.submit(BUY, 1, type=LIMIT, limit_px=107) == verdict


def test_a_quote_of_the_bars_own_end_is_newer_than_the_bar(world, wide):
    """The bar ends quoted 99 to 101, and in the same instant the quote is 109 to 111: 107 is below that."""
    w = world(limits(wide, nbbo_tolerance=0.05))
    show(w, [100.0] * 3, bids=[99.0] * 3, asks=[101.0] * 3)
    quote(w, 0, 109.0, 111.0)
    assert w.submit(BUY, 1, type=LIMIT, limit_px=107) == "ok"


def test_without_an_age_a_quote_lasts_for_its_session_from_the_open_itself_on(quoted):
    """``stale_ms`` of 0: an hour later it still counts, and one of the instant of the open is today's."""
    w = quoted(stale_ns=0)
    w.clock.advance_to(w.clock.now() + 60 * MINUTE)
    assert w.submit(BUY, 1, type=LIMIT, limit_px=107) == "NBBO"
    w.close()
    w.open()
    quote(w, 0, 99.0, 101.0)
    assert w.submit(BUY, 1, type=LIMIT, limit_px=107) == "NBBO"


def test_behind_a_split_the_old_quote_says_nothing(quoted):
    """99 to 101 were quotes of the old shares."""
    w = quoted()
    w.process(CorporateAction(w.clock.now(), w.session.date, 0, "split", 4 * SCALE, None, None, 4, 1))
    assert w.submit(BUY, 1, type=LIMIT, limit_px=107) == "ok"


def test_quotes_survive_a_restart(quoted):
    """Snapshot, fresh actors."""
    w = quoted()
    w.split()
    assert w.submit(BUY, 1, type=LIMIT, limit_px=106.05) == "ok"
    assert w.submit(BUY, 1, type=LIMIT, limit_px=106.06) == "NBBO"


# -- the collar over a period ---------------------------------------------------------------------------------------


@pytest.fixture
def walking(world, wide):
    """Return a world whose collar is 10 %, for ten seconds from the first fill, which was at 100."""

    def build():
        w = world(limits(wide, price_collar=0.1, collar_period_ns=10 * SECOND))
        w.hold(1)
        return w

    return build


def test_a_staircase_of_prices_each_inside_the_collar_is_stopped_as_one_leap(walking):
    """100, 103, ... a second each: beyond 110 entries end; exits and other symbols go on."""
    w = walking()
    answers = []
    for step in range(1, 11):
        trade(w, 0, 100.0 + 3 * step, after=SECOND)
        answers.append(w.submit(BUY, 1, type=LIMIT, limit_px=100.0 + 3 * step))
    # 103, 106, 109 are within 10 %; at the tenth second the period is over.
    assert answers == ["ok"] * 3 + ["COLLAR_PERIOD"] * 6 + ["ok"]
    assert w.submit(SELL, 1) == "ok"


@pytest.mark.parametrize(
    ("px", "verdict"), [(110, "ok"), (110.01, "COLLAR_PERIOD"), (90, "ok"), (89.99, "COLLAR_PERIOD")]
)
def test_the_walk_is_measured_from_the_first_fill_on_new_and_on_replace(walking, px, verdict):
    """Either way, exactly."""
    w = walking()
    assert w.submit(BUY, 1, client_order_id="a", type=LIMIT, limit_px=95) == "ok"
    trade(w, 0, px, after=SECOND)
    assert w.submit(BUY, 1) == verdict
    assert w.replace("a", 2, limit_px=px) == verdict
    assert w.submit(BUY, 1, symbol=1) == "ok"
    w.split()
    assert w.submit(BUY, 1) == verdict


def test_a_later_fill_of_the_period_does_not_move_what_it_is_measured_from(walking):
    """A second fill at 109 and a price of 112: 12 % from the first."""
    w = walking()
    trade(w, 0, 109.0, after=SECOND)
    w.hold(1, px=109.0)
    trade(w, 0, 112.0, after=SECOND)
    denied = w.denial(BUY, 1)
    assert (denied.code, denied.value, denied.limit) == ("COLLAR_PERIOD", "0.12", "0.1")
    assert "enter again in 8 s" in denied.reason


def test_the_next_fill_begins_the_next_period(walking):
    """After ten seconds the price may be 150; a fill there begins anew."""
    w = walking()
    trade(w, 0, 150.0, after=10 * SECOND)
    assert w.submit(BUY, 1) == "ok"
    w.hold(1, px=150.0)
    trade(w, 0, 166.0, after=SECOND)
    assert w.submit(BUY, 1) == "COLLAR_PERIOD"


@pytest.mark.parametrize("period", [20 * SECOND, 10 * SECOND])
def test_a_period_that_a_reload_makes_longer_lasts_longer(walking, period):
    """Fifteen seconds behind the fill at 100, at 120: within twenty, not within ten."""
    w = walking()
    w.process(Reload("d", "anna", limits(w.limits, collar_period_ns=period)))
    trade(w, 0, 120.0, after=15 * SECOND)
    assert w.submit(BUY, 1) == ("COLLAR_PERIOD" if period > 15 * SECOND else "ok")


def test_a_collar_that_a_reload_switches_off_ends_the_period(walking):
    """At 120, a second behind the fill at 100."""
    w = walking()
    trade(w, 0, 120.0, after=SECOND)
    assert w.submit(BUY, 1) == "COLLAR_PERIOD"
    w.process(Reload("d", "anna", limits(w.limits, price_collar=0.0)))
    assert w.submit(BUY, 1) == "ok"


def test_a_period_may_last_over_a_night(world, wide):
    """A day from a fill in the afternoon: tomorrow at the open it is under way, an hour behind it not."""
    w = world(limits(wide, price_collar=0.1, collar_period_ns=DAY))
    w.clock.advance_to(w.session.close_ts - 6 * HOUR)
    w.hold(1)
    w.close()
    w.open()
    trade(w, 0, 120.0)
    assert w.submit(BUY, 1) == "COLLAR_PERIOD"
    w.clock.advance_to(w.session.close_ts - 6 * HOUR)
    assert w.submit(BUY, 1) == "ok"


def test_a_fill_where_no_price_was_known_begins_no_period(wide):
    """There is nothing to measure from; the next fill begins it."""
    walks = Walks()
    walks.adopt(limits(wide, price_collar=0.1, collar_period_ns=10))
    walks.fold(0, 0, 1)
    assert walks.why(0, "A", 500, 2, SCALE // 10) is None
    walks.fold(0, 100, 3)
    assert walks.why(0, "A", 500, 4, SCALE // 10) is not None


# -- a price at all ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", [0.0, -100.0])
def test_a_bar_of_everything_with_a_price_that_is_none_is_no_price(world, wide, price):
    """In the very instant of a bar of every symbol, too, when nothing else can be stale."""
    w = world(limits(wide, require_reference=True), price=None)
    show(w, [price, 100.0, 100.0])
    assert [w.submit(BUY, 1, symbol=n) for n in (0, 1)] == ["NO_REF_PRICE", "ok"]


# -- near the close ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "verdict"), [(MINUTE + 1, "ok"), (MINUTE, "NEAR_CLOSE"), (0, "NEAR_CLOSE")])
def test_nothing_is_entered_in_the_last_minute_of_a_session(world, wide, left, verdict):
    """On new and on replace; what is held may be closed."""
    w = world(limits(wide, no_entry_before_close_ns=MINUTE))
    w.hold(5)
    assert w.submit(BUY, 1, client_order_id="a", type=LIMIT, limit_px=90) == "ok"
    w.clock.advance_to(w.session.close_ts - left)
    assert w.submit(BUY, 1) == verdict
    assert w.replace("a", 2) == verdict
    w.split()
    assert w.submit(BUY, 1) == verdict
    assert w.submit(SELL, 5) == "ok"


def test_behind_the_close_an_order_is_for_the_next_session(world, wide):
    """Daily strategies decide there."""
    w = world(limits(wide, no_entry_before_close_ns=MINUTE), daily=True)
    assert w.submit(BUY, 1) == "NEAR_CLOSE"  # the bar is known at the close, which has not been said yet
    w.close()
    assert w.submit(BUY, 1) == "ok"
    w.open()
    assert w.submit(BUY, 1) == "ok"
