"""A kill, and what is in lane 0, overtake calls and answers that came in or came back in a crowd."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from daemon.control.calls import Call, Outcome
from daemon.control.limits import ServerLimits
from tests.control.parts import Running, running

ORDERS = 60
COST_S = 0.005
MANY = ServerLimits(requests_per_s=1e6, requests_burst=1e6, pipeline_max=ORDERS)


def costly(daemon: Running, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let handing a call over cost five milliseconds; return the methods that were, as they are."""
    handed: list[str] = []
    submit = daemon.desk.submit

    def slowly(call: Call, answer: Callable[[Outcome], None]) -> None:
        time.sleep(COST_S)  # what a look into the ledger may take beside a busy core
        handed.append(call.method)
        submit(call, answer)

    monkeypatch.setattr(daemon.desk, "submit", slowly)
    return handed


def order(number: int) -> dict[str, Any]:
    """Return a request to order."""
    params = {"symbol": "SPY", "side": "buy", "qty": 1, "request_id": f"r{number}"}
    return {"jsonrpc": "2.0", "id": number, "method": "order.submit", "params": params}


def test_a_kill_overtakes_orders_that_came_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the same connection, behind sixty orders: it is acknowledged while most of them wait to be handed over."""
    with running(limits=MANY) as daemon, daemon.client() as client:
        handed = costly(daemon, monkeypatch)
        client.send(*(order(n) for n in range(ORDERS)), {"jsonrpc": "2.0", "id": 999, "method": "kill", "params": {}})
        while (line := client.line()) is not None and line["id"] != 999:
            continue
        assert line is not None
        assert line["result"]["durable"]
        assert len(handed) < ORDERS / 2
        for _ in range(ORDERS - len(handed)):
            client.line()


def test_a_halt_goes_in_front_of_orders_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lane 0 is handed over first, whatever came in before it; and everything is handed over in the end."""
    with running(limits=MANY) as daemon, daemon.client() as client:
        handed = costly(daemon, monkeypatch)
        client.send(*(order(n) for n in range(ORDERS)), {"jsonrpc": "2.0", "id": 999, "method": "halt", "params": {}})
        seen = [client.line() for _ in range(ORDERS + 1)]
        assert all(line is not None and "result" in line for line in seen)
        assert handed.index("halt") < ORDERS / 2
        assert len(handed) == ORDERS + 1


def test_a_kill_overtakes_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """One commit answers sixty orders, and noting each answer costs: the kill does not wait for them all."""
    noted: list[str] = []

    def slowly(row: tuple[str, Any, str, str]) -> None:
        if row[2] == "order.submit":
            time.sleep(COST_S)
        noted.append(row[2])

    with running(limits=MANY) as daemon, daemon.client() as client, daemon.client() as other:
        monkeypatch.setattr(daemon, "audits", type("Notes", (), {"append": staticmethod(slowly)})())
        daemon.desk.gate.clear()
        client.send(*(order(n) for n in range(ORDERS)))
        assert daemon.desk.entered.wait(10)
        client.ask("status", number=500)
        daemon.desk.gate.set()
        assert client.line() is not None, "the first answer is out"
        assert other.ask("kill")["result"]["durable"]
        assert noted.count("order.submit") < ORDERS / 2
        for _ in range(ORDERS - 1):
            client.line()
