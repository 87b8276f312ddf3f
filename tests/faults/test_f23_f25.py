"""F23 to F25 of the catalogue of faults: numbers that are none, prices that are not there, refusals of the venue.

What is proved of each: it is refused where it comes in, no breaker has heard of it, and what comes next is taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.api import PanelWindow, Params, Scores, Signal, Window, strategy
from actors.feed.history import HistorySpec, open_history
from actors.messages.inference import StrategyFailed
from actors.messages.market import QuotePanel
from actors.messages.orders import (
    BUY,
    OrderAccepted,
    OrderDenied,
    OrderFilled,
    OrderRejected,
    OrderTerms,
    OrderType,
    SubmitOrder,
)
from actors.messages.portfolio import EquityMarked, SignalsReady
from actors.messages.risk import BreakerTripped, TradingState
from actors.predictor.registry import bind_spec
from actors.risk.params import RiskLimits
from actors.values.fixed import SCALE
from config.sources import load_settings
from daemon.kernel.errors import ConfigError
from daemon.kernel.message import InputQuarantined
from tests.faults.killing import OPEN_LIMITS, START, second_bars, settings
from tests.faults.meddling import rows_of
from tests.live_support import Client, Daemon, daemon, until
from tests.system.wired import House

TEXTS = ("nan", "inf", "-inf", "null", "", "-0.0", "1e999", "0", "-1")
"""How such a number stands in a file."""
NOT_WRITTEN = ("", "null")
"""Those that say nothing of a side of a quote: it stands."""

# ------------------------------------------------------------------------------------ F23: market data


def poisoned(folder: Path) -> str:
    """Write 40 seconds of bars, quotes and prints, with each bad value in each of them; return the configuration."""
    bars = second_bars(folder / "clean.csv", seconds=40).read_text("ascii").splitlines()
    head, *rows = bars
    for n, text in enumerate(TEXTS):
        # In the place of a good bar of S1, so that the next one has to be taken; S0 is as good as ever.
        at = 10 * 5 + 5 * n + 1
        stamp, symbol, *_ = rows[at].split(",")
        rows[at] = f"{stamp},{symbol},{text},{text},{text},{text},1000000"
    (folder / "bars.csv").write_text("\n".join([head, *rows]) + "\n", "ascii")
    quotes, trades = ["ts,symbol,bid_px,bid_size,ask_px,ask_size"], ["ts,symbol,price,size"]
    for n in range(80):
        stamp = f"{START + timedelta(milliseconds=500 * n + 100):%Y-%m-%dT%H:%M:%S.%f}Z"
        bad = TEXTS[n % len(TEXTS)] if 20 <= n < 40 else None
        bid, ask, px = ("99.95", "100.05", "100.00") if bad is None else (bad, bad, bad)
        quotes.append(f"{stamp},S0,{bid},500,{ask},500")
        trades.append(f"{stamp},S0,{px},100")
    (folder / "quotes.csv").write_text("\n".join(quotes) + "\n", "ascii")
    (folder / "trades.csv").write_text("\n".join(trades) + "\n", "ascii")
    toml = settings(folder, seconds=40, speed=8, risk=GUARDED)
    (folder / "bars.csv").write_text("\n".join([head, *rows]) + "\n", "ascii")
    more = f'quotes = ["{folder / "quotes.csv"}"]\ntrades = ["{folder / "trades.csv"}"]\n'
    return toml.replace("speed = 8\n", f"{more}speed = 8\n")


GUARDED = OPEN_LIMITS.replace("daily_loss_halt = 0", "daily_loss_halt = 0.02").replace(
    "[broker]", "[risk.breakers]\nvolatility = { limit = 0.5 }\nfill_sanity = { limit = 0.2 }\n[broker]"
)


def test_f23_bad_numbers_in_market_data_trip_nothing_and_the_next_good_ones_count(tmp_path: Path) -> None:
    """Bars, quotes and prints of a real daemon that holds a position: marks stay, breakers are armed, orders pass."""
    with daemon(tmp_path, poisoned(tmp_path)) as d:
        d.start()
        with d.client() as client:
            tries = iter(range(10_000))
            until(20, lambda: _buys(client, "S0", next(tries)), "a price")
            until(30, lambda: client.call("journal.head")["ts"] > "2024-01-02T14:30:25", "the end of what is bad")
            assert {row["state"] for row in client.call("breakers")["rows"]} == {"armed"}
            assert client.call("status")["trading_state"] == "active"
            for symbol in ("S0", "S1"):
                assert (
                    client.call("order.submit", symbol=symbol, side="buy", qty=1, request_id=symbol)["status"] == "new"
                )
        assert d.stop() == 0
        assert not d.events(BreakerTripped)
        assert not d.events(InputQuarantined)
        marks = [event.equity / SCALE for event in d.events(EquityMarked)]
        assert marks
        # 1,000 shares of S0, which moves between 99 and 101: no mark is further from the cash that bought them.
        assert min(marks) > 100_000_000 - 5_000
        assert max(marks) < 100_000_000 + 5_000


def _buys(client: Client, symbol: str, n: int) -> bool:
    fields = {"symbol": symbol, "side": "buy", "qty": 1_000, "request_id": f"first{n}"}
    return bool(client.call("order.submit", **fields)["status"] == "new")


def test_f23_every_bad_row_is_counted(tmp_path: Path) -> None:
    """Nothing of it is dropped in silence: nine bars are refused, and the bars behind them are there."""
    poisoned(tmp_path)
    history = open_history(HistorySpec(bars=(str(tmp_path / "bars.csv"),)))
    assert history.quality.rows_rejected == len(TEXTS)
    assert history.n_bars == 5 * 40 - len(TEXTS)


# ---------------------------------------------------------------------------------- F23: configuration

LIMITS = ("max_order_qty", "max_order_value", "max_position", "daily_loss_halt", "price_collar")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", '"nan"', '""', '"null"', "1e999", "-0.0", "-1", "true", "[]"])
@pytest.mark.parametrize("key", LIMITS)
def test_f23_no_limit_is_a_number_that_is_none(tmp_path: Path, key: str, text: str) -> None:
    """In a file and on the command line: refused with the key, never taken for no limit."""
    file = tmp_path / "bad.toml"
    file.write_text(f"[risk]\n{key} = {text}\n", "ascii")
    with pytest.raises(ConfigError, match=key):
        load_settings(file=file, profile=None, sets=(), environ={})
    with pytest.raises(ConfigError, match=key):
        load_settings(file=None, profile=None, sets=[f"risk.{key}={text.strip(chr(34))}"], environ={})


# ----------------------------------------------------------------------------------------- F23: socket

NUMBERS = ("NaN", "Infinity", "-Infinity", "null", '""', '"NaN"', "-0.0", "1e999", "-1", "0", "true", "[1]", "{}")
"""How such a number stands in a line of JSON, or in what somebody takes for JSON."""


def raw(d: Daemon, method: str, params: str) -> dict[str, Any] | None:
    """Send a line as it stands on a connection of its own; return the whole answer, None where it was hung up on."""
    with d.client() as client:
        line = f'{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{{{params}}}}}\n'
        client.socket.sendall(line.encode())
        try:
            return client.receive()
        except ConnectionResetError:
            return None


def lines_of_orders() -> Iterator[tuple[str, str, str]]:
    """Yield (field, value, parameters) with each value in each number of an order."""
    for n, (value, field) in enumerate(product(NUMBERS, ("qty", "limit_px", "stop_px"))):
        said = {"qty": "1", "limit_px": "100", "stop_px": "100"} | {field: value}
        if field != "stop_px":
            del said["stop_px"]
        kind = "stop_limit" if field == "stop_px" else "limit"
        numbers = ",".join(f'"{name}":{text}' for name, text in said.items())
        yield field, value, f'"symbol":"S0","side":"buy","type":"{kind}","request_id":"b{n}",{numbers}'


def test_f23_no_order_and_no_limit_comes_in_with_a_number_that_is_none(tmp_path: Path) -> None:
    """Each value in each number of an order and of a limit: an error or a denial; the next good order is accepted."""
    risk = OPEN_LIMITS.replace("price_collar = 0\n", "price_collar = 0.1\nmax_order_qty = 1000\n")
    with daemon(tmp_path, settings(tmp_path, risk=risk)) as d:
        d.start()
        with d.client() as client:
            tries = iter(range(10_000))
            until(20, lambda: _buys(client, "S0", next(tries)), "a price")
            for field, value, params in lines_of_orders():
                answer = raw(d, "order.submit", params)
                refused = answer is None or "error" in answer or answer["result"]["status"] == "denied"
                assert refused, (field, value, answer)
            for value in NUMBERS:
                if value != "0":  # that one is well understood: no limit
                    text = json.dumps(f"max_order_qty={value.strip(chr(34))}")
                    answer = raw(d, "limits.set", f'"set":[{text}],"loosen":true,"reason":"try"')
                    assert answer is None or "error" in answer, (value, answer)
            large = client.call("order.submit", symbol="S0", side="buy", qty=1_001, request_id="large")
            assert large["code"] == "MAX_QTY"
            assert client.call("order.submit", symbol="S0", side="buy", qty=1, request_id="good")["status"] == "new"
            tripped = [row["breaker"] for row in client.call("breakers")["rows"] if row["state"] != "armed"]
            assert tripped in ([], ["reject_rate"])  # that so much was refused is what that one is for; it warns
            assert client.call("status")["trading_state"] == "active"
        assert d.stop() == 0
        assert len(d.events(OrderAccepted)) == 2


# ----------------------------------------------------------------------------------- F23: model output

NONE_AT_ALL = (float("nan"), float("inf"), float("-inf"), None, "", "nan")
FREE = RiskLimits(min_order_value=0, min_confidence_buy=0.65, replay=False, stale_ns=0)
says: dict[str, Any] = {}
"""What the strategies below say next."""


@strategy(name="single", lookback=1)
def single(w: Window, p: Params) -> Signal:
    """Say what the test wants of one symbol after the other."""
    del w, p
    return Signal(**says)


@strategy(name="whole", lookback=1)
def whole(w: PanelWindow, p: Params) -> Scores:
    """Say it of all symbols at once."""
    del p
    return Scores(**{name: np.full(w.close.shape[1], value) for name, value in says.items()})


def outputs() -> Iterator[Any]:
    """Yield author, field and value; in a column NaN says that nothing is known, and there are only numbers."""
    for field, value in product(("score", "confidence", "expected_bps", "p_up"), NONE_AT_ALL):
        if value is not None or field == "score":
            yield pytest.param(single, field, value, id=f"of a symbol-{field}-{value!r}")
        if isinstance(value, float) and (value == value or field in ("score", "confidence")):  # noqa: PLR0124 - NaN
            yield pytest.param(whole, field, value, id=f"of a panel-{field}-{value!r}")


@pytest.mark.parametrize(("author", "field", "value"), list(outputs()))
def test_f23_what_a_model_says_that_is_no_number_orders_nothing(author: Any, field: str, value: Any) -> None:
    """No order and no breaker; what it says next, and is a number, is followed."""
    house = House(bindings=[bind_spec(author.__tradingd_strategy__)], limits=FREE)
    says.clear()
    says.update({"score": 0.9, "confidence": 0.9, field: value})
    events = house.bar(100.0, 100.0, 100.0)
    assert any(isinstance(e, StrategyFailed) for e in events) or not any(isinstance(e, SignalsReady) for e in events)
    assert not any(isinstance(e, OrderAccepted | OrderDenied | BreakerTripped | InputQuarantined) for e in events)
    assert house.state is TradingState.ACTIVE
    says.clear()
    says.update({"score": 0.9, "confidence": 0.9})
    assert any(isinstance(e, OrderAccepted) for e in house.bar(100.0, 100.0, 100.0))


@pytest.mark.parametrize(("confidence", "accepted"), [(0.0, 0), (-0.0, 0), (0.9, 3)])
def test_f23_a_minus_zero_is_a_zero(confidence: float, accepted: int) -> None:
    """It is a number: of a confidence that is below the gate."""
    house = House(bindings=[bind_spec(single.__tradingd_strategy__)], limits=FREE)
    says.clear()
    says.update({"score": 0.9, "confidence": confidence})
    events = house.bar(100.0, 100.0, 100.0)
    assert sum(isinstance(e, OrderAccepted) for e in events) == accepted


def test_f23_an_order_of_unknown_confidence_is_denied() -> None:
    """Where one comes to the gate all the same: NaN is above nothing."""
    house = House(limits=FREE)
    house.bar(100.0, 100.0, 100.0)
    order = SubmitOrder("c1", "main", 0, BUY, SCALE, strategy="s", confidence=float("nan"))
    [denied] = house.put(order)
    assert (type(denied), denied.code) == (OrderDenied, "CONFIDENCE")


# --------------------------------------------------------------------------------------- F24: no price


def quoted(house: House, bid: float, ask: float) -> None:
    """Show a quote of the first symbol alone."""
    house.now += 10**6
    house.clock.advance_to(house.now)
    columns = (np.array([value]) for value in (bid, 100.0, ask, 100.0))
    house.put(QuotePanel(house.now, np.array([0], dtype=np.int32), *columns))


@pytest.mark.parametrize("sides", [None, (0.0, 0.0), (0.0, 100.0), (100.0, 0.0), (101.0, 100.0), (float("nan"),) * 2])
@pytest.mark.parametrize("kind", [kind for kind in OrderType if kind is not OrderType.TRAILING_STOP])
def test_f24_without_a_price_nothing_is_entered_and_nothing_divided(sides: Any, kind: OrderType) -> None:
    """No quote at all, and quotes without a middle: denied for want of a price, whatever kind of order."""
    house = House(limits=RiskLimits(replay=False, max_var=0.05, max_heat=0.1, max_leverage=1.0, nbbo_tolerance=0.05))
    if sides is not None:
        quoted(house, *sides)
    tif = {"market_on_open": "opg", "market_on_close": "cls"}.get(kind.value, "day")
    prices = {"limit_px": 100} if "limit" in kind.value or kind is OrderType.TAKE_PROFIT else {}
    if kind in (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED):
        prices["stop_px"] = 100
    denied = house.submit(type=kind.value, tif=tif, **prices)
    assert (denied["status"], denied["code"]) == ("denied", "NO_REF_PRICE")
    assert not [frame for frame in house.frames if any(isinstance(e, InputQuarantined) for e in frame.events)]
    assert house.state is TradingState.ACTIVE


def test_f24_a_signal_for_a_symbol_without_a_price_becomes_no_order() -> None:
    """Sizes are cash over price: where there is none, there is no size; the symbols with one are ordered."""
    house = House(bindings=[bind_spec(whole.__tradingd_strategy__)], limits=FREE, symbols=("A", "B", "C"))
    says.clear()
    says.update({"score": 0.9, "confidence": 0.9})
    events = [e for prices in ((100.0, 100.0), (101.0, 101.0)) for e in house.bar(*prices)]
    assert {e.order.symbol for e in events if isinstance(e, OrderAccepted)} == {0, 1}
    assert not any(isinstance(e, InputQuarantined | OrderDenied) for e in events)


# --------------------------------------------------------------------------- F25: the venue's refusals


def test_f25_an_order_that_the_venue_refuses_for_its_price_leaves_no_ghost() -> None:
    """A post-only buy above the ask: rejected; nothing works, is reserved or counted; the next one is taken."""
    house = House(limits=RiskLimits(replay=False, max_positions=1, min_order_value=0, nbbo_tolerance=0.0))
    house.bar(100.0, 100.0, 100.0)
    quoted(house, 99.99, 100.01)
    order = SubmitOrder(
        "c1", "main", 0, BUY, 10 * SCALE, OrderType.LIMIT, limit_px=101 * SCALE, terms=OrderTerms(post_only=True)
    )
    events = house.put(order)
    assert [(type(e), e.code) for e in events] == [(OrderRejected, "POST_ONLY_WOULD_TAKE")]
    book = house.core.risk.exposure.books["main"]
    assert (book.reserved, book.names, book.holdings.get(0)) == (0, 0, None)
    assert not house.core.broker.working
    assert not house.core.risk.exposure.working
    # It takes no place: another symbol may be entered, and the same id stays used.
    [accepted] = house.put(SubmitOrder("c2", "main", 1, BUY, 10 * SCALE))
    assert isinstance(accepted, OrderAccepted)
    [again] = house.put(order)
    assert (type(again), again.code) == (OrderDenied, "DUPLICATE")


def test_f25_a_refused_order_is_told_and_stays_refused_over_a_restart(tmp_path: Path) -> None:
    """Through the socket of a real daemon: answered as rejected, no position and no order of it, before and after."""
    toml = settings(tmp_path, quotes_a_second=2, speed=20)
    with daemon(tmp_path, toml) as d:
        d.start()
        with d.client() as client:
            tries = iter(range(10_000))
            until(20, lambda: _buys(client, "S0", next(tries)), "a price")
            fields = {"symbol": "S1", "side": "buy", "qty": 5, "type": "limit", "limit_px": 113, "post_only": True}
            told = client.call("order.submit", id="ghost", **fields)
            assert (told["status"], told["code"]) == ("rejected", "POST_ONLY_WOULD_TAKE")
        d.kill()
        d.start()
        with d.client() as client:
            rows = rows_of(client, "orders", all=True)
            assert [row["status"] for row in rows if row["client_order_id"] == "ghost"] == ["rejected"]
            assert not [row for row in client.call("positions")["rows"] if row["symbol"] == "S1"]
            taken = client.call("order.submit", symbol="S1", side="buy", qty=5, request_id="next")
            assert taken["status"] == "new"
        assert d.stop() == 0
        filled = [e.client_order_id for e in d.events(OrderFilled)]
        assert "ghost" not in filled
