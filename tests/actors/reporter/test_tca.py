"""Implementation shortfall: worked examples on paper, unknown prices, and the identities over random runs."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.broker.params import BrokerParams
from actors.messages.orders import (
    Bracket,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderReplaced,
    OrderRestated,
    OrderTerms,
    OrderTriggered,
    OrderType,
    SubmitOrder,
)
from actors.messages.portfolio import SessionRolled
from actors.reporter import costs_section
from actors.reporter.story import Story, gather
from actors.reporter.tables import fills_csv, orders_csv
from actors.reporter.tca import FINE, Analysis, ParentOrder, Shortfall, shortfall
from actors.reporter.tca_files import calc_tca
from actors.reporter.tca_orders import Surroundings, Traded, analyse, fine, tca_csv
from actors.values.fixed import SCALE
from actors.values.universe import Universe
from daemon.journal.journal import StoredFrame
from daemon.kernel.errors import OperatorError
from tests.actors.broker.desk import FREE, PLAN, Desk, with_params

DATES = np.array([20200102], dtype=np.int64)


def fx(value: float) -> int:
    """A decimal number in units of 1e-8."""
    return round(value * SCALE)


def paper(**changes: Any) -> ParentOrder:
    """The worked example, a purchase."""
    order = ParentOrder(
        order_id="O-1",
        client_order_id="a",
        ts=0,
        symbol="A",
        side=1,
        type="market",
        status="canceled",
        qty=fx(1000),
        filled=fx(700),
        value=fx(400) * fx(50.2) + fx(300) * fx(50.3),
        decision_px=fx(50),
        arrival_px=fx(50.1),
        end_px=fx(50.5),
        fees=fx(7),
        spread=fx(20),
        slippage=fx(50),
        impact=fx(10),
    )
    return msgspec.structs.replace(order, **changes)


def money(parts: Shortfall) -> tuple[float | None, ...]:
    """Delay, execution, opportunity, fees, total."""
    values = (parts.delay, parts.execution, parts.opportunity, parts.fees, parts.total)
    return tuple(None if v is None else v / FINE for v in values)


# --------------------------------------------------------------------------------------------------------- on paper


def test_a_purchase_taken_apart() -> None:
    """1,000 wanted at 50.00; the market at 50.10 on arrival; 400 at 50.20, 300 at 50.30; ended at 50.50; fees 7.

    Delay 700 x 0.10 = 70. Execution 400 x 0.10 + 300 x 0.20 = 100. Opportunity 300 x 0.50 = 150. Sum 327, which of
    50,000 is 65.4 bps. Of the execution 20 + 50 + 10 are named, so 20 is timing.
    """
    parts = shortfall(paper())
    assert money(parts) == (70, 100, 150, 7, 327)
    assert parts.timing == 20 * FINE
    assert paper().bps(parts.total) == pytest.approx(65.4, rel=1e-12)


def test_a_sale_is_the_mirror() -> None:
    """The same prices are gains: -70, -100, -150; fees stay a cost: -313."""
    assert money(shortfall(paper(side=-1))) == (-70, -100, -150, 7, -313)


def test_nothing_filled_is_all_opportunity() -> None:
    """1,000 x 0.50 = 500, where the price is known at which it ended, and unknown where it is not."""
    unfilled = paper(filled=0, value=0, fees=0, spread=0, slippage=0, impact=0)
    assert money(shortfall(unfilled)) == (0, 0, 500, 0, 500)
    assert money(shortfall(msgspec.structs.replace(unfilled, end_px=None))) == (0, 0, None, 0, None)


@pytest.mark.parametrize(
    ("missing", "known"),
    [
        # Without the decision neither delay nor opportunity; without arrival the sum is known and its split is not.
        ("decision_px", (None, 100, None, 7, None)),
        ("arrival_px", (None, None, 150, 7, 327)),
        ("end_px", (70, 100, None, 7, None)),
    ],
)
def test_what_is_not_known_is_null_and_never_zero(missing: str, known: tuple[float | None, ...]) -> None:
    """And such an order is in no sum."""
    order = paper(**{missing: None})
    assert money(shortfall(order)) == known
    document = Analysis.of([order, paper(order_id="O-2")]).document()
    assert (document["orders"], document["analysed"], document["total"]) == (2, 1, 327)


def test_sums_of_groups_are_weighted_by_value() -> None:
    """327 of 50,000 and 7 + 1,000 x 1 = 1,007 of 100,000 are 1,334 of 150,000: 88.9333 bps, not (65.4 + 100.7) / 2."""
    other = paper(
        symbol="B", filled=fx(1000), value=fx(1000) * fx(101), decision_px=fx(100), arrival_px=fx(100), status="filled"
    )
    document = Analysis.of([paper(), other]).document()
    assert document["total"] == 1334
    assert document["bps"] == pytest.approx(1e4 * 1334 / 150_000, rel=1e-12)
    by = document["by"]["symbol"]
    assert (by["A"]["bps"], by["B"]["bps"]) == pytest.approx((65.4, 100.7), rel=1e-12)
    assert [by[name]["filled"] for name in "AB"] == [0, 1]


def test_refused_orders_are_counted_and_cost_nothing() -> None:
    """An order that never worked has no price to be measured against."""
    refused = paper(status="denied", filled=0, value=0, fees=0)
    document = Analysis.of([refused, paper()]).document()
    assert (document["denied"], document["analysed"], document["total"]) == (1, 1, 327)


def test_fills_against_other_benchmarks() -> None:
    """Value 35,170; at an average of 50.25 it would be 35,175, at a close of 50.00 35,000: -5 and 170."""
    parts = shortfall(paper(vwap=50.25, close=fx(50)))
    assert parts.vwap == pytest.approx(-5, abs=1e-9)
    assert parts.close == 170 * FINE
    assert parts.arrival == parts.execution


def test_the_interval_s_average_is_weighted_by_volume() -> None:
    """(10 x 100 + 20 x 300) / 400 = 17.5; the bar known at the acceptance itself is before it; nothing known: None.

    Of one bar it is that bar's price, where it is known.
    """
    trading = Traded(np.array([1, 2, 3]), np.array([99.0, 10.0, 20.0]), np.array([500.0, 100.0, 300.0]))
    assert trading.vwaps([1, 3, 2], [3, 9, 3]) == [17.5, None, 20.0]
    unknown = Traded(np.array([1, 2]), np.array([1.0, 2.0]), np.array([np.nan, 0.0]))
    assert unknown.vwaps([0, 0, 1], [5, 1, 2]) == [None, None, None]


# -------------------------------------------------------------------------------------------------- out of the events


def told(*events: object) -> Story:
    """A story of events, one frame each, at the seconds 1, 2, 3 ..."""
    return gather(StoredFrame(i, i * 10**9, i, "test", None, [event], []) for i, event in enumerate(events, 1))


def submit(name: str = "a", qty: float = 10, side: int = 1, **extra: Any) -> SubmitOrder:
    """An order of ten."""
    return SubmitOrder(name, "main", 0, side, fx(qty), **extra)


def filled(name: str, qty: float, px: float, cum: float, leaves: float, **extra: Any) -> Any:
    """A fill without costs, unless told."""
    kind = OrderPartiallyFilled if leaves else OrderFilled
    known: dict[str, Any] = {
        "order_id": f"o-{name}", "client_order_id": name, "exec_id": f"{name}-{cum}", "portfolio": "main", "symbol": 0,
        "side": 1, "last_qty": fx(qty), "last_px": fx(px), "ref_px": fx(px), "cum_qty": fx(cum),
        "leaves_qty": fx(leaves), "avg_px": fx(px), "commission": 0, "regulatory": 0, "spread": 0, "slippage": 0,
        "impact": 0, "px_source": "open", "liquidity": "taker", "strategy": "", "reason": "", "lot_id": "",
        "confidence": None, "exempt": False,
    }  # fmt: skip
    return kind(**known | extra)


def around(closes: Sequence[float] = (12.0,), traded: Any = None) -> Surroundings:
    """One session that closed at 12."""
    return Surroundings(
        Universe(("SPY", "NEW")), "America/New_York", DATES[: len(closes)], np.array([[c, c] for c in closes]), traded
    )


def only(*events: object, **kwargs: Any) -> tuple[ParentOrder, Shortfall]:
    """The first order of a story."""
    return analyse(told(*events), around(**kwargs)).rows[0]


def test_stamps_come_from_acceptance_fills_and_end() -> None:
    """Decision 10, arrival 10.1 from the first fill, 4 of 10 at 10.2, cancelled at 11: 0.4 + 0.4 + 6."""
    order, parts = only(
        OrderAccepted("o-a", submit(), 0, 0, fx(10), fx(0.5)),
        filled("a", 4, 10.2, 4, 6, arrival_px=fx(10.1)),
        OrderCanceled("o-a", "a", fx(4), "asked", fx(11), fx(10.1)),
    )
    assert money(parts) == (0.4, 0.4, 6, 0, 6.8)
    assert (order.status, order.expected, order.hour) == ("canceled", fx(0.5), 19)


def test_an_expired_order_and_one_that_still_works() -> None:
    """Expired at 11: 10 missed at 1 each. Still working at the end: measured at the last close, 12."""
    accepted = OrderAccepted("o-a", submit(), 0, 0, fx(10))
    _, expired = only(accepted, OrderExpired("o-a", "a", 0, "day", fx(11)))
    assert money(expired) == (0, 0, 10, 0, 10)
    working, parts = only(accepted)
    assert (working.status, money(parts)) == ("new", (0, 0, 20, 0, 20))


def test_a_stop_is_measured_by_its_own_price() -> None:
    """Placed at 10 with a stop of 12, filled through a gap at 12.5: 0.5 a share, not 2.5; never met: nothing."""
    order = submit(type=OrderType.STOP, stop_px=fx(12))
    accepted = OrderAccepted("o-a", order, 0, 0, fx(10))
    gap = (OrderTriggered("o-a", "a", fx(12.5)), filled("a", 10, 12.5, 10, 0, arrival_px=fx(10)))
    assert money(only(accepted, *gap)[1]) == (0, 5, 0, 0, 5)
    assert money(only(accepted, OrderExpired("o-a", "a", 0, "day", fx(15)))[1]) == (0, 0, 0, 0, 0)


def test_the_exits_of_a_bracket_cost_what_they_lose_against_their_prices() -> None:
    """A target of 11 for a position, sold at 11; its sibling ends with it and misses nothing."""
    exits = OrderTerms(bracket_of="e")
    target = submit("t", side=-1, type=OrderType.TAKE_PROFIT, limit_px=fx(11), terms=exits, parent_id="e")
    stop = submit("s", side=-1, type=OrderType.STOP, stop_px=fx(9), terms=exits, parent_id="e")
    story = told(
        OrderAccepted("o-t", target, 0, 0, fx(10)),
        OrderAccepted("o-s", stop, 0, 0, fx(10)),
        filled("t", 10, 11, 10, 0, side=-1),
        OrderCanceled("o-s", "s", 0, "OCO", fx(11)),
    )
    found = analyse(story, around())
    assert [money(parts) for _, parts in found.rows] == [(0, 0, 0, 0, 0), (0, 0, 0, 0, 0)]
    assert [order.expected for order, _ in found.rows] == [None, None]


def test_a_leg_of_a_group_that_another_filled_misses_nothing() -> None:
    """A limit cancelled as the other leg of an OCO was filled."""
    leg = submit(type=OrderType.LIMIT, limit_px=fx(9), terms=OrderTerms(oco_group="g"))
    accepted = OrderAccepted("o-a", leg, 0, 0, fx(10))
    assert money(only(accepted, OrderCanceled("o-a", "a", 0, "OCO", fx(12)))[1]) == (0, 0, 0, 0, 0)
    assert money(only(accepted, OrderCanceled("o-a", "a", 0, "asked", fx(12)))[1]) == (0, 0, 20, 0, 20)


def test_a_replaced_order_keeps_its_decision_and_has_its_last_quantity() -> None:
    """Ten at 10 become six, filled at 10.5: 6 x 0.5 = 3, nothing missed."""
    order, parts = only(
        OrderAccepted("o-a", submit(), 0, 0, fx(10)),
        OrderReplaced("o-a", "a", fx(6), None, None, 0, 1),
        filled("a", 6, 10.5, 6, 0, arrival_px=fx(10)),
    )
    assert (order.qty, money(parts)) == (fx(6), (0, 3, 0, 0, 3))


def test_a_split_restates_what_came_before() -> None:
    """Ten at 100: four filled at 101, then four for one: 24 left of 40, decided at 25; 24 at 26; 4 + 24 = 28."""
    order, parts = only(
        OrderAccepted("o-a", submit(), 0, 0, fx(100)),
        filled("a", 4, 101, 4, 6, arrival_px=fx(100)),
        OrderRestated("o-a", "a", 0, fx(40), fx(16), None, None, None, "split"),
        filled("a", 24, 26, 40, 0, arrival_px=fx(25)),
        closes=(26.0,),
    )
    assert (order.qty, order.filled, order.decision_px, order.arrival_px) == (fx(40), fx(40), fx(25), fx(25))
    assert money(parts) == (0, 28, 0, 0, 28)
    assert (order.vwap, order.close) == (None, None)  # prices on both sides of it do not compare


def test_a_rename_takes_the_order_along() -> None:
    """The table shows the symbol that the order has now."""
    order, _ = only(
        OrderAccepted("o-a", submit(), 0, 0, fx(10)),
        OrderRestated("o-a", "a", 1, fx(10), 0, None, None, None, "rename"),
    )
    assert (order.symbol, order.decision_px) == ("NEW", fx(10))


def test_fills_are_compared_with_the_market_around_them() -> None:
    """Filled at 11 in the session that closed at 12, while all others traded at 10.5: -10 and 5 for ten shares."""
    order, parts = only(
        OrderAccepted("o-a", submit(), 0, 0, fx(10)),
        filled("a", 10, 11, 10, 0, arrival_px=fx(10)),
        SessionRolled("main", 20200102, 0, 0, 0, 0, 0, 0, 0, 0),
        traded=lambda ids: {i: (np.array([2 * 10**9]), np.array([10.5]), np.array([7.0])) for i in ids},
    )
    assert (order.vwap, order.close) == (10.5, fx(12))
    assert (parts.vwap, parts.close) == (5, -10 * FINE)


def test_what_was_expected_of_other_terms_is_no_judge_of_what_was_paid() -> None:
    """Accepted for ten shares, replaced to twelve: half a dollar was expected of another trade."""
    order, _ = only(
        OrderAccepted("o-a", submit(), 0, 0, fx(10), fx(0.5)),
        OrderReplaced("o-a", "a", fx(12), None, None, 0),
        filled("a", 12, 10.2, 12, 0, arrival_px=fx(10.1)),
    )
    assert (order.qty, order.filled, order.expected) == (fx(12), fx(12), None)


def test_a_trailing_stop_shows_where_it_stood_when_it_was_met() -> None:
    """Its stop price moves with the market; the table shows the last one told, not where a gap led to."""
    order = submit(type=OrderType.TRAILING_STOP, terms=OrderTerms(trail_amount=fx(1)))
    story = told(OrderAccepted("o-a", order, 0, 0, fx(10)), OrderTriggered("o-a", "a", fx(10.75), fx(11.5)))
    [row] = csv.DictReader(orders_csv(story, ("SPY",)).splitlines())
    assert (row["stop_px"], json.loads(row["terms"])) == ("11.5", {"trail_amount": 1})


def test_terms_stand_in_the_table_as_json() -> None:
    """Amounts as decimals, times as RFC 3339, what says nothing left out."""
    terms = OrderTerms(expire_ts=10**9, post_only=True, bracket=Bracket(take_profit_px=fx(11.25)), oco_group='a"b')
    story = told(OrderAccepted("o-a", submit(terms=terms), 0, 0, fx(10)))
    [row] = csv.DictReader(orders_csv(story, ("SPY",)).splitlines())
    assert json.loads(row["terms"]) == {
        "post_only": True,
        "expire_at": "1970-01-01T00:00:01.000Z",
        "oco_group": 'a"b',
        "bracket": {"take_profit_px": 11.25},
    }


# --------------------------------------------------------------------------------------------------------- properties

MODELS: tuple[BrokerParams, ...] = (
    FREE,
    PLAN,
    with_params(PLAN, impact="linear", impact_permanent=fx(0.5), lot_size=1_000_000),
    with_params(PLAN, spread_model="dynamic", slippage_volume_share=fx(0.1)),
    with_params(PLAN, commission_per_share=fx(0.005), min_commission=fx(1), regulatory_fees=True),
)


def random_run(params: BrokerParams, seed: int) -> tuple[Story, Surroundings]:
    """Forty bars of two symbols with orders of every simple kind, cancels and replaces."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    desk = Desk(params, daily=False)
    desk.open(1)
    px = [100.0, 20.0]
    for step in range(40):
        rows = []
        for i, base in enumerate(px):
            moves = [round(base * (1 + rng.uniform(-0.02, 0.02)), 2) for _ in range(4)]
            rows.append((moves[0], max(moves), min(moves), moves[3]))
            px[i] = moves[3]
        desk.bar(24.2 + step / 10, *rows, volume=[rng.choice((0, 500, 5_000)), 900], width=0.1)
        for _ in range(rng.randint(0, 3)):
            side, symbol = rng.choice((1, -1)), rng.randint(0, 1)
            kind = rng.choice(("market", "limit", "stop"))
            away = 1 + rng.uniform(-0.01, 0.01)
            qty = rng.choice((1, 37, 400)) + (rng.randint(0, 99) / 100 if params.lot_size < SCALE else 0)
            price = None if kind == "market" else round(px[symbol] * away, 2)
            desk.route(side, qty, kind, price, symbol=symbol, reserved=0)
        if rng.random() < 0.3:
            desk.cancel(f"c{rng.randint(1, max(1, desk.count))}")
    frames = [
        StoredFrame(i, f.envelope.ts_init, f.envelope.ts_init, "test", None, f.events, [])
        for i, f in enumerate(desk.frames, 1)
    ]
    market = Surroundings(desk.universe, "UTC", DATES, np.array([px]))
    return gather(frames), market


