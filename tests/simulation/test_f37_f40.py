"""The fault catalogue's F37 to F40: halts, late bars, prices that cannot be believed, a split that nobody told of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.messages.market import FeedConnected, FeedLost, GapDetected, TradePanel, TradingStatus
from actors.messages.orders import BarRevised, OrderAccepted, OrderDenied, SymbolFrozen, SymbolReleased
from actors.messages.portfolio import EquityMarked
from actors.values.fixed import SCALE
from actors.values.universe import Adjustment
from oracle.sheet import DAYS, Line, Run, daily, play, submit
from tests.actors.broker.desk import FREE, HOUR, fills, fx, make_panel
from tests.actors.broker.house import House

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = DAYS
MS = 1_000_000
FLAT = (10.0, 10.0, 10.0, 10.0)
GUARDED = ("feed.max_jump=0.5",)


def prints(house: House, ms: float, px: float, size: float = 1_000) -> list[Any]:
    """Feed one print of A at a time behind the last bar."""
    ts = house.hour * HOUR + round(ms * MS)
    house.clock.advance_to(ts)
    one = np.array([px])
    return house.put(TradePanel(ts, np.zeros(1, dtype=np.int32), one, np.full(1, size)))


def tell(house: House, ms: float, kind: Any, *terms: Any, **named: Any) -> list[Any]:
    """Feed another market message at a time behind the last bar."""
    ts = house.hour * HOUR + round(ms * MS)
    house.clock.advance_to(ts)
    return house.put(kind(ts, *terms, **named))


# -- F37 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarts", [False, True])
def test_f37_no_fill_and_no_entry_in_a_halt_until_it_is_lifted(restarts: bool) -> None:
    """Prints go on at half the price, the feed is lost and comes back, the process restarts: the halt stands.

    100 A were bought at 10 and have a stop at 9.70. Whoever is let in meanwhile only leaves: an exit is accepted and
    waits. With the resumption the stop is triggered by the next print, at 5, and both exits fill from the one behind
    it, at 5.10: the older of them, and of the other what is left, which is nothing.
    """
    house = House(FREE)

    def restart() -> None:
        if restarts:
            house.split()

    house.bar(FLAT, FLAT)
    house.order(+1, 100)
    house.bar(FLAT, FLAT)
    assert house.lots()
    assert [e for e in tell(house, 1, TradingStatus, 0, "halted", reason="T12") if isinstance(e, SymbolFrozen)]
    before = len(house.events)
    for step, trouble in enumerate([None, (FeedLost, ("x", "cut")), (FeedConnected, ("x",)), None, None]):
        if trouble is not None:
            tell(house, 10 * step + 2, trouble[0], *trouble[1])
        prints(house, 10 * step + 3, 5.0)
        (denied,) = [e for e in house.order(+1, 1, strategy="") if isinstance(e, OrderDenied)]
        assert denied.code == "SYMBOL_HALTED"
        restart()
    now = house.hour * HOUR
    tell(house, 60, GapDetected, "x", now + 35 * MS, now + 60 * MS)
    prints(house, 61, 5.0)
    (exit_,) = [e for e in house.order(-1, 100, reduce_only=True, strategy="") if isinstance(e, OrderAccepted)]
    restart()
    prints(house, 62, 5.0)
    assert fills(house.events[before:]) == []
    assert any(isinstance(e, SymbolReleased) for e in tell(house, 70, TradingStatus, 0, "trading", reason="R"))
    restart()
    prints(house, 71, 5.0)
    prints(house, 72, 5.1)
    found = fills(house.events[before:])
    assert sum(fill.last_qty for fill in found) == fx(100)
    assert min(fill.last_px for fill in found) >= fx(5.0)
    assert exit_.order.client_order_id in {fill.client_order_id for fill in found}
    assert not house.lots()
    house.bar((5, 5, 5, 5), FLAT)
    assert not [e for e in house.order(+1, 1, strategy="") if isinstance(e, OrderDenied)]


def test_f37_through_files_and_the_whole_program(tmp_path: Path) -> None:
    """A file of status stops everything of a day: the stop that Wednesday's bar would meet fills on Thursday's open.

    Bought at Tuesday's open of 100. Wednesday falls to 80 in a halt from its open on; it is lifted at Thursday's open.
    The stop at 90 meets Thursday's open of 70. An entry on Wednesday evening is denied, one on Thursday passes.
    """
    status = tmp_path / "status.csv"
    status.write_text(
        "ts,symbol,state,reason\n"
        f"{WEDNESDAY}T14:30:00Z,AAA,halted,T1\n{THURSDAY}T14:30:00Z,AAA,trading,R\n{FRIDAY}T14:30:00Z,ZZZ,halted,\n"
    )
    bars = daily((100, 101, 99, 100), (100, 101, 99, 100), (80, 81, 79, 80), (70, 71, 69, 70), (70, 71, 69, 70))
    script: list[Line] = [
        submit(None, "a", "buy", 10),
        submit({"order": "a", "status": "filled"}, "stop", "sell", 10, type="stop", stop_px=90, tif="gtc"),
        submit(f"{WEDNESDAY}T21:00:00Z", "b", "buy", 1),
        submit(f"{THURSDAY}T21:00:00Z", "c", "buy", 1),
    ]
    run = play(tmp_path, bars, script, status=(status,), adjustment=Adjustment.RAW, events=True)
    [fill] = run.fills("stop")
    assert (fill["ts"][:10], fill["price"]) == (THURSDAY, "70")
    assert run.statuses()["b"] == "denied SYMBOL_HALTED"
    assert run.statuses()["c"] == "filled"
    assert str(status) in json.loads((run.folder / "run.json").read_text())["data"]["digests"]
    kinds = [json.loads(line)["type"] for line in (run.folder / "events.jsonl").read_text().splitlines()]
    assert kinds.count("SymbolFrozen") == kinds.count("SymbolReleased") == 1
    titles = [row["title"] for row in run.table("alerts")]
    assert "AAA is frozen: halted" in titles
    assert "AAA trades again" in titles


# -- F38 ---------------------------------------------------------------------------------------------------------------


def revised(house: House, hour: int, px: float | None, *, now: float) -> list[Any]:
    """Feed a late version of A's bar that ended at an hour, known at another."""
    row = None if px is None else (px, px, px, px)
    panel = make_panel((row, None), hour * HOUR, HOUR, 20200102, None, n=2, daily=False)
    ts = round(now * HOUR)
    house.clock.advance_to(ts)
    return house.put(msgspec.structs.replace(panel, ts=ts, revision=1))


