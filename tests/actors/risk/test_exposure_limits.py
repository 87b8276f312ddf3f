"""How much may be held: gross, net, sectors, names that move together, all portfolios; sums that equal a recount."""

from __future__ import annotations

import math
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.limits import PortfolioLimits, SymbolLimits
from actors.messages.orders import BUY, SELL, CancelOrder, OrderAccepted, OrderType
from actors.values.fixed import SCALE, to_fixed
from tests.actors.risk.feeding import day, show

LIMIT = OrderType.LIMIT
SECTORS = ("Tech", "Tech", "Oil")


def limits(base, **changes):
    """Return wide limits with some of them set."""
    return msgspec.structs.replace(base, allow_short=True, **changes)


CASES = [
    # 100,000 of equity at 100 a share; 300 A and 200 B are held, so that 500 shares of C more or less decide.
    ({"max_gross_value": to_fixed(100_000)}, "MAX_GROSS", 500),
    ({"max_leverage": 1.0}, "MAX_LEVERAGE", 500),
    ({"max_net": 1.0}, "MAX_NET", 500),
    ({"sectors": {"Oil": 0.3}}, "MAX_SECTOR", 300),
    ({"max_sector": 0.5}, "MAX_SECTOR", 500),
    ({"max_sector": 0.5, "sectors": {"Oil": 0.4}}, "MAX_SECTOR", 400),
    ({"max_sector": 0.5, "portfolios": {"main": PortfolioLimits(max_sector=0.45)}}, "MAX_SECTOR", 450),
    ({"portfolios": {"main": PortfolioLimits(max_gross_value=to_fixed(90_000))}}, "MAX_GROSS", 400),
    ({"max_leverage": 1.0, "portfolios": {"main": PortfolioLimits(max_leverage=0.8)}}, "MAX_LEVERAGE", 300),
    ({"max_leverage": 0.8, "portfolios": {"main": PortfolioLimits(max_leverage=1.0)}}, "MAX_LEVERAGE", 300),
    ({"portfolios": {"main": PortfolioLimits(max_net=0.9)}}, "MAX_NET", 400),
    ({"max_position": 0.4}, "MAX_POSITION", 400),
    ({"max_position": 0.4, "symbols": {"C": SymbolLimits(max_position=0.2)}}, "MAX_POSITION", 200),
    ({"max_position": 0.4, "portfolios": {"main": PortfolioLimits(max_position=0.1)}}, "MAX_POSITION", 100),
    ({"book_max_gross_value": to_fixed(100_000)}, "BOOK_GROSS", 500),
    ({"book_max_leverage": 1.0}, "BOOK_LEVERAGE", 500),
    ({"book_max_position": 0.35}, "BOOK_POSITION", 350),
]


@pytest.mark.parametrize(("changes", "code", "most"), CASES)
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_every_exposure_at_just_under_and_just_over_on_new_and_on_replace(world, wide, changes, code, most, over):
    """Exactly at the limit passes, a share more does not; what works counts as if it were filled."""
    w = world(limits(wide, **changes), sectors=SECTORS)
    w.hold(300)
    w.hold(200, symbol=1)
    verdict = code if over > 0 else "ok"
    assert w.submit(BUY, most + over, symbol=2) == verdict
    w.process(CancelOrder(f"c{w.n}", "test"))
    assert w.submit(BUY, 1, symbol=2, client_order_id="a", type=LIMIT, limit_px=100) == "ok"
    assert w.replace("a", most + over) == verdict
    w.process(CancelOrder("a", "test"))
    assert w.submit(BUY, most - 1, symbol=2) == "ok"  # works from now on
    w.split()
    if over >= 0:
        assert w.submit(BUY, 1 + over, symbol=2) == verdict
    assert w.submit(SELL, 300) == "ok"


@pytest.mark.parametrize(("changes", "code", "most"), [case for case in CASES if case[1] != "MAX_SECTOR"][:4])
def test_shorts_count_as_longs_do(world, wide, changes, code, most):
    """Gross by their value, net on their own side: short 500 of C more or less."""
    w = world(limits(wide, **changes), sectors=SECTORS, account="margin", cash=100_000)
    w.hold(-300)
    w.hold(-200, symbol=1)
    w.mark(100_000)
    assert w.submit(SELL, most + 1, symbol=2) == code
    assert w.submit(SELL, 1, symbol=2) == "ok"


