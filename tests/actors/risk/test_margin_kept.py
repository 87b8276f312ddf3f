"""What a margin account's holdings need is computed once for many orders, and anew whenever it may be another sum."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.market import BarPanel, CorporateAction, QuotePanel, SessionOpened, TradePanel
from actors.messages.portfolio import PositionChanged
from actors.risk.exposure import Exposure
from actors.risk.fees import FeeEstimate
from actors.risk.prices import Prices
from actors.values.fixed import SCALE
from actors.values.margin import margin_of
from actors.values.session import Session

SYMBOLS = st.integers(0, 2)
PX = st.integers(1, 200).map(float)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["bar", "revision", "quote", "trade", "dividend", "split", "rename"]), SYMBOLS, PX),
        st.tuples(st.just("hold"), SYMBOLS, st.integers(-50, 50)),
        st.tuples(st.just("restore"), SYMBOLS, PX),
    ),
    max_size=30,
)


def bar(symbol: int, px: float, ts: int, revision: int) -> BarPanel:
    """Return a bar of one symbol."""
    column = np.array([px])
    fixed = np.rint(column * SCALE).astype(np.int64)
    ids, columns = np.array([symbol], dtype=np.int32), (column,) * 4
    return BarPanel(ts, ts - 1, 20200102, False, ids, False, *columns, fixed, None, revision=revision)


def feed(prices: Prices, kind: str, symbol: int, px: float, ts: int) -> None:
    """Fold what moves a price."""
    ids, column = np.array([symbol], dtype=np.int32), np.array([px])
    if kind in ("bar", "revision"):
        prices.fold_bars(bar(symbol, px, ts, int(kind == "revision")))
    elif kind == "quote":
        prices.fold_quotes(QuotePanel(ts, ids, column, column, column, column))
    elif kind == "trade":
        prices.fold_trades(TradePanel(ts, ids, column, column))
    elif kind == "split":
        prices.fold_action(CorporateAction(ts, 20200102, symbol, kind, 2 * SCALE, numerator=2, denominator=1))
    elif kind == "dividend":
        prices.fold_action(CorporateAction(ts, 20200102, symbol, kind, SCALE))
    else:
        prices.fold_action(CorporateAction(ts, 20200102, symbol, kind, 0, renamed_to=(symbol + 1) % 3))


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_what_is_kept_is_what_would_be_computed(steps):
    """Prices by bars, corrections, ticks and actions, positions by bookings, both by snapshots; asked after each."""
    prices = Prices(3, daily=False)
    prices.fold_opened(SessionOpened(1, Session(20200102, 1, 10**6, 0), (SCALE, 2 * SCALE, 3 * SCALE), 2))
    exposure = Exposure(("main",), prices, FeeEstimate(), cash_reserve=SCALE, account="margin")
    for ts, (kind, symbol, value) in enumerate(steps, 3):
        if kind == "hold":
            qty = int(value) * SCALE
            exposure.fold_position(PositionChanged("main", f"x{ts}", symbol, qty, 0, 0, 0, 0, None, (), ()))
        elif kind == "restore":
            exposure.restore(exposure.snapshot())
            prices.restore(prices.snapshot())
        else:
            feed(prices, kind, symbol, float(value), ts)
        book = exposure.books["main"]
        held = [(holding.qty, prices.last(at)) for at, holding in book.holdings.items() if holding.qty]
        for _ in range(2):
            assert exposure.margin(book) == margin_of(held)
