"""Corporate actions in the portfolio's room: lots, exits, extremes, dividends due, and snapshots in between."""

from __future__ import annotations

from typing import Any

import pytest

from actors.messages.market import CorporateAction, SessionOpened
from actors.messages.orders import OrderAccepted, OrderCanceled, OrderReplaced, SubmitOrder
from actors.messages.portfolio import (
    DividendAccrued,
    DividendPaid,
    EquityMarked,
    PositionAdjusted,
    SessionRolled,
    TradeClosed,
)
from actors.portfolio.books import replay_books
from actors.portfolio.corporate import pay_out, rename, split
from actors.portfolio.positions import Lot, Position
from actors.values import Session
from actors.values.fixed import SCALE
from tests.actors.portfolio.harness import HOUR, Desk, fx, spec_of


def lot(name: str, qty: float, px: float, *, fees: float = 0, ts: int = 1) -> Lot:
    """Return a lot without marks."""
    return Lot(name, 0, fx(qty), fx(px), ts, fx(qty * px), fx(fees), "", None, False, px, px)


def position(*lots: Lot, cost: float | None = None, symbol: int = 0) -> Position:
    """Return a position of lots, at their own cost unless told otherwise."""
    total = sum(each.cost for each in lots) if cost is None else fx(cost)
    return Position(symbol, sum(each.qty for each in lots), total, lots={each.lot_id: each for each in lots})


def untouched(each: Lot, px: float) -> tuple[float, float]:
    """Return the extremes of a lot."""
    return min(each.low, px), max(each.high, px)


def act(desk: Desk, kind: str, symbol: int = 0, **fields: Any) -> list[Any]:
    """Let an action take effect before the next session."""
    ts = desk.clock.now() + HOUR
    desk.clock.advance_to(ts)
    value = fields.pop("value", 0)
    return list(desk.seq.process(CorporateAction(ts, 20240200, symbol, kind, value, **fields), "feed"))


def opened(desk: Desk, date: int) -> list[Any]:
    """Open a session."""
    ts = desk.clock.now() + HOUR
    desk.clock.advance_to(ts)
    return list(desk.seq.process(SessionOpened(ts, Session(date, ts, ts + HOUR, date)), "feed"))


def bought(desk: Desk, symbol: int, qty: float, name: str = "o") -> None:
    """Buy (or sell short) at the next bar's open."""
    order = SubmitOrder(name, "main", symbol, 1 if qty > 0 else -1, fx(abs(qty)), reason="script")
    desk.seq.process(order, "test")


def sound(desk: Desk) -> None:
    """The books recomputed from the events alone agree."""
    events = [event for frame in desk.sink.frames for event in frame.events]
    assert [check for check in replay_books(events).checks if not check.ok] == []


# -- pure --------------------------------------------------------------------------------------------------------------


def test_average_cost_and_lots_each_pay_their_own_part_of_a_fraction() -> None:
    """Lots of 3 at 10 and 2 at 20, of which average cost says 80 after a sale: at 3:2 they are 4.5 and 3, 7.5 in all.

    Half a share is paid at 12: 6. By average cost it cost 80 / 15 = 5.33333333; by lots 30 / 9 = 3.33333333 and a ninth
    of the first lot's fee of 0.9.
    """
    before = position(lot("a", 3, 10, fees=0.9), lot("b", 2, 20), cost=80)
    found = split("main", before, fx(100), (3, 2), SCALE, fx(12), untouched, 7)
    event = found.position
    assert (event.qty, event.cash, event.paid) == (fx(7), fx(106), fx(6))
    assert event.realized == fx(6) - 533_333_333
    assert event.realized_fifo == fx(6) - 333_333_333
    assert event.cost == fx(80) - 533_333_333
    assert event.lots == (
        ("a", fx(4), 666_666_667, fx(30) - 333_333_333, fx(0.8)),
        ("b", fx(3), 1_333_333_333, fx(40), 0),
    )
    assert sum(amount for _, amount in event.postings) == 0
    [trade] = found.trades
    assert (trade.qty, trade.fees, trade.pnl) == (fx(0.5), fx(0.1), fx(6) - 333_333_333 - fx(0.1))
    assert before.qty == fx(5)  # nothing was changed
    assert next(iter(before.lots.values())).qty == fx(3)


