"""The gate: every check at, just under and just over its limit, on new orders and on replacements."""

from __future__ import annotations

import math

import msgspec
import pytest

from actors.messages.control import Halt, Kill
from actors.messages.inference import StrategyDisabled, StrategyEnabled
from actors.messages.orders import (
    BUY,
    SELL,
    CancelOrder,
    OrderAccepted,
    OrderCancelRejected,
    OrderDenied,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderType,
    ReplaceOrder,
    SubmitOrder,
)
from actors.messages.portfolio import CashFlowed, EquityMarked, PositionChanged
from actors.risk.actor import RiskActor
from actors.risk.params import RiskLimits
from actors.values.fixed import SCALE, fmt, to_fixed
from daemon.kernel.errors import ConfigError

LIMIT = OrderType.LIMIT
STOP = OrderType.STOP


def limits(base: RiskLimits, **changes) -> RiskLimits:
    """Return wide limits with some of them set."""
    return msgspec.structs.replace(base, **changes)


# -- form ----------------------------------------------------------------------------------------------------------


def test_a_plain_buy_passes_and_reserves_reference_times_reserve_plus_fees(world, wide):
    """1.02 x 10 x 100 + 0.1 % of 1,000."""
    w = world(limits(wide, cash_reserve=102_000_000), commission_rate=100_000)
    (accepted,) = w.process(w.order(BUY, 10))
    assert isinstance(accepted, OrderAccepted)
    assert fmt(accepted.reserved) == "1021"
    assert w.risk.exposure.books["main"].reserved == accepted.reserved


@pytest.mark.parametrize(
    ("terms", "settings", "reserved"),
    [
        ({"type": LIMIT, "limit_px": 90}, {}, "900"),
        ({"type": LIMIT, "limit_px": 110}, {}, "1100"),
        ({"type": STOP, "stop_px": 110}, {}, "1122"),
        ({"type": OrderType.STOP_LIMIT, "stop_px": 110, "limit_px": 111}, {}, "1110"),
        ({"type": OrderType.MARKET_IF_TOUCHED, "stop_px": 95}, {}, "1020"),
        ({}, {"commission_per_share": 500_000}, "1020.05"),
        ({}, {"min_commission": SCALE}, "1021"),
        ({"reduce_only": True}, {}, "0"),
    ],
)
def test_reservation_by_type_is_the_worst_price_the_order_can_pay(world, wide, terms, settings, reserved):
    """A limit reserves its limit; what waits for a trigger above the market reserves the trigger."""
    w = world(limits(wide, cash_reserve=102_000_000), **settings)
    (accepted,) = w.process(w.order(BUY, 10, **terms))
    assert fmt(accepted.reserved) == reserved


def test_a_field_that_could_not_be_read_is_denied_with_the_borders_own_words(world):
    """The code and sentence come from where the text was read."""
    w = world()
    denied = w.denial(BUY, 1, malformed=("BAD_QTY", "line 3: 'ten' is not a number"))
    assert (denied.code, denied.reason) == ("BAD_QTY", "line 3: 'ten' is not a number")


def test_unknown_symbol_portfolio_and_side_are_denied_by_name(world):
    """Ids outside the universe never index anything."""
    w = world()
    denied = w.denial(BUY, 1, symbol=-1, symbol_text="NOPE")
    assert denied.code == "UNKNOWN_SYMBOL"
    assert "NOPE" in denied.reason
    assert w.submit(BUY, 1, symbol=3) == "UNKNOWN_SYMBOL"
    assert w.submit(BUY, 1, portfolio="other") == "UNKNOWN_PORTFOLIO"
    assert w.submit(0, 1) == "BAD_SIDE"
    assert w.submit(2, 1) == "BAD_SIDE"


def test_an_observed_symbol_cannot_be_traded(world):
    """An index is in the universe to be seen."""
    w = world(tradable=(True, False, True))
    assert w.submit(BUY, 1, symbol=0) == "ok"
    assert w.submit(BUY, 1, symbol=1) == "NOT_TRADABLE"


@pytest.mark.parametrize("qty", [0, -1, 0.5, 1.00000001])
def test_quantities_must_be_positive_multiples_of_the_lot(world, qty):
    """On new and on replace."""
    w = world()
    denied = w.denial(BUY, qty)
    assert (denied.code, denied.value, denied.limit) == ("BAD_QTY", fmt(to_fixed(qty)), "1")
    assert w.submit(BUY, 10, client_order_id="a") == "ok"
    assert w.replace("a", qty) == "BAD_QTY"


def test_fractional_lots_pass_where_the_lot_is_fractional(world, wide):
    """The lot is a limit like the others."""
    w = world(limits(wide, lot_size=100))
    assert w.submit(BUY, 0.000001) == "ok"
    assert w.submit(BUY, 0.0000001) == "BAD_QTY"


