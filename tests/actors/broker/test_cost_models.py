"""The cost models beyond a fixed spread, a fixed slippage and an impact that passes: each figure derived on paper."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.broker.costs import CostModel
from actors.broker.spreads import time_factor
from actors.messages.market import CorporateAction
from actors.messages.orders import OrderAccepted
from actors.values.fixed import SCALE
from tests.actors.broker.desk import DAY, FREE, HOUR, PLAN, Desk, fills, fx, with_params

BUY, SELL = 1, -1
FLAT = (100.0, 100.0, 100.0, 100.0)


def accepted(events: list[Any]) -> OrderAccepted:
    """The acceptance among events."""
    [found] = [e for e in events if isinstance(e, OrderAccepted)]
    return found


# ------------------------------------------------------------------------------------------------- slippage by volume


@pytest.mark.parametrize(
    ("qty", "slippage"),
    [
        # 0.1 x (100 / 1,000)^2 = 0.001 of 100 = 0.10 a share, 10 for 100 shares.
        (100, 10.0),
        # Twice the quantity: four times the rate, 0.4 a share, 80 for 200 shares.
        (200, 80.0),
        # The whole bar: a tenth of the price, 10 a share.
        (1_000, 10_000.0),
    ],
)
def test_slippage_by_volume_grows_with_the_square_of_the_share(qty: int, slippage: float) -> None:
    """The fill's share of the bar's volume, squared, times the coefficient."""
    desk = Desk(with_params(slippage_volume_share=fx(0.1)))
    desk.bar(1, FLAT, volume=1_000)
    desk.route(BUY, qty)
    [fill] = fills(desk.bar(2, FLAT, volume=1_000))
    assert fill.slippage == fx(slippage)
    assert fill.last_px == fx(100 + slippage / qty)


def test_slippage_by_volume_comes_on_top_of_the_basis_points() -> None:
    """5 bps of 100 are 0.05, and 0.1 x 0.1^2 of 100 is 0.10: 0.15 a share, 15 for 100."""
    desk = Desk(with_params(slippage_rate=50_000, slippage_volume_share=fx(0.1)))
    desk.bar(1, FLAT, volume=1_000)
    desk.route(BUY, 100)
    [fill] = fills(desk.bar(2, FLAT, volume=1_000))
    assert (fill.slippage, fill.last_px) == (fx(15), fx(100.15))


def test_without_a_volume_there_is_no_slippage_by_volume() -> None:
    """What is not known is not charged; the run is stamped so elsewhere."""
    desk = Desk(with_params(slippage_volume_share=fx(0.1)))
    desk.bar(1, FLAT)
    desk.route(BUY, 100)
    [fill] = fills(desk.bar(2, FLAT))
    assert (fill.slippage, fill.last_px) == (0, fx(100))


def test_a_resting_limit_pays_no_slippage_by_volume() -> None:
    """It takes no liquidity."""
    desk = Desk(with_params(slippage_volume_share=fx(0.1)))
    desk.bar(1, FLAT, volume=1_000)
    desk.route(BUY, 100, "limit", 99.0)
    [fill] = fills(desk.bar(2, (100.0, 100.0, 98.0, 99.0), volume=1_000))
    assert (fill.slippage, fill.last_px, fill.liquidity) == (0, fx(99), "maker")


# ---------------------------------------------------------------------------------------------------- dynamic spread


@pytest.mark.parametrize(
    ("share", "factor"),
    # 4/5 + 3/5 (2x - 1)^2: x = 0 and 1 give 1.4; x = 1/4 gives 0.8 + 0.6 / 4 = 0.95; x = 1/2 gives 0.8.
    [(0, 1.4), (0.25, 0.95), (0.5, 0.8), (0.75, 0.95), (1, 1.4), (-0.5, 1.4), (1.5, 1.4)],
)
def test_the_spread_is_widest_at_both_ends_of_the_session(share: float, factor: float) -> None:
    """A parabola through the session; times outside count as its nearer end."""
    assert time_factor(int(DAY + 8 * HOUR * share), DAY, DAY + 8 * HOUR) == fx(factor)


def test_the_shape_of_the_day_is_one_on_average() -> None:
    """Its integral is 4/5 + 3/5 x 1/3 = 1: by Simpson's rule, exact for a parabola, (1.4 + 4 x 0.8 + 1.4) / 6 = 1."""
    ends, noon = time_factor(0, 0, 100), time_factor(50, 0, 100)
    assert (2 * ends + 4 * noon) / 6 == SCALE


