"""Splits, dividends, renames and delistings in whole runs, each worked out on paper.

Frictionless unless told otherwise, so that every figure is the action's own. The prices of the day behind an action are
the old ones in new terms, so equity there has to be the equity of the day before, to the last digit. Every run is
verified, which recomputes its books from the events alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from actors.values.universe import Adjustment
from daemon.system.verify import verify_path
from oracle.sheet import DAYS, Line, Run, daily, play, submit

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = DAYS
FILLED = {"order": "a", "status": "filled"}
GTC = {"tif": "gtc"}
SHORT = ("broker.allow_short=true",)

STRATEGY = '''\
"""Wants AAA, always."""

from actors.api import Params, Signal, Window, strategy


@strategy(lookback=1, horizon=1)
def fond(w: Window, p: Params) -> Signal:
    """As sure on every day."""
    return Signal(1.0, confidence=0.9)
'''


def at(px: float) -> tuple[float, float, float, float]:
    """A day on which the price stands still."""
    return (px, px, px, px)


OTHER = daily(*[at(10)] * 4, symbol="BBB")
"""Bars that make days go on behind the last one of AAA."""


def act(
    folder: Path,
    rows: list[str],
    bars: str | list[str],
    script: list[Line] | None = None,
    adjustment: Adjustment = Adjustment.RAW,
    **options: Any,
) -> Run:
    """Run with actions (``ex_date,symbol,kind,value,pay_date``) and verify what came of it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "actions.csv"
    path.write_text("\n".join(["ex_date,symbol,kind,value,pay_date", *rows]) + "\n")
    run = play(folder, bars, script or [], actions=(path,), adjustment=adjustment, events=True, **options)
    report = verify_path(run.folder)
    assert [check for check in report.checks if not check.ok] == []
    return run


def events(run: Run, *kinds: str) -> list[dict[str, Any]]:
    """Return the events of some types, in order."""
    lines = (run.folder / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["type"] in kinds]


def equity(run: Run) -> list[str]:
    """Return the equity at the start and at each close."""
    return [row["equity"] for row in run.table("equity")]


def held(run: Run) -> dict[str, tuple[str, str]]:
    """Return quantity and average price of what is held at the end."""
    return {row["symbol"]: (row["qty"], row["avg_px"]) for row in run.table("positions") if row["qty"] != "0"}


def terms(run: Run, name: str) -> tuple[str, str, str, str]:
    """Return quantity, limit, stop and status of an order."""
    row = run.order(name)
    return row["qty"], row["limit_px"], row["stop_px"], row["status"]


def fill(run: Run, name: str) -> tuple[str, str, str]:
    """Return day, quantity and price of an order's only fill."""
    [row] = run.fills(name)
    return row["ts"][:10], row["qty"], row["price"]


# -- splits ------------------------------------------------------------------------------------------------------------


