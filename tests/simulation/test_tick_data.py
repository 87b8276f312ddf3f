"""An hour of real quotes and prints: every fill, the cash and the position, recomputed from the files alone."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daemon.system.verify import verify_path
from tests_support import replay

HOUR = ("2013-10-07T14:00:00", "2013-10-07T15:00:00")
"""UTC: 10:00 to 11:00 in New York."""

ORDERS = [
    ("14:00:30", {"id": "m1", "side": "buy", "qty": 300000}),
    ("14:05:00", {"id": "m2", "side": "sell", "qty": 1200}),
    ("14:05:00", {"id": "l1", "side": "buy", "qty": 3000, "type": "limit", "limit_px": 13.82}),
    ("14:06:00", {"id": "l2", "side": "sell", "qty": 3000, "type": "limit", "limit_px": 13.9}),
    ("14:06:00", {"id": "s1", "side": "sell", "qty": 500, "type": "stop", "stop_px": 13.83}),
    ("14:10:00", {"id": "t1", "side": "sell", "qty": 300, "type": "trailing_stop", "trail_amount": 0.02}),
    ("14:20:00", {"id": "i1", "side": "buy", "qty": 900000, "tif": "ioc"}),
    ("14:30:00", {"id": "z1", "side": "buy", "qty": 2000, "type": "limit", "limit_px": 13.8, "display_qty": 200}),
]
FREE = ["risk.max_position=0", "risk.max_order_value=0", "risk.max_order_fraction=0", "risk.price_collar=0"]


def of_the_hour(path: Path, to: Path) -> pl.DataFrame:
    """Write the hour of BAC into a file of its own, times in UTC; return it."""
    begin, end = (pl.lit(text).str.to_datetime(time_zone="UTC") for text in HOUR)
    ts = pl.col("ts").dt.convert_time_zone("UTC")
    frame = pl.scan_parquet(path).filter((pl.col("symbol") == "BAC") & (pl.col("suspicious") == 0))
    frame = frame.with_columns(ts=ts).filter((pl.col("ts") >= begin) & (pl.col("ts") < end)).sort("ts").collect()
    frame.write_parquet(to)
    return frame


@pytest.fixture(scope="module")
def played(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Replay the hour without costs."""
    folder = tmp_path_factory.mktemp("hour")
    quotes = of_the_hour(test_data / "tick_quotes_lean.parquet", folder / "quotes.parquet")
    trades = of_the_hour(test_data / "tick_trades_lean.parquet", folder / "trades.parquet")
    lines = [
        {"at": f"2013-10-07T{at}Z", "submit": {"symbol": "BAC", "type": "market", **terms}} for at, terms in ORDERS
    ]
    (folder / "orders.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    replay(
        folder / "run",
        profile="frictionless",
        sets=["portfolio.cash=20000000", *FREE],
        quotes=(folder / "quotes.parquet",),
        trades=(folder / "trades.parquet",),
        orders=folder / "orders.jsonl",
    )
    with (folder / "run" / "fills.csv").open(newline="") as handle:
        fills = list(csv.DictReader(handle))
    with (folder / "run" / "orders.csv").open(newline="") as handle:
        orders = {row["order_id"]: row for row in csv.DictReader(handle)}
    return {"folder": folder / "run", "quotes": quotes, "trades": trades, "fills": fills, "orders": orders}