@pytest.mark.parametrize("restarts", [False, True])
def test_f38_a_late_bar_corrects_marks_and_leaves_orders_alone(restarts: bool) -> None:
    """The bar of hour 3 closed at 12 and is 11 after all; that of hour 2 is corrected later still.

    100 A bought at 10: equity is 1,000,000 + 100 x (px - 10). Orders that the revised prices would fill are not: the
    limit at 9 not by a bar at 8, and what was filled stays filled. Each correction is told, with the old close where
    the bar is the newest.
    """
    house = House(FREE, stop_loss=0.0, take_profit=0.0)

    def equity(events: list[Any]) -> float:
        return [e.equity for e in events if isinstance(e, EquityMarked)][-1] / SCALE

    def told(events: list[Any]) -> list[tuple[int, float, float]]:
        return [(e.start_ts // HOUR, e.old_px / 1e8, e.new_px / 1e8) for e in events if isinstance(e, BarRevised)]

    house.bar(FLAT, FLAT)
    house.order(+1, 100)
    house.bar(FLAT, FLAT)
    assert equity(house.bar((12, 12, 12, 12), FLAT)) == 1_000_200
    house.order(+1, 100, type="limit", limit_px=fx(9))
    if restarts:
        house.split()
    events = revised(house, 3, 11, now=3.5)
    assert told(events) == [(2, 12, 11)]
    assert equity(events) == 1_000_100
    events = revised(house, 2, 8, now=3.6)
    assert told(events) == [(1, 0, 8)]
    assert equity(events) == 1_000_100
    assert told(revised(house, 3, 8, now=3.7)) == [(2, 11, 8)]
    if restarts:
        house.split()
    assert not fills(house.events[-3:])
    assert len(fills(house.events)) == 1
    assert equity(house.bar((13, 13, 13, 13), FLAT)) == 1_000_300
    assert len(fills(house.bar((8, 8, 8, 8), FLAT))) == 1


# -- F39 ---------------------------------------------------------------------------------------------------------------


def tape(prices: list[float], day: str = TUESDAY) -> str:
    """Return a file of prints, one each second from the open on."""
    rows = [f"{day}T14:30:{at:02d}Z,AAA,{px},1000" for at, px in enumerate(prices)]
    return "\n".join(["ts,symbol,price,size", *rows]) + "\n"


def quotes(rows: list[str], day: str = TUESDAY) -> str:
    """Return a file of quotes (bid, bid size, ask, ask size), one each second from the open on."""
    lines = [f"{day}T14:30:{at:02d}Z,AAA,{row}" for at, row in enumerate(rows)]
    return "\n".join(["ts,symbol,bid_px,bid_size,ask_px,ask_size", *lines]) + "\n"


def ticked(folder: Path, script: list[Line], sets: tuple[str, ...] = GUARDED, **files: str) -> Run:
    """Run on files of ticks alone."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Any] = {}
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
        paths[name] = (folder / f"{name}.csv",)
    return play(folder, [], script, sets=sets, **paths)


RESTS: dict[str, Any] = {"tif": "gtc", "reduce_only": True}
STOPPED: list[Line] = [
    submit(None, "a", "buy", 10),
    submit({"order": "a", "status": "filled"}, "stop", "sell", 10, type="stop", stop_px=90, **RESTS),
    submit({"order": "a", "status": "filled"}, "dear", "sell", 10, type="limit", limit_px=150, **RESTS),
    submit({"order": "a", "status": "filled"}, "dip", "buy", 10, type="limit", limit_px=60, tif="gtc"),
]


def test_f39_prints_that_cannot_be_believed_trade_with_nobody(tmp_path: Path) -> None:
    """x100, x0.01, zero, negative, not a number, a spike: the same fills and equity as without them.

    Without the guard the stop is met by the print at 1.
    """
    good = [100, 100, 101, 100, 99, 100, 100]
    odd: list[Any] = [100, 100, 10_000, 101, 1, 100, 0, -100, 99, "nan", 40, 100, 250, 100]
    wanted = ticked(tmp_path / "good", STOPPED, trades=tape(good))
    run = ticked(tmp_path / "odd", STOPPED, trades=tape(odd))
    assert run.statuses() == wanted.statuses() == {"a": "filled", "stop": "new", "dear": "new", "dip": "new"}
    assert [row["equity"] for row in run.table("equity")] == [row["equity"] for row in wanted.table("equity")]
    believed = ticked(tmp_path / "all", STOPPED, sets=("feed.max_jump=0",), trades=tape(odd))
    assert believed.statuses()["stop"] == "filled"


def test_f39_quotes_that_are_crossed_or_far_away_trade_with_nobody(tmp_path: Path) -> None:
    """Crossed, zero on both sides, a hundred times as dear, a hundredth: held back row by row."""
    good = ["99,500,101,500", "99,500,101,500", "99,500,101,500"]
    odd = [good[0], good[1], "103,500,101,500", "0,0,0,0", "9900,500,10100,500", "0.99,500,1.01,500", good[2]]
    wanted = ticked(tmp_path / "good", STOPPED, quotes=quotes(good))
    run = ticked(tmp_path / "odd", STOPPED, quotes=quotes(odd))
    assert run.statuses() == wanted.statuses() == {"a": "filled", "stop": "new", "dear": "new", "dip": "new"}
    document = json.loads((run.folder / "run.json").read_text())
    assert "jump" in json.dumps(document) or any("jump" in notice for notice in run.notices)


def test_f39_a_move_that_is_confirmed_passes_with_the_third_print(tmp_path: Path) -> None:
    """A crash from 100 to 40 stays: 40, 41 and 42 agree. The stop is met by the third and fills at the fourth."""
    run = ticked(tmp_path, STOPPED[:2], trades=tape([100, 100, 40, 41, 42, 43]))
    [fill] = run.fills("stop")
    assert (fill["ts"][17:19], fill["price"]) == ("05", "43")


# -- F40 ---------------------------------------------------------------------------------------------------------------

SPLIT_DAYS = daily((1000, 1010, 990, 1000), (1000, 1010, 990, 1005), (100, 101, 99, 100), (100, 104, 97, 102))
LONG: list[Line] = [
    submit(None, "a", "buy", 10),
    submit({"order": "a", "status": "filled"}, "stop", "sell", 10, type="stop", stop_px=900, tif="gtc"),
    submit(f"{WEDNESDAY}T21:00:00Z", "more", "buy", 1),
]


def test_f40_a_split_nobody_told_of_stops_nobody_out_and_is_told(tmp_path: Path) -> None:
    """Ten for one before Wednesday, without an action: frozen with an alert, valued at Tuesday's close for good.

    10 at 1,000: equity is 100,000 + 10 x (1,005 - 1,000) on Tuesday, and on every later day.
    """
    run = play(tmp_path, [SPLIT_DAYS, bystander()], LONG, sets=GUARDED, adjustment=Adjustment.RAW)
    assert run.statuses() == {"a": "filled", "stop": "new", "more": "denied SYMBOL_HALTED"}
    assert [row["equity"] for row in run.table("equity")] == ["100000", "100000", "100050", "100050", "100050"]
    [alert] = [row for row in run.table("alerts") if "frozen" in row["title"]]
    assert (alert["severity"], alert["title"]) == ("warning", "AAA is frozen: prices that cannot be believed")
    [notice] = [notice for notice in run.notices if "no corporate action says why" in notice]
    assert "--actions" in notice


def test_f40_the_same_split_with_its_action_goes_through(tmp_path: Path) -> None:
    """100 at 100 instead of 10 at 1,000; the stop is one of 90 for 100 shares, which nothing meets.

    Equity: Wednesday closes at 100, so 100,000; Thursday at 102: 100,000 + 100 x 2, and of the one share more that was
    bought at Thursday's open of 100, another 2.
    """
    actions = tmp_path / "actions.csv"
    actions.write_text(f"ex_date,symbol,kind,value\n{WEDNESDAY},AAA,split,10\n")
    run = play(tmp_path, [SPLIT_DAYS, bystander()], LONG, sets=GUARDED, adjustment=Adjustment.RAW, actions=(actions,))
    assert run.statuses() == {"a": "filled", "stop": "new", "more": "filled"}
    order = run.order("stop")
    assert (order["qty"], order["stop_px"]) == ("100", "90")
    assert [row["equity"] for row in run.table("equity")] == ["100000", "100000", "100050", "100000", "100202"]
    assert not [row for row in run.table("alerts") if "frozen" in row["title"]]


def bystander() -> str:
    """Another symbol with the same sessions, so that the days go on where AAA has no bars."""
    return daily(*[(50, 51, 49, 50)] * 4, symbol="BBB")
