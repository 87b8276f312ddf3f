"""F60: a reload with a file that does not hold changes nothing and is told; a good one changes everything at once."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from actors.messages.risk import LimitsChanged
from daemon.system.parity import parity_of
from tests.faults.meddling import playing, rows_of
from tests.live_support import CallError, Client, Daemon, daemon

LIMIT = "[risk]\nmax_order_qty = 50\nmin_order_value = 1\n"


def settings(folder: Path, limit: str = LIMIT) -> str:
    """Return a configuration with a limit on the number of shares."""
    return playing(folder, more=limit)


def limits(client: Client) -> dict[str, Any]:
    """Return the limits in force by name."""
    return {row["limit"]: row["bound"] for row in client.call("limits")["rows"] if row["limit"] != "cash"}


def submit(client: Client, name: str, qty: int) -> str:
    """Hand in an order; return its status."""
    status: str = client.call("order.submit", symbol="AAA", side="buy", qty=qty, id=name)["status"]
    return status


def hang_up(d: Daemon) -> list[dict[str, str]]:
    """SIGHUP; return what the service manager heard, from RELOADING to READY."""
    while d.manager.listen(0) is not None:
        continue
    asked = time.monotonic_ns() // 1_000
    d.signal(signal.SIGHUP)
    heard: list[dict[str, str]] = []
    deadline = time.monotonic() + 20
    while not heard or heard[-1].get("READY") != "1":
        assert time.monotonic() < deadline, d.tail()
        message = d.manager.listen(1.0)
        if message is not None and ("RELOADING" in message or "READY" in message):
            heard.append(message)
    assert [sorted(message)[:2] for message in heard] == [["MONOTONIC_USEC", "RELOADING"], ["READY", "STATUS"]]
    assert asked <= int(heard[0]["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1_000
    return heard


BAD = {
    "syntax error": ("[risk\n", "daemon.toml"),
    "unknown key": ("[risk]\nmax_order_quantity = 5\n", "max_order_quantity"),
    "not a number": ("[risk]\nmax_order_qty = nan\n", "risk.max_order_qty"),
    "a word": ('[risk]\nmax_order_qty = "abc"\n', "risk.max_order_qty"),
    "infinite": ("[risk]\nmax_order_qty = inf\n", "risk.max_order_qty"),
    "empty": ('[risk]\nmax_order_qty = ""\n', "risk.max_order_qty"),
    "too large": ("[risk]\nmax_order_qty = 1e30\n", "risk.max_order_qty"),
    "empty file": ("", "risk.max_order_qty"),
    "missing": ("[risk]\nmin_order_value = 1\n", "risk.max_order_qty"),
    "half-written": ("[risk]\nmax_order_qty = 40\nmax_order_val", "daemon.toml"),
    "half a number": ("[risk]\nmax_order_qty = 40\nmax_positions = ", "daemon.toml"),
    "a symbol that is none": (LIMIT + "[risk.symbols.AAAA]\nmax_position = 0.1\n", "'AAAA'"),
    "a sector that is none": (LIMIT + '[risk.sectors]\n"Nowhere" = 0.1\n', "'Nowhere'"),
    "a portfolio that is none": (LIMIT + "[risk.portfolios.other]\nmax_positions = 1\n", "'other'"),
    "a restricted one that is none": (LIMIT + 'restricted = ["ZZZ"]\n', "'ZZZ'"),
    "below its bound": ("[risk]\nmax_order_qty = -1\n", "risk.max_order_qty"),
    "contradiction": ("[risk]\nmin_order_value = 900000\n", "min_order_value"),
    "needs a restart": ("[broker]\nslippage_bps = 9\n" + LIMIT, "broker.slippage_bps"),
}


def test_f60_what_does_not_hold_changes_nothing(tmp_path: Path) -> None:
    """Each kind of bad file, by signal and by call: the sentence names it, the limit stays, an alert is raised."""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        with d.client() as client:
            before = limits(client)
            for what, (text, named) in BAD.items():
                d.write(settings(tmp_path, text))
                hang_up(d)
                with pytest.raises(CallError) as refused:
                    client.call("reload", reason="try")
                assert named in str(refused.value), what
                assert limits(client) == before, what
                assert submit(client, f"after {what}", 51) == "denied"
            d.config.unlink()
            hang_up(d)
            with pytest.raises(CallError, match=r"daemon\.toml"):
                client.call("reload", reason="try")
            assert limits(client) == before
            assert submit(client, "still", 50) != "denied"
            told = rows_of(client, "alerts", all=True)
        mine = [row for row in told if row["key"] == "machine:reload"]
        assert mine
        assert "was not reloaded" in str(mine[0])
        lines = [line["detail"] for line in d.logged() if line["event"] == "reload"]
        assert len(lines) == 2 * (len(BAD) + 1)
        assert d.stop() == 0


def test_f60_a_good_file_is_taken_over_whole_and_kept(tmp_path: Path) -> None:
    """From one input to the next; recorded; still so after SIGKILL, and a later start reads what the file says then."""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        with d.client() as client:
            assert submit(client, "before", 40) != "denied"
            d.write(settings(tmp_path, LIMIT.replace("50", "10") + "price_collar = 0.2\n[logging]\nlevel = 'debug'\n"))
            hang_up(d)
            assert submit(client, "after", 40) == "denied"
            assert submit(client, "small", 10) != "denied"
            changed = client.call("reload", reason="again")
            assert changed["changes"] == []
            shown = {row["key"]: row["value"] for row in client.call("config.show", key="risk.max_order_qty")["rows"]}
            assert shown == {"risk.max_order_qty": "10"}
        d.kill()
        d.start()
        with d.client() as client:
            assert submit(client, "later", 40) == "denied"
        assert d.stop() == 0
        assert any(line["level"] == "debug" for line in d.logged())
        d.write(settings(tmp_path, LIMIT.replace("50", "30")))
        d.start()
        with d.client() as client:
            assert submit(client, "much later", 31) == "denied"
            assert submit(client, "fits", 30) != "denied"
        assert d.stop() == 0
        found = parity_of(d.state, None)
        assert found.equal, found.differences


def test_c28_every_new_key_is_taken_over_together(tmp_path: Path) -> None:
    """Limits by name, rates, breakers, protections: from one input to the next; what is looser comes with them."""
    more = """max_order_adv = 0.01