@pytest.mark.parametrize(
    ("order_type", "limit_px", "stop_px"),
    [
        (OrderType.MARKET, 100, None),
        (OrderType.MARKET, None, 100),
        (OrderType.MARKET_ON_OPEN, 100, None),
        (LIMIT, None, None),
        (LIMIT, 100, 100),
        (LIMIT, 0, None),
        (LIMIT, -1, None),
        (STOP, None, None),
        (STOP, 100, 100),
        (STOP, None, -0.01),
        (OrderType.STOP_LIMIT, 100, None),
        (OrderType.STOP_LIMIT, None, 100),
        (OrderType.TAKE_PROFIT, None, None),
        (OrderType.LIMIT_IF_TOUCHED, 100, None),
    ],
)
def test_missing_extra_and_unpositive_prices_are_denied_by_type(world, order_type, limit_px, stop_px):
    """Each type takes the prices it needs and no other."""
    w = world()
    assert w.submit(BUY, 1, type=order_type, limit_px=limit_px, stop_px=stop_px) == "BAD_PRICE"


def test_a_trailing_stop_without_a_trail_is_refused(world):
    """Its trigger follows the market at a distance that somebody has to say."""
    assert world().submit(BUY, 1, type=OrderType.TRAILING_STOP) == "BAD_TRAIL"


# -- duplicates ----------------------------------------------------------------------------------------------------


def test_a_resent_order_id_is_a_duplicate_for_ever_and_changes_nothing(world):
    """Accepted, filled or denied: the id stays used."""
    w = world()
    assert w.submit(BUY, 10, client_order_id="a") == "ok"
    assert w.submit(BUY, 10, client_order_id="a") == "DUPLICATE"
    assert w.venue.orders["a"][1] == to_fixed(10)
    w.fill(("a", 10, 100))
    assert w.submit(BUY, 10, client_order_id="a") == "DUPLICATE"
    assert w.submit(BUY, 0, client_order_id="b") == "BAD_QTY"
    assert w.submit(BUY, 1, client_order_id="b") == "DUPLICATE"


def test_a_strategys_same_order_is_a_duplicate_inside_the_window_only(world, wide):
    """At the window's end it may be meant; another decision, lot or quantity always is."""
    w = world(limits(wide, duplicate_window_ns=60 * 10**9))
    signal = {"strategy": "s", "decision": 7}
    assert w.submit(BUY, 10, **signal) == "ok"
    denied = w.denial(BUY, 10, **signal)
    assert (denied.code, denied.value, denied.limit) == ("DUPLICATE", "0", "60")
    assert w.submit(BUY, 11, **signal) == "ok"
    assert w.submit(BUY, 10, strategy="s", decision=8) == "ok"
    assert w.submit(BUY, 10, lot_id="l", **signal) == "ok"
    w.clock.advance_to(w.clock.now() + 60 * 10**9 - 1)
    assert w.submit(BUY, 10, **signal) == "DUPLICATE"
    w.clock.advance_to(w.clock.now() + 1)
    assert w.submit(BUY, 10, **signal) == "ok"


def test_scripted_orders_with_different_ids_are_meant(world, wide):
    """No strategy, no guess about intentions."""
    w = world(limits(wide, duplicate_window_ns=60 * 10**9))
    assert [w.submit(BUY, 10) for _ in range(3)] == ["ok"] * 3


# -- state of the strategy and the price ----------------------------------------------------------------------------


def test_a_disabled_strategy_may_exit_but_not_enter(world):
    """Until it is enabled again."""
    w = world()
    w.hold(10)
    w.state(StrategyDisabled("s", "it raised", "predictor"))
    denied = w.denial(BUY, 1, strategy="s")
    assert denied.code == "STRATEGY_DISABLED"
    assert "it raised" in denied.reason
    assert w.submit(SELL, 5, strategy="s") == "ok"
    assert w.submit(BUY, 1, strategy="t") == "ok"
    w.state(StrategyEnabled("s", "fixed", "operator"))
    assert w.submit(BUY, 1, strategy="s", decision=2) == "ok"


def test_an_entry_needs_a_price_where_one_is_required(world, wide):
    """Before the first bar nothing is known."""
    w = world(limits(wide, require_reference=True), price=None)
    assert w.submit(BUY, 1) == "NO_REF_PRICE"
    assert w.submit(BUY, 1, type=LIMIT, limit_px=100) == "NO_REF_PRICE"
    w.bar([100.0, None, None])
    assert w.submit(BUY, 1) == "ok"
    assert w.submit(BUY, 1, symbol=1) == "NO_REF_PRICE"


def test_without_that_requirement_an_unpriced_market_order_passes_and_reserves_nothing(world):
    """The frictionless profile checks fill arithmetic; a limit order still reserves its limit."""
    w = world(price=None)
    (market,) = w.process(w.order(BUY, 10**6))
    assert market.reserved == 0
    (limit,) = w.process(w.order(BUY, 10, type=LIMIT, limit_px=50))
    assert fmt(limit.reserved) == "500"