def test_a_short_pays_what_a_long_gets() -> None:
    """-10 at 50, out at 20: 200 leave the account, 300 were earned."""
    event = pay_out("main", position(lot("a", -10, 50)), fx(1000), fx(20), untouched, 7).position
    assert (event.qty, event.cost, event.paid, event.cash) == (0, 0, fx(-200), fx(800))
    assert event.realized == event.realized_fifo == fx(300)


@pytest.mark.parametrize("side", [1, -1])
def test_every_lot_that_is_paid_out_gets_its_own_part_and_is_a_trade_of_its_own(side: int) -> None:
    """Lots of 10 at 100, 20 at 110 and 30 at 90, out at 99: they differ from it by 1 %, 10 % and 10 %.

    A long loses 10 and 220 and earns 270; a short the other way round. 60 shares at 99 are 5,940.
    """
    held = position(lot("a", 10 * side, 100), lot("b", 20 * side, 110), lot("c", 30 * side, 90))
    found = pay_out("main", held, fx(10_000), fx(99), untouched, 7)
    assert (found.position.paid, found.position.cash) == (fx(5_940 * side), fx(10_000 + 5_940 * side))
    assert found.position.realized_fifo == fx(40 * side)
    assert [(trade.lot_id, trade.side, trade.qty, trade.pnl, trade.ret) for trade in found.trades] == [
        ("a", side, fx(10), fx(-10 * side), -0.01 * side),
        ("b", side, fx(20), fx(-220 * side), -0.1 * side),
        ("c", side, fx(30), fx(270 * side), 0.1 * side),
    ]


def test_a_rename_joins_lots_by_age() -> None:
    """What the new symbol's lots are older than comes behind them."""
    old = position(lot("a", 1, 10, ts=5), symbol=0)
    new = position(lot("b", 2, 10, ts=3), lot("c", 2, 10, ts=9), symbol=1)
    event = rename("main", old, new, fx(1))
    assert [row[0] for row in event.lots] == ["b", "a", "c"]
    assert (event.symbol, event.new_symbol, event.qty, event.cost) == (0, 1, fx(5), fx(50))
    assert event.postings == ()


# -- the room ----------------------------------------------------------------------------------------------------------


def test_extremes_of_a_trade_are_in_the_units_it_ends_in() -> None:
    """Bought at 100, seen 80 to 120; two for one; then 30 to 55, sold at 50.

    In the new units: entry 50, worst 30, best 60: -40 % and 20 %.
    """
    desk = Desk()
    bought(desk, 0, 10)
    desk.bar([100.0], high=[120.0], low=[80.0])
    desk.close()
    act(desk, "split", numerator=2, denominator=1, value=2 * SCALE)
    desk.bar([50.0], high=[55.0], low=[30.0])
    bought(desk, 0, -20, "s")
    events = desk.bar([50.0])
    [trade] = [e for e in events if isinstance(e, TradeClosed)]
    assert (trade.qty, trade.entry_px, trade.exit_px, trade.pnl) == (fx(20), fx(50), fx(50), 0)
    assert (trade.mae, trade.mfe) == (-0.4, 0.2)
    sound(desk)


