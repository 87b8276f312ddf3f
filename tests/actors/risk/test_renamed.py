"""Nobody leaves a limit, a lock or a block behind by being called otherwise."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages.limits import SymbolLimits
from actors.messages.market import CorporateAction
from actors.messages.orders import BUY, SELL, OrderDenied
from actors.messages.risk import BreakerReset, BreakerTripped
from actors.values.fixed import SCALE
from tests.actors.risk.conftest import World
from tests.actors.risk.test_watchers import trade

A, B, C = range(3)


def rename(w: World, symbol: int, new: int) -> None:
    """A symbol is called otherwise from now on."""
    w.process(CorporateAction(w.clock.now(), w.session.date, symbol, "rename", 0, renamed_to=new))


@pytest.mark.parametrize("again", ["", "split", "refold"])
def test_limits_of_a_symbol_bind_what_it_is_called_later(world, wide, again):
    """10 of A, by now C by way of B, which has 5 of its own: the tighter binds, also behind a restore and a refold."""
    named = {"A": SymbolLimits(max_order_qty=10 * SCALE), "B": SymbolLimits(max_order_qty=5 * SCALE)}
    w = world(msgspec.structs.replace(wide, symbols=named))
    rename(w, A, B)
    assert (w.submit(BUY, 6, symbol=B), w.submit(BUY, 5, symbol=B)) == ("MAX_QTY", "ok")
    assert w.submit(BUY, 11, symbol=C) == "ok"
    rename(w, B, C)
    if again:
        getattr(w, again)()
    assert (w.submit(BUY, 6, symbol=C), w.submit(BUY, 5, symbol=C)) == ("MAX_QTY", "ok")


def test_a_name_that_is_limited_itself_may_be_given_back(world, wide):
    """A is B and then A again; a circle in time ends."""
    w = world(msgspec.structs.replace(wide, symbols={"A": SymbolLimits(max_order_qty=10 * SCALE)}))
    rename(w, A, B)
    rename(w, B, A)
    assert (w.submit(BUY, 11, symbol=A), w.submit(BUY, 10, symbol=A)) == ("MAX_QTY", "ok")


@pytest.mark.parametrize("again", ["", "split", "refold"])
def test_a_symbol_that_rests_does_not_wake_under_another_name(world, wide, again):
    """One session of rest behind a loss in A, which is B by now."""
    w = world(msgspec.structs.replace(wide, cooldown_sessions=1))
    w.state(trade(-1, symbol=A))
    rename(w, A, B)
    if again:
        getattr(w, again)()
    assert (w.submit(BUY, 1, symbol=B), w.submit(BUY, 1, symbol=C)) == ("COOLDOWN", "ok")
    w.close()
    w.open()
    w.bar([None, 100.0, 100.0])
    assert w.submit(BUY, 1, symbol=B) == "ok"


def test_a_breaker_of_a_symbol_goes_with_it(world, wide):
    """Until it is armed again, by the name under which it tripped; what is held is sold meanwhile."""
    w = world(wide)
    w.hold(1, symbol=A)
    w.state(BreakerTripped("main", "slippage", 0.02, 0.01, 0, 0, "block", latched=True, cause="dear", subject="A"))
    rename(w, A, B)
    denied = w.process(w.order(BUY, 1, symbol=B))
    assert [event.code for event in denied if isinstance(event, OrderDenied)] == ["ENTRIES_BLOCKED"]
    assert w.submit(SELL, 1, symbol=C) != "ENTRIES_BLOCKED"
    w.state(BreakerReset("main", "slippage", "looked at", "anna", "A"))
    assert w.submit(BUY, 1, symbol=B) == "ok"
