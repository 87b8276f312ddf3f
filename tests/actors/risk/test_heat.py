"""Capital at risk down to the stops, of an entry and of everything."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages.orders import BUY, SELL, Bracket, CancelOrder, OrderTerms, OrderType
from actors.values.fixed import SCALE, to_fixed
from tests.actors.risk.feeding import show

LIMIT = OrderType.LIMIT
STOP = OrderType.STOP


def limits(base, **changes):
    """Return wide limits with some of them set."""
    return msgspec.structs.replace(base, allow_short=True, **changes)


def bracket(**prices):
    """Return terms with a bracket, prices in plain numbers; ``trail_percent`` in percent."""
    return OrderTerms(bracket=Bracket(**{name: to_fixed(value) for name, value in prices.items()}))


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        # 1 % of 100,000 are 1,000: at 100 a share without a stop that is 10 shares.
        ({}, 10),
        ({"terms": bracket(stop_px=98)}, 500),
        ({"terms": bracket(stop_px=98, take_profit_px=110)}, 500),
        ({"terms": bracket(take_profit_px=110)}, 10),
        ({"terms": bracket(trail_amount=4)}, 250),
        ({"terms": bracket(trail_percent=5)}, 200),
        ({"strategy": "s"}, 333),  # the portfolio's own stop is 3 %: 3 a share
        ({"strategy": "s", "exempt": True}, 10),
        ({"strategy": "s", "terms": bracket(stop_px=99)}, 1000),
        ({"type": LIMIT, "limit_px": 95, "terms": bracket(stop_px=90)}, 200),  # it cannot pay more than 95
        ({"type": LIMIT, "limit_px": 102, "terms": bracket(stop_px=98)}, 250),
    ],
)
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_an_entry_risks_at_most_a_share_of_equity_down_to_its_stop(world, wide, fields, most, over):
    """At, just under and just over, on new and on replace."""
    w = world(limits(wide, risk_per_trade=0.01), cash=100_000, stop_losses={"main": 0.03}, account="margin")
    verdict = "RISK_PER_TRADE" if over > 0 else "ok"
    assert w.submit(BUY, most + over, **fields) == verdict
    w.process(CancelOrder(f"c{w.n}", "test"))
    assert w.submit(BUY, 1, client_order_id="a", **fields) == "ok"
    assert w.replace("a", most + over) == verdict


def test_a_short_risks_what_lies_between_it_and_the_stop_above(world, wide):
    """Sold at 100 with a stop at 104: 4 a share, 250 shares."""
    w = world(limits(wide, risk_per_trade=0.01), account="margin")
    terms = bracket(stop_px=104)
    assert w.submit(SELL, 251, terms=terms) == "RISK_PER_TRADE"
    assert w.submit(SELL, 250, terms=terms) == "ok"


def test_the_denial_says_what_would_be_lost(world, wide):
    """11 shares without a stop."""
    denied = world(limits(wide, risk_per_trade=0.01)).denial(BUY, 11)
    assert (denied.code, denied.value, denied.limit) == ("RISK_PER_TRADE", "1100", "1000")


@pytest.fixture
def hot(world, wide):
    """Return a world that may risk 2 % of 100,000, 2,000, with 100 A held, stopped at 95: 500 of it."""

    def build(stop=True, **changes):
        w = world(limits(wide, max_heat=0.02, **changes), account="margin")
        w.hold(100)
        if stop:
            assert w.submit(SELL, 100, type=STOP, stop_px=95, reduce_only=True, client_order_id="stop") == "ok"
        return w

    return build


@pytest.mark.parametrize(("qty", "verdict"), [(149, "ok"), (150, "ok"), (151, "MAX_HEAT")])
def test_everything_together_risks_at_most_a_share_of_equity(hot, qty, verdict):
    """1,500 are left: at 10 a share 150 shares, on new and on replace, before and behind a restart."""
    w = hot()
    terms = bracket(stop_px=90)
    assert w.submit(BUY, qty, symbol=1, terms=terms) == verdict
    w.process(CancelOrder(f"c{w.n}", "test"))
    assert w.submit(BUY, 1, symbol=1, terms=terms, client_order_id="a") == "ok"
    w.split()
    assert w.replace("a", qty) == verdict


def test_what_works_already_counts(hot):
    """100 of the 150 are being bought: 50 are left."""
    w = hot()
    terms = bracket(stop_px=90)
    assert w.submit(BUY, 100, symbol=1, terms=terms) == "ok"
    assert w.submit(BUY, 51, symbol=2, terms=terms) == "MAX_HEAT"
    assert w.submit(BUY, 50, symbol=2, terms=terms) == "ok"


def test_what_no_stop_covers_is_at_risk_whole(hot):
    """100 shares at 100 without a stop are 10,000: nothing more is entered; what is held may be closed or stopped."""
    w = hot(stop=False)
    assert w.submit(BUY, 1, symbol=1, terms=bracket(stop_px=99)) == "MAX_HEAT"
    assert w.submit(SELL, 95, type=STOP, stop_px=99, reduce_only=True, client_order_id="most") == "ok"
    # 95 x 1 + 5 x 100 = 595, so 1,405 are left.
    assert w.submit(BUY, 1406, symbol=1, terms=bracket(stop_px=99)) == "MAX_HEAT"
    assert w.submit(BUY, 1405, symbol=1, terms=bracket(stop_px=99)) == "ok"
    assert w.submit(SELL, 100) == "ok"


def test_the_nearest_stops_come_first_and_cover_no_more_than_is_held(hot):
    """60 at 95 and 60 at 90: 60 x 5 + 40 x 10 = 700."""
    w = hot(stop=False)
    for px, name in ((90, "far"), (95, "near")):
        assert w.submit(SELL, 60, type=STOP, stop_px=px, reduce_only=True, client_order_id=name) == "ok"
    assert w.submit(BUY, 1301, symbol=1, terms=bracket(stop_px=99)) == "MAX_HEAT"
    assert w.submit(BUY, 1300, symbol=1, terms=bracket(stop_px=99)) == "ok"


def test_risk_is_measured_from_the_last_price_and_a_stop_beyond_it_risks_nothing(hot):
    """At 110 the stop at 95 is 15 away; one moved to 111 would be hit at once."""
    w = hot()
    show(w, [110.0, 100.0, 100.0])
    assert w.submit(BUY, 501, symbol=1, terms=bracket(stop_px=99)) == "MAX_HEAT"
    assert w.submit(BUY, 500, symbol=1, terms=bracket(stop_px=99), client_order_id="b") == "ok"
    w.process(CancelOrder("b", "test"))
    assert w.replace("stop", stop_px=111) == "ok"
    assert w.submit(BUY, 1001, symbol=1, terms=bracket(stop_px=98)) == "MAX_HEAT"
    assert w.submit(BUY, 1000, symbol=1, terms=bracket(stop_px=98)) == "ok"


def test_a_trailing_stop_is_at_most_its_distance_away(hot):
    """4 % of 100 are 4 a share: 400."""
    w = hot(stop=False)
    trail = OrderTerms(trail_percent=4 * SCALE)
    assert w.submit(SELL, 100, type=OrderType.TRAILING_STOP, terms=trail, reduce_only=True) == "ok"
    assert w.submit(BUY, 1601, symbol=1, terms=bracket(stop_px=99)) == "MAX_HEAT"
    assert w.submit(BUY, 1600, symbol=1, terms=bracket(stop_px=99)) == "ok"


def test_a_stop_that_has_ended_covers_nothing_any_more(hot):
    """Cancelled, or filled with the position."""
    w = hot()
    assert w.submit(BUY, 1, symbol=1, terms=bracket(stop_px=99), client_order_id="x") == "ok"
    w.process(CancelOrder("x", "test"))
    w.process(CancelOrder("stop", "test"))
    assert w.submit(BUY, 1, symbol=1, terms=bracket(stop_px=99)) == "MAX_HEAT"
    w = hot()
    w.fill(("stop", 100, 95))
    assert w.submit(BUY, 1001, symbol=1, terms=bracket(stop_px=98)) == "MAX_HEAT"
    assert w.submit(BUY, 1000, symbol=1, terms=bracket(stop_px=98)) == "ok"


def test_risk_that_is_not_known_lets_nothing_in(world, wide):
    """A is being bought at market and has no price yet."""
    w = world(limits(wide, max_heat=0.5), price=None)
    assert w.submit(BUY, 1) == "ok"
    show(w, [100.0], ids=[1])
    assert w.submit(BUY, 1, symbol=1, terms=bracket(stop_px=99)) == "NO_REF_PRICE"
    show(w, [100.0, 100.0], ids=[0, 1])
    assert w.submit(BUY, 1, symbol=1, terms=bracket(stop_px=99)) == "ok"


@pytest.mark.parametrize("equity", [0, -100])
def test_without_equity_nothing_may_be_risked(world, wide, equity):
    """Not even a share with a stop a cent away."""
    w = world(limits(wide, risk_per_trade=0.5))
    w.mark(equity)
    assert w.submit(BUY, 1, terms=bracket(stop_px=99.99)) == "RISK_PER_TRADE"


@pytest.mark.parametrize(("qty", "verdict"), [(200, "ok"), (201, "MAX_HEAT")])
def test_a_flip_risks_what_the_larger_of_its_sides_risks(hot, qty, verdict):
    """100 held, stopped at 95, are sold; 200 sold short at 100 with a stop at 110 are 2,000: both never are at once."""
    w = hot()
    assert w.submit(SELL, 100, client_order_id="close", reduce_only=True) == "ok"
    assert w.submit(SELL, qty, terms=bracket(stop_px=110), client_order_id="open") == verdict
    if verdict == "ok":
        assert w.risk.heat.of_portfolio("main") == 2_000 * SCALE * SCALE
        assert w.submit(SELL, 1, terms=bracket(stop_px=101)) == "MAX_HEAT"
        assert w.submit(BUY, 1, symbol=1, terms=bracket(stop_px=99)) == "MAX_HEAT"
        w.split()
        assert w.replace("open", 200) == "ok"
        assert w.replace("open", 201) == "MAX_HEAT"


def test_a_flip_whose_new_side_risks_less_risks_what_is_held(hot):
    """500 at risk while 20 short at 10 a share would be 200: 1,500 are left for others, as before."""
    w = hot()
    assert w.submit(SELL, 100, client_order_id="close", reduce_only=True) == "ok"
    assert w.submit(SELL, 20, terms=bracket(stop_px=110), client_order_id="open") == "ok"
    assert w.risk.heat.of_portfolio("main") == 500 * SCALE * SCALE
    assert w.submit(BUY, 151, symbol=1, terms=bracket(stop_px=90)) == "MAX_HEAT"
    assert w.submit(BUY, 150, symbol=1, terms=bracket(stop_px=90)) == "ok"
    w.fill(("close", 100, 100))
    assert w.risk.heat.of_portfolio("main") == (200 + 1_500) * SCALE * SCALE


@pytest.mark.parametrize("sold", [0, 60, 100])
@pytest.mark.parametrize(("qty", "verdict"), [(150, "ok"), (151, "MAX_HEAT")])
def test_more_of_what_is_held_risks_its_own_share_whatever_sales_rest_beside_it(hot, sold, qty, verdict):
    """1,500 are left: at 10 a share 150 shares of A, on new and on replace; sales of what is held open nothing."""
    w = hot()
    if sold:
        assert w.submit(SELL, sold, type=LIMIT, limit_px=105) == "ok"
    terms = {"type": LIMIT, "limit_px": 100, "terms": bracket(stop_px=90)}
    assert w.submit(BUY, qty, **terms) == verdict
    w.process(CancelOrder(f"c{w.n}", "test"))
    assert w.submit(BUY, 1, client_order_id="a", **terms) == "ok"
    w.split()
    assert w.replace("a", qty) == verdict
    assert w.replace("a", 150) == "ok"
    assert w.risk.heat.of_portfolio("main") == 2_000 * SCALE * SCALE
    assert w.submit(BUY, 1, **terms) == "MAX_HEAT"


def test_orders_that_close_open_nothing_however_many_of_a_group_do(hot):
    """A limit and a stop of one group each sell the 100 that are held: one of them fills."""
    w = hot(stop=False)
    group = OrderTerms(oco_group="g")
    assert w.submit(SELL, 100, type=LIMIT, limit_px=105, terms=group) == "ok"
    assert w.submit(SELL, 100, type=STOP, stop_px=95, terms=group) == "ok"
    assert w.risk.heat.of_portfolio("main") == 500 * SCALE * SCALE