def test_a_dividend_due_is_equity_until_it_is_cash() -> None:
    """10 at 100 with 2 a share: the mark falls to 98 and 20 are due; the session from the 5th on pays them."""
    desk = Desk()
    bought(desk, 0, 10)
    desk.bar([100.0])
    desk.close()
    before = desk.actor.equity("main")
    [accrued] = act(desk, "dividend", value=fx(2), pay_date=20240205)
    assert isinstance(accrued, DividendAccrued)
    assert desk.actor.equity("main") == before
    assert opened(desk, 20240204) == []
    [mark] = [e for e in desk.bar([98.0]) if isinstance(e, EquityMarked)]
    assert (mark.accrued, mark.equity, mark.cash + mark.net) == (fx(20), before, before - fx(20))
    [roll] = [e for e in desk.close() if isinstance(e, SessionRolled)]
    assert (roll.accrued, roll.equity) == (fx(20), before)
    [paid] = opened(desk, 20240206)
    assert isinstance(paid, DividendPaid)
    assert (paid.amount, paid.cash) == (fx(20), desk.pf.cash)
    assert desk.actor.equity("main") == before
    assert opened(desk, 20240207) == []
    sound(desk)


def test_what_is_due_survives_a_restart_and_a_snapshot_of_an_older_version_owes_nothing() -> None:
    """The room is restored between ex-date and pay date; states that know of no dividends have none due."""
    desk = Desk()
    bought(desk, 0, 10)
    desk.bar([100.0])
    desk.close()
    act(desk, "dividend", value=fx(2), pay_date=20240205)
    act(desk, "delist", 2)
    state = desk.actor.snapshot()
    again = Desk(deposit=False)
    again.actor.restore(state)
    assert again.actor.snapshot() == state
    assert [due.amount for due in again.pf.dividends.payable(20240205)] == [fx(20)]
    assert again.actor.equity("main") == desk.actor.equity("main")
    old = {**state, "portfolios": [[name, dict(raw)] for name, raw in state["portfolios"]]}
    del old["tradable"]
    del old["portfolios"][0][1]["dividends"]
    old["portfolios"][0][1]["balances"] = old["portfolios"][0][1]["balances"][:10]
    older = Desk(deposit=False)
    older.actor.restore(old)
    assert (older.pf.dividends.total, older.pf.balances["dividends"]) == (0, 0)


@pytest.mark.parametrize("known", [5, 8])
def test_marks_of_an_older_version_are_taken_over(known: int) -> None:
    """They know of no ticks, or of no bars' starts; what they know is taken over whole."""
    desk = Desk()
    bought(desk, 0, 10)
    desk.bar([100.0])
    state = desk.actor.snapshot()
    again = Desk(deposit=False)
    again.actor.restore({**state, "marks": state["marks"][:known]})
    assert again.actor.equity("main") == desk.actor.equity("main")
    assert again.actor.snapshot()["marks"][:known] == state["marks"][:known]


def test_views_targets_and_exits_follow_a_rename_and_nobody_buys_the_old_symbol() -> None:
    """A strategy holds S0 with a stop; S0 becomes S2. Asked again about S0 it gets nothing, S2 is held as before."""
    desk = Desk(spec_of(stop_loss=0.1, rebalance="signal"))
    desk.bar([100.0, 50.0, 100.0])
    desk.signal({0: 0.9})
    desk.bar([100.0, 50.0, 100.0])
    qty = desk.pf.qty(0)
    assert qty > 0
    before = desk.actor.equity("main")
    [adjusted] = act(desk, "rename", renamed_to=2)
    assert isinstance(adjusted, PositionAdjusted)
    assert (desk.pf.qty(0), desk.pf.qty(2), desk.actor.equity("main")) == (0, qty, before)
    assert list(desk.pf.targets) == [2]
    assert desk.pf.views[0].score[2] == 0.9
    desk.bar([95.0, 50.0, 100.0])  # who has the old name now is another one
    events = desk.signal({0: 0.9})
    assert [e for e in events if isinstance(e, OrderAccepted) and e.order.symbol == 0] == []
    sound(desk)


def test_long_one_name_and_short_the_next_is_paid_out_at_the_price_of_both() -> None:
    """10 S0 long and 4 S1 short, and S0 becomes S1: the long is paid out at its last price, the short stands."""
    desk = Desk(n=2)
    bought(desk, 0, 10)
    bought(desk, 1, -4, "t")
    desk.bar([100.0, 50.0])
    before = desk.pf.cash
    events = act(desk, "rename", renamed_to=1)
    [adjusted] = [e for e in events if isinstance(e, PositionAdjusted)]
    assert (adjusted.qty, adjusted.paid, desk.pf.cash) == (0, fx(1000), before + fx(1000))
    assert desk.pf.qty(1) == fx(-4)
    sound(desk)


