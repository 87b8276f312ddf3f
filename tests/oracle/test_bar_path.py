"""When an order is live on bars and at which price it fills (semantics sections 1 and 2), case by case on paper."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oracle.sheet import DAYS, daily, dec, minutes, play, submit

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = DAYS


class Case(msgspec.Struct, frozen=True):
    """An order on the Tuesday's bar, and what it must become.

    ``bar`` is open, high, low, close; ``held`` shares were bought at 100 on the Monday; ``fill`` is (price, source),
    None where nothing fills.
    """

    why: str
    side: str
    terms: dict[str, Any]
    bar: tuple[float, float, float, float]
    fill: tuple[str, str] | None
    status: str = "filled"
    held: int = 100
    profile: str = "frictionless"


LIMIT = "limit"
STOP = "stop"


def limit(px: float, **more: Any) -> dict[str, Any]:
    """Return the terms of a limit order."""
    return {"type": LIMIT, "limit_px": px, **more}


def stop(px: float, **more: Any) -> dict[str, Any]:
    """Return the terms of a stop order."""
    return {"type": STOP, "stop_px": px, **more}


CASES = [
    Case("a market order meets the open", "buy", {}, (103, 110, 101, 108), ("103", "open")),
    Case("so does a sale", "sell", {}, (103, 110, 101, 108), ("103", "open")),
    Case("a limit inside the bar fills at its price", "buy", limit(102), (103, 110, 101, 108), ("102", "intrabar")),
    Case("a bar that opens through a buy limit fills better", "buy", limit(104), (103, 110, 101, 108), ("103", "open")),
    Case("a bar that opens through a sell limit too", "sell", limit(102), (103, 110, 101, 108), ("103", "open")),
    Case("a sell limit inside", "sell", limit(109), (103, 110, 101, 108), ("109", "intrabar")),
    Case("frictionless fills on touch", "buy", limit(101), (103, 110, 101, 108), ("101", "intrabar")),
    Case("and at the high", "sell", limit(110), (103, 110, 101, 108), ("110", "intrabar")),
    Case("a tick short of the touch is none", "buy", limit(100.99), (103, 110, 101, 108), None, "expired"),
    Case("plan needs a trade through", "buy", limit(101), (103, 110, 101, 108), None, "expired", 100, "plan"),
    Case("a cent through is", "buy", limit(101.01), (103, 110, 101, 108), ("101.01", "intrabar"), profile="plan"),
    Case("a buy stop inside", "buy", stop(105), (103, 110, 101, 108), ("105", "intrabar")),
    Case("a buy stop jumped over pays the open", "buy", stop(102), (103, 110, 101, 108), ("103", "open")),
    Case("a sell stop inside", "sell", stop(102), (103, 110, 101, 108), ("102", "intrabar")),
    Case("a sell stop jumped over gets the open", "sell", stop(104), (103, 110, 101, 108), ("103", "open")),
    Case("a stop triggers at its price", "sell", stop(101), (103, 110, 101, 108), ("101", "intrabar")),
    Case("a stop not reached rests", "sell", stop(100.99), (103, 110, 101, 108), None, "expired"),
    Case("good till cancelled stays new", "sell", stop(50, tif="gtc"), (103, 110, 101, 108), None, "new"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_an_order_meets_a_bar(tmp_path: Path, case: Case) -> None:
    """One order, live for the whole of the Tuesday's bar."""
    script = [
        submit(None, "held", "buy", case.held),
        submit(TUESDAY, "x", case.side, 10, **case.terms),
    ]
    # The collar, the position cap and costs are other tests' business.
    sets = ["risk.price_collar=0", "broker.commission_rate=0"] if case.profile == "plan" else []
    run = play(tmp_path, daily((100, 105, 98, 102), case.bar), script, case.profile, sets)
    order = run.order("x")
    assert order["status"] == case.status
    got = [(Decimal(f["price"]), f["px_source"], f["ts"]) for f in run.fills("x")]
    assert got == ([] if case.fill is None else [(dec(case.fill[0]), case.fill[1], "2024-03-05T21:00:00.000Z")])


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (None, ("14:31", "100")),  # null is the first event: T = its start
        ("2024-03-04", ("14:31", "100")),  # dated before the data
        ("2024-03-05T14:30:00Z", ("14:31", "100")),  # T <= bar start
        ("2024-03-05T14:30:00.001Z", ("14:32", "101")),  # T > bar start: the next bar
        ("2024-03-05T14:30:59.999Z", ("14:32", "101")),
        ("2024-03-05T09:31:00-05:00", ("14:32", "101")),  # the same instant as 14:31Z
        ("2024-03-05T14:31:30Z", ("14:33", "102")),
    ],
)
@pytest.mark.parametrize("profile", ["frictionless", "plan"])
def test_arrival_decides_from_which_bar(
    tmp_path: Path, profile: str, when: str | None, expected: tuple[str, str]
) -> None:
    """Arrival at or before a bar's start: that bar; later: the next one. A fill is known at its bar's end."""
    bars = minutes((100, 100, 100, 100), (101, 101, 101, 101), (102, 102, 102, 102), (103, 103, 103, 103))
    free = ["broker.slippage_bps=0", "broker.spread_bps=0", "broker.impact=none"] if profile == "plan" else []
    run = play(tmp_path, bars, [submit(when, "x", "buy", 10)], profile, free)
    [fill] = run.fills("x")
    assert (fill["ts"], Decimal(fill["price"])) == (f"2024-03-05T{expected[0]}:00.000Z", dec(expected[1]))