def test_a_split_passes_through_a_position_and_every_kind_of_resting_order(tmp_path: Path) -> None:
    """Four for one before Wednesday's open; Wednesday stands at 404 / 4 = 101.

    Held: 10 at 400 become 40 at 100. Tuesday's path is 400, 396 (nearer), 410, 404: the trail of 20 has seen 410. On
    Wednesday it has seen 102.5 and trails by 5, so that its stop is 97.5; Thursday falls from 101 to 97 and meets it.
    The stop of 380 is one of 95, met on Friday, and the bracket's entry at 360 one at 90 with a target of 120 and a
    stop of 75: Friday falls from 98 to 89. The limit of 350 is one of 87.5, which nothing meets.
    Cash: 100,000 - 4,000 + 20 x 97.5 + 20 x 95 - 16 x 90 = 98,410; with 16 at Friday's 94 it is 99,914.
    """
    bars = daily(at(400), (400, 410, 396, 404), at(101), (101, 101, 97, 98), (98, 98, 89, 94))
    run = act(
        tmp_path,
        [f"{WEDNESDAY},AAA,split,4:1,"],
        bars,
        [
            submit(None, "a", "buy", 10),
            submit(FILLED, "stop", "sell", 5, type="stop", stop_px=380, **GTC),
            submit(FILLED, "trail", "sell", 5, type="trailing_stop", trail_amount=20, **GTC),
            submit(FILLED, "limit", "buy", 6, type="limit", limit_px=350, **GTC),
            submit(
                FILLED,
                "entry",
                "buy",
                4,
                type="limit",
                limit_px=360,
                bracket={"take_profit_px": 480, "stop_px": 300},
                **GTC,
            ),
        ],
    )
    assert equity(run)[:4] == ["100000", "100000", "100040", "100040"]
    assert fill(run, "trail") == (THURSDAY, "20", "97.5")
    assert fill(run, "stop") == (FRIDAY, "20", "95")
    assert fill(run, "entry") == (FRIDAY, "16", "90")
    assert terms(run, "limit") == ("24", "87.5", "", "new")
    assert terms(run, "entry-tp") == ("16", "120", "", "new")
    assert terms(run, "entry-sl") == ("16", "", "75", "new")
    assert held(run) == {"AAA": ("16", "90")}
    assert run.table("equity")[-1]["cash"] == "98410"
    assert equity(run)[-1] == "99914"
    [adjusted] = events(run, "PositionAdjusted")
    assert (adjusted["qty"], adjusted["cost"], adjusted["realized"], adjusted["paid"]) == (40, 4000, 0, 0)


def test_exits_close_what_a_reverse_split_leaves_of_their_entry_and_no_part_of_a_share(tmp_path: Path) -> None:
    """A tenth of 130 is 13: six at the open of 100, seven of the entry's twenty at 95. One for two on Tuesday.

    13 become 6 and half a share, paid out at 200; the entry's seven are three (its half is that which is paid), the 13
    it still wants are six, filled at 190. Its stop of 90 is one of 180 and sells 9 on Wednesday; 3 are held.
    """
    run = act(
        tmp_path,
        [f"{TUESDAY},AAA,split,1:2,"],
        daily((100, 101, 94, 100, 130), (200, 200, 188, 189, 60), (189, 189, 170, 171, 1000)),
        [
            submit(None, "b", "buy", 6),
            submit(
                None, "e", "buy", 20, type="limit", limit_px=95, bracket={"stop_px": 90, "take_profit_px": 120}, **GTC
            ),
        ],
        sets=("broker.participation=0.1",),
    )
    assert [row["qty"] for row in run.fills("e")] == ["7", "6"]
    assert terms(run, "e-sl") == ("9", "", "180", "filled")
    assert terms(run, "e-tp") == ("9", "240", "", "canceled")
    assert fill(run, "e-sl") == (WEDNESDAY, "9", "180")
    assert {symbol: qty for symbol, (qty, _) in held(run).items()} == {"AAA": "3"}


@pytest.mark.parametrize(("side", "sign"), [("buy", 1), ("sell", -1)])
def test_a_fraction_of_a_share_is_paid_in_cash_long_and_short(tmp_path: Path, side: str, sign: int) -> None:
    """Three for two on 5 shares is 7.5: 7 stay, and the half is paid at 30 / 1.5 = 20, which a short pays.

    5 cost 150, so 7.5 at 20 do; the half takes 10 of that with it and has neither gained nor lost. Equity is the same
    on both days.
    """
    run = act(
        tmp_path,
        [f"{WEDNESDAY},AAA,split,3/2,"],
        daily(at(30), at(30), at(20), at(20)),
        [submit(None, "a", side, 5)],
        sets=SHORT,
    )
    assert held(run) == {"AAA": (str(7 * sign), "20")}
    assert set(equity(run)) == {"100000"}
    assert run.table("equity")[-1]["cash"] == str(100_000 - sign * 140)
    [trade] = run.table("trades")
    assert (trade["qty"], trade["entry_px"], trade["exit_px"], trade["pnl"], trade["exit_reason"]) == (
        *("0.5", "20", "20", "0"),
        "cash_in_lieu",
    )
    [adjusted] = events(run, "PositionAdjusted")
    assert (adjusted["paid"], adjusted["px"], adjusted["closed"]) == (10 * sign, 20, [["O-1-1", 0.5]])


