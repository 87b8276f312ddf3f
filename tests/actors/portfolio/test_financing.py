"""What borrowing costs, by the day: the closed form, who is charged when, and what the books say of it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.messages.market import SessionClosed, SessionOpened
from actors.messages.portfolio import DepositCash, FinancingCharged
from actors.portfolio.books import replay_books
from actors.portfolio.financing import Nights, accrued, days_between
from actors.values.fixed import fmt
from actors.values.session import Session
from daemon.kernel.message import CommandRejected, Event
from tests.actors.portfolio.harness import DAY, Desk, Inject, fx, make_fill, spec_of

BORROW = fx(0.036)
INTEREST = fx(0.072)


def charges(events: list[Event]) -> list[tuple[str, int, int, str, str]]:
    """Return (kind, symbol, days, base, amount) of what was charged."""
    found = [e for e in events if isinstance(e, FinancingCharged)]
    return [(e.kind, e.symbol, e.days, fmt(e.base), fmt(e.amount)) for e in found]


def opens(desk: Desk, day: int) -> list[Event]:
    """Open the session of a date."""
    ts = desk.clock.now() + 1
    desk.clock.advance_to(ts)
    return desk.seq.process(SessionOpened(ts, Session(day, ts, ts + DAY // 4, day % 100)), "feed")


def trade(desk: Desk, name: str, qty: float, px: float, symbol: int = 0) -> None:
    """Let a fill come in; shares are signed."""
    fill = make_fill(name, 1, symbol=symbol, side=1 if qty > 0 else -1, qty=fx(abs(qty)), px=fx(px))
    desk.seq.process(Inject((fill,)), "test")


def desk_of(**changes: Any) -> Desk:
    """Return a margin account of 10,000."""
    rates = {"borrow_rate": BORROW, "margin_rate": INTEREST, "margin": True}
    return Desk(spec_of(cash=fx(10_000), allow_short=True, **{**rates, **changes}))


# -- the closed form ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "rate", "days", "amount"),
    [
        (5_000, 0.0025, 4, "0.13888889"),  # 50 / 360 = 0.13888888...
        (10_000, 0.06, 1, "1.66666667"),
        (36_000, 0.1, 360, "3600"),  # 360 days are a year
        (36_000, 0.1, 365, "3650"),  # and a calendar year has five more
        (1.8, 0.000001, 1, "0"),  # 0.5 units: to the even one
        (5.4, 0.000001, 1, "0.00000002"),  # 1.5 units
    ],
)
def test_actual_days_over_360(base: float, rate: float, days: int, amount: str) -> None:
    """Half to even at 1e-8."""
    assert fmt(accrued(fx(base), fx(rate), days)) == amount


@given(st.dates(date(1999, 1, 1), date(2099, 1, 1)), st.integers(0, 800))
def test_days_are_those_of_the_calendar(first: date, days: int) -> None:
    """Leap years included."""
    later = first + timedelta(days=days)
    assert days_between(int(f"{first:%Y%m%d}"), int(f"{later:%Y%m%d}")) == days


def test_an_opening_that_is_told_again_is_no_further_day() -> None:
    """Nor one that is told late."""
    nights = Nights()
    days = []
    for session in (20240308, 20240311, 20240311, 20240308, 20240312):
        nights.fold_opened(session)
        days.append(nights.days)
    assert days == [0, 3, 0, 0, 1]


# -- who is charged ----------------------------------------------------------------------------------------------------


def test_shorts_and_debts_are_charged_when_the_next_session_opens() -> None:
    """100 short in S1 at 30 and 150 long in S0 at 100: 10,000 + 3,000 - 15,000 = -2,000, over a weekend of three days.

    Interest 2,000 x 0.072 x 3 / 360 = 1.2; the fee 3,000 x 0.036 x 3 / 360 = 0.9.
    """
    desk = desk_of()
    assert charges(opens(desk, 20240308)) == []
    trade(desk, "a", 150, 100)
    trade(desk, "b", -100, 30, symbol=1)
    events = opens(desk, 20240311)
    assert charges(events) == [("interest", -1, 3, "2000", "1.2"), ("borrow", 1, 3, "3000", "0.9")]
    assert [fmt(e.cash) for e in events if isinstance(e, FinancingCharged)] == ["-2001.2", "-2002.1"]
    assert fmt(desk.pf.cash) == "-2002.1"
    assert charges(opens(desk, 20240311)) == []


def test_the_fee_is_on_the_last_price() -> None:
    """Sold at 30, last seen at 36: 3,600 x 0.036 / 360 = 0.36."""
    desk = desk_of(margin_rate=0)
    opens(desk, 20240103)
    trade(desk, "b", -100, 30, symbol=1)
    desk.bar([100.0, 36.0, 1.0], date=20240103)
    assert charges(opens(desk, 20240104)) == [("borrow", 1, 1, "3600", "0.36")]


def test_what_was_covered_is_not_charged() -> None:
    """And a positive balance earns nothing."""
    desk = desk_of()
    opens(desk, 20240103)
    trade(desk, "b", -100, 30, symbol=1)
    trade(desk, "c", 100, 30, symbol=1)
    assert charges(opens(desk, 20240104)) == []


def test_without_rates_nothing_is_charged() -> None:
    """Borrowing is free where it is switched off."""
    desk = desk_of(borrow_rate=0, margin_rate=0)
    opens(desk, 20240103)
    trade(desk, "a", 150, 100)
    trade(desk, "b", -10, 30, symbol=1)
    assert charges(opens(desk, 20240104)) == []


def test_a_charge_of_less_than_the_smallest_unit_is_none() -> None:
    """A share short at 30 for a hundred-millionth a year is nothing by the day."""
    desk = desk_of(borrow_rate=1)
    opens(desk, 20240103)
    trade(desk, "b", -1, 30, symbol=1)
    assert charges(opens(desk, 20240104)) == []
    assert fmt(desk.pf.cash) == "10030"


def test_a_snapshot_between_sessions_forgets_no_day() -> None:
    """Restored on the Saturday, charged on Monday for three days."""
    desk, twin = desk_of(), desk_of()
    opens(desk, 20240308)
    trade(desk, "b", -100, 30, symbol=1)
    twin.seq.restore(desk.seq.snapshot())
    twin.clock.advance_to(desk.clock.now())
    assert charges(opens(twin, 20240311)) == charges(opens(desk, 20240311)) == [("borrow", 1, 3, "3000", "0.9")]
    assert twin.seq.snapshot() == desk.seq.snapshot()


# -- the books ---------------------------------------------------------------------------------------------------------


def run_of_charges() -> list[Event]:
    """Return the events of a run in which both are charged."""
    desk = desk_of()
    opens(desk, 20240308)
    trade(desk, "a", 150, 100)
    trade(desk, "b", -100, 30, symbol=1)
    opens(desk, 20240311)
    desk.bar([100.0, 30.0, 1.0], date=20240311)
    desk.seq.process(SessionClosed(desk.clock.now(), Session(20240311, 1, desk.clock.now(), 1)), "feed")
    return desk.sink.events()


def test_an_outsider_finds_the_same_charges() -> None:
    """Every check of the recomputed books holds, and what was paid stands under its own accounts."""
    books = replay_books(run_of_charges())
    assert [check for check in books.checks if not check.ok] == []
    main = books.portfolios["main"]
    assert (fmt(main.borrow), fmt(main.interest)) == ("0.9", "1.2")
    assert (main.balances["borrow"], main.balances["interest"]) == (main.borrow, main.interest)


@pytest.mark.parametrize(
    ("kind", "changes", "checks"),
    [
        ("borrow", {"amount": fx(0.8)}, {"financing", "cash", "fees_and_costs"}),
        ("borrow", {"days": 2}, {"financing"}),
        ("borrow", {"days": 0}, {"financing"}),
        ("borrow", {"symbol": 0}, {"financing"}),
        ("interest", {"base": fx(1_000)}, {"financing"}),
        ("interest", {"cash": fx(-2_001)}, {"cash"}),
        ("interest", {"postings": (("cash", -fx(1.2)), ("borrow", fx(1.2)))}, {"fees_and_costs"}),
        ("interest", {"postings": (("cash", -fx(1.2)), ("interest", fx(1.1)))}, {"postings_sum_to_zero"}),
    ],
)
def test_an_outsider_finds_a_charge_that_is_wrong(kind: str, changes: dict[str, Any], checks: set[str]) -> None:
    """Whatever of it was changed, some check says so."""
    events = run_of_charges()
    for n, event in enumerate(events):
        if isinstance(event, FinancingCharged) and event.kind == kind:
            fields = {name: getattr(event, name) for name in event.__struct_fields__}
            events[n] = FinancingCharged(**{**fields, **changes})
    assert checks <= {check.name for check in replay_books(events).checks if not check.ok}


# -- planning and withdrawing ------------------------------------------------------------------------------------------


def test_a_margin_account_gives_out_no_more_than_its_own() -> None:
    """100 long at 60 and 100 short at 50 on 10,000: cash is 9,000, of which 5,000 are the proceeds of what is owed.

    Equity is 10,000 still, 3,000 and 2,500 of it are required: 4,500 may go.
    """
    desk = desk_of()
    trade(desk, "a", 100, 60)
    trade(desk, "b", -100, 50, symbol=1)
    [refused] = desk.seq.process(DepositCash("main", -fx(4_500.01), "out"), "control")
    assert isinstance(refused, CommandRejected)
    assert refused.code == "INSUFFICIENT_CASH"
    desk.seq.process(DepositCash("main", -fx(4_500), "out"), "control")
    assert fmt(desk.pf.cash) == "4500"


def test_a_strategy_in_a_margin_account_reaches_its_weights_long_and_short() -> None:
    """Half long, half short of 10,000: both need 2,500. In a cash account the short alone would tie 7,500 up."""
    desk = desk_of(allocation="equal")
    desk.bar([100.0, 50.0, 1.0])
    orders = desk.orders(desk.signal({0: 0.9, 1: -0.9}))
    assert [(symbol, shares) for symbol, shares, *_ in orders] == [(0, 50), (1, -100)]
