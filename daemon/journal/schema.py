"""The ledger's tables by version: numbered steps, forward only, all in one transaction.

A new file takes every step; so there is one description of the tables, and each step is run by every test.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from typing import Final

APPLICATION_ID: Final = 0x54524144  # "TRAD"
SCHEMA: Final = 2
PAGE_SIZE: Final = 8192


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Bring the tables from ``version`` (0: none) to :data:`SCHEMA`, within a transaction that the caller began.

    Raises:
        ValueError: the version is newer than this program.
    """
    if version > SCHEMA:
        message = f"schema {version} is newer than {SCHEMA}"
        raise ValueError(message)
    for step in range(version + 1, SCHEMA + 1):
        for statement in _statements(step):
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA}")


def _statements(step: int) -> Iterator[str]:
    """Split a step: ``executescript`` would commit the caller's transaction."""
    text = files("daemon.journal").joinpath("migrations", f"{step:04d}.sql").read_text("utf-8")
    statement = ""
    for line in text.splitlines(keepends=True):
        if not statement and line.startswith("--"):
            continue
        statement += line
        if statement.strip() and sqlite3.complete_statement(statement):
            yield statement
            statement = ""
