"""``tradingd run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    *,
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="Configuration; tradingd config init writes one.")
    ],
    profile: Annotated[str | None, typer.Option("--profile", help="Instead of the file's own profile.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="On top of the file; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Root of every random generator.")] = 42,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="End in order when the recording has ended, instead of staying up.")
    ] = False,
) -> int:
    """Run the daemon: market data of [feed], simulated broker, exact ledger; stop it with SIGTERM or tradingctl.

    Example: tradingd run --config daemon.toml
    """
    import os

    from daemon.control.signals import block_signals

    block_signals()  # before any library starts a thread that would take them
    from config.sources import load_settings
    from daemon.system.live import RunOptions, run_daemon

    loaded = load_settings(file=config, profile=profile, sets=tuple(sets or ()), environ=os.environ)
    return run_daemon(loaded, RunOptions(until_end=until_end, seed=seed))