def test_an_entry_on_a_stale_intraday_price_is_denied(world, wide):
    """A minute bar may be a minute older than the limit; exits always pass."""
    w = world(limits(wide, stale_ns=5 * 10**9))
    w.hold(10)
    w.bar([None, 100.0, 100.0])
    known = w.clock.now() - 60 * 10**9
    w.clock.advance_to(known + 65 * 10**9)
    assert w.submit(BUY, 1) == "ok"
    w.clock.advance_to(known + 65 * 10**9 + 1)
    denied = w.denial(BUY, 1)
    assert (denied.code, denied.value, denied.limit) == ("STALE_PRICE", "5", "5")
    assert w.submit(SELL, 1) == "ok"
    assert w.submit(BUY, 1, symbol=1) == "ok"


def test_the_night_makes_no_price_stale(world, wide):
    """Closed hours do not count; a symbol that was silent at the close stays stale."""
    w = world(limits(wide, stale_ns=5 * 10**9))
    w.bar([100.0, None, 100.0], at=w.session.close_ts)
    w.close()
    assert w.submit(BUY, 1) == "ok"
    assert w.submit(BUY, 1, symbol=1) == "STALE_PRICE"
    w.clock.advance_to(w.clock.now() + 10 * 3600 * 10**9)
    assert w.submit(BUY, 1) == "ok"
    w.open()
    assert w.submit(BUY, 1) == "ok"
    w.clock.advance_to(w.clock.now() + 65 * 10**9)
    assert w.submit(BUY, 1) == "ok"
    w.clock.advance_to(w.clock.now() + 1)
    assert w.submit(BUY, 1) == "STALE_PRICE"


def test_daily_prices_age_by_sessions(world, wide):
    """One session old is allowed, two are not."""
    w = world(limits(wide, stale_sessions=1), daily=True)
    w.close()
    w.open()
    w.bar([None, 100.0, 100.0])
    w.close()
    assert w.submit(BUY, 1) == "ok"
    w.open()
    denied = w.denial(BUY, 1)
    assert (denied.code, denied.value, denied.limit) == ("STALE_PRICE", "2", "1")
    assert w.submit(BUY, 1, symbol=1) == "ok"


# -- size ----------------------------------------------------------------------------------------------------------


def test_maximum_quantity(world, wide):
    """At the limit it passes, one lot over it does not; exits are not held up."""
    w = world(limits(wide, max_order_qty=to_fixed(100)))
    w.hold(500)
    assert w.submit(BUY, 99) == "ok"
    assert w.submit(BUY, 100, client_order_id="a") == "ok"
    denied = w.denial(BUY, 101)
    assert (denied.code, denied.value, denied.limit) == ("MAX_QTY", "101", "100")
    assert w.replace("a", 101) == "MAX_QTY"
    assert w.replace("a", 100) == "ok"
    assert w.submit(SELL, 500) == "ok"


def test_minimum_notional_to_the_last_digit(world, wide):
    """100.00 passes, 99.99999999 does not; an exit may be smaller."""
    w = world(limits(wide, min_order_value=to_fixed(100)))
    w.hold(5)
    assert w.submit(BUY, 1, client_order_id="a") == "ok"
    assert w.submit(BUY, 2, type=LIMIT, limit_px=50, client_order_id="b") == "ok"
    denied = w.denial(BUY, 1, type=LIMIT, limit_px=99.99999999)
    assert (denied.code, denied.value, denied.limit) == ("MIN_NOTIONAL", "99.99999999", "100")
    assert w.replace("b", limit_px=49.99999999) == "MIN_NOTIONAL"
    w.bar([10.0, 100.0, 100.0])
    assert w.submit(BUY, 9) == "MIN_NOTIONAL"
    assert w.submit(SELL, 5) == "ok"


def test_maximum_notional_is_the_larger_of_amount_and_fraction_of_equity(world, wide):
    """50,000 or 20 % of 100,000: the amount; with a million the fraction."""
    w = world(limits(wide, max_order_value=to_fixed(50_000), max_order_fraction=0.2))
    assert w.submit(BUY, 500, client_order_id="a") == "ok"
    denied = w.denial(BUY, 501)
    assert (denied.code, denied.value, denied.limit) == ("MAX_NOTIONAL", "50100", "50000")
    assert w.replace("a", 501) == "MAX_NOTIONAL"
    rich = world(limits(wide, max_order_value=to_fixed(50_000), max_order_fraction=0.2), cash=1_000_000)
    assert rich.submit(BUY, 2_000) == "ok"
    assert rich.submit(BUY, 2_001) == "MAX_NOTIONAL"
    assert rich.submit(BUY, 1, type=LIMIT, limit_px=200_000.00000001) == "MAX_NOTIONAL"


