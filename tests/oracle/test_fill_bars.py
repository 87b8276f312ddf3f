"""Expected fills of every order type on every shape of bar, derived on paper (semantics section 2, *Inside a bar*).

Each case is a symbol of its own with 100 shares bought at 100 on a Monday whose bar stands still at 100, and one DAY
order for 10 shares that rests before the Tuesday's bar. The path of a bar is open, nearer extreme, other extreme,
close; the derivation stands beside the case. One run holds a whole table. 100 is the last price when the order comes
in: a limit short of it rests, and has taken nothing when the next bar opens beyond it.

Costs of ``plan`` on liquidity taken, per unit of the reference r: half of 1.5 bps, 5 bps, and, the average volume being
unknown, 0.1 % x (10 r / 100,000); never worse than the limit. What rests and is met pays none of them.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oracle.sheet import DAYS, Line, Run, dec, exact, play

MONDAY, TUESDAY, *_ = DAYS
QTY = 10
BPS = Decimal("0.0001")
Bar = tuple[float, float, float, float]

WIDE_OPEN = (
    "portfolio.cash=1000000000",
    "risk.price_collar=0",
    "risk.max_position=0",
    "risk.max_positions=0",
    "risk.max_order_value=0",
    "risk.min_order_value=0",
    "risk.max_order_fraction=0",
    "broker.commission_rate=0",
)
"""The gate and commissions are other tests' business."""


class Case(msgspec.Struct, frozen=True):
    """An order, the Tuesday's bar, and what they make of each other.

    Attributes:
        why: what the case shows; also its name.
        fill: (reference price, source, ``taker`` or ``maker``); None where nothing fills.
        through: False where the path only touches the limit: ``plan`` then has no fill.
    """

    why: str
    side: str
    terms: dict[str, Any]
    bar: Bar
    fill: tuple[str, str, str] | None = None
    through: bool = True


def opened_through(px: str) -> tuple[str, str, str]:
    """Return a fill at the open of a limit that rested."""
    return (px, "open", "maker")


def at_open(px: str) -> tuple[str, str, str]:
    """Return a fill at the bar's open."""
    return (px, "open", "taker")


def takes(px: str) -> tuple[str, str, str]:
    """Return a fill on the way that takes liquidity."""
    return (px, "intrabar", "taker")


def rests(px: str) -> tuple[str, str, str]:
    """Return a fill on the way of an order that others come to."""
    return (px, "intrabar", "maker")


def limit(px: float, kind: str = "limit") -> dict[str, Any]:
    """Return a limit order's terms."""
    return {"type": kind, "limit_px": px}


def stop(px: float) -> dict[str, Any]:
    """Return a stop order's terms."""
    return {"type": "stop", "stop_px": px}


def stop_limit(stop_px: float, limit_px: float) -> dict[str, Any]:
    """Return a stop-limit order's terms."""
    return {"type": "stop_limit", "stop_px": stop_px, "limit_px": limit_px}


def touched(px: float) -> dict[str, Any]:
    """Return a market-if-touched order's terms."""
    return {"type": "market_if_touched", "stop_px": px}


def limit_touched(stop_px: float, limit_px: float) -> dict[str, Any]:
    """Return a limit-if-touched order's terms."""
    return {"type": "limit_if_touched", "stop_px": stop_px, "limit_px": limit_px}


def trail(**terms: float) -> dict[str, Any]:
    """Return a trailing stop's terms."""
    return {"type": "trailing_stop", **terms}


MARKET: dict[str, Any] = {"type": "market"}
ON_OPEN: dict[str, Any] = {"type": "market_on_open", "tif": "opg"}
ON_CLOSE: dict[str, Any] = {"type": "market_on_close", "tif": "cls"}

# Bars by shape; 100 was the last price.
INSIDE = (100, 101, 99, 100.5)  # nothing beyond a point either way
FALLS = (100, 101, 97, 98)  # high 1 away, low 3: up to 101, down to 97, back to 98
RISES = (100, 103, 99, 102)  # low 1 away, high 3: down to 99, up to 103, back to 102
TO_98 = (100, 101, 98, 99)  # the low is exactly 98, after the high
TO_102 = (100, 102, 99, 101)  # the high is exactly 102, after the low
GAP_UP = (104, 105, 103.5, 104.5)  # low half away, high 1
GAP_DOWN = (96, 96.5, 95, 95.5)  # high half away, low 1
SHAPES: dict[str, Bar] = {
    "inside": INSIDE,
    "falls": FALLS,
    "rises": RISES,
    "gap up": GAP_UP,
    "gap down": GAP_DOWN,
}

