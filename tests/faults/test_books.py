"""Books that do not agree, and a ledger that is damaged where a start did not look: nobody trades on either.

Whoever can compute hashes can write a ledger whose chain holds; what was folded from it still has to hold together.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import pytest

from actors.messages.catalogue import codec
from actors.messages.orders import OrderFilled
from actors.messages.portfolio import PositionChanged
from daemon.journal.check import read_snapshot
from daemon.journal.failures import EXIT_CODES
from daemon.journal.rows import FRAME_COLUMNS, row_hash, snapshot_digest
from daemon.kernel.message import Event
from tests.faults.meddling import Meddled, meddled, playing, rows_of
from tests.faults.test_storage import refused

CODE: Final = EXIT_CODES["INVARIANT_VIOLATED"]
FAST: Final = "6000"
"""A session of minutes in four seconds."""


def until_bought(d: Meddled) -> None:
    """Buy a share and wait until it is there."""
    with d.client() as client:
        client.call("order.submit", symbol="AAA", side="buy", qty=5, id="first")
        deadline = time.monotonic() + 20
        while not rows_of(client, "fills"):
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.1)
        client.call("snapshot")


def until_halted(d: Meddled, why: str) -> None:
    """Wait until trading is halted for a reason, and see that it is."""
    deadline = time.monotonic() + 20
    while (status := d.status())["trading_state"] != "halted":
        assert time.monotonic() < deadline, d.tail()
        d.manager.listen(0.1)
    assert why in status["state_reason"]
    with d.client() as client:
        assert client.call("order.submit", symbol="AAA", side="buy", qty=5, id="late")["code"] == "HALTED"
        deadline = time.monotonic() + 5
        while not any(row["severity"] == "critical" and why in str(row) for row in rows_of(client, "alerts", all=True)):
            assert time.monotonic() < deadline, rows_of(client, "alerts", all=True)
            d.manager.listen(0.1)


def opened(d: Meddled) -> sqlite3.Connection:
    """Open the ledger for writing while nobody runs."""
    return sqlite3.connect(d.ledger, isolation_level=None)


def rewritten(d: Meddled, change: Callable[[Event], Event]) -> None:
    """Change events of a ledger of one run, with a chain that holds, and without what else would know better."""
    db = opened(d)
    catalogue = codec()
    chain = db.execute("SELECT chain_start FROM run").fetchone()[0]
    for row in db.execute(f"SELECT {FRAME_COLUMNS[0]} FROM frame ORDER BY seq").fetchall():  # noqa: S608 - a constant
        events = [change(event) for event in cast("Iterator[Event]", catalogue.decode_many(row[6]))]
        forged = (*row[:6], catalogue.encode_many(events), *row[7:])
        chain = row_hash(chain, forged)
        db.execute("UPDATE frame SET body = ?, hash = ? WHERE seq = ?", (forged[6], chain, row[0]))
    db.execute("DELETE FROM snapshot")
    db.close()
    (d.state / "ledger.head").unlink()


def a_fill_of_nobodys_order(event: Event) -> Event:
    """No room can fold it."""
    return msgspec.structs.replace(event, client_order_id="nobody") if isinstance(event, OrderFilled) else event


def a_booking_that_earns_a_dollar(event: Event) -> Event:
    """Every room can; one of them is a dollar richer than the others."""
    return msgspec.structs.replace(event, cash=event.cash + 10**8) if isinstance(event, PositionChanged) else event


@pytest.mark.parametrize("change", [a_fill_of_nobodys_order, a_booking_that_earns_a_dollar])
def test_c22_a_start_on_books_that_do_not_agree_is_refused(tmp_path: Path, change: Callable[[Event], Event]) -> None:
    """With its own exit code, which no service manager answers with another start; nothing is repaired, or counted."""
    with meddled(tmp_path, playing(tmp_path, speed=FAST)) as d:
        d.begin()
        until_bought(d)
        d.kill()
        rewritten(d, change)
        unclean = (d.state / "unclean").read_bytes()
        d.spawn()
        assert d.wait(20) == CODE, d.tail()  # cuts off what stands on the tape behind the last commit
        sentence = refused(d, "INVARIANT_VIOLATED")
        assert "does not hold together" in sentence
        assert "tradingd verify" in sentence
        assert (d.state / "unclean").read_bytes() == unclean


def test_a_snapshot_that_leads_to_another_digest_is_refused(tmp_path: Path) -> None:
    """It is the one that was written, by its digest, and not the state behind its frame."""
    with meddled(tmp_path, playing(tmp_path, speed=FAST)) as d:
        d.begin()
        until_bought(d)
        assert d.stop() == 0  # nothing is on the tape that no commit covers, and that a start cuts off
        db = opened(d)
        [(seq, chain)] = db.execute("SELECT seq, hash FROM frame WHERE seq IN (SELECT max(seq) FROM snapshot)")
        row = read_snapshot(db, seq)
        assert row is not None
        core: dict[str, Any] = msgspec.msgpack.decode(row.core)
        row = msgspec.structs.replace(row, core=msgspec.msgpack.encode(core | {"digest": bytes(32)}))
        digest = snapshot_digest(chain, row)
        db.execute("UPDATE snapshot SET core = ?, digest = ? WHERE seq = ?", (row.core, digest, seq))
        db.close()
        assert "event digest" in refused(d, "INVARIANT_VIOLATED")


def test_c22_a_daemon_whose_books_stop_to_agree_halts(tmp_path: Path) -> None:
    """Looked at now and then while it runs: a cent that one room has and the others do not, and nobody enters."""
    with meddled(tmp_path, playing(tmp_path), daemon__system__house__BOOKS_S=0.2) as d:
        d.begin()
        assert d.status()["trading_state"] == "active"
        d.meddle("cook")
        until_halted(d, "the books do not agree: cash of main")
        assert d.status()["state_reason"].startswith("UNKNOWN: "), "what it is worth is not known, which is no loss"
        assert any(line["event"] == "books do not agree" and line["problems"] for line in d.logged())
        d.kill()


def test_c27_a_start_waits_for_a_person_while_a_critical_alert_is_not_acknowledged(tmp_path: Path) -> None:
    """Whoever resumes without it is asked again at the next start; once it is acknowledged nobody is."""
    with meddled(tmp_path, playing(tmp_path)) as d:
        d.begin()
        d.meddle("trouble", sentence="something is badly wrong")
        deadline = time.monotonic() + 20
        while d.status()["alerts_unacknowledged"] < 1:
            assert time.monotonic() < deadline, d.tail()
            d.manager.listen(0.1)
        d.kill()
        for acknowledges in (False, True):
            d.begin()
            with d.client() as client:
                status = client.call("status")
                assert status["trading_state"] == "halted"
                assert "not acknowledged" in status["state_reason"]
                if acknowledges:
                    waiting = [row for row in rows_of(client, "alerts") if row["severity"] == "critical"]
                    for row in waiting:
                        client.call("alert.ack", alert_id=row["alert_id"])
                assert client.call("resume", reason="looked at it", request_id=str(acknowledges))
                assert client.call("status")["trading_state"] == "active"
            d.kill()
        d.begin()
        assert d.status()["trading_state"] == "active"
        d.kill()


def test_damage_where_a_start_did_not_look_is_found_behind_it_and_halts(tmp_path: Path) -> None:
    """A long ledger starts on its newest rows; the rest is checked in the background, and a bad row stops trading."""
    short = {"daemon__journal__recovery__CHECKED_ROWS": 10, "daemon__journal__recovery__CHECKED_LEAST": 5}
    with meddled(tmp_path, playing(tmp_path, speed=FAST), **short) as d:
        d.begin()
        until_bought(d)
        deadline = time.monotonic() + 20
        while d.meddle("state")["seq"] < 60:
            assert time.monotonic() < deadline, d.tail()
        d.kill()
        db = opened(d)
        db.execute("UPDATE frame SET source = 'forged' WHERE seq = (SELECT min(seq) FROM frame WHERE seq > 5)")
        db.close()
        d.begin()
        until_halted(d, "the ledger is damaged: hash_chain")
        d.kill()
