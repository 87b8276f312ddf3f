"""What a daemon has promised stands after a SIGKILL: orders, money, risk, states; and what it may not start on.

A recording that has ended stands still, so that what was true before a kill can be compared with what is true after it.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from actors.messages.orders import OrderAccepted, OrderExpired, OrderFilled, OrderPartiallyFilled
from actors.messages.risk import TradingState, TradingStateChanged
from daemon.journal.batch import SnapshotRow
from daemon.journal.failures import EXIT_CODES
from daemon.journal.rows import snapshot_digest
from tests.faults.kills import ask, remains
from tests.faults.meddling import rows_of
from tests.faults.oracle import examine
from tests.faults.twin import compare
from tests.live_support import CallError, Client, Daemon, daemon

START: Final = datetime(2024, 1, 2, tzinfo=UTC)
HOUR: Final = 60
DAY_ONE: Final = ("feed.playback.to=2024-01-02",)

STEADY: Final = '''"""Wants to hold the first symbol, always."""

from actors.api import Params, Signal, Window, strategy


class NoParams(Params):
    """Nothing to tune."""


@strategy(name="steady", params=NoParams, lookback=1, horizon=1)
def steady(w: Window, p: NoParams) -> Signal | None:
    """Buy."""
    return Signal(score=0.9, confidence=0.95) if w.symbol == "AAA" else None
'''

SETTINGS: Final = """
[universe]
calendar = "always"

[feed.playback]
bars = ["bars.csv"]
adjustment = "raw"
speed = {speed}
free_running = {free}

[predictor]
strategies = [{strategies}]

[[portfolio]]
name = "steady"
strategies = [{names}]
stop_loss = 0.03
max_weight = 0.5

[[portfolio]]
name = "desk"
strategies = []
cash = 1000000

[risk]
stale_ms = 0
max_position = 0.5
max_drawdown = 0
daily_loss_halt = 0

# A recording that ends within a session is a feed that fell silent, which is not what these tests are about.
[risk.breakers]
stale_data = {{ limit = 0 }}

[broker]
participation = 0.05

