"""Expected fills on quotes, derived on paper (semantics section 2: touch, triggers on ticks, sizes consumed once).

The order comes in while 99.99 x 500 / 100.01 x 500 stands and meets what comes after it. A buy pays the ask, a sale
gets the bid, at most what is displayed and not consumed yet. Without prints a sell is triggered by the bid and a buy by
the ask; what is triggered fills from the next quote.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oracle.sheet import Run, dec, exact, play
from oracle.tape import FREE, Case, clock, filled, order, play_cases, play_tape, row_time, wanted, write

OPENING = [(99.89, 500, 99.91, 500), (99.89, 500, 99.91, 500), (99.99, 500, 100.01, 500)]
LIT = "limit_if_touched"
MIT = "market_if_touched"
TRAIL = "trailing_stop"


def at(bid: float, ask: float, size: int = 500) -> tuple[float, int, float, int]:
    """Return a quote with the same size on both sides."""
    return (bid, size, ask, size)


def limit(px: float, kind: str = "limit", **more: Any) -> dict[str, Any]:
    """Return a limit order's terms."""
    return {"type": kind, "limit_px": px, **more}


def stop(px: float, kind: str = "stop", **more: Any) -> dict[str, Any]:
    """Return the terms of an order with a trigger."""
    return {"type": kind, "stop_px": px, **more}


def trail(**terms: Any) -> dict[str, Any]:
    """Return a trailing stop's terms."""
    return {"type": TRAIL, **terms}


STILL = at(99.99, 100.01)
MARKET: dict[str, Any] = {"type": "market"}

TAKEN = [
    Case("market buy pays the ask", "buy", MARKET, [STILL], [(1, "10", "100.01")]),
    Case("market sell gets the bid", "sell", MARKET, [STILL], [(1, "10", "99.99")]),
    Case("market buy after a jump", "buy", MARKET, [at(101, 101.02)], [(1, "10", "101.02")]),
    Case("market sell after a fall", "sell", MARKET, [at(98.5, 99)], [(1, "10", "98.5")]),
    Case("market never meets what stood before", "buy", MARKET, [], status="expired"),
    Case("limit buy that pays the ask", "buy", limit(100.05), [STILL], [(1, "10", "100.01")]),
    Case("limit sell that takes the bid", "sell", limit(99.9), [STILL], [(1, "10", "99.99")]),
    # The ask has gone above the limit when the order is there: it rests, and is met later.
    Case("limit buy too late", "buy", limit(100.05), [at(100.1, 100.12), at(100, 100.04)], [(2, "10", "100.04")]),
]

RESTED = [
    case
    for kind in ("limit", "take_profit")
    for case in (
        Case(f"{kind} buy not reached", "buy", limit(99.95, kind), [at(99.94, 99.96)], status="expired"),
        # A bid at the limit is somebody else's wish to buy there.
        Case(f"{kind} buy bid below", "buy", limit(99.95, kind), [at(99.9, 99.96)], status="expired"),
        Case(f"{kind} buy touch", "buy", limit(99.95, kind), [at(99.93, 99.95)], [(1, "10", "99.95")]),
        Case(f"{kind} buy through", "buy", limit(99.95, kind), [at(99.8, 99.82)], [(1, "10", "99.82")]),
        Case(f"{kind} sell not reached", "sell", limit(100.05, kind), [at(100.04, 100.06)], status="expired"),
        Case(f"{kind} sell touch", "sell", limit(100.05, kind), [at(100.05, 100.07)], [(1, "10", "100.05")]),
        Case(f"{kind} sell through", "sell", limit(100.05, kind), [at(100.2, 100.22)], [(1, "10", "100.2")]),
    )
]

