"""``tradingd parity``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.options import AsJson
from daemon.cli.render import say, say_json, table
from daemon.kernel.errors import OperatorError

SHOWN = 10


def parity(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="State folder of a daemon, or the ledger in it.")],
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="Where strategies that are files are found; not for built-in ones."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decide a recorded session again from journal and tape; exit 0 only if events, fills and equity are the same.

    Example: tradingd parity ~/.local/state/tradingd
    """
    import os
    import sqlite3

    from config.sources import load_settings
    from daemon.system.parity import parity_of, report

    settings = None
    if config is not None:
        settings = load_settings(file=config, profile=None, sets=(), environ=os.environ).settings
    try:
        found = parity_of(path, settings)
    except sqlite3.DatabaseError as error:  # of the file, and nothing of the program
        raise OperatorError(
            f"the ledger of {path} cannot be read: {error}",
            code="LEDGER_CORRUPT",
            remedy="see what tradingd verify says of it",
        ) from error
    if as_json:
        say_json(report(found))
    else:
        verdict = "equal" if found.equal else "NOT equal"
        say(f"{found.inputs:,} inputs decided again, {found.events:,} events: {verdict}")
        say(f"event digest {found.digest}")
        rows = [[str(d.seq), d.input, d.kind, d.recorded[:60] or "-", d.found[:60] or "-"] for d in found.differences]
        if rows:
            say(table(["seq", "input", "kind", "recorded", "decided now"], rows[:SHOWN]))
    if not found.equal:
        raise OperatorError(
            f"{found.differing} inputs decide differently now ({found.fills} in fills, {found.equity} in equity)",
            code="PARITY",
            remedy="compare version, strategies and models with the manifest of the run",
        )
