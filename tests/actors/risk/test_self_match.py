"""No order of ours trades with another of ours."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.orders import BUY, SELL, CancelOrder, OrderRestated, OrderTriggered, OrderType, TimeInForce
from actors.values.fixed import to_fixed

LIMIT = OrderType.LIMIT


@pytest.fixture
def pair(world, wide):
    """Return a world with two portfolios, each holding 100 A."""

    def build(**changes):
        w = world(
            msgspec.structs.replace(wide, self_match_prevention=True, allow_short=True, **changes),
            portfolios=("main", "other"),
        )
        w.hold(100)
        w.hold(100, portfolio="other")
        return w

    return build


@pytest.mark.parametrize(
    ("side", "resting", "px", "verdict"),
    [
        (BUY, 101, 100.99, "ok"),
        (BUY, 101, 101, "SELF_MATCH"),
        (BUY, 101, 101.01, "SELF_MATCH"),
        (SELL, 99, 99.01, "ok"),
        (SELL, 99, 99, "SELF_MATCH"),
        (SELL, 99, 98.99, "SELF_MATCH"),
    ],
)
def test_opposite_limits_of_two_strategies_never_cross(pair, side, resting, px, verdict):
    """Of one strategy in one portfolio against another's in another; on new and on replace, also behind a restart."""
    w = pair()
    assert w.submit(-side, 10, type=LIMIT, limit_px=resting, strategy="s", portfolio="other") == "ok"
    assert w.submit(side, 10, type=LIMIT, limit_px=px, strategy="t") == verdict
    assert w.submit(side, 10, type=LIMIT, limit_px=100, strategy="t", decision=1, client_order_id="a") == "ok"
    w.split()
    assert w.replace("a", limit_px=px) == verdict


def test_the_denial_names_the_order_it_would_meet(pair):
    """The best one of those that rest."""
    w = pair()
    for px in (103, 102, 104):
        assert w.submit(SELL, 10, type=LIMIT, limit_px=px, client_order_id=f"at{px}") == "ok"
    denied = w.denial(BUY, 10, type=LIMIT, limit_px=110, portfolio="other")
    assert (denied.code, denied.value, denied.limit) == ("SELF_MATCH", "110", "102")
    assert "our own sale at102 at 102" in denied.reason
    w.process(CancelOrder("at102", "test"))
    assert "at103" in w.denial(BUY, 10, type=LIMIT, limit_px=110).reason
    w.fill(("at103", 10, 103))
    assert w.replace("at104", limit_px=120) == "ok"
    assert w.submit(BUY, 10, type=LIMIT, limit_px=110) == "ok"


@pytest.mark.parametrize(("resting", "verdict"), [(99.99, "SELF_MATCH"), (100, "SELF_MATCH"), (100.01, "ok")])
def test_an_entry_at_market_meets_what_could_trade_where_the_market_is(pair, resting, verdict):
    """The last price is 100."""
    w = pair()
    assert w.submit(SELL, 10, type=LIMIT, limit_px=resting) == "ok"
    assert w.submit(BUY, 10, portfolio="other") == verdict
    assert w.submit(BUY, 10, portfolio="other", tif=TimeInForce.CLS) == "ok"  # an auction is not now
    assert w.submit(BUY, 10, portfolio="other", type=OrderType.STOP, stop_px=105) == "ok"  # nor is a trigger


def test_an_exit_at_market_and_a_reduce_only_one_pass(pair):
    """A position must get out, even into our own bid."""
    w = pair()
    assert w.submit(BUY, 10, type=LIMIT, limit_px=105, portfolio="other") == "ok"
    assert w.submit(SELL, 100) == "ok"
    assert w.submit(SELL, 10, type=LIMIT, limit_px=100, reduce_only=True) == "ok"