def test_a_reverse_split_leaves_nothing_of_what_is_less_than_a_share(tmp_path: Path) -> None:
    """One for ten: 5 shares at 4 are half a share at 40, all of it paid: 20; an order for 5 has nothing left, either.

    One for 25 is one for two and a half: cancelled down to whole shares.
    """
    run = act(
        tmp_path,
        [f"{WEDNESDAY},AAA,split,0.1,"],
        daily(at(4), at(4), at(40), at(40)),
        [
            submit(None, "a", "buy", 5),
            submit(FILLED, "small", "buy", 5, type="limit", limit_px=3, **GTC),
            submit(FILLED, "large", "buy", 25, type="limit", limit_px=3, **GTC),
        ],
    )
    assert held(run) == {}
    assert set(equity(run)) == {"100000"}
    assert run.table("equity")[-1]["cash"] == "100000"
    assert terms(run, "small") == ("5", "3", "", "canceled")
    assert run.order("small")["reason"] == "SPLIT"
    assert terms(run, "large") == ("2", "30", "", "new")


def split_half_way(folder: Path, *sets: str) -> Run:
    """Run a purchase of 10 at 50 that has a part of them when a share becomes two."""
    return act(
        folder,
        [f"{WEDNESDAY},AAA,split,2,"],
        daily((60, 60, 60, 60, 900), (60, 60, 49, 60, 40), (30, 30, 24, 30, 200), (30, 30, 30, 30, 900)),
        [submit(MONDAY, "a", "buy", 10, type="limit", limit_px=50, **GTC)],
        sets=("broker.participation=0.1", *sets),
    )


def test_an_order_that_was_filled_in_part_goes_on_in_new_shares(tmp_path: Path) -> None:
    """Participation 10 %: Tuesday's 40 shares give 4 of 10 at 50; two for one, 8 of 20 are filled, 12 are open at 25.

    Wednesday's 200 shares give 20, more than the 12 that are left. 4 x 50 + 12 x 25 = 500 for 20 shares: 25 each.
    """
    run = split_half_way(tmp_path)
    assert [(row["qty"], row["price"]) for row in run.fills("a")] == [("4", "50"), ("12", "25")]
    row = run.order("a")
    assert (row["qty"], row["cum_qty"], row["avg_px"], row["status"]) == ("20", "20", "25", "filled")
    assert held(run) == {"AAA": ("20", "25")}


def test_a_commission_a_share_is_charged_on_what_was_filled_on_its_day(tmp_path: Path) -> None:
    """At 1 a share: 4 old shares cost 4, then 12 new ones 12, not what 8 and 12 would have come to."""
    run = split_half_way(tmp_path, "broker.commission_per_share=1")
    assert [(row["qty"], row["fee"]) for row in run.fills("a")] == [("4", "4"), ("12", "12")]


def test_f40_with_the_action_nobody_is_stopped_out_by_a_split_of_ten_for_one(tmp_path: Path) -> None:
    """A strategy's lot with its automatic stop 3 % below and target 10 % above its entry at 1,000.

    The next open is at a tenth of the close. The lot is ten times as large, its exits guard all of it at 97 and 110,
    and neither fills; the strategy sees no jump and holds on. Equity is the same before and after.
    """
    (tmp_path / "fond.py").write_text(STRATEGY)
    run = act(
        tmp_path,
        [f"{THURSDAY},AAA,split,10,"],
        daily(at(1000), at(1000), at(1000), at(100), at(100)),
        strategy=f"{tmp_path}/fond.py:fond",
        sets=("portfolio.stop_loss=0.03", "portfolio.take_profit=0.10", "portfolio.rebalance=signal"),
    )
    entry = next(row for row in run.table("orders") if row["side"] == "buy")
    shares = int(entry["cum_qty"])
    assert held(run) == {"AAA": (str(10 * shares), "100")}
    exits = {r["reason"]: r for r in run.table("orders") if r["side"] == "sell"}
    assert (exits["stop_loss"]["qty"], exits["stop_loss"]["stop_px"]) == (str(10 * shares), "97")
    assert (exits["take_profit"]["qty"], exits["take_profit"]["limit_px"]) == (str(10 * shares), "110")
    assert {row["status"] for row in exits.values()} == {"new"}
    assert len(run.table("fills")) == 1
    assert run.table("trades") == []
    assert set(equity(run)) == {"100000"}


