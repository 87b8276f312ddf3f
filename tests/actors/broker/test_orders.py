"""What the broker takes, refuses, changes, cancels and lets expire."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pytest

from actors.broker.actor import BrokerActor
from actors.messages.catalogue import codec
from actors.messages.market import SessionClosed, SessionOpened, TradingStatus
from actors.messages.orders import Bracket, OrderTerms, OrderType, RouteOrder, TimeInForce
from actors.messages.portfolio import CashFlowed
from actors.values.halts import SSR
from actors.values.universe import Universe
from daemon.kernel.actor import Context, CoreActor, decides
from daemon.kernel.errors import ConfigError
from daemon.kernel.message import Command
from daemon.kernel.sequencer import Sequencer
from tests.actors.broker.desk import DAY, FREE, HOUR, PLAN, Desk, fills, fx, kinds, with_params

BUY, SELL = 1, -1
FLAT = (100, 101, 99, 100)
STOPPED = OrderTerms(bracket=Bracket(stop_px=fx(90)))
"""An entry with a stop at 90."""


def test_an_accepted_order_has_a_number_for_an_id_and_the_stamp_of_its_arrival():
    """O-1, O-2 in order; refused orders use up a number, too."""
    desk = Desk(FREE)
    desk.clock.advance_to(7)
    (first,) = desk.route(BUY, 1)
    (bad,) = desk.route(BUY, 0)
    (third,) = desk.route(BUY, 1)
    assert (first.order_id, first.ts, bad.order_id, third.order_id) == ("O-1", 7, "O-2", "O-3")


@pytest.mark.parametrize(
    ("code", "words", "order"),
    [
        ("BAD_TRAIL", "trail_amount", {"type": OrderType.TRAILING_STOP}),
        ("BAD_LIMIT_PX", "positive limit", {"type": OrderType.STOP_LIMIT, "stop_px": fx(1)}),
        ("UNSUPPORTED_TIF", "stop order cannot be ioc", {"type": OrderType.STOP, "tif": TimeInForce.IOC}),
        ("UNSUPPORTED_TIF", "cannot be cls", {"type": OrderType.MARKET_ON_OPEN, "tif": TimeInForce.CLS}),
        ("BAD_EXPIRY", "expire_at", {"tif": TimeInForce.GTD}),
        ("UNKNOWN_ACCOUNT", "nobody", {"portfolio": "nobody"}),
        ("UNKNOWN_SYMBOL", "ZZZ", {"symbol": -1, "symbol_text": "ZZZ"}),
        ("UNKNOWN_SYMBOL", "2", {"symbol": 2}),
        ("BAD_SIDE", "0", {"side": 0}),
        ("BAD_QTY", "-1", {"qty": -fx(1)}),
        ("BAD_LOT", "0.5", {"qty": fx(0.5)}),
        ("BAD_LOT", "0.00000001", {"qty": 1, "side": SELL}),
        ("BAD_LIMIT_PX", "no limit", {"limit_px": fx(1)}),
        ("BAD_LIMIT_PX", "positive limit", {"type": OrderType.LIMIT}),
        ("BAD_STOP_PX", "positive stop", {"type": OrderType.STOP, "stop_px": 0}),
        ("BAD_STOP_PX", "no stop", {"type": OrderType.LIMIT, "limit_px": fx(1), "stop_px": fx(1)}),
        ("BAD_STOP_PX", "positive stop", {"type": OrderType.STOP_LIMIT, "limit_px": fx(1)}),
        ("BAD_LIMIT_PX", "no limit", {"type": OrderType.MARKET_ON_OPEN, "tif": TimeInForce.DAY, "limit_px": fx(1)}),
        ("BAD_BRACKET", "only the broker", {"terms": OrderTerms(bracket_of="c0")}),
        ("BAD_BRACKET", "only reduces", {"terms": STOPPED, "side": SELL, "reduce_only": True}),
        ("BAD_BRACKET", "only reduces", {"terms": STOPPED, "side": SELL, "lot_id": "O-1-1"}),
        ("REDUCE_ONLY_FLAT", "no position in A", {"reduce_only": True, "side": SELL}),
    ],
)
def test_what_is_not_understood_is_refused_with_a_code_and_a_sentence(code, words, order):
    """Nothing works afterwards."""
    desk = Desk(FREE)
    (event,) = desk.put(RouteOrder(msgspec.structs.replace(desk.order(BUY, 1), **order), 0))
    assert kinds([event]) == ["OrderRejected"]
    assert event.code == code
    assert words in event.reason
    assert desk.broker.working == ()


def test_where_short_sales_are_watched_what_is_not_understood_is_refused_for_its_own_fault():
    """Shares must be located and short sales are restricted: neither concerns what is held, and neither excuses it."""
    desk = Desk(with_params(allow_short=True, require_locate=True), daily=False)
    desk.open(1)
    desk.route(BUY, 10)
    desk.bar(25, FLAT)
    desk.put(TradingStatus(25 * HOUR, 0, SSR), 25 * HOUR)
    (event,) = desk.route(SELL, 0.5)
    assert (kinds([event]), event.code) == (["OrderRejected"], "BAD_LOT")
    assert desk.broker.working == ()
    assert kinds(desk.route(SELL, 10)) == ["OrderAccepted"]


def test_what_others_sell_and_what_is_being_bought_takes_nothing_from_what_may_be_sold():
    """10 are held. Sales of another portfolio and a purchase of one's own work; the 10 may be sold, and none twice."""
    for locate, restricted in ((True, False), (False, True)):
        desk = Desk(with_params(allow_short=True, require_locate=locate), daily=False)
        desk.open(1)
        desk.deposit(10_000, "other")
        for portfolio in ("main", "other"):
            desk.route(BUY, 10, portfolio=portfolio)
        desk.bar(25, FLAT)
        if restricted:
            desk.put(TradingStatus(25 * HOUR, 0, SSR), 25 * HOUR)
        desk.route(BUY, 5, "limit", 90)
        desk.route(SELL, 10, portfolio="other")
        assert kinds(desk.route(SELL, 10)) == ["OrderAccepted"]
        assert kinds(desk.route(SELL, 1)) == ["OrderRejected"]