[service]
unclean_starts_max = 0
"""


def settings(*, speed: float | str = "max", free: bool = False, strategies: Sequence[str] = ("steady",)) -> str:
    """Return the settings; strategies are built in, or ``steady``."""
    files = [f'"{name}.py:{name}"' if name == "steady" else f'"{name}"' for name in strategies]
    return SETTINGS.format(
        speed=f'"{speed}"' if isinstance(speed, str) else speed,
        free=str(free).lower(),
        strategies=", ".join(files),
        names=", ".join(f'"{name}"' for name in strategies),
    )


def write_bars(path: Path, rows: Sequence[tuple[timedelta, float, float]], volume: int = 100) -> None:
    """Write flat one-minute bars: when each begins behind the start, price of AAA, price of BBB."""
    lines = ["ts,symbol,open,high,low,close,volume"]
    for after, *prices in rows:
        stamp = (START + after).strftime("%Y-%m-%dT%H:%M:%SZ")
        for symbol, px in zip(("AAA", "BBB"), prices, strict=True):
            lines.append(f"{stamp},{symbol},{px},{px},{px},{px},{volume * (100 if symbol == 'AAA' else 1)}")
    path.write_text("\n".join(lines) + "\n", "ascii")


def minutes(first: int, last: int, aaa: float = 100.0, bbb: float = 50.0, *, days: int = 0) -> list[Any]:
    """Return rows for :func:`write_bars`."""
    return [(timedelta(days=days, minutes=minute), aaa, bbb) for minute in range(first, last)]


def furnished(folder: Path, rows: Sequence[Any] | None = None) -> None:
    """Write four hours of a day, and a fall ten days later."""
    given = [*minutes(0, 4 * HOUR), *minutes(0, 30, aaa=92.0, days=10)] if rows is None else rows
    write_bars(folder / "bars.csv", given)
    (folder / "steady.py").write_text(STEADY, "ascii")


def silent(client: Client) -> None:
    """Wait until the recording has ended and all of it is durable."""
    ask(client, "status", lambda s: s["feeds"][0]["state"] == "ended" and not s["journal"]["uncommitted"])


def caught_up(house: Daemon, client: Client) -> None:
    """Wait until the views, which a question does not wait for for long, show every fill of the ledger."""
    fills = len(house.events(OrderFilled, OrderPartiallyFilled))
    ask(client, "fills", lambda answer: len(answer["rows"]) == fills, limit=1000)


LOOKS: Final = 6
"""Equal answers in a row, a twentieth of a second apart, that are those of a core at rest."""
READS: Final = ("positions", "risk", "breakers", "limits", "fills", "trades", "signals")
STANDING: Final = ("trading_state", "state_reason", "session", "ts", "equity", "cash", "daily_pnl", "drawdown")


def measured(client: Client) -> None:
    """Wait until the measures of risk, which are renewed ten times a second, have caught up with a core at rest."""
    said: list[Any] = []

    def unchanged(rows: Any) -> bool:
        said.append(rows)
        return len(said) > LOOKS and all(earlier == rows for earlier in said[-LOOKS:])

    ask(client, "risk", unchanged)


def everything(house: Daemon, client: Client) -> dict[str, Any]:
    """Return all that can be asked for about money, orders and risk."""
    caught_up(house, client)
    measured(client)
    found = {name: ask(client, name, lambda answer: answer)["rows"] for name in READS}
    status, head = client.call("status"), client.call("journal.head")
    found["orders"] = client.call("orders", all=True)["rows"]
    found["status"] = [{key: status[key] for key in (*STANDING, "open_orders", "positions")}]
    found["head"] = [{key: head[key] for key in ("seq", "ts", "event_digest")}]
    return found


def order(client: Client, key: str, **fields: Any) -> dict[str, Any]:
    """Submit an order of the desk."""
    return client.call("order.submit", request_id=key, portfolio="desk", **fields)


def sound(house: Daemon) -> None:
    """What lies there holds together, and is what a twin would have done that was never interrupted."""
    assert examine(remains(house.state, house.folder / "remains")).problems == []
    assert compare(house).difference == ""


# ---------------------------------------------------------------------------------------------------- what was promised


def test_orders_money_and_risk_are_the_same_behind_a_kill(tmp_path: Path) -> None:
    """Resting and half-filled orders, reservations, lots and their exits, baselines, a halt and a kill: all survive."""
    furnished(tmp_path)
    with daemon(tmp_path, settings(speed=600), sets=DAY_ONE) as house:
        house.start()
        with house.client() as client:
            client.call("cash.deposit", request_id="cash", portfolio="desk", amount=5000, reason="more")
            order(client, "held", symbol="AAA", side="buy", qty=100, type="market")
            order(client, "rests", symbol="AAA", side="buy", qty=10, type="limit", limit_px=93, tif="gtc")
            order(client, "parts", symbol="BBB", side="buy", qty=3900, type="limit", limit_px=51, tif="gtc")
            order(client, "day", symbol="AAA", side="buy", qty=10, type="limit", limit_px=94, tif="day")
            ask(client, "positions", lambda found: [row for row in found["rows"] if row["portfolio"] == "desk"])
            order(client, "stop", symbol="AAA", side="sell", qty=50, type="stop", stop_px=95, tif="gtc")
        house.kill()

        house.write(settings())
        house.start()
        with house.client() as client:
            silent(client)
            before = everything(house, client)
        working = {row["client_order_id"].split("-")[-1]: row["status"] for row in before["orders"]}
        assert (working["rests"], working["parts"], working["stop"]) == ("new", "partially_filled", "new")
        assert working["day"] == "expired"
        assert {row["portfolio"] for row in before["positions"]} == {"steady", "desk"}
        house.kill()

        house.start()
        with house.client() as client:
            assert everything(house, client) == before
            client.call("halt", reason="looks odd", request_id="halt")
            working = len(rows_of(client, "orders"))
            ask(client, "status", lambda status: status["open_orders"] == working)  # the board is renewed every 100 ms
            halted = everything(house, client)
        house.kill()

        house.start()
        with house.client() as client:
            assert everything(house, client) == halted
            assert {row["side"] for row in halted["orders"] if row["status"] == "new"} == {"sell"}
            assert halted["status"][0]["state_reason"] == "looks odd"
            client.call("resume", reason="looks fine", request_id="resume")
            order(client, "again", symbol="AAA", side="buy", qty=10, type="limit", limit_px=93, tif="gtc")
        house.kill()

        house.sets.clear()
        house.spawn(until_end=True)
        assert house.wait() == 0, house.tail()
        ended = {e.client_order_id.split("-")[-1]: e.reason for e in house.events(OrderFilled)}
        assert {"held", "stop", "again"} <= ended.keys()
        assert "stop_loss" in ended.values()
        sound(house)


@pytest.mark.long
def test_a_kill_stays_behind_a_kill_of_the_process(tmp_path: Path) -> None:
    """Killed before and after SIGKILL, until somebody unlatches; then halted, not active."""
    furnished(tmp_path)
    with daemon(tmp_path, settings()) as house:
        house.start()
        with house.client() as client:
            client.call("kill", reason="enough", request_id="kill")
        house.kill()
        house.start()
        with house.client() as client:
            status = client.call("status")
            assert (status["trading_state"], status["state_reason"]) == ("killed", "enough")
            with pytest.raises(CallError):
                client.call("resume", reason="no", request_id="resume")
            client.call("unlatch", reason="seen to", request_id="unlatch")
        house.kill()
        house.start()
        with house.client() as client:
            assert client.call("status")["trading_state"] == "halted"
        assert house.stop() == 0
        sound(house)


def test_day_start_and_breakers_keep_their_baselines(tmp_path: Path) -> None:
    """A loss of yesterday is none of today's, before a SIGKILL and after it; a tripped breaker stays tripped."""
    rows = [*minutes(0, HOUR), *minutes(0, 5, aaa=98.0, days=1), *minutes(5, 60, aaa=94.0, days=1)]
    furnished(tmp_path, rows)
    # Free-running has the rules of live: a breaker stays tripped until somebody sees to it.
    with daemon(tmp_path, settings(free=True)) as house:
        house.start()
        with house.client() as client:
            silent(client)
            before = everything(house, client)
        [blocked] = [row for row in before["breakers"] if row["entries_blocked"]]
        assert blocked["portfolio"] == "steady"
        assert 90_000 < blocked["baseline"] < 100_000
        house.kill()
        house.start()
        with house.client() as client:
            after = everything(house, client)
        for name in ("breakers", "positions", "orders", "fills", "trades"):
            assert after[name] == before[name]
        assert house.stop() == 0
        assert examine(remains(house.state, tmp_path / "remains")).problems == []