@pytest.mark.parametrize("kind", ["dividend", "split"])
def test_an_action_reaches_every_portfolio_that_holds_the_symbol(kind: str) -> None:
    """The first portfolio is flat, the others hold 10 and 20: a dividend of 1.50, or two for one."""
    desk = Desk(spec_of(name="flat"), spec_of(name="ten"), spec_of(name="twenty"))
    for name, qty in (("ten", 10), ("twenty", 20)):
        desk.seq.process(SubmitOrder(name, name, 0, 1, fx(qty), reason="script"), "test")
    desk.bar([100.0])
    ratio = {"numerator": 2, "denominator": 1} if kind == "split" else {}
    events = act(desk, kind, value=fx(1.5) if kind == "dividend" else 2 * SCALE, **ratio)
    told = {e.portfolio: e for e in events if isinstance(e, DividendAccrued | PositionAdjusted)}
    assert list(told) == ["ten", "twenty"]
    if kind == "dividend":
        assert [e.amount for e in told.values()] == [fx(15), fx(30)]
    else:
        assert [e.qty for e in told.values()] == [fx(20), fx(40)]


def test_volatilities_see_no_split() -> None:
    """The closes kept for inverse-volatility weights are those of the new shares."""
    desk = Desk(spec_of(allocation="inverse_volatility", lookback=3), n=2)
    for px in (100.0, 110.0, 99.0):
        desk.bar([px, 10.0])
    act(desk, "split", numerator=4, denominator=1, value=4 * SCALE)
    closes = desk.actor.marks.closes()
    assert closes is not None
    assert closes[:, 0].tolist() == [25.0, 27.5, 24.75]
    assert closes[:, 1].tolist() == [10.0, 10.0, 10.0]


def test_dividends_are_paid_in_the_order_of_their_dates_and_one_of_nothing_is_not_told() -> None:
    """The later one was announced first; each leaves what is due by its own amount."""
    desk = Desk()
    bought(desk, 0, 10)
    desk.bar([100.0])
    desk.close()
    assert act(desk, "dividend", value=0) == []
    act(desk, "dividend", value=fx(2), pay_date=20240207)
    act(desk, "dividend", value=fx(3), pay_date=20240205)
    assert desk.pf.dividends.total == fx(50)
    assert [event.amount for event in opened(desk, 20240205)] == [fx(30)]
    assert desk.pf.dividends.total == fx(20)
    assert [event.amount for event in opened(desk, 20240207)] == [fx(20)]
    assert (desk.pf.dividends.total, desk.pf.dividends.due) == (0, [])
    sound(desk)