def test_symbols_that_are_only_observed_cannot_be_traded():
    """A benchmark has prices and no orders."""
    desk = Desk(FREE)
    desk.universe = Universe(("A", "B"), tradable=(True, False))
    desk.broker = BrokerActor(desk.universe, FREE, daily=True)
    desk.sequencer = desk._build()
    desk.deposit(1_000)
    (event,) = desk.route(BUY, 1, symbol=1)
    assert event.code == "NOT_TRADABLE"


@pytest.mark.parametrize("end", ["working", "filled", "canceled", "rejected"])
def test_a_client_order_id_works_once_whatever_became_of_it(end):
    """A resend never makes a second order, and the first is not disturbed."""
    desk = Desk(FREE)
    desk.route(BUY, 0 if end == "rejected" else 5, client_order_id="x")
    if end == "filled":
        desk.bar(1, FLAT)
    elif end == "canceled":
        desk.cancel("x")
    before = desk.broker.working
    (event,) = desk.route(BUY, 5, client_order_id="x")
    assert (kinds([event]), event.code) == (["OrderRejected"], "DUPLICATE_ORDER")
    assert desk.broker.working == before


def test_accounts_and_impacts_that_do_not_exist_are_configuration_errors():
    """Said at composition, not at the first fill."""
    with pytest.raises(ConfigError, match="credit"):
        BrokerActor(Universe(("A",)), with_params(account="credit"), daily=True)
    with pytest.raises(ConfigError, match="cubic"):
        BrokerActor(Universe(("A",)), with_params(impact="cubic"), daily=True)


# -- cancel ------------------------------------------------------------------------------------------------------------


def test_a_working_order_is_canceled_at_once_and_never_fills():
    """The reason travels."""
    desk = Desk(FREE)
    desk.route(BUY, 5)
    (event,) = desk.cancel("c1")
    assert (kinds([event]), event.reason, event.cum_qty) == (["OrderCanceled"], "asked", 0)
    assert desk.bar(1, FLAT) == []


@pytest.mark.parametrize(("client", "code"), [("nothing", "UNKNOWN_ORDER"), ("c1", "TERMINAL_ORDER")])
def test_cancel_and_replace_of_what_does_not_work_are_refused(client, code):
    """A fill that came first wins."""
    desk = Desk(FREE)
    desk.route(BUY, 5)
    desk.bar(1, FLAT)
    for events in (desk.cancel(client), desk.replace(client, 7)):
        assert (kinds(events), events[0].code) == (["OrderCancelRejected"], code)


def test_a_partly_filled_order_is_canceled_with_what_it_got():
    """cum_qty says so, the fill stays booked."""
    desk = Desk(with_params(participation=fx(0.1)))
    desk.route(BUY, 100)
    desk.bar(1, FLAT, volume=300)
    (event,) = desk.cancel("c1")
    assert (event.cum_qty, desk.broker.account("main").positions) == (fx(30), {0: fx(30)})


def test_cancel_all_goes_through_orders_of_one_portfolio_or_all_oldest_first():
    """Portfolio "" means every one."""
    desk = Desk(FREE)
    desk.deposit(1_000, "other")
    desk.route(BUY, 1)
    desk.route(BUY, 1, portfolio="other")
    desk.route(BUY, 1)
    assert [e.client_order_id for e in desk.cancel_all("all", "main")] == ["c1", "c3"]
    assert [e.client_order_id for e in desk.cancel_all("all")] == ["c2"]
    assert desk.cancel_all("all") == []


