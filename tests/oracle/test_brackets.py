"""Brackets, one-cancels-other groups and orders that others release, case by case on paper (semantics section 2).

The exits of a bracket come to life with the entry's first fill and live for what is left of the bar's path: open,
nearer extreme, other extreme, close; a tie goes first to the extreme that hurts. When one exit completes the other is
cancelled; while fills are partial their quantities follow. Nothing costs anything here.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oracle.sheet import DAYS, Line, Run, daily, minutes, play, shown, submit

MONDAY, TUESDAY, WEDNESDAY, *_ = DAYS
Bar = tuple[float, float, float, float]
SETS = ("portfolio.cash=1000000000", "broker.allow_short=true")
FLAT: Bar = (100, 100, 100, 100)
LONG = {"take_profit_px": 103, "stop_px": 97}
DEEP = {"take_profit_px": 103, "stop_px": 95}
SHORT = {"take_profit_px": 97, "stop_px": 103}


class Case(msgspec.Struct, frozen=True):
    """A bracket that comes in before the Tuesday's bar; the last price is 100.

    Attributes:
        why: what the case shows; also its name.
        entry: terms of the entry.
        bracket: its exits.
        bars: the Tuesday's bar and those behind it.
        filled: (day from the Tuesday, price, source) of the entry, None where it does not fill.
        out: (``tp`` or ``sl``, day, price, source) of the exit, None where both still work.
    """

    why: str
    side: str
    entry: dict[str, Any]
    bracket: dict[str, float]
    bars: tuple[Bar, ...]
    filled: tuple[int, str, str] | None
    out: tuple[str, int, str, str] | None = None


MARKET: dict[str, Any] = {"type": "market"}
AT_98 = {"type": "limit", "limit_px": 98}
AT_102 = {"type": "limit", "limit_px": 102}

CASES = [
    # 97 is 3 away, 104 is 4: down through 98 (entry) to 97, up through 103.
    Case(
        "in and out at the target",
        "buy",
        AT_98,
        DEEP,
        ((100, 104, 97, 101),),
        (0, "98", "intrabar"),
        ("tp", 0, "103", "intrabar"),
    ),
    # 104 comes first and finds no exit; down through 98 and 95.
    Case(
        "in and out at the stop",
        "buy",
        AT_98,
        DEEP,
        ((100, 104, 94, 96),),
        (0, "98", "intrabar"),
        ("sl", 0, "95", "intrabar"),
    ),
    # 101, 97, 99: neither exit lies on what is left.
    Case(
        "what was before the entry does not count", "buy", AT_98, DEEP, ((100, 103.5, 96, 99),), (0, "98", "intrabar")
    ),
    Case(
        "the target the day after",
        "buy",
        AT_98,
        DEEP,
        ((100, 101, 97, 99), (99, 104, 98, 100)),
        (0, "98", "intrabar"),
        ("tp", 1, "103", "intrabar"),
    ),
    Case(
        "the target on the way to the close",
        "buy",
        AT_98,
        DEEP,
        ((100, 103, 96, 103),),
        (0, "98", "intrabar"),
        ("tp", 0, "103", "intrabar"),
    ),
    # 4 up, 5 down.
    Case(
        "both legs, the high is nearer",
        "buy",
        MARKET,
        LONG,
        ((100, 104, 95, 100),),
        (0, "100", "open"),
        ("tp", 0, "103", "intrabar"),
    ),
    Case(
        "both legs, the low is nearer",
        "buy",
        MARKET,
        LONG,
        ((100, 105, 96, 100),),
        (0, "100", "open"),
        ("sl", 0, "97", "intrabar"),
    ),
    Case(
        "both legs, a tie", "buy", MARKET, LONG, ((100, 104, 96, 100),), (0, "100", "open"), ("sl", 0, "97", "intrabar")
    ),
    Case(
        "both legs, a tie, the day after",
        "buy",
        MARKET,
        LONG,
        (FLAT, (100, 104, 96, 100)),
        (0, "100", "open"),
        ("sl", 1, "97", "intrabar"),
    ),
    Case(
        "both legs, the high nearer, the day after",
        "buy",
        MARKET,
        LONG,
        (FLAT, (100, 104, 95, 100)),
        (0, "100", "open"),
        ("tp", 1, "103", "intrabar"),
    ),
    Case(
        "short: both legs, a tie",
        "sell",
        MARKET,
        SHORT,
        ((100, 104, 96, 100),),
        (0, "100", "open"),
        ("sl", 0, "103", "intrabar"),
    ),
    Case(
        "short: both legs, the low is nearer",
        "sell",
        MARKET,
        SHORT,
        ((100, 105, 96, 100),),
        (0, "100", "open"),
        ("tp", 0, "97", "intrabar"),
    ),
    Case(
        "short: a tie the day after",
        "sell",
        MARKET,
        SHORT,
        (FLAT, (100, 104, 96, 100)),
        (0, "100", "open"),
        ("sl", 1, "103", "intrabar"),
    ),
    # Up 3 through 102 (entry) to 103, down through 97.
    Case(
        "short: in and out at the target",
        "sell",
        AT_102,
        {"take_profit_px": 97, "stop_px": 105},
        ((100, 103, 96, 99),),
        (0, "102", "intrabar"),
        ("tp", 0, "97", "intrabar"),
    ),
    # Bought at an open beyond the target: the exit lives for what is left, which begins beyond its price.
    Case(
        "an entry beyond its target",
        "buy",
        MARKET,
        LONG,
        ((104, 105, 103.5, 104),),
        (0, "104", "open"),
        ("tp", 0, "104", "intrabar"),
    ),
    Case(
        "an entry beyond its stop",
        "buy",
        MARKET,
        LONG,
        ((94, 95, 93.5, 94),),
        (0, "94", "open"),
        ("sl", 0, "94", "intrabar"),
    ),
    Case(
        "a gap over the target",
        "buy",
        MARKET,
        LONG,
        (FLAT, (110, 111, 109, 110)),
        (0, "100", "open"),
        ("tp", 1, "110", "open"),
    ),
    Case(
        "a gap over the stop",
        "buy",
        MARKET,
        LONG,
        (FLAT, (90, 91, 89, 90)),
        (0, "100", "open"),
        ("sl", 1, "90", "open"),
    ),
    Case(
        "exactly at the target",
        "buy",
        MARKET,
        LONG,
        ((100, 103, 99, 102),),
        (0, "100", "open"),
        ("tp", 0, "103", "intrabar"),
    ),
    Case(
        "exactly at the stop",
        "buy",
        MARKET,
        LONG,
        ((100, 101, 97, 98),),
        (0, "100", "open"),
        ("sl", 0, "97", "intrabar"),
    ),
    Case("neither", "buy", MARKET, LONG, ((100, 102.9, 97.1, 100),) * 2, (0, "100", "open")),
    Case("no entry, no exits", "buy", AT_98, DEEP, ((100, 104, 98.5, 101),) * 2, None),
    # Down to 99.5, up through 102 (entry) and 106.
    Case(
        "a stop for an entry",
        "buy",
        {"type": "stop", "stop_px": 102},
        {"take_profit_px": 106, "stop_px": 99},
        ((100, 107, 99.5, 105),),
        (0, "102", "intrabar"),
        ("tp", 0, "106", "intrabar"),
    ),
    # 98 was before the entry; 102, 102.5, then down through 99 to the close.
    Case(
        "a stop for an entry, stopped",
        "buy",
        {"type": "stop", "stop_px": 102},
        {"take_profit_px": 106, "stop_px": 99},
        ((100, 102.5, 98, 98.5),),
        (0, "102", "intrabar"),
        ("sl", 0, "99", "intrabar"),
    ),
    # From 100: 98. Down to 99, up to 104: 102. The close is 101.
    Case(
        "a trailing exit in the entry's bar",
        "buy",
        MARKET,
        {"trail_amount": 2},
        ((100, 104, 99, 101),),
        (0, "100", "open"),
        ("sl", 0, "102", "intrabar"),
    ),
    Case(
        "a trailing exit the day after",
        "buy",
        MARKET,
        {"trail_amount": 2},
        ((100, 104, 99, 103), (103, 103.5, 101, 101.5)),
        (0, "100", "open"),
        ("sl", 1, "102", "intrabar"),
    ),
    # Of 101: 95.95, below the low of 96. 99 first, then 110: 104.5.
    Case(
        "a trailing exit in percent",
        "buy",
        MARKET,
        {"trail_percent": 5, "take_profit_px": 120},
        ((100, 101, 96, 100), (100, 110, 99, 104)),
        (0, "100", "open"),
        ("sl", 1, "104.5", "intrabar"),
    ),
    Case(
        "a target alone",
        "buy",
        MARKET,
        {"take_profit_px": 103},
        ((100, 104, 90, 100),),
        (0, "100", "open"),
        ("tp", 0, "103", "intrabar"),
    ),
    Case(
        "a stop alone",
        "buy",
        MARKET,
        {"stop_px": 97},
        ((100, 120, 99, 110), (110, 111, 96, 98)),
        (0, "100", "open"),
        ("sl", 1, "97", "intrabar"),
    ),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the table: case n is symbol Sn."""
    rows = ["ts,symbol,open,high,low,close"]
    for day in range(3):
        for n, case in enumerate(CASES):
            bar = FLAT if day == 0 else case.bars[day - 1] if day <= len(case.bars) else None
            rows += [] if bar is None else [f"{DAYS[day]},S{n:03},{','.join(map(str, bar))}"]
    script: list[Line] = []
    for n, case in enumerate(CASES):
        body = {"id": f"x{n}", "symbol": f"S{n:03}", "side": case.side, "qty": 10, "tif": "day", **case.entry}
        script.append({"at": TUESDAY, "submit": {**body, "bracket": case.bracket}})
    return play(tmp_path_factory.mktemp("brackets"), "\n".join(rows), script, sets=SETS)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: CASES[n].why)