TRIGGERED = [
    Case("stop buy not reached", "buy", stop(100.1), [at(100.08, 100.09), STILL], status="expired"),
    # Exactly at the trigger; the fill comes from the next quote, wherever that is.
    Case("stop buy touch", "buy", stop(100.1), [at(100.08, 100.1), at(100.18, 100.2)], [(2, "10", "100.2")]),
    Case("stop buy through", "buy", stop(100.1), [at(101, 101.02), at(100.5, 100.52)], [(2, "10", "100.52")]),
    Case("stop buy back below", "buy", stop(100.1), [at(100.1, 100.12), STILL], [(2, "10", "100.01")]),
    Case("stop buy with nothing after it", "buy", stop(100.1), [at(100.1, 100.12)], status="expired"),
    Case("stop sell not reached", "sell", stop(99.9), [at(99.91, 99.92), at(99.91, 99.92)], status="expired"),
    Case("stop sell touch", "sell", stop(99.9), [at(99.9, 99.92), at(99.8, 99.82)], [(2, "10", "99.8")]),
    Case("stop sell through", "sell", stop(99.9), [at(98, 98.02), at(98.5, 98.52)], [(2, "10", "98.5")]),
    Case(
        "stop limit buy",
        "buy",
        stop(100.1, "stop_limit", limit_px=100.15),
        [at(100.08, 100.1), at(100.1, 100.12)],
        [(2, "10", "100.12")],
    ),
    Case(
        "stop limit buy beyond its limit and back",
        "buy",
        stop(100.1, "stop_limit", limit_px=100.15),
        [at(100.08, 100.1), at(100.18, 100.2), at(100.13, 100.15)],
        [(3, "10", "100.15")],
    ),
    Case(
        "stop limit buy beyond its limit",
        "buy",
        stop(100.1, "stop_limit", limit_px=100.15),
        [at(100.08, 100.1), at(100.18, 100.2)],
        status="expired",
    ),
    Case(
        "stop limit sell",
        "sell",
        stop(99.9, "stop_limit", limit_px=99.85),
        [at(99.9, 99.92), at(99.86, 99.9)],
        [(2, "10", "99.86")],
    ),
    Case("if touched buy not reached", "buy", stop(99.9, MIT), [at(99.89, 99.91), STILL], status="expired"),
    Case("if touched buy touch", "buy", stop(99.9, MIT), [at(99.88, 99.9), at(99.93, 99.95)], [(2, "10", "99.95")]),
    Case("if touched buy through", "buy", stop(99.9, MIT), [at(99, 99.02), at(99.1, 99.12)], [(2, "10", "99.12")]),
    Case("if touched sell not reached", "sell", stop(100.1, MIT), [at(100.09, 100.11), STILL], status="expired"),
    Case(
        "if touched sell touch",
        "sell",
        stop(100.1, MIT),
        [at(100.1, 100.12), at(100.05, 100.07)],
        [(2, "10", "100.05")],
    ),
    Case(
        "limit if touched buy",
        "buy",
        stop(99.9, LIT, limit_px=99.92),
        [at(99.88, 99.9), at(99.93, 99.95), at(99.9, 99.92)],
        [(3, "10", "99.92")],
    ),
    Case(
        "limit if touched sell",
        "sell",
        stop(100.1, LIT, limit_px=100.08),
        [at(100.1, 100.12), at(100.05, 100.07), at(100.09, 100.11)],
        [(3, "10", "100.09")],
    ),
    Case(
        "limit if touched sell untouched",
        "sell",
        stop(100.1, LIT, limit_px=100.08),
        [at(100.09, 100.1)] * 2,
        status="expired",
    ),
]

