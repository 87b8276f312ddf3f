"""Margin accounts in whole runs: buying power, margin calls and what borrowing costs, worked out on paper.

Frictionless unless told otherwise: a fill costs its price and nothing else, so that every figure is the rule's own.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from actors.values.universe import Adjustment
from daemon.system.verify import verify_path
from oracle.sheet import DAYS, Run, daily, exact, play, submit

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = DAYS
FLAT = (100, 100, 100, 100)
MARGIN = ("portfolio.cash=10000", "broker.account=margin", "broker.allow_short=true")
NO_CAPS = ("risk.max_position=0", "risk.max_order_value=0", "risk.max_order_fraction=0")


def at(px: float) -> tuple[float, float, float, float]:
    """A day on which the price stands still."""
    return (px, px, px, px)


def dated(*rows: tuple[str, float], symbol: str = "AAA") -> str:
    """Write daily bars that stand still at a price."""
    return "\n".join(["ts,symbol,open,high,low,close", *(f"{day},{symbol},{px},{px},{px},{px}" for day, px in rows)])


def calls(run: Run) -> list[tuple[str, str, str, str]]:
    """Return side, quantity, filled quantity and status of the orders of margin calls."""
    rows = [row for row in run.table("orders") if row["client_order_id"].startswith("margin_call-")]
    return [(row["side"], row["qty"], row["cum_qty"], row["status"]) for row in rows]


def last(run: Run) -> tuple[Decimal, Decimal]:
    """Return cash and equity at the end."""
    row = run.table("equity")[-1]
    return Decimal(row["cash"]), Decimal(row["equity"])


def verified(run: Run) -> None:
    """Every check of ``tradingd verify`` holds."""
    report = verify_path(run.folder)
    assert [check for check in report.checks if not check.ok] == []


# -- buying power ------------------------------------------------------------------------------------------------------


def test_equity_buys_twice_its_value_and_not_a_share_more(tmp_path: Path) -> None:
    """10,000 of equity at 50 %: 20,000, which is 200 at 100; the other half is borrowed."""
    run = play(tmp_path, daily(FLAT, FLAT), [submit(TUESDAY, "b", "buy", 300)], sets=MARGIN)
    row = run.order("b")
    assert (row["cum_qty"], row["status"], row["reason"]) == ("200", "canceled", "INSUFFICIENT_MARGIN")
    assert last(run) == (Decimal(-10_000), Decimal(10_000))
    verified(run)


def test_the_fill_decides_what_a_gap_leaves_of_it(tmp_path: Path) -> None:
    """150 were affordable at 100; at an open of 160 the initial margin of 10,000 opens 125."""
    run = play(tmp_path, daily(FLAT, at(160)), [submit(TUESDAY, "b", "buy", 150)], sets=MARGIN)
    assert run.order("b")["cum_qty"] == "125"


def test_no_fill_at_an_open_borrows_against_the_close_of_its_own_bar(tmp_path: Path) -> None:
    """100 held at 100, equity 10,000. On Wednesday they open at 100 and close at 200; at the open 5,000 are free.

    The other symbol opens at 50: 200 of it. What the first is worth at the close would have bought far more.
    """
    first = daily(FLAT, FLAT, (100, 200, 100, 200))
    second = daily(at(50), at(50), at(50), symbol="BBB", header=False)
    script = [submit(TUESDAY, "a", "buy", 100), submit(WEDNESDAY, "b", "buy", 900, symbol="BBB")]
    run = play(tmp_path, f"{first}\n{second}", script, sets=MARGIN)
    assert (run.order("a")["cum_qty"], run.order("b")["cum_qty"]) == ("100", "200")


def test_gains_are_buying_power(tmp_path: Path) -> None:
    """100 at 100, then at 150: equity 15,000, required 7,500, so 7,500 open 100 more at 150."""
    script = [submit(TUESDAY, "a", "buy", 100), submit(THURSDAY, "b", "buy", 500)]
    run = play(tmp_path, daily(FLAT, FLAT, at(150), at(150)), script, sets=MARGIN)
    assert run.order("b")["cum_qty"] == "100"
    assert last(run) == (Decimal(-15_000), Decimal(15_000))


def test_the_gate_denies_beyond_buying_power_with_value_and_limit(tmp_path: Path) -> None:
    """Half of the value x 1.02 and 0.1 % commission: 195 at 100 need 9,945 + 19.5, 196 need 9,996 + 19.6."""
    script = [submit(TUESDAY, "over", "buy", 196), submit(TUESDAY, "most", "buy", 195)]
    run = play(tmp_path, daily(FLAT, FLAT), script, "plan", [*MARGIN, *NO_CAPS])
    assert run.statuses() == {"over": "denied BUYING_POWER", "most": "filled"}
    assert "10015.6" in run.order("over")["reason"]
    assert "10000" in run.order("over")["reason"]


def test_working_orders_use_buying_power_up_together(tmp_path: Path) -> None:
    """100 reserve 5,100 + 10, so 4,890 are left: 95 need 4,845 + 9.5, 96 would need 4,896 + 9.6."""
    script = [submit(TUESDAY, f"{qty}", "buy", qty) for qty in (100, 96, 95)]
    run = play(tmp_path, daily(FLAT, FLAT), script, "plan", [*MARGIN, *NO_CAPS])
    assert run.statuses() == {"100": "filled", "96": "denied BUYING_POWER", "95": "filled"}


def test_a_limit_reserves_half_of_its_price(tmp_path: Path) -> None:
    """The most a purchase at 90 can cost is 90: 222 need 9,990 + 19.98, which is too much; 221 need 9,945 + 19.89."""
    limit = {"type": "limit", "limit_px": 90}
    script = [submit(TUESDAY, f"{qty}", "buy", qty, **limit) for qty in (222, 221)]
    # At the market's 100 it would be more than twice the equity, which is another limit.
    run = play(tmp_path, daily(FLAT, FLAT), script, "plan", [*MARGIN, *NO_CAPS, "risk.max_leverage=0"])
    assert run.statuses() == {"222": "denied BUYING_POWER", "221": "expired"}


def test_what_is_sold_makes_room_for_what_is_bought_at_the_same_open(tmp_path: Path) -> None:
    """All of 20,000 is in the first; 100 of it go, which frees 5,000 for 100 of the second."""
    second = daily(*[FLAT] * 3, symbol="BBB", header=False)
    script = [
        submit(TUESDAY, "a", "buy", 200),
        submit(WEDNESDAY, "b", "buy", 150, symbol="BBB"),
        submit(WEDNESDAY, "s", "sell", 100),
    ]
    run = play(tmp_path, f"{daily(*[FLAT] * 3)}\n{second}", script, sets=MARGIN)
    assert {n: run.order(n)["cum_qty"] for n in "sb"} == {"s": "100", "b": "100"}


def test_closing_is_never_refused_for_want_of_margin(tmp_path: Path) -> None:
    """200 short at 100 that stand at 160: equity is -2,000 and a cover still passes whole."""
    script = [submit(TUESDAY, "s", "sell", 200), submit(THURSDAY, "c", "buy", 200)]
    sets = [*MARGIN, "broker.margin_call=warn"]
    run = play(tmp_path, daily(FLAT, FLAT, at(160), at(160)), script, sets=sets)
    assert run.statuses() == {"s": "filled", "c": "filled"}
    assert last(run) == (Decimal(-2_000), Decimal(-2_000))
    verified(run)


def test_a_cash_account_borrows_nothing(tmp_path: Path) -> None:
    """The same purchase is cut to what 10,000 pay."""
    run = play(tmp_path, daily(FLAT, FLAT), [submit(TUESDAY, "b", "buy", 300)], sets=["portfolio.cash=10000"])
    assert (run.order("b")["cum_qty"], run.order("b")["reason"]) == ("100", "INSUFFICIENT_CASH")


# -- margin calls ------------------------------------------------------------------------------------------------------


def test_a_forced_reduction_by_hand(tmp_path: Path) -> None:
    """200 at 100 with 10,000 borrowed, then a close at 60.

    Equity 12,000 - 10,000 = 2,000; a quarter of 12,000 is 3,000, so 1,000 lack. A share releases 15: 66.67, so 67 are
    sold at the next open. Left: cash -5,980, 133 at 60 = 7,980, equity 2,000, requirement 1,995.
    """
    run = play(tmp_path, daily(FLAT, FLAT, at(60), at(60), at(60)), [submit(TUESDAY, "b", "buy", 200)], sets=MARGIN)
    assert calls(run) == [("sell", "67", "67", "filled")]
    [order] = [row for row in run.table("orders") if row["client_order_id"] == "margin_call-AAA-1"]
    assert order["reason"] == "margin_call"
    assert run.fills("margin_call-AAA-1")[0]["ts"].startswith(THURSDAY)
    assert last(run) == (Decimal(-5_980), Decimal(2_000))
    alerts = [row for row in run.table("alerts") if "margin requirement" in row["title"]]
    assert [row["severity"] for row in alerts] == ["critical"]
    verified(run)


@pytest.mark.parametrize(("px", "sold"), [(66.67, []), (66.66, [("sell", "1", "1", "filled")])])
def test_the_call_comes_at_the_requirement_and_not_before(
    tmp_path: Path, px: float, sold: list[tuple[str, ...]]
) -> None:
    """200 p - 10,000 = 50 p at 66.66...: at 66.67 there are 3,334 against 3,333.5, at 66.66 it is 3,332 against 3,333.

    One share releases 16.665, which is enough for the 1 that lacks.
    """
    bars = daily(FLAT, FLAT, at(px), at(px))
    assert calls(play(tmp_path, bars, [submit(TUESDAY, "b", "buy", 200)], sets=MARGIN)) == sold


def test_a_short_that_rises_is_bought_back_in_part(tmp_path: Path) -> None:
    """200 short at 100, then at 120: equity 30,000 - 24,000 = 6,000 against 30 % of 24,000 = 7,200.

    A share releases 36: 33.3, so 34 are bought. Left: cash 30,000 - 4,080, short 166 x 120 = 19,920, required 5,976.
    """
    run = play(tmp_path, daily(FLAT, FLAT, at(120), at(120)), [submit(TUESDAY, "s", "sell", 200)], sets=MARGIN)
    assert calls(run) == [("buy", "34", "34", "filled")]
    assert last(run) == (Decimal(25_920), Decimal(6_000))
    verified(run)


def test_the_largest_requirement_is_reduced_first(tmp_path: Path) -> None:
    """160 AAA and 40 BBB at 100 on 10,000; both fall to 60: as by hand above, 1,000 lack.

    AAA needs 2,400, BBB 600: 67 AAA alone release 1,005.
    """
    bars = [at(100), at(100), at(60), at(60)]
    text = f"{daily(*bars)}\n{daily(*bars, symbol='BBB', header=False)}"
    script = [submit(TUESDAY, "b", "buy", 40, symbol="BBB"), submit(TUESDAY, "a", "buy", 160)]
    run = play(tmp_path, text, script, sets=MARGIN)
    assert calls(run) == [("sell", "67", "67", "filled")]
    assert run.order("margin_call-AAA-1")["symbol"] == "AAA"


def test_one_position_is_not_enough_where_another_has_to_follow(tmp_path: Path) -> None:
    """120 AAA and 80 BBB at 100; AAA falls to 10, BBB to 80: 1,200 + 6,400 - 10,000 = -2,400 are below nothing.

    300 + 1,600 = 1,900 are required, 4,300 lack: everything goes.
    """
    first, second = daily(FLAT, FLAT, at(10), at(10)), daily(FLAT, FLAT, at(80), at(80), symbol="BBB", header=False)
    script = [submit(TUESDAY, "a", "buy", 120), submit(TUESDAY, "b", "buy", 80, symbol="BBB")]
    run = play(tmp_path, f"{first}\n{second}", script, sets=MARGIN)
    assert calls(run) == [("sell", "80", "80", "filled"), ("sell", "120", "120", "filled")]
    assert last(run) == (Decimal(-2_400), Decimal(-2_400))


def test_while_its_orders_work_nothing_more_is_asked_for(tmp_path: Path) -> None:
    """Ten shares a day are all that trade: of the 67 that Wednesday asks for 20 are gone by Friday, and 47 work on.

    On Friday, after them, 180 at 60 and cash -8,800 would lack 700; the 47 that still work release 705.
    """
    days = [(*at(px), volume) for px, volume in ((100, 10**6), (100, 10**6), (60, 100), (60, 100), (60, 100))]
    sets = [*MARGIN, "broker.participation=0.1"]
    run = play(tmp_path, daily(*days), [submit(TUESDAY, "b", "buy", 200)], sets=sets)
    assert calls(run) == [("sell", "67", "20", "partially_filled")]
    verified(run)


def test_what_is_being_sold_already_counts_as_sold(tmp_path: Path) -> None:
    """By hand as above, 67 would go. A market order for 60 works already, so 7 do."""
    days = [(*at(px), volume) for px, volume in ((100, 10**6), (100, 10**6), (60, 0), (60, 10**6))]
    script = [submit(TUESDAY, "b", "buy", 200), submit(WEDNESDAY, "s", "sell", 60, tif="gtc")]
    sets = [*MARGIN, "broker.participation=0.1"]
    run = play(tmp_path, daily(*days), script, sets=sets)
    assert calls(run) == [("sell", "7", "7", "filled")]
    assert run.order("s")["cum_qty"] == "60"


def test_a_warning_sells_nothing(tmp_path: Path) -> None:
    """With ``broker.margin_call = "warn"`` it is said once a session, of three minutes each, and positions stay."""
    rows = [
        f"2024-03-0{day}T14:3{minute}:00Z,AAA,{px},{px},{px},{px}"
        for day, prices in ((7, (100, 100, 60, 60, 60)), (8, (60, 60, 60)))
        for minute, px in enumerate(prices)
    ]
    sets = [*MARGIN, "broker.margin_call=warn"]
    script = [submit("2024-03-07T14:30:00Z", "b", "buy", 200)]
    run = play(tmp_path, "\n".join(["ts,symbol,open,high,low,close", *rows]), script, sets=sets)
    assert calls(run) == []
    assert last(run) == (Decimal(-10_000), Decimal(2_000))
    alerts = [row for row in run.table("alerts") if "margin requirement" in row["title"]]
    assert [(row["ts"][:16], row["severity"], row["count"]) for row in alerts] == [
        ("2024-03-07T14:33", "critical", "1"),
        ("2024-03-08T14:31", "critical", "1"),
    ]


# -- what borrowing costs ----------------------------------------------------------------------------------------------


def test_interest_by_the_day_over_a_weekend(tmp_path: Path) -> None:
    """10,000 borrowed on a Thursday at 6 %: a day's interest on Friday, three days' on Monday, on what is owed then.

    Friday: 10,000 x 0.06 / 360 = 1.66666667. Monday: 10,001.66666667 x 0.06 x 3 / 360.
    """
    bars = dated(("2024-03-06", 100), ("2024-03-07", 100), ("2024-03-08", 100), ("2024-03-11", 100))
    run = play(tmp_path, bars, [submit("2024-03-07", "b", "buy", 200)], sets=[*MARGIN, "broker.margin_rate=0.06"])
    friday = Decimal("1.66666667")
    monday = exact((10_000 + friday) * Decimal("0.06") * 3 / 360)
    assert monday == Decimal("5.00083333")
    assert last(run)[0] == -10_000 - friday - monday
    costs = run.document["costs"]
    assert (costs["interest"], costs["borrow"]) == (float(friday + monday), 0.0)
    assert costs["total"] == pytest.approx(float(friday + monday))
    verified(run)


def test_a_borrow_fee_over_a_holiday_and_a_weekend(tmp_path: Path) -> None:
    """100 short at 50 on the Thursday before Good Friday 2024: four days until Monday at that day's close.

    5,000 x 0.0025 x 4 / 360 = 0.13888889. Monday closes at 52: 5,200 x 0.0025 / 360 = 0.03611111 on Tuesday.
    """
    bars = dated(("2024-03-27", 50), ("2024-03-28", 50), ("2024-04-01", 52), ("2024-04-02", 52))
    sets = [*MARGIN, "broker.borrow_rate=0.0025"]
    run = play(tmp_path, bars, [submit("2024-03-28", "s", "sell", 100)], sets=sets)
    fees = Decimal("0.13888889") + Decimal("0.03611111")
    assert last(run) == (10_000 + 5_000 - fees, 10_000 + 5_000 - 5_200 - fees)
    assert run.document["costs"]["borrow"] == float(fees)
    verified(run)


def test_a_cash_account_pays_for_borrowed_shares_and_no_interest(tmp_path: Path) -> None:
    """The fee is the lender's of the shares, whatever the account; a cash account owes no cash."""
    bars = dated(("2024-03-06", 100), ("2024-03-07", 100), ("2024-03-08", 100))
    sets = ["broker.allow_short=true", "broker.borrow_rate=0.036", "broker.margin_rate=0.06"]
    run = play(tmp_path, bars, [submit("2024-03-07", "s", "sell", 10)], sets=sets)
    assert run.document["costs"]["borrow"] == 0.1  # 1,000 x 0.036 / 360
    assert run.document["costs"]["interest"] == 0.0
    verified(run)