def test_price_collar_on_both_sides(world, wide):
    """Ten per cent away passes, a hair more does not, for limits and stops."""
    w = world(limits(wide, price_collar=0.10))
    for price, verdict in ((90, "ok"), (110, "ok"), (89.99999999, "PRICE_COLLAR"), (110.00000001, "PRICE_COLLAR")):
        assert w.submit(BUY, 1, type=LIMIT, limit_px=price) == verdict
        assert w.submit(BUY, 1, type=STOP, stop_px=price) == verdict
    assert w.submit(BUY, 1, type=LIMIT, limit_px=100, client_order_id="a") == "ok"
    assert w.replace("a", limit_px=110.00000001) == "PRICE_COLLAR"
    assert w.replace("a", limit_px=110) == "ok"
    denied = w.denial(BUY, 1, type=LIMIT, limit_px=150)
    assert (denied.value, denied.limit) == ("0.5", "0.1")


def test_an_exits_patient_prices_are_free_and_its_giveaway_is_not(world, wide):
    """A take-profit far above, a stop far below; but no sale for half the price."""
    w = world(limits(wide, price_collar=0.10))
    w.hold(10)
    assert w.submit(SELL, 1, type=LIMIT, limit_px=150) == "ok"
    assert w.submit(SELL, 1, type=STOP, stop_px=50) == "ok"
    assert w.submit(SELL, 1, type=LIMIT, limit_px=89.99) == "PRICE_COLLAR"
    assert w.submit(SELL, 1, type=LIMIT, limit_px=90) == "ok"


@pytest.mark.parametrize(("side", "least"), [(BUY, 0.65), (SELL, 0.60)])
def test_confidence_gates(world, wide, side, least):
    """At the gate it passes; below, or unknown, it does not; orders without one skip it."""
    w = world(limits(wide, min_confidence_buy=0.65, min_confidence_sell=0.60))
    w.hold(100)
    assert w.submit(side, 1, confidence=least) == "ok"
    assert w.submit(side, 1, confidence=1.0) == "ok"
    assert w.submit(side, 1) == "ok"
    denied = w.denial(side, 1, confidence=least - 1e-9)
    assert (denied.code, denied.value, denied.limit) == ("CONFIDENCE", f"{least - 1e-9:.9f}", f"{least:g}")
    assert w.submit(side, 1, confidence=math.nan) == "CONFIDENCE"


# -- exposure ------------------------------------------------------------------------------------------------------


def test_no_more_is_sold_than_is_held_working_sells_included(world):
    """Two sells share one position; a cancelled one gives its part back."""
    w = world()
    assert w.submit(SELL, 1) == "SHORT_NOT_ALLOWED"
    w.hold(100)
    assert w.submit(SELL, 60, client_order_id="a") == "ok"
    denied = w.denial(SELL, 41)
    assert (denied.code, denied.value, denied.limit) == ("SHORT_NOT_ALLOWED", "41", "40")
    assert w.submit(SELL, 40, client_order_id="b") == "ok"
    assert w.replace("b", 41) == "SHORT_NOT_ALLOWED"
    w.process(CancelOrder("a", "test"))
    assert w.replace("b", 100) == "ok"
    assert w.submit(SELL, 1) == "SHORT_NOT_ALLOWED"


def test_a_stop_and_a_take_profit_of_one_lot_rest_side_by_side(world):
    """Reduce-only orders are capped by the position, not summed; a plain sell is not in their way."""
    w = world()
    w.hold(100)
    assert w.submit(SELL, 100, type=STOP, stop_px=97, reduce_only=True) == "ok"
    assert w.submit(SELL, 100, type=LIMIT, limit_px=110, reduce_only=True) == "ok"
    assert w.submit(SELL, 100) == "ok"
    assert w.submit(SELL, 1) == "SHORT_NOT_ALLOWED"


def test_a_market_exit_marked_reduce_only_uses_up_the_position(world, wide):
    """A further sell would be a short: denied, or judged as the entry it is."""
    w = world()
    w.hold(100)
    assert w.submit(SELL, 60, reduce_only=True, client_order_id="a") == "ok"
    assert w.submit(SELL, 41) == "SHORT_NOT_ALLOWED"
    assert w.submit(SELL, 40) == "ok"
    w.process(CancelOrder("a", "test"))
    assert w.submit(SELL, 60) == "ok"
    short = world(limits(wide, allow_short=True, max_position=0.2))
    short.hold(100)
    assert short.submit(SELL, 100, reduce_only=True) == "ok"
    assert short.submit(SELL, 201) == "MAX_POSITION"
    (accepted,) = short.process(short.order(SELL, 200))
    assert fmt(accepted.reserved) == "10000"
    assert short.risk.exposure.books["main"].names == 1