cooldown_sessions = 2
order_rate = 5
restricted = ["BBB"]
[risk.symbols.AAA]
max_order_qty = 20
[risk.portfolios.main]
max_positions = 2
[risk.breakers.slippage]
limit = 0.02
action = "halt"
"""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        with d.client() as client:
            assert submit(client, "before", 21) != "denied"
            d.write(settings(tmp_path, LIMIT + more))
            assert client.call("config.check")["changes"]
            hang_up(d)
            bounds = limits(client)
            names = ("max_order_adv", "cooldown_sessions", "order_rate", "symbols.AAA.max_order_qty", "max_positions")
            assert [bounds[name] for name in names] == [0.01, 2, 5, 20, 2]
            answer = client.call("breakers")
            assert [row["symbol"] for row in answer["restricted"]] == ["BBB"]
            (slippage,) = [row for row in answer["rows"] if row["breaker"] == "slippage"]
            assert (slippage["limit"], slippage["action"]) == (0.02, "halt")
            assert submit(client, "after", 21) == "denied"
            assert submit(client, "small", 20) != "denied"
        assert d.stop() == 0
        assert len(d.events(LimitsChanged)) == 1


def test_config_check_names_what_the_run_does_not_have(tmp_path: Path) -> None:
    """As the reload would refuse it."""
    with daemon(tmp_path, settings(tmp_path)) as d:
        d.start()
        d.write(settings(tmp_path, LIMIT + "[risk.symbols.AAAA]\nmax_position = 0.1\n"))
        with d.client() as client, pytest.raises(CallError, match="'AAAA'"):
            client.call("config.check")
        assert d.stop() == 0


def test_a_daemon_whose_terminal_is_closed_ends_in_order(tmp_path: Path) -> None:
    """Nobody could stop it from there any more; while the terminal is there, the same signal reloads."""
    terminal, end = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(end, termios.TIOCSCTTY, 0)
        os.dup2(end, 0)

    try:
        with daemon(tmp_path, settings(tmp_path)) as d:
            d.start(preexec=take_terminal)
            os.close(end)
            end = -1
            hang_up(d)
            os.close(terminal)
            terminal = -1
            assert d.wait() == 0
            reasons = [line["reason"] for line in d.logged() if line["event"] == "stopped"]
            assert reasons == ["the terminal it was started on was closed"]
    finally:
        for number in (terminal, end):
            if number >= 0:
                os.close(number)
