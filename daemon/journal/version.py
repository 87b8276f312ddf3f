"""Which SQLite the ledger may be trusted to."""

from __future__ import annotations

import sqlite3
from typing import Final

from daemon.kernel.errors import ConfigError

OLDEST: Final = (3, 37, 0)
"""The first with STRICT tables (sqlite.org/stricttables.html)."""

_FIXED: Final = (3, 51, 3)
_FIXED_LINES: Final = {(3, 50): 7, (3, 44): 6}
"""Patch releases that carry the repair of the WAL-reset bug (sqlite.org/wal.html, "The WAL-Reset Bug")."""


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Tell whether two connections that write or checkpoint at once can damage the file under this SQLite."""
    line = _FIXED_LINES.get(version[:2])
    return version < _FIXED and (line is None or version[2] < line)


def check_sqlite(version: tuple[int, int, int] | None = None) -> list[str]:
    """Return sentences for the log about the SQLite at hand.

    Args:
        version: major, minor, patch; None for the one this Python has loaded.

    Raises:
        ConfigError: it is too old for the ledger's tables.
    """
    found = version or sqlite3.sqlite_version_info
    text = ".".join(map(str, found))
    if found < OLDEST:
        raise ConfigError(
            f"SQLite {text} is too old for the ledger, which needs {'.'.join(map(str, OLDEST[:2]))}",
            code="SQLITE_TOO_OLD",
            remedy="run tradingd with a Python that brings a newer SQLite",
        )
    if not has_wal_reset_bug(found):
        return []
    notice = (
        f"SQLite {text} has the WAL-reset bug (repaired in 3.51.3, 3.50.7 and 3.44.6); tradingd is safe from it, as one"
        " connection alone writes and checkpoints: do not open the ledger for writing with another program"
    )
    return [notice]