def test_the_same_request_behind_a_kill_has_the_same_answer_and_another_is_refused(tmp_path: Path) -> None:
    """The key of a request is remembered with what it asked for."""
    furnished(tmp_path)
    with daemon(tmp_path, settings(speed=1)) as house:
        house.start()
        with house.client() as client:
            denied = order(client, "wrong", symbol="AAA", side="sell", qty=10, type="market")
            answer = order(client, "key", symbol="AAA", side="buy", qty=10, type="market")
        house.kill()
        house.start()
        with house.client() as client:
            assert order(client, "key", symbol="AAA", side="buy", qty=10, type="market") == answer
            assert order(client, "wrong", symbol="AAA", side="sell", qty=10, type="market") == denied
            with pytest.raises(CallError) as caught:
                order(client, "key", symbol="AAA", side="buy", qty=11, type="market")
            assert caught.value.reason == "IDEMPOTENCY_MISMATCH"
        assert house.stop() == 0
        assert [e.order.client_order_id for e in house.events(OrderAccepted)].count(answer["client_order_id"]) == 1
        sound(house)


# ------------------------------------------------------------------------------------------------- time that was missed


def test_prices_missed_while_down_fill_nothing_and_day_orders_expire(tmp_path: Path) -> None:
    """Free-running: the day ended and a price came and went while nobody looked.

    The DAY order expires, the GTC order waits on, and no entry is made before prices are fresh again.
    """
    furnished(tmp_path, [*minutes(0, 20 * HOUR), *minutes(0, HOUR, aaa=92.0, days=1), *minutes(0, 72 * HOUR, days=2)])
    with daemon(tmp_path, settings(speed=600, free=True, strategies=())) as house:
        began = time.time()
        house.start()
        with house.client() as client:
            order(client, "held", symbol="AAA", side="buy", qty=10, type="market")
            order(client, "day", symbol="AAA", side="buy", qty=10, type="limit", limit_px=95, tif="day")
            order(client, "gtc", symbol="AAA", side="buy", qty=10, type="limit", limit_px=95, tif="gtc")
            ask(client, "positions", lambda positions: positions["rows"])
        house.kill()
        assert datetime.fromtimestamp(house.frames()[-1].ts / 1e9, UTC).date() == START.date()
        # The recording's clock began with the first start, and so fast it is now in its third day.
        house.write(settings(speed=int(50 * 3600 / (time.time() - began)), free=True, strategies=()))
        house.start()
        with house.client() as client:
            ask(client, "status", lambda status: status["trading_state"] == "active")
            assert order(client, "fresh", symbol="AAA", side="buy", qty=1, type="market")["status"] == "new"
            ask(client, "fills", lambda fills: len(fills["rows"]) == 2)
        assert house.stop() == 0
        ended = {e.client_order_id: e for e in house.events(OrderExpired, OrderFilled)}
        assert isinstance(ended["op-0-day"], OrderExpired)
        assert "op-0-gtc" not in ended
        assert [e.new for e in house.events(TradingStateChanged)] == [TradingState.REDUCING, TradingState.ACTIVE]


