"""What fills cost and what cash allows (semantics sections 2 and 3), to 1e-8, computed here with ``Decimal`` alone."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from pathlib import Path

import pytest

from oracle.sheet import DAYS, Run, daily, dec, exact, play, submit

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = DAYS
BPS = Decimal("0.0001")
FLAT = (100, 100, 100, 100)
NO_CAPS = ("risk.max_position=0", "risk.max_order_value=0", "risk.max_order_fraction=0")
PRICE_IS_OPEN = ("broker.slippage_bps=0", "broker.spread_bps=0", "broker.impact=none")


def plan_price(ref: Decimal, side: int, qty: int) -> Decimal:
    """Half of 1.5 bps, 5 bps slippage, and 0.1 % of impact per $100,000: ADV is unknown without volumes."""
    half, slip = exact(ref * Decimal("0.75") * BPS), exact(ref * 5 * BPS)
    impact = exact(ref * Decimal("0.001") * (ref * qty / 100_000))
    return ref + side * (half + slip + impact)


def ceil_cent(value: Decimal) -> Decimal:
    """Round up to a cent."""
    return value.quantize(Decimal("0.01"), ROUND_CEILING)


def total_fee(run: Run, name: str) -> Decimal:
    """Return what an order paid in fees."""
    return sum((Decimal(f["fee"]) for f in run.fills(name)), Decimal(0))


def test_plan_round_trip(tmp_path: Path) -> None:
    """Price with every part, 0.1 % commission a side, cash, realised profit and the trade, to the last digit."""
    script = [submit(TUESDAY, "b", "buy", 150), submit(WEDNESDAY, "s", "sell", 60)]
    run = play(tmp_path, daily(FLAT, (103, 110, 101, 108), (108.5, 109, 90, 95)), script, "plan")
    bought, sold = plan_price(dec(103), 1, 150), plan_price(Decimal("108.5"), -1, 60)
    assert bought == Decimal(103) + Decimal("0.0592250") + Decimal("0.0159135")
    fee_in, fee_out = exact(150 * bought * Decimal("0.001")), exact(60 * sold * Decimal("0.001"))
    [b], [s] = run.fills("b"), run.fills("s")
    assert [Decimal(f["price"]) for f in (b, s)] == [bought, sold]
    assert [Decimal(f["fee"]) for f in (b, s)] == [fee_in, fee_out]
    assert (b["liquidity"], b["px_source"]) == ("taker", "open")
    cash = 100_000 - 150 * bought - fee_in + 60 * sold - fee_out
    assert Decimal(run.table("equity")[-1]["cash"]) == cash
    assert Decimal(run.table("equity")[-1]["equity"]) == cash + 90 * 95
    [position] = run.table("positions")
    assert (position["qty"], position["market_px"]) == ("90", "95")
    assert Decimal(position["avg_px"]) == bought  # average cost, without fees
    assert Decimal(position["unrealized_pnl"]) == 90 * (95 - bought)
    assert Decimal(position["realized_pnl"]) == 60 * (sold - bought)
    [trade] = run.table("trades")
    share = exact(fee_in * 60 / 150)
    assert Decimal(trade["fees"]) == share + fee_out
    assert Decimal(trade["pnl"]) == 60 * (sold - bought) - share - fee_out
    assert abs(Decimal(trade["return"]) - Decimal(trade["pnl"]) / (60 * bought)) < Decimal("1e-8")


def test_a_resting_limit_pays_commission_only(tmp_path: Path) -> None:
    """No spread, slippage or impact on what others come to."""
    script = [submit(TUESDAY, "x", "buy", 10, type="limit", limit_px=97)]
    run = play(tmp_path, daily(FLAT, (100, 101, 95, 96)), script, "plan")
    [fill] = run.fills("x")
    assert (fill["price"], fill["fee"], fill["liquidity"]) == ("97", "0.97", "maker")


def test_no_fill_is_worse_than_the_limit(tmp_path: Path) -> None:
    """A limit just above the open leaves less room than the costs take."""
    script = [submit(TUESDAY, "x", "buy", 10, type="limit", limit_px=100.01)]
    run = play(tmp_path, daily(FLAT, (100, 101, 95, 96)), script, "plan")
    [fill] = run.fills("x")
    assert Decimal(fill["price"]) == Decimal("100.01")


def test_impact_is_the_square_root_of_participation_where_volume_is_known(tmp_path: Path) -> None:
    """Four times the quantity at one average volume: twice the impact."""
    bars = daily(*[(100, 100, 100, 100, 10_000)] * 4)
    script = [submit(TUESDAY, "one", "buy", 25), submit(WEDNESDAY, "four", "buy", 100)]
    run = play(tmp_path, bars, script, "plan", ["broker.slippage_bps=0", "broker.spread_bps=0"])
    [one], [four] = run.fills("one"), run.fills("four")
    assert Decimal(four["price"]) - 100 == 2 * (Decimal(one["price"]) - 100) > 0


@pytest.mark.parametrize(
    ("qty", "px", "fee"),
    [
        (100, 100, "1"),  # 0.50 by the share, so the minimum
        (500, 100, "2.5"),
        (1, 50, "0.5"),  # the minimum, but at most 1 % of the value
        (10, 0.5, "0.05"),
        (250, 1, "1.25"),
        (190, 0.5, "0.95"),  # 0.95 by the share and by the maximum
    ],
)
def test_ibkr_commission(tmp_path: Path, qty: int, px: float, fee: str) -> None:
    """$0.005 a share, at least $1 an order, at most 1 % of its value."""
    script = [submit(TUESDAY, "x", "buy", qty)]
    sets = [*PRICE_IS_OPEN, *NO_CAPS, "risk.min_order_value=0"]
    run = play(
        tmp_path,
        daily((px,) * 4, (px,) * 4),
        script,
        "ibkr",
        sets,
    )
    assert total_fee(run, "x") == Decimal(fee)


def test_the_minimum_is_for_the_order_not_for_its_fills(tmp_path: Path) -> None:
    """Three fills of one order: one dollar in all, then what the shares come to."""
    bars = daily(*[(100, 100, 100, 100, 1000)] * 5)
    script = [submit(TUESDAY, "small", "buy", 150, tif="gtc"), submit(FRIDAY, "sell", "sell", 60)]
    sets = [*PRICE_IS_OPEN, "risk.max_order_adv=0"]  # more than a day's tenth is the point here
    run = play(tmp_path, bars, script, "ibkr", sets)
    assert [(f["qty"], f["fee"]) for f in run.fills("small")] == [("100", "1"), ("50", "0")]
    bars = daily(*[(10, 10, 10, 10, 1500)] * 5)
    run = play(tmp_path / "b", bars, [submit(TUESDAY, "x", "buy", 400, tif="gtc")], "ibkr", sets)
    assert [(f["qty"], f["fee"]) for f in run.fills("x")] == [("150", "1"), ("150", "0.5"), ("100", "0.5")]


def test_regulatory_fees_are_rounded_up_once_an_order(tmp_path: Path) -> None:
    """Alpaca: no commission; a sale in March 2024 pays SEC $8 a million and TAF $0.000166 a share, each up to a cent.

    However many fills it takes.
    """
    bars = daily(*[(100, 100, 100, 100, 1000)] * 5)
    sets = [*PRICE_IS_OPEN, "broker.participation=0.03"]
    run = play(tmp_path, bars, [submit(MONDAY, "b", "buy", 30), submit(TUESDAY, "s", "sell", 30)], "alpaca", sets)
    assert total_fee(run, "b") == 0
    assert total_fee(run, "s") == ceil_cent(3000 * dec(8) / 1_000_000) + ceil_cent(30 * Decimal("0.000166"))
    script = [submit(MONDAY, "b", "buy", 90, tif="gtc"), submit(THURSDAY, "s", "sell", 60, tif="gtc")]
    run = play(tmp_path / "b", bars, script, "alpaca", sets)
    assert [f["qty"] for f in run.fills("s")] == ["30", "30"]
    # 6000 x 8e-6 = 0.048 -> 0.05; 60 x 0.000166 = 0.00996 -> 0.01
    assert total_fee(run, "s") == Decimal("0.06")


def test_a_buy_reserves_two_percent_more_and_fees(tmp_path: Path) -> None:
    """97 x 100 x 1.02 + 9.70 is 9903.70 and passes with 10,000; 98 needs 10,005.80 and does not."""
    sets = ["portfolio.cash=10000", *NO_CAPS]
    bars = daily(FLAT, FLAT)
    denied = play(tmp_path / "a", bars, [submit(TUESDAY, "x", "buy", 98)], "plan", sets)
    assert denied.statuses() == {"x": "denied CASH"}
    assert "10005.8" in denied.order("x")["reason"]
    passed = play(tmp_path / "b", bars, [submit(TUESDAY, "x", "buy", 97), submit(TUESDAY, "y", "buy", 1)], "plan", sets)
    assert passed.statuses() == {"x": "filled", "y": "denied CASH"}


def test_a_fill_is_cut_to_what_cash_pays(tmp_path: Path) -> None:
    """The open gaps up: floor(10,000 / 120) shares, never one too many; with costs, fees count as well."""
    bars = daily(FLAT, (120, 120, 120, 120))
    run = play(tmp_path / "a", bars, [submit(TUESDAY, "x", "buy", 100)], sets=["portfolio.cash=10000"])
    assert [f["qty"] for f in run.fills("x")] == ["83"]
    sets = ["portfolio.cash=10000", *NO_CAPS]
    run = play(tmp_path / "b", bars, [submit(TUESDAY, "x", "buy", 97)], "plan", sets)
    [fill] = run.fills("x")
    qty = int(fill["qty"])

    def cost(n: int) -> Decimal:
        value = n * plan_price(dec(120), 1, n)
        return value + exact(value * Decimal("0.001"))

    assert cost(qty) <= 10_000 < cost(qty + 1)
    assert Decimal(run.table("equity")[-1]["cash"]) == 10_000 - cost(qty)


def test_at_one_open_sales_fill_first(tmp_path: Path) -> None:
    """A purchase that stands before the sale in the script is paid by it."""
    bars = (
        daily(FLAT, FLAT, (110, 110, 110, 110))
        + "\n"
        + daily((50,) * 4, (50,) * 4, (60,) * 4, symbol="BBB", header=False)
    )
    bars = "\n".join([bars.splitlines()[0], *sorted(bars.splitlines()[1:])])
    script = [
        submit(TUESDAY, "a", "buy", 100),
        submit(WEDNESDAY, "b", "buy", 100, symbol="BBB"),
        submit(WEDNESDAY, "s", "sell", 50),
    ]
    run = play(tmp_path, bars, script, sets=["portfolio.cash=10000"])
    assert [(f["side"], f["symbol"], f["qty"]) for f in run.table("fills")] == [
        ("buy", "AAA", "100"),
        ("sell", "AAA", "50"),
        ("buy", "BBB", "91"),  # floor(5500 / 60)
    ]
    assert run.table("equity")[-1]["cash"] == "40"


def test_a_short_needs_margin_even_without_limits(tmp_path: Path) -> None:
    """Its proceeds are no buying power and half of its value must be free (Reg T): at most 2,000 shares at 100."""
    script = [submit(TUESDAY, "over", "sell", 2001), submit(TUESDAY, "most", "sell", 2000)]
    run = play(tmp_path, daily(FLAT, FLAT), script, sets=["broker.allow_short=true"])
    assert run.statuses() == {"over": "denied CASH", "most": "filled"}


def test_strict_cash_waits_for_settlement(tmp_path: Path) -> None:
    """T+2 in March 2024: what was sold on Tuesday buys on Thursday, not on Wednesday."""
    bars = daily(FLAT, FLAT, FLAT, FLAT, FLAT)
    script = [
        submit(MONDAY, "a", "buy", 100),
        submit(TUESDAY, "s", "sell", 50),
        submit(WEDNESDAY, "early", "buy", 10),
        submit(THURSDAY, "late", "buy", 50),
    ]
    sets = ["portfolio.cash=10000", "broker.account=cash_strict"]
    run = play(tmp_path, bars, script, sets=sets)
    assert {n: run.order(n)["cum_qty"] for n in ("s", "early", "late")} == {"s": "50", "early": "0", "late": "50"}


def test_no_more_is_sold_than_is_held(tmp_path: Path) -> None:
    """Denied without allow_short; reduce_only is cut to the position, and rejected when flat."""
    bars = daily(FLAT, FLAT, FLAT, FLAT)
    script = [
        submit(MONDAY, "flat_sell", "sell", 1),
        submit(MONDAY, "flat_reduce", "sell", 1, reduce_only=True),
        submit(MONDAY, "b", "buy", 10),
        submit(WEDNESDAY, "six", "sell", 6),
        submit(WEDNESDAY, "five", "sell", 5),
        submit(THURSDAY, "rest", "sell", 50, reduce_only=True),
    ]
    run = play(tmp_path, bars, script)
    assert run.statuses() == {
        "flat_sell": "denied SHORT_NOT_ALLOWED",
        "flat_reduce": "rejected REDUCE_ONLY_FLAT",
        "b": "filled",
        "six": "filled",
        "five": "denied SHORT_NOT_ALLOWED",
        "rest": "filled",
    }
    assert run.order("rest")["cum_qty"] == "4"


def test_average_cost_and_first_in_first_out(tmp_path: Path) -> None:
    """Realised profit by average cost in positions.csv; round trips by FIFO in trades.csv."""
    bars = daily(FLAT, (110,) * 4, (130,) * 4, (90,) * 4)
    script = [
        submit(MONDAY, "b1", "buy", 10),
        submit(TUESDAY, "b2", "buy", 30),
        submit(WEDNESDAY, "s", "sell", 20),
    ]
    run = play(tmp_path, bars, script)
    [position] = run.table("positions")
    average = Decimal("107.5")
    assert Decimal(position["avg_px"]) == average
    assert Decimal(position["realized_pnl"]) == 20 * (130 - average)
    assert Decimal(position["unrealized_pnl"]) == 20 * (90 - average)
    trades = [(t["qty"], t["entry_px"], t["exit_px"], t["pnl"]) for t in run.table("trades")]
    assert trades == [("10", "100", "130", "300"), ("10", "110", "130", "200")]
