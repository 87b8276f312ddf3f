"""Decisions: gates, views that stand, what is sent and in what order."""

from __future__ import annotations

import pytest

from actors.messages.columns import unpack_f64, unpack_i32
from actors.messages.orders import CancelOrder, OrderAccepted, OrderCanceled, ReplaceOrder, SubmitOrder
from actors.messages.portfolio import ClosePositions, CutPositions, TargetsProposed
from tests.actors.portfolio.harness import Desk, Inject, fx, make_fill, spec_of


def targets(desk: Desk) -> dict[int, float]:
    """The newest proposal as a mapping."""
    event = desk.sink.events(TargetsProposed)[-1]
    return dict(zip(unpack_i32(event.ids).tolist(), unpack_f64(event.weights).tolist(), strict=True))


def test_gates_cut_before_weights_and_the_cuts_are_counted():
    """Of three buys one is below .65; of two sells one is below .60; a score of 0 is no signal at all."""
    desk = Desk(spec_of(min_confidence_buy=0.65, min_confidence_sell=0.60), n=6)
    desk.bar([10] * 6)
    scores = {0: 0.9, 1: 0.65, 2: 0.64, 3: -0.6, 4: -0.59, 5: 0.0}
    events = desk.signal(scores)
    proposed = desk.sink.events(TargetsProposed)[-1]
    assert (proposed.cut_buy, proposed.cut_sell) == (1, 1)
    assert targets(desk) == {0: 0.5, 1: 0.5}
    assert [order[0] for order in desk.orders(events)] == [0, 1]


def test_cuts_are_reported_even_where_nothing_else_happens():
    """Between rebalances a decision that only had cut signals still says so; a quiet one says nothing."""
    desk = Desk(spec_of(min_confidence_buy=0.65, rebalance="weekly"), n=2)
    desk.bar([10, 10], date=20240108)
    desk.signal({0: 0.9})
    desk.bar([10, 10], date=20240109)
    desk.signal({0: 0.9, 1: 0.5})
    assert [e.cut_buy for e in desk.sink.events(TargetsProposed)] == [0, 1]
    assert targets(desk) == {0: 1.0}
    desk.signal({0: 0.9})
    assert len(desk.sink.events(TargetsProposed)) == 2


def test_a_symbol_without_a_signal_keeps_its_target_and_a_cut_signal_is_none():
    """The view stands until the strategy states another one that passes."""
    desk = Desk(spec_of(min_confidence_sell=0.6), n=2)
    desk.bar([10, 10])
    desk.signal({0: 0.9, 1: 0.9})
    desk.bar([10, 10])
    assert desk.orders(desk.signal({0: 0.9})) == []
    assert desk.orders(desk.signal({0: 0.9, 1: -0.5})) == []
    assert targets(desk) == {0: 0.5, 1: 0.5}
    assert desk.orders(desk.signal({1: -0.6}))[0] == (1, -5000, 60, "signal")


def test_a_confident_zero_closes_and_a_negative_score_opens_no_short_unless_allowed():
    """Score 0 with confidence .9 wants nothing of the name; -0.9 neither, without allow_short."""
    desk = Desk(n=2)
    desk.bar([10, 10])
    desk.signal({0: 0.9, 1: -0.9})
    desk.bar([10, 10])
    assert (desk.pf.qty(0), desk.pf.qty(1)) == (fx(10_000), 0)
    assert desk.orders(desk.signal({0: 0.0}, confidence={0: 0.9})) == [(0, -10_000, 90, "signal")]


def test_a_flip_sends_the_close_before_the_entry():
    """From long to short: one reduce-only sale, then a short within the cash at hand."""
    desk = Desk(spec_of(allow_short=True, max_weight=0.4), n=1)
    desk.bar([10])
    desk.signal({0: 0.9})
    desk.bar([10])
    events = desk.signal({0: -0.9})
    orders = [e.order for e in events if isinstance(e, OrderAccepted)]
    assert [(o.side, o.qty, o.reduce_only) for o in orders] == [(-1, fx(4_000), True), (-1, fx(4_000), False)]
    assert [(o.client_order_id, o.parent_id) for o in orders] == [("s-S0-2-sell", ""), ("s-S0-2-short", "s-S0-2-sell")]
    assert [(o.reason, o.confidence) for o in orders] == [("signal", 0.9)] * 2
    desk.bar([10])
    assert desk.pf.qty(0) == fx(-4_000)
    orders = [e.order for e in desk.signal({0: 0.9}) if isinstance(e, OrderAccepted)]
    assert [(o.client_order_id, o.parent_id) for o in orders] == [("s-S0-3-cover", ""), ("s-S0-3-buy", "s-S0-3-cover")]


