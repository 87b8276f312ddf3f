"""Orders of every type on real minute, second and tick data; what became of them is recomputed from the files alone.

Nothing here knows the program: fills.csv, orders.csv, the raw rows and the rules. Every fill lies in its bar and is
what the rule of its type says, volumes bound what fills, costs are what the rates say, and cash, positions and equity
follow from the fills. ``verify`` and the auditor look at the books.
"""

from __future__ import annotations

import itertools
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from oracle.audit import audit
from oracle.sheet import Line, Row, Run, exact
from tests_support import replay

CASH = 50_000_000
BPS = Decimal("0.0001")
WIDE = (
    f"portfolio.cash={CASH}",
    "risk.max_position=0",
    "risk.max_positions=0",
    "risk.max_order_value=0",
    "risk.max_order_fraction=0",
    "risk.min_order_value=0",
    "risk.stale_ms=0",
)
OPENS, CLOSES = 13 * 60 + 30, 20 * 60
"""Minutes of the day in UTC: New York is four hours behind in October."""


class RawBar(msgspec.Struct, frozen=True):
    """A row of a file of bars, with the half of the quoted spread at its ends where it is known."""

    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    half_open: Decimal | None = None


class Day(msgspec.Struct):
    """A run and the raw bars of its sessions, by symbol and in order."""

    run: Run
    bars: dict[str, list[RawBar]]
    step: timedelta


def raw_bars(
    path: Path, quotes: Path | None, symbols: tuple[str, ...], days: tuple[str, ...]
) -> dict[str, list[RawBar]]:
    """Read the regular session's rows."""
    minute = pl.col("ts").dt.hour().cast(pl.Int32) * 60 + pl.col("ts").dt.minute()
    frame = pl.read_parquet(path).with_columns(ts=pl.col("ts").dt.convert_time_zone("UTC"))
    frame = frame.filter(pl.col("symbol").is_in(symbols) & pl.col("session").is_in(days))
    frame = frame.filter((minute >= OPENS) & (minute < CLOSES)).sort("ts")
    if quotes is None:
        frame = frame.with_columns(bid_open=pl.lit(None, pl.Float64), ask_open=pl.lit(None, pl.Float64))
    else:
        sides = pl.read_parquet(quotes).with_columns(ts=pl.col("ts").dt.convert_time_zone("UTC"))
        frame = frame.join(sides.select("ts", "symbol", "bid_open", "ask_open"), on=["ts", "symbol"], how="left")
    found: dict[str, list[RawBar]] = {symbol: [] for symbol in symbols}
    columns = ("ts", "symbol", "open", "high", "low", "close", "volume", "bid_open", "ask_open")
    for ts, symbol, *prices, volume, bid, ask in frame.select(columns).iter_rows():
        half = None if bid is None or ask is None else (price(ask) - price(bid)) / 2
        found[symbol].append(RawBar(ts, *map(price, prices), volume, half))
    return found


def price(value: float) -> Decimal:
    """Return the price a float stands for."""
    return Decimal(str(value))