def test_net_of_long_and_short_is_small_where_gross_is_large(world, wide):
    """Long 500, short 500: net nothing, gross the whole equity."""
    w = world(limits(wide, max_net=0.1, max_leverage=2.0))
    w.hold(500)
    w.hold(-450, symbol=1)
    w.mark(100_000)
    assert w.submit(BUY, 51, symbol=2) == "MAX_NET"
    assert w.submit(BUY, 50, symbol=2, client_order_id="buy") == "ok"
    # If the buy never fills, 150 may be sold: from 50 long to 100 short.
    assert w.submit(SELL, 151, symbol=2) == "MAX_NET"
    w.process(CancelOrder("buy", "test"))
    assert w.submit(SELL, 150, symbol=2) == "ok"


@pytest.mark.parametrize(
    ("changes", "code"), [({"max_leverage": 1.0}, "MAX_LEVERAGE"), ({"max_sector": 0.5}, "MAX_SECTOR")]
)
@pytest.mark.parametrize("equity", [0, -5_000])
def test_without_equity_nothing_is_entered_and_everything_may_be_closed(world, wide, changes, code, equity):
    """A share of nothing is nothing."""
    w = world(limits(wide, **changes), sectors=SECTORS)
    w.hold(10)
    w.mark(equity)
    assert w.submit(BUY, 1, symbol=2) == code
    assert w.submit(SELL, 10) == "ok"


def test_a_limit_order_counts_at_its_limit_where_that_is_more(world, wide):
    """500 at 110 are 55,000; below the market they count at the market."""
    w = world(limits(wide, max_gross_value=to_fixed(50_000)))
    assert w.submit(BUY, 454, type=LIMIT, limit_px=110) == "ok"
    w = world(limits(wide, max_gross_value=to_fixed(50_000)))
    assert w.submit(BUY, 455, type=LIMIT, limit_px=110) == "MAX_GROSS"
    assert w.submit(BUY, 501, type=LIMIT, limit_px=10) == "MAX_GROSS"


def test_exposure_that_is_not_known_lets_nothing_in(world, wide):
    """B is bought at a limit and has no price: what is held cannot be counted."""
    w = world(limits(wide, max_leverage=2.0), price=None)
    show(w, [100.0], ids=[0])
    assert w.submit(BUY, 1, symbol=1, type=LIMIT, limit_px=10) == "ok"
    denied = w.denial(BUY, 1)
    assert denied.code == "NO_REF_PRICE"
    assert "B is held or being entered and has no price" in denied.reason
    show(w, [100.0, 10.0], ids=[0, 1])
    assert w.submit(BUY, 1) == "ok"


@pytest.mark.parametrize("changes", [{"max_leverage": 2.0}, {"book_max_leverage": 2.0}])
def test_a_symbol_without_a_price_is_in_nobodys_way_but_its_own_price_is_the_orders(world, wide, changes):
    """A alone without one: its order says what it is worth. With B in the same state nothing of it is known."""
    w = world(limits(wide, **changes), price=None)
    at = {"type": LIMIT, "limit_px": 10}
    assert [w.submit(BUY, 1, **at) for _ in range(2)] == ["ok", "ok"]
    w.state(OrderAccepted("o", w.order(BUY, 1, symbol=1, **at), 0, w.clock.now()))
    assert [w.submit(BUY, 1, symbol=n, **at) for n in (0, 1, 2)] == ["NO_REF_PRICE"] * 3


def test_what_another_portfolio_holds_without_a_price_makes_the_book_unknown(world, wide):
    """A alone has the price of the order; A and B together do not, and in C neither does A."""
    w = world(limits(wide, book_max_leverage=2.0), price=None, portfolios=("main", "other"))
    at = {"type": LIMIT, "limit_px": 10}
    w.state(OrderAccepted("o", w.order(BUY, 1, portfolio="other", **at), 0, w.clock.now()))
    assert [w.submit(BUY, 1, symbol=n, **at) for n in (0, 2)] == ["ok", "NO_REF_PRICE"]
    w.state(OrderAccepted("o", w.order(BUY, 1, symbol=1, portfolio="other", **at), 0, w.clock.now()))
    assert w.submit(BUY, 1, **at) == "NO_REF_PRICE"