def test_a_bracket_meets_bars(run: Run, number: int) -> None:
    """Entry and exit with day, price and source; what is left of the two is cancelled, or both work on."""
    case, orders = CASES[number], run.statuses()
    name = f"x{number}"
    children = {"tp": "take_profit_px" in case.bracket, "sl": len(set(case.bracket) - {"take_profit_px"}) > 0}
    if case.filled is None:
        assert orders[name] == "expired"
        assert not any(f"{name}-{child}" in orders for child in children)
        return
    assert seen(run, name) == [(DAYS[1 + case.filled[0]], "10", Decimal(case.filled[1]), case.filled[2])]
    for child, there in children.items():
        if not there:
            assert f"{name}-{child}" not in orders
        elif case.out is None:
            assert orders[f"{name}-{child}"] == "new"
        elif case.out[0] == child:
            _, day, price, source = case.out
            assert seen(run, f"{name}-{child}") == [(DAYS[1 + day], "10", Decimal(price), source)]
            assert orders[f"{name}-{child}"] == "filled"
        else:
            assert (orders[f"{name}-{child}"], seen(run, f"{name}-{child}")) == ("canceled", [])


def seen(run: Run, name: str) -> list[tuple[str, str, Decimal, str]]:
    """Return an order's fills as (day, shares, price, source)."""
    return [(f["ts"][:10], f["qty"], Decimal(f["price"]), f["px_source"]) for f in run.fills(name)]


