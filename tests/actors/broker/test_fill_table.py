"""Fills worked out on paper: order type x shape of the bar x side, without costs and under the plan.

Everywhere 100 shares, last price 100 before the bar, volume and ADV unknown. Costs of the plan on liquidity taken at a
reference R: half spread 0.75 bps, slippage 5 bps, and, as ADV is unknown, 0.1 % per $100,000 of the fill's value,
which for 100 shares is R x 1e-6 of R. So a buy pays R x (1.000575 + R x 1e-6), a sale gets R x (0.999425 - R x 1e-6).
"""

from __future__ import annotations

from typing import Final

import pytest

from actors.broker.matching import Bar, match_limit, match_market, match_stop
from actors.broker.path import Path
from tests.actors.broker.desk import FREE, PLAN, Desk, fills, fx, with_params

BUY, SELL = 1, -1

# (order, side, price, bar, price and source without costs, price and liquidity under the plan); None = no fill
Case = tuple[
    str, int, float | None, tuple[float, float, float, float], tuple[float, str] | None, tuple[float, str] | None
]
TABLE: Final[dict[str, Case]] = {
    # A market order meets the open. 100 x (1.000575 + 0.0001) = 100.0675, and 100 x (0.999425 - 0.0001) = 99.9325.
    "market buy": ("market", BUY, None, (100, 101, 99, 100.5), (100, "open"), (100.0675, "taker")),
    "market sell": ("market", SELL, None, (100, 101, 99, 100.5), (100, "open"), (99.9325, "taker")),
    # It takes whatever the open is: 104 x (1.000575 + 0.000104) = 104.070616; 96 x (0.999425 - 0.000096) = 95.935584.
    "market buy, gap up": ("market", BUY, None, (104, 105, 103, 104), (104, "open"), (104.070616, "taker")),
    "market sell, gap down": ("market", SELL, None, (96, 97, 95, 96), (96, "open"), (95.935584, "taker")),
    # A buy limit of 99.5 below the market rests; it pays its price and nothing else once the low is beyond it.
    "limit buy, bar inside": ("limit", BUY, 99.5, (100, 101, 99.6, 100), None, None),
    "limit buy, traded through": ("limit", BUY, 99.5, (100, 101, 99, 100), (99.5, "intrabar"), (99.5, "maker")),
    "limit buy, exact touch": ("limit", BUY, 99.5, (100, 101, 99.5, 100), (99.5, "intrabar"), None),
    "limit buy, gap down": ("limit", BUY, 99.5, (98, 99, 97, 98), (98, "open"), (98, "maker")),
    "limit buy, gap up": ("limit", BUY, 99.5, (104, 105, 103, 104), None, None),
    "limit buy, open on it": ("limit", BUY, 99.5, (99.5, 101, 99.5, 100), (99.5, "open"), None),
    "limit buy, open on it, then through": ("limit", BUY, 99.5, (99.5, 101, 99, 100), (99.5, "open"), (99.5, "maker")),
    # The same mirrored: a sell limit of 100.5.
    "limit sell, bar inside": ("limit", SELL, 100.5, (100, 100.4, 99, 100), None, None),
    "limit sell, traded through": ("limit", SELL, 100.5, (100, 101, 99, 100), (100.5, "intrabar"), (100.5, "maker")),
    "limit sell, exact touch": ("limit", SELL, 100.5, (100, 100.5, 99, 100), (100.5, "intrabar"), None),
    "limit sell, gap up": ("limit", SELL, 100.5, (103, 104, 102, 103), (103, "open"), (103, "maker")),
    "limit sell, gap down": ("limit", SELL, 100.5, (96, 97, 95, 96), None, None),
    # Limits at or beyond the last price take liquidity at the open: costs as a market order, but never beyond the
    # limit. 100.0675 fits under 101 and is cut to 100.05 by a limit of 100.05; 99.9325 is cut to 99.95.
    "limit buy, marketable": ("limit", BUY, 101, (100, 102, 99, 100), (100, "open"), (100.0675, "taker")),
    "limit buy, marketable, tight": ("limit", BUY, 100.05, (100, 102, 99, 100), (100, "open"), (100.05, "taker")),
    "limit sell, marketable, tight": ("limit", SELL, 99.95, (100, 102, 99, 100), (100, "open"), (99.95, "taker")),
    # Marketable when it came, but the open ran away: it rests, and is met inside the bar at its price.
    "limit buy, marketable, gap up": ("limit", BUY, 101, (103, 104, 100, 102), (101, "intrabar"), (101, "maker")),
    # A buy stop of 101: touched is triggered. 101 x (1.000575 + 0.000101) = 101.068276.
    "stop buy, bar inside": ("stop", BUY, 101, (100, 100.9, 99, 100), None, None),
    "stop buy, traded through": ("stop", BUY, 101, (100, 102, 99, 100), (101, "intrabar"), (101.068276, "taker")),
    "stop buy, exact touch": ("stop", BUY, 101, (100, 101, 99, 100), (101, "intrabar"), (101.068276, "taker")),
    # The bar opens beyond it: the worse of price and open. 103 x (1.000575 + 0.000103) = 103.069834.
    "stop buy, gap up": ("stop", BUY, 101, (103, 104, 102, 103), (103, "open"), (103.069834, "taker")),
    "stop buy, gap down": ("stop", BUY, 101, (96, 97, 95, 96), None, None),
    "stop buy, open on it": ("stop", BUY, 101, (101, 102, 100, 101), (101, "open"), (101.068276, "taker")),
    # A sell stop of 99: 99 x (0.999425 - 0.000099) = 98.933274; gap: 97 x (0.999425 - 0.000097) = 96.934816.
    "stop sell, bar inside": ("stop", SELL, 99, (100, 101, 99.1, 100), None, None),
    "stop sell, traded through": ("stop", SELL, 99, (100, 101, 98, 100), (99, "intrabar"), (98.933274, "taker")),
    "stop sell, exact touch": ("stop", SELL, 99, (100, 101, 99, 100), (99, "intrabar"), (98.933274, "taker")),
    "stop sell, gap down": ("stop", SELL, 99, (97, 98, 96, 97), (97, "open"), (96.934816, "taker")),
    "stop sell, gap up": ("stop", SELL, 99, (104, 105, 103, 104), None, None),
}