MARKETS = [
    Case(f"{kind} {side} {shape}", side, terms, bar, (str(bar[at]), source, "taker"))
    for kind, terms, at, source in (
        ("market", MARKET, 0, "open"),  # the first price it lives to see
        ("market on open", ON_OPEN, 0, "open"),  # the first bar's open
        ("market on close", ON_CLOSE, 3, "close"),  # the last bar's close
    )
    for side in ("buy", "sell")
    for shape, bar in SHAPES.items()
]

LIMITS = [
    case
    for kind in ("limit", "take_profit")  # limit_px is the price of take_profit, too
    for case in (
        Case(f"{kind} buy not reached", "buy", limit(98, kind), INSIDE),  # low 99 > 98
        Case(f"{kind} buy through", "buy", limit(98, kind), FALLS, rests("98")),  # 101 -> 97 passes 98
        Case(f"{kind} buy touch", "buy", limit(98, kind), TO_98, rests("98"), through=False),
        Case(f"{kind} buy gap up", "buy", limit(98, kind), GAP_UP),  # low 103.5
        Case(f"{kind} buy gap down", "buy", limit(98, kind), GAP_DOWN, opened_through("96")),  # better of 98 and 96
        # It would have paid the last price, so it takes; the costs in the price end at the limit.
        Case(f"{kind} buy above the open", "buy", limit(100.03, kind), RISES, at_open("100")),
        Case(f"{kind} sell not reached", "sell", limit(102, kind), INSIDE),  # high 101 < 102
        Case(f"{kind} sell through", "sell", limit(102, kind), RISES, rests("102")),  # 99 -> 103 passes 102
        Case(f"{kind} sell touch", "sell", limit(102, kind), TO_102, rests("102"), through=False),
        Case(f"{kind} sell gap down", "sell", limit(102, kind), GAP_DOWN),  # high 96.5
        Case(f"{kind} sell gap up", "sell", limit(102, kind), GAP_UP, opened_through("104")),  # better of 102 and 104
        Case(f"{kind} sell below the open", "sell", limit(99.97, kind), RISES, at_open("100")),
    )
]

STOPS = [
    Case("stop buy not reached", "buy", stop(102), INSIDE),
    Case("stop buy through", "buy", stop(102), RISES, takes("102")),
    Case("stop buy touch", "buy", stop(102), TO_102, takes("102")),  # at or above: a touch triggers
    Case("stop buy gap up", "buy", stop(102), GAP_UP, at_open("104")),  # worse of 102 and the open
    Case("stop buy gap down", "buy", stop(102), GAP_DOWN),
    Case("stop sell not reached", "sell", stop(98), INSIDE),
    Case("stop sell through", "sell", stop(98), FALLS, takes("98")),
    Case("stop sell touch", "sell", stop(98), TO_98, takes("98")),
    Case("stop sell gap down", "sell", stop(98), GAP_DOWN, at_open("96")),
    Case("stop sell gap up", "sell", stop(98), GAP_UP),
]