@pytest.mark.parametrize("params", MODELS)
@pytest.mark.parametrize("seed", range(6))
def test_the_shortfall_is_what_a_paper_portfolio_gains_more(params: BrokerParams, seed: int) -> None:
    """Paper buys Q at P_d, the real one F for V and pays fees; both are valued at the last price: exact to the unit.

    And what the fills name of spread, slippage and impact, with timing, is the execution: nothing else is in it, since
    timing is what lies between arrival and each fill's own reference.
    """
    story, market = random_run(params, seed)
    found = analyse(story, market)
    references = dict.fromkeys(story.orders, 0)
    for _, fill in story.fills:
        references[fill.client_order_id] += fill.last_qty * fill.ref_px
    measured = 0
    for order, parts in found.rows:
        if not parts.complete or order.decision_px is None:
            continue
        measured += 1
        end = order.end_px or 0
        on_paper = order.side * order.wanted * (end - order.decision_px)
        real = order.side * (order.filled * end - order.value) - order.fees * SCALE
        assert parts.total == on_paper - real
        assert parts.total == sum(getattr(parts, name) or 0 for name in ("delay", "execution", "opportunity", "fees"))
        named = [value for value in (parts.spread, parts.slippage, parts.impact) if value is not None]
        assert parts.timing is not None
        assert parts.execution == sum(named) + parts.timing
        if order.filled and order.arrival_px is not None:
            between = order.side * (references[order.client_order_id] - order.filled * order.arrival_px)
            # Fractions of a share round each part of each fill's money at 1e-8.
            assert abs(parts.timing - between) <= (0 if order.filled % SCALE == 0 else 40 * SCALE)
    assert measured >= 10
    sums = found.document()
    known = [p for o, p in found.rows if p.complete and o.status not in ("denied", "rejected")]
    assert sums["total"] == sum(p.total or 0 for p in known) / FINE