def test_cancel_all_that_adds_risk_leaves_what_only_closes():
    """Of 10 held, the sales of 6 and 4 stay, the one of 1 more would be a short; reduce-only stays, buys go."""
    desk = Desk(with_params(allow_short=True))
    desk.route(BUY, 10)
    desk.bar(1, FLAT)
    desk.route(BUY, 1, "limit", 50)  # c2
    desk.route(SELL, 6, "limit", 150)  # c3
    desk.route(SELL, 10, "stop", 50, reduce_only=True)  # c4
    desk.route(SELL, 4, "limit", 150)  # c5
    desk.route(SELL, 1, "limit", 150)  # c6
    desk.route(SELL, 1, "limit", 150, symbol=1)  # c7
    assert [e.client_order_id for e in desk.cancel_all("adding")] == ["c2", "c6", "c7"]


def test_an_unknown_scope_is_refused_and_cancels_nothing():
    """An operator's mistake is an answer, not a crash."""
    desk = Desk(FREE)
    desk.route(BUY, 1)
    (event,) = desk.cancel_all("some")
    assert (kinds([event]), event.code) == (["CommandRejected"], "BAD_SCOPE")
    assert len(desk.broker.working) == 1


# -- replace -----------------------------------------------------------------------------------------------------------


def test_a_replaced_order_works_on_its_new_terms_only():
    """Raised from 90 to 99.5 it fills at 99.5; the reservation is the new one."""
    desk = Desk(FREE)
    desk.bar(1, FLAT)
    desk.route(BUY, 5, "limit", 90, reserved=fx(459))
    (event,) = desk.replace("c1", 8, limit=99.5)
    assert (kinds([event]), event.qty, event.limit_px, event.ts) == (["OrderReplaced"], fx(8), fx(99.5), HOUR)
    (fill,) = fills(desk.bar(2, FLAT))
    assert (fill.last_px, fill.last_qty, fill.order_id) == (fx(99.5), fx(8), "O-1")