STOP_LIMITS = [
    Case("stop limit buy not reached", "buy", stop_limit(102, 102.5), INSIDE),
    # Triggered on the way up at 102; the limit 102.5 pays that.
    Case("stop limit buy through", "buy", stop_limit(102, 102.5), RISES, takes("102")),
    Case("stop limit buy touch", "buy", stop_limit(102, 102.5), TO_102, takes("102")),
    # Triggered by the open at 104; the limit pays up to 104.2, so the open it is.
    Case("stop limit buy gap up within the limit", "buy", stop_limit(102, 104.2), GAP_UP, at_open("104")),
    # Triggered by the open; 102.5 is below the whole bar (low 103.5): a limit that rests until the close.
    Case("stop limit buy gap up beyond the limit", "buy", stop_limit(102, 102.5), GAP_UP),
    # Triggered by the open at 104; then down to 103.5, through the limit.
    Case("stop limit buy gap up and back", "buy", stop_limit(102, 103.6), GAP_UP, rests("103.6")),
    Case("stop limit buy gap up and back to it", "buy", stop_limit(102, 103.5), GAP_UP, rests("103.5"), through=False),
    Case("stop limit buy gap down", "buy", stop_limit(102, 102.5), GAP_DOWN),
    # 99, then up through 102 (triggered; 101.5 < 102 does not pay) to 103, then down through 101.5 to 101.
    Case("stop limit buy below its stop", "buy", stop_limit(102, 101.5), (100, 103, 99, 101), rests("101.5")),
    # The low of 99 came before the trigger; from 103 the bar comes back to 102 only.
    Case("stop limit buy does not look back", "buy", stop_limit(102, 101.5), RISES),
    Case("stop limit sell not reached", "sell", stop_limit(98, 97.5), INSIDE),
    Case("stop limit sell through", "sell", stop_limit(98, 97.5), FALLS, takes("98")),
    Case("stop limit sell touch", "sell", stop_limit(98, 97.5), TO_98, takes("98")),
    Case("stop limit sell gap down within the limit", "sell", stop_limit(98, 95.8), GAP_DOWN, at_open("96")),
    Case("stop limit sell gap down beyond the limit", "sell", stop_limit(98, 97.5), GAP_DOWN),
    Case("stop limit sell gap down and back", "sell", stop_limit(98, 96.4), GAP_DOWN, rests("96.4")),
    Case("stop limit sell gap up", "sell", stop_limit(98, 97.5), GAP_UP),
    # 101, then down through 98 (98.5 is above it) to 97, then up through 98.5 to 99.
    Case("stop limit sell above its stop", "sell", stop_limit(98, 98.5), (100, 101, 97, 99), rests("98.5")),
    Case("stop limit sell does not look back", "sell", stop_limit(98, 98.5), FALLS),
]

TOUCHES = [
    Case("if touched buy not reached", "buy", touched(98), INSIDE),
    Case("if touched buy through", "buy", touched(98), FALLS, takes("98")),
    Case("if touched buy touch", "buy", touched(98), TO_98, takes("98")),  # a touch is what it waits for
    Case("if touched buy gap down", "buy", touched(98), GAP_DOWN, at_open("96")),
    Case("if touched buy gap up", "buy", touched(98), GAP_UP),
    Case("if touched sell not reached", "sell", touched(102), INSIDE),
    Case("if touched sell through", "sell", touched(102), RISES, takes("102")),
    Case("if touched sell touch", "sell", touched(102), TO_102, takes("102")),
    Case("if touched sell gap up", "sell", touched(102), GAP_UP, at_open("104")),
    Case("if touched sell gap down", "sell", touched(102), GAP_DOWN),
    Case("limit if touched buy not reached", "buy", limit_touched(98, 98.5), INSIDE),
    # Touched at 98, where a limit of 98.5 takes what there is.
    Case("limit if touched buy through", "buy", limit_touched(98, 98.5), FALLS, takes("98")),
    Case("limit if touched buy touch", "buy", limit_touched(98, 98.5), TO_98, takes("98")),
    Case("limit if touched buy gap down", "buy", limit_touched(98, 98.5), GAP_DOWN, at_open("96")),
    # Touched at 98, then further down through 97.5 to 97.
    Case("limit if touched buy deeper", "buy", limit_touched(98, 97.5), FALLS, rests("97.5")),
    Case("limit if touched buy deeper touch", "buy", limit_touched(98, 97), FALLS, rests("97"), through=False),
    # Touched by the open at 96; the limit is met on the way to 95.
    Case("limit if touched buy gap down deeper", "buy", limit_touched(98, 95.5), GAP_DOWN, rests("95.5")),
    Case("limit if touched buy gap up", "buy", limit_touched(98, 98.5), GAP_UP),
    Case("limit if touched sell not reached", "sell", limit_touched(102, 101.5), INSIDE),
    Case("limit if touched sell through", "sell", limit_touched(102, 101.5), RISES, takes("102")),
    Case("limit if touched sell touch", "sell", limit_touched(102, 101.5), TO_102, takes("102")),
    Case("limit if touched sell gap up", "sell", limit_touched(102, 101.5), GAP_UP, at_open("104")),
    Case("limit if touched sell higher", "sell", limit_touched(102, 102.5), RISES, rests("102.5")),
    Case("limit if touched sell gap up higher", "sell", limit_touched(102, 104.8), GAP_UP, rests("104.8")),
    Case("limit if touched sell gap down", "sell", limit_touched(102, 101.5), GAP_DOWN),
]

