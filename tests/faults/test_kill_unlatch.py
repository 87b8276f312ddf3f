"""The way back from a kill: one step at a time, by an admin, and a kill that comes meanwhile wins."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from actors.messages.risk import TradingStateChanged
from tests.faults.kill_oracle import (
    Witness,
    await_state,
    judge,
    kill_by_socket,
    latch_says_killed,
    revive,
)
from tests.faults.killing import (
    Spinner,
    Traffic,
    foreign_lock,
    settings,
)
from tests.live_support import Client, daemon


def outcome(line: dict[str, Any]) -> str:
    """Return the reason of a refusal or an order's status."""
    if "error" in line:
        return str(line["error"]["data"]["reason"])
    return str(line["result"].get("status", line["result"].get("trading_state")))


def send_the_way_back(client: Client) -> list[int]:
    """Unlatch, resume and order in one go; return the request ids once the daemon has read them."""
    sent = [
        client.send("unlatch", reason="all is well"),
        client.send("resume", reason="all is well"),
        client.send("order.submit", symbol="S0", side="buy", qty=1, request_id="eager"),
    ]
    read = client.send("journal.head")
    line = client.receive()
    assert line["id"] == read, "nothing is answered before it is durable"
    return sent


@pytest.mark.parametrize("held_by", ["ledger", pytest.param("core", marks=pytest.mark.long)])
def test_a_kill_wins_over_an_unlatch_under_way(tmp_path: Path, held_by: str) -> None:
    """Unlatch, resume and an order wait (for the ledger, for the core) when a second kill is acknowledged."""
    spinner = Spinner(tmp_path)
    toml = settings(tmp_path, strategies=[spinner.reference])
    with daemon(tmp_path, toml) as d, ExitStack() as stack:
        stack.callback(spinner.close)
        d.start()
        witness = Witness(d.ledger)
        stack.callback(witness.close)
        with Traffic(d) as traffic:
            traffic.await_fill(d)
            traffic.stop()
        first = kill_by_socket(d, witness)
        await_state(d, "killed")
        client = stack.enter_context(d.client())
        with ExitStack() as held:
            if held_by == "ledger":
                held.enter_context(foreign_lock(d.ledger))
            else:
                spinner.do("loop 0.6")
            sent = send_the_way_back(client)
            second = kill_by_socket(d, witness)
            assert not second.answer["changed"]
        answers = {line["id"]: outcome(line) for line in (client.receive() for _ in sent)}
        assert answers[sent[0]] == "KILLED_AGAIN"
        assert answers[sent[1]] == "KILLED"
        assert answers[sent[2]] == "denied"
        assert client.call("status")["trading_state"] == "killed"
        assert latch_says_killed(d)
        d.kill()
        d.start()
        with d.client() as after:
            assert after.call("status")["trading_state"] == "killed"
        assert d.stop() == 0
        # Whether the ledger saw a halt in between or not: no order stands behind the second kill.
        frames = d.frames()
        risky = [f.seq for f in frames for e in f.events if type(e).__name__ in ("OrderAccepted", "OrderFilled")]
        assert max(risky) <= first.at_ack
        assert d.events(TradingStateChanged)[-1].new == "killed"


def test_a_second_kill_keeps_the_first_reason(tmp_path: Path) -> None:
    """It is acknowledged at once, changes nothing, and who killed first stays on record."""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        with d.client() as client:
            assert client.call("kill", reason="the first")["changed"]
            again = client.call("kill", reason="the second")
            assert (again["changed"], again["durable"]) == (False, True)
            await_state(d, "killed")
            assert client.call("status")["state_reason"] == "the first"
        d.signal(signal.SIGUSR1)
        d.kill()
        d.start()
        with d.client() as client:
            assert client.call("status")["state_reason"] == "the first"
        assert d.stop() == 0
        assert [(e.new, e.reason) for e in d.events(TradingStateChanged)] == [("killed", "the first")]


def test_kill_unlatch_kill_again_and_again(tmp_path: Path) -> None:
    """Every kill of a series stops orders anew, and each way back lets them pass again."""
    with daemon(tmp_path, settings(tmp_path)) as d, ExitStack() as stack:
        d.start()
        witness = Witness(d.ledger)
        stack.callback(witness.close)
        client = stack.enter_context(d.client())
        traffic = stack.enter_context(Traffic(d))
        kills = []
        for _ in range(5):
            traffic.await_accepted(5)
            kills.append(kill_by_socket(d, witness))
            revive(client)  # at once: it waits behind the kill that it takes back
        traffic.await_accepted(5)
        traffic.stop()
        assert d.stop() == 0
        assert judge(d, kills, [traffic]).accepted >= 30
        assert [e.new for e in d.events(TradingStateChanged)] == ["killed", "halted", "active"] * 5


def test_unlatch_takes_an_admin(tmp_path: Path) -> None:
    """An operator may kill, and may not take it back; a viewer may neither."""
    if os.geteuid() != 0:
        pytest.skip("speaking as another user takes root")
    groups = '[control]\noperator_group = "daemon"\nviewer_group = "nogroup"\n'
    toml = settings(tmp_path).replace("[control]\n", groups)
    with daemon(tmp_path, toml) as d:
        d.runtime.chmod(0o755)
        d.start()
        d.socket.chmod(0o666)
        assert _as_user(d.socket, gid=65534, method="kill") == "FORBIDDEN"
        assert _as_user(d.socket, gid=1, method="unlatch") == "FORBIDDEN"
        assert _as_user(d.socket, gid=1, method="kill") == "killed"
        await_state(d, "killed")
        assert _as_user(d.socket, gid=1, method="unlatch") == "FORBIDDEN"
        assert _as_user(d.socket, gid=1, method="resume") in ("FORBIDDEN", "KILLED")
        with d.client() as client:
            assert client.call("status")["trading_state"] == "killed"
            assert client.call("unlatch", reason="by root")["trading_state"] == "halted"
        assert d.stop() == 0


def _as_user(path: Path, *, gid: int, method: str) -> str:
    """Ask as somebody else, in a child process; return what came of it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(12345)
            client = Client(path, 10)
            number = client.send(method, reason="as another user")
            line = client.receive()
            os.write(writing, (outcome(line) if line["id"] == number else "?").encode())
        except BaseException as error:  # noqa: BLE001 - the parent compares what is written
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


@pytest.mark.parametrize(
    ("step", "state"), [("before:write", "killed"), pytest.param("after:write", "halted", marks=pytest.mark.long)]
)
def test_the_latch_goes_last(tmp_path: Path, step: str, state: str) -> None:
    """A crash between the halt in the ledger and the clearing of the latch leaves it killed, never the other way."""
    with daemon(tmp_path, settings(tmp_path)) as d, ExitStack() as stack:
        d.start()
        witness = Witness(d.ledger)
        stack.callback(witness.close)
        kill = kill_by_socket(d, witness)
        await_state(d, "killed")
        d.kill()
        d.start(faults=[f"{step}:1:crash"])  # the latch says killed already, so its first write is that of clearing it
        with d.client() as client, pytest.raises(OSError):  # noqa: PT011 - hung up, by whatever name
            client.call("unlatch", reason="it dies of it")
        assert d.wait() == -9
        assert d.events(TradingStateChanged)[-1].new == "halted"
        d.start()
        with d.client() as client:
            assert client.call("status")["trading_state"] == state
        d.kill()
        judge(d, [kill])