@pytest.mark.parametrize("seed", range(3))
def test_a_run_s_named_parts_are_the_cost_accounts(seed: int) -> None:
    """Spread, slippage, impact and fees of all orders are what the ledger's accounts have of them."""
    story, market = random_run(MODELS[4], seed)
    rows = analyse(story, market).rows
    costs = story.costs
    for name in ("spread", "slippage", "impact"):
        assert sum(getattr(order, name) or 0 for order, _ in rows) == getattr(costs, name)
    assert sum(order.fees for order, _ in rows) == costs.commission + costs.regulatory
    assert costs.regulatory > 0


@pytest.mark.parametrize("seed", range(3))
def test_files_of_a_run_give_the_report_s_numbers(seed: int, tmp_path: Path) -> None:
    """``calc tca`` on orders.csv and fills.csv: every order that has ended has the same parts to the last digit."""
    story, market = random_run(MODELS[1], seed)
    orders, fills = tmp_path / "orders.csv", tmp_path / "fills.csv"
    orders.write_text(orders_csv(story, market.universe.symbols))
    fills.write_text(fills_csv(story, market.universe.symbols))
    again = {row["client_order_id"]: row for row in calc_tca(orders, fills, None)["rows"]}
    compared = 0
    for order, parts in analyse(story, market).rows:
        if order.status in ("new", "partially_filled"):
            continue  # measured at the last close, which these files do not have
        compared += 1
        row = again[order.client_order_id]
        for name in ("delay", "execution", "opportunity", "fees", "total"):
            value = getattr(parts, name)
            assert row[name] == (None if value is None else value / FINE), (order, name)
        assert row["of_execution"]["timing"] == (None if parts.timing is None else parts.timing / FINE)
    assert compared >= 10