TRAILS = [
    # The last price is 100: the stop begins at 98. The low of 99.2 comes first, 101 lifts it to 99.
    Case("trail sell not reached", "sell", trail(trail_amount=2), (100, 101, 99.2, 100.5)),
    # Up to 101 first: 99. Then down to 97 through 99.
    Case("trail sell through", "sell", trail(trail_amount=2), FALLS, takes("99")),
    # Up to 100.5: 98.5, which is exactly the low.
    Case("trail sell touch", "sell", trail(trail_amount=2), (100, 100.5, 98.5, 99), takes("98.5")),
    # Opens below the 98 it has before the bar.
    Case("trail sell gap down", "sell", trail(trail_amount=2), GAP_DOWN, at_open("96")),
    # 104 lifts it to 102, 105 to 103; the bar ends at 104.5.
    Case("trail sell gap up", "sell", trail(trail_amount=2), GAP_UP),
    # Down to 98.5 first, above 98; then 104 lifts it to 102; the way to the close of 101 passes that.
    Case("trail sell on the way to the close", "sell", trail(trail_amount=2), (100, 104, 98.5, 101), takes("102")),
    # The same bar closing above: what was low before the high does not count against the lifted stop.
    Case("trail sell does not look back", "sell", trail(trail_amount=2), (100, 104, 98.5, 103)),
    # 10 % of 100: 90. 110 lifts it to 99; the close is 98.
    Case("trail sell percent", "sell", trail(trail_percent=10), (100, 110, 95, 98), takes("99")),
    Case("trail sell percent rests", "sell", trail(trail_percent=10), (100, 110, 95, 99.5)),
    # 2.5 % of 101: the stop is 98.475.
    Case("trail sell percent of a part", "sell", trail(trail_percent=2.5), FALLS, takes("98.475")),
    Case("trail sell percent gap down", "sell", trail(trail_percent=3), GAP_DOWN, at_open("96")),
    # Not armed below 105: the fall to 90 is not its business.
    Case("trail sell unarmed", "sell", trail(trail_amount=2, activation_px=105), (100, 104.9, 90, 91)),
    # Down to 99; 105 arms it, stop 103; the close is 102.
    Case("trail sell armed", "sell", trail(trail_amount=2, activation_px=105), (100, 105, 99, 102), takes("103")),
    # Armed at 105 first (5 away against 10), then down through 103.
    Case("trail sell armed first", "sell", trail(trail_amount=2, activation_px=105), (100, 105, 90, 95), takes("103")),
    # The fall comes first (3 against 5) and finds it unarmed.
    Case("trail sell armed last", "sell", trail(trail_amount=2, activation_px=105), (100, 105, 97, 104)),
    # Armed by the open at 104, at 102; up to 105: 103; nothing comes back.
    Case("trail sell armed by a gap", "sell", trail(trail_amount=2, activation_px=103), GAP_UP),
    # Armed by the open at 104: 102. Up to 104.5: 102.5. Down to 101 through it.
    Case(
        "trail sell armed by a gap and out",
        "sell",
        trail(trail_amount=2, activation_px=103),
        (104, 104.5, 101, 102),
        takes("102.5"),
    ),
    Case("trail buy not reached", "buy", trail(trail_amount=2), (100, 100.8, 99, 99.5)),
    # Down to 99 first: 101. Then up to 103 through 101.
    Case("trail buy through", "buy", trail(trail_amount=2), RISES, takes("101")),
    Case("trail buy touch", "buy", trail(trail_amount=2), (100, 101.5, 99.5, 101), takes("101.5")),
    Case("trail buy gap up", "buy", trail(trail_amount=2), GAP_UP, at_open("104")),
    Case("trail buy gap down", "buy", trail(trail_amount=2), GAP_DOWN),
    # Up to 101.5 first, below 102; 96 lowers it to 98; the way to the close of 99 passes that.
    Case("trail buy on the way to the close", "buy", trail(trail_amount=2), (100, 101.5, 96, 99), takes("98")),
    Case("trail buy does not look back", "buy", trail(trail_amount=2), (100, 101.5, 96, 97)),
    # 10 % of 90 on top of it: 99.
    Case("trail buy percent", "buy", trail(trail_percent=10), (100, 105, 90, 100), takes("99")),
    Case("trail buy unarmed", "buy", trail(trail_amount=2, activation_px=95), (100, 110, 95.1, 109)),
    Case("trail buy armed", "buy", trail(trail_amount=2, activation_px=95), (100, 101, 95, 98), takes("97")),
    Case("trail buy armed last", "buy", trail(trail_amount=2, activation_px=95), (100, 103, 95, 96)),
]

