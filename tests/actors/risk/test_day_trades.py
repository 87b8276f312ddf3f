"""Pattern day trading: small margin accounts, three day trades in five sessions, as long as it was a rule."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages.market import SessionOpened
from actors.messages.orders import BUY, SELL, OrderType
from actors.messages.risk import BreakerReset
from actors.risk.day_trades import IN_FORCE_FROM, IN_FORCE_TO, DayTrades
from actors.values.fixed import SCALE
from actors.values.session import Session

LIMIT = OrderType.LIMIT


@pytest.fixture
def small(world, wide):
    """Return a margin account of $20,000 on dates of 2020."""

    def build(cash=20_000, on=True, account="margin", **settings):
        limits = msgspec.structs.replace(wide, pattern_day_trader=on, allow_short=True)
        return world(limits, cash=cash, account=account, **settings)

    return build


def round_trip(w, symbol=0, qty=1):
    """Open and close within the session: a day trade."""
    for side in (BUY, SELL):
        assert w.submit(side, qty, symbol=symbol) == "ok"
        w.fill((f"c{w.n}", qty, 100))


def tomorrow(w):
    """Go on to the next session."""
    w.close()
    w.open()
    w.bar([100.0] * 3)


def test_nothing_is_entered_behind_three_day_trades(small):
    """On new and on replace; what is held may be closed, and a restart remembers."""
    w = small()
    w.hold(10, symbol=2)
    tomorrow(w)
    assert w.submit(BUY, 1, client_order_id="a", type=LIMIT, limit_px=90, symbol=1) == "ok"
    for n in range(3):
        round_trip(w, symbol=n % 2)
    for again in (lambda: None, w.split, w.refold):
        again()
        denied = w.denial(BUY, 1)
        assert (denied.code, denied.value, denied.limit) == ("PDT", "3", "3")
        assert "main has made 3 day trades in 5 sessions with equity below 25000" in denied.reason
        assert w.replace("a", 2) == "PDT"
    assert w.submit(SELL, 10, symbol=2) == "ok"


def test_day_trades_leave_the_window_with_the_fifth_session_behind_them(small):
    """Three on Monday: entries again the Monday after."""
    w = small()
    for _ in range(3):
        round_trip(w)
    answers = []
    for _ in range(5):
        answers.append(w.submit(BUY, 1, type=LIMIT, limit_px=50))
        tomorrow(w)
    answers.append(w.submit(BUY, 1, type=LIMIT, limit_px=50))
    assert answers == ["PDT"] * 5 + ["ok"]


@pytest.mark.parametrize(("cash", "verdict"), [(24_999.99, "PDT"), (25_000, "ok")])
def test_the_rule_is_for_equity_below_25_000_at_the_close_before(small, cash, verdict):
    """To the cent; a mark in between changes nothing."""
    w = small(cash=cash)
    for _ in range(3):
        round_trip(w)
    w.mark(30_000 if verdict == "PDT" else 20_000)
    assert w.submit(BUY, 1) == verdict


@pytest.mark.parametrize(("close", "now", "verdict"), [(26_000, 24_000, "ok"), (24_000, 26_000, "PDT")])
def test_a_breaker_that_is_armed_again_makes_no_other_close_of_it(small, close, now, verdict):
    """The day's loss begins anew at what equity is then; the rule asks for the close before."""
    w = small(cash=close)
    for _ in range(3):
        round_trip(w)
    w.mark(now)
    w.state(BreakerReset("main", "daily_loss", "looked at", "anna"))
    assert w.submit(BUY, 1) == verdict


@pytest.mark.parametrize("settings", [{"account": "cash"}, {"account": "cash_strict"}, {"on": False}])
def test_other_accounts_and_other_configurations_know_no_such_rule(small, settings):
    """Four round trips and an entry."""
    w = small(**settings)
    for _ in range(4):
        round_trip(w)
    assert w.submit(BUY, 1) == "ok"


@pytest.mark.parametrize(
    ("date", "verdict"),
    [
        (IN_FORCE_FROM - 1, "ok"),
        (IN_FORCE_FROM, "PDT"),
        (20260603, "PDT"),
        (IN_FORCE_TO, "ok"),
        (20301231, "ok"),
    ],
)
def test_it_is_a_rule_from_2001_09_28_to_2026_06_03(small, date, verdict):
    """The intraday margin standards took its place on 2026-06-04."""
    w = small()
    w.close()
    w.day += 1
    start = w.session
    w.clock.advance_to(start.open_ts)
    w.process(SessionOpened(start.open_ts, Session(date, start.open_ts, start.close_ts, w.day)))
    for _ in range(3):
        round_trip(w)
    assert w.submit(BUY, 1) == verdict


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        ([(0, 100), (100, -100)], 1),
        ([(100, -100)], 0),  # held overnight, sold before anything was bought
        ([(100, 50), (150, -150)], 1),
        ([(0, 100), (100, -50), (50, -50)], 1),  # one change of direction
        ([(0, 100), (100, -50), (50, 50), (100, -100)], 2),
        ([(0, -100), (-100, 100)], 1),
        ([(-100, 100)], 0),
        ([(100, -150), (-50, 50)], 1),  # turned, and what it opened was closed
        ([(0, 100), (100, -150), (-50, 50)], 2),
    ],
)
def test_a_day_trade_closes_what_was_opened_in_the_same_session(steps, count):
    """(held before, shares moved); counted by changes of direction."""
    trades = DayTrades(margin=True)
    trades.adopt(on=True)
    for held, shares in steps:
        trades.fold("main", 0, shares * SCALE, held * SCALE, 7)
    assert trades.count("main", 7) == count
    assert trades.count("main", 11) == count
    assert trades.count("main", 12) == 0


def test_day_trades_are_of_one_portfolio():
    """Two of one and one of another are not three of anybody's."""
    trades = DayTrades(margin=True)
    trades.adopt(on=True)
    for portfolio in ("a", "a", "b"):
        trades.fold(portfolio, 0, SCALE, 0, 7)
        trades.fold(portfolio, 0, -SCALE, SCALE, 7)
    assert [trades.why(p, 7, 20200101, 0) for p in ("a", "b")] == [None, None]
    trades.fold("a", 1, SCALE, 0, 8)
    trades.fold("a", 1, -SCALE, SCALE, 8)
    assert trades.why("a", 8, 20200102, 0).code == "PDT"
    assert trades.why("b", 8, 20200102, 0) is None


def test_what_was_held_over_a_night_is_no_day_trade():
    """Bought in one session and sold in the next, four times; bought anew and sold in that one is the first."""
    trades = DayTrades(margin=True)
    for session in range(1, 5):
        trades.fold("main", 0, 1, 0, session)
        trades.fold("main", 0, -1, 1, session + 1)
        assert trades.count("main", session + 1) == 0
    trades.fold("main", 0, 1, 0, 5)
    trades.fold("main", 0, -1, 1, 5)
    assert trades.count("main", 5) == 1
