"""What a whole core makes of ticks: the gate's references, marks and equity of portfolios, a trade's excursions."""

from __future__ import annotations

import numpy as np
import pytest

from actors.messages.market import QuotePanel, SessionClosed, SessionOpened, TradePanel
from actors.messages.orders import OrderAccepted, OrderDenied
from actors.messages.portfolio import EquityMarked, SessionRolled, TradeClosed
from actors.values import Session
from daemon.kernel.message import Event
from tests.actors.broker.desk import DAY, FREE, HOUR, fills, fx
from tests.actors.broker.house import House

SECOND = 1_000_000_000
BUY, SELL = 1, -1


class Floor(House):
    """A core whose session of day 1 is open; times in seconds since then."""

    def __init__(self) -> None:
        """Open the session."""
        super().__init__(FREE)
        self.day = 1
        self.open()

    def open(self) -> None:
        """Open the day's session."""
        self.clock.advance_to(self.day * DAY)
        self.put(SessionOpened(self.day * DAY, self.session))

    def close(self) -> list[Event]:
        """Close the day's session, eight hours behind its open."""
        self.clock.advance_to(self.day * DAY + 8 * HOUR)
        return self.put(SessionClosed(self.day * DAY + 8 * HOUR, self.session))

    @property
    def session(self) -> Session:
        """The day's session."""
        return Session(20200101 + self.day, self.day * DAY, self.day * DAY + 8 * HOUR, self.day)

    def quote(self, second: float, bid: float, ask: float, symbol: int = 0) -> list[Event]:
        """Feed a quote with 1,000 on either side."""
        ts = self._at(second)
        one = [np.array([value]) for value in (bid, 1000.0, ask, 1000.0)]
        return self.put(QuotePanel(ts, np.array([symbol], dtype=np.int32), *one))

    def trade(self, second: float, *rows: tuple[int, float]) -> list[Event]:
        """Feed prints (symbol, price) of 100 shares."""
        ts = self._at(second)
        ids = np.array([row[0] for row in rows], dtype=np.int32)
        return self.put(TradePanel(ts, ids, np.array([row[1] for row in rows]), np.full(len(rows), 100.0)))

    def _at(self, second: float) -> int:
        ts = self.day * DAY + round(second * SECOND)
        self.clock.advance_to(ts)
        return ts


def test_the_gate_refers_to_the_last_print_and_without_prints_to_the_middle():
    """Mid 50.01 until something prints; then the print, whatever is quoted."""
    floor = Floor()
    prices = floor.core.risk._prices
    floor.quote(1, 50.0, 50.02)
    assert prices.last(0) == fx(50.01)
    floor.quote(2, 50.1, 50.0)  # crossed: says nothing
    assert prices.last(0) == fx(50.01)
    floor.trade(3, (0, 49.9))
    floor.quote(4, 50.0, 50.02)
    assert prices.last(0) == fx(49.9)
    floor.trade(5, (1, 20.0), (0, 49.8), (1, 20.5))
    assert (prices.last(0), prices.last(1)) == (fx(49.8), fx(20.5))


def test_a_price_is_as_old_as_the_last_tick_that_stood_for_it():
    """A print at 10 s; a quote at 13 s says that it stands; at 16 s it is 3 s old."""
    floor = Floor()
    floor.trade(10, (0, 50.0))
    floor.quote(13, 49.99, 50.01)
    assert floor.core.risk._prices.age_ns(0, floor._at(16)) == 3 * SECOND


def test_equity_is_stated_at_the_first_tick_of_each_minute_and_at_the_close():
    """100 bought at 50.00: the marks of the minutes are 50.5 and 51, the close is at the last print, 51.5."""
    floor = Floor()
    floor.trade(1, (0, 50.0))
    floor.order(BUY, 100, strategy="")
    assert len(fills(floor.trade(2, (0, 50.0)))) == 1
    marked = [e for e in floor.events if isinstance(e, EquityMarked)]
    assert len(marked) == 1  # the first tick of the session
    assert not [e for e in floor.trade(59, (0, 70.0)) if isinstance(e, EquityMarked)]
    for second, px in ((61, 50.5), (125, 51.0)):
        [mark] = [e for e in floor.trade(second, (0, px)) if isinstance(e, EquityMarked)]
        assert mark.equity == fx(1_000_000 + 100 * (px - 50))
    floor.trade(130, (0, 51.5))
    [rolled] = [e for e in floor.close() if isinstance(e, SessionRolled)]
    assert rolled.equity == fx(1_000_150)


