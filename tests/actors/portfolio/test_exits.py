"""Automatic exits: one stop and one target per entry lot of a strategy, never more shares than the lot has."""

from __future__ import annotations

import pytest

from actors.messages.orders import OrderAccepted, OrderCanceled, OrderReplaced, OrderType, TimeInForce
from actors.messages.portfolio import PositionChanged, TradeClosed
from actors.portfolio.exits import exit_px
from tests.actors.portfolio.harness import Desk, Inject, fx, make_fill, spec_of

STOPPED = {"stop_loss": 0.03, "take_profit": 0.10}


def entered(**changes) -> Desk:
    """A desk that holds 1,000 of the first symbol at 100, bought at a bar's open on a strategy's signal."""
    desk = Desk(spec_of(**{**STOPPED, **changes}), n=2)
    desk.bar([100, 50])
    desk.close()
    desk.signal({0: 0.9})
    desk.bar([100, 50])
    return desk


def exits_of(desk: Desk) -> dict[str, list[tuple[str, int]]]:
    """Working exits by lot: (reason, open shares)."""
    found: dict[str, list[tuple[str, int]]] = {}
    for lot_id, group in desk.pf.exits.items():
        found[lot_id] = [(w.client_order_id.split("-")[3], w.leaves // 10**8) for w in group.values()]
    return found


def test_an_opening_fill_of_a_strategy_sends_a_stop_and_a_target_for_its_lot():
    """Stop 3 % under and target 10 % above the fill, resting, reduce-only, naming lot and strategy."""
    desk = entered()
    stop, target = (e.order for e in desk.sink.events(OrderAccepted)[-2:])
    lot = next(iter(desk.pf.lots(0))).lot_id
    assert (stop.type, stop.stop_px, stop.limit_px) == (OrderType.STOP, fx(97), None)
    assert (target.type, target.limit_px, target.stop_px) == (OrderType.LIMIT, fx(110), None)
    assert (stop.reason, target.reason) == ("stop_loss", "take_profit")
    for order in (stop, target):
        assert (order.side, order.qty, order.tif, order.reduce_only) == (-1, fx(1_000), TimeInForce.GTC, True)
        assert (order.lot_id, order.strategy, order.confidence) == (lot, "s", None)


def test_exits_of_a_short_are_mirrored():
    """The stop lies above, the target below, both buy."""
    desk = Desk(spec_of(**STOPPED, allow_short=True, max_weight=0.5), n=1)
    desk.bar([100])
    desk.signal({0: -0.9})
    desk.bar([100])
    stop, target = (e.order for e in desk.sink.events(OrderAccepted)[-2:])
    assert desk.pf.qty(0) == fx(-500)
    assert (stop.side, stop.stop_px, target.side, target.limit_px) == (1, fx(103), 1, fx(90))


def test_exit_prices_are_exact_to_the_last_digit():
    """Fractions are taken in fixed point, half to even."""
    assert exit_px(fx(33.33), -0.03) == 3_233_010_000
    assert exit_px(1, 0.1) == 1


@pytest.mark.parametrize("changes", [{"stop_loss": 0.0, "take_profit": 0.0}, {"stop_loss": 0.0}, {"take_profit": 0.0}])
def test_a_rate_of_zero_switches_its_exit_off(changes):
    """Frictionless runs have neither."""
    desk = entered(**changes)
    reasons = [e.order.reason for e in desk.sink.events(OrderAccepted)[1:]]
    assert reasons == [r for r in ("stop_loss", "take_profit") if changes.get(r, 1) != 0]


def test_buy_and_hold_lots_and_scripted_lots_have_no_exits():
    """An exempt signal and an operator's order rest nothing behind them."""
    desk = Desk(spec_of(**STOPPED), n=2)
    desk.bar([100, 50])
    desk.signal({0: 1.0}, buy_and_hold=True)
    desk.bar([100, 50])
    desk.seq.process(Inject((make_fill("x", 1, symbol=1, qty=fx(1), px=fx(50)),)), "script")
    assert desk.pf.qty(0) == fx(1_000)
    assert desk.pf.qty(1) == fx(1)
    assert exits_of(desk) == {}


def test_a_stop_that_fills_closes_its_lot_and_cancels_the_target():
    """The round trip names its reason; nothing is left working; the strategy's view has to be stated anew."""
    desk = entered()
    events = desk.bar([96, 50], open_=[99, 50], low=[95, 50])
    (trade,) = [e for e in events if isinstance(e, TradeClosed)]
    (canceled,) = [e for e in events if isinstance(e, OrderCanceled)]
    assert (trade.exit_reason, trade.exit_px, trade.strategy, trade.entry_confidence) == ("stop_loss", fx(97), "s", 0.9)
    assert canceled.reason == "lot_closed"
    assert exits_of(desk) == {}
    assert desk.pf.targets == {}
    assert desk.orders(desk.signal({1: 0.0})) == []
    assert desk.orders(desk.signal({0: 0.9})) == [(0, 1010, 90, "signal")]


def test_a_bar_that_reaches_both_exits_sells_the_shares_once():
    """The venue takes one; the other is cancelled with the lot."""
    desk = entered()
    desk.bar([100, 50], high=[120, 50], low=[90, 50])
    assert desk.pf.qty(0) == 0
    assert len(desk.sink.events(TradeClosed)) == 1
    assert exits_of(desk) == {}


def test_each_lot_has_exits_of_its_own():
    """Two entries at 100 and 104: the lower stop stays when the higher one is hit."""
    desk = entered(max_weight=0.5)
    first = next(iter(desk.pf.lots(0))).lot_id
    desk.seq.process(Inject((make_fill("y", 1, qty=fx(200), px=fx(104), strategy="s", reason="rebalance"),)), "test")
    assert exits_of(desk) == {first: [("stop", 500), ("take", 500)], "y-1": [("stop", 200), ("take", 200)]}
    desk.bar([100, 50], open_=[104, 50], high=[104, 50], low=[100, 50])
    assert desk.sink.events(TradeClosed)[-1].lot_id == "y-1"
    assert exits_of(desk) == {first: [("stop", 500), ("take", 500)]}
    assert desk.pf.qty(0) == fx(500)


def test_a_trim_cuts_the_exits_of_the_lots_it_takes_from():
    """After selling 400 of 1,000 first in, first out, the lot's stop and target are for 600."""
    desk = entered()
    lot = next(iter(desk.pf.lots(0))).lot_id
    events = desk.seq.process(Inject((make_fill("t", 1, side=-1, qty=fx(400), px=fx(100)),)), "test")
    assert [e.qty for e in events if isinstance(e, OrderReplaced)] == [fx(600), fx(600)]
    assert exits_of(desk) == {lot: [("stop", 600), ("take", 600)]}


def test_a_partly_filled_exit_cuts_only_its_sibling():
    """A stop for 1,000 that fills 300 has 700 open itself; the target is replaced to 700."""
    desk = entered()
    lot = next(iter(desk.pf.lots(0))).lot_id
    stop = next(w.client_order_id for w in desk.pf.exits[lot].values() if "stop" in w.client_order_id)
    part = make_fill(
        stop, 1, side=-1, qty=fx(300), px=fx(97), strategy="s", reason="stop_loss", lot_id=lot, leaves=fx(700)
    )
    events = desk.seq.process(Inject((part,)), "test")
    (replaced,) = [e for e in events if isinstance(e, OrderReplaced)]
    assert (replaced.client_order_id.split("-")[3], replaced.qty) == ("take", fx(700))
    assert exits_of(desk) == {lot: [("stop", 700), ("take", 700)]}


def test_a_signal_exit_and_a_stop_in_one_bar_do_not_sell_twice():
    """A market exit fills at the open; the stop, which the bar also reaches, finds nothing to reduce."""
    desk = entered()
    desk.close()
    desk.signal({0: -0.9})
    desk.bar([95, 50], open_=[99, 50], low=[94, 50])
    assert desk.pf.qty(0) == 0
    assert [t.exit_reason for t in desk.sink.events(TradeClosed)] == ["signal"]
    assert exits_of(desk) == {}


def test_exit_orders_of_one_frame_follow_each_booking():
    """Two opening fills in one decision give two lots with two exits each, under distinct ids."""
    desk = Desk(spec_of(**STOPPED), n=1)
    desk.bar([100])
    fills = tuple(make_fill("o", n, qty=fx(n), px=fx(100), strategy="s", leaves=fx(2 - n)) for n in (1, 2))
    desk.seq.process(Inject(fills), "test")
    ids = [e.order.client_order_id for e in desk.sink.events(OrderAccepted)]
    assert len(dict.fromkeys(ids)) == 4
    assert exits_of(desk) == {"o-1": [("stop", 1), ("take", 1)], "o-2": [("stop", 2), ("take", 2)]}
    assert [e.qty for e in desk.sink.events(PositionChanged)] == [fx(1), fx(3)]


def test_the_end_of_an_order_that_nobody_accepted_here_changes_nothing():
    """An outside venue may speak of orders of an earlier life."""
    desk = entered()
    before = desk.actor.snapshot()
    desk.seq.process(Inject((OrderCanceled("O-99", "unknown", 0, "asked"),)), "venue")
    assert desk.actor.snapshot() == before