def test_sells_go_out_before_buys_and_pay_for_them():
    """Rotating from one name into another at one open uses the expected proceeds."""
    desk = Desk(spec_of(cash_reserve=102_000_000), n=2)
    desk.bar([10, 20])
    desk.signal({1: 0.9})
    desk.bar([10, 20])
    held = desk.pf.qty(1)
    events = desk.signal({0: 0.9, 1: -0.9})
    (sell, buy) = [e.order for e in events if isinstance(e, OrderAccepted)]
    assert (sell.symbol, sell.side, sell.qty, sell.reduce_only) == (1, -1, held, True)
    free = desk.pf.cash + held * 20 * 98 // 100
    assert (buy.symbol, buy.qty) == (0, free * 100 // 102 // 10 // fx(1) * fx(1))


def test_without_reuse_of_proceeds_only_cash_pays():
    """Under cash_strict the second leg waits for the money: one session from 2024-05-28 on, two before."""
    for month, sessions in ((202405, 2), (202406, 1)):
        desk = Desk(spec_of(reuse_proceeds=False), n=2)
        day = iter(range(month * 100 + 1, month * 100 + 29))
        desk.bar([10, 20], date=next(day))
        desk.signal({1: 0.9})
        desk.bar([10, 20], date=next(day))
        assert desk.orders(desk.signal({0: 0.9, 1: -0.9})) == [(1, -5_000, 90, "signal")]
        desk.bar([10, 20], date=next(day))
        for _ in range(sessions):
            assert desk.orders(desk.signal({0: 0.9})) == []
            desk.bar([10, 20], date=next(day))
        assert desk.orders(desk.signal({0: 0.9})) == [(0, 10_000, 90, "signal")]


def test_trims_and_drops_carry_no_confidence_and_entries_do():
    """The confidence gate is for signals; bringing a weight back is none."""
    desk = Desk(spec_of(max_positions=1), n=2)
    desk.bar([10, 10])
    desk.signal({0: 0.8})
    desk.bar([10, 10])
    assert desk.orders(desk.signal({1: 0.9})) == [(0, -10_000, -1, "rebalance"), (1, 10_000, 90, "signal")]


def test_differences_below_the_smallest_order_are_left_but_a_close_never_is():
    """A drift of 50 with a minimum of 100 is not traded; a position of 50 is still closed."""
    desk = Desk(spec_of(min_order_value=fx(100)), n=2)
    desk.bar([10, 10])
    desk.signal({0: 0.9, 1: 0.9})
    desk.bar([10, 10])
    desk.bar([10.01, 10])
    assert desk.orders(desk.signal({0: 0.9, 1: 0.9})) == []
    desk.seq.process(Inject((make_fill("x", 1, side=-1, qty=fx(4_996), px=fx(10)),)), "script")
    assert desk.orders(desk.signal({0: -0.9}))[0] == (0, -4, 90, "signal")


def test_a_bought_and_held_name_is_never_trimmed_or_topped_up_but_can_be_sold():
    """Prices move, a cheaper share would fit, nothing is traded until the strategy wants out."""
    desk = Desk(n=2)
    desk.bar([100, 7])
    assert desk.orders(desk.signal({0: 1.0}, buy_and_hold=True)) == [(0, 1_000, 100, "signal")]
    assert desk.orders(desk.signal({0: 1.0}, buy_and_hold=True)) == []
    desk.bar([90, 7], open_=[98, 7])
    for close in (50.0, 80.0, 200.0):
        desk.bar([close, 7])
        assert desk.orders(desk.signal({0: 1.0}, buy_and_hold=True)) == []
    assert desk.pf.qty(0) == fx(1_000)
    assert desk.orders(desk.signal({0: -1.0}, buy_and_hold=True)) == [(0, -1_000, 100, "signal")]


def test_an_order_that_still_works_is_netted_and_replaced_only_if_the_target_moved():
    """Deciding twice before the open changes nothing; another target cancels the first order and sends one anew."""
    desk = Desk(n=2)
    desk.bar([10, 10])
    desk.signal({0: 0.9})
    assert desk.orders(desk.signal({0: 0.9})) == []
    events = desk.signal({0: 0.9, 1: 0.8})
    assert [e.client_order_id for e in events if isinstance(e, OrderCanceled)] == ["s-S0-1-buy"]
    assert desk.orders(events) == [(0, 5_000, 90, "signal"), (1, 5_000, 80, "signal")]
    events = desk.signal({0: -0.9})
    assert [e.client_order_id for e in events if isinstance(e, OrderCanceled)] == ["s-S0-3-buy", "s-S1-3-buy"]
    assert desk.orders(events) == [(1, 10_000, 80, "signal")]


def test_what_nobody_has_a_view_on_is_left_alone_and_takes_up_a_place():
    """An operator's position is not the strategies' to sell, and counts against max_positions."""
    desk = Desk(spec_of(max_positions=2), n=3)
    desk.bar([10, 10, 10])
    desk.seq.process(Inject((make_fill("x", 1, symbol=2, qty=fx(100), px=fx(10)),)), "script")
    orders = desk.orders(desk.signal({0: 0.9, 1: 0.8}))
    assert [order[0] for order in orders] == [0]
    assert orders[0][1] == 9_900


def test_names_that_may_not_be_traded_or_have_no_price_get_no_weight():
    """A benchmark in the universe is only looked at; without a bar there is nothing to size with."""
    desk = Desk(n=3)
    desk.actor._tradable[0] = False
    desk.bar([10, 10], ids=[0, 1])
    desk.signal({0: 0.9, 1: 0.9, 2: 0.9})
    assert targets(desk) == {1: 1.0}


@pytest.mark.parametrize("days", [40, 41])
def test_inverse_volatility_waits_for_data_and_says_who_abstained(days):
    """With a lookback of 60, forty returns are enough."""
    desk = Desk(spec_of(allocation="inverse_volatility", lookback=60, rebalance="signal"), n=2)
    for day in range(days):
        desk.bar([100 + day % 2, 100 + 3 * (day % 2)], date=20240101 + day)
    events = desk.signal({0: 0.9, 1: 0.9})
    proposed = desk.sink.events(TargetsProposed)
    if days == 40:
        assert desk.orders(events) == []
        assert proposed == []
    else:
        weights = targets(desk)
        assert sum(weights.values()) == pytest.approx(1.0)
        assert weights[0] > 2.5 * weights[1]


def test_inverse_volatility_sells_what_nothing_is_wanted_of_without_asking_for_data():
    """No name is wanted any more, so there is no volatility to wait for."""
    desk = Desk(spec_of(allocation="inverse_volatility", lookback=3), n=1)
    for day in range(5):
        desk.bar([100 + day % 2])
    desk.signal({0: 0.9})
    desk.bar([100])
    assert desk.pf.qty(0) == fx(1_000)
    assert desk.orders(desk.signal({0: -0.9})) == [(0, -1_000, 90, "signal")]
    assert targets(desk) == {}


def test_a_held_name_that_abstains_is_not_touched():
    """Data for one of two names ended; the other is rebalanced, the first stays as it is."""
    desk = Desk(spec_of(allocation="inverse_volatility", lookback=3), n=2)
    for day in range(4):
        desk.bar([100 + day % 2, 100 - day % 2])
    desk.signal({0: 0.9, 1: 0.9})
    desk.bar([100, 100])
    held = desk.pf.qty(1)
    assert held > 0
    for day in range(4):
        desk.bar([100 + day % 2], ids=[0])
    desk.signal({0: 0.9, 1: 0.9})
    proposed = desk.sink.events(TargetsProposed)[-1]
    assert unpack_i32(proposed.abstained).tolist() == [1]
    assert [e.order.symbol for e in desk.sink.events(OrderAccepted)[2:] if e.order.symbol == 1] == []
    desk.bar([100], ids=[0])
    assert desk.pf.qty(1) == held


def test_views_of_several_strategies_are_summed():
    """One likes it, one dislikes it more: the name is not wanted; agreement takes the larger confidence."""
    desk = Desk(spec_of(strategies=("s", "t"), allow_short=False), n=2)
    desk.bar([10, 10])
    desk.signal({0: 0.6, 1: 0.7})
    events = desk.signal({0: -0.8, 1: 0.9}, strategy="t")
    assert targets(desk) == {1: 1.0}
    assert [(e.order.symbol, e.order.confidence) for e in events if isinstance(e, OrderAccepted)] == [(1, 0.9)]


def test_what_a_strategy_says_that_nobody_follows_changes_nothing():
    """Signals of others pass by."""
    desk = Desk(n=1)
    desk.bar([10])
    assert len(desk.signal({0: 0.9}, strategy="stranger")) == 1


def test_the_gates_reservation_holds_for_every_order_sent():
    """Under plan costs ten names at full weight reserve no more than there is."""
    desk = Desk(spec_of(cash_reserve=102_000_000, cost_rate=100_000, max_positions=10, max_weight=0.2), n=12)
    desk.bar([float(17 * i + 3) for i in range(12)])
    events = desk.signal(dict.fromkeys(range(12), 0.9))
    accepted = [e for e in events if isinstance(e, OrderAccepted)]
    assert len(accepted) == 10
    assert fx(97_000) < sum(e.reserved for e in accepted) <= fx(100_000)
    values = [e.reserved for e in accepted]
    assert max(values) - min(values) < fx(300)


def test_the_room_sends_only_what_it_declares():
    """Orders go to the gate; what else it sends comes back to itself."""
    desk = Desk(n=1)
    assert set(desk.actor.sends) == {SubmitOrder, CancelOrder, ReplaceOrder, ClosePositions, CutPositions}
    assert {ClosePositions, CutPositions} <= set(desk.actor.accepts)
