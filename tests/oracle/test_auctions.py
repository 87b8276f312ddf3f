"""Orders for the opening and the closing of a session (semantics section 2, *Auctions*), case by case on paper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oracle.sheet import DAYS, Line, Run, daily, minutes, play, submit

MONDAY, TUESDAY, WEDNESDAY, *_ = DAYS
FLAT = (100, 100, 100, 100)
ON_OPEN: dict[str, Any] = {"type": "market_on_open", "tif": "opg"}
ON_CLOSE: dict[str, Any] = {"type": "market_on_close", "tif": "cls"}


def got(run: Run, name: str) -> list[tuple[str, str, str, str]]:
    """Return an order's fills as (time, shares, price, source)."""
    return [(f["ts"][:16], f["qty"], f["price"], f["px_source"]) for f in run.fills(name)]


def session(first: str = "14:30", last: str = "20:59", day: str = TUESDAY) -> str:
    """Return three minute bars at each end of a session, opening at 101 and ending at 107."""
    start, end = (int(t[:2]) * 60 + int(t[3:]) for t in (first, last))
    rows = ["ts,symbol,open,high,low,close,volume"]
    for i, minute in enumerate([start, start + 1, start + 2, end - 2, end - 1, end]):
        px = 101 + i
        rows.append(f"{day}T{minute // 60:02}:{minute % 60:02}:00Z,AAA,{px},{px + 1},{px - 1},{px + 1},1000")
    return "\n".join(rows)


def test_the_opening_is_the_first_bars_open(tmp_path: Path) -> None:
    """For both types; a limit for the opening only where the open pays it."""
    at = f"{TUESDAY}T14:30:00Z"
    script = [
        submit(at, "moo", "buy", 10, **ON_OPEN),
        submit(at, "opg", "buy", 10, type="market", tif="opg"),
        submit(at, "paid", "buy", 10, type="limit", limit_px=101.5, tif="opg"),
        # The bar goes down to 100, but not at the open.
        submit(at, "unpaid", "buy", 10, type="limit", limit_px=100.5, tif="opg"),
    ]
    run = play(tmp_path, session(), script)
    for name in ("moo", "opg", "paid"):
        assert got(run, name) == [(f"{TUESDAY}T14:31", "10", "101", "open")], name
    assert (run.order("unpaid")["status"], run.fills("unpaid")) == ("expired", [])


def test_the_closing_is_the_last_bars_close(tmp_path: Path) -> None:
    """For both types; a limit for the closing only where the close pays it."""
    at = f"{TUESDAY}T14:31:00Z"
    script = [
        submit(at, "moc", "buy", 10, **ON_CLOSE),
        submit(at, "cls", "buy", 10, type="market", tif="cls"),
        submit(at, "paid", "buy", 10, type="limit", limit_px=107.5, tif="cls"),
        # Every bar before the last was below 106.5, but the close is 107.
        submit(at, "unpaid", "buy", 10, type="limit", limit_px=106.5, tif="cls"),
    ]
    run = play(tmp_path, session(), script)
    for name in ("moc", "cls", "paid"):
        assert got(run, name) == [(f"{TUESDAY}T21:00", "10", "107", "close")], name
    assert (run.order("unpaid")["status"], run.fills("unpaid")) == ("expired", [])


def test_a_session_whose_last_bar_is_early_closes_at_it(tmp_path: Path) -> None:
    """Nothing traded in the last minutes: the last price is the last bar's close."""
    run = play(
        tmp_path,
        session(last="20:40"),
        [submit(f"{TUESDAY}T14:31:00Z", "x", "sell", 10, **ON_CLOSE)],
        sets=["broker.allow_short=true"],
    )
    [fill] = run.fills("x")
    assert (fill["price"], fill["px_source"]) == ("107", "close")