# ------------------------------------------------------------------------------------------------------------ snapshots


def damage_snapshots(house: Daemon, *, newest: int) -> None:
    """Turn a byte over in the newest snapshots, as a disk might."""
    db = sqlite3.connect(house.ledger)
    try:
        rows = db.execute("SELECT seq, core FROM snapshot ORDER BY seq DESC LIMIT ?", (newest,)).fetchall()
        for seq, core in rows:
            middle = len(core) // 2
            bad = core[:middle] + bytes([core[middle] ^ 0xFF]) + core[middle + 1 :]
            db.execute("UPDATE snapshot SET core = ? WHERE seq = ?", (bad, seq))
        db.commit()
    finally:
        db.close()


@pytest.mark.parametrize("damaged", [1, 3])
def test_a_damaged_snapshot_is_passed_over(tmp_path: Path, damaged: int) -> None:
    """Three are kept; the newest good one serves, or the ledger from its beginning: the state is the same."""
    furnished(tmp_path)
    with daemon(tmp_path, settings(), sets=["journal.snapshot_events=100"]) as house:
        house.start()
        with house.client() as client:
            order(client, "held", symbol="AAA", side="buy", qty=100, type="market")
            silent(client)
            before = everything(house, client)
        house.kill()
        assert house.query("SELECT count(*) FROM snapshot") == [(3,)]
        damage_snapshots(house, newest=damaged)
        house.start()
        with house.client() as client:
            assert everything(house, client) == before
        refolded = [line for line in house.logged() if line["event"] == "recovered"][-1]["refolded"]
        last = before["head"][0]["seq"]
        assert refolded == last if damaged == 3 else 0 < refolded < last
        assert len([line for line in house.logged() if "an older one serves" in line.get("detail", "")]) == damaged
        assert house.stop() == 0
        sound(house)


def test_a_snapshot_of_another_shape_is_passed_over(tmp_path: Path) -> None:
    """As an older program may have left it: whole, to the byte, and of no use to this one."""
    furnished(tmp_path)
    with daemon(tmp_path, settings()) as house:
        house.start()
        with house.client() as client:
            order(client, "held", symbol="AAA", side="buy", qty=100, type="market")
            silent(client)
            client.call("snapshot")
            before = everything(house, client)
        house.kill()
        db = sqlite3.connect(house.ledger)
        for row in db.execute("SELECT seq, ts, event_digest, core, edge FROM snapshot").fetchall():
            found = SnapshotRow(*row)
            state = msgspec.msgpack.decode(found.core)
            state["actors"]["broker"]["accounts"] = 1.5
            shaped = msgspec.structs.replace(found, core=msgspec.msgpack.encode(state))
            (chain,) = db.execute("SELECT hash FROM frame WHERE seq = ?", (found.seq,)).fetchone()
            values = (shaped.core, snapshot_digest(chain, shaped), found.seq)
            db.execute("UPDATE snapshot SET core = ?, digest = ? WHERE seq = ?", values)
        db.commit()
        db.close()
        house.start()
        with house.client() as client:
            assert everything(house, client) == before
        notices = [line["detail"] for line in house.logged() if line["event"] == "recovery"]
        assert notices
        assert all("cannot be used" in notice for notice in notices)
        assert house.stop() == 0
        sound(house)


