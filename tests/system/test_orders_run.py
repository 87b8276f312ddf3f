"""A run with every kind of order over a split, a dividend and a new name: it verifies, and its views are its tables."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from actors.messages.orders import OrderType, TimeInForce
from actors.values import parse_interval
from actors.values.universe import Adjustment
from daemon.system.replay import ReplayResult
from daemon.system.verify import verify_path
from daemon.system.views import Projector
from daemon.system.views_rows import Filter, Views
from daemon.system.views_why import why
from tests_support import replay

SEED: Final = 4
DAYS: Final = ("2020-01-06", "2020-01-07", "2020-01-08")  # Monday to Wednesday
MINUTES: Final = 60
"""Of each session that have bars; a session opens at 14:30 UTC and has 390."""
ALL: Final = Filter(everything=True, limit=10**9)


def write_bars(path: Path, rng: random.Random) -> None:
    """Two symbols that wander; AA is split 2:1 before the second day, BB is called CC from the third."""
    rows = ["ts,symbol,open,high,low,close,volume"]
    price = {"AA": 100.0, "BB": 50.0}
    for number, day in enumerate(DAYS):
        if number == 1:
            price["AA"] /= 2
        start = datetime.fromisoformat(f"{day}T14:30:00+00:00")
        for minute in range(MINUTES):
            for symbol, last in price.items():
                name = "CC" if symbol == "BB" and number == 2 else symbol
                close = round(last * (1 + rng.uniform(-0.004, 0.004)), 2)
                high = round(max(last, close) * (1 + rng.uniform(0, 0.003)), 2)
                low = round(min(last, close) * (1 - rng.uniform(0, 0.003)), 2)
                stamp = (start + timedelta(minutes=minute)).isoformat()
                rows.append(f"{stamp},{name},{round(last, 2)},{high},{low},{close},{rng.choice((500, 5_000, 50_000))}")
                price[symbol] = close
    path.write_text("\n".join(rows), "utf-8")


def order(rng: random.Random, number: int, symbol: str, px: float) -> dict[str, Any]:
    """Return one order of a kind drawn at random, near the market at ``px``."""
    side = rng.choice(("buy", "buy", "sell"))
    sign = 1 if side == "buy" else -1
    kind = rng.choice(list(OrderType))
    body: dict[str, Any] = {"id": f"o{number}", "symbol": symbol, "side": side, "qty": rng.randint(2, 60), "type": kind}
    near = [round(px * (1 + sign * rng.uniform(-0.01, 0.01)), 2) for _ in range(2)]
    if kind in (OrderType.LIMIT, OrderType.TAKE_PROFIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED):
        body["limit_px"] = near[0]
    if kind in (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED):
        body["stop_px"] = near[1]
    if kind is OrderType.TRAILING_STOP:
        body |= rng.choice(
            ({"trail_amount": 0.5}, {"trail_percent": 0.75}, {"trail_percent": 0.5, "activation_px": near[0]})
        )
    tifs = ["day", "gtc", "gtd"]
    tifs += ["ioc", "fok"] if kind in (OrderType.MARKET, OrderType.LIMIT, OrderType.TAKE_PROFIT) else []
    tifs += ["opg", "cls"] if kind in (OrderType.MARKET, OrderType.LIMIT) else []
    if not kind.startswith("market_on"):
        body["tif"] = rng.choice(tifs)
    if body.get("tif") == "gtd":
        body["expire_at"] = rng.choice(DAYS)
    resting = body.get("tif") in (None, "day", "gtc", "gtd")
    if "limit_px" in body and resting and rng.random() < 0.3:
        body["display_qty"] = rng.randint(1, body["qty"])
    if kind in (OrderType.LIMIT, OrderType.TAKE_PROFIT) and resting and rng.random() < 0.2:
        body["post_only"] = True
    if rng.random() < 0.15:
        body["oco_group"] = f"g{number % 3}-{symbol}-{side}"
    if side == "buy" and rng.random() < 0.4:
        entry = body.get("limit_px") or (body["stop_px"] if kind is OrderType.STOP else px)
        exits: dict[str, Any] = {"take_profit_px": round(max(entry, px) * 1.012, 2)}
        exits |= rng.choice(({"stop_px": round(min(entry, px) * 0.988, 2)}, {"trail_percent": 1}, {}))
        body["bracket"] = exits
    if side == "sell" and rng.random() < 0.5:
        body["reduce_only"] = True
    return body


def write_orders(path: Path, bars: Path, rng: random.Random) -> None:
    """Three hundred orders over the three days, some replaced or cancelled later."""
    with bars.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    lines = []
    for number in range(300):
        row = rows[rng.randrange(len(rows))]
        at = datetime.fromisoformat(row["ts"]) + timedelta(seconds=rng.randint(0, 59))
        lines.append((at, {"submit": order(rng, number, row["symbol"], float(row["close"]))}))
        if rng.random() < 0.2:
            later = at + timedelta(minutes=rng.randint(1, 20))
            lines.append((later, rng.choice(({"cancel": f"o{number}"}, {"replace": {"id": f"o{number}", "qty": 30}}))))
    text = [json.dumps({"at": at.astimezone(UTC).isoformat(), **line}) for at, line in lines]
    path.write_text("\n".join(text), "utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReplayResult:
    """That run."""
    folder = tmp_path_factory.mktemp("orders")
    rng = random.Random(SEED)  # noqa: S311 - a test's orders are no secret
    write_bars(folder / "bars.csv", rng)
    write_orders(folder / "orders.jsonl", folder / "bars.csv", rng)
    actions = [
        "ex_date,symbol,kind,value",
        "2020-01-07,AA,split,2",
        "2020-01-07,BB,dividend,0.5",
        "2020-01-08,BB,rename,CC",
    ]
    (folder / "actions.csv").write_text("\n".join(actions), "utf-8")
    return replay(
        folder / "run",
        bars=(folder / "bars.csv",),
        actions=(folder / "actions.csv",),
        orders=folder / "orders.jsonl",
        adjustment=Adjustment.RAW,
        interval=parse_interval("1m"),
        durable=True,
        sets=("risk.max_position=0", "risk.max_positions=0", "risk.min_order_value=0"),
    )


def table(folder: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV of the run folder."""
    with (folder / name).open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def cell(value: Any) -> str:
    """Return a value of a row as a CSV has it."""
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return "" if value is None else str(value)