CASES = [*MARKETS, *LIMITS, *STOPS, *STOP_LIMITS, *TOUCHES, *TRAILS]


def table_of(folder: Path, cases: list[Case], profile: str, sets: tuple[str, ...] = ()) -> Run:
    """Run a table: case n is symbol Sn."""
    rows = ["ts,symbol,open,high,low,close"]
    rows += [f"{MONDAY},S{n:03},100,100,100,100" for n in range(len(cases))]
    rows += [f"{TUESDAY},S{n:03},{','.join(map(str, case.bar))}" for n, case in enumerate(cases)]
    script: list[Line] = []
    for n, case in enumerate(cases):
        held = {"id": f"h{n}", "symbol": f"S{n:03}", "side": "buy", "qty": 100, "type": "market"}
        order = {"id": f"x{n}", "symbol": f"S{n:03}", "side": case.side, "qty": QTY, "tif": "day", **case.terms}
        script += [{"at": None, "submit": held}, {"at": TUESDAY, "submit": order}]
    return play(folder, "\n".join(rows), script, profile, [*WIDE_OPEN, *sets])


@pytest.fixture(scope="module", params=["frictionless", "plan"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Run, dict[str, Any]]:
    """Run the table under one profile; fills by order."""
    profile: str = request.param
    found = table_of(tmp_path_factory.mktemp("table"), CASES, profile)
    return (profile, found, by_name(found))


def by_name(found: Run) -> dict[str, Any]:
    """Return orders and fills by client order id."""
    orders = {row["client_order_id"]: row for row in found.table("orders")}
    names = {row["order_id"]: name for name, row in orders.items()}
    fills: dict[str, list[dict[str, str]]] = {name: [] for name in orders}
    for row in found.table("fills"):
        fills[names[row["order_id"]]].append(row)
    return {"orders": orders, "fills": fills}


def paid(case: Case, ref: Decimal, profile: str, liquidity: str) -> Decimal:
    """Return the price with what ``plan`` charges for liquidity taken, never worse than the limit."""
    if profile == "frictionless" or liquidity == "maker":
        return ref
    side = 1 if case.side == "buy" else -1
    half, slip = exact(ref * Decimal("0.75") * BPS), exact(ref * 5 * BPS)
    impact = exact(ref * Decimal("0.001") * (ref * QTY / 100_000))
    price = ref + side * (half + slip + impact)
    if "limit_px" in case.terms:
        price = side * min(side * price, side * dec(str(case.terms["limit_px"])))
    return price


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: CASES[n].why)
def test_an_order_meets_a_bar(run: tuple[str, Run, dict[str, Any]], number: int) -> None:
    """Status, price to 1e-8, source, who took; a touch of a limit is a fill under ``frictionless`` only."""
    profile, _, found = run
    case = CASES[number]
    order, fills = found["orders"][f"x{number}"], found["fills"][f"x{number}"]
    filled = case.fill is not None and (case.through or profile == "frictionless")
    assert (order["status"], order["cum_qty"]) == (("filled", str(QTY)) if filled else ("expired", "0")), order
    if case.fill is None or not filled:
        assert fills == []
        return
    ref, source, liquidity = case.fill
    [fill] = fills
    got = (Decimal(fill["price"]), fill["px_source"], fill["liquidity"], fill["ts"])
    assert got == (paid(case, dec(ref), profile, liquidity), source, liquidity, "2024-03-05T21:00:00.000Z")