def path_time(level: int, bar: Bar, *, rising: bool, position: int) -> float:
    """Return when a bar's path first comes to a level inside it."""
    path = Path(bar, position)
    leg = path.reach(level, 1, rising=rising, beyond=False)
    assert leg is not None
    return path.time(leg, level)


def run(case: Case, profile: str):
    """Let the case's order rest after one quiet bar, then feed the case's bar; return the fill or None."""
    kind, side, px, bar, _, _ = case
    params = with_params(FREE if profile == "frictionless" else PLAN, allow_short=True, commission_rate=0)
    desk = Desk(params, n=1)
    desk.bar(1, (100, 100, 100, 100))
    desk.route(side, 100, kind, px)
    found = fills(desk.bar(2, bar))
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("name", TABLE)
def test_without_costs_an_order_gets_the_price_of_the_table(name):
    """Price and source as derived; a touch is enough; nothing is charged."""
    case = TABLE[name]
    fill = run(case, "frictionless")
    if case[4] is None:
        assert fill is None
        return
    assert fill is not None
    assert (fill.last_px, fill.ref_px, fill.px_source) == (fx(case[4][0]), fx(case[4][0]), case[4][1])
    assert (fill.spread, fill.slippage, fill.impact, fill.commission) == (0, 0, 0, 0)
    assert (fill.last_qty, fill.leaves_qty, fill.avg_px) == (fx(100), 0, fill.last_px)


@pytest.mark.parametrize("name", TABLE)
def test_under_the_plan_an_order_gets_the_price_of_the_table(name):
    """Price and liquidity as derived; limits need a trade through; the parts sum to the difference."""
    case = TABLE[name]
    fill = run(case, "plan")
    if case[5] is None:
        assert fill is None
        return
    assert fill is not None
    assert (fill.last_px, fill.liquidity) == (fx(case[5][0]), case[5][1])
    assert fill.spread + fill.slippage + fill.impact == 100 * fill.side * (fill.last_px - fill.ref_px)
    if fill.liquidity == "maker":
        assert fill.last_px == fill.ref_px


def test_parts_of_a_taken_price_are_those_of_the_schedule():
    """100 shares at 100: half spread 0.0075, slippage 0.05, impact 0.01 a share."""
    fill = run(TABLE["market buy"], "plan")
    assert fill is not None
    assert (fill.spread, fill.slippage, fill.impact) == (fx(0.75), fx(5), fx(1))


def test_a_tight_limit_cuts_impact_first_then_slippage():
    """Of 0.0675 a share only 0.05 fit: the spread stays whole, slippage is 0.0425, impact nothing."""
    fill = run(TABLE["limit buy, marketable, tight"], "plan")
    assert fill is not None
    assert (fill.spread, fill.slippage, fill.impact) == (fx(0.75), fx(4.25), 0)


@pytest.mark.parametrize(
    ("high", "low", "position", "first"),
    [
        (101, 97, 1, "high"),  # 1 up, 3 down: the high is nearer
        (104, 99, 1, "low"),
        (102, 98, 1, "low"),  # a tie hurts a long at the low
        (102, 98, -1, "high"),
    ],
)
def test_the_path_goes_to_the_nearer_extreme_first_and_ties_go_against_the_position(high, low, position, first):
    """Whatever lies towards the first extreme is met before whatever lies towards the other."""
    bar = Bar(fx(100), fx(high), fx(low), fx(100))
    up = path_time(fx(100.5), bar, rising=True, position=position)
    down = path_time(fx(99.5), bar, rising=False, position=position)
    assert (up < down) == (first == "high")
    assert 1 < min(up, down) < 2 < max(up, down) < 3


def test_the_path_is_walked_at_an_even_pace():
    """Open 100, high 101, low 97: 100.25 after a quarter of leg one; 98 after three quarters of leg two."""
    bar = Bar(fx(100), fx(101), fx(97), fx(100))
    assert path_time(fx(100.25), bar, rising=True, position=1) == 1.25
    assert path_time(fx(98), bar, rising=False, position=1) == 2.75


def test_close_only_bars_are_seen_at_their_close_and_nowhere_else():
    """One price: market, stop and limit all trade there, the source says so."""
    bar = Bar(fx(98), fx(98), fx(98), fx(98), close_only=True)
    assert match_market(bar.open, close_only=True).source == "close"
    stop = match_stop(SELL, fx(99), bar)
    limit = match_limit(BUY, fx(99), bar, on_touch=False, taking=False)
    assert stop is not None
    assert limit is not None
    assert (stop.ref, stop.source) == (limit.ref, limit.source) == (fx(98), "close")
    assert match_limit(BUY, fx(97), bar, on_touch=True, taking=False) is None