TRAILED = [
    # The bid of 100.50 lifts the stop to 100.00; 100.01 rests, 100.00 triggers, the next bid is taken.
    Case(
        "trail sell",
        "sell",
        trail(trail_amount=0.5),
        [at(100.5, 100.52), at(100.01, 100.03), at(100, 100.02), at(99.8, 99.82)],
        [(4, "10", "99.8")],
    ),
    Case(
        "trail sell rests", "sell", trail(trail_amount=0.5), [at(100.5, 100.52), at(100.01, 100.03)], status="expired"
    ),
    # 1 % of 102 is 1.02: 100.98.
    Case(
        "trail sell percent",
        "sell",
        trail(trail_percent=1),
        [at(102, 102.02), at(100.99, 101), at(100.98, 101), at(100.9, 101)],
        [(4, "10", "100.9")],
    ),
    # Never armed: 101 is not reached.
    Case(
        "trail sell unarmed",
        "sell",
        trail(trail_amount=0.5, activation_px=101),
        [at(100.99, 101.01), at(99, 99.02), at(98, 98.02)],
        status="expired",
    ),
    # Armed at 101: the stop is 100.50.
    Case(
        "trail sell armed",
        "sell",
        trail(trail_amount=0.5, activation_px=101),
        [at(99, 99.02), at(101, 101.02), at(100.51, 100.53), at(100.5, 100.52), at(100.4, 100.42)],
        [(5, "10", "100.4")],
    ),
    # The ask of 99.50 lowers the stop to 100.00; 99.99 rests, 100.00 triggers.
    Case(
        "trail buy",
        "buy",
        trail(trail_amount=0.5),
        [at(99.48, 99.5), at(99.97, 99.99), at(99.98, 100), at(100.2, 100.22)],
        [(4, "10", "100.22")],
    ),
    Case(
        "trail buy percent",
        "buy",
        trail(trail_percent=1),
        [at(97.98, 98), at(98.95, 98.97), at(98.96, 98.98), at(99, 99.02)],
        [(4, "10", "99.02")],
    ),
]

SIZES = [
    # 30 are displayed and taken; shown again they are the same 30. At 50 there are 20 more. Another price begins anew.
    Case(
        "sizes are consumed once",
        "buy",
        MARKET,
        [at(99.99, 100.01, 30)] * 2 + [at(99.99, 100.01, 50), at(99.99, 100.02, 35)],
        [(1, "30", "100.01"), (3, "20", "100.01"), (4, "35", "100.02")],
        status="expired",
        qty=100,
    ),
    # What was taken at 100.01 is there again when the price has been elsewhere.
    Case(
        "a new price begins anew",
        "buy",
        MARKET,
        [at(99.99, 100.01, 30), at(99.99, 100.02, 30), at(99.99, 100.01, 30), at(99.99, 100.01, 30)],
        [(1, "30", "100.01"), (2, "30", "100.02"), (3, "30", "100.01")],
        status="expired",
        qty=100,
    ),
    # Less displayed than was consumed: nothing, not a debt. Then 60 - 50 = 10.
    Case(
        "consumed stays consumed",
        "sell",
        MARKET,
        [at(99.99, 100.01, 50), at(99.99, 100.01, 20), at(99.99, 100.01, 60)],
        [(1, "50", "99.99"), (3, "10", "99.99")],
        status="expired",
        qty=90,
    ),
    # The ask moves, the bid does not: what was sold to the bid stays sold.
    Case(
        "the other side's move frees nothing",
        "sell",
        MARKET,
        [at(99.99, 100.01, 50), (99.99, 50, 100.05, 70), (99.99, 80, 100.05, 70)],
        [(1, "50", "99.99"), (3, "30", "99.99")],
        qty=80,
    ),
    # A side of zero is unchanged: the second row only repeats the bid, at which nothing is bought.
    Case(
        "a side of zero is unchanged",
        "buy",
        limit(99.95),
        [(99.9, 500, 0, 0), (0, 0, 99.95, 40)],
        [(2, "10", "99.95")],
    ),
    Case(
        "a limit takes what is displayed",
        "buy",
        limit(99.95),
        [at(99.9, 99.95, 4), at(99.9, 99.94, 4)],
        [(1, "4", "99.95"), (2, "4", "99.94")],
        status="expired",
    ),
]

