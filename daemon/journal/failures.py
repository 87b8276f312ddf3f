"""How the ledger fails, told apart by what has to happen next."""

from __future__ import annotations

import errno
from typing import Final

from daemon.kernel.errors import OperatorError

EXIT_CODES: Final = {
    "CHAIN_BROKEN": 65,
    "ROW_MISSING": 66,
    "FOREIGN_WAL": 67,
    "EMPTY_LEDGER": 68,
    "NEWER_SCHEMA": 69,
    "INVARIANT_VIOLATED": 71,
    "TAPE_SHORT": 72,
    "LEDGER_CORRUPT": 73,
    "LOCKED": 75,
    "LEDGER_UNREADABLE": 77,
}
"""Exit code of a start that was refused, by its reason."""

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a write that pass once there is room."""


class LedgerRefusedError(OperatorError):
    """The ledger is not what it should be, and nobody may trade on it. Never repaired silently.

    Attributes:
        reason: key of :data:`EXIT_CODES`, also the error's ``code``.
        exit_code: of the process.
    """

    def __init__(self, message: str, *, reason: str, remedy: str, exit_code: int | None = None) -> None:
        """Build a refusal: what was found where, its stable reason, what to do, and another exit code if it has one."""
        super().__init__(message, code=reason, remedy=remedy)
        self.reason = reason
        self.exit_code = EXIT_CODES[reason] if exit_code is None else exit_code


class CommitOvertaken(Exception):  # noqa: N818 - not an error: a kill came first, and nothing was written
    """A kill that the core has not observed yet came before the commit: nothing of the batch is durable."""


class LedgerFullError(OperatorError):
    """No room on the disk: rolled back, nothing of the batch is durable, and the same rows may be written again."""


class LedgerBrokenError(OperatorError):
    """A write failed in a way after which nothing may be retried (fsyncgate): leave, and let the start recover.

    ``exit_code`` is EX_IOERR of sysexits.h.
    """

    exit_code = 74