def test_position_cap_counts_what_is_held_and_what_works(world, wide):
    """20 % of 100,000 at 100 a share: 200 shares; sells that work do not count as room."""
    w = world(limits(wide, max_position=0.20))
    w.hold(50)
    assert w.submit(BUY, 100, client_order_id="a") == "ok"
    assert w.submit(SELL, 50) == "ok"
    denied = w.denial(BUY, 51)
    assert (denied.code, denied.value, denied.limit) == ("MAX_POSITION", "20100", "20000")
    assert w.submit(BUY, 50, client_order_id="b") == "ok"
    assert w.replace("a", 101) == "MAX_POSITION"
    assert w.replace("a", 99) == "ok"
    assert w.submit(BUY, 1) == "ok"
    assert w.submit(BUY, 200, symbol=1) == "ok"


def test_number_of_names_counts_entries_and_frees_what_a_market_order_closes(world, wide):
    """A name being left by a market order makes room; a resting limit sell does not."""
    w = world(limits(wide, max_positions=2), symbols=4)
    w.hold(10, symbol=0)
    assert w.submit(BUY, 1, symbol=1, client_order_id="b") == "ok"
    denied = w.denial(BUY, 1, symbol=2)
    assert (denied.code, denied.value, denied.limit) == ("MAX_POSITIONS", "3", "2")
    assert w.submit(BUY, 1, symbol=0) == "ok"
    w.process(CancelOrder("c3", "test"))
    assert w.submit(SELL, 10, symbol=0, type=LIMIT, limit_px=101, client_order_id="r") == "ok"
    assert w.submit(BUY, 1, symbol=2) == "MAX_POSITIONS"
    w.process(CancelOrder("r", "test"))
    w.process(CancelOrder("b", "test"))
    assert w.submit(BUY, 1, symbol=2) == "ok"
    assert w.submit(BUY, 1, symbol=3) == "MAX_POSITIONS"


def test_a_rotation_of_full_portfolio_passes_in_one_decision(world, wide):
    """Sell one name at the market, buy another."""
    w = world(limits(wide, max_positions=2))
    w.hold(10, symbol=0)
    w.hold(10, symbol=1)
    assert w.submit(BUY, 1, symbol=2) == "MAX_POSITIONS"
    assert w.submit(SELL, 10, symbol=0) == "ok"
    assert w.submit(BUY, 1, symbol=2) == "ok"


def test_cash_to_the_last_digit(world, wide):
    """Exactly what is there passes; a hundred-millionth more does not."""
    w = world(limits(wide, lot_size=1), cash=1_000)
    assert w.submit(BUY, 10.00000001) == "CASH"
    assert w.submit(BUY, 10, client_order_id="a") == "ok"
    denied = w.denial(BUY, 0.00000001)
    assert (denied.code, denied.value, denied.limit) == ("CASH", "0.000001", "0")
    assert w.replace("a", 10.00000001) == "CASH"
    assert w.replace("a", 9) == "ok"
    assert w.submit(BUY, 1) == "ok"


def test_fifty_equal_buys_with_cash_for_three_give_exactly_three(world, wide):
    """Each reservation counts before the next order is judged."""
    w = world(limits(wide, cash_reserve=102_000_000), cash=3_100, commission_rate=100_000)
    verdicts = [w.submit(BUY, 10) for _ in range(50)]
    assert verdicts == ["ok"] * 3 + ["CASH"] * 47


def test_a_sale_at_the_market_lends_its_expected_proceeds_to_a_buy(world, wide):
    """98 % of the reference less fees, in a cash account; not in a strict one, and not for a resting limit."""
    settings = limits(wide, cash_reserve=102_000_000)
    for account, verdict in (("cash", "ok"), ("cash_strict", "CASH")):
        w = world(settings, cash=10_000, account=account)
        w.hold(100)
        assert w.risk.exposure.books["main"].cash == 0
        assert w.submit(SELL, 100, type=LIMIT, limit_px=100, client_order_id="l") == "ok"
        assert w.submit(BUY, 96, symbol=1) == "CASH"
        w.process(CancelOrder("l", "test"))
        assert w.submit(SELL, 100, client_order_id="s") == "ok"
        assert w.submit(BUY, 97, symbol=1) == "CASH"
        assert w.submit(BUY, 96, symbol=1) == verdict
        if verdict == "ok":
            w.process(CancelOrder("s", "test"))
            assert w.risk.exposure.books["main"].proceeds == 0


def test_a_strict_account_waits_for_settlement(world, wide):
    """T+3 in 2020's predecessor rule is T+2 here: the third session's open brings the money."""
    w = world(wide, cash=10_000, account="cash_strict")
    w.hold(100)
    assert w.submit(SELL, 100, client_order_id="s") == "ok"
    w.fill(("s", 100, 100))
    for _ in range(2):
        assert w.submit(BUY, 1) == "CASH"
        w.close()
        w.open()
    assert w.submit(BUY, 100) == "ok"


