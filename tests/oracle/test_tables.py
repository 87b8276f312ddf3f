"""Times, calendars, files and tables (semantics section 1, contract sections 2 and 3)."""

from __future__ import annotations

import itertools
import math
import re
from decimal import Decimal
from pathlib import Path

import pytest

from daemon.kernel.errors import OperatorError
from oracle.sheet import DAYS, Run, daily, minutes, play, submit

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = DAYS
FLAT = (100, 100, 100, 100)

HEADERS = {
    "equity": "ts,equity,cash,gross,net,drawdown",
    "orders": "order_id,client_order_id,ts,symbol,side,type,tif,qty,limit_px,stop_px,status,cum_qty,avg_px,reason,"
    "strategy,parent_id,terms,decision_px,arrival_px,end_ts,end_px,missed_qty,expected_cost",
    "fills": "ts,order_id,exec_id,symbol,side,qty,price,px_source,fee,liquidity,ref_px,spread,slippage,impact,"
    "commission",
    "trades": "symbol,side,qty,entry_ts,entry_px,exit_ts,exit_px,fees,pnl,return,mae,mfe,entry_confidence,exit_reason,"
    "strategy",
    "positions": "symbol,qty,avg_px,market_px,unrealized_pnl,realized_pnl",
    "predictions": "ts,symbol,model,horizon,prediction,score,confidence,p_up,price,target_price,realized,"
    "realized_tradable,hit",
}
METRICS = """
total_return cagr cagr_calendar annual_return_arithmetic volatility downside_deviation sharpe sharpe_ci_low
sharpe_ci_high sortino calmar max_drawdown max_drawdown_sessions max_drawdown_days time_under_water ulcer_index
upi omega tail_ratio skew kurtosis_excess var_95 cvar_95 var_99 cvar_99 var_95_normal cvar_95_normal psr dsr
min_trl alpha beta r_squared correlation tracking_error information_ratio treynor num_trades win_rate
profit_factor payoff_ratio expectancy avg_win avg_loss avg_trade largest_win largest_loss max_consecutive_wins
max_consecutive_losses recovery_factor avg_holding_sessions turnover exposure_gross exposure_net time_in_market
commission_total slippage_total
"""


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A week with a round trip at prices that tempt a float into an exponent."""
    cents = [(0.00001234,) * 4, (0.00001235,) * 4, (0.0000124,) * 4, (0.0000125,) * 4, (0.0000124,) * 4]
    script = [
        submit(MONDAY, "b", "buy", 1_000_000),
        submit(WEDNESDAY, "s", "sell", 0.000001),
        submit(FRIDAY, "open", "buy", 1, type="limit", limit_px=0.00000001, tif="gtc"),
    ]
    folder = tmp_path_factory.mktemp("week")
    return play(folder, daily(*cents), script, sets=["portfolio.lot_size=0.000001", "portfolio.cash=20"])


@pytest.mark.parametrize("name", HEADERS)
def test_columns_and_their_order(week: Run, name: str) -> None:
    """As the contract names them; what is added stands behind."""
    header = (week.folder / f"{name}.csv").read_text().splitlines()[0]
    assert header.startswith(HEADERS[name])


def test_numbers_are_plain_decimals_and_times_are_utc(week: Run) -> None:
    """No exponents anywhere; RFC 3339 with milliseconds and Z."""
    for path in (*week.folder.glob("*.csv"), week.folder / "metrics.json"):
        text = path.read_text()
        assert not re.search(r"(?<![\w-])-?\d+(\.\d+)?[eE][+-]?\d+(?![\w-])", text), path.name
    stamps = [row["ts"] for name in ("equity", "orders", "fills") for row in week.table(name)]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}Z", ts) for ts in stamps)
    assert stamps
    assert week.order("open")["status"] == "new"


def test_equity_begins_with_the_starting_cash_and_has_a_row_per_close(week: Run) -> None:
    """Six rows for five sessions; drawdown is a fraction of the highest close so far."""
    rows = week.table("equity")
    assert [r["equity"] for r in rows[:2]] == ["20", "20"]
    assert [r["ts"] for r in rows[1:]] == [f"{day}T21:00:00.000Z" for day in DAYS]
    peak = Decimal(0)
    for row in rows:
        equity = Decimal(row["equity"])
        peak = max(peak, equity)
        assert equity == Decimal(row["cash"]) + Decimal(row["net"])
        assert math.isclose(float(row["drawdown"]), float(equity / peak - 1), abs_tol=1e-12)


def test_metrics_have_every_name_with_definition_and_count(week: Run) -> None:
    """Null where undefined, never a stand-in."""
    found = week.document["metrics"]
    assert [name for name in METRICS.split() if name not in found] == []
    assert all({"value", "definition", "n"} <= found[name].keys() for name in METRICS.split())
    assert all(m["value"] is None or math.isfinite(m["value"]) for m in found.values())


def test_metrics_follow_from_equity_csv(tmp_path: Path) -> None:
    """Recomputed here from the closes with rf 2 %: total return, volatility, Sharpe, Sortino, drawdown, ulcer."""
    bars = daily(FLAT, (100, 104, 99, 103), (103, 104, 96, 97), (97, 101, 97, 100), (100, 108, 99, 107))
    script = [submit(MONDAY, "b", "buy", 500), submit(THURSDAY, "s", "sell", 200)]
    run = play(tmp_path, bars, script)
    equity = [float(r["equity"]) for r in run.table("equity")]
    r = [b / a - 1 for a, b in itertools.pairwise(equity)]
    n, year = len(r), 252
    rf = 1.02 ** (1 / year) - 1
    mean = sum(r) / n
    deviation = math.sqrt(sum((x - mean) ** 2 for x in r) / (n - 1))
    downside = math.sqrt(sum(min(x, 0) ** 2 for x in r) / n)
    peaks = [max(equity[: i + 1]) for i in range(len(equity))]
    depth = [e / p - 1 for e, p in zip(equity, peaks, strict=True)]
    cagr = (equity[-1] / equity[0]) ** (year / n) - 1
    expected = {
        "total_return": equity[-1] / equity[0] - 1,
        "cagr": cagr,
        "volatility": deviation * math.sqrt(year),
        "sharpe": (mean - rf) / deviation * math.sqrt(year),
        "sortino": mean / downside * math.sqrt(year),
        "max_drawdown": min(depth),
        "ulcer_index": math.sqrt(sum(d * d for d in depth[1:]) / n),
        "calmar": cagr / abs(min(depth)),
        "omega": sum(max(x, 0) for x in r) / sum(max(-x, 0) for x in r),
        "num_trades": 1,
        "win_rate": 0.0,
        "avg_trade": 200 * (97 - 100),
        "commission_total": 0,
    }
    found = run.document["metrics"]
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, rel=1e-9), name


def test_always_closes_at_midnight_utc(tmp_path: Path) -> None:
    """A weekend of daily bars: each runs from 00:00 to 00:00 UTC."""
    rows = [("2024-03-09", 100, 105), ("2024-03-10", 105, 108), ("2024-03-11", 108, 118)]
    bars = "\n".join(
        ["ts,symbol,open,high,low,close", *(f"{d},AAA,{o},{max(o, c)},{min(o, c)},{c}" for d, o, c in rows)]
    )
    script = [submit(None, "first", "buy", 1), submit("2024-03-10", "date", "buy", 1)]
    run = play(tmp_path, bars, script, sets=["universe.calendar=always"])
    assert [(f["ts"], f["price"]) for f in run.table("fills")] == [
        ("2024-03-10T00:00:00.000Z", "100"),
        ("2024-03-11T00:00:00.000Z", "105"),
    ]


def test_sessions_follow_daylight_saving(tmp_path: Path) -> None:
    """The Friday before the change closes at 21:00 UTC, the Monday after at 20:00."""
    bars = "ts,symbol,open,high,low,close\n2024-03-08,AAA,1,1,1,1\n2024-03-11,AAA,1,1,1,1"
    run = play(tmp_path, bars, [submit(None, "x", "buy", 1)])
    assert [r["ts"] for r in run.table("equity")] == [
        "2024-03-08T14:30:00.000Z",
        "2024-03-08T21:00:00.000Z",
        "2024-03-11T20:00:00.000Z",
    ]


def test_a_time_without_offset_needs_a_zone(tmp_path: Path) -> None:
    """An error that says so; with --tz it is read in that zone, in bars and scripts alike."""
    bars = minutes(FLAT, (101,) * 4, (102,) * 4, first="09:30").replace("Z,", ",")
    script = [submit("2024-03-05T09:31:00", "x", "buy", 1)]
    with pytest.raises(OperatorError, match="offset"):
        play(tmp_path / "a", bars, script)
    run = play(tmp_path / "b", bars, script, tz="America/New_York")
    assert [(f["ts"], f["price"]) for f in run.table("fills")] == [("2024-03-05T14:32:00.000Z", "101")]


def test_from_and_to_are_inclusive_exchange_dates(tmp_path: Path) -> None:
    """Wednesday to Thursday: two closes; null is Wednesday's open."""
    bars = daily(*[(px,) * 4 for px in (100, 101, 102, 103, 104)])
    run = play(tmp_path, bars, [submit(None, "x", "buy", 1)], date_from=20240306, date_to=20240307)
    assert [r["ts"][:10] for r in run.table("equity")[1:]] == [WEDNESDAY, THURSDAY]
    assert run.fills("x")[0]["price"] == "102"