def test_the_run_is_what_it_should_be(run: ReplayResult) -> None:
    """Every type and time in force was taken at least once, and orders ended in every way there is."""
    rows = [row for row in table(run.folder, "orders.csv") if row["status"] not in ("denied", "rejected")]
    assert {row["type"] for row in rows} == set(OrderType)
    assert {row["tif"] for row in rows} == set(TimeInForce)
    assert {"filled", "canceled", "expired"} <= {row["status"] for row in rows}
    ends = Counter(row["reason"] for row in rows if row["status"] == "canceled")
    assert ends["OCO"] > 3
    assert sum(row["client_order_id"].endswith(("-tp", "-sl")) for row in rows) > 10
    refused = Counter(
        row["reason"].partition(":")[0] for row in table(run.folder, "orders.csv") if row["status"] == "denied"
    )
    assert not {"BAD_FIELD", "BAD_TYPE", "BAD_TIF", "BAD_TRAIL", "BAD_DISPLAY"} & refused.keys(), refused


def test_its_folder_verifies(run: ReplayResult) -> None:
    """Integrity, double entry, orders, books."""
    assert [check for check in verify_path(run.folder).checks if not check.ok] == []


@pytest.fixture(scope="module")
def views(run: ReplayResult, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run's views."""
    folder = tmp_path_factory.mktemp("views")
    shutil.copy(run.folder / "ledger.db", folder / "ledger.db")
    projector = Projector(folder)
    projector.catch_up()
    projector.stop()
    found = Views(folder / "views.db")
    yield found
    found.close()


@pytest.mark.parametrize("name", ["orders", "fills", "trades"])
def test_lists_equal_its_tables(run: ReplayResult, views: Views, name: str) -> None:
    """Row by row, terms, restated quantities and averages included."""
    found = [{field: cell(value) for field, value in row.items()} for row in getattr(views, name)(ALL)["rows"]][::-1]
    expected = table(run.folder, f"{name}.csv")
    assert len(found) == len(expected) > 20
    for row, other in zip(found, expected, strict=True):
        if name == "orders":
            row.setdefault("terms", "")
        assert row == {field: other[field] for field in row}


def test_positions_equal_its_table(run: ReplayResult, views: Views) -> None:
    """Under the names and in the shares of the end."""
    with views.reading() as (db, _):
        rows = db.execute("SELECT symbol, qty, cost, realized FROM positions ORDER BY symbol").fetchall()
    expected = {row["symbol"]: row for row in table(run.folder, "positions.csv")}
    assert [row["symbol"] for row in rows] == sorted(expected)
    for row in rows:
        other = expected[row["symbol"]]
        assert Decimal(row["qty"]) / 10**8 == Decimal(other["qty"])
        assert Decimal(row["realized"]) / 10**8 == Decimal(other["realized_pnl"])


def test_every_order_has_a_story(run: ReplayResult, views: Views) -> None:
    """None fails; the story's status and fills are the tables'."""
    fills = Counter(row["order_id"] for row in table(run.folder, "fills.csv"))
    for row in table(run.folder, "orders.csv"):
        story = why(views, row["client_order_id"])
        assert (story["order"]["status"], len(story["fills"])) == (row["status"], fills[row["order_id"]])