# ------------------------------------------------------------------------------------------------------- another world


def refused(house: Daemon, code: int) -> str:
    """Start it: it must refuse in one sentence, and leave the ledger as it was."""
    before = house.ledger.read_bytes()
    lines = len(house.log.read_text().splitlines())
    house.spawn()
    assert house.wait(20) == code, house.tail()
    said = [line for line in house.log.read_text().splitlines()[lines:] if not line.startswith("{")]
    assert len(said) == 1
    assert said[0].startswith("tradingd: ")
    assert house.ledger.read_bytes() == before
    return said[0]


def test_a_ledger_of_another_world_is_refused_and_serves_again_in_its_own(tmp_path: Path) -> None:
    """Other symbols, a newer schema, the database of another program."""
    furnished(tmp_path)
    with daemon(tmp_path, settings()) as house:
        house.start()
        with house.client() as client:
            order(client, "held", symbol="AAA", side="buy", qty=100, type="market")
        assert house.stop() == 0
        whole = house.ledger.read_bytes()

        bars = (tmp_path / "bars.csv").read_text()
        (tmp_path / "bars.csv").write_text(bars.replace("BBB", "CCC"))
        assert "CCC" in refused(house, 78)
        (tmp_path / "bars.csv").write_text(bars)

        for pragma, code in (("user_version = 99", "NEWER_SCHEMA"), ("application_id = 7", "LEDGER_CORRUPT")):
            db = sqlite3.connect(house.ledger, isolation_level=None)
            db.execute(f"PRAGMA {pragma}")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.close()
            refused(house, EXIT_CODES[code])
            house.ledger.write_bytes(whole)
            for name in ("ledger.db-wal", "ledger.db-shm"):
                (house.state / name).unlink(missing_ok=True)

        house.start()
        assert house.stop() == 0
        sound(house)


def test_strategies_may_come_and_go_over_a_restart(tmp_path: Path) -> None:
    """With more, with none: positions and working orders stay what they are."""
    furnished(tmp_path)
    with daemon(tmp_path, settings()) as house:
        house.start()
        with house.client() as client:
            order(client, "rests", symbol="AAA", side="buy", qty=10, type="limit", limit_px=93, tif="gtc")
            silent(client)
            before = everything(house, client)
        house.kill()
        for strategies in (("steady", "momentum"), ()):
            house.write(settings(strategies=strategies))
            house.start()
            with house.client() as client:
                now = everything(house, client)
            assert {name: now[name] for name in ("positions", "orders", "fills", "trades")} == {
                name: before[name] for name in ("positions", "orders", "fills", "trades")
            }
            house.kill()
        house.start()
        assert house.stop() == 0
        assert examine(remains(house.state, tmp_path / "remains")).problems == []


@pytest.mark.long
def test_a_state_folder_is_moved_as_a_whole(tmp_path: Path) -> None:
    """Copied to another place while nobody runs, it goes on there as it would have here."""
    furnished(tmp_path)
    with daemon(tmp_path, settings()) as house:
        house.start()
        with house.client() as client:
            order(client, "held", symbol="AAA", side="buy", qty=100, type="market")
            silent(client)
            before = everything(house, client)
        house.kill()
        shutil.copytree(house.state, tmp_path / "elsewhere")
        house.state = tmp_path / "elsewhere"
        house.write(settings())
        house.start()
        with house.client() as client:
            assert everything(house, client) == before
        assert house.stop() == 0
        sound(house)
