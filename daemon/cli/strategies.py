"""``tradingd strategy``: what can be run, and whether one of your own holds."""

from __future__ import annotations

import typer

app = typer.Typer(help="List, show, start and check strategies.", no_args_is_help=True, rich_markup_mode=None)