def test_an_unknown_session_has_no_shape() -> None:
    """Before any session opened there is nothing to be early or late in."""
    assert time_factor(5, 0, 0) == SCALE


DYNAMIC = with_params(spread_rate=fx(0.01), spread_model="dynamic")
"""One percent of spread, so half of it is 0.50 at 100."""


def test_the_dynamic_spread_follows_the_hour_and_the_range() -> None:
    """Opened at hour 24, closed at 32; fills at the open of bars an hour wide.

    The first bar's range is 2 of 100, so short and long average are 0.02 and the factor of volatility is 1. An order
    fills at the open of the bar from 26 to 27: x = 2/8, factor 0.95: half spread 0.50 x 0.95 = 0.475.
    That bar's range is 4: short 0.02 + 0.02 / 5 = 0.024, long 0.02 + 0.02 / 60 = 0.0203333: factor 1.18032787.
    At the open of the bar from 28 to 29, x = 4/8, factor 0.8: 1 % x 0.8 x 1.18032787 is the rate 0.00944262, and
    half of it at 100 is 0.472131.
    """
    desk = Desk(DYNAMIC, daily=False)
    desk.open(1)
    desk.bar(26, (100, 101, 99, 100))
    desk.route(BUY, 1)
    [first] = fills(desk.bar(27, (100, 102, 98, 100)))
    assert first.spread == fx(0.475)
    desk.route(BUY, 1)
    [second] = fills(desk.bar(29, (100, 150, 50, 100)))
    # The bar's own range is folded behind its fills, so the 150 to 50 widen nothing here.
    assert second.spread == fx(0.472131)


def test_volatility_widens_the_spread_at_most_threefold() -> None:
    """Ranges of 0.0001 and 1: short 0.20008, long 0.01676, twelve times; held at 3 x 1.4 x 0.50 at the open."""
    desk = Desk(DYNAMIC, daily=False)
    desk.bar(2, (100, 100.01, 100, 100))
    desk.bar(3, (100, 150, 50, 100))
    desk.open(1)
    desk.route(BUY, 1)
    [fill] = fills(desk.bar(25, FLAT))
    assert fill.spread == fx(2.1)


def test_volatility_goes_with_the_name() -> None:
    """The wild symbol 0 of above becomes symbol 1, which was calm: 2.1; a name of which nothing is known takes none."""
    desk = Desk(DYNAMIC, daily=False, n=3)
    desk.bar(2, (100, 100.01, 100, 100), FLAT, None)
    desk.bar(3, (100, 150, 50, 100), FLAT, None)
    ts = round(24 * HOUR)
    for old, new in ((0, 1), (2, 1)):
        desk.put(CorporateAction(ts, 20240306, old, "rename", 0, renamed_to=new), ts)
    desk.open(1)
    desk.route(BUY, 1, symbol=0)
    desk.route(BUY, 1, symbol=1)
    found = {fill.symbol: fill.spread for fill in fills(desk.bar(25, FLAT, FLAT, None))}
    assert found == {0: fx(0.7), 1: fx(2.1)}  # the old name begins anew: 1 x 1.4 x 0.50


def test_calm_narrows_the_spread_at_most_by_half() -> None:
    """A range of 10, then twenty bars without any: 1/2 x 1.4 x 0.50 at the session's open."""
    desk = Desk(DYNAMIC, daily=False)
    desk.bar(1, (100, 105, 95, 100))
    for hour in range(2, 22):
        desk.bar(hour, FLAT)
    desk.open(1)
    desk.route(BUY, 1)
    [fill] = fills(desk.bar(25, FLAT))
    assert fill.spread == fx(0.35)


def test_closes_alone_have_no_range_to_widen_a_spread() -> None:
    """Data that never moved within a bar leave the factor at 1: 1.4 x 0.50 at the open of the session's bar."""
    desk = Desk(DYNAMIC)
    desk.bar(8, FLAT, width=8, close_only=True)
    desk.open(1)
    desk.route(BUY, 1)
    [fill] = fills(desk.bar(32, (104.0, 104.0, 104.0, 104.0), width=8, close_only=True))
    assert fill.last_px - fill.ref_px == fx(0.728)  # 104 x 0.005 x 1.4, at the close, where the factor is the same