# -- dividends ---------------------------------------------------------------------------------------------------------


def test_a_dividend_is_due_at_the_ex_date_and_cash_at_the_pay_date_long_and_short(tmp_path: Path) -> None:
    """2 a share on 100 AAA held and on 50 BBB owed, ex on Wednesday, paid on Friday; both fall by it.

    Due: 200 and -100. Equity stands at 100,000 throughout; cash is 100,000 - 100 x 100 + 50 x 40 = 92,000, and 92,100
    from Friday on.
    """
    run = act(
        tmp_path,
        [f"{WEDNESDAY},AAA,dividend,2,{FRIDAY}", f"{WEDNESDAY},BBB,dividend,2,{FRIDAY}"],
        [
            daily(at(100), at(100), at(98), at(98), at(98)),
            daily(at(40), at(40), at(38), at(38), at(38), symbol="BBB"),
        ],
        [submit(None, "a", "buy", 100), submit(None, "b", "sell", 50, symbol="BBB")],
        sets=SHORT,
    )
    assert set(equity(run)) == {"100000"}
    assert [row["cash"] for row in run.table("equity")] == ["100000", *["92000"] * 4, "92100"]
    assert run.document["costs"]["dividends"] == 100.0
    assert [(e["symbol"], e["amount"]) for e in events(run, "DividendAccrued")] == [("AAA", 200), ("BBB", -100)]
    paid = events(run, "DividendPaid")
    assert [(e["ts"][:10], e["amount"], e["cash"]) for e in paid] == [(FRIDAY, 200, 92200), (FRIDAY, -100, 92100)]


def test_who_buys_on_the_ex_date_gets_nothing_and_who_sells_on_it_still_does(tmp_path: Path) -> None:
    """Held at Tuesday's close: 10 of a, sold at Wednesday's open. b is bought at that open. Only 10 x 1 is paid.

    Without a pay date it is paid on the ex-date.
    """
    run = act(
        tmp_path,
        [f"{WEDNESDAY},AAA,dividend,1,"],
        daily(at(50), at(50), at(49), at(49)),
        [submit(None, "a", "buy", 10), submit(TUESDAY + "T21:00:00Z", "b", "sell", 10)],
    )
    assert [e["amount"] for e in events(run, "DividendPaid")] == [10]
    assert fill(run, "b") == (WEDNESDAY, "10", "49")
    assert equity(run) == ["100000"] * 5


def test_open_buy_limits_and_sell_stops_drop_by_a_dividend_and_no_others(tmp_path: Path) -> None:
    """2 a share on Wednesday. The trail of 10 has seen 100 and then 98: its stop goes from 90 to 88.

    A buy stop and a sell limit stay, so do orders that say so and orders for the session alone.
    """
    bars = daily(at(100), at(100), (98, 98, 97, 97), (97, 97, 96.5, 97))
    run = act(
        tmp_path,
        [f"{WEDNESDAY},AAA,dividend,2,"],
        bars,
        [
            submit(None, "a", "buy", 40),
            submit(FILLED, "buy limit", "buy", 1, type="limit", limit_px=90, **GTC),
            submit(FILLED, "sell stop", "sell", 1, type="stop", stop_px=95, **GTC),
            submit(FILLED, "sell stop limit", "sell", 1, type="stop_limit", stop_px=95, limit_px=94, **GTC),
            submit(FILLED, "touch", "buy", 1, type="limit_if_touched", stop_px=91, limit_px=92, **GTC),
            submit(FILLED, "trail", "sell", 1, type="trailing_stop", trail_amount=10, **GTC),
            submit(FILLED, "sell limit", "sell", 1, type="limit", limit_px=110, **GTC),
            submit(FILLED, "buy stop", "buy", 1, type="stop", stop_px=110, **GTC),
            submit(FILLED, "kept", "buy", 1, type="limit", limit_px=90, do_not_reduce=True, **GTC),
            submit(TUESDAY + "T21:00:00Z", "day", "buy", 1, type="limit", limit_px=90),
            submit(
                FILLED,
                "entry",
                "buy",
                1,
                type="limit",
                limit_px=90,
                bracket={"take_profit_px": 120, "stop_px": 80},
                **GTC,
            ),
        ],
    )
    found = {name: terms(run, name)[1:3] for name in ("buy limit", "sell stop", "sell stop limit", "touch")}
    assert found == {
        "buy limit": ("88", ""),
        "sell stop": ("", "93"),
        "sell stop limit": ("92", "93"),
        "touch": ("90", "89"),
    }
    assert terms(run, "sell limit")[1:3] == ("110", "")
    assert terms(run, "buy stop")[1:3] == ("", "110")
    assert terms(run, "kept")[1:3] == ("90", "")
    assert terms(run, "day")[1:3] == ("90", "")
    assert terms(run, "trail")[3] == "new"
    restated = {e["client_order_id"]: e for e in events(run, "OrderRestated")}
    assert restated["entry"]["limit_px"] == 88
    assert restated["entry"]["terms"]["bracket"]["stop_px"] == 78
    assert restated["entry"]["terms"]["bracket"]["take_profit_px"] == 120
    assert list(restated) == ["buy limit", "sell stop", "sell stop limit", "touch", "entry"]


