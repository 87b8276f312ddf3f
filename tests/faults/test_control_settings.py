"""What [control] says of connections, rates and time holds at the socket of a running daemon."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.killing import foreign_lock, settings
from tests.live_support import CallError, Client, daemon

TIGHT = "[control]\nconnections_max = 4\nrequests_per_s = 3\ncall_timeout_s = 1\n"
LIMIT = {"symbol": "S0", "side": "buy", "qty": 1, "type": "limit", "limit_px": 1, "tif": "gtc"}


def test_the_limits_of_the_socket_are_those_of_the_configuration(tmp_path: Path) -> None:
    """One connection too many pushes out the first; a call too many is refused, a halt is not; a late one is told."""
    before, _, after = settings(tmp_path).partition("[control]\n")
    with daemon(tmp_path, before + TIGHT + after[after.index("[service]") :]) as d, ExitStack() as stack:
        d.start()
        clients = [stack.enter_context(d.client()) for _ in range(4)]
        last = Client(d.socket)
        stack.callback(last.close)
        assert clients[0].receive()["error"]["data"]["reason"] == "TOO_MANY_CONNECTIONS"

        with foreign_lock(d.ledger):
            with pytest.raises(CallError) as late:
                last.call("order.submit", request_id="late", **LIMIT)
            assert late.value.reason == "UNKNOWN"
            assert "within 1 s" in str(late.value)

        began = time.monotonic()
        sent = [last.send("journal.head") for _ in range(40)]
        answers = [last.receive() for _ in sent]
        refused = [one["error"]["data"]["reason"] for one in answers if "error" in one]
        assert set(refused) == {"RATE_LIMITED"}
        assert len(sent) - len(refused) <= 6 + 3 * (time.monotonic() - began), "so many at once, so many a second"
        assert last.call("halt", reason="has a budget of its own")["trading_state"] == "halted"
        assert d.stop() == 0