def test_what_is_covered_before_the_close_costs_no_night(tmp_path: Path) -> None:
    """Short and bought back within a session: nothing was borrowed overnight."""
    rows = [
        f"2024-03-0{day}T{hour}:00Z,AAA,100,100,100,100"
        for day in (7, 8)
        for hour in ("14:30", "14:31", "14:32", "14:33")
    ]
    script = [submit("2024-03-07T14:30:00Z", "s", "sell", 50), submit("2024-03-07T14:32:00Z", "c", "buy", 50)]
    sets = [*MARGIN, "broker.borrow_rate=0.9", "broker.margin_rate=0.9"]
    run = play(tmp_path, "\n".join(["ts,symbol,open,high,low,close", *rows]), script, sets=sets)
    assert run.statuses() == {"s": "filled", "c": "filled"}
    assert last(run) == (Decimal(10_000), Decimal(10_000))


# -- ticks -------------------------------------------------------------------------------------------------------------


def quoted(folder: Path, rows: list[tuple[str, str, float]]) -> dict[str, tuple[Path, ...]]:
    """Write quotes without a spread, 10,000 shares at each side, at times of a Tuesday."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "quotes.csv"
    lines = [f"{TUESDAY}T{at}Z,{symbol},{px},10000,{px},10000" for at, symbol, px in rows]
    path.write_text("\n".join(["ts,symbol,bid_px,bid_size,ask_px,ask_size", *lines]) + "\n")
    return {"quotes": (path,)}


def test_buying_power_follows_quotes(tmp_path: Path) -> None:
    """100 AAA at 100, which are quoted 150 a little later: 15,000 of equity, 7,500 required. 7,500 open 300 at 50."""
    rows = [
        ("14:30:01", "AAA", 100.0),
        ("14:30:02", "BBB", 50.0),
        ("14:30:10", "AAA", 100.0),
        ("14:30:20", "AAA", 150.0),
        ("14:30:30", "BBB", 50.0),
    ]
    script = [
        submit(f"{TUESDAY}T14:30:05Z", "a", "buy", 100),
        submit(f"{TUESDAY}T14:30:25Z", "b", "buy", 900, symbol="BBB"),
    ]
    run = play(tmp_path, (), script, sets=MARGIN, **quoted(tmp_path, rows))
    assert (run.order("a")["cum_qty"], run.order("b")["cum_qty"]) == ("100", "300")
    assert run.order("b")["reason"] == "INSUFFICIENT_MARGIN"
    verified(run)


def test_a_margin_call_on_quotes(tmp_path: Path) -> None:
    """As by hand on bars: 200 at 100 quoted 60 lack 1,000, and 67 go at the next quote behind the minute's mark."""
    rows = [
        ("14:30:01", "AAA", 100.0),
        ("14:30:10", "AAA", 100.0),
        ("14:30:20", "AAA", 60.0),
        ("14:31:30", "AAA", 60.0),
        ("14:31:40", "AAA", 60.0),
        ("14:32:30", "AAA", 60.0),
    ]
    script = [submit(f"{TUESDAY}T14:30:05Z", "b", "buy", 200)]
    run = play(tmp_path, (), script, sets=MARGIN, **quoted(tmp_path, rows))
    assert calls(run) == [("sell", "67", "67", "filled")]
    [fill] = run.fills("margin_call-AAA-1")
    assert fill["ts"] == f"{TUESDAY}T14:31:40.000Z"
    assert last(run) == (Decimal(-5_980), Decimal(2_000))
    verified(run)


