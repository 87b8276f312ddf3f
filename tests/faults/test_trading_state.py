"""Halt, reduce, flatten, kill, resume, unlatch on a running daemon through tradingctl; and what outlives what (F21)."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from actors.messages.risk import BreakerTripped, TradingStateChanged
from tests.faults.kill_oracle import Witness, await_no_orders, await_state, judge, kill_by_socket, latch_says_killed
from tests.faults.killing import OPEN_LIMITS, SYMBOLS, Spinner, Traffic, settings
from tests.live_support import CallError, Client, Daemon, daemon, until

DAY = datetime(2024, 1, 2, tzinfo=UTC)


def ctl(d: Daemon, *arguments: str) -> dict[str, Any]:
    """Run a verb that must succeed; return its answer."""
    done = d.ctl("--json", *arguments)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def refused(d: Daemon, code: int, *arguments: str) -> str:
    """Run a verb that must not succeed; return what it says."""
    done = d.ctl(*arguments)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stderr


def submit(client: Client, key: str, side: str = "buy", qty: int = 10, **more: Any) -> dict[str, Any]:
    """Hand in an order in S0."""
    return client.call("order.submit", symbol="S0", side=side, qty=qty, request_id=key, **more)


def held(client: Client, qty: int) -> None:
    """Wait until so many shares are held."""

    def look() -> bool:
        rows = client.call("positions")["rows"]
        return sum(row["qty"] for row in rows) == qty

    until(20, look, f"a position of {qty}")


def buy_when_priced(client: Client, qty: int = 10) -> None:
    """Buy as soon as there is a price, and wait for the fill."""
    tries = iter(range(1000))
    until(20, lambda: submit(client, f"first{next(tries)}", qty=qty)["status"] == "new", "a price")
    held(client, qty)


# ----------------------------------------------------------------------------------------------------------- the levels


def test_halt_reduce_resume_by_hand(tmp_path: Path) -> None:
    """C10: each level lets pass what it says and no more, and only resume loosens it."""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        with d.client() as client:
            buy_when_priced(client)
            submit(client, "adds", type="limit", limit_px=1.0, tif="gtc")
            assert (
                submit(client, "protects", side="sell", qty=5, type="stop", stop_px=50.0, tif="gtc")["status"] == "new"
            )
            halted = ctl(d, "halt", "--reason", "prices look wrong")
            assert (halted["trading_state"], halted["canceled"]) == ("halted", ["op-0-adds"])
            until(20, lambda: client.call("status")["open_orders"] == 1, "exits stay: an open order")
            assert submit(client, "entry")["status"] == "denied"
            assert submit(client, "exit", side="sell", qty=2, reduce_only=True)["status"] == "new"
            held(client, 8)
            assert "resume first" in refused(d, 5, "reduce", "--reason", "looser than halted")
            assert ctl(d, "resume", "--yes", "--reason", "prices are right")["trading_state"] == "active"
            assert ctl(d, "reduce", "--reason", "carefully")["trading_state"] == "reducing"
            assert submit(client, "entry2")["status"] == "denied"
            assert submit(client, "exit2", side="sell", qty=2)["status"] == "new"
            held(client, 6)
            assert ctl(d, "resume", "--yes", "--reason", "fine")["trading_state"] == "active"
            assert submit(client, "entry3")["status"] == "new"
        assert d.stop() == 0
        changes = [(e.old, e.new, e.reason) for e in d.events(TradingStateChanged)]
        assert changes == [
            ("active", "halted", "prices look wrong"),
            ("halted", "active", "prices are right"),
            ("active", "reducing", "carefully"),
            ("reducing", "active", "fine"),
        ]
        judge(d, [])


def test_a_halt_that_was_lifted_is_done_anew_under_its_request_id(tmp_path: Path) -> None:
    """Whoever repeats a halt means one, also behind a restart; where it holds still, the answer is the one it had."""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        with d.client() as client:
            first = client.call("halt", reason="once", request_id="stop")
            assert client.call("halt", reason="again", request_id="stop") == first
            client.call("resume", reason="over", request_id="go")
            d.kill()
        d.start()
        with d.client() as client:
            assert client.call("status")["trading_state"] == "active"
            assert client.call("halt", reason="again", request_id="stop")["trading_state"] == "halted"
            assert client.call("status")["trading_state"] == "halted"
            assert (
                client.call("resume", reason="over", request_id="go")["trading_state"] == "active"
            )  # it was done once
            assert client.call("status")["trading_state"] == "halted"
        assert d.stop() == 0
        assert [(e.new, e.reason) for e in d.events(TradingStateChanged)] == [
            ("halted", "once"),
            ("active", "over"),
            ("halted", "again"),
        ]
        judge(d, [])


def test_a_halt_outlives_everything_but_resume(tmp_path: Path) -> None:
    """Halted over SIGKILL, reload and a clean restart; unlatch is no way out of a halt, only resume is."""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        ctl(d, "halt", "--reason", "for the night")
        d.kill()
        d.start()
        d.signal(signal.SIGHUP)
        with d.client() as client:
            client.call("reload")
            status = client.call("status")
            assert (status["trading_state"], status["state_reason"]) == ("halted", "for the night")
        unlatched = ctl(d, "unlatch", "--yes", "--reason", "no latch")
        assert (unlatched["trading_state"], unlatched["changed"]) == ("halted", False)
        assert d.stop() == 0
        d.start()
        assert ctl(d, "resume", "--yes", "--reason", "morning")["trading_state"] == "active"
        assert d.stop() == 0
        judge(d, [])


def test_kill_unlatch_resume_by_hand(tmp_path: Path) -> None:
    """The whole way of a kill on the command line, with its exit codes and sentences."""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        with d.client() as client:
            buy_when_priced(client)
            submit(client, "rests", type="limit", limit_px=1.0, tif="gtc")
            done = d.ctl("kill", "--reason", "what I saw")
            assert done.returncode == 0
            assert "nothing is ordered or filled any more" in done.stdout
            await_state(d, "killed")
            await_no_orders(client)
            assert submit(client, "exit", side="sell", reduce_only=True)["code"] == "KILLED", "not even an exit"
            assert "unlatch first" in refused(d, 5, "resume", "--yes", "--reason", "too early")
            assert "unlatch first" in refused(d, 5, "flatten", "--yes", "--reason", "too early")
            assert ctl(d, "halt", "--reason", "no looser")["changed"] is False
            assert client.call("status")["trading_state"] == "killed"
            assert ctl(d, "unlatch", "--yes", "--reason", "cause found")["trading_state"] == "halted"
            assert not latch_says_killed(d)
            assert ctl(d, "flatten", "--yes", "--reason", "close what is open")["flat"] is True
            until(20, lambda: not client.call("positions")["rows"], "a flat book")
            assert ctl(d, "resume", "--yes", "--reason", "cause removed")["trading_state"] == "active"
        assert d.stop() == 0
        assert [e.new for e in d.events(TradingStateChanged)] == ["killed", "halted", "active"]


def test_what_loosens_asks_twice(tmp_path: Path) -> None:
    """Without --yes and without a terminal nothing is loosened or closed; what tightens needs neither."""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        for verb in ("resume", "flatten", "unlatch"):
            assert d.ctl(verb, "--reason", "hasty").returncode not in (0, 3, 4)
        assert d.ctl("halt").returncode == 0
        assert d.ctl("kill").returncode == 0
        await_state(d, "killed")
        assert d.stop() == 0
        assert [e.new for e in d.events(TradingStateChanged)] == ["halted", "killed"]


# -------------------------------------------------------------------------------------------------------------- flatten


def test_flatten_says_when_it_is_not_flat(tmp_path: Path) -> None:
    """Exit code 6 while the recording brings no price to close at, and what is left; then halted, not active."""
    with daemon(tmp_path, settings(tmp_path, seconds=30, speed=20)) as d:
        d.start()
        with d.client() as client:
            buy_when_priced(client)

            until(20, lambda: client.call("journal.head")["ts"] >= "2024-01-02T14:30:30", "the last bar")
            done = d.ctl("--json", "flatten", "--yes", "--deadline-s", "0.3", "--reason", "over")
            assert done.returncode == 6, done
            answer = json.loads(done.stdout)
            assert answer["flat"] is False
            assert answer["left"][0]["symbol"] == "S0"
            assert client.call("status")["trading_state"] == "halted"
        assert d.stop() == 0


def test_a_kill_stops_a_flatten(tmp_path: Path) -> None:
    """The closing orders are cancelled like any others; whoever waits hears that it is not flat."""
    with daemon(tmp_path, settings(tmp_path, speed=1)) as d:
        d.start()
        witness = Witness(d.ledger)
        with d.client() as client, d.client() as other:
            until(20, lambda: client.call("order.submit", **_first())["status"] == "new", "a price")
            held(client, 10)
            number = client.send("flatten", reason="slowly", deadline_s=2)
            until(20, lambda: other.call("status")["open_orders"], "a closing order")
            kill = kill_by_socket(d, witness)
            await_state(d, "killed")
            line = client.receive()
            assert line["id"] == number
            assert line["result"]["flat"] is False
        witness.close()
        d.kill()
        assert judge(d, [kill]).open_at_kill == 1


_KEYS = iter(range(1_000_000))


def _first() -> dict[str, Any]:
    return {"symbol": "S0", "side": "buy", "qty": 10, "request_id": f"try{next(_KEYS)}"}


# ------------------------------------------------------------------------------------------- F21: what stays latched


def hourly_bars(path: Path) -> Path:
    """Write bars of an hour for three days: 100 up to noon of the second, 60 from then on."""
    lines = ["ts,symbol,open,high,low,close,volume"]
    for hour in range(72):
        px = 100.0 if hour < 36 else 60.0
        stamp = f"{DAY + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"
        lines += [f"{stamp},{s},{px},{px + 0.2},{px - 0.2},{px},1000000" for s in SYMBOLS]
    path.write_text("\n".join(lines) + "\n", "ascii")
    return path


def around_midnight(folder: Path, *, day_s: float) -> str:
    """Return the configuration that plays them, a day in so many seconds, with a bound on the drawdown."""
    toml = settings(folder, risk=OPEN_LIMITS.replace("max_drawdown = 0\n", "max_drawdown = 0.2\n"))
    hourly_bars(folder / "bars.csv")
    return toml.replace("speed = 20\n", f"speed = {86_400 / day_s:.0f}\n") + '[universe]\ncalendar = "always"\n'


def past_midnight(client: Client) -> None:
    """Wait until the recording is past the next midnight UTC."""
    day = client.call("journal.head")["ts"][:10]
    until(30, lambda: client.call("journal.head")["ts"][:10] > day, "midnight")


def test_f21_a_breaker_stays_latched(tmp_path: Path) -> None:
    """F21: over SIGKILL, midnight UTC and a reload of its limit; the baseline is the same; resume names it."""
    with daemon(tmp_path, around_midnight(tmp_path, day_s=3)) as d:
        d.start()
        with d.client() as client:
            buy_when_priced(client, 900_000)
            until(30, lambda: _drawdown(client)["state"] == "latched", "the breaker")
        d.kill()
        tripped = d.events(BreakerTripped)[-1]
        assert (tripped.breaker, tripped.latched) == ("drawdown", True)
        d.start()
        with d.client() as client:
            before = _drawdown(client)
            d.config.write_text(d.config.read_text().replace("max_drawdown = 0.2", "max_drawdown = 0.9"))
            client.call("reload", reason="a looser limit")
            past_midnight(client)
            after = _drawdown(client)
            assert (after["state"], after["limit"]) == ("latched", 0.9)
            assert after["baseline"] == before["baseline"] == tripped.baseline / 1e8
            status = client.call("status")
            assert status["trading_state"] == "halted"
        said = refused(d, 5, "resume", "--yes", "--reason", "hope")
        assert "drawdown of main" in said
        assert "breaker reset" in said
        with d.client() as client:
            with pytest.raises(CallError) as caught:
                client.call("resume", reason="hope")
            assert caught.value.reason == "BREAKER_LATCHED"
        assert ctl(d, "unlatch", "--yes", "--reason", "looked into it")["breakers_reset"]
        assert ctl(d, "resume", "--yes", "--reason", "goes on")["trading_state"] == "active"
        assert d.stop() == 0
        judge(d, [])


def _drawdown(client: Client) -> dict[str, Any]:
    rows: list[dict[str, Any]] = client.call("breakers")["rows"]
    return next(row for row in rows if row["breaker"] == "drawdown")


def test_f21_a_kill_stays_latched(tmp_path: Path) -> None:
    """F21: over SIGKILL, SIGHUP, a clean restart and midnight UTC; for the same reason, by the same person."""
    with daemon(tmp_path, around_midnight(tmp_path, day_s=1.5)) as d:
        d.start()
        witness = Witness(d.ledger)
        kill = kill_by_socket(d, witness)
        witness.close()
        await_state(d, "killed")
        latch = (d.state / "kill.latch").read_bytes()
        d.kill()
        d.start()
        d.signal(signal.SIGHUP)
        assert d.stop() == 0
        d.start()
        with d.client() as client:
            past_midnight(client)
            status = client.call("status")
            assert (status["trading_state"], status["state_reason"]) == ("killed", "test")
            assert submit(client, "after")["code"] == "KILLED"
        assert d.stop() == 0
        assert (d.state / "kill.latch").read_bytes() == latch
        assert len(d.events(TradingStateChanged)) == 1
        judge(d, [kill])


# ----------------------------------------------------------------------------------------------- F20, C11: no reporting


def test_f20_nobody_can_be_told(tmp_path: Path) -> None:
    """C11: alerts cannot be written and nobody reads the log, which is full: the kill asks neither."""
    toml = settings(tmp_path, extra='[logging]\nlevel = "debug"\n[alerter]\nfile = "/dev/full"\nconsole = "info"\n')
    with daemon(tmp_path, toml) as d:
        os.mkfifo(tmp_path / "unread")
        unread = os.open(tmp_path / "unread", os.O_RDWR | os.O_NONBLOCK)
        d.log = tmp_path / "unread"
        d.start()
        d.log = tmp_path / "nothing"
        try:
            witness = Witness(d.ledger)
            with Traffic(d) as traffic:
                traffic.await_fill(d)
                until(30, lambda: _is_full(unread), "a log that takes nothing more")
                traffic.await_accepted(5)
                kill = kill_by_socket(d, witness)
                await_state(d, "killed")
                traffic.stop()
            witness.close()
            assert d.events(TradingStateChanged)[-1].new == "killed"
            d.kill()
            assert judge(d, [kill], [traffic]).open_at_kill
        finally:
            os.close(unread)


def _is_full(pipe: int) -> bool:
    """Tell whether a pipe takes no page more, waiting a little for that."""
    assert pipe > 0
    try:
        os.write(pipe, b"." * 4096)
    except BlockingIOError:
        return True
    return False


# -------------------------------------------------------------------------------------------------------- C12: no data


def test_c12_without_prices_nothing_is_computed(tmp_path: Path) -> None:
    """An empty ledger and no price of anything, only bids: orders are denied, no loss is told of or acted on."""
    toml = settings(tmp_path, quotes_a_second=10, risk="")
    quotes = tmp_path / "quotes.csv"
    head, *rows = quotes.read_text("ascii").splitlines()
    quotes.write_text("\n".join([head, *(row.rsplit(",", 2)[0] + ",0,0" for row in rows)]) + "\n", "ascii")
    bars = next(line for line in toml.splitlines(keepends=True) if line.startswith("bars = "))
    with daemon(tmp_path, toml.replace(bars, "")) as d:
        d.start()
        with d.client() as client:
            denied = submit(client, "blind")
            assert (denied["status"], denied["code"]) == ("denied", "NO_REF_PRICE")
            assert all(row["state"] == "armed" for row in client.call("breakers")["rows"])
            assert client.call("status")["equity"] == 100_000_000
        assert d.stop() == 0
        assert not d.events(BreakerTripped)
        assert not [row for row in d.query("SELECT severity FROM outbox") if row[0] == "critical"]


@pytest.mark.long
def test_c12_a_feed_that_is_gone_halts(tmp_path: Path) -> None:
    """The feed fails whenever it is started again: within a minute trading is halted, for want of data and no loss."""
    spinner = Spinner(tmp_path)
    with daemon(tmp_path, settings(tmp_path, seconds=10_000, strategies=[spinner.reference])) as d:
        d.start()
        with d.client(timeout=120) as client:
            buy_when_priced(client)
            spinner.do("spoil data")
            until(110, lambda: client.call("status")["trading_state"] == "halted", "a halt")
            assert "no market data" in client.call("status")["state_reason"]
        spinner.close()
        d.kill()
        assert not d.events(BreakerTripped)
        judge(d, [])