def stamp(when: datetime) -> str:
    """Return a time as the tables have it."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def templates(last: Decimal, step: Decimal) -> list[Line]:
    """Return orders of every kind around a price."""
    up, down = (lambda n: float(last + n * step)), (lambda n: float(last - n * step))
    return [
        {"side": "buy", "qty": 300, "type": "market"},
        {"side": "sell", "qty": 200, "type": "market", "tif": "ioc"},
        {"side": "buy", "qty": 200, "type": "limit", "limit_px": down(2)},
        {"side": "sell", "qty": 200, "type": "limit", "limit_px": up(2), "tif": "gtc"},
        {"side": "buy", "qty": 200, "type": "limit", "limit_px": up(1), "tif": "fok"},
        {"side": "buy", "qty": 100, "type": "stop", "stop_px": up(3)},
        {"side": "sell", "qty": 100, "type": "stop", "stop_px": down(3)},
        {"side": "buy", "qty": 100, "type": "stop_limit", "stop_px": up(2), "limit_px": up(3)},
        {"side": "sell", "qty": 100, "type": "trailing_stop", "trail_amount": float(4 * step)},
        {"side": "buy", "qty": 100, "type": "trailing_stop", "trail_percent": 0.1},
        {"side": "buy", "qty": 100, "type": "market_if_touched", "stop_px": down(3)},
        {"side": "sell", "qty": 100, "type": "limit_if_touched", "stop_px": up(3), "limit_px": up(2)},
        {"side": "sell", "qty": 100, "type": "take_profit", "limit_px": up(4)},
        {
            "side": "buy",
            "qty": 200,
            "type": "market",
            "bracket": {"take_profit_px": up(5), "stop_px": down(4)},
        },
        {"side": "buy", "qty": 100, "type": "market_on_close"},
        {"side": "buy", "qty": 90_000, "type": "market"},
    ]


def script_of(bars: dict[str, list[RawBar]], every: timedelta) -> list[Line]:
    """Return a script: shares to begin with, then one order after the other around the last price, to mid-afternoon."""
    script: list[Line] = []
    for symbol, rows in bars.items():
        script.append(
            {
                "at": None,
                "submit": {"id": f"{symbol}-0", "symbol": symbol, "side": "buy", "qty": 5000, "type": "market"},
            }
        )
        numbers = itertools.count(1)
        due = rows[0].start + every
        for row in rows:
            if row.start < due:
                continue
            due = row.start + every
            n = next(numbers)
            kinds = templates(row.close, Decimal("0.01") if row.close < 50 else Decimal("0.03"))
            body = {"id": f"{symbol}-{n}", "symbol": symbol, **kinds[n % len(kinds)]}
            if row.start.hour < CLOSES // 60 - 1:
                script.append({"at": stamp(row.start + timedelta(seconds=90)), "submit": body})
    return script


def play_files(folder: Path, script: list[Line], sets: tuple[str, ...] = (), **options: Any) -> Run:
    """Run the program on files."""
    (folder / "orders.jsonl").write_text("\n".join(map(json.dumps, script)) + "\n")
    result = replay(
        folder / "run",
        profile="plan",
        sets=[*WIDE, *sets],
        orders=folder / "orders.jsonl",
        adjustment="raw",
        events=True,
        **options,
    )
    return Run(result.folder, result.notices)


@pytest.fixture(scope="module", params=["minutes", "seconds"])
def day(request: pytest.FixtureRequest, test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Run on two days of minutes with quotes merged, or on an afternoon's worth of seconds without."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "minutes":
        files = [test_data / f"minute_{kind}_bars_lean.parquet" for kind in ("trade", "quote")]
        symbols, days = ("SPY", "IBM", "BAC", "AIG"), ("20131007", "20131008")
        bars = raw_bars(files[0], files[1], symbols, days)
        step, every = timedelta(minutes=1), timedelta(minutes=15)
    else:
        files = [test_data / "second_trade_bars_lean.parquet"]
        symbols, days = ("IBM", "BAC"), ("20131008",)
        bars = raw_bars(files[0], None, symbols, days)
        step, every = timedelta(seconds=1), timedelta(minutes=10)
    run = play_files(
        folder,
        script_of(bars, every),
        (f"universe.symbols={json.dumps(symbols)}",),
        bars=tuple(files),
        date_from=int(days[0]),
        date_to=int(days[-1]),
    )
    return Day(run, bars, step)


def fills_of(day: Day) -> Iterator[tuple[Row, Row, RawBar, bool]]:
    """Yield (fill, order, bar, whether it is the order's first)."""
    orders = {row["order_id"]: row for row in day.run.table("orders")}
    ends = {symbol: {stamp(bar.start + day.step): bar for bar in rows} for symbol, rows in day.bars.items()}
    seen: set[str] = set()
    for fill in day.run.table("fills"):
        bar = ends[fill["symbol"]].get(fill["ts"])
        if bar is None:  # for the closing, known at the session's end
            assert orders[fill["order_id"]]["type"] == "market_on_close"
            bar = [b for b in day.bars[fill["symbol"]] if stamp(b.start) < fill["ts"]][-1]
        yield fill, orders[fill["order_id"]], bar, fill["order_id"] not in seen
        seen.add(fill["order_id"])


def test_the_books_are_sound(day: Day) -> None:
    """Verify and the auditor agree; and the day is worth it: every type filled."""
    audit(day.run)
    kinds = {row["type"] for row in day.run.table("orders") if row["cum_qty"] not in ("0", "")}
    assert len(kinds) >= 9
    assert "trailing_stop" in kinds
    assert len(day.run.table("fills")) > 60
    assert any(row["parent_id"] for row in day.run.table("orders"))


def test_every_fill_is_in_its_bar_and_after_its_order(day: Day) -> None:
    """The reference lies between low and high; the bar began when the order was there, or it is a child's entry bar."""
    for fill, order, bar, _ in fills_of(day):
        ref = Decimal(fill["ref_px"])
        assert bar.low <= ref <= bar.high, fill
        assert fill["px_source"] != "open" or ref == bar.open, fill
        assert fill["px_source"] != "close" or ref == bar.close, fill
        born = bool(order["parent_id"]) or order["type"] == "market_on_close"
        assert order["ts"] <= stamp(bar.start + (day.step if born else timedelta(0))), fill


def test_every_fill_is_what_its_type_allows(day: Day) -> None:
    """Market orders at the next open, stops and touches at their price or a gap's open, limits never beyond."""
    checked: dict[str, int] = defaultdict(int)
    starts = {symbol: [stamp(bar.start) for bar in rows] for symbol, rows in day.bars.items()}
    taken: dict[tuple[str, str], int] = defaultdict(int)
    for fill in day.run.table("fills"):
        taken[fill["symbol"], fill["ts"]] += int(fill["qty"])

    def waited(fill: Row, order: Row, bar: RawBar) -> list[RawBar]:
        """Return the bars since the order that gave all they could to others."""
        rows, known = day.bars[fill["symbol"]], starts[fill["symbol"]]
        earlier = rows[bisect_left(known, order["ts"]) : bisect_left(known, stamp(bar.start))]
        return [b for b in earlier if taken[fill["symbol"], stamp(b.start + day.step)] == b.volume // 10]

    for fill, order, bar, first in fills_of(day):
        side = 1 if fill["side"] == "buy" else -1
        ref, paid = Decimal(fill["ref_px"]), Decimal(fill["price"])
        limit = Decimal(order["limit_px"]) if order["limit_px"] else None
        stop = Decimal(order["stop_px"]) if order["stop_px"] else None
        kind = order["type"]
        checked[kind] += 1
        assert limit is None or side * (limit - paid) >= 0, fill
        if kind == "market":
            assert ref == bar.open, fill
            begin, end = (bisect_left(starts[fill["symbol"]], ts) for ts in (order["ts"], stamp(bar.start)))
            assert not first or len(waited(fill, order, bar)) == end - begin, fill
        elif kind == "market_on_close":
            assert ref == day_close(day, fill), fill
        elif kind in ("stop", "market_if_touched") and first:
            assert stop is not None
            beyond = side * (bar.open - stop) if kind == "stop" else side * (stop - bar.open)
            # Triggered in a bar that had nothing left to give, it is a market order at a later open.
            late = [b for b in waited(fill, order, bar) if b.low <= stop <= b.high]
            assert ref == (bar.open if beyond >= 0 or late else stop), fill
        elif kind in ("limit", "take_profit") and fill["liquidity"] == "maker":
            assert limit is not None
            better = side * (limit - bar.open) > 0
            assert paid == ref == (bar.open if better and fill["px_source"] == "open" else limit), fill
    assert {"market", "limit", "stop", "market_if_touched", "market_on_close"} <= set(checked)


def day_close(day: Day, fill: Row) -> Decimal:
    """Return the last close of a fill's session."""
    rows = [bar for bar in day.bars[fill["symbol"]] if stamp(bar.start)[:10] == fill["ts"][:10]]
    return rows[-1].close


def test_no_bar_gives_more_than_its_share(day: Day) -> None:
    """A tenth of the volume, whole shares, for all orders together; and somebody wanted more."""
    taken: dict[tuple[str, str], int] = defaultdict(int)
    volume: dict[tuple[str, str], int] = {}
    for fill, _, bar, _ in fills_of(day):
        taken[fill["symbol"], fill["ts"]] += int(fill["qty"])
        volume[fill["symbol"], fill["ts"]] = bar.volume
    assert all(qty <= volume[key] // 10 for key, qty in taken.items())
    assert any(qty == volume[key] // 10 for key, qty in taken.items())


def test_costs_are_what_the_rates_say(day: Day) -> None:
    """0.1 % commission on everything; who takes pays 5 bps and half the spread: the quoted one, or half of 1.5 bps."""
    quoted = 0
    for fill, order, bar, _ in fills_of(day):
        qty, ref, paid = int(fill["qty"]), Decimal(fill["ref_px"]), Decimal(fill["price"])
        assert abs(Decimal(fill["fee"]) - qty * paid * Decimal("0.001")) < Decimal("0.0001"), fill
        if fill["liquidity"] == "maker":
            assert paid == ref
        elif order["type"] == "market" and fill["px_source"] == "open":
            half = ref * Decimal("0.75") * BPS if bar.half_open is None else bar.half_open
            assert abs(Decimal(fill["spread"]) - qty * half) < Decimal("0.0001") * qty, fill
            assert abs(Decimal(fill["slippage"]) - qty * ref * 5 * BPS) < Decimal("0.0001") * qty, fill
            assert Decimal(fill["impact"]) > 0
            quoted += bar.half_open is not None
    assert quoted > 10 or all(bar.half_open is None for rows in day.bars.values() for bar in rows)


def test_cash_positions_and_equity_follow_from_the_fills(day: Day) -> None:
    """To the last digit; marks are the last closes of the session."""
    cash, held = Decimal(CASH), defaultdict[str, int](int)
    for fill in day.run.table("fills"):
        side = 1 if fill["side"] == "buy" else -1
        cash -= exact(side * int(fill["qty"]) * Decimal(fill["price"])) + Decimal(fill["fee"])
        held[fill["symbol"]] += side * int(fill["qty"])
    worth = sum((qty * day.bars[symbol][-1].close for symbol, qty in held.items()), Decimal(0))
    last = day.run.table("equity")[-1]
    assert (Decimal(last["cash"]), Decimal(last["equity"])) == (cash, cash + worth)
    shown = {row["symbol"]: int(row["qty"]) for row in day.run.table("positions") if row["qty"] != "0"}
    assert shown == {symbol: qty for symbol, qty in held.items() if qty}


# -- ticks -------------------------------------------------------------------------------------------------------------


CLOSE = "2013-10-07T20:00:00.000Z"


class Tape(msgspec.Struct):
    """A session of one symbol: its run, the best bid and offer behind each row, the prints."""

    run: Run
    touches: dict[str, list[tuple[Decimal, int, Decimal, int]]]
    prints: dict[str, list[tuple[Decimal, int]]]


def tick_script() -> list[Line]:
    """Return orders of every type over the morning, around what IBM cost then."""
    script: list[Line] = [
        {
            "at": "2013-10-07T13:45:00Z",
            "submit": {"id": "T-0", "symbol": "IBM", "side": "buy", "qty": 3000, "type": "market"},
        }
    ]
    for n in range(1, 64):
        at = datetime(2013, 10, 7, 14, tzinfo=UTC) + timedelta(minutes=4 * n)
        kinds = templates(Decimal("182.6") + Decimal(n % 7 - 3) / 10, Decimal("0.05"))
        body = {**kinds[n % len(kinds)]}
        body["qty"] = min(body["qty"], 1500)
        script.append({"at": stamp(at), "submit": {"id": f"T-{n}", "symbol": "IBM", **body}})
    return script


@pytest.fixture(scope="module")
def tape(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Tape:
    """Play the first six hours of IBM's quotes and prints of a day, with 50 ms of latency."""
    folder = tmp_path_factory.mktemp("ticks")
    frames = {}
    for kind in ("quotes", "trades"):
        frame = pl.scan_parquet(test_data / f"tick_{kind}_lean.parquet")
        frame = frame.filter((pl.col("symbol") == "IBM") & (pl.col("session") == "20131007"))
        frames[kind] = frame.with_columns(ts=pl.col("ts").dt.convert_time_zone("UTC")).collect()
        frames[kind].write_parquet(folder / f"{kind}.parquet")
    run = play_files(
        folder,
        tick_script(),
        ("broker.latency_ms=50", "broker.impact=none"),
        quotes=(folder / "quotes.parquet",),
        trades=(folder / "trades.parquet",),
    )
    touches: dict[str, list[tuple[Decimal, int, Decimal, int]]] = defaultdict(list)
    bid, ask = (Decimal(0), 0), (Decimal(0), 0)
    sound = frames["quotes"].filter(pl.col("suspicious") == 0)
    for ts, b, bs, a, as_ in sound.select("ts", "bid", "bid_size", "ask", "ask_size").iter_rows():
        bid = (price(b), bs) if b and bs else bid
        ask = (price(a), as_) if a and as_ else ask
        touches[stamp(ts)].append((*bid, *ask))
    prints: dict[str, list[tuple[Decimal, int]]] = defaultdict(list)
    for ts, px, size in frames["trades"].filter(pl.col("suspicious") == 0).select("ts", "price", "size").iter_rows():
        prints[stamp(ts)].append((price(px), size))
    return Tape(run, dict(touches), dict(prints))


def test_the_books_of_a_day_of_ticks_are_sound(tape: Tape) -> None:
    """Verify and the auditor agree, and both quotes and prints filled orders of many types."""
    audit(tape.run)
    fills = tape.run.table("fills")
    assert {fill["px_source"] for fill in fills} >= {"quote", "trade"}
    orders = {row["order_id"]: row for row in tape.run.table("orders")}
    assert len({orders[fill["order_id"]]["type"] for fill in fills}) >= 7


def test_every_fill_on_a_quote_is_at_the_touch(tape: Tape) -> None:
    """A buy pays the ask quoted at that very instant, plus 5 bps where it takes; no more than was displayed."""
    taken: dict[tuple[str, str], int] = defaultdict(int)
    sizes: dict[tuple[str, str], int] = {}
    for fill in tape.run.table("fills"):
        if fill["px_source"] != "quote":
            continue
        buy = fill["side"] == "buy"
        quoted = [(ask, size) if buy else (bid, b) for bid, b, ask, size in tape.touches[fill["ts"]]]
        qty = int(fill["qty"])
        taken[fill["ts"], fill["side"]] += qty
        sizes[fill["ts"], fill["side"]] = sum(size for _, size in dict.fromkeys(quoted))
        slip = Decimal(fill["slippage"]) / qty
        touch = Decimal(fill["price"]) + (-slip if buy else slip)
        assert any(abs(px - touch) <= Decimal("0.00000002") for px, _ in quoted) or fill_at_limit(tape, fill), fill
        assert (slip == 0) is (fill["liquidity"] == "maker") or fill_at_limit(tape, fill), fill
    assert len(taken) > 10
    assert all(qty <= sizes[key] for key, qty in taken.items())


def fill_at_limit(tape: Tape, fill: Row) -> bool:
    """Return whether a limit cut what a fill costs."""
    [order] = [row for row in tape.run.table("orders") if row["order_id"] == fill["order_id"]]
    return bool(order["limit_px"]) and Decimal(order["limit_px"]) == Decimal(fill["price"])


def test_every_fill_on_a_print_has_one_behind_it(tape: Tape) -> None:
    """A resting limit is filled at its price by prints at or through it, at most a tenth of an instant's."""
    taken: dict[str, int] = defaultdict(int)
    orders = {row["order_id"]: row for row in tape.run.table("orders")}
    *_, last = (px for ts, rows in tape.prints.items() if ts <= CLOSE for px, _ in rows)
    for fill in tape.run.table("fills"):
        if orders[fill["order_id"]]["type"] == "market_on_close":
            assert (fill["ts"], Decimal(fill["ref_px"])) == (CLOSE, last), fill
        elif fill["px_source"] == "trade":
            side = 1 if fill["side"] == "buy" else -1
            assert any(side * (Decimal(fill["price"]) - px) >= 0 for px, _ in tape.prints[fill["ts"]]), fill
            assert fill["liquidity"] == "taker" or fill_at_limit(tape, fill)
            taken[fill["ts"]] += int(fill["qty"])
    assert all(qty <= sum(size for _, size in tape.prints[ts]) // 10 for ts, qty in taken.items())


def test_nothing_fills_before_it_is_there(tape: Tape) -> None:
    """Fifty milliseconds after it was accepted at the earliest."""
    orders = {row["order_id"]: row for row in tape.run.table("orders")}
    for fill in tape.run.table("fills"):
        order = orders[fill["order_id"]]
        known, came = (datetime.fromisoformat(text) for text in (fill["ts"], order["ts"]))
        assert order["parent_id"] or known - came >= timedelta(milliseconds=50), fill