def test_reservations_shrink_with_fills_and_vanish_with_the_order(world, wide):
    """In proportion to what is open; never left behind."""
    w = world(limits(wide, cash_reserve=102_000_000))
    book = w.risk.exposure.books["main"]
    assert w.submit(BUY, 10, client_order_id="a") == "ok"
    w.fill(("a", 4, 99))
    assert (fmt(book.reserved), fmt(book.cash)) == ("612", "99604")
    assert w.replace("a", 8) == "ok"
    assert fmt(book.reserved) == "408"
    w.fill(("a", 1, 99))
    assert fmt(book.reserved) == "306"
    w.process(CancelOrder("a", "test"))
    assert book.reserved == 0
    assert w.risk.exposure.working == {}


def test_a_gate_pass_between_two_fills_of_one_bar_sees_both(world, wide):
    """Fills count at once, bookings correct them; in the end the books agree."""
    w = world(wide, cash=10_000)
    for n, symbol in enumerate((0, 1)):
        assert w.submit(BUY, 50, symbol=symbol, client_order_id=f"a{n}") == "ok"
    w.fill(("a0", 50, 100), ("a1", 50, 100))
    book = w.risk.exposure.books["main"]
    assert book.cash == w.books.cash["main"] == 0
    assert book.pending == {}
    assert [book.holdings[s].qty for s in (0, 1)] == [to_fixed(50)] * 2


# -- shorts and flips ----------------------------------------------------------------------------------------------


def test_a_short_ties_up_half_of_its_value_beyond_its_proceeds(world, wide):
    """10,000 of cash carries a short of 20,000 and not a share more."""
    w = world(limits(wide, allow_short=True), cash=10_000)
    assert w.submit(SELL, 201) == "CASH"
    assert w.submit(SELL, 200, client_order_id="a") == "ok"
    w.fill(("a", 200, 100))
    assert w.risk.exposure.available(w.risk.exposure.books["main"]) == 0
    assert w.submit(BUY, 1, symbol=1) == "CASH"
    assert w.submit(BUY, 200) == "ok"


def test_a_flip_is_split_into_an_exit_and_an_entry(world, wide):
    """Each half has its own row and its own checks."""
    w = world(limits(wide, allow_short=True, max_order_qty=to_fixed(20)))
    w.hold(100)
    events = w.process(w.order(SELL, 120, client_order_id="f"))
    assert [type(e).__name__ for e in events] == ["OrderAccepted", "OrderAccepted"]
    assert [(e.order.client_order_id, fmt(e.order.qty)) for e in events] == [("f", "100"), ("f-open", "20")]
    assert events[1].order.parent_id == "f"
    other = world(limits(wide, allow_short=True, max_order_qty=to_fixed(20)))
    other.hold(100)
    events = other.process(other.order(SELL, 121, client_order_id="f"))
    assert [type(e).__name__ for e in events] == ["OrderAccepted", "OrderDenied"]
    assert events[1].code == "MAX_QTY"


def test_a_cover_that_would_go_long_is_split_too(world, wide):
    """Buying more than is short closes first."""
    w = world(limits(wide, allow_short=True))
    w.hold(-50)
    events = w.process(w.order(BUY, 80, client_order_id="f"))
    assert [(e.order.client_order_id, fmt(e.order.qty)) for e in events] == [("f", "50"), ("f-open", "30")]


@pytest.mark.parametrize("stop", [Halt("test", "test"), Kill("test", "test")])
def test_a_flip_whose_first_half_is_refused_opens_nothing_and_is_not_split_again(world, wide, stop):
    """The position is as it was, so its second half would be a flip again, and so would that one's, without end."""
    w = world(limits(wide, allow_short=True, min_confidence_sell=0.9))
    w.hold(1)
    w.process(stop)
    events = w.process(w.order(SELL, 100_000, client_order_id="f", strategy="s", confidence=0.5))
    refused = [(e.order.client_order_id, e.code) for e in events]
    first = "KILLED" if isinstance(stop, Kill) else "CONFIDENCE"
    assert refused == [("f", first), ("f-open", "WOULD_FLIP")]


def test_half_a_flip_closes_nothing_where_the_other_half_was_refused(world, wide):
    """Of 150 to be sold with 100 held, 50 would only close: that is not what was asked for."""
    w = world(limits(wide, allow_short=True, min_confidence_sell=0.9))
    w.hold(100)
    events = w.process(w.order(SELL, 150, client_order_id="f", strategy="s", confidence=0.5))
    assert [(e.order.client_order_id, e.code) for e in events] == [("f", "CONFIDENCE"), ("f-open", "WOULD_FLIP")]


def test_a_replace_never_flips(world, wide):
    """It names what would close."""
    w = world(limits(wide, allow_short=True))
    w.hold(100)
    assert w.submit(SELL, 50, client_order_id="a") == "ok"
    (refused,) = w.process(ReplaceOrder("a", to_fixed(101)))
    assert isinstance(refused, OrderCancelRejected)
    assert refused.code == "WOULD_FLIP"
    assert w.replace("a", 100) == "ok"