IMMEDIATE = [
    Case(
        "ioc takes what there is",
        "buy",
        {"type": "market", "tif": "ioc"},
        [at(99.99, 100.01, 4), STILL],
        [(1, "4", "100.01")],
        "canceled",
    ),
    Case("ioc limit takes nothing", "buy", limit(100, tif="ioc"), [STILL, at(99.9, 99.92)], (), "canceled"),
    Case("ioc limit whole", "sell", limit(99.99, tif="ioc"), [STILL], [(1, "10", "99.99")]),
    Case(
        "fok finds too little", "buy", {"type": "market", "tif": "fok"}, [at(99.99, 100.01, 9), STILL], (), "canceled"
    ),
    Case("fok whole", "buy", {"type": "market", "tif": "fok"}, [at(99.99, 100.01, 10)], [(1, "10", "100.01")]),
    Case("fok limit beyond", "sell", limit(100, tif="fok"), [STILL, at(100, 100.02)], (), "canceled"),
]

CASES = [*TAKEN, *RESTED, *TRIGGERED, *TRAILED, *SIZES, *IMMEDIATE]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the table."""
    return play_cases(tmp_path_factory.mktemp("quotes"), CASES, OPENING)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: CASES[n].why)
def test_an_order_meets_quotes(run: Run, number: int) -> None:
    """Time, shares and price of every fill, and the status at the end."""
    case = CASES[number]
    assert filled(run, f"x{number}") == wanted(case.fills, "quote")
    assert run.order(f"x{number}")["status"] == case.status


def test_what_is_taken_costs_half_the_quoted_spread_and_more(tmp_path: Path) -> None:
    """Plan: the reference is the mid; to the ask, then 5 bps and the linear impact of an unknown volume.

    Mid 100: half of the spread 0.01, slippage 0.05, impact 100 x 0.001 x (100 x 10 / 100,000) = 0.001. A limit ends
    them.
    """
    cases = [
        Case("buy", "buy", MARKET, [STILL], [(1, "10", "100.061")]),
        Case("sell", "sell", MARKET, [STILL], [(1, "10", "99.939")]),
        Case("limit", "buy", limit(100.02), [STILL], [(1, "10", "100.02")]),
        # It rested at 99.95, so who comes to 99.90 pays; 99.90 is the touch.
        Case("rested", "buy", limit(99.95), [at(99.88, 99.9)], [(1, "10", "99.9")]),
    ]
    assert exact(Decimal(100) * dec("0.001") * (Decimal(1000) / 100_000)) == dec("0.001")
    run = play_cases(tmp_path, cases, OPENING, "plan")
    for n, case in enumerate(cases):
        assert filled(run, f"x{n}") == wanted(case.fills, "quote"), case.why
    assert [run.fills(f"x{n}")[0]["liquidity"] for n in range(4)] == ["taker", "taker", "taker", "maker"]


def test_two_orders_share_what_is_displayed(tmp_path: Path) -> None:
    """In the order they came; together never more than is displayed."""
    rows = [(clock(1, 30), "AAA", STILL)]
    rows += [(row_time(n), "AAA", at(99.99, 100.01, size)) for n, size in ((1, 30), (2, 30), (3, 45))]
    script = [order(clock(0), "a", "buy", 20), order(clock(1), "b", "buy", 30)]
    run = play_tape(tmp_path, rows, script)
    assert filled(run, "a") == wanted([(1, "20", "100.01")], "quote")
    assert filled(run, "b") == wanted([(1, "10", "100.01"), (3, "15", "100.01")], "quote")


def test_post_only_never_takes(tmp_path: Path) -> None:
    """Refused where the standing ask would be paid; else it waits to be met."""
    rows = [(clock(1, 30), "AAA", STILL), (row_time(1), "AAA", STILL), (row_time(2), "AAA", at(99.98, 100, 500))]
    script = [
        order(clock(0), "takes", "buy", 10, type="limit", limit_px=100.01, post_only=True),
        order(clock(1), "through", "buy", 10, type="limit", limit_px=100.5, post_only=True),
        order(clock(2), "waits", "buy", 10, type="limit", limit_px=100, post_only=True),
    ]
    run = play_tape(tmp_path, rows, script)
    assert run.statuses() == {
        "takes": "rejected POST_ONLY_WOULD_TAKE",
        "through": "rejected POST_ONLY_WOULD_TAKE",
        "waits": "filled",
    }
    assert run.fills("waits")[0]["liquidity"] == "maker"


@pytest.mark.parametrize(("latency", "row"), [(0, 1), (999, 1), (1000, 1), (1001, 2), (2500, 3)])
def test_latency_shifts_arrival(tmp_path: Path, latency: int, row: int) -> None:
    """Quotes come 1, 2 and 3 seconds after the order; it meets the first that is not before its arrival."""
    rows = [(clock(1, 30), "AAA", STILL)]
    rows += [(clock(n), "AAA", at(99.99 + n, 100.01 + n)) for n in (1, 2, 3)]
    run = play_tape(tmp_path, rows, [order(clock(0), "x", "buy", 10)], sets=[f"broker.latency_ms={latency}"])
    assert filled(run, "x") == [(clock(row), "10", dec("100.01") + row, "quote")]


def test_a_cancel_in_flight_loses_to_an_earlier_fill(tmp_path: Path) -> None:
    """With 1 s of latency: sent at :10, the cancel is there at :11. A quote at :10.5 fills, one at :11 does not."""
    rows = [(clock(1, 30), "AAA", STILL), (clock(10.5), "AAA", at(99.93, 99.95)), (clock(11), "AAA", at(99.83, 99.85))]
    script = [
        order(clock(0), "lost", "buy", 10, type="limit", limit_px=99.95),
        order(clock(0), "won", "buy", 10, type="limit", limit_px=99.9),
        {"at": clock(10), "cancel": "lost"},
        {"at": clock(10), "cancel": "won"},
    ]
    run = play_tape(tmp_path, rows, script, sets=["broker.latency_ms=1000"])
    assert run.statuses() == {"lost": "filled", "won": "canceled"}


def test_a_replace_in_flight_changes_nothing_before_it_is_there(tmp_path: Path) -> None:
    """The old limit is met at :10.5; the new one only from :11 on."""
    quotes = [(10.5, 99.93, 99.95), (11, 99.95, 99.97)]
    rows = [(clock(1, 30), "AAA", STILL), *((clock(s), "AAA", at(bid, ask, 6)) for s, bid, ask in quotes)]
    script = [
        order(clock(0), "up", "buy", 10, type="limit", limit_px=99.9),
        order(clock(0), "down", "buy", 6, type="limit", limit_px=99.95),
        {"at": clock(10), "replace": {"id": "up", "limit_px": 99.98}},
        {"at": clock(10), "replace": {"id": "down", "limit_px": 99.5}},
    ]
    run = play_tape(tmp_path, rows, script, sets=["broker.latency_ms=1000"])
    assert filled(run, "up") == [(clock(11), "6", dec("99.97"), "quote")]
    assert filled(run, "down") == [(clock(10.5), "6", dec("99.95"), "quote")]


def test_a_symbol_with_quotes_is_not_matched_on_bars(tmp_path: Path) -> None:
    """Its minute bars mark: the bar's low does not fill a limit that no quote came to."""
    lines = [f"2024-03-05T14:{m}:00Z,AAA,100,100.5,95,100,1000" for m in range(30, 36)]
    bars = "\n".join(["ts,symbol,open,high,low,close,volume", *lines])
    rows = [(clock(1, 30), "AAA", STILL), (clock(0), "AAA", STILL), (clock(0, 34), "AAA", STILL)]
    script = [order(clock(30, 30), "x", "buy", 10, type="limit", limit_px=98)]
    run = play(tmp_path, bars, script, "frictionless", FREE, **write(tmp_path, rows))
    assert run.order("x")["status"] == "expired"
