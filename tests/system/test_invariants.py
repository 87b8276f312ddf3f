"""The rooms agree on the same money at every moment of every run, and whatever is tampered with is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.market import QuotePanel
from actors.messages.orders import OrderType, SubmitOrder, TimeInForce
from actors.values.fixed import SCALE
from daemon.system.composition import Core
from daemon.system.invariants import check_core
from tests.parity.programs import SHARE, Step, advance, fresh, program


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9))
def test_no_run_ever_breaks_an_invariant(seed: int) -> None:
    """Looked at behind every single input: orders of every kind, ticks, halts, actions, kills, flips, flows, gaps."""
    made = program(seed, sessions=5, actions=seed % 2 == 0)
    core, clock = fresh(made.spec)
    assert check_core(core) == []
    for step in made.steps:
        if advance(core, clock, step) is None:
            break
        assert check_core(core) == []


def in_the_middle() -> Core:
    """Return a core with cash, positions in lots, and working orders of several kinds, partly filled too."""
    made = program(11, sessions=3, interval="1m", rough=False)
    made.spec = msgspec.structs.replace(
        made.spec, bindings=(), broker=msgspec.structs.replace(made.spec.broker, allow_short=False, participation=10**7)
    )
    core, clock = fresh(made.spec)
    orders = [
        SubmitOrder("a", "main", 0, 1, 20 * SHARE),
        SubmitOrder("b", "main", 0, 1, 30 * SHARE),
        SubmitOrder("c", "main", 1, 1, 500 * SHARE),
        SubmitOrder("d", "main", 1, 1, 10 * SHARE, OrderType.LIMIT, TimeInForce.GTC, limit_px=19 * SCALE),
        SubmitOrder("e", "main", 0, -1, 10 * SHARE, OrderType.STOP, TimeInForce.GTC, stop_px=90 * SCALE),
    ]
    bars_only = (
        step for step in made.steps if not isinstance(step.body, QuotePanel)
    )  # quotes at 1 would trigger every stop
    for n, step in enumerate(bars_only):
        advance(core, clock, step)
        if n > 6 and orders:
            advance(core, clock, Step(orders.pop(0), "control", step.at))
        if not orders and any(w.cum_qty for w in core.broker.working):
            break
    advance(core, clock, Step(SubmitOrder("f", "main", 0, -1, 5 * SHARE, reduce_only=True), "control", clock.now()))
    assert check_core(core) == []
    assert {w.order.client_order_id for w in core.broker.working} >= {"d", "e", "f"}
    return core


def _account(core: Core) -> Any:
    return core.broker.account("main")


def _state(core: Core) -> Any:
    return core.portfolio.portfolio("main")


def _book(core: Core) -> Any:
    return core.risk.exposure.books["main"]


def _order(core: Core) -> Any:
    return next(w for w in core.broker.working if w.order.client_order_id == "d")


def _set(target: Any, name: str, change: Any) -> None:
    setattr(target, name, change(getattr(target, name)) if callable(change) else change)


def _post(core: Core, account: str, amount: int) -> None:
    _state(core).balances[account] += amount


TAMPERED: dict[str, tuple[Callable[[Core], Any], str]] = {
    "cash at the broker": (lambda c: _set(_account(c), "cash", lambda v: v + 1), "cash of main: broker "),
    "cash of the portfolio": (lambda c: _set(_state(c), "cash", lambda v: v - SHARE), "cash of main: broker "),
    "cash of the gate": (lambda c: _set(_book(c), "cash", lambda v: v + 1), "cash of main: broker "),
    "a fill that was never booked": (lambda c: _book(c).pending.update(x=(0, 1, 1)), "risk waits for bookings of x"),
    "a position at the broker": (
        lambda c: _account(c).positions.update({0: 1}),
        "position of AA in main: broker 0.0000",
    ),
    "a position of the gate": (lambda c: _set(_book(c).holdings[0], "qty", 0), "position of AA in main: broker 50"),
    "a position of the portfolio": (lambda c: _set(_state(c).positions[0], "qty", 7), "position of AA in main"),
    "a position nobody else has": (
        lambda c: _account(c).positions.update({3: SHARE}),
        "position of DD in main: broker 1,",
    ),
    "a lot at the broker": (lambda c: _account(c).lots[0].popitem(), "lots of AA in main: broker "),
    "a lot of the portfolio": (
        lambda c: _state(c).positions[0].lots.popitem(),
        "the sum of the lots of AA in main is 20",
    ),
    "the cost of a position": (
        lambda c: _set(_state(c).positions[0], "cost", lambda v: v + 1),
        "cost less profit by lots of",
    ),
    "the count of positions": (lambda c: _set(_state(c), "n_held", 5), "portfolio main marks 5 symbols as held"),
    "the count of lots": (lambda c: _set(_state(c), "n_lots", 5), "portfolio main counts 5 lots and has 3"),
    "one side of a posting": (lambda c: _post(c, "commission", 1), "the sum of all postings of main is 0.00000001"),
    "the cash account": (
        lambda c: (_post(c, "cash", 1), _post(c, "capital", -1)),
        "the cash account of main is ",
    ),
    "the securities account": (
        lambda c: (_post(c, "securities", 1), _post(c, "capital", -1)),
        "the securities account of main is ",
    ),
    "the realised profit": (
        lambda c: (_post(c, "realized", 1), _post(c, "capital", -1)),
        "the realised profit of main is ",
    ),
    "a cost moved to a memo account": (
        lambda c: (_post(c, "cash", 1), _post(c, "spread", -1)),
        "what main has less what it came from is 0.00000001",
    ),
    "a reservation": (lambda c: _set(_book(c), "reserved", 1), "cash reserved in main is 0.00000001, and its orders"),
    "expected proceeds": (lambda c: _set(_book(c), "proceeds", lambda v: v + 1), "proceeds expected in main is "),
    "what is open to buy": (
        lambda c: _set(_book(c).holdings[1], "buys", 0),
        "risk's open buys of BB in main is 0, and",
    ),
    "what is open to exit": (
        lambda c: _set(_book(c).holdings[0], "cuts", 0),
        "risk's open cuts of AA in main is 0, and",
    ),
    "a holding that is gone": (
        lambda c: _book(c).holdings.pop(1),
        "risk's open buys of BB in main is 0, and its orders",
    ),
    "the count of names": (lambda c: _set(_book(c), "names", 9), "risk counts 9 names in main and marks 2"),
    "an order of the gate": (
        lambda c: c.risk.exposure.working.pop("e"),
        "the order e works for broker and portfolio only",
    ),
    "an order of the portfolio": (lambda c: c.portfolio.orders.pop("e"), "the order e works for broker and risk only"),
    "an order at the broker": (
        lambda c: c.broker._resting.orders.pop("e"),
        "the order e works for portfolio and risk only",
    ),
    "the quantity of an order": (lambda c: _set(_order(c), "qty", 1), "quantity of the order d: broker 0.00000001, "),
    "the filled quantity": (lambda c: _set(_order(c), "cum_qty", 1), "filled quantity of the order d: broker 0.0000"),
    "the open quantity": (lambda c: _set(_order(c), "leaves", 1), "open quantity of the order d: broker 0.00000001"),
    "an order's side": (lambda c: _set(_order(c), "side", -1), "side of the order d: broker -1, portfolio 1, risk 1"),
    "an order's symbol": (
        lambda c: _set(_order(c), "symbol", 2),
        "symbol of the order d: broker 2, portfolio 1, risk 1",
    ),
    "an order's owner": (lambda c: _set(_order(c), "portfolio", "hand"), "portfolio of the order d: broker hand, "),
    "an order's limit": (lambda c: _set(_order(c), "limit_px", 5), "limit of the order d: broker 0.00000005, risk 19"),
    "an order's stop": (lambda c: _set(_order(c), "stop_px", 5), "stop of the order d: broker 0.00000005, risk 0"),
    "an order's first reservation": (lambda c: _set(_order(c), "reserved", 5), "cash first reserved for the order d: "),
    "an order's reservation": (
        lambda c: _set(c.portfolio.orders["d"][1], "reserved", 5),
        "cash reserved for the order d: portfolio 0.00000005, risk ",
    ),
    "an account nobody knows": (
        lambda c: c.broker._accounts.update(ghost=_account(c)),
        "the portfolio ghost is known to the broker and not to portfolio",
    ),
    "a book that is gone": (
        lambda c: c.risk.exposure.books.pop("main"),
        "the portfolio main is known to the broker and not to risk",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_whatever_is_tampered_with_is_named(what: str) -> None:
    """One sentence says what differs and where; nothing is repaired."""
    core = in_the_middle()
    tamper, says = TAMPERED[what]
    tamper(core)
    found = check_core(core)
    assert any(sentence.startswith(says) for sentence in found), found
    assert check_core(core) == found