def test_a_symbol_opens_with_its_first_bar_of_the_session(tmp_path: Path) -> None:
    """Who comes before that bar begins is in time, who comes in it or behind waits for the next session's."""
    minute = "{day}T{t}:00Z,{symbol},{px},{px},{px},{px}"
    rows = [minute.format(day=TUESDAY, t=f"14:3{n}", symbol="BBB", px=10) for n in range(5)]
    rows += [minute.format(day=TUESDAY, t=t, symbol="AAA", px=px) for t, px in (("14:32", 100), ("14:33", 101))]
    rows += [minute.format(day=WEDNESDAY, t="14:40", symbol="AAA", px=105)]
    script = [
        submit(f"{TUESDAY}T{t}Z", name, "buy", 10, tif="opg")
        for t, name in (("13:00:00", "early"), ("14:32:00", "just"), ("14:32:01", "in it"), ("14:33:00", "behind"))
    ]
    run = play(tmp_path, "\n".join(["ts,symbol,open,high,low,close", *sorted(rows)]), script, interval="1m")
    prices = {name: [fill["price"] for fill in run.fills(name)] for name in run.statuses()}
    assert prices == {"early": ["100"], "just": ["100"], "in it": ["105"], "behind": ["105"]}


def test_a_close_behind_the_last_bar_pays_the_spread_quoted_there(tmp_path: Path) -> None:
    """Bid 99.8 and ask 100.2 at the end of the last bar: half of it is 0.2, wherever the bar ends."""
    for last in ("20:40", "20:59"):
        head = "ts,symbol,open,high,low,close,volume,bid_open,ask_open,bid_close,ask_close"
        rows = [f"{TUESDAY}T{t}:00Z,AAA,100,101,99,100,1000,99.9,100.1,99.8,100.2" for t in ("14:30", "14:31", last)]
        script = [submit(f"{TUESDAY}T14:31:00Z", "x", "buy", 10, **ON_CLOSE)]
        costs = ["broker.slippage_bps=0", "broker.impact=none"]
        run = play(tmp_path / last[:2] / last[3:], "\n".join([head, *rows]), script, "plan", costs)
        assert [fill["price"] for fill in run.fills("x")] == ["100.2"], last


@pytest.mark.parametrize(
    ("at", "status"),
    [
        ("2024-03-05T20:49:59Z", "filled"),
        ("2024-03-05T20:50:00Z", "filled"),  # ten minutes before 21:00
        ("2024-03-05T20:50:00.001Z", "rejected AUCTION_CLOSED"),
        ("2024-03-05T20:58:00Z", "rejected AUCTION_CLOSED"),
    ],
)
@pytest.mark.parametrize("terms", [ON_CLOSE, {"type": "limit", "limit_px": 200, "tif": "cls"}], ids=["market", "limit"])
def test_ten_minutes_before_the_close_the_book_shuts(
    tmp_path: Path, terms: dict[str, Any], at: str, status: str
) -> None:
    """Later is rejected."""
    run = play(tmp_path, session(), [submit(at, "x", "buy", 10, **terms)])
    assert run.statuses() == {"x": status}


def test_an_early_close_has_its_own_ten_minutes(tmp_path: Path) -> None:
    """The third of July 2024 closes at 17:00 UTC."""
    bars = session(first="13:30", last="16:59", day="2024-07-03")
    script = [
        submit("2024-07-03T16:50:00Z", "in", "buy", 10, **ON_CLOSE),
        submit("2024-07-03T16:51:00Z", "late", "buy", 10, **ON_CLOSE),
    ]
    run = play(tmp_path, bars, script)
    assert run.statuses() == {"in": "filled", "late": "rejected AUCTION_CLOSED"}
    assert got(run, "in") == [("2024-07-03T17:00", "10", "107", "close")]


