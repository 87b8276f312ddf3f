"""The kept sums over what is held and works are those that counting everything anew would give, whatever happened."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.orders import BUY, SELL, CancelOrder, OrderType
from actors.values.fixed import SCALE
from tests.actors.risk.conftest import WIDE, World

LIMIT = OrderType.LIMIT
LIMITS = msgspec.structs.replace(WIDE, max_leverage=1.0, max_sector=0.9, allow_short=True)


def test_a_symbol_that_was_left_counts_nothing_once_prices_have_moved(world, wide):
    """80 are bought and sold at 100 (8,000), then prices move: 95 of 105 (9,975) pass once, and no 5 (525) behind them.

    A tenth of the equity of 100,000 may be held. What had been held is no room for what is entered: it is gone.
    """
    w = world(msgspec.structs.replace(wide, max_leverage=0.1))
    w.hold(80)
    assert w.submit(BUY, 21, symbol=1) == "MAX_LEVERAGE"  # the sums are looked at while 80 are held
    w.submit(SELL, 80, client_order_id="out")
    w.fill(("out", 80, 100))
    w.bar([105.0, 105.0, 105.0])
    assert w.submit(BUY, 96) == "MAX_LEVERAGE"  # 10,080
    assert w.submit(BUY, 95) == "ok"
    assert w.submit(BUY, 5, symbol=1) == "MAX_LEVERAGE"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "fill", "cancel", "bar", "split"]),
        st.integers(0, 2),
        st.integers(1, 60),
        st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_sums_are_what_counting_anew_gives(steps):
    """Orders come, fill and go, prices move, and the sums are looked at in between or not."""
    w = World(LIMITS, sectors=("x", "y", "x"))
    for what, symbol, size, looks in steps:
        if what in ("buy", "sell"):
            w.process(w.order(BUY if what == "buy" else SELL, size, symbol=symbol, type=LIMIT, limit_px=100))
        elif what == "bar":
            w.bar([100.0 + size / 10, 90.0 + symbol, 95.0 + size])
        elif what == "split":
            w.split()
        elif w.venue.orders:
            name = list(w.venue.orders)[size % len(w.venue.orders)]
            _, qty, done = w.venue.orders[name]
            left = (qty - done) // SCALE
            w.process(CancelOrder(name, "test")) if what == "cancel" else w.fill((name, min(size, left), 100))
        if looks:
            _expect_sums(w)
    _expect_sums(w)


def _expect_sums(w):
    risk = w.risk
    book = risk.exposure.books["main"]
    risk._gate._crowding.refresh(book)
    gross, up, down, sectors = 0, 0, 0, [0, 0]
    for symbol, holding in book.holdings.items():
        px = risk.prices.last(symbol)
        most, least = (holding.qty + holding.buys) * px, (holding.qty - holding.sells) * px
        own = max(most, -least)
        assert (holding.gross, holding.up, holding.down) == (own, most, least), symbol
        gross, up, down = gross + own, up + most, down + least
        sectors[symbol == 1] += own
    assert (book.totals.gross, book.totals.up, book.totals.down) == (gross, up, down)
    assert book.totals.sectors == sectors
