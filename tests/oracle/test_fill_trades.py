"""Expected fills on prints, derived on paper (semantics section 2: touch, triggers on ticks, participation).

Without quotes: the order comes in after a print of 500 at 100 and meets what comes after it. A market order takes the
next print at its price; a limit that rests is filled at its limit by prints strictly through it, since how many wait
before it at its price is unknown. Prints trigger; what is triggered fills from the next print. No more than a print's
size is filled by it, times the participation where that is capped.

With quotes as well: a limit that rests is filled at its price once what was displayed there before it is used up.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oracle.sheet import DAYS, Run, minutes, play
from oracle.tape import FREE, Case, clock, filled, order, play_cases, play_tape, row_time, wanted, write

OPENING = [(99.9, 500), (99.9, 500), (100, 500)]
MARKET: dict[str, Any] = {"type": "market"}
ON_OPEN: dict[str, Any] = {"type": "market_on_open", "tif": "opg"}
ON_CLOSE: dict[str, Any] = {"type": "market_on_close", "tif": "cls"}
TUESDAY = DAYS[1]
LIT = "limit_if_touched"
MIT = "market_if_touched"


def at(*prices: float, size: int = 500) -> list[tuple[float, int]]:
    """Return prints of one size."""
    return [(px, size) for px in prices]


def limit(px: float, kind: str = "limit", **more: Any) -> dict[str, Any]:
    """Return a limit order's terms."""
    return {"type": kind, "limit_px": px, **more}


def stop(px: float, kind: str = "stop", **more: Any) -> dict[str, Any]:
    """Return the terms of an order with a trigger."""
    return {"type": kind, "stop_px": px, **more}


def trail(**terms: Any) -> dict[str, Any]:
    """Return a trailing stop's terms."""
    return {"type": "trailing_stop", **terms}


TAKEN = [
    Case("market buy", "buy", MARKET, at(100.03), [(1, "10", "100.03")]),
    Case("market sell", "sell", MARKET, at(99.97), [(1, "10", "99.97")]),
    Case("market buy after a jump", "buy", MARKET, at(103), [(1, "10", "103")]),
    Case("market never meets what was before", "buy", MARKET, [], status="expired"),
    Case("limit buy above the market", "buy", limit(100.1), at(100.03), [(1, "10", "100.03")]),
    Case("limit sell below the market", "sell", limit(99.9), at(99.97), [(1, "10", "99.97")]),
]

RESTED = [
    case
    for kind in ("limit", "take_profit")
    for case in (
        Case(f"{kind} buy not reached", "buy", limit(99.95, kind), at(99.96), status="expired"),
        Case(f"{kind} buy touch", "buy", limit(99.95, kind), at(99.95, 99.95), status="expired"),
        # Whoever sold at 99.94 would have sold to 99.95 first.
        Case(f"{kind} buy through", "buy", limit(99.95, kind), at(99.94), [(1, "10", "99.95")], liquidity="maker"),
        Case(f"{kind} buy far through", "buy", limit(99.95, kind), at(98), [(1, "10", "99.95")], liquidity="maker"),
        Case(f"{kind} sell not reached", "sell", limit(100.05, kind), at(100.04), status="expired"),
        Case(f"{kind} sell touch", "sell", limit(100.05, kind), at(100.05, 100.05), status="expired"),
        Case(f"{kind} sell through", "sell", limit(100.05, kind), at(100.06), [(1, "10", "100.05")], liquidity="maker"),
    )
]