def test_arrival_on_daily_bars(tmp_path: Path) -> None:
    """Before or at the open: the session's bar; in mid-session: DAY expires unfilled, GTC meets the next open."""
    bars = daily((100, 100, 100, 100), (101, 101, 101, 101), (102, 102, 102, 102))
    script = [
        submit(TUESDAY, "date", "buy", 1),
        submit("2024-03-05T14:30:00Z", "open", "buy", 1),
        submit("2024-03-05T14:30:01Z", "late_day", "buy", 1),
        submit("2024-03-05T14:30:01Z", "late_gtc", "buy", 1, tif="gtc"),
        submit("2024-03-05T21:00:00Z", "close", "buy", 1),
        submit({"order": "date", "status": "filled"}, "after", "buy", 1),
        submit({"order": "late_day", "status": "expired"}, "then", "buy", 1),
    ]
    run = play(tmp_path, bars, script)
    prices = {name: [f["price"] for f in run.fills(name)] for name in run.statuses()}
    assert prices == {
        "date": ["101"],
        "open": ["101"],
        "late_day": [],
        "late_gtc": ["102"],
        "close": ["102"],
        "after": ["102"],
        "then": ["102"],
    }
    assert run.order("late_day")["status"] == "expired"


def test_a_line_may_wait_for_any_status(tmp_path: Path) -> None:
    """An order is pending from the gate to the broker, which is one instant: whoever waits for it comes behind it."""
    limit = {"type": "limit", "limit_px": 90}
    script = [
        submit(None, "denied", "buy", 0),
        submit(None, "rejected", "sell", 1, reduce_only=True),
        submit(None, "pending_new", "buy", 1, **limit),
        submit(None, "new", "buy", 1, **limit),
        submit(None, "partially_filled", "buy", 150),
        submit(None, "filled", "buy", 1),
        submit(None, "canceled", "buy", 1, tif="ioc", **limit),
        submit(None, "expired", "buy", 1, **limit),
        submit(None, "replaced", "buy", 1, **limit),
        {"at": None, "replace": {"id": "replaced", "qty": 2}},
    ]
    awaited = [line["submit"]["id"] for line in script if "submit" in line]
    script += [submit({"order": name, "status": name}, f"after-{name}", "buy", 1, **limit) for name in awaited]
    script.append(submit({"order": "rejected", "status": "pending_new"}, "after-all", "buy", 1, **limit))
    bars = minutes(*[(100, 101, 99, 100, 1000)] * 2)
    run = play(tmp_path, bars, script, sets=("broker.participation=0.1",))
    came = {row["client_order_id"] for row in run.table("orders")}
    assert came >= {f"after-{name}" for name in awaited} | {"after-all"}


def test_scripts_come_in_by_time_not_by_line(tmp_path: Path) -> None:
    """Of orders dated before the data the older comes in first, wherever it stands in the file."""
    script = [
        submit("2024-03-02", "second", "buy", 5, reduce_only=False),
        submit("2024-03-01", "first", "buy", 5),
        submit(None, "third", "sell", 10),
    ]
    run = play(tmp_path, daily((100, 100, 100, 100), (101, 101, 101, 101)), script)
    assert [row["client_order_id"] for row in run.table("orders")] == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("bar", "winner"),
    [
        ((100, 104, 90, 95), "target"),  # the high is nearer: the path goes there first
        ((100, 110, 96, 105), "stop"),  # the low is nearer
        ((100, 104, 96, 100), "stop"),  # a tie: what is worse for the holder comes first
    ],
)
def test_of_two_exits_the_path_reaches_one_first(tmp_path: Path, bar: tuple[int, int, int, int], winner: str) -> None:
    """Open, nearer extreme, other extreme, close; the loser finds nothing left to reduce."""
    script = [
        submit(None, "b", "buy", 10),
        submit(TUESDAY, "target", "sell", 10, type="limit", limit_px=103, reduce_only=True, tif="gtc"),
        submit(TUESDAY, "stop", "sell", 10, type="stop", stop_px=97, reduce_only=True, tif="gtc"),
    ]
    run = play(tmp_path, daily((100, 100, 100, 100), bar), script)
    loser = {"target": "stop", "stop": "target"}[winner]
    assert (run.order(winner)["status"], run.order(loser)["status"]) == ("filled", "canceled")