def test_every_fill_at_a_quote_is_at_the_touch_and_within_its_size(played: dict[str, Any]) -> None:
    """The book is rebuilt here: the last non-zero bid and ask with their sizes, behind all rows of an instant."""
    side = {"buy": ("ask", "ask_size"), "sell": ("bid", "bid_size")}
    book = (
        played["quotes"]
        .with_columns([pl.when(pl.col(name.split("_")[0]) > 0).then(pl.col(name)).alias(name)
                       for name in ("bid", "bid_size", "ask", "ask_size")])
        .select("ts", pl.col("bid", "bid_size", "ask", "ask_size").forward_fill())
        .group_by("ts", maintain_order=True).last()
    )  # fmt: skip
    rows = {ts.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z": row for ts, *row in book.iter_rows()}
    at_quotes = [fill for fill in played["fills"] if fill["px_source"] == "quote"]
    assert len(at_quotes) > 5
    for fill in at_quotes:
        row = dict(zip(("bid", "bid_size", "ask", "ask_size"), rows[fill["ts"]], strict=True))
        px, size = side[fill["side"]]
        assert Decimal(fill["price"]) == Decimal(str(row[px])), fill
        assert Decimal(fill["qty"]) <= Decimal(row[size]), fill
        # The reference is the middle, and what lies between is spread.
        half = abs(Decimal(str(row["ask"])) - Decimal(str(row["bid"]))) / 2
        assert Decimal(fill["spread"]) == half * Decimal(fill["qty"])


def test_what_was_taken_at_a_price_is_not_taken_twice(played: dict[str, Any]) -> None:
    """Between two fills at one price with no other ask between them, the shown size bounds them together."""
    quotes = played["quotes"].filter(pl.col("ask") > 0).select("ts", "ask", "ask_size")
    runs = quotes.with_columns(run=(pl.col("ask") != pl.col("ask").shift(1)).cum_sum().fill_null(0))
    shown = dict(runs.group_by("run").agg(pl.col("ask_size").max()).iter_rows())
    taken: dict[int, Decimal] = {}
    buys = [f for f in played["fills"] if f["px_source"] == "quote" and f["side"] == "buy"]
    for fill in buys:
        ts = pl.lit(fill["ts"]).str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_zone="UTC")
        run = runs.filter(pl.col("ts").cast(pl.Datetime("ms", "UTC")) <= ts.cast(pl.Datetime("ms", "UTC")))["run"][-1]
        taken[run] = taken.get(run, Decimal(0)) + Decimal(fill["qty"])
    assert taken
    for run, qty in taken.items():
        assert qty <= shown[run]


def test_every_fill_at_a_print_has_a_print_for_it(played: dict[str, Any]) -> None:
    """At the limit, where something printed at or through it in that millisecond, and no more than that."""
    trades = played["trades"].with_columns(at=pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
    at_prints = [fill for fill in played["fills"] if fill["px_source"] == "trade"]
    assert at_prints
    for fill in at_prints:
        order = played["orders"][fill["order_id"]]
        limit = Decimal(order["limit_px"])
        assert Decimal(fill["price"]) == limit
        assert fill["liquidity"] == "maker"
        sign = 1 if fill["side"] == "buy" else -1
        prints = trades.filter(pl.col("at") == fill["ts"])
        reached = [size for px, size in prints.select("price", "size").iter_rows() if sign * (float(limit) - px) >= 0]
        assert Decimal(fill["qty"]) <= sum(reached)


def test_cash_position_and_equity_follow_from_the_fills_and_the_last_print(played: dict[str, Any]) -> None:
    """Cash = 20,000,000 less what was bought plus what was sold; the close is marked at the hour's last print."""
    cash, held = Decimal(20_000_000), Decimal(0)
    for fill in played["fills"]:
        qty = Decimal(fill["qty"]) * (1 if fill["side"] == "buy" else -1)
        held += qty
        cash -= qty * Decimal(fill["price"]) + Decimal(fill["fee"])
    last = Decimal(str(played["trades"]["price"][-1]))
    with (played["folder"] / "equity.csv").open(newline="") as handle:
        end = list(csv.DictReader(handle))[-1]
    assert Decimal(end["cash"]) == cash
    assert Decimal(end["equity"]) == cash + held * last
    with (played["folder"] / "positions.csv").open(newline="") as handle:
        [row] = csv.DictReader(handle)
    assert Decimal(row["qty"]) == held
    assert verify_path(played["folder"]).ok


def test_the_orders_end_as_their_terms_say(played: dict[str, Any]) -> None:
    """Filled whole, cut by what was shown, or expired with the day; nothing beyond its quantity."""
    ends = {row["client_order_id"]: row for row in played["orders"].values()}
    assert {name: ends[name]["status"] for name in ("m1", "m2", "i1")} == {
        "m1": "filled", "m2": "filled", "i1": "canceled",
    }  # fmt: skip
    assert 0 < Decimal(ends["i1"]["cum_qty"]) < 900_000
    for row in ends.values():
        assert Decimal(row["cum_qty"]) <= Decimal(row["qty"])