def test_a_trail_that_a_dividend_lowered_is_met_at_its_lowered_stop(tmp_path: Path) -> None:
    """The trail of 10 has seen 100; behind a dividend of 2 its stop is 88, so 89 leaves it alone and 87 does not."""
    run = act(
        tmp_path,
        [f"{WEDNESDAY},AAA,dividend,2,"],
        daily(at(100), at(100), (98, 98, 89, 90), (90, 90, 87, 87)),
        [submit(None, "a", "buy", 1), submit(FILLED, "t", "sell", 1, type="trailing_stop", trail_amount=10, **GTC)],
    )
    assert fill(run, "t") == (THURSDAY, "1", "88")


# -- renames and delistings --------------------------------------------------------------------------------------------


def test_a_rename_moves_position_lots_and_orders_to_the_new_symbol(tmp_path: Path) -> None:
    """OLD is NEW from Wednesday on: 10 at 50 go on, the stop of 45 is met by NEW's fall, and OLD is traded no more.

    Equity does not notice: 10 x 52 at Tuesday's close, 10 x 52 on Wednesday.
    """
    old = daily(at(50), at(52), symbol="OLD")
    new = "\n".join(["ts,symbol,open,high,low,close", f"{WEDNESDAY},NEW,52,52,52,52", f"{THURSDAY},NEW,52,52,44,46"])
    run = act(
        tmp_path,
        [f"{WEDNESDAY},OLD,rename,NEW,"],
        [old, new],
        [
            submit(None, "a", "buy", 10, symbol="OLD"),
            submit(FILLED, "s", "sell", 4, symbol="OLD", type="stop", stop_px=45, **GTC),
            submit(WEDNESDAY + "T15:00:00Z", "late", "buy", 1, symbol="OLD"),
        ],
    )
    assert equity(run)[2:4] == ["100020", "100020"]
    assert fill(run, "s") == (THURSDAY, "4", "45")
    assert run.order("s")["symbol"] == "NEW"
    assert held(run) == {"NEW": ("6", "50")}
    assert run.statuses()["late"] == "denied DELISTED"
    [row] = run.table("trades")
    assert (row["symbol"], row["qty"], row["entry_px"], row["exit_px"]) == ("NEW", "4", "50", "45")


def test_a_new_symbol_without_a_single_bar_belongs_to_the_universe(tmp_path: Path) -> None:
    """What is held goes on under its new name at its last price; the other symbol has the bars that make the days."""
    run = act(
        tmp_path,
        [f"{WEDNESDAY},AAA,rename,AAA.X,"],
        [daily(at(50), at(52)), daily(*[at(10)] * 5, symbol="BBB")],
        [submit(None, "a", "buy", 10)],
    )
    assert equity(run)[2:] == ["100020"] * 4
    [row] = [row for row in run.table("positions") if row["qty"] != "0"]
    assert (row["symbol"], row["qty"], row["avg_px"], row["market_px"]) == ("AAA.X", "10", "50", "52")