def test_a_quote_outdoes_the_model() -> None:
    """99.9 to 100.1 at the bar's open is half a spread of 0.10, whatever hour it is."""
    desk = Desk(DYNAMIC, n=1, daily=False)
    desk.open(1)
    desk.bar(26, FLAT)
    desk.route(BUY, 1)
    quotes: dict[str, Any] = {"bid_open": [99.9], "ask_open": [100.1], "bid_close": [99.9], "ask_close": [100.1]}
    [fill] = fills(desk.bar(27, FLAT, **quotes))
    assert fill.spread == fx(0.1)


# -------------------------------------------------------------------------------------------------- permanent impact

LASTING = with_params(impact="linear", impact_linear_rate=fx(0.001), impact_permanent=fx(0.5))
"""100 shares at 100 are 10,000 of value: 0.1 % x 0.1 of 100 = 0.01 a share, of which 0.005 stays."""


def impact_of(desk: Desk, hour: float, side: int) -> float:
    """Impact a share of 100 shares that fill at 100 in the bar that ends at ``hour``."""
    desk.route(side, 100)
    [fill] = fills(desk.bar(hour, FLAT))
    assert fill.last_px == fx(100) + side * fill.impact // 100
    return fill.impact / 100 / SCALE


def test_part_of_the_impact_stays_for_later_fills_of_the_session() -> None:
    """Buys of 100: 0.01, then 0.01 + 0.005, then 0.01 + 0.010; what was found in the price does not add up again."""
    desk = Desk(LASTING, daily=False)
    desk.open(1)
    desk.bar(25, FLAT)
    assert [impact_of(desk, hour, BUY) for hour in (26, 27, 28)] == [0.01, 0.015, 0.02]


def test_the_other_side_works_it_off_and_gains_nothing() -> None:
    """Two buys leave 0.010; a sale pays its own 0.01 and takes 0.005 off; the next buy finds 0.005."""
    desk = Desk(LASTING, daily=False)
    desk.open(1)
    desk.bar(25, FLAT)
    assert [impact_of(desk, hour, BUY) for hour in (26, 27)] == [0.01, 0.015]
    assert impact_of(desk, 28, SELL) == 0.01
    assert impact_of(desk, 29, BUY) == 0.015


def test_the_next_session_begins_without_it() -> None:
    """What yesterday's fills pushed is in today's recorded prices or gone."""
    desk = Desk(LASTING, daily=False)
    desk.open(1)
    desk.bar(25, FLAT)
    assert [impact_of(desk, hour, BUY) for hour in (26, 27)] == [0.01, 0.015]
    desk.close(1)
    desk.open(2)
    assert impact_of(desk, 50, BUY) == 0.01


def test_it_holds_within_one_bar_and_for_its_own_symbol_alone() -> None:
    """Two orders at one open: the younger pays what the older left; another symbol pays nothing of it."""
    desk = Desk(LASTING, daily=False)
    desk.open(1)
    desk.bar(25, FLAT, FLAT)
    for symbol in (0, 0, 1):
        desk.route(BUY, 100, symbol=symbol)
    found = fills(desk.bar(26, FLAT, FLAT))
    assert [(f.symbol, f.impact) for f in found] == [(0, fx(1)), (0, fx(1.5)), (1, fx(1))]


def test_it_survives_a_restart() -> None:
    """A broker restored from a snapshot goes on as its twin."""
    desk = Desk(LASTING, daily=False)
    desk.open(1)
    desk.bar(25, FLAT)
    assert impact_of(desk, 26, BUY) == 0.01
    desk.split()
    assert impact_of(desk, 27, BUY) == 0.015


def test_the_dynamic_spread_survives_a_restart() -> None:
    """Averages and session are in the snapshot: 0.472131, as derived above."""
    desk = Desk(DYNAMIC, daily=False)
    desk.open(1)
    desk.bar(26, (100, 101, 99, 100))
    desk.bar(27, (100, 102, 98, 100))
    desk.split()
    desk.route(BUY, 1)
    [fill] = fills(desk.bar(29, FLAT))
    assert fill.spread == fx(0.472131)


