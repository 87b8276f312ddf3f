"""What a portfolio has done lately: session returns net of flows, fills and slippage of the day."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages.orders import BUY, OrderAccepted, OrderFilled, OrderReplaced, OrderRestated, SubmitOrder
from actors.messages.portfolio import CashFlowed, SessionRolled
from actors.risk.track import SESSIONS, Tracks
from actors.values.fixed import SCALE


def rolled(equity: int) -> SessionRolled:
    """Return a session that closed at this equity, in money."""
    return SessionRolled("main", 20200102, equity * SCALE, 0, 0, 0, 0, 0, 0.0)


def flowed(amount: int) -> CashFlowed:
    """Return a deposit, in money."""
    return CashFlowed("main", amount * SCALE, "test", 0, ())


def accepted(name: str, qty: int = 100, px: int = 50, reason: str = "signal") -> OrderAccepted:
    """Return an accepted buy."""
    order = SubmitOrder(name, "main", 0, BUY, qty * SCALE, reason=reason)
    return OrderAccepted(name, order, 0, ref_px=px * SCALE)


def filled(name: str, qty: int, px: int = 50, cost: int = 0) -> OrderFilled:
    """Return a fill at a reference price, with a cost in money."""
    whole = qty * SCALE
    return OrderFilled(
        name, name, f"{name}-{qty}", "main", 0, BUY, whole, px * SCALE, px * SCALE, whole, 0, px * SCALE,
        0, 0, 0, cost * SCALE, 0, "open", "taker", "", "signal", "", None, False,
    )  # fmt: skip


@pytest.fixture
def tracks() -> Tracks:
    """One portfolio."""
    return Tracks(("main",))


def test_a_deposit_is_no_return(tracks: Tracks) -> None:
    """100 become 110, 10 %; 110 come in, 220 become 231, 5 %."""
    tracks.of["main"].fold_flow(flowed(100))
    tracks.of["main"].fold_rolled(rolled(110))
    tracks.of["main"].fold_flow(flowed(110))
    tracks.of["main"].fold_rolled(rolled(231))
    assert list(tracks.of["main"].returns) == [pytest.approx(0.1), pytest.approx(0.05)]


def test_only_the_last_thirty_are_kept(tracks: Tracks) -> None:
    """And from nothing there is no return, so a record begins anew."""
    track = tracks.of["main"]
    track.fold_flow(flowed(100))
    for equity in range(101, 141):
        track.fold_rolled(rolled(equity))
    assert len(track.returns) == SESSIONS == 30
    track.fold_rolled(rolled(0))
    track.fold_rolled(rolled(10))
    assert list(track.returns) == []


def test_the_fill_rate_is_of_value_ordered_today(tracks: Tracks) -> None:
    """100 shares at 50 and 50 at 50 are ordered; 100 and 20 of them trade: 6,000 of 7,500."""
    tracks.fold_accepted(accepted("a"))
    tracks.fold_accepted(accepted("b", qty=50))
    tracks.fold_fill(filled("a", 100, px=51))
    tracks.fold_fill(filled("b", 20))
    assert tracks.of["main"].today.fill_rate == pytest.approx(0.8)
    tracks.fold_replaced(OrderReplaced("b", "b", 20 * SCALE, None, None, 0))
    assert tracks.of["main"].today.fill_rate == 1.0


def test_slippage_is_cost_in_the_price_over_value(tracks: Tracks) -> None:
    """5 and 10 of 5,000 each: 15 basis points."""
    tracks.fold_fill(filled("a", 100, cost=5))
    tracks.fold_fill(filled("b", 100, cost=10))
    assert tracks.of["main"].today.slippage == pytest.approx(0.0015)


def test_without_orders_and_fills_nothing_is_known(tracks: Tracks) -> None:
    """None, not zero; automatic exits and orders without a known price count as no orders."""
    today = tracks.of["main"].today
    assert (today.slippage, today.fill_rate) == (None, None)
    tracks.fold_accepted(accepted("stop", reason="stop_loss"))
    tracks.fold_accepted(accepted("blind", px=0))
    assert tracks.of["main"].today.fill_rate is None


def test_a_day_ends_with_its_session(tracks: Tracks) -> None:
    """What is ordered behind a close belongs to the next session; the ended one can still be told."""
    tracks.fold_accepted(accepted("a"))
    tracks.fold_closed()
    track = tracks.of["main"]
    assert (track.before.fill_rate, track.today.fill_rate) == (0.0, None)
    tracks.fold_accepted(accepted("b"))
    tracks.fold_fill(filled("b", 100))
    tracks.fold_fill(filled("a", 100))  # of yesterday: it trades, and is no order of today
    assert track.today.fill_rate == 1.0
    assert track.today.traded == 10_000 * SCALE * SCALE


def test_a_split_leaves_the_value_ordered(tracks: Tracks) -> None:
    """100 shares at 50 are 200 at 25, and filling them is filling all."""
    tracks.fold_accepted(accepted("a"))
    tracks.fold_restated(OrderRestated("a", "a", 0, 200 * SCALE, 0, None, None, None, "split"))
    tracks.fold_fill(filled("a", 200, px=25))
    assert tracks.of["main"].today.fill_rate == 1.0


def test_a_record_survives_a_restart(tracks: Tracks) -> None:
    """The restored one says the same, and goes on the same."""
    tracks.of["main"].fold_flow(flowed(100))
    tracks.of["main"].fold_rolled(rolled(110))
    tracks.fold_accepted(accepted("a"))
    tracks.fold_fill(filled("a", 10, cost=1))
    tracks.fold_fill(filled("old", 10_000_000, cost=1))  # half a billion
    other = Tracks(("main",))
    other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(tracks.snapshot())))
    for each in (tracks, other):
        each.fold_fill(filled("a", 40))
        each.of["main"].fold_rolled(rolled(121))
    assert other.snapshot() == tracks.snapshot()
    assert list(other.of["main"].returns) == [pytest.approx(0.1), pytest.approx(0.1)]
    assert other.of["main"].today.fill_rate == 0.5