def test_minutes_become_five_minutes(tmp_path: Path) -> None:
    """Buckets from the open; an order in mid-bucket waits for the next; finer than the data is refused."""
    bars = minutes(*[(100 + i, 101 + i, 99 + i, 100 + i, 10) for i in range(12)])
    script = [
        submit("2024-03-05T14:35:00Z", "start", "buy", 1),
        submit("2024-03-05T14:36:00Z", "inside", "buy", 1),
        submit("2024-03-05T14:35:00Z", "low", "buy", 1, type="limit", limit_px=104),  # 14:35 to 14:40: low 104
    ]
    run = play(tmp_path / "a", bars, script, interval="5m")
    assert {n: [(f["ts"][11:16], f["price"]) for f in run.fills(n)] for n in ("start", "inside", "low")} == {
        "start": [("14:40", "105")],
        "inside": [("14:45", "110")],
        "low": [("14:40", "104")],
    }
    with pytest.raises(OperatorError, match="finer than the data"):
        play(tmp_path / "b", bars, script, interval="30s")


def test_bars_outside_the_session_neither_fill_nor_mark(tmp_path: Path) -> None:
    """Counted and said; with extended_hours they fill, and null is the first of them."""
    bars = "\n".join(
        [
            "ts,symbol,open,high,low,close,volume",
            *(
                f"{TUESDAY}T14:{m}:00Z,AAA,{px},{px},{px},{px},10"
                for m, px in ((28, 50), (29, 51), (30, 100), (31, 101))
            ),
            f"{TUESDAY}T21:00:00Z,AAA,200,200,200,200,10",
        ]
    )
    script = [submit(None, "x", "buy", 1)]
    run = play(tmp_path / "a", bars, script)
    assert (run.fills("x")[0]["price"], run.table("equity")[-1]["equity"]) == ("100", "100001")
    assert any("outside" in notice for notice in run.notices)
    run = play(tmp_path / "b", bars, script, sets=["broker.extended_hours=true"])
    assert run.fills("x")[0]["price"] == "50"