@pytest.mark.parametrize(
    ("kind", "fields", "left"), [("split", {"numerator": 1, "denominator": 3}, 333), ("delist", {}, 0)]
)
def test_a_venue_that_restates_no_orders_is_told_what_is_left_to_protect(
    kind: str, fields: dict[str, Any], left: int
) -> None:
    """The stop of 1,000 is for 333 behind one for three, of which a third is paid; behind a delisting for none."""
    desk = Desk(spec_of(stop_loss=0.1, rebalance="signal", max_weight=1.0))
    desk.bar([100.0, 50.0, 100.0])
    desk.signal({0: 1.0})
    desk.bar([100.0, 50.0, 100.0])
    assert desk.pf.qty(0) == fx(1_000)
    events = act(desk, kind, value=fx(100) if kind == "delist" else SCALE // 3, **fields)
    assert [e.qty for e in events if isinstance(e, OrderReplaced)] == [fx(left)] * (left > 0)
    assert [e.reason for e in events if isinstance(e, OrderCanceled)] == ["lot_closed"] * (not left)


# -- the outsider ------------------------------------------------------------------------------------------------------


def run_of_actions() -> list[Any]:
    """Return the events of a run: 5 S0 are split to 7 and a paid half, get a dividend, and are delisted at 60."""
    desk = Desk()
    bought(desk, 0, 5)
    desk.bar([100.0])
    desk.close()
    act(desk, "split", numerator=3, denominator=2, value=3 * SCALE // 2)
    act(desk, "dividend", value=fx(2), pay_date=20240205)
    opened(desk, 20240206)
    act(desk, "delist", value=fx(60))
    return [event for frame in desk.sink.frames for event in frame.events]


def changed(events: list[Any], kind: type, word: str, **changes: Any) -> list[Any]:
    """Return events of which those of a kind (of an adjustment: of an action) say something else."""
    found = []
    for event in events:
        if isinstance(event, kind) and word in ("", getattr(event, "kind", "")):
            fields = {name: getattr(event, name) for name in event.__struct_fields__}
            found.append(kind(**fields | changes))
        else:
            found.append(event)
    assert found != events
    return found


@pytest.mark.parametrize(
    ("kind", "word", "changes", "sentence"),
    [
        (PositionAdjusted, "split", {"qty": fx(8)}, "the quantity after the split"),
        (PositionAdjusted, "split", {"cost": fx(500)}, "the cost after the split"),
        (PositionAdjusted, "split", {"numerator": 2, "denominator": 1}, "the quantity after the split"),
        (PositionAdjusted, "split", {"paid": fx(30)}, "what the split"),
        (PositionAdjusted, "split", {"px": fx(60)}, "what the split"),
        (PositionAdjusted, "split", {"lots": ()}, "the split of symbol 0 in main keeps lots {}"),
        (PositionAdjusted, "split", {"closed": (("nobody", fx(0.5)),)}, "pays out 0.5 of lot nobody"),
        (PositionAdjusted, "split", {"closed": (("nobody", fx(9)),)}, "pays out 9 of 7.5"),
        (PositionAdjusted, "split", {"realized": 0}, "the profit that the split"),
        (PositionAdjusted, "split", {"realized_fifo": 0}, "by lots"),
        (
            PositionAdjusted,
            "delist",
            {"closed": (), "qty": fx(7), "paid": 0, "realized": 0, "realized_fifo": 0},
            "the delist of symbol 0 in main leaves 7",
        ),
        (DividendAccrued, "", {"qty": fx(8)}, "is paid on"),
        (DividendAccrued, "", {"per_share": fx(3)}, "the dividend of 20240200 on symbol 0 in main"),
        (DividendPaid, "", {"amount": fx(15)}, "is paid with 15, which was not due"),
        (DividendPaid, "", {"cash": fx(1)}, "cash after the dividend of 20240200"),
    ],
)
def test_an_outsider_finds_an_action_that_was_booked_wrongly(
    kind: type, word: str, changes: dict[str, Any], sentence: str
) -> None:
    """One number of one event is another, and the recomputed books say which."""
    events = run_of_actions()
    assert replay_books(events).ok
    found = replay_books(changed(events, kind, word, **changes))
    assert any(sentence in check.detail for check in found.checks if not check.ok), found.checks


def test_an_outsider_finds_a_lot_that_a_rename_lost() -> None:
    """Two symbols become one; of their two lots one is missing."""
    desk = Desk()
    bought(desk, 0, 5, "a")
    bought(desk, 1, 4, "b")
    desk.bar([100.0, 100.0, 100.0])
    act(desk, "rename", renamed_to=1)
    events = [event for frame in desk.sink.frames for event in frame.events]
    assert replay_books(events).ok
    [renamed] = [event for event in events if isinstance(event, PositionAdjusted)]
    found = replay_books(changed(events, PositionAdjusted, "rename", lots=renamed.lots[:1]))
    assert any("how many lots the rename" in check.detail for check in found.checks if not check.ok)
