"""Whoever was answered sees what was done: in the next question, on any connection, whatever the main loop is at."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.meddling import rows_of
from tests.faults.workload import furnish
from tests.live_support import CallError, Client, Daemon, daemon, until
from tests.parity.worlds import replay_of, world

BUY = {"symbol": "AAA", "side": "buy", "qty": 10, "type": "limit", "limit_px": 95, "tif": "gtc", "portfolio": "desk"}
SETTINGS_PATCH = (('["restless.py:restless"]', "[]"), ('["restless"]', "[]"))


def slow(folder: Path) -> str:
    """Return the configuration of a daemon in which next to nothing happens by itself."""
    toml = furnish(folder, minutes=600, speed=1)
    for old, new in SETTINGS_PATCH:
        toml = toml.replace(old, new)
    return toml


def started(d: Daemon, *faults: str) -> None:
    """Start it and wait until views can be read."""
    d.start(faults=faults)
    with d.client() as client:
        rows_of(client, "orders")


def test_an_order_that_was_answered_is_seen_at_once(tmp_path: Path) -> None:
    """The main loop stands still right behind the answer: lists, its story and its broker's name know of it."""
    with daemon(tmp_path, slow(tmp_path)) as d:
        started(d, "after:reply:2:sleep")  # for a second; the opening deposits are the first commit
        with d.client() as client, d.client() as other:
            began = time.monotonic()
            order = client.call("order.submit", request_id="one", **BUY)
            seen = [row["order_id"] for row in other.call("orders")["rows"]]
            story = other.call("why", order_id=order["order_id"])
            assert time.monotonic() - began < 0.9, "asked too late to be a test"
            assert seen == [order["order_id"]]
            assert story["order"]["client_order_id"] == order["client_order_id"]
            number = other.send("order.cancel", id=order["order_id"], request_id="two")
            assert time.monotonic() - began < 0.9
            answer = other.receive()
            assert (answer["id"], answer["result"]["status"]) == (number, "canceled")
        assert d.stop() == 0


def test_what_the_views_have_not_come_to_is_not_unknown(tmp_path: Path) -> None:
    """While nobody folds the views, an order that they lack is no order that does not exist."""
    with daemon(tmp_path, slow(tmp_path)) as d:
        started(d)
        with d.client() as client:
            order = client.call("order.submit", request_id="one", **BUY)
            with pytest.raises(CallError) as caught:
                client.call("why", order_id="nobody")
            assert caught.value.reason == "UNKNOWN_ORDER"
            client.call("why", order_id=order["order_id"])
        assert d.stop() == 0


def played(client: Client) -> bool:
    """Tell whether the recording has ended and everything that it caused is durable."""
    status = client.call("status")
    return status["feeds"][0]["state"] == "ended" and not status["journal"]["uncommitted"]


def test_the_head_of_the_journal_is_the_digest_of_its_replay(tmp_path: Path) -> None:
    """Live, over a restart, and whatever was asked for in between: asking is no event (contract)."""
    settings = world(tmp_path, 1, "around").settings + "[control]\nrequests_per_s = 100000\n"
    with daemon(tmp_path, settings) as d:
        wanted = replay_of(d.config, tmp_path / "replay").digest
        for _ in range(2):
            d.start()
            with d.client() as client:
                client.call("log.level", level="info", reason="an audited call")
                until(60, lambda: played(client), "the end of the recording, durable")
                head = client.call("journal.head")
                assert head["event_digest"] == wanted
                assert 100 < head["seq"] <= d.query("SELECT max(seq) FROM frame")[0][0]
            assert d.stop() == 0
        assert d.query("SELECT event_digest FROM run ORDER BY id DESC LIMIT 1") == [(wanted,)]