def test_symbols_without_a_sector_are_one_sector_and_without_any_sector_the_limit_is_off(world, wide):
    """In a run that knows no sectors there is nothing to compare."""
    w = world(limits(wide, max_sector=0.3), sectors=("Tech", "", ""))
    w.hold(200, symbol=1)
    assert w.submit(BUY, 101, symbol=2) == "MAX_SECTOR"
    assert "what has no sector could grow to 30100" in w.denial(BUY, 101, symbol=2).reason
    assert w.submit(BUY, 100, symbol=2) == "ok"
    w = world(limits(wide, max_sector=0.3))
    assert w.submit(BUY, 900) == "ok"


def test_the_book_is_all_portfolios_together(world, wide):
    """200,000 of equity: 35 % in one symbol are 700 shares, wherever they are; an opposite position counts against."""
    w = world(limits(wide, book_max_position=0.35), portfolios=("main", "other"))
    w.hold(400, portfolio="other")
    denied = w.denial(BUY, 301)  # 701 shares at 100 of 0.35 x 200,000
    assert (denied.code, denied.value, denied.limit) == ("BOOK_POSITION", "70100", "70000")
    assert w.submit(BUY, 300) == "ok"
    w = world(limits(wide, book_max_position=0.35), portfolios=("main", "other"))
    w.hold(-100, portfolio="other")
    assert w.submit(BUY, 801) == "BOOK_POSITION"
    assert w.submit(BUY, 800) == "ok"


def test_room_for_three_gives_three_orders_whatever_comes_at_once(world, wide):
    """50 signals, each for a tenth of what is left of the leverage; nothing has filled yet."""
    for changes in ({"max_leverage": 0.35}, {"max_positions": 3}, {"max_gross_value": to_fixed(35_000)}):
        w = world(limits(wide, **changes), symbols=20)
        answers = [w.submit(BUY, 100, symbol=n % 20) for n in range(50)]
        assert answers.count("ok") == 3 + 6 * ("max_positions" in changes)  # names counted: the same three again
        assert len({order.symbol for order, _, _ in w.venue.orders.values()}) == 3


# -- names that move together --------------------------------------------------------------------------------------


def history(w, moves):
    """Show sessions of returns, one list of them per symbol."""
    prices = [100.0] * len(moves)
    for step in zip(*moves, strict=True):
        prices = [px * (1 + move) for px, move in zip(prices, step, strict=True)]
        day(w, prices)
    return prices


def signals(n, seed=1):
    """Return alternating and random moves."""
    rng = random.Random(seed)  # noqa: S311 - moves, not secrets
    return [rng.choice((-0.01, 0.01)) for _ in range(n)]


@pytest.fixture
def twins(world, wide):
    """Return a daily world in which B moves as A does, C against it, D on its own; equity 100,000."""

    def build(sessions=60, **changes):
        w = world(limits(wide, **changes), symbols=4, daily=True, account="margin")
        a = signals(sessions + 1)  # a return is between two closes
        prices = history(w, [a, a, [-x for x in a], signals(sessions + 1, 2)])
        show(w, prices)
        w.px = prices
        return w

    return build


def test_an_entry_like_what_is_held_is_denied(twins):
    """B is A again: 1. C is its opposite, and a short of it is alike; on new and on replace."""
    w = twins(max_correlation=0.8)
    w.hold(10, px=w.px[0])
    w.mark(100_000)
    assert w.submit(BUY, 1, symbol=1) == "CORRELATION"
    assert w.submit(SELL, 1, symbol=1, client_order_id="short") == "ok"
    w.process(CancelOrder("short", "test"))
    assert w.submit(BUY, 1, symbol=2, client_order_id="against") == "ok"
    w.process(CancelOrder("against", "test"))
    assert w.submit(SELL, 1, symbol=2) == "CORRELATION"
    assert w.submit(BUY, 1) == "ok"  # the symbol itself is left out
    assert w.submit(BUY, 1, symbol=3, client_order_id="own", type=LIMIT, limit_px=w.px[3]) == "ok"
    denied = w.denial(BUY, 1, symbol=1)
    assert denied.limit == "0.8"
    assert "B is correlated" in denied.reason


