"""Entries into what may not trade, and late corrections of prices."""

from __future__ import annotations

import numpy as np
import pytest

from actors.messages.market import BarPanel, TradingStatus
from actors.messages.orders import BUY, SELL, OrderDenied, OrderType, ReplaceOrder
from actors.risk.prices import Prices
from actors.values.fixed import SCALE
from actors.values.halts import Halts


def fold(*rows: tuple[int, str, bool]) -> Halts:
    """Return what (symbol, state, banded) come to."""
    halts = Halts()
    for symbol, state, banded in rows:
        halts.fold(symbol, state, f"because {state}", banded=banded)
    return halts


@pytest.mark.parametrize(
    ("rows", "stopped"),
    [
        ([], None),
        ([(0, "halted", False)], "halted"),
        ([(0, "h5", False)], "h5"),
        ([(0, "luld", False)], "luld"),
        ([(0, "luld", True)], None),
        ([(0, "ssr", False)], None),
        ([(0, "halted", False), (0, "ssr", False)], "halted"),
        ([(0, "halted", False), (0, "luld", True)], "halted"),
        ([(0, "halted", False), (0, "luld", False), (0, "luld", True)], "halted"),
        ([(0, "luld", False), (0, "luld", True)], None),
        ([(0, "luld", False), (0, "halted", False), (0, "luld", True)], "halted"),
        ([(0, "h5", False), (0, "luld", True)], "h5"),
        ([(0, "halted", False), (0, "trading", False)], None),
        ([(0, "h5", False), (0, "trading", False)], None),
        ([(1, "halted", False)], None),
        ([(-1, "halted", False)], "halted"),
        ([(-1, "halted", False), (0, "trading", False)], "halted"),
        ([(-1, "halted", False), (0, "halted", False), (-1, "trading", False)], "halted"),
        ([(-1, "halted", False), (-1, "trading", False)], None),
    ],
)
def test_what_stops_a_symbol_and_what_lets_it_go(rows: list[tuple[int, str, bool]], stopped: str | None) -> None:
    """Only ``trading`` lifts a halt; bands end a pause; the market and a symbol are halted beside each other."""
    halts = fold(*rows)
    why = halts.why(0)
    assert (why and why[0]) == stopped
    again = Halts()
    again.restore(halts.snapshot())
    assert again.stopped == halts.stopped


def bars(ts: int, start: int, session: int, closes: dict[int, int], *, revision: int = 0) -> BarPanel:
    """Return a panel of some of three symbols."""
    ids = np.array(sorted(closes), dtype=np.int32)
    fx = np.array([closes[i] for i in sorted(closes)], dtype=np.int64)
    px = fx / 1e8
    return BarPanel(ts, start, session, False, ids, len(ids) == 3, px, px, px, px, fx, None, revision=revision)


def test_a_late_correction_changes_the_newest_price_and_makes_nothing_younger() -> None:
    """Of the bar before the newest it changes nothing; of the newest the price, but not its age.

    Bars of 60 s end at 60 and 120. Symbol 2 has no bar at 120, so a correction of the bar that ended at 60 is of its
    newest one; symbol 1's is not. At 150 both prices are (150 - end - 60) s old, less the bar's own length.
    """
    prices = Prices(3, daily=False)
    prices.fold_bars(bars(60, 0, 1, {0: 10, 1: 20, 2: 30}))
    prices.fold_bars(bars(120, 60, 1, {0: 11, 1: 21}))
    ages = [prices.age_ns(symbol, 150) for symbol in range(3)]
    prices.fold_bars(bars(150, 0, 1, {1: 99, 2: 31}, revision=1))
    assert [prices.last(symbol) for symbol in range(3)] == [11, 21, 31]
    prices.fold_bars(bars(150, 60, 1, {0: 12}, revision=1))
    assert [prices.last(symbol) for symbol in range(3)] == [12, 21, 31]
    assert [prices.age_ns(symbol, 150) for symbol in range(3)] == ages == [-30, -30, 30]


def test_halts_travel_with_the_prices() -> None:
    """A snapshot carries them; one of an earlier version has none."""
    prices = Prices(2, daily=True)
    prices.fold_status(TradingStatus(5, 1, "halted", reason="T1"))
    state = prices.snapshot()
    again = Prices(2, daily=True)
    again.restore(state)
    assert again.halts.why(1) == ("halted", "T1")
    del state["halts"]
    again.restore(state)
    assert again.halts.why(1) is None


def test_entries_into_a_halted_symbol_are_denied_and_exits_pass(world, wide) -> None:
    """The code is SYMBOL_HALTED; the sentence says why and what to do; another symbol and later entries pass."""
    w = world(wide)
    w.hold(10)
    w.process(TradingStatus(w.clock.now(), 0, "halted", reason="T12"))
    (denied,) = w.process(w.order(BUY, 1))
    assert isinstance(denied, OrderDenied)
    assert denied.code == "SYMBOL_HALTED"
    assert "is halted (T12); enter once it trades again" in denied.reason
    assert w.submit(SELL, 4) == "ok"
    assert w.submit(BUY, 1, symbol=1) == "ok"
    w.process(TradingStatus(w.clock.now(), -1, "h5"))
    (denied,) = w.process(w.order(BUY, 1, symbol=1))
    assert (denied.code, "of unknown status 'h5'" in denied.reason) == ("SYMBOL_HALTED", True)
    w.process(TradingStatus(w.clock.now(), -1, "trading"))
    assert w.submit(BUY, 1, symbol=1) == "ok"
    assert w.submit(BUY, 1) == "SYMBOL_HALTED"
    w.process(TradingStatus(w.clock.now(), 0, "trading"))
    assert w.submit(BUY, 1) == "ok"


def test_a_replace_that_adds_to_an_entry_is_judged_as_one(world, wide) -> None:
    """What works from before the halt stays; more of it waits as a new entry does."""
    w = world(wide)
    (accepted,) = w.process(w.order(BUY, 10, type=OrderType.LIMIT, limit_px=90))
    w.process(TradingStatus(w.clock.now(), 0, "luld"))
    (refused,) = w.process(ReplaceOrder(accepted.order.client_order_id, qty=20 * SCALE))
    assert (refused.code, "is paused" in refused.reason) == ("SYMBOL_HALTED", True)