@pytest.mark.parametrize(
    ("value", "paid", "after"), [("", "500", "100000"), ("31.5", "315", "99815"), ("0", "0", "99500")]
)
def test_a_delisting_pays_the_position_out_and_ends_its_orders(
    tmp_path: Path, value: str, paid: str, after: str
) -> None:
    """10 at 50: out at the last price, at what is paid for a share, or at nothing; orders end and none is taken."""
    run = act(
        tmp_path,
        [f"{WEDNESDAY},AAA,delist,{value},"],
        [daily(at(50), at(50)), OTHER],
        [
            submit(None, "a", "buy", 10),
            submit(FILLED, "s", "sell", 10, type="stop", stop_px=40, **GTC),
            submit(FILLED, "l", "buy", 10, type="limit", limit_px=40, **GTC),
            submit(WEDNESDAY + "T15:00:00Z", "late", "buy", 1),
        ],
    )
    assert held(run) == {}
    assert equity(run)[2:] == ["100000", after, after]
    assert run.statuses() == {"a": "filled", "s": "canceled", "l": "canceled", "late": "denied DELISTED"}
    assert {run.order(name)["reason"] for name in ("s", "l")} == {"DELISTED"}
    [trade] = run.table("trades")
    assert (trade["exit_reason"], trade["pnl"]) == ("delist", str(int(float(paid)) - 500))


def test_a_delisted_trade_knows_how_far_prices_went(tmp_path: Path) -> None:
    """Bought at 50, seen from 49 to 55, out at 45: at best 10 % above the entry, at worst 10 % below it."""
    bars = [daily((50, 51, 49, 50), (50, 55, 50, 52)), OTHER]
    run = act(tmp_path, [f"{WEDNESDAY},AAA,delist,45,"], bars, [submit(None, "a", "buy", 10)])
    [trade] = run.table("trades")
    assert (trade["exit_px"], trade["mae"], trade["mfe"]) == ("45", "-0.1", "0.1")


def test_a_short_pays_for_a_delisting(tmp_path: Path) -> None:
    """10 sold at 50 and bought back, in effect, at 20: 300 gained."""
    run = act(
        tmp_path,
        [f"{WEDNESDAY},AAA,delist,20,"],
        [daily(at(50), at(50)), OTHER],
        [submit(None, "a", "sell", 10)],
        sets=SHORT,
    )
    assert held(run) == {}
    assert equity(run)[-1] == "100300"


# -- what prices contain already ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adjustment", "booked", "notice"),
    [
        (Adjustment.RAW, ["split", "dividend"], ""),
        (Adjustment.SPLIT, ["dividend"], "not booked, because split-adjusted prices contain them: 1 split"),
        (Adjustment.TOTAL, [], "not booked, because total-adjusted prices contain them: 1 split, 1 dividend"),
    ],
)
def test_only_what_the_prices_do_not_contain_is_booked(
    tmp_path: Path, adjustment: Adjustment, booked: list[str], notice: str
) -> None:
    """Raw prices: both; split-adjusted ones: dividends; total: neither, and a notice counts what was left out."""
    run = act(
        tmp_path,
        [f"{WEDNESDAY},AAA,split,2,", f"{THURSDAY},AAA,dividend,1,"],
        daily(*[at(50)] * 4),
        [submit(None, "a", "buy", 10)],
        adjustment,
    )
    kinds = {"PositionAdjusted": "split", "DividendAccrued": "dividend"}
    assert [kinds[e["type"]] for e in events(run, *kinds)] == booked
    assert [n for n in run.notices if "not booked" in n] == ([notice] if notice else [])


# -- real prices -------------------------------------------------------------------------------------------------------