def test_the_mean_is_weighted_by_value_and_signed(twins):
    """Held: A, correlated 1, and C, correlated -1 with B. Three parts of one: (3 - 1) / 4 = 0.5; nine: 0.8."""
    for shares, verdict in ((3, "ok"), (8.9, "ok"), (9, "CORRELATION"), (10, "CORRELATION")):
        w = twins(max_correlation=0.8, lot_size=1)
        w.hold(shares * 100 / w.px[0], px=w.px[0])
        w.hold(100 / w.px[2], symbol=2, px=w.px[2])
        w.mark(100_000)
        assert w.submit(BUY, 1, symbol=1) == verdict
    # A share is rounded to 1e-8, so that the mean at nine parts is 0.8 to nine digits.


@pytest.mark.parametrize(("sessions", "verdict"), [(39, "ok"), (40, "CORRELATION")])
def test_with_fewer_than_forty_common_sessions_nothing_is_known(twins, sessions, verdict):
    """Forty of sixty."""
    w = twins(sessions=sessions, max_correlation=0.8)
    w.hold(10, px=w.px[0])
    w.mark(100_000)
    assert w.submit(BUY, 1, symbol=1) == verdict


def test_what_works_counts_as_held_and_another_session_is_looked_at_anew(twins):
    """A is only being bought; the answer does not change by asking twice, and not by a restart."""
    w = twins(max_correlation=0.8)
    assert w.submit(BUY, 10) == "ok"
    for again in (lambda: None, w.split):
        again()
        assert [w.submit(BUY, 1, symbol=n) for n in (1, 3, 1)] == ["CORRELATION", "ok", "CORRELATION"]


def test_a_symbol_that_never_moves_is_like_nothing(world, wide):
    """Its correlation cannot be computed, which denies nothing and is no zero in the mean either."""
    w = world(limits(wide, max_correlation=0.8), daily=True)
    a = signals(60)
    prices = history(w, [a, a, [0.0] * 60])
    show(w, prices)
    w.hold(500, symbol=2, px=prices[2])
    assert w.submit(BUY, 1, symbol=1) == "ok"
    w.hold(1, px=prices[0])
    w.mark(100_000)
    assert w.submit(BUY, 1, symbol=1) == "CORRELATION"


@pytest.mark.parametrize(("over", "verdict"), [(-1, "ok"), (0, "ok"), (1, "CLUSTER")])
def test_names_that_move_together_have_a_share_of_equity_together(twins, over, verdict):
    """20,000 of A are held: of B up to 10,000 more make 30 %; D is none of them."""
    w = twins(correlation_shrink=0.7, max_cluster=0.3, lot_size=1)
    w.hold(20_000 / w.px[0], px=w.px[0])
    w.mark(100_000)
    a = w.risk.exposure.books["main"].holdings[0].qty * w.risk.prices.last(0)
    most = (to_fixed(0.3) * to_fixed(100_000) - a) // w.risk.prices.last(1)
    assert w.submit(BUY, (most + over) / SCALE, symbol=1) == verdict
    assert w.submit(BUY, 300, symbol=3) == "ok"