def test_new_terms_rest_only_from_their_stamp():
    """Replaced in the middle of a bar, the order is not touched by that bar."""
    desk = Desk(FREE)
    desk.bar(1, FLAT)
    desk.route(BUY, 5, "limit", 90)
    desk.clock.advance_to(HOUR + HOUR // 2)
    desk.replace("c1", 5, limit=99.5)
    assert desk.bar(2, FLAT) == []
    assert len(fills(desk.bar(3, FLAT))) == 1


@pytest.mark.parametrize(
    ("code", "qty", "prices"),
    [
        ("BELOW_FILLED", 29, {"limit": 101}),
        ("BELOW_FILLED", 30, {"limit": 101}),
        ("BAD_QTY", 0, {"limit": 101}),
        ("BAD_LOT", 40.5, {"limit": 101}),
        ("BAD_LIMIT_PX", 100, {}),
        ("BAD_STOP_PX", 100, {"limit": 101, "stop": 99}),
    ],
)
def test_bad_new_terms_are_refused_and_the_old_ones_stay(code, qty, prices):
    """30 of 100 are filled."""
    desk = Desk(with_params(participation=fx(0.1)))
    desk.route(BUY, 100, "limit", 101)
    desk.bar(1, FLAT, volume=300)
    (event,) = desk.replace("c1", qty, **prices)
    assert (kinds([event]), event.code) == (["OrderCancelRejected"], code)
    (order,) = desk.broker.working
    assert (order.qty, order.leaves, order.limit_px) == (fx(100), fx(70), fx(101))


def test_a_larger_quantity_leaves_what_is_not_filled_yet():
    """30 of 100 filled, replaced to 50: 20 are left, and 20 are filled."""
    desk = Desk(with_params(participation=fx(0.1)))
    desk.route(BUY, 100, "limit", 101)
    desk.bar(1, FLAT, volume=300)
    desk.replace("c1", 50, limit=101)
    (fill,) = fills(desk.bar(2, FLAT, volume=10_000))
    assert (fill.last_qty, fill.cum_qty, fill.leaves_qty, fill.exec_id) == (fx(20), fx(50), 0, "O-1-2")


def test_a_triggered_stop_keeps_its_price():
    """It is a market order now: quantity may change, the price may not."""
    desk = Desk(with_params(participation=fx(0.1)))
    desk.bar(1, FLAT, volume=300)
    desk.route(BUY, 100, "stop", 101)
    assert kinds(desk.bar(2, FLAT, volume=300)) == ["OrderTriggered", "OrderPartiallyFilled"]
    assert desk.replace("c1", 100, stop=102)[0].code == "ALREADY_TRIGGERED"
    assert kinds(desk.replace("c1", 40, stop=101)) == ["OrderReplaced"]
    (fill,) = fills(desk.bar(3, (90, 91, 89, 90), volume=300))
    assert (fill.last_px, fill.last_qty) == (fx(90), fx(10))


# -- time in force -----------------------------------------------------------------------------------------------------


def test_day_orders_expire_at_their_sessions_close_and_gtc_orders_stay():
    """Each says how much it got."""
    desk = Desk(with_params(participation=fx(0.1)), daily=False)
    desk.open(1)
    desk.route(BUY, 100, "limit", 101, tif=TimeInForce.DAY)
    desk.route(BUY, 1, "limit", 90, tif=TimeInForce.GTC)
    desk.route(BUY, 1, "limit", 90, tif=TimeInForce.DAY)
    desk.bar(25, FLAT, volume=300)
    events = desk.close(1)
    assert kinds(events) == ["OrderExpired", "OrderExpired"]
    assert [(event.client_order_id, event.cum_qty) for event in events] == [("c1", fx(30)), ("c3", 0)]
    assert [o.order_id for o in desk.broker.working] == ["O-2"]


def test_a_day_order_sent_after_the_close_lives_through_the_next_session():
    """It can fill from the next session's first bar on."""
    desk = Desk(FREE)
    desk.open(1)
    desk.close(1)
    desk.route(BUY, 1, tif=TimeInForce.DAY)
    desk.open(2)
    assert len(fills(desk.bar(56, FLAT, width=8))) == 1


def test_day_orders_of_a_session_whose_close_was_never_seen_expire_at_the_next_open():
    """What was sent later, for the new session, stays."""
    desk = Desk(FREE)
    desk.open(1)
    desk.route(BUY, 1, "limit", 90, tif=TimeInForce.DAY)
    desk.clock.advance_to(DAY + 9 * HOUR)
    desk.route(BUY, 1, "limit", 90, tif=TimeInForce.DAY)
    assert [(type(e).__name__, e.client_order_id) for e in desk.open(2)] == [("OrderExpired", "c1")]


class Decider(CoreActor):
    """A later stage that orders on the very input that expires the old orders."""

    name = "decider"
    sends: ClassVar[tuple[type[Command], ...]] = (RouteOrder,)

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    @decides(SessionClosed)
    def on_close(self, _message: SessionClosed, ctx: Context) -> None:
        """Decide for tomorrow."""
        ctx.send(RouteOrder(self.desk.order(BUY, 1, tif=TimeInForce.DAY), 0))


def test_orders_sent_by_later_stages_on_the_close_itself_are_for_the_next_session():
    """The daily flow: yesterday's leftover expires, today's decision rests and fills at tomorrow's open."""
    desk = Desk(FREE)
    desk.open(1)
    desk.route(BUY, 1, "limit", 50, tif=TimeInForce.DAY)
    snapshot = desk.broker.snapshot()
    decider = Decider(desk)
    desk.sequencer = Sequencer([desk.broker, decider], codec=codec(), clock=desk.clock, sink=desk.frames)
    desk.broker.restore(snapshot)
    events = desk.close(1)
    assert kinds(events) == ["OrderExpired", "OrderAccepted"]
    desk.open(2)
    (fill,) = fills(desk.bar(56, (105, 106, 104, 105), width=8))
    assert (fill.client_order_id, fill.last_px, fill.px_source) == ("c2", fx(105), "open")


def test_post_only_that_meets_its_first_open_as_a_taker_is_cancelled():
    """No price was known when they came in; at the open of 100 the limit of 101 would take, that of 99.50 rests."""
    desk = Desk(PLAN)
    terms = OrderTerms(post_only=True)
    desk.route(BUY, 1, "limit", 101, terms=terms)
    desk.route(BUY, 1, "limit", 99.5, terms=terms)
    canceled, filled = desk.bar(1, FLAT)
    assert (canceled.client_order_id, canceled.reason) == ("c1", "POST_ONLY_WOULD_TAKE")
    assert (filled.client_order_id, filled.last_px, filled.liquidity) == ("c2", fx(99.5), "maker")


def test_at_the_end_of_the_data_orders_stay_as_they_are():
    """Nothing is closed or cancelled by mere silence."""
    desk = Desk(PLAN)
    desk.route(BUY, 1, "limit", 50)
    desk.bar(1, FLAT)
    assert [o.state.value for o in desk.broker.working] == ["new"]
    assert "1 working" in desk.broker.health().detail


def test_declared_messages_are_what_the_gate_and_the_portfolio_rely_on():
    """Only RouteOrder brings an order in; the broker sends no commands."""
    assert RouteOrder in BrokerActor.accepts
    assert BrokerActor.sends == ()
    assert SessionOpened in BrokerActor.accepts
    assert CashFlowed in BrokerActor.handlers["evolves"]