def at_minute(run: Run, name: str) -> list[tuple[str, str, str]]:
    """Return an order's fills as (bar's end, shares, price)."""
    return [(f["ts"][11:16], f["qty"], f["price"]) for f in run.fills(name)]


def steps(run: Run, name: str) -> list[int]:
    """Return the quantities an order had, as its events tell them, in shares."""
    found = []
    for line in (run.folder / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        body = event.get("payload", event)
        kind = event["type"]
        if kind == "OrderAccepted" and body["order"]["client_order_id"] == name:
            found.append(int(Decimal(body["order"]["qty"])))
        elif kind == "OrderReplaced" and body["client_order_id"] == name:
            found.append(int(Decimal(body["qty"])))
    return found


def test_children_say_whose_they_are(tmp_path: Path) -> None:
    """Own orders with the entry's name in theirs: reduce-only, good till cancelled, of the opposite side."""
    script = [submit(TUESDAY, "e", "buy", 10, bracket=LONG)]
    run = play(tmp_path, daily(FLAT, FLAT), script)
    rows = [run.order(name) for name in ("e-tp", "e-sl")]
    assert [(r["parent_id"], r["side"], r["tif"], r["qty"], r["status"]) for r in rows] == [
        ("e", "sell", "gtc", "10", "new")
    ] * 2
    assert (rows[0]["limit_px"], rows[1]["stop_px"]) == ("103", "97")
    assert rows[1]["type"] == "stop"


def test_an_exits_id_is_nobody_elses(tmp_path: Path) -> None:
    """Who asks for one is denied and stays in the table, beside the exit that has it in the end."""
    script = [
        submit(None, "b", "buy", 10, type="limit", limit_px=99, bracket={"stop_px": 98.5}),
        submit(None, "b-sl", "buy", 5, type="limit", limit_px=90),
        submit(None, "c-sl", "buy", 5, type="limit", limit_px=90),
        submit(None, "c", "buy", 10, bracket={"stop_px": 90}),
    ]
    run = play(tmp_path, minutes((100, 101, 99, 100), (100, 100, 98, 99)), script)
    rows = [(row["client_order_id"], row["side"], shown(row)) for row in run.table("orders")]
    assert sorted(rows) == [
        ("b", "buy", "filled"),
        ("b-sl", "buy", "denied DUPLICATE"),
        ("b-sl", "sell", "filled"),
        ("c", "buy", "denied DUPLICATE"),
        ("c-sl", "buy", "expired"),
    ]


def test_exits_follow_a_partial_entry_and_each_other(tmp_path: Path) -> None:
    """A tenth of 100 shares a bar: 10, 10, 5 in; the target gets 10, 10, 5 out; the stop is for what is held.

    Of a bar the entry takes all it may give: the target touched in 14:31 finds nothing left.
    """
    still, high = (100, 101, 99, 100, 100), (100, 104, 99.5, 100, 100)
    bars = minutes(still, high, still, high, high, high)
    script = [submit(f"{TUESDAY}T14:30:00Z", "e", "buy", 25, bracket=LONG)]
    run = play(tmp_path, bars, script, sets=["broker.participation=0.1"], events=True)
    assert at_minute(run, "e") == [("14:31", "10", "100"), ("14:32", "10", "100"), ("14:33", "5", "100")]
    assert at_minute(run, "e-tp") == [("14:34", "10", "103"), ("14:35", "10", "103"), ("14:36", "5", "103")]
    assert run.order("e-tp")["status"] == "filled"
    assert (run.order("e-sl")["status"], run.order("e-sl")["cum_qty"]) == ("canceled", "0")
    assert steps(run, "e-tp") == [10, 20, 25]
    assert steps(run, "e-sl") == [10, 20, 25, 15, 5]


def test_a_stop_reduces_its_target(tmp_path: Path) -> None:
    """The other way round, over two bars of 10 shares each."""
    still, low = (100, 101, 99, 100, 1000), (98, 98.5, 96, 96.5, 100)
    bars = minutes(still, low, (96, 96.5, 95.5, 96, 60), (96, 104, 95.5, 96, 100))
    script = [submit(f"{TUESDAY}T14:30:00Z", "e", "buy", 16, bracket=LONG)]
    run = play(tmp_path, bars, script, sets=["broker.participation=0.1"], events=True)
    # 98 -> 97 on the way to 96; the rest of a triggered stop is a market order: the next open.
    assert at_minute(run, "e-sl") == [("14:32", "10", "97"), ("14:33", "6", "96")]
    assert run.order("e-tp")["status"] == "canceled"
    assert steps(run, "e-tp") == [16, 6]


def test_what_was_filled_stays_protected_when_the_entry_is_cancelled(tmp_path: Path) -> None:
    """10 of 25 are in; the entry goes, its exits stay for 10 and one of them takes them out."""
    still = (100, 101, 99, 100, 100)
    bars = minutes(still, still, still, (100, 104, 99.5, 100, 500))
    script: list[Line] = [
        submit(f"{TUESDAY}T14:30:00Z", "e", "buy", 25, bracket=LONG),
        {"at": f"{TUESDAY}T14:31:00Z", "cancel": "e"},
    ]
    run = play(tmp_path, bars, script, sets=["broker.participation=0.1"], events=True)
    assert (run.order("e")["status"], run.order("e")["cum_qty"]) == ("canceled", "10")
    assert at_minute(run, "e-tp") == [("14:34", "10", "103")]
    assert steps(run, "e-sl") == [10]
    assert run.order("e-sl")["status"] == "canceled"


@pytest.mark.parametrize(
    ("gone", "left", "bar"), [("e-tp", "e-sl", (100, 101, 96, 98)), ("e-sl", "e-tp", (100, 104, 99, 101))]
)
def test_a_cancelled_exit_leaves_the_other(tmp_path: Path, gone: str, left: str, bar: Bar) -> None:
    """It goes on alone."""
    script: list[Line] = [submit(TUESDAY, "e", "buy", 10, bracket=LONG), {"at": WEDNESDAY, "cancel": gone}]
    run = play(tmp_path, daily(FLAT, FLAT, bar), script)
    assert (run.order(gone)["status"], run.order(left)["status"]) == ("canceled", "filled")


def test_exits_can_be_replaced(tmp_path: Path) -> None:
    """A stop that is brought up to 99 sells at 99."""
    script: list[Line] = [
        submit(TUESDAY, "e", "buy", 10, bracket=LONG),
        {"at": WEDNESDAY, "replace": {"id": "e-sl", "stop_px": 99}},
    ]
    run = play(tmp_path, daily(FLAT, FLAT, (100, 101, 98, 98.5)), script)
    assert seen(run, "e-sl") == [(WEDNESDAY, "10", Decimal(99), "intrabar")]


def test_an_exit_never_closes_more_than_its_entry_opened(tmp_path: Path) -> None:
    """30 are held, 10 of them by the bracket: its target may be cut to 4 and brought back to 10, and not to 11."""
    at = f"{TUESDAY}T14:3{{}}:00Z"
    script: list[Line] = [
        submit(at.format(0), "other", "buy", 20),
        submit(at.format(0), "e", "buy", 10, bracket={"take_profit_px": 103, "stop_px": 90}),
        *({"at": at.format(2), "replace": {"id": "e-tp", "qty": qty}} for qty in (11, 4, 10, 11)),
    ]
    bars = minutes((100, 100, 100, 100), (100, 100, 100, 100), (100, 104, 100, 104), day=TUESDAY)
    run = play(tmp_path, bars, script, events=True)
    assert [f["qty"] for f in run.fills("e-tp")] == ["10"]
    assert run.table("positions")[0]["qty"] == "20"
    told = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    assert [e["code"] for e in told if e["type"] == "OrderCancelRejected"] == ["BEYOND_ENTRY"] * 2


def test_no_exit_outlives_what_it_protects(tmp_path: Path) -> None:
    """Sold by another order, the position is gone and so are the exits: nothing sells on the way down."""
    script = [
        submit(TUESDAY, "e", "buy", 10, bracket=LONG),
        submit(WEDNESDAY, "out", "sell", 10),
    ]
    run = play(tmp_path, daily(FLAT, FLAT, (100, 101, 99, 100), (100, 104, 90, 95)), script, sets=SETS)
    assert (run.order("e-tp")["status"], run.order("e-sl")["status"]) == ("canceled", "canceled")
    assert [f["side"] for f in run.table("fills")] == ["buy", "sell"]


GROUP = [
    # 103 first (high 4 away against 5), whole.
    ("the target", (100, 104, 95, 100), "t", "103"),
    ("the stop", (100, 105, 96, 100), "s", "97"),
    # A tie: the holder is hurt first.
    ("a tie", (100, 104, 96, 100), "s", "97"),
    ("a gap up", (106, 107, 105, 106), "t", "106"),
    ("a gap down", (94, 95, 93, 94), "s", "94"),
]


@pytest.mark.parametrize(("why", "bar", "winner", "price"), GROUP)
def test_one_cancels_the_other(tmp_path: Path, why: str, bar: Bar, winner: str, price: str) -> None:
    """Of a group of exits the one the path comes to first fills; the other is cancelled."""
    script = [
        submit(None, "held", "buy", 10),
        submit(TUESDAY, "t", "sell", 10, type="limit", limit_px=103, tif="gtc", oco_group="g", reduce_only=True),
        submit(TUESDAY, "s", "sell", 10, type="stop", stop_px=97, tif="gtc", oco_group="g", reduce_only=True),
    ]
    run = play(tmp_path, daily(FLAT, bar), script)
    loser = {"t": "s", "s": "t"}[winner]
    assert [(f["qty"], f["price"]) for f in run.fills(winner)] == [("10", price)], why
    assert (run.order(loser)["status"], run.fills(loser)) == ("canceled", [])
    assert run.order(loser)["reason"] == "OCO"


def test_a_group_of_entries_needs_no_more_than_one(tmp_path: Path) -> None:
    """Two buys below the market: the first that is met ends the other, which the bar would have come to as well."""
    script = [
        submit(TUESDAY, "a", "buy", 10, type="limit", limit_px=98, tif="gtc", oco_group="g"),
        submit(TUESDAY, "b", "buy", 10, type="limit", limit_px=97, tif="gtc", oco_group="g"),
    ]
    run = play(tmp_path, daily(FLAT, (100, 101, 95, 96)), script)
    assert run.statuses() == {"a": "filled", "b": "canceled"}


def test_a_partial_fill_reduces_the_group(tmp_path: Path) -> None:
    """Four of ten sold at the target leave six for the stop."""
    bars = minutes((100, 101, 99, 100, 1000), (100, 104, 99, 100, 40), (100, 101, 96, 96.5, 1000))
    at = f"{TUESDAY}T14:31:00Z"
    script = [
        submit(f"{TUESDAY}T14:30:00Z", "held", "buy", 10),
        submit(at, "t", "sell", 10, type="limit", limit_px=103, tif="gtc", oco_group="g", reduce_only=True),
        submit(at, "s", "sell", 10, type="stop", stop_px=97, tif="gtc", oco_group="g", reduce_only=True),
    ]
    run = play(tmp_path, bars, script, sets=["broker.participation=0.1"], events=True)
    assert at_minute(run, "t") == [("14:32", "4", "103")]
    assert at_minute(run, "s") == [("14:33", "6", "97")]
    assert steps(run, "s") == [10, 6]
    assert (run.order("t")["status"], run.order("s")["status"]) == ("canceled", "filled")


def test_a_group_of_two_sides_ends_with_the_first_fill(tmp_path: Path) -> None:
    """A breakout either way: four bought of ten end the sale."""
    bars = minutes((100, 101, 99, 100, 1000), (100, 104, 99, 100, 40), (100, 101, 96, 96.5, 10))
    at = f"{TUESDAY}T14:31:00Z"
    script = [
        submit(at, "up", "buy", 10, type="stop", stop_px=103, tif="gtc", oco_group="g"),
        submit(at, "down", "sell", 10, type="stop", stop_px=97, tif="gtc", oco_group="g"),
    ]
    run = play(tmp_path, bars, script, sets=[*SETS, "broker.participation=0.1"])
    assert run.order("down")["status"] == "canceled"
    assert run.order("up")["cum_qty"] == "5"


def test_what_is_triggered_by_another_order(tmp_path: Path) -> None:
    """An order that waits for another's fill comes in with it and meets the bar after."""
    script = [
        submit(TUESDAY, "first", "buy", 10, type="limit", limit_px=98, tif="gtc"),
        submit({"order": "first", "status": "filled"}, "then", "sell", 10, type="limit", limit_px=99, tif="gtc"),
    ]
    run = play(tmp_path, daily(FLAT, (100, 101, 97, 99.5), (98, 100, 97, 98)), script)
    assert seen(run, "then") == [(WEDNESDAY, "10", Decimal(99), "intrabar")]