def test_close_only_bars_fill_at_closes(tmp_path: Path) -> None:
    """Decided at close t, filled at close t+1; a stop is seen only at a close."""
    rows = zip(DAYS, (100, 103, 90, 120, 121), strict=True)
    bars = "\n".join(["ts,symbol,close", *(f"{day},AAA,{px}" for day, px in rows)])
    script = [
        submit("2024-03-04T21:00:00Z", "b", "buy", 10),
        submit("2024-03-05T21:00:00Z", "stop", "sell", 5, type="stop", stop_px=95, tif="gtc"),
        submit("2024-03-06T21:00:00Z", "target", "sell", 5, type="limit", limit_px=110, tif="gtc"),
        submit("2024-03-06T21:00:00Z", "auction", "sell", 1, type="market_on_close", tif="cls"),
    ]
    run = play(tmp_path, bars, script)
    fills = {n: [(f["price"], f["px_source"]) for f in run.fills(n)] for n in ("b", "stop", "target")}
    assert fills == {"b": [("103", "close")], "stop": [("90", "close")], "target": [("120", "close")]}
    assert run.order("auction")["status"] in ("rejected", "denied")


def test_replace_and_cancel(tmp_path: Path) -> None:
    """New terms rest from the moment they come in; what is cancelled before it is touched never fills."""
    bars = daily((100, 105, 98, 102), (103, 110, 101, 108), (108, 109, 90, 95))
    at = "2024-03-04T21:00:00Z"
    script = [
        submit(at, "before", "buy", 10, type="limit", limit_px=99, tif="gtc"),
        submit(at, "during", "buy", 10, type="limit", limit_px=99, tif="gtc"),
        submit(at, "less", "buy", 10, type="limit", limit_px=99, tif="gtc"),
        submit(at, "gone", "buy", 10, type="limit", limit_px=101.5, tif="gtc"),
        {"at": TUESDAY, "replace": {"id": "before", "limit_px": 101}},
        {"at": "2024-03-05T15:00:00Z", "replace": {"id": "during", "limit_px": 104}},
        {"at": "2024-03-05T15:00:00Z", "replace": {"id": "less", "qty": 4}},
        {"at": TUESDAY, "cancel": "gone"},
    ]
    run = play(tmp_path, bars, script)
    got = {n: [(f["ts"][:10], f["qty"], f["price"]) for f in run.fills(n)] for n in ("before", "during", "less")}
    assert got == {
        "before": [(TUESDAY, "10", "101")],
        "during": [(WEDNESDAY, "10", "104")],
        "less": [(WEDNESDAY, "4", "99")],
    }
    assert run.order("gone")["status"] == "canceled"
    assert run.order("less")["qty"] == "4"


@pytest.mark.parametrize(
    ("volume", "filled"),
    [("1000", [("2024-03-05", "20")]), ("0", [("2024-03-06", "20")]), ("", [("2024-03-06", "20")])],
)
def test_zero_and_null_volume_fill_nothing(tmp_path: Path, volume: str, filled: list[tuple[str, str]]) -> None:
    """Zero: no trade. Null: no fill, and the run says how often."""
    bars = daily((100, 100, 100, 100, 1000), (101, 101, 101, 101, volume), (102, 102, 102, 102, 1000))
    run = play(tmp_path, bars, [submit(TUESDAY, "x", "buy", 20, tif="gtc")])
    assert [(f["ts"][:10], f["qty"]) for f in run.fills("x")] == filled
    assert any("null volume" in notice for notice in run.notices) is (volume == "")


def test_participation_spreads_an_order_over_bars(tmp_path: Path) -> None:
    """At most a tenth of each bar's volume, whole shares, all orders of a symbol together; the rest stays working."""
    bars = daily(*[(100, 100, 100, 100, v) for v in (1000, 55, 0, 309, 100)])
    script = [submit(TUESDAY, "a", "buy", 20, tif="gtc"), submit(TUESDAY, "b", "buy", 25, tif="gtc")]
    run = play(tmp_path, bars, script, "plan")
    assert [(f["ts"][:10], f["qty"]) for f in run.fills("a")] == [(TUESDAY, "5"), (THURSDAY, "15")]
    # Thursday offers 30, of which a takes 15; Friday offers 10.
    assert [(f["ts"][:10], f["qty"]) for f in run.fills("b")] == [(THURSDAY, "15"), (FRIDAY, "10")]
    assert (run.order("a")["status"], run.order("b")["status"]) == ("filled", "filled")


def test_without_a_volume_column_nothing_limits_a_fill(tmp_path: Path) -> None:
    """And the run is stamped so."""
    bars = daily((100, 100, 100, 100), (101, 101, 101, 101))
    run = play(tmp_path, bars, [submit(TUESDAY, "x", "buy", 190)], "plan")
    assert [f["qty"] for f in run.fills("x")] == ["190"]
    assert '"liquidity": "unknown"' in (run.folder / "run.json").read_text()
