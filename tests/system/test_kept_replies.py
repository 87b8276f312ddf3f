"""Kept replies are found in a ledger that is being written, and looking holds nothing up."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from daemon.journal.batch import KeptReply
from daemon.journal.rows import REPLY, reply_row, schema_version
from daemon.journal.schema import migrate
from daemon.kernel.errors import OperatorError
from daemon.system.kept_replies import KeptReplies


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """An empty ledger in WAL mode."""
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path, isolation_level=None) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN")
        migrate(db, schema_version(db))
        db.execute("COMMIT")
    db.close()
    return path


def keep(path: Path, key: str) -> tuple[int, int, int]:
    """Keep a reply, then fold the WAL in; return what SQLite says of the folding."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(REPLY, reply_row(KeptReply(key, "halt", "0" * 64, b"{}", 1, 1)))
    folded: tuple[int, int, int] = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    db.close()
    return folded


def test_a_reply_is_found_as_soon_as_it_is_committed(ledger: Path) -> None:
    """On the same open connection, by any thread, without keeping the WAL from being folded in."""
    kept = KeptReplies(ledger)
    assert kept.find("0:a") is None
    assert keep(ledger, "0:a")[0] == 0, "nobody reads"
    found = kept.find("0:a")
    assert found is not None
    assert (found.key, found.method, found.reply) == ("0:a", "halt", b"{}")
    assert keep(ledger, "0:b")[0] == 0, "a finished look holds nothing"
    seen = []
    thread = threading.Thread(target=lambda: seen.append(kept.find("0:b")))
    thread.start()
    thread.join()
    assert seen[0] is not None
    kept.close()
    kept.close()


def test_a_ledger_that_cannot_be_read_is_asked_anew(ledger: Path) -> None:
    """The error is an operator's sentence, and the next look opens the ledger again."""
    kept = KeptReplies(ledger)
    assert kept.find("0:a") is None
    keep(ledger, "0:a")
    with sqlite3.connect(ledger, isolation_level=None) as db:
        db.execute("ALTER TABLE idempotency RENAME TO elsewhere")
    with pytest.raises(OperatorError, match="cannot be read") as caught:
        kept.find("0:a")
    assert caught.value.code == "LEDGER_UNREADABLE"
    with sqlite3.connect(ledger, isolation_level=None) as db:
        db.execute("ALTER TABLE elsewhere RENAME TO idempotency")
    db.close()
    assert kept.find("0:a") is not None
    kept.close()