def test_what_waits_for_a_trigger_rests_from_its_trigger_on(pair):
    """A stop-limit to sell at 101 is nobody's counterpart before; the mark survives a restart."""
    w = pair()
    stop = {"type": OrderType.STOP_LIMIT, "stop_px": 99, "limit_px": 101}
    assert w.submit(SELL, 10, client_order_id="stop", **stop) == "ok"
    assert w.submit(BUY, 1, type=LIMIT, limit_px=102, portfolio="other") == "ok"
    w.state(OrderTriggered("o", "stop", 0))
    assert w.submit(BUY, 1, type=LIMIT, limit_px=102, portfolio="other") == "SELF_MATCH"
    w.split()
    assert w.submit(BUY, 1, type=LIMIT, limit_px=102, portfolio="other") == "SELF_MATCH"


@pytest.mark.parametrize("again", ["", "split"])
def test_behind_a_split_our_orders_rest_at_their_new_prices(pair, again):
    """A sale at 110 is one at 55 behind two for one: what buys at 54.99 does not meet it, what buys at 55 does."""
    w = pair()
    assert w.submit(SELL, 10, client_order_id="a", type=LIMIT, limit_px=110) == "ok"
    w.state(OrderRestated("o", "a", 0, to_fixed(20), 0, to_fixed(55), None, None, "split"))
    if again:
        getattr(w, again)()
    for px, verdict in ((54.99, "ok"), (55, "SELF_MATCH")):
        assert w.submit(BUY, 1, type=LIMIT, limit_px=px, portfolio="other") == verdict


def test_it_can_be_switched_off_and_on_while_orders_rest(pair):
    """What rests when it is switched on is taken in."""
    w = pair()
    off = msgspec.structs.replace(w.limits, self_match_prevention=False)
    assert w.submit(SELL, 10, type=LIMIT, limit_px=101) == "ok"
    w.risk._adopt(off)
    assert w.submit(BUY, 1, type=LIMIT, limit_px=101, portfolio="other") == "ok"
    assert w.submit(SELL, 10, type=LIMIT, limit_px=104) == "ok"
    w.process(CancelOrder("c3", "test"))  # the sale at 101
    w.risk._adopt(w.limits)
    assert w.submit(BUY, 1, type=LIMIT, limit_px=103, portfolio="other") == "ok"
    assert w.submit(BUY, 1, type=LIMIT, limit_px=104, portfolio="other") == "SELF_MATCH"


@settings(max_examples=150, deadline=None)
@given(
    story=st.lists(
        st.tuples(st.sampled_from((BUY, SELL)), st.integers(95, 105), st.integers(0, 4), st.booleans()), max_size=30
    )
)
def test_whatever_comes_and_goes_no_two_of_ours_cross(world, wide, story):
    """Every resting buy is below every resting sale, and an order is denied only where it would cross one."""
    w = world(msgspec.structs.replace(wide, self_match_prevention=True, allow_short=True), cash=10_000_000)
    for side, px, act, other in story:
        live = {name: w.risk.exposure.working[name] for name in w.venue.orders}
        if act == 0 and live:
            w.process(CancelOrder(next(iter(live)), "test"))
            continue
        if act == 1 and live:
            name, working = next(reversed(live.items()))
            mine = working.order.side
            verdict = w.replace(name, limit_px=px)
        else:
            name, mine = "", side
            verdict = w.submit(side, 1, type=LIMIT, limit_px=px, symbol=0, strategy="t" if other else "")
        against = [x.limit_px for n, x in live.items() if x.order.side == -mine and n != name]
        crosses = any(mine * (px * 10**8 - resting) >= 0 for resting in against)
        assert verdict == ("SELF_MATCH" if crosses else "ok")
        rows = [w.risk.exposure.working[name] for name in w.venue.orders]
        bids = [x.limit_px for x in rows if x.order.side == BUY]
        asks = [x.limit_px for x in rows if x.order.side == SELL]
        assert not bids or not asks or max(bids) < min(asks)