def test_quotes_merge_into_bars_and_set_the_spread(tmp_path: Path) -> None:
    """A second file with bid_open ... ask_close: half of 0.14 is paid instead of the modelled spread."""
    quotes = f"ts,symbol,bid_open,bid_close,ask_open,ask_close\n{TUESDAY}T14:31:00Z,AAA,99.95,99.9,100.09,100.1"
    bars = minutes(*[FLAT] * 3)
    script = [
        submit("2024-03-05T14:31:00Z", "quoted", "buy", 10),
        submit("2024-03-05T14:32:00Z", "modelled", "buy", 10),
    ]
    run = play(tmp_path, [bars, quotes], script, "plan", ["broker.impact=none"])
    assert run.fills("quoted")[0]["price"] == "100.12"  # 0.07 + 5 bps
    assert run.fills("modelled")[0]["price"] == "100.0575"  # 0.75 + 5 bps


@pytest.mark.parametrize("adjustment", ["raw", "split", "total"])
def test_adjustment_is_stated(tmp_path: Path, adjustment: str) -> None:
    """What the operator says stands in run.json; where nothing is said a notice does."""
    bars, script = daily(FLAT, FLAT), [submit(None, "x", "buy", 1)]
    run = play(tmp_path / "said", bars, script, adjustment=adjustment)
    assert f'"adjustment": "{adjustment}"' in (run.folder / "run.json").read_text()
    assert not any("adjust" in notice for notice in run.notices)
    silent = play(tmp_path / "silent", bars, script)
    assert any("--adjustment" in notice for notice in silent.notices)