TRIGGERED = [
    Case("stop buy not reached", "buy", stop(100.1), at(100.09, 100.09), status="expired"),
    Case("stop buy touch", "buy", stop(100.1), at(100.1, 100.2), [(2, "10", "100.2")]),
    Case("stop buy through", "buy", stop(100.1), at(101, 100.5), [(2, "10", "100.5")]),
    Case("stop buy with nothing after it", "buy", stop(100.1), at(100.1), status="expired"),
    Case("stop sell not reached", "sell", stop(99.9), at(99.91, 99.91), status="expired"),
    Case("stop sell touch", "sell", stop(99.9), at(99.9, 99.8), [(2, "10", "99.8")]),
    Case("stop sell through", "sell", stop(99.9), at(98, 98.5), [(2, "10", "98.5")]),
    Case("stop sell back above", "sell", stop(99.9), at(99.9, 100), [(2, "10", "100")]),
    Case("stop limit buy", "buy", stop(100.1, "stop_limit", limit_px=100.15), at(100.1, 100.12), [(2, "10", "100.12")]),
    # 100.20 is beyond the limit, which then rests: 100.15 is a touch, 100.14 goes through.
    Case(
        "stop limit buy beyond its limit and back",
        "buy",
        stop(100.1, "stop_limit", limit_px=100.15),
        at(100.2, 100.2, 100.14),
        [(3, "10", "100.15")],
        liquidity="maker",
    ),
    Case("stop limit sell", "sell", stop(99.9, "stop_limit", limit_px=99.85), at(99.9, 99.87), [(2, "10", "99.87")]),
    Case("if touched buy not reached", "buy", stop(99.9, MIT), at(99.91, 99.91), status="expired"),
    Case("if touched buy touch", "buy", stop(99.9, MIT), at(99.9, 99.95), [(2, "10", "99.95")]),
    Case("if touched buy through", "buy", stop(99.9, MIT), at(99, 99.1), [(2, "10", "99.1")]),
    Case("if touched sell touch", "sell", stop(100.1, MIT), at(100.1, 100.05), [(2, "10", "100.05")]),
    Case("if touched sell not reached", "sell", stop(100.1, MIT), at(100.09, 100.09), status="expired"),
    Case("limit if touched buy", "buy", stop(99.9, LIT, limit_px=99.92), at(99.9, 99.91), [(2, "10", "99.91")]),
    Case("limit if touched buy away", "buy", stop(99.9, LIT, limit_px=99.92), at(99.9, 99.95), status="expired"),
    Case("limit if touched sell", "sell", stop(100.1, LIT, limit_px=100.08), at(100.1, 100.09), [(2, "10", "100.09")]),
]

TRAILED = [
    # The last price is 100: 99.50. 100.50 lifts it to 100.00; 100.01 rests, 100.00 triggers, the next print is taken.
    Case("trail sell", "sell", trail(trail_amount=0.5), at(100.5, 100.01, 100, 99.8), [(4, "10", "99.8")]),
    Case("trail sell from the last price", "sell", trail(trail_amount=0.5), at(99.5, 99.6), [(2, "10", "99.6")]),
    Case("trail sell rests", "sell", trail(trail_amount=0.5), at(99.51, 99.52), status="expired"),
    # 1 % of 102 is 1.02: 100.98.
    Case("trail sell percent", "sell", trail(trail_percent=1), at(102, 100.99, 100.98, 100.9), [(4, "10", "100.9")]),
    Case(
        "trail sell unarmed",
        "sell",
        trail(trail_amount=0.5, activation_px=101),
        at(100.99, 99, 98, 97),
        status="expired",
    ),
    # 101 arms it: 100.50.
    Case(
        "trail sell armed",
        "sell",
        trail(trail_amount=0.5, activation_px=101),
        at(99, 101, 100.51, 100.5, 100.4),
        [(5, "10", "100.4")],
    ),
    Case("trail buy", "buy", trail(trail_amount=0.5), at(99.5, 99.99, 100, 100.2), [(4, "10", "100.2")]),
    Case("trail buy from the last price", "buy", trail(trail_amount=0.5), at(100.5, 100.4), [(2, "10", "100.4")]),
    Case("trail buy percent", "buy", trail(trail_percent=1), at(98, 98.97, 98.98, 99), [(4, "10", "99")]),
]