def test_quotes_state_the_equity_of_a_minute_and_are_excursions_where_nothing_prints():
    """100 bought at the ask of 50.01; the middle falls to 48 and rises to 53; sold at the bid of 51.01.

    Equity of the second minute: 100 x (53 - 50.01) = 299. Against the entry: 2.01 of 50.01 down, 2.99 up.
    """
    floor = Floor()
    floor.quote(0.5, 39.99, 40.01)
    floor.order(BUY, 100, strategy="")
    assert [e.last_px for e in fills(floor.quote(1, 49.99, 50.01))] == [fx(50.01)]
    assert not [e for e in floor.quote(30, 47.99, 48.01) if isinstance(e, EquityMarked)]
    [mark] = [e for e in floor.quote(61, 52.99, 53.01) if isinstance(e, EquityMarked)]
    assert mark.equity == fx(1_000_299)
    floor.order(SELL, 100, strategy="")
    [closed] = [e for e in floor.quote(62, 51.01, 51.03) if isinstance(e, TradeClosed)]
    assert (closed.mae, closed.mfe) == (pytest.approx(-2.01 / 50.01, abs=1e-6), pytest.approx(2.99 / 50.01, abs=1e-6))


def test_where_bars_state_the_equity_ticks_do_not():
    """Hourly bars inside the session; the next session begins with ticks."""
    floor = Floor()
    floor.hour = 24
    floor.bar((50.0, 51.0, 49.0, 50.0))
    before = len(floor.events)
    for second in (3700, 3800, 3900):
        floor.trade(second, (0, 50.0))
    assert not [e for e in floor.events[before:] if isinstance(e, EquityMarked)]
    floor.close()
    floor.day = 2
    floor.open()
    assert [e for e in floor.trade(1, (0, 50.0)) if isinstance(e, EquityMarked)]


def test_excursions_follow_ticks_while_a_lot_is_held():
    """Bought at 50; 48 and 53 come while it is held; sold at 51. What came before and after does not count."""
    floor = Floor()
    floor.trade(1, (0, 40.0))
    floor.order(BUY, 100, strategy="")
    floor.trade(2, (0, 50.0))
    for second, px in ((3, 48.0), (4, 53.0)):
        floor.trade(second, (0, px))
    floor.order(SELL, 100, strategy="")
    [closed] = [e for e in floor.trade(5, (0, 51.0)) if isinstance(e, TradeClosed)]
    floor.trade(6, (0, 90.0))
    # Against the entry of 50: 2 of 50 down, 3 of 50 up.
    assert (closed.mae, closed.mfe) == (pytest.approx(-0.04), pytest.approx(0.06))


@pytest.mark.parametrize("cut", [2, 60, 62])
def test_a_core_restored_between_ticks_goes_on_as_the_one_that_never_stopped(cut: int):
    """Marks, minutes, references, book."""
    digests = []
    for split_at in (None, cut):
        floor, restart = Floor(), split_at
        for second in (1, 2, 30, 61, 62, 63, 200):
            floor.trade(second, (0, 50.0 + second / 100))
            floor.quote(second, 50.0, 50.5, symbol=1)
            if second == 2:
                floor.order(BUY, 10, strategy="")
                floor.order(BUY, 10, strategy="", symbol=1)
            if restart is not None and second >= restart:
                floor.split()
                restart = None
        floor.close()
        digests.append(floor.core.sequencer.digest)
        assert len(fills(floor.events)) == 2
        assert not [e for e in floor.events if isinstance(e, OrderDenied)]
        assert len([e for e in floor.events if isinstance(e, OrderAccepted)]) == 2
    assert digests[0] == digests[1]