def test_no_pressure_beats_the_limit() -> None:
    """A marketable limit of 100.012 leaves 0.012, of which the model would have taken 0.015."""
    desk = Desk(LASTING, daily=False)
    desk.open(1)
    desk.bar(25, FLAT)
    assert impact_of(desk, 26, BUY) == 0.01
    desk.route(BUY, 100, "limit", 100.012)
    [fill] = fills(desk.bar(27, FLAT))
    assert (fill.last_px, fill.impact) == (fx(100.012), fx(1.2))


# ------------------------------------------------------------------------------------------------ sums and estimates

money = st.integers(1, 10**13)
rate = st.integers(0, 10**7)


@given(
    ref=money,
    side=st.sampled_from((BUY, SELL)),
    qty=st.integers(1, 10**13),
    limit=st.none() | money,
    half=st.none() | st.integers(0, 10**10),
    adv=st.integers(0, 10**16),
    volume=st.integers(0, 10**15),
    spread=st.none() | rate,
    pressure=st.integers(0, 10**9),
    share=st.integers(0, SCALE),
    model=st.sampled_from(("none", "linear", "sqrt")),
)
def test_the_parts_are_the_price_exactly(
    ref: int,
    side: int,
    qty: int,
    limit: int | None,
    half: int | None,
    adv: int,
    volume: int,
    spread: int | None,
    pressure: int,
    share: int,
    model: str,
) -> None:
    """Spread, slippage and impact add up to quantity x the distance from the reference; no limit is broken."""
    if limit is not None and side * (limit - ref) < 0:
        limit = ref
    model_of = CostModel(with_params(PLAN, slippage_volume_share=share, impact=model))
    price = model_of.take(ref, side, qty, limit, half, adv, volume, spread, pressure)
    parts = price.spread + price.slippage + price.impact
    assert abs(parts * SCALE - qty * side * (price.px - ref)) <= SCALE // 2
    if qty % SCALE == 0:
        assert parts * SCALE == qty * side * (price.px - ref)
    assert side * (price.px - ref) >= 0
    assert price.px > 0
    assert limit is None or side * (limit - price.px) >= 0


def test_an_acceptance_says_what_the_plan_will_charge() -> None:
    """100 at 100: half spread 0.0075, slippage 0.05, impact 0.1 % x 0.1 = 0.01: 6.75; commission 0.1 % of 10,006.75."""
    desk = Desk(PLAN)
    desk.bar(1, FLAT)
    event = accepted(desk.route(BUY, 100))
    assert (event.ref_px, event.expected_cost) == (fx(100), fx(6.75 + 10.00675))
    [fill] = fills(desk.bar(2, FLAT))
    assert event.expected_cost == fill.spread + fill.slippage + fill.impact + fill.commission


def test_a_limit_that_will_rest_is_expected_to_pay_commission() -> None:
    """100 at 99 is 9,900: 9.90."""
    desk = Desk(PLAN)
    desk.bar(1, FLAT)
    assert accepted(desk.route(BUY, 100, "limit", 99)).expected_cost == fx(9.9)
    # At the market it is expected to take, and never beyond its limit: no room, so commission on 100 x 100 alone.
    assert accepted(desk.route(BUY, 100, "limit", 100)).expected_cost == fx(10)


def test_nothing_is_expected_where_no_price_is_known() -> None:
    """Before the first bar."""
    event = accepted(Desk(PLAN).route(BUY, 100))
    assert (event.ref_px, event.expected_cost) == (0, 0)


@pytest.mark.parametrize("params", [FREE, PLAN, LASTING, with_params(PLAN, spread_model="dynamic")])
def test_the_estimate_is_the_broker_s_own_model(params: Any) -> None:
    """``estimate`` adds up to what the acceptance says, for every schedule."""
    desk = Desk(params)
    desk.bar(1, FLAT)
    event = accepted(desk.route(BUY, 100))
    found = CostModel(params).estimate(BUY, fx(100), fx(100), 0)
    assert found.total == event.expected_cost
    assert found.permanent == (fx(0.5) if params is LASTING else 0)  # half of 0.01 a share