@pytest.mark.parametrize(
    ("held", "fields", "later", "earlier"),
    [
        (100, {"type": OrderType.LIMIT, "limit_px": 105}, {"limit_px": 105.01}, {"limit_px": 104.99}),
        (-100, {"type": OrderType.LIMIT, "limit_px": 95}, {"limit_px": 94.99}, {"limit_px": 95.01}),
        (100, {"type": OrderType.STOP, "stop_px": 95}, {"stop_px": 94.99}, {"stop_px": 95.01}),
        (-100, {"type": OrderType.STOP, "stop_px": 105}, {"stop_px": 105.01}, {"stop_px": 104.99}),
        (100, {"type": OrderType.MARKET_IF_TOUCHED, "stop_px": 105}, {"stop_px": 105.01}, {"stop_px": 104.99}),
    ],
)
def test_the_halves_of_a_flip_keep_their_order(world, wide, held, fields, later, earlier):
    """What closes may come nearer and what opens may go away; the other way the one would do what the other is for."""
    w = world(limits(wide, allow_short=True), account="margin")
    w.hold(held)
    (key,) = later
    same = {key: fields[key]}
    w.process(w.order(SELL if held > 0 else BUY, 150, client_order_id="f", **fields))
    assert w.replace("f", **later) == "WOULD_FLIP"
    assert w.replace("f-open", **earlier) == "WOULD_FLIP"
    assert w.replace("f", **same) == w.replace("f-open", **same) == "ok"
    w.split()
    assert w.replace("f", **earlier) == w.replace("f-open", **later) == "ok"
    assert w.replace("f", **later) == "ok"
    assert (w.replace("f", 99), w.replace("f", 101)) == ("WOULD_FLIP", "WOULD_FLIP")
    w.process(CancelOrder("f-open", "test"))
    assert w.replace("f", 99, **later) == "ok"


# -- replace -------------------------------------------------------------------------------------------------------


def test_a_replace_of_nothing_or_below_what_is_filled_is_refused(world):
    """State untouched."""
    w = world()
    assert w.replace("ghost", 5) == "UNKNOWN_ORDER"
    assert w.submit(BUY, 10, client_order_id="a") == "ok"
    w.fill(("a", 4, 100))
    assert w.replace("a", 4) == "BELOW_FILLED"
    assert w.replace("a", 0) == "BAD_QTY"
    assert w.replace("a", limit_px=100) == "BAD_PRICE"
    assert w.verdict(w.process(ReplaceOrder("a", malformed=("BAD_QTY", "not a number")))) == "BAD_QTY"
    assert w.risk.exposure.working["a"].leaves == to_fixed(6)
    assert w.replace("a", 5) == "ok"
    assert w.risk.exposure.working["a"].leaves == to_fixed(1)


def test_the_route_carries_the_complete_new_terms(world):
    """Fields that were left out keep their value."""
    w = world()
    assert w.submit(BUY, 10, type=OrderType.STOP_LIMIT, stop_px=105, limit_px=106, client_order_id="a") == "ok"
    (replaced,) = w.process(ReplaceOrder("a", limit_px=to_fixed(107)))
    assert (replaced.qty, replaced.limit_px, replaced.stop_px) == (to_fixed(10), to_fixed(107), to_fixed(105))
    assert fmt(replaced.reserved) == "1070"


def test_an_account_the_gate_cannot_judge_is_refused_at_composition(world, wide):
    """Never a guess about borrowed money."""
    w = world()
    with pytest.raises(ConfigError, match="credit"):
        RiskActor(w.universe, wide, ["main"], daily=True, account="credit")


def test_every_denial_says_what_to_do(world, wide):
    """A sentence with a remedy behind a semicolon or the number that would do."""
    w = world(limits(wide, max_order_qty=to_fixed(1), require_reference=True, price_collar=0.1))
    orders = [
        w.order(BUY, 1, symbol=9),
        w.order(BUY, 2),
        w.order(SELL, 1),
        w.order(BUY, 1, type=LIMIT, limit_px=150),
        w.order(BUY, 1, portfolio="x"),
    ]
    for order in orders:
        (denied,) = w.process(order)
        assert isinstance(denied, OrderDenied)
        assert ";" in denied.reason
        assert isinstance(denied.order, SubmitOrder)


def test_a_limit_above_the_market_counts_at_its_limit(world, wide):
    """20 % of 100,000 at 125 a share: 160 shares, although the market says 100."""
    w = world(limits(wide, max_position=0.20))
    assert w.submit(BUY, 161, type=LIMIT, limit_px=125) == "MAX_POSITION"
    assert w.submit(BUY, 160, type=LIMIT, limit_px=125) == "ok"


def test_a_position_lends_its_proceeds_once(world, wide):
    """A second market exit of the same shares (reduce-only, say a stop that fires) adds nothing."""
    w = world(wide, cash=10_000)
    w.hold(100)
    assert w.submit(SELL, 100, client_order_id="a") == "ok"
    assert w.submit(SELL, 100, reduce_only=True, client_order_id="b") == "ok"
    assert fmt(w.risk.exposure.books["main"].proceeds) == "10000"
    assert w.submit(BUY, 101, symbol=1) == "CASH"
    assert w.submit(BUY, 100, symbol=1) == "ok"