SIZES = [
    Case(
        "a print gives its size",
        "buy",
        MARKET,
        [(100, 30), (100, 30), (100.02, 35), (100.03, 5)],
        [(1, "30", "100"), (2, "30", "100"), (3, "35", "100.02"), (4, "5", "100.03")],
        qty=100,
    ),
    Case(
        "a limit takes what goes through",
        "sell",
        limit(100.05),
        [(100.06, 4), (100.05, 90), (100.07, 90)],
        [(1, "4", "100.05"), (3, "6", "100.05")],
        liquidity="maker",
    ),
    Case(
        "ioc takes one print",
        "buy",
        {"type": "market", "tif": "ioc"},
        [(100, 4), (100, 9)],
        [(1, "4", "100")],
        "canceled",
    ),
    Case("fok finds too little", "buy", {"type": "market", "tif": "fok"}, [(100, 9), (100, 90)], (), "canceled"),
    Case("fok whole", "buy", {"type": "market", "tif": "fok"}, [(100, 10)], [(1, "10", "100")]),
    Case("ioc limit beyond", "buy", limit(99.9, tif="ioc"), at(100, 99), (), "canceled"),
]

CASES = [*TAKEN, *RESTED, *TRIGGERED, *TRAILED, *SIZES]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the table."""
    return play_cases(tmp_path_factory.mktemp("prints"), CASES, OPENING)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: CASES[n].why)
def test_an_order_meets_prints(run: Run, number: int) -> None:
    """Time, shares and price of every fill, who took, and the status at the end."""
    case = CASES[number]
    assert filled(run, f"x{number}") == wanted(case.fills, "trade")
    assert run.order(f"x{number}")["status"] == case.status
    assert {f["liquidity"] for f in run.fills(f"x{number}")} <= {case.liquidity}


def test_what_is_taken_costs_the_modelled_spread_and_more(tmp_path: Path) -> None:
    """Plan: half of 1.5 bps, 5 bps, and an impact; at most a tenth of the print; what rests pays nothing.

    100 + 0.0075 + 0.05 = 100.0575 without impact.
    """
    cases = [
        Case("buy", "buy", MARKET, at(100, size=1000), [(1, "10", "100.0575")]),
        Case("sell", "sell", MARKET, at(100, size=1000), [(1, "10", "99.9425")]),
        Case("limit", "buy", limit(100.02), at(100, size=1000), [(1, "10", "100.02")]),
        Case("rested", "buy", limit(99.95), at(99.9, size=1000), [(1, "10", "99.95")]),
        Case("a tenth", "buy", limit(99.95), at(99.9, 99.9, size=69), [(1, "6", "99.95"), (2, "4", "99.95")]),
    ]
    opening = [(99.9, 5000), (99.9, 5000), (100, 5000)]
    run = play_cases(tmp_path, cases, opening, "plan", ["broker.impact=none"])
    for n, case in enumerate(cases):
        assert filled(run, f"x{n}") == wanted(case.fills, "trade"), case.why


def test_orders_share_a_print(tmp_path: Path) -> None:
    """All orders of a symbol together get at most its size, in the order they came."""
    rows = [(clock(1, 30), "AAA", (100, 500))]
    rows += [(row_time(n), "AAA", (100, size)) for n, size in ((1, 30), (2, 5), (3, 45))]
    script = [order(clock(0), "a", "buy", 20), order(clock(1), "b", "buy", 30)]
    run = play_tape(tmp_path, rows, script)
    assert filled(run, "a") == wanted([(1, "20", "100")], "trade")
    assert filled(run, "b") == wanted([(1, "10", "100"), (2, "5", "100"), (3, "15", "100")], "trade")


BOOK = (100, 300, 100.02, 300)
"""What stands when a limit joins the bid of 100."""


@pytest.mark.parametrize(
    ("tape", "fills"),
    [
        # 300 are ahead: 200 leave 100, then 100 of 150 are theirs and 50 are ours.
        ([(100, 200), (100, 150)], [(2, "50", "100")]),
        ([(100, 200), (100, 100)], []),
        ([(100, 200), (100, 100), (100, 70)], [(3, "70", "100")]),
        # Through the limit everybody at it is served.
        ([(99.99, 90)], [(1, "90", "100")]),
        # Only 20 are still displayed: no more than those can be ahead.
        ([(100, 20, 100.02, 300), (100, 60)], [(2, "40", "100")]),
        # More displayed stands behind us: 300 stay ahead, less the 200 that traded.
        ([(100, 900, 100.02, 300), (100, 200), (100, 150)], [(3, "50", "100")]),
        # Prints elsewhere use up nothing.
        ([(100.01, 900), (100, 310)], [(2, "10", "100")]),
    ],
)
def test_a_limit_waits_in_the_queue_at_its_price(
    tmp_path: Path, tape: list[tuple[float, ...]], fills: list[tuple[int, str, str]]
) -> None:
    """What was displayed at its price when it began to rest is ahead of it."""
    rows = [(clock(1, 30), "AAA", BOOK), *((row_time(n), "AAA", row) for n, row in enumerate(tape, start=1))]
    run = play_tape(tmp_path, rows, [order(clock(0), "x", "buy", 500, type="limit", limit_px=100)])
    assert filled(run, "x") == wanted(fills, "trade")


def test_a_better_price_has_nobody_ahead(tmp_path: Path) -> None:
    """A limit inside the spread is alone at its price."""
    rows = [(clock(1, 30), "AAA", BOOK), (row_time(1), "AAA", (100.01, 40))]
    run = play_tape(tmp_path, rows, [order(clock(0), "x", "buy", 500, type="limit", limit_px=100.01)])
    assert filled(run, "x") == wanted([(1, "40", "100.01")], "trade")


def test_without_the_queue_a_touch_fills_nothing(tmp_path: Path) -> None:
    """Switched off: only prints through the limit."""
    rows = [(clock(1, 30), "AAA", BOOK), (row_time(1), "AAA", (100, 9000)), (row_time(2), "AAA", (99.99, 40))]
    script = [order(clock(0), "x", "buy", 500, type="limit", limit_px=100)]
    run = play_tape(tmp_path, rows, script, sets=["broker.queue=false"])
    assert filled(run, "x") == wanted([(2, "40", "100")], "trade")


def test_prints_trigger_where_there_are_any(tmp_path: Path) -> None:
    """A bid below the stop alone does not; the print does, and the next quote's bid is what is sold to."""
    rows = [
        (clock(1, 30), "AAA", (99.99, 500, 100.01, 500)),
        (clock(2, 30), "AAA", (100, 500)),
        (clock(10, 30), "AAA", (99.99, 500, 100.01, 500)),
        (row_time(1), "AAA", (99.5, 500, 100.01, 500)),
        (row_time(2), "AAA", (99.8, 500, 100.01, 500)),
        (row_time(3), "AAA", (99.9, 100)),
        (row_time(4), "AAA", (99.85, 500, 99.95, 500)),
    ]
    script = [
        order(clock(5, 30), "held", "buy", 10),
        order(clock(0), "x", "sell", 10, type="stop", stop_px=99.9),
    ]
    run = play_tape(tmp_path, rows, script)
    assert filled(run, "x") == [(row_time(4), "10", Decimal("99.85"), "quote")]