def test_the_table_has_a_row_an_order_and_adds_up(tmp_path: Path) -> None:
    """``tca.csv`` keeps sixteen decimals, so that its parts add up exactly."""
    story, market = random_run(MODELS[2], 1)
    found = analyse(story, market)
    rows = list(csv.DictReader(tca_csv(found).splitlines()))
    assert [row["order_id"] for row in rows] == [order.order_id for order, _ in found.rows]
    exact = [row for row in rows if row["delay"] and row["execution"] and row["opportunity"]]
    for row in exact:
        parts = [_units(row[name]) for name in ("delay", "execution", "opportunity", "fees")]
        assert sum(parts) == _units(row["total"])
    assert len(exact) >= 10


def _units(text: str) -> int:
    whole, _, rest = text.removeprefix("-").partition(".")
    value = int(whole) * FINE + int(rest.ljust(16, "0"))
    return -value if text.startswith("-") else value


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (-1, "-0.0000000000000001"), (5 * FINE // 2, "2.5"), (None, "")])
def test_money_of_sixteen_decimals(value: int | None, text: str) -> None:
    """Plain decimals, no trailing zeros, nothing for the unknown."""
    assert fine(value) == text


# ------------------------------------------------------------------------------------------------------------ pictures


def test_the_waterfall_hangs_its_bars_on_each_other() -> None:
    """Parts in order, each bar begins where the last one ended; unknown parts are left out."""
    document = Analysis.of([paper()]).document()
    found = costs_section.steps(document)
    assert [(s.label, s.money) for s in found] == [
        ("Delay", 70), ("Half spread", 20), ("Slippage", 50), ("Impact", 10), ("Timing", 20), ("Opportunity", 150),
        ("Fees", 7),
    ]  # fmt: skip
    picture = costs_section.waterfall(found, document["total"])
    assert picture.count("<rect") == 8
    assert "Shortfall: 327.00" in picture
    unknown = Analysis.of([paper(spread=None, slippage=None, impact=None)]).document()
    assert [s.label for s in costs_section.steps(unknown)] == ["Delay", "Timing", "Opportunity", "Fees"]


def test_without_an_analysed_order_there_is_no_section() -> None:
    """Nothing to draw, and no zeros that look like results."""
    assert costs_section.context(Analysis.of([]).document()) is None
    assert costs_section.context(Analysis.of([paper(decision_px=None)]).document()) is None
    shown = costs_section.context(Analysis.of([paper()]).document())
    assert shown is not None
    assert [g["title"] for g in shown["groups"]] == ["By strategy", "By order type", "By symbol", "By hour"]


# --------------------------------------------------------------------------------------------------------------- files

ORDERS = "order_id,ts,symbol,side,qty,type\n"
FILLS = "ts,order_id,symbol,qty,price,fee\n"
QUOTES = "ts,symbol,bid_px,bid_size,ask_px,ask_size\n"


def files(tmp_path: Path, orders: str, fills: str, quotes: str = "") -> tuple[Path, Path, Path]:
    """Three files with their headers."""
    paths = tuple(tmp_path / f"{name}.csv" for name in ("orders", "fills", "quotes"))
    for path, header, text in zip(paths, (ORDERS, FILLS, QUOTES), (orders, fills, quotes), strict=True):
        path.write_text(header + text)
    return paths[0], paths[1], paths[2]


def test_quotes_fill_in_what_the_orders_leave_out(tmp_path: Path) -> None:
    """Mid 10.00 at the order; 6 of 10 at 10.10, the touch then, mid 10.05; mid 10.50 at the end; fee 1.

    Decision and arrival are both 10.00: execution 6 x 0.10 = 0.60, of it half spread 6 x 0.05 = 0.30, the rest timing.
    Opportunity 4 x 0.50 = 2; sum 3.60. The ask alone changed in the second quote; the bid is empty and stays.
    """
    quotes = (
        "2024-01-02T15:00:00Z,A,9.95,1,10.05,1\n2024-01-02T15:00:01Z,A,10.00,1,,1\n"
        "2024-01-02T15:00:01.5Z,A,0,1,10.10,1\n2024-01-02T15:00:02.123456789Z,A,10.40,1,10.60,1\n"
    )
    row = calc_tca(
        *files(
            tmp_path,
            "O-1,2024-01-02T15:00:00Z,A,buy,10,market\n",
            "2024-01-02T15:00:02.123456788Z,O-1,A,6,10.10,1\n",
            quotes,
        )
    )["rows"][0]
    parts = [row[name] for name in ("delay", "execution", "opportunity", "fees", "total")]
    assert parts == pytest.approx([0, 0.6, 2, 1, 3.6], abs=1e-12)
    assert row["of_execution"] == {"spread": 0.3, "slippage": None, "impact": None, "timing": 0.3}
    assert (row["decision_px"], row["end_px"], row["status"]) == (10.0, 10.5, "partially_filled")


def test_columns_of_the_orders_outdo_the_quotes(tmp_path: Path) -> None:
    """Decided at 9.90, arrived at 15:00:01 when the mid was 10.05: delay 10 x 0.15, execution 10 x 0.05."""
    orders, fills, quotes = files(
        tmp_path, "", "2024-01-02T15:00:02Z,O-1,A,10,10.10,0\n",
        "2024-01-02T15:00:00Z,A,9.95,1,10.05,1\n2024-01-02T15:00:01Z,A,10.00,1,10.10,1\n",
    )  # fmt: skip
    orders.write_text(
        "order_id,ts,symbol,side,qty,decision_px,arrival_ts\nO-1,2024-01-02T15:00:00Z,A,buy,10,9.90,2024-01-02T15:00:01Z\n"
    )
    row = calc_tca(orders, fills, quotes)["rows"][0]
    assert [row["delay"], row["execution"], row["total"]] == pytest.approx([1.5, 0.5, 2.0], abs=1e-12)


def test_without_quotes_what_is_not_said_is_null(tmp_path: Path) -> None:
    """Fees are known, nothing else."""
    orders, fills, _ = files(
        tmp_path, "O-1,2024-01-02T15:00:00Z,A,buy,10,market\n", "2024-01-02T15:00:02Z,O-1,A,10,10.10,2\n"
    )
    document = calc_tca(orders, fills, None)
    row = document["rows"][0]
    assert (row["delay"], row["execution"], row["total"], row["fees"]) == (None, None, None, 2)
    assert (document["analysed"], document["total"]) == (0, None)


GOOD_ORDER = "O-1,2024-01-02T15:00:00Z,A,buy,10,market\n"
GOOD_FILL = "2024-01-02T15:00:02Z,O-1,A,10,10.10,2\n"


@pytest.mark.parametrize(
    ("orders", "fills", "quotes", "says"),
    [
        ("O-1,yesterday,A,buy,10,market\n", GOOD_FILL, "", "orders.csv, line 2, column ts"),
        (GOOD_ORDER + "O-2,2024-01-02,A,hold,10,market\n", GOOD_FILL, "", "orders.csv, line 3, column side"),
        ("O-1,2024-01-02,A,buy,-1,market\n", GOOD_FILL, "", "orders.csv, line 2, column qty"),
        ("O-1,2024-01-02,A,buy,nan,market\n", GOOD_FILL, "", "orders.csv, line 2, column qty"),
        ("O-1,2024-01-02,A,buy,9,market\n", GOOD_FILL, "", "orders.csv, line 2, column qty: more is filled (10)"),
        (GOOD_ORDER, GOOD_FILL + "2024-01-02T15:00:02Z,O-1,A,1,0,2\n", "", "fills.csv, line 3, column price"),
        (GOOD_ORDER, "2024-01-02T15:00:02Z,,A,1,1,2\n", "", "fills.csv, line 2, column order_id"),
        (GOOD_ORDER, GOOD_FILL, "2024-01-02,A,x,1,2,1\n", "quotes.csv, line 2, column bid_px"),
        (GOOD_ORDER, GOOD_FILL, "2024-01-03,A,1,1,2,1\n2024-01-02,A,1,1,2,1\n", "quotes.csv, line 3, column ts"),
        (GOOD_ORDER, GOOD_FILL, "2024-01-02,A,1,1,-2,1\n", "quotes.csv, line 2, column ask_px"),
        (GOOD_ORDER, GOOD_FILL, ",A,1,1,2,1\n", "quotes.csv, line 2, column ts: there is no time"),
        ("O-1,,A,buy,10,market\n", GOOD_FILL, "", "orders.csv, line 2, column ts: there is no time"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path: Path, orders: str, fills: str, quotes: str, says: str) -> None:
    """One bad line is named."""
    with pytest.raises(OperatorError, match="column") as caught:
        calc_tca(*files(tmp_path, orders, fills, quotes))
    assert says in caught.value.message


def test_fills_that_do_not_add_up_to_their_order_are_an_error(tmp_path: Path) -> None:
    """An order that says 9 of 10 with fills of 10 hides something."""
    orders, fills, _ = files(tmp_path, "", GOOD_FILL)
    orders.write_text("order_id,ts,symbol,side,qty,cum_qty\nO-1,2024-01-02,A,buy,10,9\n")
    with pytest.raises(OperatorError, match=r"line 2, column cum_qty: .* add up to 10, not 9"):
        calc_tca(orders, fills, None)


def test_a_price_that_is_none_is_an_error(tmp_path: Path) -> None:
    """Nothing is decided at 0."""
    orders, fills, _ = files(tmp_path, "", GOOD_FILL)
    orders.write_text("order_id,ts,symbol,side,qty,decision_px\nO-1,2024-01-02,A,buy,10,0\n")
    with pytest.raises(OperatorError, match=r"line 2, column decision_px: 0 is no price"):
        calc_tca(orders, fills, None)


@pytest.mark.parametrize(
    ("quote", "liquidity", "spread"),
    [
        ("2024-01-02T15:00:00Z,A,10.00,1,10.10,1\n", "taker", 0.5),  # half of 0.10, ten times
        ("2024-01-02T15:00:00Z,A,10.00,1,10.10,1\n", "maker", 0.0),
        ("2024-01-02T15:00:00Z,A,10.20,1,10.10,1\n", "taker", None),  # crossed: nothing to believe
        ("2024-01-02T15:00:03Z,A,10.00,1,10.10,1\n", "taker", None),  # comes behind the fill
        ("2024-01-02T15:00:00Z,B,10.00,1,10.10,1\n", "taker", None),
    ],
)
def test_who_took_paid_half_the_spread_of_the_quote_before(
    tmp_path: Path, quote: str, liquidity: str, spread: float | None
) -> None:
    """Ten at 10.10 with a decision at 10.00: execution is 1, whatever is known of its parts."""
    orders, fills, quotes = files(tmp_path, "", "", quote)
    orders.write_text("order_id,ts,symbol,side,qty,decision_px\nO-1,2024-01-02T15:00:00Z,A,buy,10,10\n")
    fills.write_text(
        "ts,order_id,symbol,qty,price,fee,liquidity\n" + f"2024-01-02T15:00:02Z,O-1,A,10,10.10,0,{liquidity}\n"
    )
    row = calc_tca(orders, fills, quotes)["rows"][0]
    assert row["of_execution"]["spread"] == spread


def test_orders_of_a_file_that_were_refused_are_counted_only(tmp_path: Path) -> None:
    """A denied order need not even have a side."""
    orders, fills, _ = files(tmp_path, "", GOOD_FILL)
    orders.write_text(
        "order_id,ts,symbol,side,qty,status,decision_px,arrival_px\n"
        "O-1,2024-01-02,A,buy,10,filled,10,10\nO-2,,A,,,denied,,\n"
    )
    document = calc_tca(orders, fills, None)
    assert (document["orders"], document["analysed"]) == (2, 1)


def test_a_file_without_a_column_says_which(tmp_path: Path) -> None:
    """The first line must name it."""
    orders, fills, quotes = files(tmp_path, GOOD_ORDER, GOOD_FILL)
    fills.write_text("order_id,qty\nO-1,1\n")
    with pytest.raises(OperatorError, match=r"fills.csv, line 1: there is no column price"):
        calc_tca(orders, fills, quotes)