def test_daily_bars_have_both(tmp_path: Path) -> None:
    """A bar's open and its close; what comes in at the close is for the next session."""
    bars = daily(FLAT, (103, 110, 101, 108), (109, 111, 104, 105))
    script = [
        submit(TUESDAY, "open", "buy", 10, **ON_OPEN),
        submit(TUESDAY, "close", "buy", 10, **ON_CLOSE),
        submit(f"{TUESDAY}T21:00:00Z", "next", "buy", 10, **ON_OPEN),
        submit(f"{TUESDAY}T21:00:00Z", "end", "buy", 10, **ON_CLOSE),
    ]
    run = play(tmp_path, bars, script)
    assert {name: [(f["ts"][:10], f["price"]) for f in run.fills(name)] for name in run.statuses()} == {
        "open": [(TUESDAY, "103")],
        "close": [(TUESDAY, "108")],
        "next": [(WEDNESDAY, "109")],
        "end": [(WEDNESDAY, "105")],
    }


def test_what_the_opening_does_not_fill_ends(tmp_path: Path) -> None:
    """A tenth of the first bar's 1,000 shares."""
    run = play(
        tmp_path,
        session(),
        [submit(f"{TUESDAY}T14:30:00Z", "x", "buy", 150, **ON_OPEN)],
        sets=["broker.participation=0.1"],
    )
    assert got(run, "x") == [(f"{TUESDAY}T14:31", "100", "101", "open")]
    row = run.order("x")
    assert (row["status"], row["cum_qty"], row["reason"]) == ("expired", "100", "opg")


def test_closes_alone_have_no_auctions(tmp_path: Path) -> None:
    """Bars without opens can fill neither."""
    bars = "\n".join(["ts,symbol,close", *(f"{day},AAA,100" for day in DAYS)])
    script = [submit(TUESDAY, "open", "buy", 10, **ON_OPEN), submit(TUESDAY, "close", "buy", 10, **ON_CLOSE)]
    statuses = play(tmp_path, bars, script).statuses()
    assert all(status.split()[0] in ("rejected", "denied") for status in statuses.values()), statuses


def test_a_closing_order_can_be_cancelled(tmp_path: Path) -> None:
    """Until it is filled."""
    script: list[Line] = [
        submit(f"{TUESDAY}T14:31:00Z", "x", "buy", 10, **ON_CLOSE),
        {"at": f"{TUESDAY}T20:57:00Z", "cancel": "x"},
    ]
    run = play(tmp_path, session(), script)
    assert run.statuses() == {"x": "canceled"}


def test_of_a_group_one_order_for_the_close_is_filled_where_the_last_bars_came_early(tmp_path: Path) -> None:
    """No bar ends the session, so both meet the last one of their symbol: the older fills and ends the other."""
    bars = [minutes(FLAT, FLAT), minutes((50, 50, 50, 50), (50, 50, 50, 50), symbol="BBB")]
    at = f"{TUESDAY}T14:31:00Z"
    script = [
        submit(at, "a", "buy", 10, **ON_CLOSE, oco_group="g"),
        submit(at, "b", "buy", 10, **{**ON_CLOSE, "symbol": "BBB"}, oco_group="g"),
    ]
    run = play(tmp_path, bars, script)
    assert run.statuses() == {"a": "filled", "b": "canceled"}
    assert got(run, "a") == [(f"{TUESDAY}T21:00", "10", "100", "close")]
    assert run.fills("b") == []


@pytest.mark.parametrize(
    ("arrives", "tif", "kind"),
    [("14:31", "cls", "OrderExpired"), ("14:30", "opg", "OrderExpired"), ("14:31", "ioc", "OrderCanceled")],
)
def test_what_an_orders_only_chance_left_ends_with_what_it_filled(
    tmp_path: Path, arrives: str, tif: str, kind: str
) -> None:
    """A tenth of a bar's 50 shares are 5 of 20: the order ends with those, whoever reads its last event."""
    bars = minutes((*FLAT, 50), (*FLAT, 50))
    script = [submit(f"{TUESDAY}T{arrives}:00Z", "a", "buy", 20, type="market", tif=tif)]
    run = play(tmp_path, bars, script, sets=["broker.participation=0.1"], events=True)
    lines = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    [end] = [line for line in lines if line["type"] == kind]
    assert [fill["qty"] for fill in run.fills("a")] == ["5"]
    assert str(end["cum_qty"]) == "5"