PRINTS = [("14:30:00.500", 100), ("14:31:00", 101), ("20:59:00", 105), ("20:59:59", 106)]


def prints() -> list[tuple[str, str, tuple[float, int]]]:
    """Return the Tuesday's prints."""
    return [(f"{TUESDAY}T{t}Z", "AAA", (px, 500)) for t, px in PRINTS]


def test_auctions_on_prints(tmp_path: Path) -> None:
    """The session's first print and its last."""
    at = f"{TUESDAY}T13:00:00Z"
    run = play_tape(
        tmp_path, prints(), [order(at, "open", "buy", 10, **ON_OPEN), order(at, "close", "buy", 10, **ON_CLOSE)]
    )
    [first], [last] = run.fills("open"), run.fills("close")
    assert (Decimal(first["price"]), first["ts"]) == (Decimal(100), f"{TUESDAY}T14:30:00.500Z")
    assert Decimal(last["price"]) == Decimal(106)


def test_a_limit_that_waited_for_the_session_gets_its_opening(tmp_path: Path) -> None:
    """97 opens through 98.5, for 30 of 40; the rest rests, and gets its own price of the print that follows."""
    day = DAYS[2]
    rows = [*prints(), (f"{day}T14:30:05Z", "AAA", (97, 30)), (f"{day}T14:30:06Z", "AAA", (97.5, 500))]
    script = [
        order(f"{TUESDAY}T15:00:00Z", "over night", "buy", 40, type="limit", limit_px=98.5, tif="gtc"),
        order(f"{day}T14:30:05.500Z", "at rest", "buy", 10, type="limit", limit_px=96.9),
    ]
    run = play_tape(tmp_path, rows, script)
    assert [(fill["qty"], Decimal(fill["price"]), fill["liquidity"]) for fill in run.fills("over night")] == [
        ("30", Decimal(97), "maker"),
        ("10", Decimal("98.5"), "maker"),
    ]
    assert run.fills("at rest") == []