def test_an_event_that_books_one_fill_keeps_the_others_in_mind(world, wide):
    """Two fills are known, one is booked, a mark comes in between: cash and position still count both."""
    w = world(wide, cash=10_000)
    for order_id in ("a", "b"):
        assert w.submit(BUY, 40, client_order_id=order_id) == "ok"
    events = w.fill(("a", 40, 100), ("b", 40, 100))
    fills = [e for e in events if isinstance(e, OrderFilled)]
    bookings = [e for e in events if isinstance(e, PositionChanged)]
    fresh = RiskActor(w.universe, wide, ["main"], daily=False)
    fresh.flowed(CashFlowed("main", to_fixed(10_000), "opening", to_fixed(10_000), ()))
    book = fresh.exposure.books["main"]
    for fill in fills:
        fresh.filled(fill)
    fresh.booked(bookings[0])
    fresh.equity(EquityMarked("main", to_fixed(10_000), to_fixed(6_000), 0, 0))
    assert (fmt(book.cash), fmt(book.holdings[0].qty)) == ("2000", "80")
    fresh.booked(bookings[1])
    assert (fmt(book.cash), fmt(book.holdings[0].qty), book.pending) == ("2000", "80", {})


def test_the_brokers_refusal_frees_the_id_of_nothing_and_the_cash_of_everything(world):
    """A rejected order holds no cash, and its id stays used."""
    w = world()
    assert w.submit(BUY, 10, client_order_id="a") == "ok"
    order = w.risk.exposure.working["a"].order
    w.state(OrderRejected("o", order, "NO_SHARES", "test"))
    assert w.risk.exposure.books["main"].reserved == 0
    assert w.submit(BUY, 10, client_order_id="a") == "DUPLICATE"


def test_two_orders_without_an_id_are_both_denied_for_what_is_wrong_with_them(world):
    """They were refused at the border; neither makes a duplicate of the other."""
    w = world()
    order = msgspec.structs.replace(
        w.order(BUY, 1), client_order_id="", malformed=("BAD_FIELD", "an order needs an id")
    )
    assert [w.verdict(w.process(order)) for _ in range(2)] == ["BAD_FIELD", "BAD_FIELD"]


def test_a_position_beyond_what_a_run_can_count_is_denied(world):
    """One order for fifty thousand million shares fits below 2**63 units of 1e-8, a second one beside it does not."""
    w = world()
    first, second = (msgspec.structs.replace(w.order(BUY, 1), qty=50_000_000_000 * SCALE) for _ in range(2))
    w.state(OrderAccepted("o1", first, 0, w.clock.now()))
    (denied,) = w.process(second)
    assert (denied.code, denied.value) == ("MAX_QTY", "100000000000")


def test_a_booking_that_no_fill_explains_is_the_truth(world):
    """The portfolio says twenty after ten were bought: twenty may be sold, and its cash may be spent."""
    w = world()
    w.hold(10)
    w.state(PositionChanged("main", "elsewhere", 0, to_fixed(20), 0, 0, 0, to_fixed(500), None, (), ()))
    assert w.submit(SELL, 20) == "ok"
    assert w.submit(SELL, 1) == "SHORT_NOT_ALLOWED"
    book = w.risk.exposure.books["main"]
    assert (book.cash, book.pending) == (to_fixed(500), {})


def test_a_booking_in_a_symbol_never_seen_before_may_be_sold(world):
    """Nothing was ordered or filled in it here; the portfolio holds five all the same."""
    w = world()
    w.state(PositionChanged("main", "elsewhere", 2, to_fixed(5), 0, 0, 0, to_fixed(500), None, (), ()))
    assert w.submit(SELL, 6, symbol=2) == "SHORT_NOT_ALLOWED"
    assert w.submit(SELL, 5, symbol=2) == "ok"


def test_a_partial_fill_of_an_order_nobody_accepted_moves_shares_and_cash_alone(world):
    """There is no reservation to release; what was bought may be sold."""
    w = world()
    book = w.risk.exposure.books["main"]
    fill = OrderPartiallyFilled(
        "o9", "ghost", "o9-1", "main", 0, BUY, to_fixed(3), to_fixed(100), to_fixed(100), to_fixed(3), to_fixed(2),
        to_fixed(100), 0, 0, 0, 0, 0, "open", "taker", "", "", "", None, exempt=False,
    )  # fmt: skip
    before = (book.cash, book.reserved)
    w.risk.exposure.fold_fill(fill)  # the venue of these tests, too, knows no such order
    assert (book.cash, book.reserved) == (before[0] - to_fixed(300), before[1])
    assert w.submit(SELL, 4) == "SHORT_NOT_ALLOWED"
    assert w.submit(SELL, 3) == "ok"
