"""The gate behind corporate actions: it knows what is held, what works and what cash there is as broker and book do."""

from __future__ import annotations

from actors.messages.market import CorporateAction, SessionOpened
from actors.messages.orders import OrderAccepted, OrderDenied, OrderReplaced, OrderType, ReplaceOrder
from actors.values import Session
from actors.values.fixed import SCALE
from tests.actors.broker.desk import FREE, HOUR, fills, fx
from tests.actors.broker.house import House

BUY, SELL = 1, -1
DATE = 20200103


def holding(cash: float = 1_000_000) -> House:
    """10 of A, bought at 100 at the open of the second hour."""
    house = House(FREE, cash=cash)
    house.bar((100, 100, 100, 100), (100, 100, 100, 100))
    house.order(BUY, 10, strategy="")
    assert len(fills(house.bar((100, 100, 100, 100), (100, 100, 100, 100)))) == 1
    return house


def act(house: House, kind: str, value: float = 0, **fields: int) -> None:
    """An action in A takes effect."""
    house.put(CorporateAction(house.hour * HOUR, DATE, 0, kind, fx(value), **fields))


def answer(house: House, side: int, qty: float, **terms: object) -> str:
    """What the gate says to an order: "" where it passes."""
    events = house.order(side, qty, strategy="", **terms)
    denied = [event.code for event in events if isinstance(event, OrderDenied)]
    assert denied or any(isinstance(event, OrderAccepted) for event in events)
    return denied[0] if denied else ""


def test_behind_a_split_all_new_shares_may_be_sold_and_no_more() -> None:
    """10 are 20 at two for one; the 21st would be a short."""
    house = holding()
    act(house, "split", 2, numerator=2, denominator=1)
    assert answer(house, SELL, 21) == "SHORT_NOT_ALLOWED"
    assert answer(house, SELL, 20) == ""


def test_behind_a_rename_what_is_held_is_sold_under_the_new_name() -> None:
    """A is B from now on."""
    house = holding()
    act(house, "rename", renamed_to=1)
    assert answer(house, SELL, 10, symbol=1) == ""


def test_new_terms_behind_a_split_are_for_the_new_shares() -> None:
    """10 at 90 are 20 at 45; who names another limit only leaves the 20."""
    house = holding()
    house.order(BUY, 10, strategy="", type=OrderType.LIMIT, limit_px=fx(90))
    act(house, "split", 2, numerator=2, denominator=1)
    events = house.put(ReplaceOrder("c2", limit_px=fx(44)))
    [replaced] = [event for event in events if isinstance(event, OrderReplaced)]
    assert (replaced.qty, replaced.limit_px) == (20 * SCALE, fx(44))


def test_a_dividend_that_was_paid_buys_shares() -> None:
    """1,020 of cash, 1,000 of it spent: 1 of 100 needs 102. A dividend of 9 for each of 10 brings 90."""
    house = holding(1_020)
    assert answer(house, BUY, 1) == "CASH"
    act(house, "dividend", 9)
    assert answer(house, BUY, 1) == "CASH"  # it is due and not there yet
    house.clock.advance_to(30 * HOUR)
    house.put(SessionOpened(30 * HOUR, Session(DATE, 30 * HOUR, 38 * HOUR, 1)))
    assert answer(house, BUY, 1) == ""