def real(folder: Path, data: Path, symbols: tuple[str, ...], first: str, last: str) -> str:
    """Return unadjusted daily bars of Lean's sample as CSV."""
    frame = pl.read_parquet(data / "lean_daily_raw" / "daily_raw_unadjusted.parquet")
    day = pl.col("date").dt.strftime("%Y-%m-%d")
    frame = frame.filter(pl.col("symbol").is_in(symbols) & day.is_between(pl.lit(first), pl.lit(last)))
    frame = frame.sort("date", "symbol").select(day.alias("ts"), "symbol", "open", "high", "low", "close", "volume")
    folder.mkdir(parents=True, exist_ok=True)
    return frame.write_csv().rstrip("\n")


def test_apples_split_of_2020_passes_through_long_and_short_to_the_cent(tmp_path: Path, test_data: Path) -> None:
    """Four for one before the open of 2020-08-31; AAPL closed at 499.23 on the Friday, which is 124.8075.

    Bought on the 27th at its open of 508.50: 10 become 40 at 127.125, worth 4,992.30 before and after. The stop at 480
    is one of 120 and holds (the low of the 31st is 126.25); the limit at 508 for 10 is one at 127 for 40 and is met at
    the 31st's low, bought at the open of 127.67 it is not: 127. Sold short the same: -10 become -40.
    """
    bars = real(tmp_path, test_data, ("AAPL",), "2020-08-27", "2020-09-02")
    split = ["2020-08-31,AAPL,split,4:1,"]
    late = "2020-08-28T20:00:00Z"
    long = act(
        tmp_path / "long",
        split,
        bars,
        [
            submit(None, "a", "buy", 10, symbol="AAPL"),
            submit(late, "stop", "sell", 10, symbol="AAPL", type="stop", stop_px=480, **GTC),
            submit(late, "limit", "buy", 10, symbol="AAPL", type="limit", limit_px=508, **GTC),
        ],
    )
    [adjusted] = events(long, "PositionAdjusted")
    assert (adjusted["qty"], adjusted["cost"], adjusted["cash"]) == (40, 5085, 94915)
    friday, monday = long.table("equity")[2:4]
    assert (friday["equity"], friday["cash"]) == ("99907.3", "94915")  # 94,915 + 10 x 499.23
    assert fill(long, "limit") == ("2020-08-31", "40", "127")
    assert monday["equity"] == "100158.2"  # 94,915 - 40 x 127 + 80 x 129.04
    assert terms(long, "stop") == ("40", "", "120", "new")
    short = act(tmp_path / "short", split, bars, [submit(None, "a", "sell", 10, symbol="AAPL")], sets=SHORT)
    assert held(short) == {"AAPL": ("-40", "127.125")}
    friday, monday = short.table("equity")[2:4]
    assert friday["equity"] == "100092.7"  # 100,000 + 5,085 - 4,992.30
    assert monday["equity"] == "99923.4"  # 105,085 - 40 x 129.04


def test_googles_class_c_is_bought_under_one_name_and_sold_under_the_next(tmp_path: Path, test_data: Path) -> None:
    """GOOCV, traded when issued, became GOOG on 2014-04-03, whose name class A gave up that day for GOOGL.

    10 bought on 2014-03-28 at its open of 561.25 close at 567.00 on 2014-04-02 as GOOCV and at 569.74 the day after as
    GOOG: 100,057.50 and 100,084.90. The older GOOG, at 1,135.10, must not be taken for it, in whatever order the two
    lines stand.
    """
    bars = real(tmp_path, test_data, ("GOOCV", "GOOG", "GOOGL"), "2014-03-28", "2014-04-04")
    run = act(
        tmp_path,
        ["2014-04-03,GOOCV,rename,GOOG,", "2014-04-03,GOOG,rename,GOOGL,"],
        bars,
        [
            submit(None, "a", "buy", 10, symbol="GOOCV"),
            submit("2014-04-02T20:00:00Z", "s", "sell", 4, symbol="GOOCV", type="stop", stop_px=550, **GTC),
        ],
    )
    rows = {row["ts"][:10]: row["equity"] for row in run.table("equity")}
    assert (rows["2014-04-02"], rows["2014-04-03"]) == ("100057.5", "100084.9")
    assert fill(run, "s") == ("2014-04-04", "4", "550")
    assert held(run) == {"GOOG": ("6", "561.25")}