def test_a_name_alone_is_no_cluster_and_what_is_unlike_is_in_none(twins):
    """40 % in A beside C, which moves against it, are no cluster. D at 25 % does not count with A and B at 25 %."""
    w = twins(correlation_shrink=0.7, max_cluster=0.3, lot_size=1)
    w.hold(100 / w.px[2], symbol=2, px=w.px[2])
    w.mark(100_000)
    assert w.submit(BUY, 40_000 / w.px[0] // 1) == "ok"
    w = twins(correlation_shrink=0.7, max_cluster=0.3, lot_size=1)
    for symbol, value in ((0, 10_000), (3, 25_000)):
        w.hold(value / w.px[symbol], symbol=symbol, px=w.px[symbol])
    w.mark(100_000)
    assert w.submit(BUY, 15_000 / w.px[1] // 1, symbol=1) == "ok"


def test_what_is_exactly_as_alike_as_is_too_much_is_denied(twins):
    """B is A again: a mean of 1 against a limit of 1."""
    w = twins(max_correlation=1.0)
    w.hold(10, px=w.px[0])
    w.mark(100_000)
    assert (w.submit(BUY, 1, symbol=1), w.submit(BUY, 1, symbol=3)) == ("CORRELATION", "ok")


def test_value_at_risk_is_of_everything_with_the_entry(twins):
    """A alternates by 1 % either way: a day's 5 % quantile is a loss of 1 %; 1 % of equity are 100,000 of it."""
    w = twins(sessions=60, max_var=0.01)
    lots = math.floor(100_000 / w.px[0])
    assert w.submit(BUY, lots, client_order_id="all") == "ok"
    assert w.submit(BUY, 2) == "MAX_VAR"
    assert w.submit(BUY, 2, symbol=1) == "MAX_VAR"
    assert w.submit(SELL, 2, symbol=1, client_order_id="hedge") == "ok"
    w.process(CancelOrder("hedge", "test"))
    w.process(CancelOrder("all", "test"))
    assert w.submit(BUY, lots + 2) == "MAX_VAR"


def test_value_at_risk_that_is_not_known_counts_whole(twins):
    """With 59 observations nothing is known: entries of 1 % of equity in all, 10 shares of 100, and exits."""
    w = twins(sessions=59, max_var=0.01)
    w.mark(100_000)
    lots = math.floor(1_000 / w.px[0])
    denied = w.denial(BUY, lots + 1)
    assert denied.code == "UNKNOWN_VAR"
    assert denied.limit == "1000"
    assert denied.reason.startswith("the value at risk of A is not known, too few sessions of 60; counted whole")
    assert denied.reason.endswith("order less, or wait for more sessions")
    assert w.submit(BUY, lots) == "ok"
    assert w.submit(BUY, 1, symbol=1) == "UNKNOWN_VAR"


# -- sums ----------------------------------------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.just("order"), st.sampled_from([BUY, SELL]), st.integers(1, 60), st.integers(0, 2), st.booleans()),
        st.tuples(st.just("fill"), st.integers(0, 5), st.integers(1, 60)),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("replace"), st.integers(0, 5), st.integers(1, 90)),
        st.tuples(st.just("bar"), st.integers(50, 150)),
        st.tuples(st.just("split")),
        st.tuples(st.just("ask")),
    ),
    max_size=40,
)


def recount(w):
    """Return gross, up, down and sectors of the portfolio from its positions and working orders alone."""
    book = w.risk.exposure.books["main"]
    gross = up = down = 0
    sectors = {}
    for symbol in range(3):
        px = w.risk.prices.last(symbol)
        qty = book.holdings[symbol].qty if symbol in book.holdings else 0
        opens = [x for x in w.risk.exposure.working.values() if x.order.symbol == symbol and not x.order.reduce_only]
        high = qty + sum(x.leaves for x in opens if x.order.side == BUY)
        low = qty - sum(x.leaves for x in opens if x.order.side == SELL)
        gross += max(high, -low) * px
        up += high * px
        down += low * px
        sectors[SECTORS[symbol]] = sectors.get(SECTORS[symbol], 0) + max(high, -low) * px
    return gross, up, down, [sectors["Oil"], sectors["Tech"]]


@settings(max_examples=200, deadline=None)
@given(story=steps)
def test_the_kept_sums_equal_a_recount(world, wide, story):
    """To the last digit, through fills, replaces, cancels, prices and restarts, however seldom they are asked for."""
    w = world(limits(wide, max_leverage=50.0, max_sector=0.8), sectors=SECTORS, cash=10_000_000)
    for kind, *args in story:
        working = list(w.venue.orders)
        if kind == "order":
            side, qty, symbol, reduce_only = args
            w.process(w.order(side, qty, symbol=symbol, reduce_only=reduce_only))
        elif kind == "bar":
            w.bar([float(args[0]), 100.0, None])
        elif kind == "split":
            w.split()
        elif working and kind == "cancel":
            w.process(CancelOrder(working[args[0] % len(working)], "test"))
        elif working and kind == "replace":
            w.replace(working[args[0] % len(working)], args[1])
        elif working and kind == "fill":
            order_id = working[args[0] % len(working)]
            _, total, done = w.venue.orders[order_id]
            w.fill((order_id, min(args[1] * SCALE, total - done) / SCALE, 100))
        elif kind == "ask":
            book = w.risk.exposure.books["main"]
            w.risk._gate._crowding.refresh(book)
    book = w.risk.exposure.books["main"]
    w.risk._gate._crowding.refresh(book)
    sums = book.totals
    assert (sums.gross, sums.up, sums.down, sums.sectors) == recount(w)
