"""F20 to F22 of the catalogue of faults: storms of orders, what stays latched, and room for fewer than ask at once."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.messages.control import Kill
from actors.messages.orders import (
    BUY,
    CancelOrder,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderType,
    SubmitOrder,
    TimeInForce,
)
from actors.messages.risk import BreakerTripped, TradingState
from actors.risk.params import RiskLimits
from actors.values.fixed import SCALE
from tests.faults.kill_oracle import Witness, await_state, judge, kill_by_socket
from tests.faults.killing import OPEN_LIMITS, SYMBOLS, Flood, Traffic, settings
from tests.faults.test_process_clock import DAY, library, wall_clock
from tests.live_support import Client, Daemon, daemon, until
from tests.system.wired import House

__all__ = ["library"]

SECOND = 10**9
RATE, BURST = 100, 500
WIDE = RiskLimits(
    min_order_value=0,
    max_order_value=0,
    max_order_fraction=0.0,
    max_position=0.0,
    max_positions=0,
    price_collar=0.0,
    min_confidence_buy=0.0,
    min_confidence_sell=0.0,
    cash_reserve=SCALE,
    stale_ns=0,
    duplicate_window_ns=0,
    daily_loss_warn=0.0,
    daily_loss_block=0.0,
    daily_loss_halt=0.0,
    max_drawdown=0.0,
    replay=False,
)


# ------------------------------------------------------------------------------------------------------- F20: a storm


def storm(house: House, *, kill_at: int | None = None) -> dict[str, list[Any]]:
    """Send 10,000 signals in one second, one every 100 us, and perhaps a kill behind so many; return what came of them.

    Each is a resting buy of one share in one of three symbols.
    """
    found: dict[str, list[Any]] = {"accepted": [], "denied": [], "canceled": [], "kill_s": []}
    begin = house.clock.now()
    for n in range(10_000):
        house.clock.advance_to(begin + n * 100_000)
        order = SubmitOrder(f"s{n}", "main", n % 3, BUY, SCALE, OrderType.LIMIT, TimeInForce.GTC, SCALE, strategy="s")
        events = house.put(order)
        if n == kill_at:
            began = time.process_time()
            events += house.put(Kill("enough", "anna"), "control")
            found["kill_s"].append(time.process_time() - began)
        found["accepted"] += [(e, house.clock.now()) for e in events if isinstance(e, OrderAccepted)]
        found["denied"] += [e for e in events if isinstance(e, OrderDenied)]
        found["canceled"] += [e for e in events if isinstance(e, OrderCanceled)]
    return found


@pytest.fixture
def throttled() -> House:
    """A core that takes 100 orders a second behind a burst of 500."""
    house = House(limits=msgspec.structs.replace(WIDE, order_rate=float(RATE), order_burst=BURST))
    house.bar(100.0, 100.0, 100.0)
    return house


def test_f20_ten_thousand_signals_in_a_second_obey_the_throttle(throttled: House) -> None:
    """In every stretch at most rate x time + burst, all others denied with the code; and just that many in the whole.

    The second ends with the signal at 999.9 ms: 500 at once, and one each 10 ms from the first on: at 10 ms, 20 ms, ...
    990 ms, 99 of them.
    """
    found = storm(throttled)
    assert len(found["accepted"]) == BURST + 99
    assert {e.code for e in found["denied"]} == {"ORDER_RATE"}
    assert len(found["accepted"]) + len(found["denied"]) == 10_000
    stamps = np.array([ts for _, ts in found["accepted"]])
    counts = np.arange(len(stamps))
    for first in range(0, len(stamps), 50):
        allowed = RATE * (stamps[first:] - stamps[first]) / SECOND + BURST
        assert np.all(counts[first:] - first + 1 <= allowed + 1e-9)


@pytest.mark.parametrize("kill_at", [0, 499, 5_000])
def test_f20_a_kill_passes_in_the_storm(throttled: House, kill_at: int) -> None:
    """At once and whatever the throttle says: everything that rests is cancelled, and behind it nothing is accepted."""
    found = storm(throttled, kill_at=kill_at)
    assert throttled.state is TradingState.KILLED
    assert len(found["canceled"]) == len(found["accepted"])
    begin = throttled.clock.now() - 9_999 * 100_000
    assert found["accepted"][-1][1] <= begin + kill_at * 100_000
    assert {e.code for e in found["denied"][-(9_999 - kill_at) :]} == {"KILLED"}
    assert found["kill_s"][0] < 0.1
    assert not throttled.core.broker.working


def test_f20_cancels_pass_a_throttle_that_is_used_up(throttled: House) -> None:
    """What was accepted in the storm can be taken back in it, one by one."""
    found = storm(throttled)
    for event, _ in found["accepted"]:
        [ended] = throttled.put(CancelOrder(event.order.client_order_id, "operator"))
        assert isinstance(ended, OrderCanceled)


THROTTLED = OPEN_LIMITS.replace(
    "[broker]",
    "order_rate = 50\norder_burst = 200\nsymbol_order_rate = 0\nmessage_rate = 0\nmax_executions = 0\n"
    "self_match_prevention = false\n[broker]",
)


def test_f20_the_kill_of_a_real_daemon_in_a_storm_whose_reporter_raises(tmp_path: Path) -> None:
    """A thousand orders at once, alerts that cannot be written: the throttle holds and the kill is as quick as ever."""
    toml = settings(tmp_path, risk=THROTTLED, extra='[alerter]\nfile = "/dev/full"\nconsole = "info"\n')
    with daemon(tmp_path, toml) as d, ExitStack() as stack:
        d.start()
        witness = Witness(d.ledger)
        stack.callback(witness.close)
        with Traffic(d) as traffic:
            traffic.await_fill(d)
            flood = stack.enter_context(Flood(d, connections=20, each=50))
            flood.receive()
            kill = kill_by_socket(d, witness)
            flood.receive_all()
            await_state(d, "killed")
            traffic.stop()
        codes = {told.answer["code"] for told in flood.told.values() if told.answer and told.answer.get("code")}
        assert codes <= {"ORDER_RATE", "KILLED", "SHORT_NOT_ALLOWED"}
        assert codes & {"ORDER_RATE", "KILLED"}
        assert d.stop() == 0
        judge(d, [kill], [traffic])
        # What is sold is an exit: it takes its place in the throttle, and is never refused by it.
        accepted = np.array(
            [f.ts for f in d.frames() for e in f.events if isinstance(e, OrderAccepted) and e.order.side == BUY]
        )
        assert len(accepted) > 100
        for first in range(len(accepted)):
            allowed = 50 * (accepted[first:] - accepted[first]) / SECOND + 200
            assert np.all(np.arange(1, len(accepted) - first + 1) <= allowed + 1e-9)


# ------------------------------------------------------------------------------------- F21: over a change of the clock


def week_of_the_change(path: Path) -> Path:
    """Write bars of ten minutes from Monday, 2024-03-04 to Monday, 2024-03-11 in New York: 100, from Thursday on 60.

    Clocks were set forward on Sunday: the session of Monday the 11th begins at 13:30 UTC, those before at 14:30.
    """
    lines = ["ts,symbol,open,high,low,close,volume"]
    for day, hour in [(4, 14), (5, 14), (6, 14), (7, 14), (8, 14), (11, 13), (12, 13)]:
        px = 100.0 if day < 7 else 60.0
        for minute in range(0, 390, 10):
            at = datetime(2024, 3, day, hour, 30, tzinfo=UTC) + timedelta(minutes=minute)
            stamp = f"{at:%Y-%m-%dT%H:%M:%SZ}"
            lines += [f"{stamp},{s},{px},{px + 0.2},{px - 0.2},{px},1000000" for s in SYMBOLS]
    path.write_text("\n".join(lines) + "\n", "ascii")
    return path


def breaker(client: Client, name: str) -> dict[str, Any]:
    """Return a row of the breakers."""
    rows: list[dict[str, Any]] = client.call("breakers")["rows"]
    return next(row for row in rows if row["breaker"] == name)


def test_f21_a_breaker_and_its_baseline_outlive_a_weekend_in_which_clocks_change(tmp_path: Path) -> None:
    """F21: tripped on Thursday; SIGKILL, reload, weekend, summer time, SIGKILL again: latched, the same baseline."""
    toml = settings(tmp_path, risk=OPEN_LIMITS.replace("max_drawdown = 0\n", "max_drawdown = 0.2\nmax_leverage = 0\n"))
    week_of_the_change(tmp_path / "bars.csv")
    toml = toml.replace("speed = 20\n", "speed = 80000\n") + '[universe]\ncalendar = "XNYS"\n'
    with daemon(tmp_path, toml) as d:
        d.start()
        with d.client() as client:
            tries = iter(range(10_000))
            until(20, lambda: _buys(client, next(tries)), "a price")
            until(40, lambda: breaker(client, "drawdown")["state"] == "latched", "the breaker")
        d.kill()
        [tripped] = d.events(BreakerTripped)
        for _ in range(2):
            d.start()
            with d.client() as client:
                d.config.write_text(d.config.read_text().replace("max_drawdown = 0.2", "max_drawdown = 0.9"))
                client.call("reload", reason="a looser limit")
                until(60, lambda: client.call("journal.head")["ts"] > "2024-03-11T14", "summer time")
                row = breaker(client, "drawdown")
                assert (row["state"], row["baseline"]) == ("latched", tripped.baseline / 1e8)
                status = client.call("status")
                assert status["trading_state"] == "halted"
                denied = client.call("order.submit", symbol="S0", side="buy", qty=1, request_id="after")
                assert (denied["status"], denied["code"]) == ("denied", "HALTED")
            d.kill()
        assert len(d.events(BreakerTripped)) == 1
        judge(d, [])


def _buys(client: Client, n: int) -> bool:
    fields = {"symbol": "S0", "side": "buy", "qty": 900_000, "request_id": f"first{n}"}
    return bool(client.call("order.submit", **fields)["status"] == "new")


def test_f21_a_clock_that_is_set_lifts_nothing(tmp_path: Path, library: Path) -> None:
    """F21: the wall clock goes a day forward and two back while a kill stands and over a start: killed all along."""
    with wall_clock(tmp_path, library) as clock, daemon(tmp_path, settings(tmp_path)) as d:
        d.start(env=clock.env)
        witness = Witness(d.ledger)
        kill = kill_by_socket(d, witness, prompt=False)
        witness.close()
        await_state(d, "killed")
        clock.step(DAY)
        for step in (DAY, -2 * DAY):
            d.kill()
            clock.step(step)
            d.start(env=clock.env)
            with d.client() as client:
                assert client.call("status")["trading_state"] == "killed"
        assert d.stop() == 0
        judge(d, [kill])


# ----------------------------------------------------------------------------- F22: more signals than there is room for

ROOMS = {
    # What there is room for, in orders of ten shares of S0 with a limit of 150 (1,500 each; prices stay below).
    "gross": "max_gross_value = {value}\n",
    "leverage": "max_leverage = {share}\n",
    "position": "max_position = {share}\n",
    "book": "book_max_gross_value = {value}\n",
}


def at_once(d: Daemon, count: int) -> list[dict[str, Any]]:
    """Send so many orders over as many connections before any answer is read; return the answers."""
    links = [d.client() for _ in range(count)]
    try:
        fields = {"symbol": "S0", "side": "buy", "qty": 10, "type": "limit", "limit_px": 150, "tif": "gtc"}
        for n, link in enumerate(links):
            link.send("order.submit", request_id=f"signal{n}", **fields)
        return [link.receive()["result"] for link in links]
    finally:
        for link in links:
            link.close()


@pytest.mark.parametrize(("room", "count", "places"), [("gross", 3, 1), *((room, 50, 3) for room in ROOMS)])
def test_f22_as_many_orders_as_there_is_room_for(tmp_path: Path, room: str, count: int, places: int) -> None:
    """F22: through the real socket, all at once: exactly as many are accepted, the others denied with the code."""
    equity, each = 100_000, 1_500
    value = places * each + each // 2
    text = ROOMS[room].format(value=value, share=value / equity)
    loose = "symbol_order_rate = 0\nmessage_rate = 0\norder_rate = 0\nself_match_prevention = false\n"
    risk = OPEN_LIMITS.replace(f"{text.split(' ', 1)[0]} = 0\n", "").replace("[broker]", f"{text}{loose}[broker]")
    toml = settings(tmp_path, risk=risk).replace("cash = 100000000", f"cash = {equity}\nmin_weight = 0")
    code = {"gross": "MAX_GROSS", "leverage": "MAX_LEVERAGE", "position": "MAX_POSITION", "book": "BOOK_GROSS"}[room]
    with daemon(tmp_path, toml) as d:
        d.start()
        with d.client() as client:
            tries = iter(range(10_000))
            until(20, lambda: _probe(client, next(tries)) != "NO_REF_PRICE", "a price")
        answers = at_once(d, count)
        assert [a["status"] for a in answers].count("denied") == count - places
        assert {a["code"] for a in answers if a["status"] == "denied"} == {code}
        assert d.stop() == 0
        assert len(d.events(OrderAccepted)) == places
        judge(d, [])


def _probe(client: Client, n: int) -> str:
    """Ask for more than there can be; return the code."""
    fields = {"symbol": "S0", "side": "buy", "qty": 900_000_000, "request_id": f"probe{n}"}
    code: str = client.call("order.submit", **fields)["code"]
    return code
