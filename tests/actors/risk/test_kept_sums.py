"""What the gate keeps between orders (heat, margin, value at risk) changes no answer: as if all were counted anew."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.orders import BUY, SELL, Bracket, CancelOrder, OrderTerms, OrderType, TimeInForce
from actors.risk.holdings import Book
from actors.risk.params import RiskLimits
from actors.risk.totals import Totals
from actors.risk.var import historical
from actors.risk.var_limit import Over, VarLimit
from actors.values.fixed import SCALE, to_fixed
from actors.values.history import SessionHistory
from tests.actors.risk.conftest import WIDE, World

LIMIT, STOP = OrderType.LIMIT, OrderType.STOP
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "stop", "guarded", "trail", "fill", "cancel", "replace", "bar", "look"]),
        st.integers(0, 2),
        st.integers(1, 90),
    ),
    max_size=25,
)


def act(w, what, symbol, size):
    """Do one thing."""
    px = 100
    fields = {
        "buy": {"type": LIMIT, "limit_px": px},
        "sell": {"type": LIMIT, "limit_px": px},
        "stop": {"type": STOP, "stop_px": px - size % 7 - 1, "tif": TimeInForce.GTC},
        "guarded": {"type": LIMIT, "limit_px": px, "terms": OrderTerms(bracket=Bracket(stop_px=to_fixed(95)))},
        "trail": {"type": OrderType.TRAILING_STOP, "terms": OrderTerms(trail_percent=to_fixed(size % 9 + 1))},
    }.get(what)
    if fields is not None:
        side = SELL if what in ("sell", "stop", "trail") else BUY
        w.process(w.order(side, size, symbol=symbol, strategy="s" if size % 2 else "", decision=w.n, **fields))
    elif what == "bar":
        w.bar([100.0 + size / 10, 90.0 + symbol, 95.0 + size])
        w.mark(100_000 - size)
    elif what == "look":
        w.submit(BUY, 10_000_000, symbol=symbol)
    elif w.venue.orders:
        name = list(w.venue.orders)[size % len(w.venue.orders)]
        order, qty, done = w.venue.orders[name]
        if what == "fill":
            w.fill((name, min(size, (qty - done) // SCALE), 100))
        elif what == "cancel":
            w.process(CancelOrder(name, "test"))
        else:
            w.replace(name, size, **({"limit_px": 99} if order.limit_px else {}))


def answers(w):
    """Return what the gate says to orders and replaces of many sizes, with values and limits."""
    gate, now = w.risk._gate, w.clock.now()
    found = [w.risk.heat.of_portfolio("main")]
    for symbol in range(3):
        for side in (BUY, SELL):
            for qty in (1, 20, 100, 400, 3_000):
                order = msgspec.structs.replace(w.order(side, qty, symbol=symbol), client_order_id="probe")
                found.append(gate.judge_new(order, now))
    for working in list(w.risk.exposure.working.values()):
        for more in (1, 50):
            qty = working.qty + more * SCALE
            found.append(gate.judge_replace(working, qty, working.limit_px, working.stop_px, now))
    return found


@pytest.mark.parametrize(
    ("account", "changes"),
    [("cash", {"max_heat": 0.2, "risk_per_trade": 0.15, "max_var": 0.01, "var_sessions": 60}), ("margin", {})],
)
def test_answers_are_those_of_a_gate_that_has_kept_nothing(account, changes):
    """Random orders, fills and prices: before a restart and behind it the same values to the last digit."""
    limits = msgspec.structs.replace(WIDE, allow_short=True, **changes)

    @settings(max_examples=80, deadline=None)
    @given(STEPS)
    def check(steps):
        w = World(limits, account=account, stop_losses={"main": 0.03})
        dice = np.random.default_rng(len(steps))
        closes = 100 * np.exp(np.cumsum(0.01 * dice.standard_normal((63, 3)), axis=0))
        for row in closes:
            w.risk.history.fold_close(np.rint(row * SCALE).astype(np.int64))
        for what, symbol, size in steps:
            act(w, what, symbol, size)
        kept = answers(w)
        w.split()
        assert answers(w) == kept

    check()


def book_of(values):
    """Return a book whose sums say that these values (money by symbol) are held."""
    book = Book()
    book.totals = Totals()
    for symbol, value in values.items():
        holding = book.holdings[symbol] = type("Held", (), {})()
        holding.up = holding.down = round(value * 100) * SCALE * SCALE // 100
        book.totals.active[symbol] = holding
    return book


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(-900_000, 900_000), st.integers(-900_000, 900_000)),
        min_size=1,
        max_size=12,
    ),
    st.booleans(),
)
def test_the_bound_says_yes_to_nothing_that_counting_refuses(seed, steps, has_hole):
    """Values change, entries are asked about at limits near what they come to; a history with a hole included."""
    dice = np.random.default_rng(seed)
    history = SessionHistory(5, 80)
    closes = np.rint(1e10 * np.exp(np.cumsum(0.01 * dice.standard_normal((81, 5)), axis=0))).astype(np.int64)
    for n, row in enumerate(closes):
        history.fold_close(row, np.array([True] * 4 + [not (has_hole and n == 40)]))
    kept = VarLimit(history, RiskLimits(max_var=0.01, var_sessions=80))
    values = {0: 100_000.0, 1: 50_000.0}
    book = book_of(values)
    for symbol, held, asked in steps:
        values[symbol] = float(held)
        if held % 3 == 0:
            del values[symbol]
        changed = book_of(values)
        changed.totals.stamp = book.totals.stamp + 1
        book.totals.active, book.totals.stamp = changed.totals.active, changed.totals.stamp
        entry = round(asked * 100) * SCALE * SCALE // 100
        for share in (0.5, 0.999, 1.0, 1.001, 3.0):
            lost = _counted(history, values | {symbol: float(asked)})
            most = lost * share
            expected = Over(round(lost, 2)) if round(lost, 2) > most else None
            assert kept.over(book, symbol, entry, most) == expected


def _counted(history, values):
    """Count as the definition says."""
    ids = sorted(values)
    returns = history.returns(80)[:, ids]
    series = returns[np.isfinite(returns).all(axis=1)]
    return historical(np.sum(series * np.array([values[i] for i in ids]), axis=1), 0.95)


def test_before_sixty_sessions_everything_counts_whole():
    """59 returns of 1,000 held: 1,000 and the entry are at risk; with 60 it is what a day costs in 20, about 1 %."""
    history = SessionHistory(1, 80)
    kept = VarLimit(history, RiskLimits(max_var=0.01, var_sessions=80))
    for n in range(60):
        history.fold_close(np.array([(100 + n % 2) * SCALE]))
    book = book_of({0: 1000.0})
    assert history.known == 59
    assert kept.over(book, 0, 1_500 * SCALE * SCALE, 1_499.0) == Over(1_500.0, (0,))
    assert kept.over(book, 0, 1_500 * SCALE * SCALE, 1_500.0) is None
    history.fold_close(np.array([100 * SCALE]))
    assert kept.over(book, 0, 1_500 * SCALE * SCALE, 15.0) is None
    assert kept.over(book, 0, 1_500 * SCALE * SCALE, 14.0) == Over(14.85)


def test_one_name_that_is_not_known_does_not_make_the_others_unknown():
    """A alternates between 100 and 101; B came 21 sessions later; of C every second close is missing.

    10,000 of A lose 99.01 in a day of 20: B's 500 and C's 30 come on top whole, also of a short.
    """
    history = SessionHistory(3, 80)
    kept = VarLimit(history, RiskLimits(max_var=0.01, var_sessions=80))
    for n in range(81):
        row = np.array([(100 + n % 2) * SCALE] * 3)
        history.fold_close(row, np.array([True, n > 20, n % 2 == 0]))
    lost = 99.01
    book = book_of({0: 10_000.0, 2: -30.0})
    for entry in (500, -500):
        assert kept.over(book, 1, entry * SCALE * SCALE, lost + 529.9) == Over(round(lost + 530, 2), (1, 2))
        assert kept.over(book, 1, entry * SCALE * SCALE, lost + 530.1) is None
    assert kept.over(book, 1, SCALE * SCALE, lost - 1) == Over(lost)


def test_of_names_without_enough_sessions_in_common_the_ones_with_the_fewest_count_whole():
    """A has all 80, B the last 70, C the first 65: B and C have 55 in common, so C counts whole."""
    history = SessionHistory(3, 80)
    kept = VarLimit(history, RiskLimits(max_var=0.01, var_sessions=80))
    for n in range(81):
        history.fold_close(np.array([(100 + n % 2) * SCALE] * 3), np.array([True, n >= 10, n <= 65]))
    book = book_of({0: 1_000.0, 1: 1_000.0})
    found = kept.over(book, 2, 400 * SCALE * SCALE, 1.0)
    assert found == Over(19.8)
    assert kept.over(book, 2, 400 * SCALE * SCALE, 100.0) == Over(419.8, (2,))