# -- corporate actions -------------------------------------------------------------------------------------------------


def test_a_split_overnight_changes_neither_fee_nor_buying_power(tmp_path: Path) -> None:
    """50 short at 100 on a Thursday, 4 for 1 on Friday at 25: 200 short at 25, the same 5,000.

    A day's fee is on 5,000 x 0.036 / 360 = 0.5. On Friday, equity 9,999.5 and 2,500 required: 7,499.5 open 14,999
    worth of BBB at 10, which is 1,499 shares. Left as they were, 200 at 100 would have let nothing pass.
    """
    rows = [("2024-03-06", 100), ("2024-03-07", 100), ("2024-03-08", 25)]
    second = [f"{day},BBB,10,10,10,10" for day, _ in rows]
    actions = tmp_path / "actions.csv"
    actions.write_text("ex_date,symbol,kind,value\n2024-03-08,AAA,split,4\n")
    script = [submit("2024-03-07", "s", "sell", 50), submit("2024-03-08", "b", "buy", 9_000, symbol="BBB")]
    sets = [*MARGIN, "broker.borrow_rate=0.036"]
    bars = "\n".join([dated(*rows), *second])
    run = play(tmp_path, bars, script, sets=sets, adjustment=Adjustment.RAW, actions=(actions,))
    assert run.document["costs"]["borrow"] == 0.5
    assert run.order("b")["cum_qty"] == "1499"
    assert {row["symbol"]: row["qty"] for row in run.table("positions")} == {"AAA": "-200", "BBB": "1499"}
    verified(run)