@pytest.mark.parametrize(("tif", "px"), [("opg", 100), ("cls", 106)])
@pytest.mark.parametrize("on_touch", [False, True])
def test_an_auction_needs_a_print_through_the_limit(tmp_path: Path, tif: str, px: int, on_touch: bool) -> None:
    """As on bars: at its very price others were there as well, except where a touch is enough."""
    at = f"{TUESDAY}T13:00:00Z"
    script = [
        order(at, name, "buy", 10, type="limit", limit_px=limit, tif=tif)
        for name, limit in (("at", px), ("through", px + 0.01))
    ]
    run = play_tape(tmp_path, prints(), script, sets=[f"broker.fill_on_touch={str(on_touch).lower()}"])
    assert run.statuses() == {"at": "filled" if on_touch else "expired", "through": "filled"}
    assert [Decimal(fill["price"]) for fill in run.fills("through")] == [Decimal(px)]


@pytest.mark.parametrize("bars", [None, ("14:30", 100), ("14:31", 102)])
def test_what_is_dated_before_the_data_meets_the_very_first_print(
    tmp_path: Path, bars: tuple[str, float] | None
) -> None:
    """Even one at the stroke of the open; and what is dated behind it comes in then, wherever bars begin."""
    rows = [(f"{TUESDAY}T14:30:{second}Z", "AAA", (px, 500)) for second, px in (("00", 100), ("10", 101), ("20", 102))]
    script = [
        order(None, "first", "buy", 10, **MARKET),
        order(f"{TUESDAY}T13:00:00Z", "open", "buy", 10, **ON_OPEN),
        order(f"{TUESDAY}T14:30:00Z", "at", "buy", 10, **MARKET),
        order(f"{TUESDAY}T14:30:15Z", "then", "buy", 10, **MARKET),
    ]
    if bars is None:
        run = play_tape(tmp_path, rows, script)
    else:
        start, px = bars
        run = play(tmp_path, minutes(*[(px, px, px, px)] * 2, first=start), script, sets=FREE, **write(tmp_path, rows))
    prices = {name: [Decimal(fill["price"]) for fill in run.fills(name)] for name in run.statuses()}
    # An order that comes in with a print was not there before it: it meets the next one.
    assert prices == {"first": [100], "open": [100], "at": [101], "then": [102]}


def test_the_book_shuts_on_ticks_too(tmp_path: Path) -> None:
    """Ten minutes before the close, whatever the data."""
    script = [order(f"{TUESDAY}T20:55:00Z", "x", "buy", 10, **ON_CLOSE)]
    assert play_tape(tmp_path, prints(), script).statuses() == {"x": "rejected AUCTION_CLOSED"}


def test_the_opening_on_quotes(tmp_path: Path) -> None:
    """Without prints the first quote's ask."""
    rows = [(f"{TUESDAY}T14:30:0{n}Z", "AAA", (99.9 + n, 500, 100.1 + n, 500)) for n in (1, 2)]
    run = play_tape(tmp_path, rows, [order(f"{TUESDAY}T13:00:00Z", "x", "buy", 10, **ON_OPEN)])
    assert [(f["ts"], f["price"]) for f in run.fills("x")] == [(f"{TUESDAY}T14:30:01.000Z", "101.1")]
