"""Answers that the ledger keeps under their request ids, looked up on the control thread.

One connection stays open: opening one costs a hundred times what the look itself does, and in a flood of orders every
kill would wait for it. No statement is left unfinished, so no read transaction holds the write-ahead file.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from daemon.journal.batch import KeptReply
from daemon.journal.sqlite import open_readonly
from daemon.kernel.errors import OperatorError

_FIND: Final = "SELECT key, method, params, reply, seq, ts FROM idempotency WHERE key = ?"


class KeptReplies:
    """See the module. :meth:`find` belongs to one thread; :meth:`close` is called once that has ended."""

    def __init__(self, ledger: Path) -> None:
        """Remember where the ledger is; it is opened when it is first needed."""
        self._ledger = ledger
        self._db: sqlite3.Connection | None = None

    def find(self, key: str) -> KeptReply | None:
        """Return what was answered under ``uid:request_id``, or None.

        Raises:
            OperatorError: the ledger cannot be read now.
        """
        try:
            if self._db is None:
                self._db = open_readonly(self._ledger, any_thread=True)
            rows = self._db.execute(_FIND, (key,)).fetchall()
        except sqlite3.Error as error:
            self.close()
            raise OperatorError(
                f"kept replies cannot be read: {error}", code="LEDGER_UNREADABLE", remedy="ask again in a moment"
            ) from error
        return KeptReply(*rows[0]) if rows else None

    def close(self) -> None:
        """Let go of the ledger."""
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()
